"""The demo page: it says what the generator says, clicks do what they promise, and untrained runs are refused."""

import asyncio
import html
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from macrec import cli
from macrec.data.ranking import NOT_RANKED
from macrec.demo.explain import sample_of, shared_codes
from macrec.demo.kernels import BoundedKernelManager
from macrec.demo.page import SHOWN, DemoPage
from macrec.demo.serve import SETTINGS, check_free, environment, serve, write_page
from macrec.demo.trained_run import open_trained, parameters_of, system_of
from macrec.errors import DataError
from macrec.training import drain
from macrec.workbench.run import project_root


@pytest.fixture(scope="module")
def folder(small_run):
    return small_run


@pytest.fixture(scope="module")
def opened(folder):
    return open_trained(folder)


@pytest.fixture
def page(opened):
    return DemoPage(opened)


def titles(tiles):
    return [button.description for button in tiles.buttons if button.layout.display is None]


def text_of(widget):
    return html.unescape(re.sub("<[^>]+>", " ", widget.value))


def test_a_run_is_opened_with_its_own_parameters_and_nothing_is_learned_again(folder, opened):
    assert parameters_of(folder)["codewords"] == 8 and parameters_of(folder)["levels"] == 0
    assert opened.macrec.decoder.tables.ids["text"].sizes[0] == 8
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")}
    again = open_trained(folder)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")} == files
    some = opened.test.take(np.arange(5))
    np.testing.assert_array_equal(again.macrec.recommend(some, 10).items, opened.macrec.recommend(some, 10).items)


@pytest.mark.parametrize("parameters", [{"codewords": 9}, {"lambda_implicit": 0.5}])
def test_a_run_that_trained_other_parameters_is_refused_and_stays_as_it_is(
    folder, executed_notebook, tmp_path, parameters
):
    executed_notebook(tmp_path / "run", **parameters)
    (tmp_path / "run" / "artifacts").symlink_to(folder / "artifacts")
    before = set(folder.rglob("*"))
    with pytest.raises(DataError, match=r"run: the run holds no generator .*; run make demo first"):
        open_trained(tmp_path / "run")
    assert set(folder.rglob("*")) == before


def test_the_checkpoint_that_is_looked_for_is_the_one_that_training_wrote(folder):
    data, split, macrec = system_of(folder)
    drain(macrec.learn_ids(data, split))
    found = macrec.checkpoint(data, split, macrec.ids.tables(data, split))
    assert found.folder.parent == folder / "artifacts" / "systems" / "generators"
    assert (found.folder / "checkpoint.json").exists()


def test_the_answer_is_the_recommendation_and_the_paths_add_up_to_it(page, opened):
    for user in (0, 7, 33):
        history = opened.test.history(user).astype(np.int64)
        answer = page.explainer.answer(history)
        assert not set(answer.items) & set(history)
        expected = opened.macrec.recommend(opened.test.take(np.array([user])), 10, mask_seen=True)
        np.testing.assert_array_equal(answer.items, expected.items[0])
        np.testing.assert_allclose(answer.scores, sum(path.weight * path.scores for path in answer.paths))
        pushes = sum(path.pushes for path in answer.paths)
        np.testing.assert_allclose(pushes, answer.scores - answer.scores.mean(), atol=1e-12)
        between = {task for task in opened.macrec.decoder.tables.tasks if task.kind == "sequence"}
        assert {path.task for path in answer.paths} == between and len(between) >= 4
        assert [path.weight > 0 for path in answer.paths] == sorted(path.weight > 0 for path in answer.paths)[::-1]
        for path in answer.paths:
            exact = opened.macrec.decoder.exact_scores(opened.test.take(np.array([user])), path.task.name)[0]
            np.testing.assert_allclose(path.scores, exact[answer.items], rtol=1e-4)


def test_a_place_in_a_beam_and_the_way_through_it_tell_the_same(page, opened):
    history = opened.test.history(3).astype(np.int64)
    answer = page.explainer.answer(history)
    for path in answer.paths:
        ranking = page.explainer.decoder.trace(path.task.name, sample_of(history), mask_seen=True)[0]
        for place, item in enumerate(answer.items.tolist()):
            way = page.explainer.way(history, path.task, item)
            assert [step.code for step in way] == page.explainer.tables.ids[path.task.target].codes[item].tolist()
            if path.places[place] == NOT_RANKED:
                assert way[-1].place is None and item not in ranking.items[0]
            else:
                assert ranking.items[0][path.places[place] - 1] == item
                assert way[-1].p == pytest.approx(np.exp(path.scores[place]), rel=1e-4)
                assert np.prod([step.step for step in way]) == pytest.approx(way[-1].p, rel=1e-6)


