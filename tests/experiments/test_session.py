"""The first cells of a notebook: how much of a dataset is taken, and the modalities there are."""

from dataclasses import replace

import numpy as np
import pytest

from macrec.data.cold import hold_out_items
from macrec.data.curio import curio
from macrec.data.dataset import Dataset, item_table
from macrec.data.formats.parquet_save import save_parquet
from macrec.data.histories import Histories
from macrec.data.images import NoImages
from macrec.data.split import item_counts
from macrec.errors import DataError, NotApplicable
from macrec.experiments import built_in_note, encode_modalities, modality_specs, open_dataset, shown_modality
from macrec.experiments.open_context import open_context
from macrec.experiments.session import AUTO, affordable
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import PROFILES, Parameters, open_generator
from macrec.systems.registry import systems

ENCODERS = {"text": "tfidf", "image": "hog-color"}
NO_FILES = {"text": "", "image": ""}


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def texts(data):
    """The same without pictures."""
    return replace(data, images=NoImages(data.num_items))


@pytest.fixture(scope="module")
def pictures(data):
    """The same without texts."""
    return Dataset("pictures", bare(data), data.histories, data.user_ids, data.images, "made")


@pytest.fixture(scope="module")
def numbers(data):
    """Ids alone."""
    return Dataset("numbers", bare(data), data.histories, data.user_ids, NoImages(data.num_items), "made")


def bare(data):
    return item_table(data.items.select("item_id"), file="made")


def of_lengths(*lengths):
    """A dataset of one item whose users have so many events."""
    items = item_table(curio("tiny").items.head(1).select("item_id"), file="made")
    histories = Histories.from_lists([[0] * length for length in lengths])
    return Dataset("made", items, histories, curio("tiny").user_ids.head(len(lengths)), NoImages(1), "made")


@pytest.mark.parametrize("purpose", ["tour", "train", "count"])
@pytest.mark.parametrize("profile", PROFILES)
def test_no_notebook_takes_a_part_of_the_catalog_it_is_made_for(profile, purpose, capsys):
    size = {"tour": {"smoke": "curio:tiny", "demo": "curio:small"}.get(profile, "curio:small")}.get(purpose, "curio")
    found = open_dataset(size, profile, purpose=purpose)
    assert "of" not in found.name and capsys.readouterr().out == ""


def test_of_large_data_a_part_is_taken_and_named_unless_told_otherwise(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PROFILES, "demo", replace(PROFILES["demo"], most_users=100, most_events=10_000))
    part = open_dataset("curio:tiny", "demo")
    assert part.num_users == 100 and part.name.endswith("(100 of 400 users)")
    said = "Left out: 300 of 400 users, as profile=demo takes 100 at random; sample_users=0 takes all.\n"
    assert capsys.readouterr().out == said
    assert open_dataset("curio:tiny", "demo", users=0).num_users == 400
    assert open_dataset("curio:tiny", "demo", users=7).num_users == 7
    assert open_dataset("curio:tiny", "paper").num_users == 400
    assert open_dataset("curio:tiny", "demo", purpose="tour").num_users == 30
    with pytest.raises(DataError, match="-2 cannot be used"):
        open_dataset("curio:tiny", "demo", users=AUTO - 1)


def test_a_share_of_the_items_can_be_held_out(tmp_path, data):
    folder = str(save_parquet(data, tmp_path / "copy"))
    held = open_dataset(folder, "smoke", users=100, held_out=0.1)
    expected, cold = hold_out_items(open_dataset(folder, "smoke", users=100), 0.1)
    assert held.fingerprint == expected.fingerprint and f"{cold.sum()} of {held.num_items} items held out" in held.name
    split = held.split()
    counts = item_counts(split, held.num_items)
    assert not counts[cold].any() and cold[split.test.targets].any()
    for wrong in (-0.1, 1.0, 1e-6):
        with pytest.raises(DataError, match=r'"held_out".*a share of .* cannot be held out'):
            open_dataset(folder, "smoke", held_out=wrong)


def test_as_many_users_are_taken_as_events_allow():
    data = of_lengths(*[10] * 200)
    assert affordable(data, 0, 200, 2_000) == 0  # all of them
    assert affordable(data, 0, 150, 2_000) == 150
    assert affordable(data, 0, 200, 1_999) == 190  # in round numbers
    assert affordable(data, 0, 200, 1_239) == 120
    assert affordable(data, 0, 200, 45) == 4
    assert affordable(data, 5, 200, 1_239) == 0  # the five newest of each are 1,000 events
    assert affordable(of_lengths(1_000, 1_000), 0, 5, 10) == 1  # never nobody


