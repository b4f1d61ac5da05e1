"""One user with 10,000 events among ordinary ones: everybody learns from them, and nobody else's ranking changes."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from macrec.data import from_events
from macrec.generation.tasks import code_tasks
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Generative, ItemKNN, Markov, Parameters, SASRec, SASRecRecipe
from macrec.tokenizers import GivenIds
from macrec.training import drain

ITEMS, MET = 200, 150
LONG = 10_000


@pytest.fixture(scope="module")
def data():
    """The last user has met the first 150 items again and again, the others some of them."""
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, MET, 8) for _ in range(12)] + [rng.integers(0, MET, LONG)]
    events = [(f"u{user}", f"i{item}") for user, items in enumerate(histories) for item in items]
    return from_events(
        "long",
        pl.DataFrame(events, schema=["user_id", "item_id"], orient="row"),
        pl.DataFrame({"item_id": [f"i{item}" for item in range(ITEMS)]}),
        events_file="events",
        items_file="items",
    )


def generator(folder, data):
    rng = np.random.default_rng(0)
    codes = np.stack(np.unravel_index(rng.permutation(216)[:ITEMS], (6, 6, 6)), 1)
    ids = {"text": SemanticIds.from_codes(codes, ("a", "b", "c"), (6, 6, 6), data.items["item_id"])}
    settings = replace(Parameters("smoke", backbone="t5", beams=20).generator(), measurements=1, validate_users=5)
    settings = replace(settings, recipe=replace(settings.recipe, steps=3))
    return Generative("generator", folder, GivenIds(ids), code_tasks(("text",)), settings)


@pytest.mark.parametrize("name", ["generator", "SASRec", "Markov-1", "item-kNN"])
def test_a_history_of_ten_thousand_events_is_learned_from_and_answered(data, tmp_path, name):
    split = data.split()
    system = {
        "generator": lambda: generator(tmp_path, data),
        "SASRec": lambda: SASRec(SASRecRecipe(width=8, layers=1, epochs=1, batch=256)),
        "Markov-1": Markov,
        "item-kNN": ItemKNN,
    }[name]()
    events = drain(system.fit(data, split)).events
    if name == "SASRec":
        assert events[-1].samples == len(split.train) > LONG - 3  # each target once
    for masked in (False, True):
        together = system.recommend(split.test, 5, masked)
        others = system.recommend(split.test.take(np.arange(12)), 5, masked)
        np.testing.assert_array_equal(together.items[:12], others.items)
        assert together.items.shape == (13, 5)
    assert set(together.items[-1].tolist()) <= {-1, *range(MET, ITEMS)}
