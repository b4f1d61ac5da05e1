"""Implicit alignment: the mean over what is there, pairs of one item, and the pairs of the published code."""

import numpy as np
import pytest
import torch

from macrec.generation.implicit import implicit_alignment, misaligned, pooled
from macrec.tokenizers.contrastive import info_nce

TABLE = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))


def look_up(tokens, mask):
    """An encoder without context."""
    return TABLE[tokens]


def ids(rows, levels, seed):
    tokens = torch.randint(0, 20, (rows, levels), generator=torch.Generator().manual_seed(seed))
    return tokens, torch.ones(rows, levels, dtype=torch.bool)


def test_the_mean_leaves_out_what_the_mask_hides():  # T11
    states = torch.tensor([[[1.0, 2], [3, 4], [5, 6], [100, 100]]])
    mask = torch.tensor([[True, True, True, False]])
    assert pooled(lambda tokens, mask: states, torch.zeros(1, 4), mask).tolist() == [[3.0, 4.0]]
    assert pooled(lambda tokens, mask: states, torch.zeros(1, 4), ~mask).tolist() == [[100.0, 100.0]]


@pytest.mark.parametrize("levels", [(4, 4), (3, 5), (5, 3)])
def test_pairs_are_those_of_the_same_row_whatever_the_lengths(levels):
    first, second = ids(7, levels[0], 1), ids(7, levels[1], 2)
    found = implicit_alignment(look_up, first, second, 0.3)
    expected = info_nce(TABLE[first[0]].mean(1), TABLE[second[0]].mean(1), 0.3)
    torch.testing.assert_close(found, expected)


def test_the_order_of_the_items_does_not_matter_but_their_pairing_does():  # T24
    first, second = ids(7, 4, 1), ids(7, 4, 2)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(3))
    turned = [tuple(part[order] for part in side) for side in (first, second)]
    plain = implicit_alignment(look_up, first, second)
    torch.testing.assert_close(implicit_alignment(look_up, *turned), plain)
    assert abs(float(implicit_alignment(look_up, first, turned[1]) - plain)) > 1e-3


def test_the_published_pairs_number_the_anchors_anew():  # T11: rows 1 and 3 are held against candidates 0 and 1
    candidates = torch.randn(4, 6, generator=torch.Generator().manual_seed(4))
    anchors = candidates[[1, 3]]
    cosine = torch.nn.functional.normalize(anchors, dim=1) @ torch.nn.functional.normalize(candidates, dim=1).T
    log_p = (cosine / 0.1).log_softmax(1).numpy()
    assert float(misaligned(anchors, candidates)) == pytest.approx(-np.mean([log_p[0, 0], log_p[1, 1]]), abs=1e-5)
    right = -np.mean([log_p[0, 1], log_p[1, 3]])
    assert float(misaligned(anchors, candidates)) > right + 0.1
