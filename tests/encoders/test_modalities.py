"""Modalities by name: how a parameter is read, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data import load_dataset
from macrec.encoders import Embeddings
from macrec.encoders.distinct import confusion_note
from macrec.encoders.modalities import content_of, modality_specs
from macrec.errors import DataError
from macrec.experiments import encode_modalities
from macrec.terms import codebook_prefix

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}(/[a-z][a-z0-9-]{0,8})?", fullmatch=True).filter(
    lambda name: name not in ("text", "image", "fused", "item", "loss", "implicit", "generation")
)
specs = st.sampled_from(["tfidf", "tfidf:title", "npy:a/b.npy", "clip:ViT-B-32/openai"])


distinct = st.dictionaries(names, specs, max_size=4).filter(
    lambda read: len(set(map(codebook_prefix, read))) == len(read)
)


@given(distinct, st.sampled_from(["", " "]))
def test_what_is_written_is_read(further, blank):
    written = f",{blank}".join(f"{name}{blank}={blank}{spec}" for name, spec in further.items())
    read = modality_specs("tfidf", "hog-color", written)
    assert read == {"text": "tfidf", "image": "hog-color", **further}
    assert list(read) == ["text", "image", *further]


def test_a_modality_without_an_encoder_is_left_out():
    assert modality_specs("", "hog-color") == {"image": "hog-color"}
    assert modality_specs(further="sound=npy:s.npy") == {"sound": "npy:s.npy"}


@pytest.mark.parametrize(
    ("further", "words"),
    [
        ("acoustic", '"acoustic" does not say which encoder'),
        ("acoustic=", "does not say which encoder"),
        ("text=tfidf", "give it as text_encoder"),
        ("Sound=npy:s.npy", 'cannot be called "Sound"'),
        ("a/b/c=npy:s.npy", 'cannot be called "a/b/c"'),
        ("text/2=tfidf", 'cannot be called "text/2"'),
        ("a.b=npy:s.npy", 'cannot be called "a.b"'),
        ("a→b=npy:s.npy", "cannot be called"),
        ("fused=npy:s.npy", 'cannot be called "fused"'),
        ("sound=npy:s.npy, sound=npy:t.npy", '"sound" and "sound" have one name'),
        ("a/b=npy:s.npy, a-b=npy:t.npy", '"a/b" and "a-b" have one name'),
    ],
)
def test_what_cannot_be_used_is_refused(further, words):
    with pytest.raises(DataError, match='field "modalities"') as caught:
        modality_specs("tfidf", "hog-color", further)
    assert words in str(caught.value)


def test_no_modality_at_all_is_refused_where_items_are_encoded():
    assert modality_specs("", "") == {}
    with pytest.raises(DataError, match="no modality has an encoder"):
        encode_modalities(load_dataset("curio:tiny"), {})


def test_what_a_modality_is_a_view_of():
    assert [content_of(name) for name in ("text", "text/title", "acoustic")] == ["text", "text", "acoustic"]


def test_vectors_of_other_modalities_have_no_contents_to_be_confused_with():
    """Equal vectors of different texts are named for texts only: what is heard, say, is not in the dataset."""
    values = np.ones((3, 4), np.float32)
    data = SimpleNamespace()  # nothing of it is looked at
    assert confusion_note(data, Embeddings.from_values("acoustic", "npy:s.npy", values)) == ""
