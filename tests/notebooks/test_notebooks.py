"""The notebooks: clean in git, without logic of their own, and complete when they run headless."""

import ast
import json
import re
from dataclasses import replace

import nbformat
import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.data.dataset import Dataset, item_table
from macrec.data.formats.parquet_save import save_parquet
from macrec.data.images import NoImages
from macrec.evaluation.by_group import FEWEST
from macrec.experiments.compare_tokenizers import BY_PREFIX
from macrec.experiments.new_items import BEAM, RANKED
from macrec.experiments.results import MASKED, METRICS, masked
from macrec.quantization.semantic_ids import load_semantic_ids
from macrec.systems.registry import entries
from macrec.systems.settings import Parameters
from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.parameters import declared_parameters
from macrec.workbench.runner import run_notebooks

NOTEBOOKS = find_notebooks()
FORMS = ("published", "corrected")
SIMPLE = [name for name, entry in entries().items() if entry.counts]
WITHOUT_PICTURES = ("03_codebooks", "05_audit")
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
    assert {"dataset", "profile", "sample_users", "seed", "live", "out"} <= set(parameters)
    assert all(isinstance(value, str | int | float | bool) for value in parameters.values())


@pytest.mark.parametrize("number", ["06", "07", "08"])
def test_what_a_notebook_trains_is_what_a_program_trains_by_default(number):
    declared = declared_parameters(find_notebooks([number])[0])
    assert Parameters.from_values(declared) == Parameters()


@each
def test_holds_no_logic(path):
    # Story and calls only: what needs a function, a class, a branch or a loop belongs in the library.
    logic = (ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.Try, ast.With)
    for cell in cells(path, "code"):
        found = [type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, logic)]
        assert not found, f"cell {cell.id}: {found}"
        tree = ast.parse(cell.source)
        statements = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
        assert len(statements) <= 15 or cell.id == "parameters", f"cell {cell.id}"


SHOWING = re.compile(r"\b(show|show_html|explore)\(")


@each
def test_a_section_that_shows_something_says_what_to_look_for_and_what_to_try(path):
    sections: dict[str, list] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        heading = re.match(r"#+ (.+)", cell.source) if cell.cell_type == "markdown" else None
        sections.setdefault(heading[1] if heading else list(sections)[-1], []).append(cell)
    for heading, found in sections.items():
        showing = [
            place for place, cell in enumerate(found) if cell.cell_type == "code" and SHOWING.search(cell.source)
        ]
        if showing:
            after = "".join(cell.source for cell in found[showing[-1] + 1 :])
            assert "**Look for:**" in after and "**Try:**" in after, heading


@each
def test_what_a_notebook_says_to_try_is_a_parameter_and_a_value_it_takes(path):
    parameters = declared_parameters(path)
    words = "\n\n".join(cell.source for cell in cells(path, "markdown"))
    tries = re.findall(r"\*\*Try:\*\*(.*?)(?:\n\n|\Z)", words, re.DOTALL)
    assert tries
    for code in re.findall(r"`([^`]+)`", " ".join(tries)):
        name, equals, value = code.partition(" = ")
        if equals or name in parameters:
            assert name in parameters, code
        if equals:
            default, tried = parameters[name], ast.literal_eval(value)
            assert type(tried) is type(default) or (isinstance(default, float) and type(tried) is int), code
            assert tried != default, f"{code} is what it is already"


@each
def test_names_no_files_and_no_folders(path):
    # Where things lie is the run's business: run.path(name) gives the place, a parameter names other people's files.
    *others, record = cells(path, "code")
    for cell in others:
        nodes = list(ast.walk(ast.parse(cell.source)))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        rooms = {name.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for name in node.names}
        rooms |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not names & {"open", "Path"} and rooms <= {"macrec", "numpy", "torch"}, f"cell {cell.id}"
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        places = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "run.path"]
        texts -= {node.value for place in places for node in ast.walk(place) if isinstance(node, ast.Constant)}
        assert not [text for text in texts if re.search(r"[/\\]", text)], f"cell {cell.id}"
    assert re.match(rf'(health = .*\n)?run\.record\(\s*"{path.stem}",', record.source)


@pytest.mark.notebook
def test_every_notebook_records_its_metrics(run):
    metrics = run.metrics()
    assert set(metrics) == {path.stem for path in NOTEBOOKS}
    assert metrics["01_data"]["card"]["items"] == 160
    assert metrics["01_data"]["ceiling"]["oracle"]["HR@10"] > metrics["01_data"]["ceiling"]["text-only oracle"]["HR@10"]
    assert metrics["02_embeddings"]["encoders"] == {"text": "tfidf", "image": "hog-color"}
    purity = {(row["factor"], row["modality"]): row for row in metrics["02_embeddings"]["purity"]}
    assert purity["palette", "image"]["purity"] > 2 * purity["palette", "image"]["chance"]
    assert purity["brand", "text"]["purity"] > 2 * purity["brand", "text"]["chance"]


