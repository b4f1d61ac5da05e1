"""The softmax over the codes that can follow, in training and in search: the toys of MSCGRec's specification."""

import math

import numpy as np
import pytest
import torch

from macrec.data import Histories, leave_one_out
from macrec.generation.batches import CodeTables, TokenBatch
from macrec.generation.beam import beam_search
from macrec.generation.causal import CausalGenerator, CausalGeneratorConfig
from macrec.generation.next_code import branching
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import CodeTask
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.generation.trie import CodeTrie
from macrec.models.causal import CausalConfig
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds

# T1: items A to F, and logits of the first code, and of the second by the first.
CODES = [(0, 0), (0, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
IDS = SemanticIds.from_codes(np.array(CODES), ("a", "b"), (3, 3))
FIRST, SECOND = [1.0, 0.0, -1.0], [[0.5, 0.2, 2.0], [3.0, 0.0, -1.0], [0.0, 1.0, 0.5]]
FULL = [2.235779, 2.535779, 5.473490, 4.087876, 3.087876, 3.587876]
CONSTRAINED = [0.961961, 1.261961, 1.407606, 4.087876, 3.087876, 3.587876]


class Given:
    """A head whose logits stand in a table: row 0, or the row of the code before, which is its word's place."""

    def __init__(self, table):
        self.table = table

    def logits(self, states, prefix, codebook):
        rows = torch.zeros(len(states), dtype=torch.long) if prefix is None else prefix.argmax(1)
        return self.table[rows]


def losses_of_causal(logits, normalize, ids=IDS):
    config = CausalGeneratorConfig(CausalConfig(width=4, layers=1, heads=1, feed_forward=4), head_units=4)
    made = CausalGenerator({"text": ids}, None, config)
    with torch.no_grad():
        made.codebooks.zero_()
        made.codebooks[0, : ids.sizes[0], : ids.sizes[0]] = torch.eye(ids.sizes[0])
    made.heads.slots = lambda: [Given(table) for table in logits]
    items = torch.arange(len(ids))
    return made.losses(torch.zeros(len(ids), 4), items, [CodeTrie.of(ids)], normalize)[0]


def losses_of_t5(logits, normalize):
    tables = CodeTables({"text": IDS}, [CodeTask("text", "text", "sequence")])
    module = T5Generator(len(tables.vocabulary), T5Config.named("tiny"))
    module.encode = lambda *read: None
    module.decode = lambda memory, mask, target: torch.stack([torch.zeros(6), 1 + target[:, 0] - 2], 1)
    every = torch.cat(logits)  # row 0: the first code, rows 1 to 3: the second
    module.logits = lambda rows, columns: every[rows.long()]
    recipe = GeneratorRecipe(batch=6, softmax=normalize)
    task = GeneratorTraining(module, tables, leave_one_out(Histories.from_lists([[0, 1, 2, 3]])).train, recipe)
    zeros, items = torch.zeros(6, dtype=torch.long), torch.arange(6)
    return 2 * task.generation_loss(TokenBatch(zeros, zeros, tables.tokens[0], zeros, items))  # a mean over two levels


def tables_of_logits():
    return [torch.tensor([FIRST], requires_grad=True), torch.tensor(SECOND, requires_grad=True)]


@pytest.mark.parametrize("losses_of", [losses_of_causal, losses_of_t5])
def test_losses_and_probabilities_of_the_specification(losses_of):
    full, constrained = (losses_of(tables_of_logits(), softmax).detach() for softmax in ("level", "children"))
    np.testing.assert_allclose(full, FULL, atol=2e-6)
    np.testing.assert_allclose(constrained, CONSTRAINED, atol=2e-6)
    assert float((-constrained).exp().sum()) == pytest.approx(1, abs=1e-6)
    assert float((-full).exp().sum()) == pytest.approx(0.280336, abs=1e-6)
    np.testing.assert_allclose(full - constrained, [1.273818, 1.273818, 4.065884, 0, 0, 0], atol=2e-6)


@pytest.mark.parametrize("losses_of", [losses_of_causal, losses_of_t5])
def test_codes_that_cannot_follow_get_no_gradient(losses_of):
    def gradient(item, normalize):
        logits = tables_of_logits()
        losses_of(logits, normalize)[item].backward()
        grad = logits[1].grad
        return np.zeros((3, 3)) if grad is None else grad.numpy()

    np.testing.assert_allclose(gradient(1, "children")[0], [0.574443, -0.574443, 0], atol=1e-6)
    np.testing.assert_allclose(gradient(1, "level")[0], [0.160707, -0.880945, 0.720238], atol=1e-6)
    assert gradient(1, "children")[0, 2] == 0 and not gradient(2, "children").any()  # an only child is certain


def table_scorer(first, second):
    """A scorer of two levels by logits `[K]` and `[K, K]`."""

    class Scorer:
        def first(self):
            return torch.tensor([[first]])

        def next(self, level, parents, codes):
            return torch.tensor(second)[codes]

    return Scorer()


def found(first, second, codes, beams, normalize="children"):
    size = len(first)
    ids = SemanticIds.from_codes(np.array(codes), sizes=(size, len(second[0])))
    scorer = table_scorer(np.log(first).tolist(), np.log(np.maximum(second, 1e-30)).tolist())
    ranking = beam_search(scorer, CodeTrie.of(ids), beams, len(codes), normalize=normalize)
    pairs = zip(ranking.items[0].tolist(), np.exp(ranking.scores[0]).tolist(), strict=True)
    return [(codes[item], round(score, 6)) for item, score in pairs if item >= 0]


def test_renormalized_at_inference_another_item_is_best():  # T2
    codes, second = [(0, 0), (1, 0), (1, 1)], [[0.1, 0.9], [0.5, 0.5]]
    assert sorted(found([0.5, 0.5], second, codes, 3, "level")) == [((0, 0), 0.05), ((1, 0), 0.25), ((1, 1), 0.25)]
    assert found([0.5, 0.5], second, codes, 3)[0] == ((0, 0), 0.5)
    assert dict(found([0.5, 0.5], second, codes, 3)) == {(0, 0): 0.5, (1, 0): 0.25, (1, 1): 0.25}


def test_beams_of_the_specification():  # T10
    codes = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    asked = ([0.4, 0.35, 0.25], [[0.6, 0.4], [0.9, 0.1], [1.0, 0.0]], codes)
    exact = [((1, 0), 0.315), ((2, 0), 0.25), ((0, 0), 0.24), ((0, 1), 0.16), ((1, 1), 0.035)]
    assert found(*asked, 5) == exact and found(*asked, 3)[:3] == exact[:3]
    assert found(*asked, 1) == [((0, 0), 0.24)]
    assert found(*asked, 2) == [((1, 0), 0.315), ((0, 0), 0.24)]


COUNTED = [(0, 1, 2, 0), (0, 1, 2, 1), (0, 1, 3, 0), (0, 2, 0, 0), (3, 1, 2, 0), (3, 1, 2, 1), (3, 1, 2, 2)]


def test_the_trie_of_counted_items_and_its_losses_at_zero_logits():  # T3
    ids = SemanticIds.from_codes(np.array(COUNTED), sizes=(4, 4, 4, 3))
    trie = CodeTrie.of(ids)
    assert 1 + sum(len(code) for code in trie.code) == 17
    assert torch.cat(trie.code).tolist() == [0, 3, 1, 2, 1, 2, 3, 0, 2, 0, 1, 0, 0, 0, 1, 2]
    children = [int(count) for start in trie.start for count in start.diff()]
    assert np.cumsum([0, *children]).tolist() == [0, 2, 4, 5, 7, 8, 9, 11, 12, 13, 16]
    zeros = [torch.zeros(4, size) for size in ids.sizes]
    constrained = losses_of_causal(zeros, "children", ids)
    expected = [2.772589, 2.772589, 2.079442, 1.386294, 1.791759, 1.791759, 1.791759]
    np.testing.assert_allclose(constrained, expected, atol=2e-6)
    assert float((-constrained).exp().sum()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(losses_of_causal(zeros, "level", ids), np.full(7, 3 * math.log(4) + math.log(3)))
    found = branching(trie)
    assert found.nats == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.level_nats == pytest.approx(5.257495, abs=1e-6)
    # Steps with one child: the last of the third and fourth item, and after 0 2, after 3 and after 3 1.
    assert found.forced == pytest.approx((0 + 0 + 1 + 2 + 2 + 2 + 2) / 28)
