"""The embeddings of a notebook's modalities, and which of them are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from macrec.data.card import text_keys
from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings, EmbeddingStore, make_encoder
from macrec.encoders.distinct import confusion_note
from macrec.encoders.embeddings import of_seen_items as learned_from_seen
from macrec.encoders.encoder import Encoder, GivenVectors
from macrec.encoders.layout import FEWEST
from macrec.encoders.modalities import content_of, refused
from macrec.errors import DataError, NotApplicable, say_left_out

WORDS = {"text": "a text", "image": "a picture"}
"""What an item has of a modality; of others it has a vector."""


def encode_modalities(
    dataset: Dataset, specs: Mapping[str, str], progress: bool = False, least: int = 1
) -> dict[str, Embeddings]:
    """The embeddings of every modality by the encoder that `specs` names (`modality_specs`), from the store.

    `progress` shows a bar while they are computed. A modality that fewer than 8 items have is left out, which is
    printed, as are items that differ and have one vector. Raises NotApplicable when that leaves fewer than `least`
    modalities, and DataError for an encoder of another modality and where none is named.
    """
    if not specs:
        raise refused("no modality has an encoder", "name one, as in text_encoder=tfidf")
    contents = contents_of(dataset)
    store, having, embeddings = EmbeddingStore(), {}, {}
    for modality, spec in specs.items():
        encoder = encoder_for(spec, modality)
        having[modality] = contents.get(encoder.modality, 0)
        if isinstance(encoder, GivenVectors) or encoder.modality not in contents or having[modality] >= FEWEST:
            vectors = store.get(dataset, encoder, progress)
            having[modality] = int(vectors.present.sum())
            if having[modality] >= FEWEST:
                embeddings[modality] = vectors
    lacking = [modality for modality in specs if modality not in embeddings]
    few = listed([has_few(name, having[name]) for name in lacking])
    if len(embeddings) < least:
        raise too_few(dataset, few, lacking, least)
    if lacking:
        say_left_out(listed(lacking), few)
    for vectors in embeddings.values():
        if note := confusion_note(dataset, vectors):
            print(note)
    return embeddings


def of_seen_items(embeddings: Mapping[str, Embeddings], dataset: Dataset) -> dict[str, Embeddings]:
    """The same vectors, learned from where items have training events alone: so do the systems (`LearnedIds`), and so
    codebooks that a notebook trains are those that systems find.
    """
    return learned_from_seen(embeddings, dataset.split())


def contents_of(dataset: Dataset) -> dict[str, int]:
    """How many items have a text, and how many a picture."""
    return {"text": text_keys(dataset.items).count(), "image": int(dataset.images.present.sum())}


def modalities_of(dataset: Dataset) -> tuple[str, ...]:
    """The modalities that enough items have to be encoded from what is in the dataset."""
    return tuple(modality for modality, having in contents_of(dataset).items() if having >= FEWEST)


def encoder_for(spec: str, modality: str) -> Encoder | GivenVectors:
    """The encoder that `spec` names. Raises DataError when it encodes pictures for a text, or texts for an image."""
    encoder = make_encoder(spec, modality=modality) if spec.startswith("npy:") else make_encoder(spec)
    content = content_of(modality)
    if content in WORDS and content_of(encoder.modality) != content:
        raise DataError(f'the encoder "{spec}" makes {encoder.modality} embeddings', fix=f"name one for {content}")
    return encoder


def has_few(modality: str, having: int) -> str:
    """How many items have a modality, as part of a sentence."""
    word = WORDS.get(content_of(modality), f"{'an' if modality[0] in 'aeiou' else 'a'} {modality} vector")
    return f"{having or 'none'} of the items ha{'s' if having == 1 else 've'} {word}"


def too_few(dataset: Dataset, few: str, lacking: Sequence[str], least: int) -> NotApplicable:
    """The error for a dataset with fewer than `least` modalities."""
    needed = f"{least} {'modality is' if least == 1 else 'modalities are'} needed"
    what = f"{few}, where {needed} of {FEWEST} items or more" if few else needed
    options = [f"{name}_encoder=npy:FILE" if name in WORDS else f"modalities={name}=npy:FILE" for name in lacking]
    fix = f"add them to the dataset, or give vectors made elsewhere as {' or '.join(options or ['modalities=…'])}"
    return NotApplicable(what, file=dataset.name.partition(" (")[0], fix=fix)


def listed(words: Sequence[str]) -> str:
    """Words as they stand in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def shown_modality(modality: str, embeddings: Mapping[str, Embeddings], known: Sequence[str] = ()) -> str:
    """`modality` where there are embeddings of it, else the first there are, and a line that says so.

    Raises DataError for a name that is neither among the embeddings nor `known` (text and image always are).
    """
    names = tuple(dict.fromkeys((*WORDS, *known, *embeddings)))
    if modality not in names:
        raise DataError(f'there is no modality "{modality}"', field="modality", fix=f"choose one of {', '.join(names)}")
    if modality in embeddings:
        return modality
    other = next(iter(embeddings))
    print(f"Shown is {other}, as there are no {modality} embeddings.")
    return other


def embedding_table(embeddings: Mapping[str, Embeddings]) -> pl.DataFrame:
    """One row per modality: which encoder ran, the width, and how many items have the modality."""
    return pl.DataFrame(
        [
            {
                "modality": modality,
                "encoder": vectors.encoder,
                "width": vectors.values.shape[1],
                "items": int(vectors.present.sum()),
                "missing": int((~vectors.present).sum()),
                "mean norm": round(float(np.linalg.norm(vectors.values[vectors.present], axis=1).mean()), 3),
                "exact duplicates": int(vectors.present.sum())
                - len(np.unique(vectors.values[vectors.present], axis=0)),
            }
            for modality, vectors in embeddings.items()
        ]
    )
