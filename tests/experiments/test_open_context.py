import pytest

from macrec.data import load_dataset
from macrec.experiments.open_context import TOKENIZING, open_context
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Parameters
from macrec.tokenizers import open_tokenizer
from macrec.tokenizers.kinds import tokenizers
from macrec.training import drain


@pytest.fixture(scope="module")
def data():
    return load_dataset("curio:tiny")


def test_parameters_that_files_of_ids_make_idle_are_named(data, tmp_path, capsys):
    rows = range(data.num_items)
    ids = SemanticIds.from_codes(
        [[row // 16, row % 16] for row in rows], sizes=(16, 16), item_ids=data.items["item_id"]
    )
    ids.save(tmp_path / "t.parquet")
    files = {"text": str(tmp_path / "t.parquet"), "image": ""}
    for given in ({}, {"tokenizer": "rkmeans", "levels": 3}):
        context = open_context(tmp_path, data, data.split(), Parameters("smoke", **given), {}, files)
        assert context.modalities == ("text",)
        said = capsys.readouterr().out
        assert ("Left out: tokenizer, levels, as the semantic IDs come from files." in said) == bool(given)
    assert set(TOKENIZING) <= set(Parameters.__dataclass_fields__)


@pytest.mark.parametrize("kind", tokenizers().values(), ids=tokenizers().keys())
def test_parameters_that_a_tokenizer_does_not_use_are_named(kind, data, tmp_path, capsys):
    changed = {"quantizer": "ema", "lambda_con": 0.5, "contrast": "prefix", "lambda_align": 0.5, "lambda_cf": 0.5}
    if kind.name == "ids":
        return  # needs files, and is said above
    encoders = {"text": "tfidf", "image": "hog-color"}
    open_context(tmp_path, data, data.split(), Parameters("smoke", tokenizer=kind.name), encoders)
    assert "does not use" not in capsys.readouterr().out
    open_context(tmp_path, data, data.split(), Parameters("smoke", tokenizer=kind.name, **changed), encoders)
    said = capsys.readouterr().out
    assert kind.idle == tuple(name for name in changed if name in kind.idle)
    assert (f"Left out: {', '.join(kind.idle)}, as the tokenizer {kind.name} " in said) == bool(kind.idle)


@pytest.mark.parametrize("kind", tokenizers().values(), ids=tokenizers().keys())
def test_what_is_idle_does_not_change_the_codes_and_what_is_not_does(kind, data, tmp_path):
    if kind.name == "ids":
        return
    split = data.split()
    context = open_context(tmp_path, data, split, Parameters("smoke"), {"text": "tfidf", "image": "hog-color"})

    def codes(**given):
        settings = Parameters("smoke", tokenizer=kind.name, codebook_epochs=2, **given).codebooks(data.num_items)
        tokenizer = open_tokenizer(tmp_path, data, context.embeddings, settings)
        drain(tokenizer.events())
        return tokenizer.ids()["text"].codes.tolist()

    plain = codes()
    for name, value in {"quantizer": "ema", "lambda_con": 0.5}.items():
        assert (codes(**{name: value}) == plain) == (name in kind.idle), name
