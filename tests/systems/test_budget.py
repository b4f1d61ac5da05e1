"""Equal budgets and the control that fuses late: steps told beforehand, paces kept, fusion against its definition."""

from dataclasses import replace

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.data.ranking import Ranking
from macrec.errors import DataError
from macrec.evaluation.metrics import ndcg
from macrec.evaluation.validation import validation_users
from macrec.generation.fusion import fuse
from macrec.generation.tasks import code_tasks
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Generative, LateFusion, Parameters, Popularity
from macrec.systems.budget import PROBE, budget_of, effort, matched, pace
from macrec.tokenizers import GivenIds
from macrec.training import drain

GENERATOR = replace(Parameters("smoke", backbone="t5", beams=12).generator(), validate_users=20, measurements=2)


@pytest.fixture(scope="module")
def data():
    return curio("tiny", num_items=80, num_users=30)


@pytest.fixture(scope="module")
def split(data):
    return data.split()


def generator(folder, data, *modalities, settings=GENERATOR):
    rng = np.random.default_rng(0)
    ids = {
        name: SemanticIds.from_codes(
            np.stack(np.unravel_index(rng.permutation(125)[: data.num_items], (5, 5, 5)), 1),
            tuple(f"{name}_{letter}" for letter in "abc"),
            (5, 5, 5),
            data.items["item_id"],
        )
        for name in modalities
    }
    name = " and ".join(modalities)
    return Generative(name, folder, GivenIds(ids), code_tasks(modalities), settings)


@pytest.fixture(scope="module")
def fused(tmp_path_factory, data, split):
    """Two generators over a modality each, trained apart."""
    folder = tmp_path_factory.mktemp("late")
    late = LateFusion([generator(folder, data, name) for name in ("text", "image")])
    return late, drain(late.fit(data, split)).events


def test_the_steps_of_a_training_are_known_before_it(tmp_path, data, split):
    for modalities in (("text",), ("text", "image")):
        system = generator(tmp_path, data, *modalities)
        assert system.steps(data, split) == system.new_training(data, split).plan().steps
    other = system.with_steps(3)
    assert other.steps(data, split) == 3 and system.steps(data, split) != 3
    assert drain(other.fit(data, split)).events[-1].step == 3
    with pytest.raises(RuntimeError):  # the one that was copied is not trained
        system.recommend(split.test, 5)


def test_a_budget_is_what_the_reference_takes(tmp_path, data, split, monkeypatch):
    small, large = generator(tmp_path, data, "text"), generator(tmp_path, data, "text", "image")
    assert large.steps(data, split) > 3 * small.steps(data, split)
    assert matched(small, large, "epochs", data, split) is small
    assert matched(large, large, "seconds", data, split) is large
    assert matched(small, large, "steps", data, split).steps(data, split) == large.steps(data, split)
    monkeypatch.setattr("macrec.systems.budget.pace", lambda system, *_: {"text": 0.1}.get(system.name, 0.3))
    found = matched(small, large, "seconds", data, split)
    assert found.steps(data, split) == 3 * large.steps(data, split) and found.name == small.name


def test_a_pace_is_measured_once_and_kept(tmp_path, data, split, monkeypatch):
    system = generator(tmp_path, data, "text")
    found = pace(system, data, split)
    assert 0 < found < 60
    monkeypatch.setattr("macrec.systems.budget.train", lambda *_: pytest.fail("measured again"))
    assert pace(generator(tmp_path, data, "text"), data, split) == found
    (file,) = (tmp_path / "paces").iterdir()
    for wrong in ("{}", '{"cpu_seconds_per_step": -1}', "half"):
        file.write_text(wrong)
        with pytest.raises(DataError, match="pace cannot be read"):
            pace(system, data, split)


def test_a_pace_is_the_median_of_steps(tmp_path, data, split, monkeypatch):
    system = generator(tmp_path, data, "text")
    spent = np.cumsum([9.0, *[1.0] * (PROBE - 2), 100.0])  # the first and the last step are slow
    monkeypatch.setattr("macrec.systems.budget.train", lambda *_: [ProgressSink(seconds) for seconds in spent])
    assert pace(system, data, split) == 1.0


class ProgressSink:
    def __init__(self, seconds):
        self.cpu_seconds = seconds


def test_another_budget_is_one_clear_sentence():
    assert [budget_of(name) for name in ("epochs", "steps", "seconds")] == ["epochs", "steps", "seconds"]
    with pytest.raises(DataError, match='no budget "minutes"; choose one of epochs, steps, seconds'):
        budget_of("minutes")


def test_late_fusion_ranks_by_the_mean_of_both_scores_of_what_either_has_found(fused, data, split):
    late, _ = fused
    weights = late.options.weights
    samples = split.test.take(np.arange(8))
    every = {}  # the scores of all items, by each generator alone
    for part in late.parts:
        (task,) = [task.name for task in part.tasks]
        every[part.name] = part.decoder.exact_scores(samples, task).astype(float)
    found = late.recommend(samples, 5)
    beams = [part.recommend(samples, 12).items for part in late.parts]
    for row in range(len(samples)):
        candidates = sorted({*beams[0][row], *beams[1][row]})
        score = sum(w * every[part.name][row, candidates] for w, part in zip(weights, late.parts, strict=True))
        order = np.argsort(-score, kind="stable")[:5]
        np.testing.assert_allclose(found.scores[row], score[order], rtol=1e-4)
        assert found.items[row].tolist() == [candidates[place] for place in order]


def test_late_fusion_weighs_its_parts_by_validation_users(fused, data, split):
    late, _ = fused
    asked = validation_users(split, GENERATOR.validate_users, GENERATOR.recipe.seed)
    rankings = late.rankings(asked, 10)

    def reached(weights):
        return ndcg(fuse(rankings, "union_rescore", 10, weights).rank_of(asked.targets), 10)

    assert reached(late.options.weights) >= max(reached(other) for other in ((1, 0), (0.5, 0.5), (0, 1))) - 1e-12


def test_late_fusion_finds_the_trainings_of_its_parts_and_tells_what_they_took(fused, data, split):
    late, events = fused
    again = LateFusion(late.parts)
    replayed = drain(again.fit(data, split)).events
    assert replayed == events
    np.testing.assert_array_equal(again.recommend(split.test, 5).items, late.recommend(split.test, 5).items)
    samples = sum(len(part.training.samples) for part in late.parts)
    steps = sum(part.training.plan().steps for part in late.parts)
    assert effort(late) | {"cpu_seconds": 0} == {"samples": samples, "steps": steps, "cpu_seconds": 0}
    assert effort(late)["cpu_seconds"] == round(sum(part.ends[0].cpu_seconds for part in late.parts), 1)
    assert effort(Popularity()) == {"samples": 0, "steps": 0, "cpu_seconds": 0}


def test_late_fusion_masks_what_was_seen(fused, data, split):
    late, _ = fused
    found = late.recommend(split.test, 5, mask_seen=True)
    assert isinstance(found, Ranking)
    for row in range(len(split.test)):
        assert not set(found.items[row].tolist()) & set(split.test.history(row).tolist())