def of_all_items(measured, rate, items):
    """Whether the conflict `rate` of all `items` is that `measured` in training, of those with training events.

    One item has none, and it may be in conflict with another.
    """
    return -1e-9 < rate * items - measured * (items - 1) < 1 + 1e-9


@pytest.mark.notebook
def test_03_compares_all_ways_to_train(run):
    found = run.metrics()["03_codebooks"]
    assert not found["stopped"]
    rows = {(row["variant"], row["modality"]): row for row in found["comparison"]}
    named = ("independent", "cross-modal λ=0.003", BY_PREFIX, "published code", "residual k-means")
    assert list(rows) == [(variant, modality) for variant in named for modality in ("text", "image")]
    for (variant, _), row in rows.items():
        assert 0 <= row["conflict_rate"] <= 1 and 0 < row["utilization"] <= 1 and 1 <= row["perplexity"] <= 8
        # The published code trains on raw vectors, which ten epochs do not suffice for.
        assert row["reconstruction"] < (100 if variant == "published code" else 1.5)
    for modality in ("text", "image"):
        # What the comparison measures is what the live trainings above it ended with.
        rate = f"conflict_rate/{modality}"
        shared = found["shared_ids"][modality]
        items = shared["items"]
        assert shared["sharing"] >= round(found["measured"][rate] * (items - 1)) > 0
        for variant, live in (("independent", "independent"), ("cross-modal λ=0.003", "measured")):
            assert of_all_items(found[live][rate], rows[variant, modality]["conflict_rate"], items)
        kmeans, learned = rows["residual k-means", modality], rows["independent", modality]
        assert kmeans["reconstruction"] < learned["reconstruction"]


def trainings(run, kind):
    """The folders of what a run has trained; beside each lies its lock."""
    return [path for path in (run.folder / "artifacts/systems" / kind).iterdir() if path.is_dir()]


@pytest.mark.notebook
def test_04_finds_the_codebooks_of_03_and_moves_every_item_in_conflict(run):
    found, trained = run.metrics()["04_codebook_explorer"], run.metrics()["03_codebooks"]["measured"]
    items = {"text": 160, "image": 150}
    for modality, rate in found["conflict_rate"].items():
        assert of_all_items(trained[f"conflict_rate/{modality}"], rate, items[modality])
        assert found["moved"][modality] == round(rate * items[modality])
        assert 0 < found["first_codes"][modality] <= 8 and found["residual_left"][modality] > 0
    assert found["moved"]["image"] > 0
    # Independent, cross-modal, by prefix, published, residual k-means, and the tour's; of 04 to 09 only MSCGRec trains
    # one, of what people do.
    assert len(trainings(run, "codebooks")) == 7


@pytest.mark.notebook
def test_05_shows_what_the_published_code_optimizes(run):
    found = run.metrics()["05_audit"]
    gradients = {(row["form"], row["level"]): row["gradient"] for row in found["gradients"]}
    assert gradients["published", 0] == gradients["corrected", 0] > 0.1
    assert [gradients["published", level] for level in (1, 2, 3)] == [0, 0, 0]
    assert all(gradients["corrected", level] > 0.1 for level in (1, 2, 3))
    shares = {form: [row["share"] for row in found["positives"] if row["form"] == form] for form in FORMS}
    assert shares["published"] == [0, 0] and min(shares["corrected"]) > 0.5
    losses = {form: [row["loss"] for row in found["losses"] if row["form"] == form] for form in FORMS}
    assert len(set(losses["published"])) == 1
    assert losses["corrected"][0] < sum(losses["corrected"][1:]) / len(losses["corrected"][1:])
    resolvers = {row["form"]: row for row in found["resolvers"]}
    assert resolvers["least distortion"]["left"] == 0 < resolvers["published, NumPy 2"]["left"]
    # Less distortion is the rule and no law: what is moved first takes a place from what is moved later.
    assert 0 < resolvers["least distortion"]["added"] <= 1.05 * resolvers["published, as meant"]["added"]


