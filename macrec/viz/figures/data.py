"""Figures about a dataset: the card, the popularity curve, the reachable ceiling. Data in, figure out."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from macrec.data.card import DatasetCard
from macrec.data.dataset import Dataset
from macrec.viz.theme import FUSED, IMAGE, MUTED, REFERENCE, TEXT, empty_figure

LONG_TAIL = 8
"""Times the median that the longest history may be long before lengths need a log axis."""


def card_figure(dataset: Dataset, card: DatasetCard) -> tuple[go.Figure, str]:
    """The card as four panels: history lengths, popularity, what is missing, what is duplicated; and its sentence."""
    figure = make_subplots(
        rows=2,
        cols=2,
        subplot_titles=(
            "Events per user",
            "Popularity of items",
            "Missing, share of items",
            "Duplicates, share of items",
        ),
        horizontal_spacing=0.16,
        vertical_spacing=0.24,
    )
    add_lengths(figure, dataset.histories.lengths)
    rank, popularity = popularity_curve(dataset.histories.counts(dataset.num_items))
    figure.add_scatter(
        x=rank, y=popularity, mode="lines", line_color=FUSED, row=1, col=2,
        hovertemplate="item of rank %{x}: %{y} events<extra></extra>",
    )  # fmt: skip
    names = list(card.missing)
    figure.add_bar(
        x=[card.missing[name] for name in names], y=names, orientation="h", row=2, col=1,
        marker_color=[IMAGE if name == "picture" else TEXT for name in names],
        hovertemplate="%{y}: %{x:.1%} of items without<extra></extra>",
    )  # fmt: skip
    duplicates = {
        "same text": card.duplicate_texts,
        "same picture": card.duplicate_images,
        "near-same title": card.near_duplicate_titles,
    }
    figure.add_bar(
        x=list(duplicates.values()), y=list(duplicates), orientation="h", marker_color=[TEXT, IMAGE, TEXT],
        row=2, col=2, hovertemplate="%{y}: %{x:.1%} of items<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="rank", type="log", dtick=1, row=1, col=2)
    figure.update_yaxes(title="events", type="log", dtick=1, row=1, col=2)
    for column, shares in ((1, list(card.missing.values())), (2, list(duplicates.values()))):
        figure.update_xaxes(tickformat=".0%", range=[0, max(0.05, *shares) * 1.08], row=2, col=column)
        figure.update_yaxes(autorange="reversed", showgrid=False, row=2, col=column)
    figure.update_layout(height=560, showlegend=False, title=f"{card.name} at a glance")
    return figure, (
        f"{card.name}: {card.users:,} users and {card.items:,} items; a user has {card.history_length.median:g} events "
        f"in the median, and the most popular tenth of the items takes {card.head_share:.0%} of all events."
    )


def add_lengths(figure: go.Figure, lengths: NDArray[np.int64]) -> None:
    """Users by number of events, into the first panel: a bar per number, or a log axis for a long tail."""
    values, counts = np.unique(lengths, return_counts=True)
    if values[-1] <= LONG_TAIL * np.median(lengths):
        figure.add_bar(
            x=values, y=counts, marker_color=FUSED, hovertemplate="%{y} users with %{x} events<extra></extra>",
            row=1, col=1,
        )  # fmt: skip
        figure.update_xaxes(title="events", row=1, col=1)
        figure.update_yaxes(title="users", row=1, col=1)
        return
    edges = length_edges(int(values[0]), int(values[-1]))
    users, widths = np.histogram(lengths, edges)[0], np.diff(edges)
    said = [
        f"{count:,} users with {low:,}" + (f" to {high - 1:,}" if high - 1 > low else "") + " events"
        for low, high, count in zip(edges[:-1], edges[1:], users, strict=True)
    ]
    # Users per length, not per step: the steps of small lengths hold one length, those of large ones many.
    figure.add_scatter(
        x=edges - 0.5, y=np.append(users / widths, 0), text=[*said, ""], mode="lines",
        line={"color": FUSED, "shape": "hv"}, fill="tozeroy", hovertemplate="%{text}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    marks = [digit * 10**power for power in range(len(str(edges[-1]))) for digit in (1, 2, 5)]
    marks = [mark for mark in marks if edges[0] <= mark <= edges[-1]]
    figure.update_xaxes(
        title="events", type="log", tickvals=marks, ticktext=[f"{mark:,}" for mark in marks], row=1, col=1
    )
    figure.update_yaxes(title="users per length", row=1, col=1)


def length_edges(least: int, most: int, steps: int = 24) -> NDArray[np.int64]:
    """Where the steps begin in which lengths from `least` to `most` are counted, and where the last ends, exclusive.

    Whole numbers of about equal ratio, none twice: small lengths have a step each.
    """
    return np.unique(np.round(np.geomspace(least, most + 1, steps + 1)).astype(np.int64))


def popularity_curve(counts: NDArray[np.int64], points: int = 300) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rank and events of items that occur, most popular first, at no more than `points` ranks spread evenly in log."""
    ordered = np.sort(counts[counts > 0])[::-1]
    places = np.unique(np.geomspace(1, len(ordered), points).astype(np.int64)) - 1
    return places + 1, ordered[places]


def ceiling_figure(rows: dict[str, dict[str, float]], metric: str = "HR@10") -> tuple[go.Figure, str]:
    """One bar per ranker (name → metrics), the oracle's in black; and its sentence."""
    if not rows:
        return empty_figure("Nothing to test"), "No user has 3 events, so there is no test item."
    names = list(rows)
    colors = {"oracle": REFERENCE, "text-only oracle": TEXT, "image-only oracle": IMAGE}
    values = [rows[name][metric] for name in names]
    figure = go.Figure(
        go.Bar(
            x=values, y=names, orientation="h", marker_color=[colors.get(name, MUTED) for name in names],
            text=[f"{value:.3f}" for value in values], textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: " + metric + " %{x:.4f}<extra></extra>",
        )
    )  # fmt: skip
    if "oracle" in rows:
        title = f"Best reachable {metric}: {rows['oracle'][metric]:.3f}"
    else:
        title = f"{names[0]} reaches {metric} {values[0]:.3f}; the best reachable score is unknown"
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title=metric, range=[0, max(values) * 1.12])
    figure.update_layout(height=110 + 44 * len(names), title=title)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in zip(names, values, strict=True))
    return figure, f"{metric} on the test items: {listed}."
