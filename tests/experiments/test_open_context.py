import pytest

from macrec.data import load_dataset
from macrec.experiments.open_context import TOKENIZING, open_context
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Parameters


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
