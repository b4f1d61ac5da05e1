"""What is chosen in an explorer is a DataFrame; its static twin needs no widget; errors are shown, not swallowed."""

import ipywidgets
import numpy as np
import polars as pl
import pytest

from macrec.data.curio import curio
from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz import ItemExplorer, LinkedItems, PrefixExplorer, explore
from macrec.viz.linked import explorers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def ids(data):
    codes = np.random.default_rng(0).integers(0, 4, (data.num_items, 4))
    return SemanticIds.from_codes(codes, item_ids=data.items["item_id"])


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed."""
    seen = []
    monkeypatch.setattr(explorers, "display", lambda bundle, raw=False: seen.append(bundle))
    monkeypatch.setattr(explorers, "show_html", lambda *parts: seen.append("".join(parts)))
    return seen


def everything(widget, kind):
    """All widgets of a kind inside a box, in order."""
    found = [widget] if isinstance(widget, kind) else []
    for child in getattr(widget, "children", ()):
        found += everything(child, kind)
    return found


def same_id(ids: SemanticIds) -> list[int]:
    keys = [tuple(row) for row in ids.codes.tolist()]
    return [keys.count(key) for key in keys]


def test_headless_the_twin_is_shown_and_no_widget_is_made(ids, data, shown, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a widget was made")

    monkeypatch.setattr(ipywidgets.Widget, "__init__", refused)
    view = LinkedItems(ids, {}, data, pictures=1)
    explore(view, live=False)
    explore(PrefixExplorer(ids), live=False)
    assert shown[0] == view.figure() and "data-linked" in shown[1]


def test_live_the_widget_is_shown_and_the_twin_is_there_for_exports(ids, data, shown):
    view = LinkedItems(ids, {}, data, pictures=1)
    explore(view, live=True)
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    assert shown[0]["text/html"] == view.figure()


def test_what_the_browser_selects_is_the_selection_and_the_other_way_round(ids, data):
    view = LinkedItems(ids, {}, data, pictures=1, most=100)
    assert view.selection.height == 0
    panels = view.widget.children[0]
    panels.set_state({"selected": memoryview(np.array([3, 7, 99], "<i4").tobytes())})  # as the browser's message does
    rows = view._linked.members[[3, 7, 99]]
    assert view.selection["row"].to_list() == rows.tolist()
    assert view.selection["item_id"].to_list() == [data.items["item_id"][int(row)] for row in rows]
    assert view.selection["title"].to_list() == [data.items["title"][int(row)] for row in rows]
    assert view.selection["codes"].to_list() == ids.codes[rows].tolist()
    assert view.selection["same_id"].to_list() == [same_id(ids)[row] for row in rows]
    view.select(rows[1:])
    assert np.frombuffer(panels.selected, "<i4").tolist() == [7, 99]
    assert view.selection["conflict"].to_list() == [same_id(ids)[row] > 1 for row in rows[1:]]
    hidden = int(np.setdiff1d(np.arange(len(ids)), view._linked.members)[0])
    with pytest.raises(DataError, match=f"no item of row {hidden}"):
        view.select([hidden])


def test_an_error_inside_an_observer_is_shown_and_goes_away(ids, data):
    view = LinkedItems(ids, {}, data, pictures=1)
    panels, line = view.widget.children
    panels.selected = np.array([10**6], "<i4").tobytes()
    assert "IndexError" in line.value and 'role="alert"' in line.value
    panels.selected = np.array([0], "<i4").tobytes()
    assert line.value == ""


def test_going_down_selects_exactly_the_items_below_the_prefix(ids, data):
    view = PrefixExplorer(ids, data)
    for prefix in ((), (2,), (2, 3), (0, 1, 2), tuple(ids.codes[5].tolist())):
        view.go(prefix)
        below = np.flatnonzero((ids.codes[:, : len(prefix)] == prefix).all(1))
        frame = view.selection
        assert frame["row"].to_list() == below.tolist()
        assert frame["same_id"].to_list() == [same_id(ids)[row] for row in below]
        about = view.about()
        assert about["tree"]["counts"][0] == len(below) and f"{len(below):,} item" in about["sentence"]


def test_the_tree_below_a_prefix_is_cut_to_the_boxes_asked_for():
    codes = np.random.default_rng(1).integers(0, 50, (20_000, 3))
    view = PrefixExplorer(SemanticIds.from_codes(codes), nodes=100)
    for prefix in ((), (7,)):
        view.go(prefix)
        tree = view.about()["tree"]
        assert len(tree["parents"]) <= 100
        assert tree["counts"][0] == sum(c for c, d in zip(tree["counts"], tree["depths"], strict=True) if d == 1)
        numbers = (codes[(codes[:, : len(prefix)] == prefix).all(1)][:, len(prefix)]).tolist()
        names = {name: count for name, count, depth in zip(tree["names"], tree["counts"], tree["depths"], strict=True)
                 if depth == 1 and "more" not in name}  # fmt: skip
        assert names and all(count == numbers.count(int(name.split("_")[1])) for name, count in names.items())


def test_a_prefix_of_no_item_is_refused_and_said_in_the_widget(ids):
    view = PrefixExplorer(ids)
    for prefix in ((9,), (0, 0, 0, 0, 0), (-1,)):
        with pytest.raises(DataError, match="no item has an ID that begins with"):
            view.go(prefix)
    assert view.prefix == () and view.selection.height == len(ids)


def test_clicks_menu_and_back_walk_the_same_tree(ids, data):
    view = PrefixExplorer(ids, data)
    menu, back = everything(view.widget, ipywidgets.Dropdown)[0], everything(view.widget, ipywidgets.Button)[0]
    panel = view.widget.children[2]
    assert back.disabled and [value for _, value in menu.options[1:]] == [
        code for code, _ in sorted(zip(*np.unique(ids.codes[:, 0], return_counts=True), strict=True),
                                   key=lambda pair: (-pair[1], pair[0]))
    ]  # fmt: skip
    menu.value = 2
    assert view.prefix == (2,) and not back.disabled and menu.value == -1
    tree = panel.about["tree"]
    node = tree["depths"].index(2)
    panel.chosen = [node, 1]
    parent = tree["parents"][node]
    expected = (2, int(tree["names"][parent].split("_")[1]), int(tree["names"][node].split("_")[1]))
    assert view.prefix == expected
    back.click()
    assert view.prefix == expected[:2]
    panel.chosen = [-1, 2]
    assert view.prefix == (2,)
    view.go(ids.codes[0].tolist())
    assert menu.disabled and panel.about["tree"]["counts"][0] == same_id(ids)[0]


@pytest.fixture
def items(data):
    rng = np.random.default_rng(0)
    latents, codebooks = (
        rng.normal(size=(data.num_items, 8)),
        [rng.normal(size=(8, 8)) / 2**level for level in range(3)],
    )
    rest, codes = latents, []
    for codewords in codebooks:
        codes.append(np.linalg.norm(rest[:, None] - codewords, axis=2).argmin(1))
        rest = rest - codewords[codes[-1]]
    ids = SemanticIds.from_codes(np.stack(codes, 1), sizes=(8, 8, 8), item_ids=data.items["item_id"])
    return ItemExplorer(ids, latents, codebooks, data)


def test_the_item_explorer_selects_items_that_share_first_codes(items):
    items.item, items.shared_codes = 4, 2
    frame = items.selection
    assert frame["row"][0] == 4
    wanted = np.flatnonzero((items.ids.codes[:, :2] == items.ids.codes[4, :2]).all(1))
    assert sorted(frame["row"]) == wanted.tolist()


def test_searching_finds_titles_that_have_all_words(items, data):
    title = data.items["title"][17]
    words = title.upper().split()[:2]
    found = items.search(" ".join(words))
    brute = [row for row, text in enumerate(data.items["title"]) if all(word.lower() in text.lower() for word in words)]
    assert found == brute[: items.MATCHES] and 17 in brute


@pytest.mark.slow
def test_choosing_an_item_draws_its_card_and_unknown_words_are_said(items, data):
    box = everything(items.widget, ipywidgets.Combobox)[0]
    nearest, shared = everything(items.widget, ipywidgets.IntSlider)
    line, told, card = everything(items.widget, ipywidgets.HTML)
    box.value = data.items["title"][17].split()[0]
    assert box.options and all(box.value in option for option in box.options)
    box.value = items._names[17]
    assert items.item == 17 and card.value == items.figure()
    nearest.value = 2
    assert items.k == 2 and card.value == items.figure()
    shared.value = 3
    assert told.value.startswith(f"{items.selection.height:,} items begin with a_")
    box.value = "no such thing anywhere"
    assert "no such thing anywhere" in line.value and items.item == 17


def test_a_whole_name_chooses_its_item_also_where_many_others_have_its_words():
    names = pl.Series([*(f"item 1{number}" for number in range(60)), "item 1"])
    ids = SemanticIds.from_codes(np.zeros((61, 1), int), sizes=(1,), item_ids=names)
    view = ItemExplorer(ids, np.zeros((61, 2)), [np.zeros((1, 2))], k=20)
    box = everything(view.widget, ipywidgets.Combobox)[0]
    assert 60 not in view.search("item 1") and everything(view.widget, ipywidgets.IntSlider)[0].value == 20
    box.value = "item 1"
    assert view.item == 60


def test_names_of_codebooks_are_text_in_the_widgets_too():
    ids = SemanticIds.from_codes(np.zeros((1, 1), int), ("<img src=x>",), sizes=(1,))
    view = ItemExplorer(ids, np.zeros((1, 2)), [np.zeros((1, 2))])
    told = everything(view.widget, ipywidgets.HTML)[1]
    assert told.value == "1 item begins with &lt;img src=x&gt;_0"


def test_the_menu_of_next_codes_is_not_longer_than_a_browser_takes():
    codes = np.concatenate((np.arange(1_500), [1_400]))[:, None]
    view = PrefixExplorer(SemanticIds.from_codes(codes), nodes=5)
    menu = everything(view.widget, ipywidgets.Dropdown)[0]
    assert len(menu.options) == 1 + view.CHOICES and menu.options[1] == ("a_1400 (2)", 1_400)


def test_a_frame_without_a_dataset_has_empty_titles():
    view = PrefixExplorer(SemanticIds.from_codes(np.array([[0, 1], [0, 1], [1, 0]])))
    expected = pl.DataFrame(
        {
            "row": [0, 1, 2],
            "item_id": ["0", "1", "2"],
            "title": ["", "", ""],
            "codes": [[0, 1], [0, 1], [1, 0]],
            "same_id": [2, 2, 1],
            "conflict": [True, True, False],
        },
        schema_overrides={"codes": pl.List(pl.Int32)},
    )
    assert view.selection.equals(expected)
