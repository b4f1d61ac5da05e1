"""Scores as published: those of Hugging Face `generate` with the same weights and a function of allowed tokens (T9)."""

import numpy as np
import pytest
import torch

from macrec.data.split import Samples
from macrec.encoders.torchvision_compat import import_torchvision
from macrec.generation.batches import CodeTables
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import code_tasks
from macrec.models.t5 import T5Config
from macrec.models.t5_hugging_face import to_hugging_face
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.vocabulary import EOS, PAD

ITEMS, USERS, LEVELS = 50, 6, 4
PLAIN = ("text→text, sequence", "image→image, sequence")


@pytest.fixture(scope="module")
def setting():
    """A catalog with shared prefixes, a model that makes much of its inputs, and users with 1 to 6 items."""
    rng = np.random.default_rng(0)
    ids = {}
    for name in ("text", "image"):
        codes = np.stack(np.unravel_index(rng.permutation(3 * 3 * 5 * 5)[:ITEMS], (3, 3, 5, 5)), 1)
        ids[name] = SemanticIds.from_codes(codes, tuple(f"{name}_{letter}" for letter in "abcd"), (8,) * LEVELS)
    tables = CodeTables(ids, code_tasks(("text", "image")))
    model = T5Generator(len(tables.vocabulary), T5Config.named("tiny"), 1).eval()
    lengths = np.array([1, 6, 3, 2, 5, 4])
    ends = np.cumsum(lengths + 1)
    events = rng.integers(0, ITEMS, ends[-1]).astype(np.int32)
    return model, tables, Samples(events, np.arange(USERS, dtype=np.int32), ends - lengths - 1, ends - 1)


@pytest.fixture(scope="module")
def generated(setting, tmp_path_factory):
    """What `generate` says: (path, beams) → items and scores `[B, beams]`."""
    import_torchvision()
    transformers = pytest.importorskip("transformers")
    model, tables, samples = setting
    folder = tmp_path_factory.mktemp("t5")
    to_hugging_face(model, folder)
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(folder).eval()

    def ask(path, beams):
        numbers = (torch.from_numpy(part) for part in (samples.items, samples.start, samples.lengths))
        source, mask = tables.sources(torch.full((USERS,), path), *numbers)
        ids = tables.ids[tables.tasks[path].target]
        sequences = [(PAD, *row, EOS) for row in tables.vocabulary.tokens(ids).tolist()]
        after = {}
        for sequence in sequences:
            for length in range(1, len(sequence)):
                after.setdefault(sequence[:length], set()).add(sequence[length])
        found = theirs.generate(
            input_ids=source,
            attention_mask=mask.long(),
            max_new_tokens=10,
            num_beams=beams,
            num_return_sequences=beams,
            length_penalty=1.0,
            early_stopping=True,
            prefix_allowed_tokens_fn=lambda _, tokens: sorted(after.get(tuple(tokens.tolist()), {PAD})),
            output_scores=True,
            return_dict_in_generate=True,
        )
        item = {sequence: row for row, sequence in enumerate(sequences)}
        rows = [item[tuple(sequence)] for sequence in found.sequences.tolist()]
        return np.array(rows).reshape(USERS, beams), found.sequences_scores.numpy().reshape(USERS, beams)

    return {(path, beams): ask(path, beams) for path in range(2) for beams in (5, 20)}


@pytest.mark.parametrize("beams", [5, 20])
@pytest.mark.parametrize("path", range(2))
def test_items_and_scores_are_those_of_hugging_face(setting, generated, path, beams):
    model, tables, samples = setting
    decoder = PathDecoder(model, tables, DecodingOptions.published())
    found = decoder.by_path(samples, beams)[PLAIN[path]]
    items, scores = generated[path, beams]
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_allclose(found.scores, scores, atol=1e-4)
    assert (np.diff(scores) < -1e-6).all()  # so the order above was no accident
    other = PathDecoder(model, tables, DecodingOptions(normalize="level", beams=beams)).by_path(samples, beams)
    assert not np.allclose(other[PLAIN[path]].scores / (LEVELS + 1), scores, atol=1e-2)


def test_the_published_ensemble_is_the_published_one(setting, generated):
    """Section 6.3 of the specification, with loops and a table, on what `generate` returned."""
    model, tables, samples = setting
    decoder = PathDecoder(model, tables, DecodingOptions.published())
    found = decoder.recommend(samples, 10)
    assert [decoder._task(path).name for path in decoder.paths] == list(PLAIN)
    for user in range(USERS):
        table = {}
        for place in range(20):
            for path in range(2):
                items, scores = generated[path, 20]
                item, score = int(items[user, place]), float(scores[user, place])
                table[item] = (table[item] + score) / 2 + 1 if item in table else score
        expected = sorted(table, key=lambda item: -table[item])[:10]
        assert found.items[user].tolist() == expected
        np.testing.assert_allclose(found.scores[user], [table[item] for item in expected], atol=1e-4)


@torch.no_grad()
def test_a_score_is_the_mean_over_the_codes_and_the_end(setting):
    model, tables, samples = setting
    few = samples.take(np.arange(3))
    found = PathDecoder(model, tables, DecodingOptions.published()).by_path(few, 7)[PLAIN[0]]
    tokens = tables.vocabulary.tokens(tables.ids["text"])
    numbers = (torch.from_numpy(part) for part in (few.items, few.start, few.lengths))
    source, mask = tables.sources(torch.zeros(3, dtype=torch.int64), *numbers)
    for place in range(7):
        written = torch.from_numpy(np.append(tokens[found.items[:, place]], np.full((3, 1), EOS), 1))
        log_p = model(source, mask, written).log_softmax(-1).gather(-1, written[..., None])
        np.testing.assert_allclose(found.scores[:, place], log_p.mean((1, 2)), atol=1e-4)


def test_the_trace_of_a_published_search_ends_with_the_end(setting):
    model, tables, samples = setting
    decoder = PathDecoder(model, tables, DecodingOptions.published())
    ranking, trace = decoder.trace(PLAIN[0], samples)
    assert len(trace.steps) == LEVELS + 1
    assert (trace.steps[-1].codes == 0).all() and (trace.steps[-1].allowed == 1).all()
    np.testing.assert_allclose(trace.steps[-1].scores / (LEVELS + 1), ranking.scores, atol=1e-6)
