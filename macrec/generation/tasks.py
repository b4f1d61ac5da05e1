"""Explicit alignment: the tasks a generator learns together, within a modality and from one to another (MACRec 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

PROMPT_TOKENS = 4
"""Learned tokens before the input of a cross-modal task that name the task."""

ITEM = "item"
"""The target of a task that ranks the items themselves, by a dense head, instead of writing an ID."""


@dataclass(frozen=True)
class CodeTask:
    """What is read and what is to be generated.

    `source` and `target` name modalities; a source may join several, as in "text+image", a target may be `ITEM`.
    `kind` "sequence": the IDs of a history, then that of the next item; "item": one item's ID, then its ID in the
    other modality. `prompt`: how many prompt tokens begin the input.
    """

    source: str
    target: str
    kind: Literal["sequence", "item"]
    prompt: int = 0

    @property
    def sources(self) -> tuple[str, ...]:
        """The modalities that are read."""
        return tuple(self.source.split("+"))

    @property
    def name(self) -> str:
        """Such as "text→image, sequence"."""
        return f"{self.source}→{self.target}, {self.kind}"


def code_tasks(
    modalities: Sequence[str],
    sequence_level: bool = True,
    item_level: bool = True,
    prompt: int = PROMPT_TOKENS,
    joint: bool = False,
    dense: bool = False,
) -> tuple[CodeTask, ...]:
    """The tasks for these modalities: next-item generation within each, and the cross-modal ones that are chosen.

    With two modalities and both levels these are the six of the paper. Without both levels what is left is generation
    from one modality at a time, as in MQL4GRec without pre-training. With `joint`, histories are also read in all
    modalities at once. With `dense` the items themselves are ranked, too: where histories are read in all modalities,
    else in each.
    """
    within = [CodeTask(name, name, "sequence") for name in modalities]
    pairs = list(permutations(modalities, 2))
    across = [CodeTask(*pair, "sequence", prompt) for pair in pairs] if sequence_level else []
    items = [CodeTask(*pair, "item", prompt) for pair in pairs] if item_level else []
    together = [CodeTask("+".join(modalities), name, "sequence") for name in modalities] if joint else []
    together = together if len(modalities) > 1 else []
    ranked = dict.fromkeys(task.source for task in together or within) if dense else ()
    return (*within, *across, *items, *together, *(CodeTask(source, ITEM, "sequence") for source in ranked))
