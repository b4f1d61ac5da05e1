"""The dataset card: the statistics to read before training on a dataset."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.split import train_part
from macrec.errors import DataError

MAX_HISTORY = 20
"""The history cap at which the split is described: that of TIGER, MQL4GRec and MACRec."""

NAMED = 3
"""Broken pictures that the card names in print; its json names all."""


@dataclass(frozen=True)
class Spread:
    """A distribution in four numbers."""

    min: float
    median: float
    mean: float
    max: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Spread:
        """Summarize `values` `[n]`; all zero when there are none."""
        if len(values) == 0:
            return cls(0, 0, 0, 0)
        return cls(float(values.min()), float(np.median(values)), float(values.mean()), float(values.max()))

    def __str__(self) -> str:
        return f"{self.min:g} / {self.median:g} / {self.mean:.2f} / {self.max:g}"


@dataclass(frozen=True)
class SplitCard:
    """The split at a history cap of 20 items.

    `kind`: "leave-one-out" or "published", that of the files. `train`, `valid`, `test`: samples. `history`: length of a
    training history, `full_history` the share at the cap. `unseen_valid`, `unseen_test`: targets that never occur in a
    training position (no collaborative signal at all).
    """

    kind: str
    train: int
    valid: int
    test: int
    history: Spread
    full_history: float
    test_history_mean: float
    unseen_valid: int
    unseen_test: int


@dataclass(frozen=True)
class DatasetCard:
    """Counts, distributions and pitfalls of one dataset. Shares are of all items by default.

    `density`: events per user-item pair. `core`: the largest k for which every user and every item that occurs has at
    least k events. `cold_items` never occur. `head_share`: events that fall on the most popular tenth of the items.
    `repeats`: events whose item the user already had. `tied_times`: neighboring events of a user with the same time
    (null without times): their order is arbitrary. `missing`: share of items without each field. `duplicate_texts` and
    `duplicate_images`: items whose text or picture is exactly that of an earlier item, a floor under the conflict rate
    of any semantic ID made from them. `near_duplicate_titles`: items whose title is that of another, give or take one
    word.
    `images_decoded`: pictures that were tried and decode; `images_broken`: those that do not, each with its item and
    the reason. `notes`: what was left out or chosen while loading.
    """

    name: str
    source: str
    fingerprint: str
    users: int
    items: int
    events: int
    density: float
    history_length: Spread
    item_events: Spread
    core: int
    cold_items: int
    head_share: float
    repeats: int
    tied_times: float | None
    behaviors: dict[str, int]
    missing: dict[str, float]
    duplicate_texts: float
    duplicate_images: float
    near_duplicate_titles: float
    images_decoded: int
    images_broken: list[str]
    split: SplitCard
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for json.dump."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of every line, for printing and for the figure."""
        missing = ", ".join(f"{name} {share:.1%}" for name, share in self.missing.items())
        rows = [
            ("users / items / events", f"{self.users:,} / {self.items:,} / {self.events:,}"),
            ("density", f"{self.density:.3%}"),
            ("events per user", f"{self.history_length}  (min / median / mean / max)"),
            ("events per item", f"{self.item_events}"),
            ("k-core", f"{self.core}-core" + (f", {self.cold_items:,} items never occur" if self.cold_items else "")),
            ("popularity", f"{self.head_share:.1%} of events on the most popular tenth of the items"),
            ("repeated items", f"{self.repeats:,} events"),
            ("equal times", "no times" if self.tied_times is None else f"{self.tied_times:.1%} of neighboring events"),
            ("missing", missing),
            ("exact duplicates", f"texts {self.duplicate_texts:.1%}, pictures {self.duplicate_images:.1%}"),
            ("near-duplicate titles", f"{self.near_duplicate_titles:.1%}"),
            ("pictures decoded", self.pictures()),
            ("split", "leave-one-out" if self.split.kind == "leave-one-out" else "as published with the data"),
            ("train / valid / test", f"{self.split.train:,} / {self.split.valid:,} / {self.split.test:,} samples"),
            ("training history", f"{self.split.history}, {self.split.full_history:.1%} at the cap of {MAX_HISTORY}"),
            ("unseen targets", f"{self.split.unseen_valid:,} validation, {self.split.unseen_test:,} test"),
        ]
        rows += [("note", note) for note in self.notes]
        if self.behaviors:
            rows.insert(8, ("behaviors", ", ".join(f"{name} {count:,}" for name, count in self.behaviors.items())))
        return rows

    def pictures(self) -> str:
        """How many pictures decode, and which of those tried do not."""
        if not self.images_broken:
            return f"{self.images_decoded:,}, all whole" if self.images_decoded else "none"
        named = "; ".join(self.images_broken[:NAMED]) + ("; …" if len(self.images_broken) > NAMED else "")
        return f"{self.images_decoded:,}; {len(self.images_broken):,} do not decode: {named}"

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.rows())
        head = [f"{self.name}  ({self.source})", f"{'fingerprint':{width}}  {self.fingerprint}"]
        return "\n".join(head + [f"{label:{width}}  {value}" for label, value in self.rows()])


