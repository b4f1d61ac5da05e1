"""How a system stands beside others by paired intervals, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

from macrec.evaluation.by_group import FEWEST, GroupComparison
from macrec.evaluation.significance import Comparison
from macrec.experiments.modalities import listed


def standing(reference: str, differences: Mapping[str, Comparison], intervals: bool = False) -> str:
    """Which systems the reference is clearly above, clearly below, and not clearly different from.

    `differences`: system → by how much it exceeds the reference. With `intervals` every system is followed by what the
    reference has more (+) or less (-), and the 95 % interval of that. Empty without systems.
    """

    def words(name: str) -> str:
        return f"{name} ({turned(differences[name])})" if intervals else name

    groups = {
        "clearly below": [words(name) for name, paired in differences.items() if paired.low > 0],
        "not clearly different from": [
            words(name) for name, paired in differences.items() if paired.low <= 0 <= paired.high
        ],
        "clearly above": [words(name) for name, paired in differences.items() if paired.high < 0],
    }
    parts = [f"{word} {listed(names)}" for word, names in groups.items() if names]
    return f"{reference} is {'; '.join(parts)}." if parts else ""


def turned(paired: Comparison) -> str:
    """The difference seen from the other side, and its interval: "+0.0210, +0.0100 to +0.0320"."""
    return f"{-paired.difference:+z.4f}, {-paired.high:+z.4f} to {-paired.low:+z.4f}"


def standing_in_group(group: str, comparison: GroupComparison, intervals: bool = False) -> str:
    """How the reference, the first of `comparison.scores`, stands in a group of users: one line."""
    reference, *others = comparison.scores or ("the reference",)
    start = f"{group} ({comparison.users:,} user{'' if comparison.users == 1 else 's'})"
    if not others:
        return f"{start}: {reference} was compared with no other system."
    if not any(comparison.scores.values()):
        return f"{start}: {listed([reference, *others])} all score 0."
    few = [f"{name} ({comparison.differ.get(name, 0)})" for name in others if name not in comparison.differences]
    parts = [
        standing(reference, comparison.differences, intervals),
        f"Fewer than {FEWEST} users differ, too few for an interval: {listed(few)}." if few else "",
    ]
    return f"{start}: {' '.join(filter(None, parts))}"
