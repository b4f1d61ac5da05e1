"""The run that all tests of executed notebooks share."""

from __future__ import annotations

import pytest

from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.run import Run
from macrec.workbench.runner import run_notebooks


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All notebooks on the smallest catalog, with so few codes that some items collide.

    07 goes first, into an empty folder: it has to make what it usually finds, and the others find what it has made.
    (That 04 and 08 run alone is seen in tests/browser/test_lab.py and where 08 has no pictures.)
    """
    parameters = {
        "profile": "smoke",
        "dataset": "curio:tiny",
        "codewords": 8,
        "crowded": 4,
        "distilled": "rq-dino:steps=20",
    }
    notebooks = sorted(find_notebooks(), key=lambda path: (not path.name.startswith("07"), path.name))
    return run_notebooks(notebooks, tmp_path_factory.mktemp("runs") / "smoke", parameters, progress=False)
