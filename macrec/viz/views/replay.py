"""Histories, targets and the recommendations of each system, in pictures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrec.data.ranking import NOT_RANKED, Ranking
from macrec.data.split import PADDING, Samples
from macrec.errors import DataError
from macrec.viz.cards import TARGET, Cards
from macrec.viz.labels import item_label
from macrec.viz.pictures import Gallery

MOST_USERS = 12
"""Users of one view, so that a page with all of them stays below 0.7 MB."""
LAST = 20
"""Items of a history that are shown, the newest ones."""


def replay(
    samples: Samples,
    which: Sequence[int],
    rankings: Mapping[str, Ranking],
    gallery: Gallery,
    groups: Mapping[str, NDArray[np.bool_]] | None = None,
    k: int = 10,
) -> str:
    """Some users' histories, what came next, and the first `k` items that every system ranks, as HTML.

    `which` are rows of `samples`, at most `MOST_USERS`; `rankings`: system → its ranking of all of `samples`;
    `groups`: name → mask `[S]`, such as `target_groups` makes, for saying what kind of user it is. The target is framed
    wherever a system has it, with its rank. A menu, and the keys ← and → on it, step through the users; without
    scripts all of them stand below each other. Raises DataError for too many users, for rows that are not there and for
    rankings of other samples.
    """
    _check(samples, which, rankings, groups or {})
    chosen = np.asarray(which, np.int64)
    part = samples.take(chosen)
    rows: list[int] = []
    for user in range(len(part)):
        rows += [*part.history(user)[-LAST:].tolist(), int(part.targets[user])]
    shown = {name: ranking.items[chosen, :k] for name, ranking in rankings.items()}
    rows += [int(row) for items in shown.values() for row in items[items != PADDING]]
    cards = Cards(gallery, rows)
    ranks = {name: ranking.rank_of(samples.targets)[chosen] for name, ranking in rankings.items()}

    options, sections = [], []
    for place, sample in enumerate(chosen.tolist()):
        kinds = [name for name, mask in (groups or {}).items() if mask[sample]]
        label = f"user {gallery.dataset.user_ids[int(samples.user[sample])]}"
        label += f" ({', '.join(kinds)})" if kinds else ""
        options.append(f'<option value="{place}">{html.escape(label)}</option>')
        history, target = part.history(place), int(part.targets[place])
        strips = [_history(cards, history.tolist()), _target(cards, target, ranks, rankings, place)]
        known = set(history.tolist())
        for name, ranking in rankings.items():
            strips.append(
                _ranked(
                    cards, name, shown[name][place].tolist(), ranking.scores[sample, :k].tolist(), target, known,
                    _where(int(ranks[name][place]), ranking.k),
                )
            )  # fmt: skip
        sections.append(f'<section aria-label="{html.escape(label, quote=True)}"><h4>{html.escape(label)}</h4>'
                        f"{''.join(strips)}</section>")  # fmt: skip
    menu = (
        '<div class="menu" hidden><button type="button">← previous</button>'
        f'<select aria-label="user">{"".join(options)}</select><button type="button">next →</button>'
        '<span aria-live="polite"></span></div>'
    )
    label = (
        f"What {len(chosen)} users did, what came next, and what {', '.join(rankings)} would have shown: the target is "
        "framed."
    )
    return cards.view(menu + "".join(sections), Path(__file__), label, f"--target:{TARGET}")


def _check(
    samples: Samples, which: Sequence[int], rankings: Mapping[str, Ranking], groups: Mapping[str, NDArray[np.bool_]]
) -> None:
    if not 1 <= len(which) <= MOST_USERS:
        raise DataError(f"{len(which)} users were chosen", field="which", fix=f"choose 1 to {MOST_USERS}")
    for sample in which:
        if not 0 <= sample < len(samples):
            fix = f"choose rows from 0 to {len(samples) - 1}"
            raise DataError(f"there is no row {sample} among the samples", field="which", fix=fix)
    for field, by_name in (("rankings", rankings), ("groups", groups)):
        for name, each in by_name.items():
            if len(each) != len(samples):
                raise DataError(
                    f'"{name}" has {len(each):,} rows for {len(samples):,} samples', field=field,
                    fix="give one row for every sample, not for the chosen users alone",
                )  # fmt: skip


def _history(cards: Cards, history: list[int]) -> str:
    """The newest items of a history, oldest first."""
    last = history[-LAST:]
    hidden = len(history) - len(last)
    cells = [_cell(cards, row, f"{len(last) - place} before the target") for place, row in enumerate(last)]
    told = f"{len(history)} {'item' if len(history) == 1 else 'items'}, oldest first"
    return _strip("history", told + (f"; the {hidden} before are not shown" if hidden else ""), cells)


def _target(
    cards: Cards, target: int, ranks: Mapping[str, NDArray[np.int64]], rankings: Mapping[str, Ranking], place: int
) -> str:
    """The true next item, with its place in every ranking."""
    where = "\n".join(f"{name}: {_where(int(of_system[place]), rankings[name].k)}" for name, of_system in ranks.items())
    return _strip("what came next", "", [_cell(cards, target, where, is_target=True)])


def _ranked(
    cards: Cards, name: str, items: list[int], scores: list[float], target: int, known: set[int], where: str
) -> str:
    """The first items of one system's ranking."""
    cells = []
    for rank, (row, score) in enumerate(zip(items, scores, strict=True), start=1):
        if row != PADDING:
            again = "\nin the history" if row in known else ""
            cells.append(_cell(cards, row, f"{name}: rank {rank}, score {score:.4g}{again}", is_target=row == target))
    return _strip(name, f"target: {where}", cells, is_hit=where.startswith("rank"))


def _where(rank: int, depth: int) -> str:
    """The place of a target in words."""
    return f"not in the first {depth}" if rank == NOT_RANKED else f"rank {rank}"


def _cell(cards: Cards, row: int, note: str, is_target: bool = False) -> str:
    """One item: its picture over its title."""
    title = item_label(cards.dataset, row)
    card = html.escape("\n".join(part for part in (note, "the target" * is_target) if part), quote=True)
    return (
        f'<li{" class=target" * is_target} title="{card}">{cards.picture(row)}'
        f'<div class="words">{html.escape(title)}</div></li>'
    )


def _strip(name: str, note: str, cells: list[str], is_hit: bool = False) -> str:
    """A named row of items."""
    place = f" <span{' class=found' * is_hit}>{html.escape(note)}</span>" if note else ""
    body = f"<ol>{''.join(cells)}</ol>" if cells else "<p>nothing</p>"
    return f'<div class="strip"><div class="name"><b>{html.escape(name)}</b>{place}</div>{body}</div>'
