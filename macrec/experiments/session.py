"""What the first cells of a notebook do: open the dataset of its parameters and get its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from IPython.display import Markdown, display

from macrec.data.card import text_keys
from macrec.data.curio import Curio
from macrec.data.dataset import Dataset
from macrec.data.load import load_dataset
from macrec.data.subsample import drawn, subsample
from macrec.encoders import Embeddings, EmbeddingStore, make_encoder
from macrec.encoders.distinct import confusion_note
from macrec.encoders.layout import FEWEST
from macrec.errors import DataError, NotApplicable
from macrec.systems.settings import profile_named

SHARE = {"tour": 0.3, "train": 1.0, "count": 100.0}
"""How much of that a notebook takes: the tour less, one that only counts far more than one that trains."""

AUTO = -1
"""The number of users that means "as many as the profile takes"."""


def open_dataset(dataset: str, profile: str, users: int = AUTO, newest: int = 0, purpose: str = "train") -> Dataset:
    """The dataset a notebook's parameters name. `profile` chooses the size of "curio" when none is given.

    `users` drawn at random are kept: 0 is all, `AUTO` as many as the profile allows for the `purpose`, a key of
    `SHARE`; the name of the result says how many of how many. The `newest` events of each are kept where that is not
    0. Raises DataError for an unknown profile and for everything that `load_dataset` and `subsample` refuse.
    """
    chosen = profile_named(profile)
    data = load_dataset(f"curio:{chosen.catalog}" if dataset == "curio" else dataset)
    if users == AUTO:
        most_users, most_events = (int(SHARE[purpose] * number) for number in (chosen.most_users, chosen.most_events))
        users = affordable(data, newest, most_users, most_events) if chosen.most_users else 0
        if users:
            print(f"{users:,} of {data.num_users:,} users, so that this takes minutes; sample_users = 0 takes all.")
    return subsample(data, users, newest)


def affordable(dataset: Dataset, newest: int, most_users: int, most_events: int) -> int:
    """How many users `subsample` may draw for so many users and events at most, in round numbers; 0 when all fit."""
    lengths = dataset.histories.lengths[drawn(dataset.num_users)]
    events = np.minimum(lengths, newest or lengths.max()).cumsum()
    if dataset.num_users <= most_users and events[-1] <= most_events:
        return 0
    users = min(most_users, max(1, int(np.searchsorted(events, most_events, side="right"))))
    unit = 10 ** max(0, len(str(users)) - 2)
    return int(users // unit * unit)


def encode_modalities(
    dataset: Dataset, text: str, image: str, progress: bool = False, least: int = 1
) -> dict[str, Embeddings]:
    """Text and image embeddings by the encoders of these names, from the store; modality → Embeddings.

    `progress` shows a bar while they are computed. A modality that fewer than 8 items have is left out, which is
    printed, as are items that differ and have one vector. Raises NotApplicable when that leaves fewer than `least`
    modalities.
    """
    having = having_of(dataset)
    specs = {"text": text, "image": image}
    store, embeddings = EmbeddingStore(), {}
    for modality, spec in specs.items():
        if spec.startswith("npy:") or having[modality] >= FEWEST:
            vectors = store.get(dataset, encoder_for(spec, modality), progress)
            having[modality] = int(vectors.present.sum())
            if having[modality] >= FEWEST:
                embeddings[modality] = vectors
    lacking = [modality for modality in specs if modality not in embeddings]
    few = " and ".join(
        f"{having[name] or 'none'} of the items ha{'s' if having[name] == 1 else 've'} {WORDS[name]}"
        for name in lacking
    )
    if len(embeddings) < least:
        what = f"{few}, where {'both are' if least > 1 else 'one or the other is'} needed of {FEWEST} items or more"
        options = " or ".join(f"{modality}_encoder=npy:FILE" for modality in lacking)
        fix = f"add them to the dataset, or give vectors made elsewhere as {options}"
        raise NotApplicable(what, file=dataset.name.partition(" (")[0], fix=fix)
    if lacking:
        print(f"Left out: {' and '.join(lacking)}, as {few}.")
    for vectors in embeddings.values():
        if note := confusion_note(dataset, vectors):
            print(note)
    return embeddings


def having_of(dataset: Dataset) -> dict[str, int]:
    """Modality → how many items have it."""
    return {"text": text_keys(dataset.items).count(), "image": int(dataset.images.present.sum())}


def modalities_of(dataset: Dataset) -> tuple[str, ...]:
    """The modalities that enough items have to be encoded."""
    return tuple(modality for modality, having in having_of(dataset).items() if having >= FEWEST)


WORDS = {"text": "a text", "image": "a picture"}
"""What an item has of each modality."""


def shown_modality(modality: str, embeddings: Mapping[str, Embeddings]) -> str:
    """`modality` where there are embeddings of it, else the one there is, and a line that says so.

    Raises DataError for a name that is no modality.
    """
    if modality not in WORDS:
        raise DataError(f'there is no modality "{modality}"', field="modality", fix=f"choose one of {', '.join(WORDS)}")
    if modality in embeddings:
        return modality
    other = next(iter(embeddings))
    print(f"Shown is {other}, as there are no {modality} embeddings.")
    return other


def built_in_note(data: Dataset, words: str) -> None:
    """Show `words`, Markdown, where `data` is the built-in catalog: they need not be true of any other."""
    if isinstance(data, Curio):
        display(Markdown(words))


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
                "encoder": table.encoder,
                "width": table.values.shape[1],
                "items": int(table.present.sum()),
                "missing": int((~table.present).sum()),
                "mean norm": round(float(np.linalg.norm(table.values[table.present], axis=1).mean()), 3),
                "exact duplicates": int(table.present.sum()) - len(np.unique(table.values[table.present], axis=0)),
            }
            for modality, table in embeddings.items()
        ]
    )
