"""Trainings of recommenders that die at random moments learn the same, to the bit. `--endure N`: up to 20 deaths."""

import sys
from pathlib import Path

import pytest

from tests.endure.deaths import Server, endure_deaths

JOBS = Path(__file__).with_name("learning_jobs.py")
SHORT, LONG = 2, 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")


def result(folder: Path) -> bytes:
    return (folder / "result").read_bytes()


@pytest.mark.parametrize("job", ["generator", "sasrec"])
def test_a_training_that_dies_and_is_begun_again_learns_the_same_to_the_bit(tmp_path, endure, job):
    deaths = min(endure, LONG) or SHORT
    with Server(JOBS, job) as server:
        died, ended = endure_deaths(server, tmp_path, deaths, result)
    assert died == deaths and ended >= 1
    print(f"{job}: {died} deaths, {ended} came to the same end")
