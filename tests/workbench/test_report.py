"""The report: what it says of runs that went well or not, and that it leaves nothing half-written."""

import html
import json
import os
import re

import nbformat
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from macrec.cli import app
from macrec.errors import DataError
from macrec.files import write_json
from macrec.viz.theme import caption_html, figure_html
from macrec.workbench.execution import trust
from macrec.workbench.report import newest_run, notebook_files, report_file, write_report
from macrec.workbench.run import next_end_number

PLOTLY = "application/vnd.plotly.v1+json"
PARAMETERS = 'dataset = "curio"  # or another\nprofile = "demo"\nseed = 0\nlive = True\nout = ""\n'
ENVIRONMENT = {"python": "3.11", "system": "Linux", "packages": {"numpy": "2.0"}, "commit": "0123456789ab"}


def html_output(text):
    return new_output("display_data", {"text/html": text, "text/plain": "<HTML>"})


def executed(folder, name, *cells, given="", title="What is it?", here=True):
    """A notebook as a run leaves it, on this machine or on another."""
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    injected = new_code_cell(f'live = False\nout = "/secret"\n{given}', metadata={"tags": ["injected-parameters"]})
    notebook = new_notebook(cells=[new_markdown_cell(f"# {title}\n\nA story."), parameters, injected, *cells])
    values = dict(re.findall(r"(\w+) = (\d+)", given))
    about = {
        "end_time": "2026-01-02T03:04:05.6+00:00",
        "parameters": {key: int(value) for key, value in values.items()},
    }
    notebook.metadata = {
        "papermill": about,
        "kernelspec": {"name": "python3", "display_name": "", "language": "python"},
    }
    nbformat.write(notebook, folder / f"{name}.ipynb")
    if here:
        trust(folder / f"{name}.ipynb")


@pytest.fixture
def make_run(tmp_path):
    """Makes the folder of a finished run of one notebook."""

    def make(name, *cells, given="", score=0.5):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        executed(folder, "01_data", *cells, given=given)
        manifest = {"parameters": {}, "environment": ENVIRONMENT, "seconds": {"01_data": 12.5}}
        (folder / "run.json").write_text(json.dumps(manifest))
        (folder / "metrics.json").write_text(json.dumps({"01_data": {"score": score}}))
        return folder

    return make


def report(*folders, limit=20_000_000):
    return write_report(folders, report_file(folders), limit).read_text(encoding="utf-8")


def body(page):
    return page.partition("<body>")[2]


def test_a_run_is_told_with_its_parameters_environment_seconds_and_metrics(make_run):
    page = body(report(make_run("fine", given="seed = 7")))
    assert "macrec: fine" in page and "2026-01-02 at 03:04 UTC" in page
    assert re.search(r">seed</td><td[^>]*>7</td><td[^>]*>the run<", page)
    assert re.search(r">profile</td><td[^>]*>&#x27;demo&#x27;</td><td[^>]*>default<", page)
    assert "commit 0123456789ab" in page and "numpy 2.0" in page and ">12.5<" in page and ">0.5000<" in page
    assert page.count("What is it?") == 3  # contents, seconds and its own heading, which the prose does not repeat
    assert "/secret" not in page


def test_without_an_evaluation_the_report_opens_with_that_and_says_what_is_missing(make_run):
    line = "Left out: image, as none of the items have a picture.\n"
    folder = make_run("fine", new_code_cell("", outputs=[new_output("stream", name="stdout", text=line)]))
    page = body(report(folder))
    first = page.partition("<nav")[0]
    assert "<p>This run compares no systems: notebook 08, the evaluation, was not run.</p>" in first
    assert "<li>Left out: image, as none of the items have a picture (notebook 01).</li>" in page
    assert ">score<" in page and "01_data.score" not in page


def test_words_stand_open_and_code_is_folded(make_run):
    page = body(report(make_run("fine", new_markdown_cell("## A *part*\n\n- one\n"), new_code_cell("x < 1"))))
    assert "<h3>A <em>part</em></h3>" in page and "<li>one</li>" in page and "A story." in page
    assert '<details class="code"><summary>Code</summary><pre>x &lt; 1</pre></details>' in page


