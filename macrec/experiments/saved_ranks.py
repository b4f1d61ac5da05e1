"""The ranks of a comparison, user by user, in a file: with them any two of its systems can be compared later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.evaluation.metrics import ranking_metrics
from macrec.experiments.results import Results
from macrec.files import replacing

COLUMNS = ("system", "seed", "masked", "user", "rank")


def save_ranks(file: Path, *parts: Results) -> None:
    """Write the ranks of `parts`, which are of the same users, as parquet: a row per system, seed, protocol and user.

    Columns: `system`, `seed`, `masked` (whether items of the history were no candidates), `user` (its number in the
    dataset), `rank` of its target (1 is best, 0 where it was not ranked), and one boolean column per group of users.
    A system that is in several parts is written once. An oracle is a system, the same under both protocols.
    """
    tables, known = [], set[str]()
    for results in parts:
        groups = {f"group {name}": mask for name, mask in results.groups.items()}
        oracles = {name: {results.seeds[0]: ranks} for name, ranks in results.marks.items()}
        for masked, of_protocol in results.ranks.items():
            ranked = {**of_protocol, **oracles}
            for system in [name for name in ranked if name not in known]:
                for seed, ranks in ranked[system].items():
                    about = {"system": system, "seed": seed, "masked": masked}
                    of_users = {"user": results.samples.user, "rank": ranks, **groups}
                    tables.append(
                        pl.DataFrame(of_users).select(*(pl.lit(v).alias(k) for k, v in about.items()), pl.all())
                    )
        known |= {name for of_protocol in results.ranks.values() for name in of_protocol} | oracles.keys()
    if tables:
        with replacing(file) as temporary:
            pl.concat(tables).with_columns(pl.col("user", "rank", "seed").cast(pl.Int32)).write_parquet(temporary)


@dataclass(frozen=True)
class SavedRanks:
    """What `save_ranks` wrote."""

    file: Path
    table: pl.DataFrame

    @classmethod
    def load(cls, file: Path) -> SavedRanks:
        """Raises DataError for a file that cannot be read, or that `save_ranks` has not written."""
        try:
            table = pl.read_parquet(file)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError("the ranks cannot be read", file=file, fix="run notebook 08 again") from error
        if missing := [column for column in COLUMNS if column not in table.columns]:
            what = f"the column {missing[0]} is missing"
            raise DataError(what, file=file, fix="give the ranks.parquet of a run of notebook 08")
        return cls(file, table)

    def of(self, system: str, masked: bool = False, group: str = "") -> NDArray[np.int64]:
        """The ranks `[R, U]` of R seeds under one protocol, of the users of a group (default: of all).

        "not GROUP" are the others. Raises DataError for a system or a group that there is none of.
        """
        others, group = group.startswith("not "), group.removeprefix("not ")
        column = f"group {group}"
        if group and column not in self.table.columns:
            known = ", ".join(name.removeprefix("group ") for name in self.table.columns if name.startswith("group "))
            raise DataError(f'there is no group "{group}"', file=self.file, fix=f"choose one of {known or 'none'}")
        mine = self.table.filter(pl.col("system") == system, pl.col("masked") == masked)
        if mine.is_empty():
            known = ", ".join(self.table["system"].unique(maintain_order=True))
            raise DataError(f'there is no system "{system}"', file=self.file, fix=f"choose one of {known}")
        mine = mine.filter(pl.col(column) != others) if group else mine
        seeds = mine.partition_by("seed", maintain_order=True)
        return np.stack([part["rank"].to_numpy().astype(np.int64) for part in seeds])

    @property
    def users(self) -> int:
        """How many users, or samples where a published split has several of one."""
        system, _, masked = self.table.row(0)[:3]
        return len(self.of(system, masked)[0])

    def by_seed(self, system: str, metric: str = "NDCG@10", masked: bool = False, group: str = "") -> list[float]:
        """A metric of a system, seed by seed."""
        k = int(metric.partition("@")[2])
        return [ranking_metrics(ranks, (k,))[metric] for ranks in self.of(system, masked, group)]
