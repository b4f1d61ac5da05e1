"""`macrec explore`: a page for anybody's IDs, with whatever is known of the items, offline."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from macrec.data.curio import curio
from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.workbench import explore as room
from macrec.workbench import explore_reasons as reasons
from macrec.workbench.explore import explore, table_names
from macrec.workbench.explore_reasons import informative_items


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture
def files(data, tmp_path):
    """Text and image IDs of the tiny catalog that know its factors; the second keyed by row numbers."""
    found = []
    for modality, factors in {"text": ("purpose", "material"), "image": ("palette", "shape")}.items():
        codes = np.stack([data.items[name].rank("dense").to_numpy() - 1 for name in factors], 1)
        ids = SemanticIds.from_codes(codes, item_ids=data.items["item_id"] if modality == "text" else None)
        found.append(tmp_path / f"ids_{modality}.{'parquet' if modality == 'text' else 'json'}")
        ids.save(found[-1])
    return found


def headings(page):
    return re.findall(r"<h2[^>]*>([^<]+)", page)


def test_the_page_has_all_views_where_items_have_texts_and_pictures(files, tmp_path, monkeypatch):
    monkeypatch.setattr(reasons, "umap_layouts", lambda vectors, **_: {
        name: (np.flatnonzero(found.present), found.values[found.present][:, :2]) for name, found in vectors.items()
    })  # fmt: skip
    out = tmp_path / "new" / "page.html"
    said: list[str] = []
    explore(files, "curio:tiny", out, say=said.append)
    page = out.read_text()
    assert said == [
        "text: matched by item id",
        "image: matched by row: the keys are 0 to 159, the rows of the 160 items",
    ]
    assert all(sentence in page for sentence in said)
    assert "160 items with both IDs" in page  # though one file calls them by id and the other by row
    assert headings(page) == [
        "The health of the IDs",
        "Which codes are used?",
        *[f"{what} ({name})" for name in ("text", "image") for what in
          ("The tree of codes", "What is inside a prefix?", "Which items share an ID?")],
        "Do text and image agree?",
        "Why does an item have its codes?",
        *[f"Map, codes and conflicts, linked ({name})" for name in ("text", "image")],
    ]  # fmt: skip
    assert "text, by text embeddings" in page and "image, by image embeddings" in page
    assert page.count("✓ chosen") >= 6 and "replaced by its centroid" in page
    assert len(page.encode()) < 12_000_000


def test_the_page_never_replaces_its_input_nor_what_is_no_page(files, tmp_path):
    before = files[0].read_bytes()
    (tmp_path / "items.csv").write_text("item_id,title\ni0,lamp\n")
    (tmp_path / "home.html").write_text("<!doctype html><title>my page</title>")
    for out, items in ((files[0], None), (tmp_path / "items.csv", str(tmp_path / "items.csv"))):
        with pytest.raises(DataError, match="this would replace what it is made from"):
            explore(files[:1], items, out)
    for out in (files[1], tmp_path / "items.csv", tmp_path / "home.html"):
        with pytest.raises(DataError, match="that macrec did not write; give another name, or remove it"):
            explore(files[:1], None, out)
    with pytest.raises(DataError, match="this is a folder; name a file"):
        explore(files[:1], None, tmp_path)
    assert files[0].read_bytes() == before and "my page" in (tmp_path / "home.html").read_text()
    explore(files[:1], None, tmp_path / "new.html")
    explore(files[1:], None, tmp_path / "new.html")  # its own pages it does


def test_without_items_the_page_says_what_is_missing(files, tmp_path):
    explore(files[:1], None, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "What is inside a prefix?" in headings(page) and "name them with --items" in page
    assert "needs texts or pictures of the items: name them" in page and "<i style=" not in page


def test_titles_alone_are_enough_for_stand_ins_and_ids_alone_are_not(files, data, tmp_path, monkeypatch):
    monkeypatch.setattr(reasons, "linked_items", lambda *_: "")
    monkeypatch.setattr(reasons, "umap_layouts", lambda *_, **__: {})
    data.items.select("item_id", "title").write_csv(tmp_path / "titles.csv")
    explore(files[:1], str(tmp_path / "titles.csv"), tmp_path / "page.html")
    assert ", by text embeddings" in (tmp_path / "page.html").read_text()
    data.items.select("item_id").write_csv(tmp_path / "bare.csv")
    explore(files[:1], str(tmp_path / "bare.csv"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "bare has 0 items with a text and 0 with a picture" in page and "embeddings" not in page


def test_large_catalogs_are_not_encoded(files, tmp_path, monkeypatch):
    monkeypatch.setattr(reasons, "MOST_ENCODED", 100)
    explore(files[:1], "curio:tiny", tmp_path / "page.html")
    assert (
        "Left out: curio-tiny has 160 items, and this page encodes at most 100" in (tmp_path / "page.html").read_text()
    )


def test_bad_input_is_named_and_leaves_no_page(files, tmp_path):
    pl.DataFrame({"item_id": ["x", "x", "y"], "codes": [[0]] * 3}).write_parquet(tmp_path / "twice.parquet")
    SemanticIds.from_codes(np.zeros((1, 1), int), item_ids=pl.Series(["x"])).save(tmp_path / "lost.parquet")
    out = tmp_path / "page.html"
    for given, what in [
        ([tmp_path / "gone.json"], "gone.json: there is no such file"),
        ([tmp_path / "twice.parquet"], 'twice.parquet, item "x": the item has two IDs'),
        ([tmp_path / "lost.parquet"], 'lost.parquet, field "item_id": the item "x" has a semantic ID and is not among'),
        ([files[0], files[0]], "A file of IDs is named twice"),
        ([files[0]] * 5, "There are 5 files of IDs; explore at most 4"),
    ]:
        with pytest.raises(DataError) as error:
            explore(given, "curio:tiny", out)
        assert what in str(error.value) and not out.exists()


def fails(*_, **__):
    raise DataError("the words are odd", fix="write others")


@pytest.mark.parametrize(
    ("module", "names", "lost"),
    [
        (room, ["codebook_health", "usage_heatmap", "code_tree_figure", "prefix_gallery", "conflict_explorer"], 5),
        (room, ["Gallery"], 1),
        (reasons, ["encoder_for"], 2),
        (reasons, ["nearest_code_centroids", "umap_layouts"], 2),
    ],
)
def test_a_page_loses_a_section_and_never_itself(files, tmp_path, monkeypatch, module, names, lost):
    monkeypatch.setattr(reasons, "umap_layouts", lambda *_, **__: {})
    monkeypatch.setattr(reasons, "linked_items", lambda *_: "")
    for name in names:
        monkeypatch.setattr(module, name, fails)
    explore(files[:1], "curio:tiny", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("left out: The words are odd; write others.") == lost
    assert len(headings(page)) == (6 if "encoder_for" in names else 7)


def test_an_input_is_not_replaced_by_the_page(files, data, tmp_path):
    data.items.select("item_id", "title").write_csv(tmp_path / "titles.csv")
    for out in (files[0], tmp_path / "x" / ".." / files[1].name, tmp_path / "titles.csv"):
        before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
        with pytest.raises(DataError, match="this would replace what it is made from"):
            explore(files, str(tmp_path / "titles.csv"), out)
        assert before == {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}


def test_codes_without_bounds_make_a_page_of_common_size(tmp_path):
    codes = np.array([[2**31 - 1, 1], [0, 0], [1_800_000_000, 1], [2**31 - 1, 1]])
    for name in ("one", "two"):
        SemanticIds.from_codes(codes).save(tmp_path / f"{name}.json")
    out = tmp_path / "page.html"
    explore([tmp_path / "one.json", tmp_path / "two.json"], None, out)
    assert "3\u00a0of\u00a02,147,483,648" in out.read_text() and "left out" not in out.read_text()


def test_a_gap_in_the_numbering_is_named_where_no_dataset_explains_it(files, tmp_path):
    (tmp_path / "gap.json").write_text('{"0": [1], "1": [2], "3": [4]}')
    with pytest.raises(DataError, match=r'gap.json: the items are numbered from 0, and "2" is missing'):
        explore([tmp_path / "gap.json"], None, tmp_path / "page.html")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/beauty_text.parquet", "a/beauty_image.parquet"], ["text", "image"]),
        (["text/ids.json", "image/ids.json"], ["text", "image"]),
        (["ids.json"], ["ids"]),
        (["ids.json", "ids_new.json"], ["ids", "new"]),
        (["x/a_b.json", "x/b_a.json"], ["a_b", "b_a"]),
    ],
)
def test_files_are_named_by_what_tells_them_apart(files, names):
    assert table_names([Path(file) for file in files]) == names


def test_the_informative_items_are_the_best_and_the_worst_of_their_codes_and_one_in_conflict():
    vectors = np.array([[0.0], [0.1], [5.0], [5.1], [4.9]])
    ids = SemanticIds.from_codes(np.array([[0, 0], [0, 1], [1, 2], [1, 2], [0, 2]]))
    sentence, chosen = informative_items(ids, vectors, np.ones(5, bool))
    # Items 2 and 3 lie 0.1 from each other and far from code 0; item 4 lies among them, and has code 0.
    assert list(chosen.values())[1:] == [4, 2]
    assert next(iter(chosen.values())) in (2, 3)
    assert "nearest of 2 for 80% of the items" in sentence


@pytest.mark.parametrize(
    ("ids", "items", "titles"),
    [
        (["beauty_letter"], "amazon_beauty_2014", 12_086),
        (["office_minionerec"], "amazon_office_2018_mini", 3_459),
        (["instruments_mql4grec_text", "instruments_mql4grec_image"], "amazon_instruments_2018/mql4grec", 0),
        (["instruments_lcrec_letter"], "amazon_instruments_2018/lcrec", 0),
    ],
)
def test_the_ids_of_three_peers_open_with_their_items(shared_data, tmp_path, monkeypatch, ids, items, titles):
    monkeypatch.setattr(room, "reasons_sections", lambda *_: None)  # encoding 12,000 texts is no unit test
    files = [shared_data / "published_sids" / f"{name}.parquet" for name in ids]
    explore(files, str(shared_data / items), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert f"{titles:,} titles" in page and len(page) < 12_000_000
    assert any("agree" in heading for heading in headings(page)) == (len(ids) > 1)