def test_every_kind_of_output_is_shown(make_run):
    figure = go.Figure(go.Bar(y=[1]), layout={"title": "Own & bare"}).to_dict()
    cell = new_code_cell(
        "",
        outputs=[
            new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m & more\n"),
            new_output("display_data", {"text/html": "<i>rich</i>", "text/plain": "poor", "image/png": "AAAA"}),
            new_output("display_data", {"application/vnd.plotly.v1+json": figure, "text/plain": "Figure()"}),
            new_output("display_data", {"image/svg+xml": "<svg id='drawn'></svg>"}),
            new_output("display_data", {"image/png": "QUJD\nREVG\n", "text/plain": "<Figure>"}),
            new_output("display_data", {"text/markdown": "**strong**"}),
            new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "HBox()"}),
            new_output("execute_result", {"text/plain": "1 < 2"}),
            new_output("display_data", {"application/x-odd": "?"}),
        ],
    )
    page = body(report(make_run("fine", cell)))
    assert "\x1b" not in page and "red &amp; more" in page
    assert "<i>rich</i>" in page and "poor" not in page and "AAAA" not in page
    assert 'role="figure" aria-label="Own &amp; bare"' in page
    assert "<svg id='drawn'>" in page and "<strong>strong</strong>" in page and "1 &lt; 2" in page
    assert '<img src="data:image/png;base64,QUJDREVG" alt="&lt;Figure&gt;"' in page
    assert "a widget, which needs a running notebook" in page and "application/x-odd" in page


ATTACKS = (
    '<script>window.PWN = 1</script><img src=x onerror="window.PWN = 1">',
    '<a href="javascript:window.PWN = 1">go</a><svg onload="window.PWN = 1"></svg>',
    '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/"><base href="http://127.0.0.1:9/">',
    '<iframe srcdoc="<script>parent.PWN = 1</script>"></iframe><form action="http://127.0.0.1:9/"><input></form>',
    '<div style="position:fixed;inset:0;background:url(http://127.0.0.1:9/)">over everything</div>',
)


def test_nothing_runs_of_a_notebook_that_was_not_executed_here(make_run):
    """Its words, tables, pictures and figures stay; scripts, handlers, frames and redirects go."""
    folder = make_run("theirs")
    figure = go.Figure(go.Bar(y=[1]), layout={"title": 'Bars <a href="http://127.0.0.1:9/">go</a>'}).to_dict()
    figure["data"][0]["meta"] = {"macrec_links": ["http://127.0.0.1:9/"]}
    outputs = [html_output(f"<table><tr><td>kept</td></tr></table>{attack}") for attack in ATTACKS]
    outputs.append(html_output("<script>window.PWN = 1</script>"))
    outputs.append(new_output("display_data", {"text/html": "<script>1</script>", PLOTLY: figure}))
    outputs.append(new_output("display_data", {"image/svg+xml": "<svg><script>window.PWN = 1</script></svg>"}))
    outputs.append(new_output("display_data", {"text/markdown": ATTACKS[0]}))
    cells = [new_code_cell("", outputs=outputs), *(new_markdown_cell(f"Prose *stays*. {one}") for one in ATTACKS)]
    executed(folder, "02_next", *cells, here=False)
    page = body(report(folder))
    assert page.count(">kept<") == len(ATTACKS) and page.count("<em>stays</em>") == len(ATTACKS)
    assert "a view that runs scripts: run the notebook here to see it" in page
    assert page.count('role="figure"') == 1 and "not executed on this machine" in page
    for wrong in ("PWN", "onerror=", "javascript:", "http-equiv", "<iframe", "<form", "fixed", "url(", "macrec_links"):
        assert wrong not in page, wrong
    assert '<a href="http://127.0.0.1:9/' not in page.replace("\\u003c", "<").replace("\\u002f", "/")


def test_a_notebook_that_was_changed_elsewhere_is_foreign(make_run):
    folder = make_run("ours", new_code_cell("", outputs=[html_output("<script>ours</script>")]))
    assert "ours</script>" in report(folder)
    file = folder / "01_data.ipynb"
    file.write_text(file.read_text().replace("<script>ours", "<script>theirs"))
    assert "theirs" not in report(folder)