def test_what_was_taken_is_a_part_of_what_a_larger_number_takes(data, tmp_path):
    folder = str(save_parquet(data, tmp_path / "copy"))
    few, more = (set(open_dataset(folder, "smoke", users=users).user_ids) for users in (20, 50))
    assert few < more


def test_a_modality_that_is_not_there_is_left_out_and_said(texts, pictures, capsys):
    assert set(encode_modalities(texts, ENCODERS)) == {"text"}
    assert capsys.readouterr().out == "Left out: image, as none of the items have a picture.\n"
    assert set(encode_modalities(pictures, ENCODERS)) == {"image"}
    assert capsys.readouterr().out == "Left out: text, as none of the items have a text.\n"


def test_advice_names_the_parameter_that_helps(texts, numbers, tmp_path):
    with pytest.raises(NotApplicable, match=r"have a picture, where 2 modalities are needed .* image_encoder=npy:FILE"):
        encode_modalities(texts, ENCODERS, least=2)
    with pytest.raises(
        NotApplicable,
        match=r"^numbers: none of the items have a text and none .* a picture, where 1 modality",
    ):
        encode_modalities(numbers, ENCODERS)
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((160, 5)).astype(np.float32))
    vectors = f"npy:{tmp_path / 'v.npy'}"
    assert set(encode_modalities(texts, modality_specs("tfidf", vectors), least=2)) == {"text", "image"}
    assert set(encode_modalities(numbers, modality_specs(vectors, "hog-color"))) == {"text"}


def test_the_modality_that_is_there_is_shown_for_one_that_is_not(data, texts, capsys):
    both, one = encode_modalities(data, ENCODERS), encode_modalities(texts, ENCODERS)
    capsys.readouterr()
    assert [shown_modality(name, both) for name in ("text", "image")] == ["text", "image"]
    assert capsys.readouterr().out == ""
    assert shown_modality("image", one) == "text"
    assert capsys.readouterr().out == "Shown is text, as there are no image embeddings.\n"
    with pytest.raises(DataError, match='there is no modality "sound"; choose one of text, image'):
        shown_modality("sound", one)


def test_words_about_the_built_in_catalog_stand_beside_no_other_data(data, numbers, capsys):
    built_in_note(numbers, "a shop of lamps")
    assert capsys.readouterr().out == ""
    built_in_note(curio("tiny", hidden=1), "a shop whose pictures tell all that texts do not")
    assert capsys.readouterr().out == ""
    built_in_note(data, "a shop of lamps")
    assert "Markdown" in capsys.readouterr().out


SIMPLE = ["popularity", "Markov-1", "item-kNN", "transition graph", "SASRec"]


def made_ids(data, path):
    codes = np.stack(np.unravel_index(np.arange(data.num_items), (13, 13)), 1)
    SemanticIds.from_codes(codes, item_ids=data.items["item_id"]).save(path)
    return str(path)


def opened(data, folder, files=NO_FILES):
    return open_context(folder, data, data.split(), Parameters("smoke"), ENCODERS, files)


def test_with_one_modality_macrec_is_tiger(texts, tmp_path, capsys):
    context = opened(texts, tmp_path)
    capsys.readouterr()
    assert open_generator(context, "MACRec").name == "TIGER (text)"
    assert capsys.readouterr().out == "Left out: MACRec, as it needs two modalities; TIGER replaces it.\n"


def test_ids_alone_are_evaluated_and_published_ids_add_generators(numbers, tmp_path):
    context = opened(numbers, tmp_path)
    assert context.modalities == () and [*systems(context)] == SIMPLE
    with pytest.raises(NotApplicable, match=r"^numbers: TIGER needs a modality; .* text_ids=FILE or image_ids=FILE, "):
        open_generator(context, "MACRec")
    files = {name: made_ids(numbers, tmp_path / f"{name}.parquet") for name in ENCODERS}
    context = opened(numbers, tmp_path, files)
    assert not context.embeddings and context.modalities == ("text", "image")
    generators = ["TIGER (text)", "TIGER (image)", "TIGERs fused late", "MQL4GRec", "MACRec"]
    assert [*systems(context)] == [*SIMPLE, *generators, "MACRec with dense head", "MSCGRec"]
    assert open_generator(context, "MACRec").ids.ids == context.given
    one = opened(numbers, tmp_path, files | {"image": ""})
    assert [*systems(one)] == [*SIMPLE, "TIGER (text)", "MSCGRec"]
