"""The vocabulary: every token belongs to one thing, and codes come back from tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.vocabulary import EOS, NO_CODE, PAD, Vocabulary

PROMPTS = {"seqitem2image": 4, "seqimage2item": 4, "item2image": 4, "image2item": 4}
names = st.sampled_from(["a", "b", "c", "d", "e"])
books = st.dictionaries(names, st.integers(1, 40), min_size=1)
tasks = st.dictionaries(st.sampled_from(["seqrec", "item2image", "image2item"]), st.integers(1, 5))


def table(draw, sizes):
    """Random codes at levels that draw from any of the codebooks, some perhaps twice."""
    levels = draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=5))
    row = st.tuples(*(st.integers(0, sizes[name] - 1) for name in levels))
    codes = np.array(draw(st.lists(row, min_size=1, max_size=8)), np.int64)
    return SemanticIds.from_codes(codes, tuple(levels), tuple(sizes[name] for name in levels))


@st.composite
def tables(draw):
    sizes = draw(books)
    return {name: table(draw, sizes) for name in draw(st.sets(st.sampled_from(["text", "image", "sound"]), min_size=1))}


def paper_ids(codes, modality):
    """Four levels of 256, named as `CodebookTask` names them."""
    return SemanticIds.from_codes([codes], tuple(f"{modality}_{letter}" for letter in "abcd"), (256,) * 4)


def test_the_paper_size_vocabulary_is_that_of_the_specification():
    text, image = paper_ids([170, 224, 251, 151], "text"), paper_ids([154, 106, 221, 144], "image")
    vocabulary = Vocabulary.of({"text": text, "image": image}, PROMPTS)
    assert len(vocabulary) == 2066
    assert vocabulary.tokens(text).tolist() == [[172, 482, 765, 921]]
    assert vocabulary.tokens(image).tolist() == [[1180, 1388, 1759, 1938]]
    assert vocabulary.prompt("seqitem2image").tolist() == [2050, 2051, 2052, 2053]


@given(tables(), tasks)
def test_every_token_belongs_to_exactly_one_thing(ids, prompts):
    vocabulary = Vocabulary.of(ids, prompts)
    owners = np.zeros(len(vocabulary), int)
    owners[[PAD, EOS]] += 1
    for codebook, size in vocabulary.codebooks:
        owners[vocabulary.range(codebook)] += 1
        assert vocabulary.range(codebook).stop - vocabulary.range(codebook).start == size
    for task, size in prompts.items():
        owners[vocabulary.prompt(task)] += 1
        assert len(vocabulary.prompt(task)) == size
    assert (owners == 1).all()
    assert {name for name, _ in vocabulary.codebooks} == {name for table in ids.values() for name in table.codebooks}


@given(tables(), tasks)
def test_codes_come_back_from_tokens(ids, prompts):
    vocabulary = Vocabulary.of(ids, prompts)
    for found in ids.values():
        tokens = vocabulary.tokens(found)
        assert tokens.dtype == np.int64 and (tokens > EOS).all()
        assert vocabulary.codes(tokens).dtype == np.int32
        assert vocabulary.codes(tokens).tolist() == found.codes.tolist()


@pytest.mark.slow
@given(tables(), tasks)
def test_ranges_and_mask_allow_the_same_tokens_and_hold_every_item(ids, prompts):
    vocabulary = Vocabulary.of(ids, prompts)
    for found in ids.values():
        mask, tokens = vocabulary.level_mask(found), vocabulary.tokens(found)
        for level, columns in enumerate(vocabulary.ranges(found)):
            assert np.flatnonzero(mask[level]).tolist() == list(range(columns.start, columns.stop))
            assert mask[level, tokens[:, level]].all()


def test_tables_that_share_a_codebook_share_its_tokens():
    first = SemanticIds.from_codes([[1, 2]], ("root", "leaf"), (4, 8))
    second = SemanticIds.from_codes([[3, 7, 0]], ("root", "leaf", "leaf"), (4, 8, 8))
    vocabulary = Vocabulary.of({"first": first, "second": second})
    assert len(vocabulary) == 2 + 4 + 8
    assert vocabulary.ranges(second) == (slice(2, 6), slice(6, 14), slice(6, 14))
    assert vocabulary.tokens(second).tolist() == [[5, 13, 6]]


def test_tokens_that_are_no_codewords_have_no_code():
    ids = SemanticIds.from_codes([[0]], ("a",), (3,))
    vocabulary = Vocabulary.of({"text": ids}, {"seqrec": 2})
    assert vocabulary.codes([[PAD, EOS, 2], [4, 5, 6]]).tolist() == [[NO_CODE, NO_CODE, 0], [2, NO_CODE, NO_CODE]]


@pytest.mark.parametrize("token", [-1, 5])
def test_numbers_that_are_no_tokens_are_refused(token):
    vocabulary = Vocabulary((("a", 3),))
    with pytest.raises(ValueError, match="tokens go from 0 to 4"):
        vocabulary.codes([token])


def test_a_codebook_of_two_sizes_is_refused():
    ids = {"text": SemanticIds.from_codes([[3]]), "image": SemanticIds.from_codes([[7]])}
    with pytest.raises(DataError, match="codebook a has 8 codewords in image and 4 elsewhere"):
        Vocabulary.of(ids)
    with pytest.raises(ValueError, match="codebook a has 8 codewords here and 4 in the vocabulary"):
        Vocabulary.of({"text": ids["text"]}).tokens(ids["image"])


def test_names_that_are_not_there_are_said_so():
    vocabulary = Vocabulary((("a", 3),))
    with pytest.raises(KeyError, match="no codebook b, only a"):
        vocabulary.range("b")
    with pytest.raises(KeyError, match="no task seqrec, only none"):
        vocabulary.prompt("seqrec")
    with pytest.raises(KeyError, match="no codebook b"):
        vocabulary.tokens(SemanticIds.from_codes([[0]], ("b",)))


@pytest.mark.parametrize(
    ("codebooks", "prompts", "message"),
    [
        ((("a", 3), ("a", 3)), (), "codebook a comes twice"),
        ((("a", 0),), (), "codebook a has no tokens"),
        ((("a", 3),), (("seqrec", 1), ("seqrec", 2)), "task seqrec comes twice"),
        ((("a", 3),), (("seqrec", 0),), "task seqrec has no tokens"),
    ],
)
def test_vocabularies_that_are_none_are_refused(codebooks, prompts, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(codebooks, prompts)


def test_equal_vocabularies_number_their_tokens_alike():
    assert Vocabulary((("a", 3), ("b", 4))) == Vocabulary((("a", 3), ("b", 4)))
    assert Vocabulary((("a", 3), ("b", 4))) != Vocabulary((("b", 4), ("a", 3)))


def test_more_tokens_than_a_generator_can_learn_are_refused():
    huge = SemanticIds.from_codes([[2**31 - 1, 0]])
    with pytest.raises(DataError, match="the codebook a has 2,147,483,648 codewords, and a generator learns a vector"):
        Vocabulary.of({"text": huge})