def test_the_oracle_ranks_an_item_as_it_ranks_targets(page, opened):
    some = opened.test.take(np.array([4]))
    p, ranks = page.explainer.truth(some.history(0).astype(np.int64), some.targets.astype(np.int64))
    assert ranks[0] == opened.data.oracle.ranks(some)[0] and 0 < p[0] < 1


def test_shared_codes_are_those_that_are_equal_and_the_prefix_ends_at_the_first_that_is_not(opened):
    ids = opened.macrec.decoder.tables.ids["text"]
    history = np.arange(40)
    same, prefix = shared_codes(ids, 40, history)
    for row, item in enumerate(history):
        pairs = [bool(one == other) for one, other in zip(ids.codes[item], ids.codes[40], strict=True)]
        assert same[row].tolist() == pairs
        assert prefix[row] == next((level for level, equal in enumerate(pairs) if not equal), len(pairs))


def test_another_persona_has_another_history_and_other_recommendations(page):
    before = titles(page.history_tiles), titles(page.next_tiles)
    page.people.value = page.people.options[2][1]
    after = titles(page.history_tiles), titles(page.next_tiles)
    assert before[0] != after[0] and before[1] != after[1] and page.status.value.startswith("<span>Answered")
    assert len(after[0]) == min(SHOWN, len(page.history)) and len(after[1]) == 10


def test_choosing_a_recommendation_explains_it(page):
    for place in (4, 1):
        page.next_tiles.buttons[place].click()
        title = titles(page.next_tiles)[place].partition(" ")[2].removeprefix("✓ ")
        assert title in text_of(page.why) and f"place {place + 1} of 10" in text_of(page.why)
        assert "macrec-chosen" in page.next_tiles.buttons[place]._dom_classes
    assert "macrec-chosen" not in page.next_tiles.buttons[4]._dom_classes


def test_a_history_is_built_by_clicking_and_taken_apart_again(page):
    page.empty.click()
    assert not titles(page.history_tiles) and not titles(page.next_tiles) and not page.why.value
    page.query.value = "candle"
    found = titles(page.match_tiles)
    assert found and page.people.value is None
    page.match_tiles.buttons[0].click()
    page.match_tiles.buttons[1].click()
    assert titles(page.history_tiles) == found[:2] and len(titles(page.next_tiles)) == 10 and page.truth is None
    page.match_tiles.buttons[1].click()
    assert "is in the history already" in page.status.value and len(page.history) == 2
    page.history_tiles.buttons[0].click()
    assert titles(page.history_tiles) == [found[1]]


def test_search_finds_items_whose_texts_hold_all_words(page, opened):
    page.query.value = "Steel PLANT"
    rows = opened.data.items.rows(named=True)
    texts = [
        f"{row['title']} {row['brand']} {' '.join(row['categories'])} {row['description']}".lower() for row in rows
    ]
    expected = [row for row, text in enumerate(texts) if "steel" in text and "plant" in text]
    assert page.matches == expected[:12] and f"{len(expected)} found" in text_of(page.match_words)
    page.query.value = "no such thing"
    assert not titles(page.match_tiles) and "Nothing found" in text_of(page.match_words)


def test_people_are_found_by_id_and_errors_show_in_the_status_line(page, opened):
    page.name.value = "shopper-9"
    np.testing.assert_array_equal(page.history, opened.data.histories[9][:-1])
    assert page.truth == opened.data.histories[9][-1]
    page.name.value = "<b>nobody"
    assert "&lt;b&gt;nobody" in page.status.value and "macrec-error" in page.status.value
    page.explainer.answer = lambda *_: 1 / 0
    page.another.click()
    assert "ZeroDivisionError" in page.status.value


def test_the_search_is_shown_on_demand_in_a_frame_of_its_own(page):
    assert not page.trace.value
    page.search.value = 1
    frame = html.unescape(page.trace.value)
    assert page.trace.value.startswith("<iframe") and re.search("Beam search (image|text.image)→image", frame)
    assert f"Recommendation 1 is “{titles(page.next_tiles)[0].partition(' ')[2].removeprefix('✓ ')}”." in frame
    page.next_tiles.buttons[3].click()
    assert "Recommendation 4 is" in html.unescape(page.trace.value) and "true next item" not in page.trace.value
    page.search.value = None
    assert not page.trace.value


def test_where_nothing_is_left_to_recommend_nothing_of_before_stays(page, opened, monkeypatch):
    page.search.value = 1
    nothing = page.answer.__class__(page.history, np.zeros(0, np.int64), np.zeros(0), ())
    monkeypatch.setattr(page.explainer, "answer", lambda *_: nothing)
    page.another.click()
    assert "Nothing is left" in page.next_words.value and not titles(page.next_tiles)
    assert not page.why.value and not page.trace.value and "macrec-error" not in page.status.value


