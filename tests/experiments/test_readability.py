"""How much vectors and codes say: nothing where they are noise, everything where they are the attribute."""

import dataclasses

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.encoders import EmbeddingStore
from macrec.encoders.rq_dino import made
from macrec.errors import DataError
from macrec.experiments.readability import (
    Readable,
    attributes_of,
    linear_readability,
    one_hot,
    perplexities,
    readability_rows,
    readability_table,
)


def test_what_is_there_is_read_and_noise_is_not():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    codes = np.stack([labels, rng.integers(0, 9, 300)], 1)
    assert one_hot(codes).shape == (300, 13) and (one_hot(codes).sum(1) == 2).all()
    assert linear_readability(one_hot(codes), labels) == 1
    assert linear_readability(rng.standard_normal((300, 5)), labels) < 0.4
    some = np.where(np.arange(300) < 30, -1, labels)
    assert linear_readability(one_hot(codes), some) == 1 and np.isnan(linear_readability(one_hot(codes), labels * 0))
    assert perplexities(np.array([[0, 1], [0, 2], [0, 3], [0, 4]])) == pytest.approx([1, 4])
    rows = readability_rows([Readable("a", rng.standard_normal((300, 5)), codes)], {"shape": labels})
    assert [(row["pictures by"], row["read from"]) for row in rows] == [
        ("a", "vectors"), ("a", "codes"), ("most frequent", "nothing"),
    ]  # fmt: skip
    assert rows[1]["shape"] == 1 and len(rows[1]["perplexity"]) == 2
    assert rows[2]["shape"] == round(np.bincount(labels).max() / 300, 4)


def test_the_table_of_a_catalog(tmp_path):
    data = curio("tiny")
    options = "pixels=16,global_pixels=12,local_pixels=8,local_crops=0,width=8,prototypes=8,levels=2,codewords=8"
    table = readability_table(data, made(f"{options},steps=2,batch=64,warmup=0.5"), EmbeddingStore(tmp_path))
    assert table.columns == ["pictures by", "read from", "shape", "pattern", "palette", "category", "perplexity"]
    both = ["vectors", "codes"]
    assert table["read from"].to_list() == [*both, "codes", *both, *both, "nothing"]
    for name in ("shape", "category"):
        assert table[name].is_between(0, 1).all()


def test_attributes_are_those_of_the_catalog_or_its_categories():
    data = curio("tiny")
    rows = np.arange(10)
    assert [*attributes_of(data, rows)] == ["shape", "pattern", "palette", "category"]
    plain = dataclasses.replace(data, items=data.items.drop("shape", "pattern", "palette", "category"))
    assert [*attributes_of(plain, rows)] == ["category"]
    with pytest.raises(DataError, match="no item has an attribute"):
        attributes_of(dataclasses.replace(plain, items=plain.items.with_columns(categories=[])), rows)
