"""Whenever a job dies, beginning it again brings it to the same end. `--endure N`: up to 50 deaths per job."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from macrec.files import finish_interrupted
from tests.endure.deaths import Server, contents, endure_deaths

JOBS = Path(__file__).with_name("jobs.py")
SHORT, LONG = 4, 50

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")


def result(folder: Path) -> bytes:
    return (folder / "result").read_bytes()


def saved(folder: Path) -> dict[str, bytes]:
    """Everything that is there, after what a reader or writer does first."""
    finish_interrupted(folder / "saved")
    return contents(folder)


@pytest.mark.parametrize(("job", "outcome"), [("store", result), ("codebooks", result), ("folders", saved)])
def test_a_job_that_dies_and_is_begun_again_ends_as_if_nothing_had_been(tmp_path, endure, job, outcome):
    deaths = min(endure, LONG) or SHORT
    with Server(JOBS, job) as server:
        died, ended = endure_deaths(server, tmp_path, deaths, outcome)
    assert died == deaths and ended >= 1
    print(f"{job}: {died} deaths, {ended} came to the same end")


def test_the_harness_notices_a_job_that_loses_something(tmp_path):
    """A job that goes on from a half-written file, as ours must not."""
    (tmp_path / "jobs.py").write_text(
        "def job(folder):\n"
        "    if not (folder / 'result').exists():\n"
        "        (folder / 'result').touch()\n"
        "        (folder / 'other').touch()\n"
        "        (folder / 'result').write_text('whole')\n"
    )
    with Server(tmp_path / "jobs.py", "job") as server, pytest.raises(AssertionError, match="the result differs"):
        endure_deaths(server, tmp_path, 20, result)


def test_a_job_that_fails_by_itself_is_no_death(tmp_path):
    (tmp_path / "jobs.py").write_text("def job(folder):\n    raise ValueError\n")
    with Server(tmp_path / "jobs.py", "job") as server, pytest.raises(AssertionError, match="failed by itself"):
        endure_deaths(server, tmp_path, 1)