@pytest.mark.parametrize("attack", [*ATTACKS, "`<img src=x onerror=window.PWN=1>`", "![x](http://127.0.0.1:9/x.png)"])
def test_a_parameter_is_words_whatever_it_spells(make_run, attack):
    page = body(report(make_run("fine", given=f"dataset = {attack!r}")))
    told = page.partition("Parameters set by the run: ")[2].partition("</p>")[0]
    assert told == f"<code>{html.escape(f'dataset = {attack!r}')}</code>."


def test_a_failed_notebook_is_shown_up_to_its_error(make_run):
    folder = make_run("broken")
    trace = ["\x1b[31mTraceback\x1b[0m", "ValueError: no <luck>"]
    failing = new_code_cell(
        "f()", outputs=[new_output("error", ename="ValueError", evalue="no <luck>", traceback=trace)]
    )
    banner = new_markdown_cell("An Exception was encountered", metadata={"tags": ["papermill-error-cell-tag"]})
    executed(folder, "02_next.failed", banner, failing, new_code_cell("never"), new_code_cell("run"), title="And then?")
    page = body(report(folder))
    assert "Failed: broken/02_next.failed.ipynb" in page and "02 · And then? (failed)" in page
    assert "<b>ValueError</b>: no &lt;luck&gt;" in page and "Traceback" in page and "\x1b" not in page
    assert "Code cells after it that were not run: 2." in page and "never" not in page and "An Exception" not in page


def test_a_kernel_that_died_is_told_where(make_run):
    folder = make_run("broken")
    cells = [
        new_code_cell(source, execution_count=count) for source, count in [("fine", 3), ("large", None), ("x", None)]
    ]
    executed(folder, "02_next.failed", *cells)
    notebook = nbformat.read(folder / "02_next.failed.ipynb", as_version=4)
    for count, cell in enumerate(notebook.cells[1:3], 1):
        cell.execution_count = count
    nbformat.write(notebook, folder / "02_next.failed.ipynb")
    page = body(report(folder))
    before, told, after = page.partition("The kernel died in this cell, most often for want of memory.")
    assert told and "<pre>large</pre>" in before and "Code cells after it that were not run: 1." in after
    assert "<pre>x</pre>" not in page


def test_figures_of_two_notebooks_do_not_collide_and_share_their_pictures(make_run):
    call = 'showGallery("0123456789ab", {"uri": "data:image/webp;base64,AAAA", "rows": []});'
    gallery = f"<script>(() => {{\n{call}\n}})();</script>"
    drawn = figure_html({"data": [], "layout": {"meta": {"alt": "A figure."}}}, 1)
    cell = new_code_cell("", outputs=[html_output(drawn), html_output(caption_html("A figure.", None) + gallery)])
    folder = make_run("fine", cell)
    executed(folder, "02_next", cell)
    page = body(report(folder))
    ids = re.findall(r'<div id="(macrec-figure-\d+)"', page)
    assert len(ids) == len(set(ids)) == 2 and page.count("data:image/webp") == 1


def test_several_runs_are_compared_and_reached_from_the_comparison(make_run):
    folders = [make_run(f"sweep/seed={seed}", given=f"seed = {seed}", score=seed / 10) for seed in (1, 2, 3)]
    page = body(report(*folders))
    assert "3 runs, 3 executed notebooks, 38 seconds" in page and "The runs compared" in page
    links = re.findall(r'<a href="#(run-\d+)">seed=', page)
    assert len(links) == 3 and all(page.count(f'id="{link}"') == 1 for link in links)
    assert page.count("<details><summary>01 · What is it?</summary><template>") == 3
    # The folder that holds them stands for all, and gives the page its name.
    assert "<h1>macrec: seed=1, seed=2, seed=3</h1>" in page
    whole = body(report(folders[0].parent))
    assert whole == page.replace("<h1>macrec: seed=1, seed=2, seed=3</h1>", "<h1>macrec: sweep</h1>")
    assert (folders[0].parent / "report.html").exists()