@pytest.mark.notebook
def test_06_asks_every_path_and_finds_what_the_beam_misses(run):
    found = run.metrics()["06_generation"]
    assert {"HR@10/validation", "NDCG@10/validation"} <= set(found["measured"])
    asked = [(row["paths"], row["fusion"]) for row in found["fusions"]]
    paths = [f"{task['source']}→{task['target']}" for task in found["generator"]["tasks"] if task["kind"] == "sequence"]
    assert [name for name, fusion in asked if not fusion] == paths and len(paths) >= 4
    within = [fusion for name, fusion in asked if name == "text→text, image→image" and fusion != "tuned"]
    assert sorted(within) == ["logmeanexp", "mean_floor", "published", "union_rescore"]
    assert len([fusion for name, fusion in asked if name == "4 paths from one"]) == 3
    assert asked[-1][1] == "tuned"
    assert list(found["groups"]) == ["all", "with picture", "without picture", "without description"]
    for group in found["groups"].values():
        assert list(group["scores"]) == ["the default", *paths]
    assert found["groups"]["all"]["scores"]["the default"] == pytest.approx(found["fusions"][-1]["NDCG@10"])
    assert 0 <= found["beam"]["users whose lists differ"] <= 1
    assert found["generator"]["settings"]["recipe"]["lambda_implicit"] == 0.01
    assert not found["stopped"]


@pytest.mark.notebook
def test_09_reads_every_subset_and_measures_each_step_of_liger(run):
    found = run.metrics()["09_fusion"]
    names = ["text", "image", "collaborative", "text + image", "text + collaborative", "image + collaborative"]
    whole = "text + image + collaborative"
    assert [name for name in found["subsets"] if "oracle" not in name] == [*names, whole]
    assert list(found["differences"]["unmasked"]) == names  # from all of them
    assert [name for name in found["new_items"] if "oracle" not in name] == [BEAM, RANKED, "LIGER"]
    assert found["images"]["perplexity/image/0"] > 1 and not found["stopped"]
    ids = load_semantic_ids(run.path("rq_dino.parquet"))
    assert len(ids) == 160 and len(np.unique(ids.codes, axis=0)) == 160


@pytest.mark.notebook
def test_07_follows_the_states_from_before_the_training_to_its_end(run):
    found = run.metrics()["07_alignment"]
    for course in (found["alignment"], found["against"]):
        assert list(course) == ["before", "at 10%", "at 30%", "after"]
        assert all(0 <= measures["recall@10/text→image"] <= 1 for measures in course.values())
    assert found["alignment"]["after"]["info_nce"] < found["alignment"]["before"]["info_nce"]
    assert found["alignment"]["before"] != found["against"]["before"]  # other codebooks
    for direction, measures in found["by_presence"].items():  # the items of both kinds together are all
        counted = [
            measures[f"{name}/{kind}"] for kind in ("with both", "lacking one") for name in ("recall@10", "items")
        ]
        assert counted[1::2] == [150, 10]
        mean = (counted[0] * 150 + counted[2] * 10) / 160
        assert mean == pytest.approx(found["alignment"]["after"][f"recall@10/{direction}"])


@pytest.mark.notebook
def test_08_names_every_system_and_the_oracle(run):
    found = run.metrics()["08_evaluation"]
    marks = ["oracle", "text-only oracle", "image-only oracle"]
    learned = ["SASRec", "TIGER (text)", "TIGER (image)", "TIGERs fused late", "MQL4GRec", "MACRec"]
    learned += ["MACRec with dense head", "LIGER", "MSCGRec"]
    assert list(found["systems"]) == [*SIMPLE, *learned, *marks]
    for metrics in found["systems"].values():
        assert set(metrics) == {*METRICS, *masked(METRICS)}
        assert 0 <= metrics["HR@1"] <= metrics["HR@5"] <= metrics["HR@10"] <= 1
    for metric in ("NDCG@10", f"NDCG@10{MASKED}"):
        best = max(found["systems"], key=lambda name: found["systems"][name][metric])
        assert best == "oracle"
    for protocol in ("unmasked", "masked"):
        assert set(found["differences"][protocol]) == {*SIMPLE, *learned} - {"MACRec"}
    groups = found["groups"]["unmasked"]
    assert list(groups) == ["head", "tail", "with picture", "without picture", "short history", "long history"]
    for group in groups.values():
        reference, counting, *others = group["scores"]
        assert (reference, others) == ("MACRec", ["SASRec", "TIGER (text)", "TIGER (image)", "TIGERs fused late"])
        paired = {name for name, users in group["differ"].items() if users >= FEWEST}
        assert counting in SIMPLE and set(group["differences"]) == paired
    assert found["ablation_differences"] == {"unmasked": {}, "masked": {}}
    # What notebooks 06 and 07 have trained is not trained again: two TIGERs, MQL4GRec, two MACRecs, LIGER, MSCGRec, and
    # the tour's; and notebook 09 trains the last two for its own number of epochs.
    trained = {row["system"]: row["seconds"] for row in found["rows"] if "seconds" in row}
    assert len(trainings(run, "generators")) == 10 and trained["MACRec"] > 0


