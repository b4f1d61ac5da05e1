"""How many items share a semantic ID with another, by one modality and by all together, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from macrec.encoders import Embeddings
from macrec.experiments.modalities import WORDS
from macrec.quantization.semantic_ids import SemanticIds

Counts = dict[str, dict[str, int]]
ALL = "all modalities"


def shared_ids(tables: Mapping[str, SemanticIds], embeddings: Mapping[str, Embeddings]) -> Counts:
    """Modality → how many `items` have it, and how many of these are `sharing` their ID with another item that has it.

    `tables`: the IDs of all N items of every modality, conflicts and all (`Tokenizer.ids(absent=True)`). Over two
    modalities or more also "all modalities": the items that share the IDs of all of them with one other item, and for
    every modality that some lack "without MODALITY": how many of these do.
    """
    counts = {}
    for modality, ids in tables.items():
        codes = ids.codes[embeddings[modality].present]
        counts[modality] = {"items": len(codes), "sharing": int(sharing(codes).sum())}
    if len(tables) > 1:
        together = sharing(np.concatenate([ids.codes for ids in tables.values()], axis=1))
        counts[ALL] = {"items": len(together), "sharing": int(together.sum())}
        for modality in tables:
            if (lacking := ~embeddings[modality].present).any():
                counts[f"without {modality}"] = {"items": int(lacking.sum()), "sharing": int(together[lacking].sum())}
    return counts


def sharing(codes: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which rows of `codes` `[n, L]` are equal to another row, `[n]`."""
    _, group, size = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    shared: NDArray[np.bool_] = size[group] > 1
    return shared


def sharing_in_words(counts: Counts) -> str:
    """The sentence of `shared_ids`."""
    whole = counts.get(ALL)
    alone = [name for name in counts if name != ALL and not name.startswith("without ")]
    parts = [f"{share_of(counts[name])} their {name} ID" for name in alone]
    said = f"Items that share an ID with another item: {', '.join(parts)}"
    if whole is None:
        return f"{said}."
    lacking = "".join(
        f" (of those without {WORDS.get(name, f'a vector: {name}')} {share_of(counts[f'without {name}'])})"
        for name in alone
        if f"without {name}" in counts
    )
    return f"{said}; {share_of(whole)} {'both' if len(alone) == 2 else 'all'} of their IDs{lacking}."


def share_of(count: Mapping[str, int]) -> str:
    """ "12 of 160 (7.5%)"."""
    return f"{count['sharing']:,} of {count['items']:,} ({count['sharing'] / max(1, count['items']):.1%})"
