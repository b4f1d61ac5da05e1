"""The notebooks: clean in git, without logic of their own, and complete when they run headless."""

import ast
import json

import nbformat
import pytest

from macrec.workbench.run import Run
from macrec.workbench.runner import declared_parameters, find_notebooks, run_notebooks

NOTEBOOKS = find_notebooks()
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


@each
def test_committed_without_outputs_or_widget_state(path):
    notebook = nbformat.read(path, as_version=4)
    assert "widgets" not in notebook.metadata
    for cell in cells(path, "code"):
        assert cell.execution_count is None
        assert not cell.outputs or "keep_output" in cell.metadata.get("tags", [])


@each
def test_begins_with_a_question_and_flat_parameters_and_ends_with_a_record(path):
    first = cells(path, "markdown")[0].source
    assert first.startswith("# ") and first.splitlines()[0].endswith("?")
    code = cells(path, "code")
    assert code[0].metadata["tags"] == ["parameters"] and code[-1].metadata["tags"] == ["record"]
    parameters = declared_parameters(path)
    assert {"dataset", "profile", "seed", "live", "out"} <= set(parameters)
    assert all(isinstance(value, str | int | float | bool) for value in parameters.values())


@each
def test_holds_no_logic(path):
    # Story and calls only: what needs a function, a class, a branch or a loop belongs in the library.
    logic = (ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.Try, ast.With)
    for cell in cells(path, "code"):
        found = [type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, logic)]
        assert not found, f"cell {cell.id}: {found}"
        assert len(cell.source.splitlines()) <= 30


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """All notebooks, executed in order on the smallest catalog."""
    return run_notebooks(NOTEBOOKS, tmp_path_factory.mktemp("runs") / "smoke", {"profile": "smoke"}, progress=False)


@pytest.mark.notebook
def test_every_notebook_records_its_metrics(run):
    metrics = run.metrics()
    assert set(metrics) == {path.stem for path in NOTEBOOKS}
    assert metrics["01_data"]["card"]["items"] == 160
    assert metrics["01_data"]["ceiling"]["oracle"]["HR@10"] > metrics["01_data"]["ceiling"]["reads only"]["HR@10"]
    assert metrics["02_embeddings"]["encoders"] == {"text": "tfidf", "image": "hog-color"}
    purity = {(row["factor"], row["modality"]): row for row in metrics["02_embeddings"]["purity"]}
    assert purity["palette", "image"]["purity"] > 2 * purity["palette", "image"]["chance"]
    assert purity["brand", "text"]["purity"] > 2 * purity["brand", "text"]["chance"]


@pytest.mark.notebook
@each
def test_every_figure_has_a_form_that_any_reader_can_show(run, path):
    executed = run.folder / path.name
    assert executed.stat().st_size < 2_000_000
    notebook = nbformat.read(executed, as_version=4)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    figures = [output.data for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(figures) >= 2
    for data in figures:
        assert "aria-label" in data["text/html"]
        traces = data["application/vnd.plotly.v1+json"]["data"]
        assert traces and all(trace.get("x") for trace in traces)
    assert "data:image/webp" in json.dumps(outputs)