def test_what_does_not_fit_is_left_out_and_named(make_run):
    folder = make_run("large", new_code_cell("", outputs=[html_output("x" * 300_000)]))
    executed(folder, "02_next", new_code_cell("small"))
    whole = report(folder)
    page = report(folder, limit=len(whole.encode()) - 100_000)
    assert "x" * 1000 in whole and "x" * 1000 not in page and ">small<" in page
    assert len(page.encode()) < len(whole.encode()) - 100_000
    assert "is in the folders of the runs: 01_data.ipynb." in page and "Left out" not in whole


def test_a_folder_that_is_no_run_is_refused_in_one_sentence(make_run, tmp_path):
    (tmp_path / "empty").mkdir()
    for folders in ([tmp_path / "empty"], [tmp_path / "gone"], [make_run("fine"), tmp_path / "empty"]):
        with pytest.raises(DataError, match=r"^[^;]*(empty|gone): this folder holds no run; [^;]*\.$"):
            report(*folders)
    assert not list(tmp_path.rglob("report.html"))


def test_a_report_replaces_nothing_but_a_report(make_run):
    folder = make_run("fine")
    for out in (notebook_files(folder)[0], folder / "run.json", folder):
        with pytest.raises(DataError, match=r"macrec did not write|this is a folder"):
            write_report([folder], out)
    write_report([folder], folder / "page.html")
    write_report([folder], folder / "page.html")


def test_a_file_that_is_no_notebook_is_refused_and_the_last_report_stays(make_run):
    folder = make_run("fine")
    before = report(folder)
    (folder / "02_next.ipynb").write_text("{")
    with pytest.raises(DataError, match=r"02_next\.ipynb: this is no notebook that macrec has run; "):
        report(folder)
    assert (folder / "report.html").read_text(encoding="utf-8") == before
    assert not [file for file in folder.iterdir() if file.suffix == ".tmp"]


def test_the_same_run_gives_the_same_page(make_run):
    folder = make_run("fine", new_code_cell("1", outputs=[html_output("<p>shown</p>")]))
    assert report(folder) == report(folder)


def test_the_command_takes_the_newest_run_and_says_where_the_page_is(make_run, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_tour.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["report"])
    assert isinstance(refused.exception, DataError) and str(refused.exception).startswith("There is no run in runs/;")
    for age, name in enumerate(["runs/newest", "runs/older", "runs/oldest"]):
        manifest = make_run(name) / "run.json"
        os.utime(manifest, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "runs/oldest/sweep.json").write_text("{}")
    os.utime(tmp_path / "runs/oldest/sweep.json", (2_000_000, 2_000_000))
    assert newest_run() == tmp_path / "runs/oldest"  # a sweep counts as one, too
    write_json(tmp_path / "runs/older/run.json", {"ended": next_end_number(tmp_path / "runs/older")})
    os.utime(tmp_path / "runs/older/run.json", (0, 0))
    assert newest_run() == tmp_path / "runs/older"  # whatever the clock says
    write_json(tmp_path / "runs/oldest/sweep.json", {"ended": next_end_number(tmp_path / "runs/oldest")})
    os.utime(tmp_path / "runs/oldest/sweep.json", (0, 0))
    (tmp_path / "runs/newest/run.json").write_text('{"ended": 1e9}')  # damaged
    assert newest_run() == tmp_path / "runs/oldest"
    write_json(tmp_path / "runs/newest/run.json", {"ended": next_end_number(tmp_path / "runs/newest")})
    (tmp_path / "runs/oldest/sweep.json").unlink()
    said = CliRunner().invoke(app, ["report"])
    page = tmp_path / "runs/newest/report.html"
    assert said.exit_code == 0 and said.output == f"{page} ({page.stat().st_size / 1e6:.1f} MB)\n"
    assert CliRunner().invoke(app, ["report", "runs/oldest", "--out", "p.html"]).output.startswith("p.html (")
    assert "macrec: oldest" in (tmp_path / "p.html").read_text(encoding="utf-8")
