"""The pieces of DINO against numbers computed by hand, and what crops are of a picture."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from macrec.encoders.distillation.collapse import check_codes
from macrec.encoders.distillation.crops import hue_turns, multi_crop, recolored, whole, windows
from macrec.encoders.distillation.dino import (
    distillation_loss,
    entropy_of_mean,
    follow,
    momentum_at,
    moved_center,
    pairs,
    teacher_probabilities,
)
from macrec.encoders.distillation.neighbors import neighbor_accuracy
from macrec.encoders.distillation.recipe import DistillationRecipe, of_options
from macrec.errors import DataError
from macrec.quantization.quantizers.ema import EMAQuantizer

STUDENT, TEACHER = torch.tensor([1.0, 0.5, -0.5]), torch.tensor([2.0, 1.0, 0.0])
PLAIN = {"mirror": 0.0, "brightness": 0.0, "contrast": 0.0, "gray": 0.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def loss(center, teacher_temperature, student_temperature):
    """Of one teacher's view and one other view of one picture."""
    said = teacher_probabilities(TEACHER, torch.tensor(center), teacher_temperature)
    views = torch.stack([torch.zeros(3), STUDENT])[:, None]  # the first is the teacher's own, and not learned from
    return said, distillation_loss(views, said[None, None], student_temperature).item()


@pytest.mark.parametrize(
    ("center", "temperatures", "expected"),
    [
        ([0.5, 0.5, 0.5], (0.04, 0.1), 0.006716),
        ([1.0, 0.0, 0.0], (0.04, 0.1), 2.506716),
        ([0.5, 0.5, 0.5], (1.0, 1.0), 0.861541),
        ([1.0, 0.0, 0.0], (1.0, 1.0), 1.048334),
    ],
)
def test_the_loss_of_one_pair(center, temperatures, expected):
    assert loss(center, *temperatures)[1] == pytest.approx(expected, abs=1e-6)


