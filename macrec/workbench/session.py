"""What the first cells of a notebook do: open the dataset of its parameters and get its embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from macrec.data.card import text_keys
from macrec.data.dataset import Dataset
from macrec.data.load import load_dataset
from macrec.data.subsample import subsample
from macrec.encoders import Embeddings, EmbeddingStore, make_encoder
from macrec.errors import DataError
from macrec.viz.layout import FEWEST

CURIO_SIZE = {"smoke": "tiny", "demo": "demo", "study": "demo", "paper": "demo"}
"""The size of the built-in catalog in each profile, where the parameter does not name one."""


def open_dataset(dataset: str, profile: str, users: int = 0, newest: int = 0) -> Dataset:
    """The dataset a notebook's parameters name. `profile` chooses the size of "curio" when none is given.

    `users` drawn at random and the `newest` events of each are kept, where these are not 0. Raises DataError for an
    unknown profile and for everything that `load_dataset` and `subsample` refuse.
    """
    if profile not in CURIO_SIZE:
        raise DataError(f'there is no profile "{profile}"', fix=f"choose one of {', '.join(CURIO_SIZE)}")
    found = load_dataset(f"curio:{CURIO_SIZE[profile]}" if dataset == "curio" else dataset)
    return subsample(found, users, newest)


def encode_modalities(dataset: Dataset, text: str, image: str, progress: bool = False) -> dict[str, Embeddings]:
    """Text and image embeddings by the encoders of these names, from the store; modality → Embeddings.

    `progress` shows a bar while they are computed. A modality that fewer than 8 items have is left out. Raises
    DataError when that leaves none.
    """
    having = {"text": text_keys(dataset.items).count(), "image": int(dataset.images.present.sum())}
    specs = {"text": text, "image": image}
    wanted = {
        modality: spec for modality, spec in specs.items() if having[modality] >= FEWEST or spec.startswith("npy:")
    }
    if not wanted:
        what = f"{having['text']} items have a text and {having['image']} a picture, too few to look at"
        raise DataError(what, file=dataset.name, fix="give embeddings as npy:FILE, or add contents")
    store = EmbeddingStore()
    return {modality: store.get(dataset, encoder_for(spec, modality), progress) for modality, spec in wanted.items()}


def require(embeddings: dict[str, Embeddings], *modalities: str) -> None:
    """Raise DataError, naming what there is, unless `embeddings` has all these modalities."""
    for modality in modalities:
        if modality not in embeddings:
            what = f'there are no "{modality}" embeddings, only {" and ".join(embeddings)}'
            raise DataError(what, field="modality", fix="choose one of these, or a dataset that has both")


def encoder_for(spec: str, modality: str) -> Any:
    """The encoder that `spec` names, held to a modality. Raises DataError when it encodes another one."""
    encoder = make_encoder(spec, modality=modality) if spec.startswith("npy:") else make_encoder(spec)
    if encoder.modality != modality:
        raise DataError(f'the encoder "{spec}" makes {encoder.modality} embeddings', fix=f"name one for {modality}")
    return encoder


def embedding_table(embeddings: dict[str, Embeddings]) -> pl.DataFrame:
    """One row per modality: which encoder ran, the width, and how many items have the modality."""
    return pl.DataFrame(
        [
            {
                "modality": modality,
                "encoder": found.encoder,
                "width": found.values.shape[1],
                "items": int(found.present.sum()),
                "missing": int((~found.present).sum()),
                "mean norm": round(float(np.linalg.norm(found.values[found.present], axis=1).mean()), 3),
                "exact duplicates": int(found.present.sum()) - len(np.unique(found.values[found.present], axis=0)),
            }
            for modality, found in embeddings.items()
        ]
    )