@pytest.mark.notebook
def test_08_is_complete_for_a_catalog_without_pictures(texts, tmp_path):
    parameters = {"profile": "smoke", "codewords": 8, "dataset": str(texts), "sample_users": 200, "mask_seen": True}
    found = run_notebooks(find_notebooks(["08"]), tmp_path, parameters, progress=False).metrics()["08_evaluation"]
    assert list(found["systems"]) == [*SIMPLE, "SASRec", "TIGER (text)", "LIGER", "MSCGRec"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder with the smallest catalog, without its pictures."""
    data = curio("tiny")
    return save_parquet(replace(data, images=NoImages(data.num_items)), tmp_path_factory.mktemp("data") / "texts")


@pytest.mark.notebook
def test_03_and_04_are_complete_for_a_catalog_without_pictures(texts, tmp_path):
    parameters = {"profile": "smoke", "codewords": 8, "clusters": 16, "dataset": str(texts)}
    metrics = run_notebooks(find_notebooks(["03", "04"]), tmp_path, parameters, progress=False).metrics()
    assert {(row["modality"], row["information"]) for row in metrics["03_codebooks"]["comparison"]} == {("text", None)}
    variants = [row["variant"] for row in metrics["03_codebooks"]["comparison"]]
    assert variants == ["independent", "published code", "residual k-means"]
    assert metrics["03_codebooks"]["measured"] == metrics["03_codebooks"]["independent"]
    assert metrics["04_codebook_explorer"]["conflict_rate"] == {
        "text": metrics["03_codebooks"]["measured"]["conflict_rate/text"]
    }


@pytest.mark.notebook
def test_every_notebook_runs_on_texts_alone_but_the_one_about_two_modalities(texts, tmp_path):
    # 03, 04 and 08 are looked at above.
    parameters = {"profile": "smoke", "codewords": 8, "dataset": str(texts), "epochs": 1, "text_encoder": "tfidf"}
    run = run_notebooks(find_notebooks(["00", "02", "05", "06", "07"]), tmp_path, parameters, progress=False)
    assert set(run.metrics()) == {"00_tour", "02_embeddings", "05_audit", "06_generation"}
    [(skipped, sentence)] = run.manifest()["skipped"].items()
    assert skipped == "07_alignment" and "none of the items have a picture, where 2 modalities are needed" in sentence
    assert set(run.metrics()["00_tour"]["first_codes"]) == {"text"}
    assert run.metrics()["05_audit"]["gradients"] == [] and len(run.metrics()["05_audit"]["resolvers"]) == 3
    assert [row["paths"] for row in run.metrics()["06_generation"]["fusions"]] == ["text→text"]


@pytest.mark.notebook
def test_ids_alone_are_evaluated_by_what_needs_no_contents(tmp_path):
    data = curio("tiny")
    items = item_table(data.items.select("item_id"), file="made")
    numbers = Dataset("numbers", items, data.histories, data.user_ids, NoImages(data.num_items), "made")
    folder = str(save_parquet(numbers, tmp_path / "numbers"))
    parameters = {"profile": "smoke", "dataset": folder, "test_users": 100}
    run = run_notebooks(find_notebooks(["02", "06", "08"]), tmp_path / "run", parameters, progress=False)
    assert list(run.metrics()["08_evaluation"]["systems"]) == [*SIMPLE, "SASRec"]
    assert set(run.manifest()["skipped"]) == {"02_embeddings", "06_generation"}


@pytest.mark.notebook
@each
def test_executed_without_widgets_and_in_less_than_2_megabytes(run, path):
    executed = run.folder / path.name
    assert executed.stat().st_size < 2_000_000
    notebook = nbformat.read(executed, as_version=4)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs and not [one for one in outputs if "application/vnd.jupyter.widget-view+json" in one.get("data", {})]


@pytest.mark.notebook
@each
def test_every_figure_has_a_form_that_any_reader_can_show(run, path):
    notebook = nbformat.read(run.folder / path.name, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    figures = [output.data for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert figures
    for data in figures:
        assert "aria-label" in data["text/html"]
        traces = data["application/vnd.plotly.v1+json"]["data"]
        # A mark of which there may be none, such as redundant codewords, is a trace without points.
        assert any(trace.get("x") or trace.get("values") or trace.get("z") for trace in traces)
    assert ("data:image/webp" in json.dumps(outputs)) == (path.stem not in WITHOUT_PICTURES)