def test_the_center_is_taken_off_and_an_even_one_changes_nothing():
    torch.testing.assert_close(loss([0.5] * 3, 0.04, 0.1)[0], torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(loss([1.0, 0, 0], 0.04, 0.1)[0], torch.tensor([0.5, 0.5, 0]), atol=1e-6, rtol=0)
    for even in (-3.0, 0.0, 7.0):
        torch.testing.assert_close(loss([even] * 3, 1.0, 1.0)[0], loss([0.0] * 3, 1.0, 1.0)[0])


def test_what_moves_slowly():
    center = moved_center(torch.full((3,), 0.5), torch.stack([TEACHER + 1, TEACHER - 1])[None], 0.9)
    torch.testing.assert_close(center, torch.tensor([0.65, 0.55, 0.45]))
    shares = [momentum_at(step, 4, 0.996) for step in (0, 1, 2, 4)]
    assert shares == pytest.approx([0.996, 0.996586, 0.998, 1.0], abs=1e-6)
    teacher, student = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.constant_(teacher.weight, 2.0)
    nn.init.constant_(student.weight, 3.0)
    follow(teacher, student, 0.996)
    assert teacher.weight.item() == pytest.approx(2.004, abs=1e-6)


def test_a_view_is_not_compared_with_itself():
    assert int(pairs(2, 10).sum()) == 18
    assert pairs(2, 3).tolist() == [[False, True, True], [True, False, True]]
    student, said = torch.randn(4, 5, 6, generator=generator()), torch.rand(2, 5, 6, generator=generator(1))
    said /= said.sum(-1, keepdim=True)
    one_by_one = [
        -(said[u, b] * (student[v, b] / 0.1).log_softmax(0)).sum()
        for u in range(2) for v in range(4) if u != v for b in range(5)
    ]  # fmt: skip
    assert distillation_loss(student, said, 0.1).item() == pytest.approx(torch.stack(one_by_one).mean().item(), 1e-5)


def test_codewords_follow_the_mean_of_their_residuals():
    def stepped(decay):
        quantizer = EMAQuantizer((2,), 2, decay=decay)
        quantizer.mean_count_0.copy_(torch.tensor([4.0, 2.0]))
        quantizer.mean_sum_0.copy_(torch.tensor([[4.0, 0.0], [0.0, 2.0]]))
        quantizer.codebooks[0].copy_(torch.eye(2))
        quantizer.observe(quantizer(torch.tensor([[1.2, 0.0], [0.8, 0.2], [0.0, 1.4]])))
        return quantizer.mean_count_0, quantizer.codebooks[0]

    with torch.no_grad():
        slow, quick = stepped(0.99), stepped(0.5)
    torch.testing.assert_close(slow[0], torch.tensor([3.98, 1.99]))
    torch.testing.assert_close(slow[1], torch.tensor([[1.000001, 0.000503], [0, 1.002008]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(quick[0], torch.tensor([3.0, 1.5]))
    torch.testing.assert_close(quick[1], torch.tensor([[1.000001, 0.033333], [0, 1.133331]]), atol=1e-5, rtol=0)


# -------------------------------------------------------------------------------------------------------- crops


@given(st.integers(0, 10**6), st.floats(0.05, 0.9), st.floats(0, 0.1), st.floats(0, 1), st.floats(1, 2))
def test_windows_lie_within_the_picture_and_show_no_more_than_they_may(seed, least, more, mirror, aspect):
    recipe = DistillationRecipe(mirror=mirror, aspect=aspect)
    theta = windows(50, least, least + more, recipe, generator(seed))
    corners = theta @ torch.tensor([[-1.0, 1, -1, 1], [-1, -1, 1, 1], [1, 1, 1, 1]])
    assert corners.abs().max() <= 1 + 1e-5
    area = (theta[:, 0, 0] * theta[:, 1, 1]).abs()
    assert area.max() <= least + more + 1e-5
    # Only a window that is cut to the width or the height of the picture may show less.
    cut = (theta[:, 0, 0].abs() == 1) | (theta[:, 1, 1] == 1)
    assert (area[~cut] >= least - 1e-5).all()
    assert (theta[:, 1, 1] > 0).all() and (mirror < 1 or (theta[:, 0, 0] < 0).all())


def test_crops_have_their_sizes_and_come_of_their_own_picture_alone():
    recipe = DistillationRecipe(pixels=20, global_pixels=10, local_pixels=6, local_crops=3, **PLAIN)
    pictures = torch.rand(4, 3, 20, 20, generator=generator())
    whole_ones, parts = multi_crop(pictures, recipe, generator(5))
    assert whole_ones.shape == (2, 4, 3, 10, 10) and parts.shape == (3, 4, 3, 6, 6)
    changed = pictures.clone()
    changed[2] = 0
    again = multi_crop(changed, recipe, generator(5))
    for before, after in zip((whole_ones, parts), again, strict=True):
        assert torch.equal(before[:, [0, 1, 3]], after[:, [0, 1, 3]]) and not after[:, 2].any()
    assert not torch.equal(whole_ones[0], whole_ones[1])


def test_a_crop_of_everything_is_the_picture_and_mirrored_it_is_its_mirror_image():
    pictures = torch.rand(2, 3, 8, 8, generator=generator())
    torch.testing.assert_close(whole(pictures, 8), pictures)
    sizes = {"pixels": 8, "global_pixels": 8, "local_pixels": 4, "local_crops": 0, "global_least": 1.0}
    given = DistillationRecipe(**sizes | PLAIN)
    # A window of the whole area at an aspect other than 1 is cut to the sides of the picture: the wider side stays.
    shown = windows(40, 1.0, 1.0, DistillationRecipe(mirror=1.0, aspect=1.5), generator())
    assert (torch.maximum(-shown[:, 0, 0], shown[:, 1, 1]) == 1).all() and shown[:, 1, 1].min() < 0.9
    square = windows(40, 0.2, 0.5, DistillationRecipe(), generator())
    assert torch.equal(square[:, 0, 0].abs(), square[:, 1, 1])
    assert multi_crop(pictures, given, generator()).shown_part.shape == (0, 2, 3, 4, 4)


def test_colors_change_by_crop_and_hue_only_if_asked():
    crops = torch.rand(6, 3, 5, 5, generator=generator()) * 0.4 + 0.3
    assert torch.allclose(recolored(crops, DistillationRecipe(**PLAIN), generator()), crops, atol=1e-6)
    changed = recolored(crops, DistillationRecipe(gray=0.0), generator())
    assert changed.min() >= 0 and changed.max() <= 1 and not torch.allclose(changed, crops, atol=0.01)
    # Without a turn of the hue, the channel that is largest stays the largest.
    inside = ((changed > 0) & (changed < 1)).all(1)
    assert torch.equal(changed.argmax(1)[inside], crops.argmax(1)[inside])
    gray = recolored(crops, DistillationRecipe(**PLAIN | {"gray": 0.5}), generator())
    is_gray = (gray.amax(1) - gray.amin(1)).flatten(1).amax(1) < 1e-6
    assert 0 < is_gray.sum() < len(crops) and torch.allclose(gray[~is_gray], crops[~is_gray], atol=1e-6)
    turns = hue_turns(torch.tensor([0.0, 0.3, 1.0]))
    torch.testing.assert_close(turns[0], torch.eye(3))
    torch.testing.assert_close(turns[2], torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(turns[1] @ turns[1].T, torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(turns[1] @ torch.ones(3), torch.ones(3), atol=1e-5, rtol=0)  # gray stays gray
    assert not torch.allclose(recolored(crops, DistillationRecipe(hue=0.5, **PLAIN), generator()), crops, atol=0.01)


# ------------------------------------------------------------------------------------------- rules, labels, settings


def test_a_collapse_is_named_and_health_is_not():
    healthy = {"teacher_entropy": 3.0, "perplexity/image/0": 30.0, "perplexity/image/1": 9.0}
    check_codes(healthy, 256, (64, 64), 1000)
    with pytest.raises(DataError, match=r"collapsed \(the perplexity of level 1 is 7\.9, below 8\.0\)"):
        check_codes(healthy | {"perplexity/image/1": 7.9}, 256, (64, 64), 1000)
    with pytest.raises(DataError, match=r"the entropy of the teacher is 0\.90 nats, below 1\.00"):
        check_codes(healthy | {"teacher_entropy": 0.9}, 256, (64, 64), 1000)
    # With 16 pictures no level can be used as evenly as that; with 8 prototypes no teacher can be so undecided.
    check_codes(healthy | {"perplexity/image/1": 2.5}, 256, (64, 64), 16)
    check_codes({"teacher_entropy": math.log(8) / 4}, 8, (64,), 1000)


def test_the_entropy_of_the_mean_is_low_only_where_all_are_alike():
    sorted_in_two = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    assert entropy_of_mean(sorted_in_two) == pytest.approx(math.log(2))
    assert entropy_of_mean(sorted_in_two[:1].repeat(5, 1)) == pytest.approx(0)


def test_neighbors_agree_where_labels_are_clusters():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    vectors = torch.eye(3)[labels] + 0.1 * torch.randn(60, 3, generator=rng)
    assert neighbor_accuracy(vectors.numpy(), labels.numpy()) == 1
    unknown = torch.where(torch.arange(60) < 3, -1, labels).numpy()
    assert neighbor_accuracy(vectors.numpy(), unknown) == 1
    chance = neighbor_accuracy(torch.randn(600, 8, generator=rng).numpy(), (torch.arange(600) % 3).numpy())
    assert 0.25 < chance < 0.42


def test_settings_are_read_as_they_are_written():
    recipe = of_options({"steps": "20", "quantize": "both", "hue": "0.1"})
    assert (recipe.steps, recipe.quantize, recipe.hue) == (20, "both", 0.1) and DistillationRecipe().spec == ""
    assert of_options(dict(part.split("=") for part in recipe.spec.split(","))) == recipe
    for wrong, message in (
        ({"step": "1"}, "no setting step"), ({"steps": "1.5"}, "steps must be a whole number"),
        ({"steps": "0"}, "above 0"), ({"quantize": "teacher"}, "one of student, both, none"),
        ({"momentum": "2"}, "from 0 to 1"), ({"local_least": "0.9"}, "must rise"), ({"warmup": "0.99"}, "at most 1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            of_options(wrong)
