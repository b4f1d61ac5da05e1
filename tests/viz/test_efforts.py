"""What trainings took: means over seeds, only of systems that were trained."""

import polars as pl

from macrec.viz.efforts import effort_table


def test_efforts_are_means_over_seeds_and_of_systems_that_made_steps():
    rows = [
        {"system": "popularity", "seed": 0, "samples": 0, "steps": 0, "cpu_seconds": 0.0},
        {"system": "B", "seed": 0, "samples": 1000, "steps": 100, "cpu_seconds": 1.0},
        {"system": "A", "seed": 0, "samples": 4000, "steps": 1200, "cpu_seconds": 10.2},
        {"system": "B", "seed": 1, "samples": 3000, "steps": 200, "cpu_seconds": 4.0},
        {"system": "oracle", "seed": 0, "samples": None, "steps": None, "cpu_seconds": None},
    ]
    assert effort_table(pl.DataFrame(rows)).to_dict(as_series=False) == {
        "system": ["B", "A"],
        "samples": ["2,000", "4,000"],
        "optimizer steps": ["150", "1,200"],
        "CPU seconds": ["2", "10"],
    }


def test_where_nothing_was_trained_the_table_is_empty():
    found = effort_table(pl.DataFrame({"system": ["oracle"], "seed": [0]}))
    assert found.columns == ["system", "samples", "optimizer steps", "CPU seconds"] and len(found) == 0
