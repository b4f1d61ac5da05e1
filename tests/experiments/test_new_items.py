"""LIGER step by step: the beam, the same items ranked again, and the union with new items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from macrec.data import load_dataset
from macrec.data.split import item_counts
from macrec.errors import DataError
from macrec.experiments import encode_modalities
from macrec.experiments.compare_systems import compare_systems
from macrec.experiments.new_items import BEAM, RANKED, new_item_examples, steps_of_liger
from macrec.systems import Context, Parameters
from macrec.systems.registry import entry_of
from macrec.training import drain


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    data = load_dataset("curio:tiny(cold=0.1)")
    settings = Parameters("smoke", content=8, codewords=8, codebook_epochs=2, epochs=2).settings(data.num_items)
    settings = replace(settings, generator=replace(settings.generator, validate_users=20, measurements=1))
    embeddings = encode_modalities(data, {"text": "tfidf"})
    return Context(tmp_path_factory.mktemp("liger"), data, data.split(), embeddings, settings)


def test_every_step_is_of_one_training_and_the_last_has_more_new_items(context):
    (liger,) = entry_of("LIGER").systems(context).values()
    drain(liger.fit(context.data, context.split))
    steps = steps_of_liger(liger, context)
    assert list(steps) == [BEAM, RANKED, "LIGER"] == [system.name for system in steps.values()]
    results = compare_systems(lambda seed: steps, context.data, context.split, [0])
    assert steps[RANKED].ends[0].samples == liger.ends[0].samples  # its checkpoint, not a training of its own
    few = context.split.test.take(np.arange(20))
    beam, ranked, union = (system.recommend(few, 20) for system in steps.values())
    for row in range(20):  # the dense head orders what the beam has found
        assert set(beam.items[row]) == set(ranked.items[row])
    cold = item_counts(context.split, context.data.num_items) == 0
    assert cold[union.items].sum() > cold[ranked.items].sum()
    people, which, rankings, groups = new_item_examples(results, 4)
    assert len(people) == len(which) == 4 and list(rankings) == list(steps)
    assert groups["cold"].all() and cold[people.targets].all()
    ranks = results.evaluations["LIGER"].ranks
    if (hits := ranks[results.groups["cold"] & (ranks > 0)]).size:
        assert rankings["LIGER"].rank_of(people.targets)[0] == hits.min()


def test_a_liger_that_lacks_terms_is_refused(context):
    (system,) = entry_of("LIGER").systems(context, ("union",)).values()
    with pytest.raises(DataError, match="LIGER w/o union is not LIGER with all its terms; give LIGER"):
        steps_of_liger(system, context)