def dataset_card(dataset: Dataset, decode_images: int = 0) -> DatasetCard:
    """Measure a dataset. `decode_images` pictures (in row order) are tried, and those that do not decode are named."""
    histories, n = dataset.histories, dataset.num_items
    counts = histories.counts(n)
    met = counts[counts > 0]
    pair = histories.users.astype(np.int64) * n + histories.items
    head = np.sort(counts)[::-1][: max(1, n // 10)].sum()
    pictured = np.flatnonzero(dataset.images.present)[:decode_images]
    broken = broken_pictures(dataset, pictured)
    return DatasetCard(
        name=dataset.name,
        source=dataset.source,
        fingerprint=dataset.fingerprint,
        users=dataset.num_users,
        items=n,
        events=dataset.num_events,
        density=dataset.num_events / (dataset.num_users * n),
        history_length=Spread.of(histories.lengths),
        item_events=Spread.of(met),
        core=int(min(histories.lengths.min(), met.min())),
        cold_items=n - len(met),
        head_share=float(head / dataset.num_events),
        repeats=len(pair) - len(np.unique(pair)),
        tied_times=tied_times(dataset),
        behaviors=behavior_counts(dataset),
        missing=missing_shares(dataset),
        duplicate_texts=duplicate_share(text_keys(dataset.items)),
        duplicate_images=duplicate_share(pl.Series(dataset.images.content_keys(), dtype=pl.Binary)),
        near_duplicate_titles=near_duplicates(dataset.items["title"]).mean() or 0.0,  # type: ignore[arg-type]
        images_decoded=len(pictured) - len(broken),
        images_broken=broken,
        split=split_card(dataset),
        notes=dataset.notes,
    )


def split_card(dataset: Dataset) -> SplitCard:
    """Describe the split."""
    train, valid, test = dataset.split(MAX_HISTORY)
    trained = train_part(dataset.histories).counts(dataset.num_items) > 0
    return SplitCard(
        kind="leave-one-out" if dataset.histories.parts is None else "published",
        train=len(train),
        valid=len(valid),
        test=len(test),
        history=Spread.of(train.lengths),
        full_history=float((train.lengths == MAX_HISTORY).mean()) if len(train) else 0.0,
        test_history_mean=float(test.lengths.mean()) if len(test) else 0.0,
        unseen_valid=int((~trained[valid.targets]).sum()),
        unseen_test=int((~trained[test.targets]).sum()),
    )


def broken_pictures(dataset: Dataset, rows: NDArray[np.integer]) -> list[str]:
    """Item and reason of each picture in `rows` that does not decode."""
    broken = []
    for row in rows.tolist():
        try:
            dataset.images.open(row)
        except DataError as error:
            broken.append(f"{error.row}, {Path(error.file or '').name}: {error.what}")
    return broken


def tied_times(dataset: Dataset) -> float | None:
    """Share of neighboring events of one user that carry the same time; None without times."""
    times, users = dataset.histories.timestamps, dataset.histories.users
    if times is None:
        return None
    same_user = users[1:] == users[:-1]
    return float((times[1:] == times[:-1])[same_user].mean()) if same_user.any() else 0.0


def behavior_counts(dataset: Dataset) -> dict[str, int]:
    """Events per behavior, by name."""
    names, behaviors = dataset.histories.behavior_names, dataset.histories.behaviors
    if behaviors is None:
        return {}
    return dict(zip(names, np.bincount(behaviors, minlength=len(names)).tolist(), strict=True))


def missing_shares(dataset: Dataset) -> dict[str, float]:
    """Share of items without each field."""
    items = dataset.items
    shares = {name: float((items[name] == "").mean()) for name in ("title", "brand", "description")}  # type: ignore[arg-type]
    shares["categories"] = float((items["categories"].list.len() == 0).mean())  # type: ignore[arg-type]
    return shares | {"picture": float(1 - dataset.images.present.mean())}


def text_keys(items: pl.DataFrame) -> pl.Series:
    """All text of an item as one string, null where there is none."""
    parts = [pl.col("title"), pl.col("brand"), pl.col("categories").list.join("\x1f"), pl.col("description")]
    joined = items.select(text=pl.concat_str(parts, separator="\x1e"))["text"]
    return joined.set(joined.str.strip_chars("\x1e") == "", None)


def duplicate_share(keys: pl.Series) -> float:
    """Share of all items whose key (where they have one) already occurred at an earlier item."""
    known = keys.drop_nulls()
    return (len(known) - known.n_unique()) / max(len(keys), 1)


def near_duplicates(titles: pl.Series) -> pl.Series:
    """Which titles equal another one, or would if one of the two lost a word: a boolean column `[N]`.

    Case, punctuation, order, numbers and words of one or two letters do not count, and at least 3 words must be
    shared. Found by joining word sets with word sets less one word, not by N² comparisons.
    """
    words = pl.col("title").str.to_lowercase().str.extract_all(r"[\p{L}'-]{3,}").list.unique().list.sort()
    whole = titles.to_frame("title").with_row_index("row").select("row", words=words)
    less_one = (
        whole.with_columns(drop=pl.int_ranges(0, pl.col("words").list.len()))
        .explode("drop", empty_as_null=False)
        .select(
            "row",
            words=pl.concat_list(
                pl.col("words").list.head(pl.col("drop")), pl.col("words").list.slice(pl.col("drop") + 1)
            ),
        )
    )
    sets = (
        pl.concat([whole.with_columns(whole=True), less_one.with_columns(whole=False)])
        .filter(pl.col("words").list.len() >= 3)
        .select("row", "whole", key=pl.col("words").list.join(" "))
    )
    shared = sets.filter((pl.col("row").n_unique() > 1).over("key") & pl.col("whole").any().over("key"))
    return pl.Series("near_duplicate", np.isin(np.arange(len(titles)), shared["row"].unique().to_numpy()))
