"""The page: a person, or a history of one's own; what MACRec recommends next; and why."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import polars as pl

from macrec.demo.explain import Answer, Explainer, Items
from macrec.demo.frame import framed
from macrec.demo.tiles import Tiles, pictures
from macrec.demo.trained_run import Opened, open_trained
from macrec.demo.why import why_html
from macrec.errors import DataError
from macrec.viz.assets import style
from macrec.viz.coded_items import counted
from macrec.viz.labels import item_label
from macrec.viz.pictures import Gallery
from macrec.viz.theme import FUSED, VARIABLES
from macrec.viz.views.beam_trace import beam_trace
from macrec.viz.views.histories import personas

SHOWN, FOUND, RECOMMENDED = 20, 12, 10
"""Tiles of the history (its newest items), of the search and of the recommendations."""
HIDDEN = "not shown"


def demo_page(out: str = "") -> widgets.Widget:
    """The page of the run folder `out` (default: runs/demo) as one widget. Raises what `open_trained` raises."""
    return DemoPage(open_trained(out)).widget


class DemoPage:
    """The widgets and what they show now: a `history`, the `answer` to it, and the `chosen` recommendation, from 0.

    `truth` is what a person of the dataset took next, None for a history that was changed by hand.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened, self.data = opened, opened.data
        self.explainer = Explainer(opened.data, opened.macrec.decoder)
        self.history: Items = np.zeros(0, np.int64)
        self.answer: Answer | None = None
        self.truth: int | None = None
        self.chosen: int | None = None
        self.matches: list[int] = []
        self.rng = np.random.default_rng(0)
        # Lower case, once: what a search looks at.
        text = pl.concat_str("title", "brand", pl.col("categories").list.join(" "), "description", separator=" ")
        self.words = self.data.items.select(text.str.to_lowercase()).to_series()

        picture = pictures(self.data)
        people = personas(self.data.histories)
        self.people = widgets.ToggleButtons(options=list(people.items()), value=None, description="User")
        self.name = widgets.Text(
            description="or a user by id", placeholder=str(self.data.user_ids[0]), continuous_update=False
        )
        self.another = widgets.Button(description="another user", tooltip="a user drawn at random")
        self.empty = widgets.Button(description="start empty", tooltip="an empty history, to be filled from the search")
        self.query = widgets.Text(description="Search by words", placeholder="steel planter")
        self.history_tiles = Tiles("history", SHOWN, self.data, picture, lambda place: self.react(self.remove, place))
        self.match_tiles = Tiles("found", FOUND, self.data, picture, lambda place: self.react(self.add, place))
        self.next_tiles = Tiles("next", RECOMMENDED, self.data, picture, lambda place: self.react(self.choose, place))
        self.history_words, self.match_words, self.next_words = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.why = widgets.HTML(words_html("Choose a recommendation to see why it is one."))
        paths = [path.name.removesuffix(", sequence") for path in self.asked]
        self.search = widgets.ToggleButtons(
            options=[(HIDDEN, None), *((name, number) for number, name in enumerate(paths))],
            description="The whole beam search",
        )
        self.trace = widgets.HTML()
        self.status = widgets.HTML().add_class("macrec-status")
        self.widget = self._layout()

        self.people.observe(lambda change: self.react(self.show_persona, change.new), names=["value"])
        self.name.observe(lambda change: self.react(self.show_named, change.new), names=["value"])
        self.query.observe(lambda change: self.react(self.find, change.new), names=["value"])
        self.search.observe(lambda change: self.react(self.show_search), names=["value"])
        self.another.on_click(lambda _: self.react(self.show_random_user))
        self.empty.on_click(lambda _: self.react(self.show_own, np.zeros(0, np.int64)))
        self.find("")
        self.people.value = people["a typical user"]

    @property
    def asked(self) -> list[Any]:
        """The tasks of the paths that recommendations come from."""
        return [self.explainer.tables.tasks[number] for number in self.explainer.decoder.paths]

    def react(self, action: Callable[..., None], *given: Any) -> None:
        """Answer a click, and show how long it took or what went wrong: errors of observers appear nowhere else."""
        start = time.perf_counter()
        try:
            action(*given)
            said, kind = f"Answered in {1000 * (time.perf_counter() - start):.0f} ms.", ""
        except DataError as error:
            said, kind = str(error), ' class="macrec-error"'
        except Exception as error:
            said, kind = f"This did not work: {type(error).__name__}: {error}", ' class="macrec-error"'
        self.status.value = f"<span{kind}>{html.escape(said)}</span>"

    def show_persona(self, user: int | None) -> None:
        """One of the users picked by rule; None changes nothing."""
        if user is not None:
            self.name.value = ""
            self.show_user(user)

    def show_user(self, user: int) -> None:
        """The history of a person, without what came last: that is what is to be found."""
        test = self.opened.test
        row = int(np.searchsorted(test.user, user))
        tested = row < len(test) and test.user[row] == user
        history = (test.history(row) if tested else self.data.histories[user]).astype(np.int64)
        self.show_history(history, str(self.data.user_ids[user]), int(test.targets[row]) if tested else None)

    def show_named(self, name: str) -> None:
        """The person with this id; an empty one changes nothing. Raises DataError when there is none."""
        if not name.strip():
            return
        users = (self.data.user_ids == name.strip()).arg_true()
        if not len(users):
            raise DataError(
                f'no user has the id "{name.strip()}"',
                fix=f"write one such as {self.data.user_ids[self.data.num_users // 2]}",
            )
        self.people.value = None
        self.show_user(int(users[0]))

    def show_random_user(self) -> None:
        """A person drawn at random."""
        self.people.value, self.name.value = None, ""
        self.show_user(int(self.rng.integers(self.data.num_users)))

    def find(self, words: str) -> None:
        """Items whose texts hold all `words`; a few at random where there are none."""
        wanted = words.lower().split()
        if not wanted:
            self.matches = self.rng.permutation(self.data.num_items)[:FOUND].tolist()
            said = f"A few of {self.data.num_items:,} items. Click one to add it to the history."
        else:
            hits = pl.Series(np.ones(len(self.words), bool))
            for word in wanted:
                hits &= self.words.str.contains(word, literal=True)
            every = hits.arg_true()
            self.matches = every[:FOUND].to_list()
            said = f"{len(every):,} found. Click one to add it to the history." if len(every) else "Nothing found."
        self.match_words.value = words_html(said)
        self.match_tiles.show(self.matches, ["add to the history"] * len(self.matches))

    def add(self, place: int) -> None:
        """Put the item found at `place` at the end of the history. Raises DataError when it is there already."""
        item = self.matches[place]
        if item in self.history:
            raise DataError(f"“{item_label(self.data, item)}” is in the history already", fix="add another one")
        self.show_own(np.append(self.history, item))

    def remove(self, place: int) -> None:
        """Take the item that the history's tile `place` shows out of the history."""
        self.show_own(np.delete(self.history, max(0, len(self.history) - SHOWN) + place))

    def show_own(self, history: Items) -> None:
        """A history that no person of the dataset has."""
        self.people.value, self.name.value = None, ""
        self.show_history(history, "A history of your own")

    def show_history(self, history: Items, name: str, truth: int | None = None) -> None:
        """Show a history and its recommendations, and explain the first."""
        self.history, self.truth, self.answer, self.chosen = history, truth, None, None
        shown = history[-SHOWN:]
        before = f", the {len(history) - SHOWN} before are not shown" if len(history) > SHOWN else ""
        self.history_words.value = words_html(
            f"{name}: {counted(len(history), 'item')}, the newest last{before}. Click an item to take it out.",
        )
        self.history_tiles.show(shown.tolist(), ["take it out of the history"] * len(shown))
        if not len(history):
            self.next_words.value = words_html("The history is empty: add an item from the search.")
            self.next_tiles.show([], [])
            self.why.value = self.trace.value = ""
            return
        answer = self.explainer.answer(history, RECOMMENDED)
        if not len(answer.items):
            self.next_words.value = words_html("Nothing is left to recommend: take an item out of the history.")
            self.next_tiles.show([], [])
            self.why.value = self.trace.value = ""
            return
        self.answer = answer
        ranks = answer.true_ranks
        notes = [
            f"place {place + 1}" + (f", the oracle's rank {ranks[place]:,}" if ranks is not None else "") + ": show why"
            for place in range(len(answer.items))
        ]
        marks = [f"{place + 1}." + " ✓" * (item == truth) for place, item in enumerate(answer.items.tolist())]
        self.next_tiles.show(answer.items.tolist(), notes, marks)
        self.next_words.value = words_html(self._said_of_truth())
        self.choose(0)

    def choose(self, place: int) -> None:
        """Explain the recommendation at `place`."""
        if self.answer is None or place >= len(self.answer.items):
            return
        answer, item, self.chosen = self.answer, int(self.answer.items[place]), place
        self.next_tiles.choose(place)
        asked = [path for path in answer.paths if path.weight]
        ways = [(path, self.explainer.way(answer.history, path.task, item)) for path in asked]
        self.why.value = why_html(answer, place, self.data, self.explainer.tables, ways)
        self.show_search()

    def show_search(self) -> None:
        """The beam search of the chosen path, with the prefixes of the chosen item."""
        if self.search.value is None or self.answer is None or self.chosen is None:
            self.trace.value = ""
            return
        task = self.asked[self.search.value]
        view = beam_trace(
            self.explainer.trace(self.history, task),
            self.explainer.decoder.tries[task.target],
            self.explainer.tables.table(task.target),
            0,
            Gallery(self.data, np.zeros(0, np.int64)),
            int(self.answer.items[self.chosen]),
            task.name.removesuffix(", sequence"),
            f"recommendation {self.chosen + 1}",
            FUSED,
        )
        self.trace.value = framed(view, "The beam search, level by level")

    def _said_of_truth(self) -> str:
        """The true next item, and its place among the recommendations."""
        if self.truth is None or self.answer is None:
            return "Click one to see why."
        hits = np.flatnonzero(self.answer.items == self.truth)
        where = f"place {hits[0] + 1} here, marked ✓" if len(hits) else f"not among these {len(self.answer.items)}"
        said = f"The true next item: “{item_label(self.data, self.truth)}”, {where}"
        true = self.explainer.truth(self.history, np.array([self.truth]))
        return said + (f"; rank {true[1][0]:,} by the oracle." if true is not None else ".")

    def _layout(self) -> widgets.Widget:
        """All of it in order of reading and of the Tab key."""
        paths = " and ".join(path.name.removesuffix(", sequence") for path in self.asked)
        lead = (
            f"MACRec of the run “{self.opened.folder.name}”, trained on {self.data.name}, {self.data.num_items:,} "
            f"items. It reads the semantic IDs of a history and writes the ID of what comes next, on the paths {paths}."
        )
        rules = f"<style>{VARIABLES}{style(Path(__file__).with_name('style.css'))}</style>"
        head = widgets.HTML(f"{rules}<h1>What comes next, and why?</h1>{words_html(lead)}")
        who = row(self.people, self.name, self.another, self.empty)
        history = part("A history", who, self.history_words, self.history_tiles.widget)
        search = part("Add to it", self.query, self.match_words, self.match_tiles.widget)
        following = part("What MACRec recommends", self.next_words, self.next_tiles.widget)
        why = part("Why", self.why)
        trace = part("", self.search, self.trace)
        answers = row(following, why).add_class("macrec-answers")
        return widgets.VBox([head, row(history, search), answers, trace, self.status]).add_class("macrec-demo")


def row(*children: widgets.Widget) -> widgets.Box:
    """Side by side, below each other where it is narrow."""
    return widgets.Box(children).add_class("macrec-row")


def part(title: str, *children: widgets.Widget) -> widgets.Box:
    """One part of the page under its heading."""
    heading = [widgets.HTML(f"<h2>{html.escape(title)}</h2>")] if title else []
    return widgets.VBox([*heading, *children]).add_class("macrec-part")


def words_html(words: str) -> str:
    """A paragraph of plain words."""
    return f"<p>{html.escape(words)}</p>"
