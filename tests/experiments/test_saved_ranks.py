"""The file of ranks gives back every comparison that the results themselves give."""

from __future__ import annotations

import numpy as np
import pytest

from macrec.data import Histories, leave_one_out
from macrec.errors import DataError
from macrec.evaluation.evaluate import Evaluation
from macrec.evaluation.significance import paired_bootstrap
from macrec.experiments.results import Results
from macrec.experiments.saved_ranks import SavedRanks, save_ranks

USERS = 40


class Named:
    """A system that has nothing but a name."""

    def __init__(self, name: str) -> None:
        self.name = name


def results_of(names, seed=0):
    draws = np.random.default_rng(seed)
    samples = leave_one_out(Histories.from_lists([[0, 1, 2, 3]] * USERS)).test
    cold = np.arange(USERS) % 4 == 0
    found = Results(samples, {"cold": cold}, (0, 1))
    for name in names:
        for run in (0, 1):
            both = [
                Evaluation(
                    name, draws.integers(0, 12, USERS), np.zeros(4, int), np.ones(4, int), (1, 5, 10), 20, masked, {}
                )
                for masked in (False, True)
            ]
            found.add(run, Named(name), both)
    return found


def test_the_file_gives_back_what_was_measured(tmp_path):
    whole, ablated = results_of(["a", "b"]), results_of(["a", "b w/o c"], seed=1)
    oracle = np.arange(USERS) % 7
    for part in (whole, ablated):
        part.add_mark("oracle", oracle)
    save_ranks(tmp_path / "ranks.parquet", whole, ablated)
    saved = SavedRanks.load(tmp_path / "ranks.parquet")
    cold = whole.groups["cold"]
    for masked in (False, True):
        runs = {name: np.stack(list(of.values())) for name, of in whole.ranks[masked].items()}
        for name in ("a", "b"):  # "a" is that of the first part
            np.testing.assert_array_equal(saved.of(name, masked), runs[name])
            np.testing.assert_array_equal(saved.of(name, masked, "cold"), runs[name][:, cold])
            np.testing.assert_array_equal(saved.of(name, masked, "not cold"), runs[name][:, ~cold])
        difference = paired_bootstrap(saved.of("b", masked), saved.of("a", masked))
        assert difference == whole.differences("a", mask_seen=masked)["b"]
    assert saved.by_seed("a") == [row["NDCG@10"] for row in whole.rows if row["system"] == "a"]
    assert saved.users == USERS
    assert saved.of("b w/o c").shape == (2, USERS)
    np.testing.assert_array_equal(saved.of("oracle", masked=True), [oracle])  # it has no seed


def test_what_is_not_there_is_named(tmp_path):
    save_ranks(tmp_path / "ranks.parquet", results_of(["a"]))
    saved = SavedRanks.load(tmp_path / "ranks.parquet")
    with pytest.raises(DataError, match=r'no system "c".*choose one of a'):
        saved.of("c")
    with pytest.raises(DataError, match=r'no group "head".*choose one of cold'):
        saved.of("a", group="head")
    with pytest.raises(DataError, match=r"cannot be read.*run notebook 08 again"):
        SavedRanks.load(tmp_path / "none.parquet")
    (tmp_path / "other.parquet").write_bytes((tmp_path / "ranks.parquet").read_bytes())
    saved.table.drop("rank").write_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="the column rank is missing"):
        SavedRanks.load(tmp_path / "other.parquet")
    save_ranks(tmp_path / "nothing.parquet", Results(results_of(["a"]).samples, {}, (0,)))
    assert not (tmp_path / "nothing.parquet").exists()
