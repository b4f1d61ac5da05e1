"""Every generator works over every tokenizer, way to resolve conflicts and softmax that a parameter names."""

from pathlib import Path

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.encoders import Embeddings
from macrec.systems import Parameters, open_generator
from macrec.systems.registry import Context
from macrec.training import drain


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def embeddings(data):
    rng = np.random.default_rng(0)
    present = {"text": np.ones(data.num_items, bool), "image": data.images.present}
    return {
        name: Embeddings.from_values(
            name, "made", np.where(here[:, None], rng.standard_normal((len(here), 12)), 0).astype(np.float32), here
        )
        for name, here in present.items()
    }


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("TIGER (text)", {"tokenizer": "rkmeans", "conflicts": "digit"}),
        ("TIGER (image)", {"tokenizer": "opq", "softmax": "children"}),
        ("MQL4GRec", {"tokenizer": "rqvae", "quantizer": "ema", "conflicts": "hungarian"}),
        ("MQL4GRec", {"tokenizer": "rkmeans+", "backbone": "t5", "softmax": "vocabulary"}),
        ("MACRec", {"tokenizer": "cross-modal", "quantizer": "gumbel", "conflicts": "rank"}),
        ("MACRec", {"tokenizer": "rkmeans", "backbone": "t5", "implicit": "published"}),
    ],
)
def test_a_generator_learns_and_ranks_over_any_tokenizer(tmp_path: Path, data, embeddings, system, options):
    parameters = Parameters("smoke", levels=2, codewords=16, clusters=6, codebook_epochs=2, **options)
    split = data.split()
    context = Context(tmp_path, data, split, embeddings, parameters.settings(data.num_items))
    recommender = open_generator(context, system)
    recommender = recommender.with_steps(3)
    assert all(np.isfinite(event.losses["loss"]) for event in drain(recommender.fit(data, split)).events)
    ranking = recommender.recommend(split.test.take(np.arange(20)), 10)
    for items in ranking.items:
        named = items[items >= 0]
        assert len(np.unique(named)) == len(named) > 0
    levels = {ids.num_levels for ids in recommender.ids.tables(data, split).values()}
    assert levels == ({3} if options.get("conflicts") in ("digit", "rank") else {2})
