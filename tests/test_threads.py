import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from macrec.threads import ALONE, SPIN, bounded_spin, threads_for
from macrec.training import Plan, drain, train


def child(code, **environment):
    """What a fresh Python prints, with no OpenMP settings but these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP", "KMP", "OMP"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_plain_import_bounds_the_spin_and_the_user_s_own_setting_wins():
    code = "import macrec, os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('KMP_BLOCKTIME'))"
    assert child(code) == " ".join(SPIN.values())
    assert child(code, GOMP_SPINCOUNT="7") == f"7 {SPIN['KMP_BLOCKTIME']}"
    assert child(code, OMP_WAIT_POLICY="ACTIVE") == "None None"


def test_processes_that_we_start_inherit_the_bound():
    code = (
        "import macrec, subprocess, sys;"
        "print(subprocess.run([sys.executable, '-c', 'import os; print(os.environ.get(\"GOMP_SPINCOUNT\"))'],"
        "capture_output=True, text=True).stdout)"
    )
    assert child(code) == SPIN["GOMP_SPINCOUNT"]


@pytest.mark.slow
def test_torch_s_runtime_reads_the_bound():
    """GNU's runtime tells its settings when it is loaded; other runtimes do not."""
    code = "import macrec, torch; torch.ones(3)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP", "KMP", "OMP"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch does not use GNU's OpenMP here")
    told = [line.rpartition("'")[0] for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    assert {line.rpartition("'")[2] for line in told} == {SPIN["GOMP_SPINCOUNT"]}


def test_only_what_is_not_set_is_added():
    assert bounded_spin({"KMP_BLOCKTIME": "3"}) == {"GOMP_SPINCOUNT": SPIN["GOMP_SPINCOUNT"]}
    assert bounded_spin(SPIN) == {}


class Wide:
    """A task of so many weights that notes the threads of its steps."""

    def __init__(self, weights):
        self.module = nn.Linear(weights, 1, bias=False)
        self.threads = []

    def losses(self, step):
        self.threads.append(torch.get_num_threads())
        loss = self.module.weight.square().sum()
        return loss, {}

    def batch_size(self, step):
        return 1

    def stepped(self, step):
        pass

    def measure(self):
        return {}, {}


@pytest.mark.parametrize("weights", [ALONE - 1, ALONE])
def test_small_steps_take_one_thread_and_leave_the_setting_as_it_was(weights):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        task = Wide(weights)
        drain(train(task, Plan(steps=2)))
        assert task.threads == [threads_for(weights, 2)] * 2 == ([1, 1] if weights < ALONE else [2, 2])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
