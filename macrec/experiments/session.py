"""What the first cell of a notebook does: open the dataset of its parameters."""

from __future__ import annotations

import numpy as np
from IPython.display import Markdown, display

from macrec.data.built_in import with_size
from macrec.data.cold import hold_out_items
from macrec.data.curio import Curio
from macrec.data.dataset import Dataset
from macrec.data.load import load_dataset
from macrec.data.subsample import drawn, subsample
from macrec.errors import say_left_out
from macrec.systems.settings import profile_named

SHARE = {"tour": 0.3, "train": 1.0, "count": 100.0}
"""How much of that a notebook takes: the tour less, one that only counts far more than one that trains."""

AUTO = -1
"""The number of users that means "as many as the profile takes"."""


def open_dataset(
    dataset: str, profile: str, users: int = AUTO, newest: int = 0, purpose: str = "train", held_out: float = 0.0
) -> Dataset:
    """The dataset a notebook's parameters name. `profile` chooses the size of "curio" when none is given.

    `users` drawn at random are kept: 0 is all, `AUTO` as many as the profile allows for the `purpose`, a key of
    `SHARE`; the name of the result says how many of how many. The `newest` events of each are kept where that is not
    0. Of what is left, the share `held_out` of the items becomes cold (`hold_out_items`), the same items for every seed
    of a training. Raises DataError for an unknown profile and for everything that `load_dataset`, `subsample` and
    `hold_out_items` refuse.
    """
    chosen = profile_named(profile)
    data = load_dataset(with_size(dataset, chosen.catalog))
    if users == AUTO:
        most_users, most_events = (int(SHARE[purpose] * number) for number in (chosen.most_users, chosen.most_events))
        users = affordable(data, newest, most_users, most_events) if chosen.most_users else 0
        if users:
            less = f"{data.num_users - users:,} of {data.num_users:,} users"
            say_left_out(less, f"profile={profile} takes {users:,} at random; sample_users=0 takes all")
    data = subsample(data, users, newest)
    return hold_out_items(data, held_out, field="held_out")[0] if held_out else data


def affordable(dataset: Dataset, newest: int, most_users: int, most_events: int) -> int:
    """How many users `subsample` may draw for so many users and events at most, in round numbers; 0 when all fit."""
    lengths = dataset.histories.lengths[drawn(dataset.num_users)]
    events = np.minimum(lengths, newest or lengths.max()).cumsum()
    if dataset.num_users <= most_users and events[-1] <= most_events:
        return 0
    users = min(most_users, max(1, int(np.searchsorted(events, most_events, side="right"))))
    unit = 10 ** max(0, len(str(users)) - 2)
    return int(users // unit * unit)


def built_in_note(data: Dataset, words: str) -> None:
    """Show `words`, Markdown, where `data` is the built-in catalog: they need not be true of any other.

    Nor of one with hidden rules, as words are of what texts and pictures show.
    """
    if isinstance(data, Curio) and not data.world.settings.hidden:
        display(Markdown(words))