def test_words_are_never_in_a_color_that_is_too_pale_for_words(page):
    for place in (0, 5):
        page.next_tiles.buttons[place].click()
        assert set(re.findall(r"(?<![-a-z])color:([^;\"]+)", page.why.value)) <= {"#666"}


def test_every_picture_has_a_name_and_every_id_its_codes(page):
    assert re.findall("<img", page.why.value)
    assert len(re.findall("<img", page.why.value)) == len(re.findall('<img [^>]*alt="[^"]+', page.why.value))
    ids, item = page.explainer.tables.ids["text"], int(page.answer.items[0])
    for level, code in zip("abcd", ids.codes[item].tolist(), strict=False):
        assert f"{level}_{code}" in text_of(page.why)


def test_the_notebook_served_is_the_projects_with_the_run_in_it(folder, tmp_path):
    written = nbformat.read(write_page(folder, tmp_path), as_version=4)
    sources = [cell.source for cell in written.cells]
    assert any(f'out = "{folder}"' in source for source in sources) and sources[-1].endswith("demo_page(out)")
    kept = nbformat.read(project_root() / "notebooks" / "demo_page.ipynb", as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in kept.cells)


def test_our_settings_come_first_and_those_of_the_user_stay():
    found = environment({"JUPYTER_PATH": "/theirs", "OMP_NUM_THREADS": "4"})
    assert found["JUPYTER_PATH"].startswith(str(SETTINGS)) and found["JUPYTER_PATH"].endswith("/theirs")
    assert found["JUPYTER_CONFIG_PATH"] == str(SETTINGS) and found["OMP_NUM_THREADS"] == "4"
    assert environment({})["OMP_NUM_THREADS"] == "1"


def test_the_command_refuses_a_run_without_a_generator_and_a_taken_port(tmp_path, monkeypatch, capsys):
    for name, value in environment({}).items():  # so that what the command sets ends with the test
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["macrec", "demo-page", "--run", str(tmp_path), "--no-browser"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr().err
    assert left.value.code == 2 and said.startswith(f"macrec: {tmp_path}: the run holds no generator")
    assert len(said.splitlines()) == 1 and "make demo" in said
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DataError, match="is taken"):
        check_free(taken.getsockname()[1])


def test_the_page_is_served_to_this_machine_only(folder, monkeypatch):
    commands, said = [], []
    served = "import socket, sys; socket.create_server(('127.0.0.1', int(sys.argv[1]))).accept()"

    class Voila(subprocess.Popen):
        """Listens where Voila would, until the first visitor comes."""

        def __init__(self, command):
            commands.append(command)
            super().__init__([sys.executable, "-c", served, command[4].partition("=")[2]])

    monkeypatch.setattr("subprocess.Popen", Voila)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert serve(folder, port, ["--no-browser"], ready=lambda: said.append("ready")) == 0
    (command,) = commands
    assert command[1:3] == ["-m", "voila"] and command[4:] == [f"--port={port}", "--Voila.ip=127.0.0.1", "--no-browser"]
    assert not Path(command[3]).exists()  # what was written to be served is gone


def test_every_start_of_the_page_has_a_token_of_its_own_unless_there_is_one():
    tokens = {environment({})["JUPYTER_TOKEN"] for _ in range(3)}
    assert len(tokens) == 3 and all(len(token) >= 32 for token in tokens)
    assert environment({"JUPYTER_TOKEN": "mine"})["JUPYTER_TOKEN"] == "mine"
    settings = json.loads((SETTINGS / "voila.json").read_text())
    assert settings["Voila"]["auto_token"] and settings["Voila"]["tornado_settings"]["allow_remote_access"] is False


def test_visitors_beyond_the_bound_are_told_to_wait(monkeypatch):
    """However many come at once, no more kernels start than may be."""

    async def start(self, **options):
        await asyncio.sleep(0)
        self._kernels[options["name"]] = object()
        return options["name"]

    monkeypatch.setattr(AsyncMappingKernelManager, "_async_start_kernel", start)
    manager = BoundedKernelManager(most_kernels=3)

    async def visitors(names):
        return await asyncio.gather(*(manager.start_kernel(name=name) for name in names), return_exceptions=True)

    found = asyncio.run(visitors("abcdef"))
    assert found[:3] == list("abc") and [error.status_code for error in found[3:]] == [503] * 3
    manager._kernels.pop("b")  # somebody has left
    (again,) = asyncio.run(visitors("g"))
    assert again == "g" and len(manager) == 3
