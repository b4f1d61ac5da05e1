"""Serving the demo page with Voila: on this machine only, with nothing fetched from any other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat

from macrec.errors import DataError
from macrec.workbench.run import project_root

SETTINGS = Path(__file__).parents[1] / "jupyter"
"""Our template, which asks no other machine for anything, and `voila.json`, whose policy makes browsers see to it."""


def serve(folder: Path, port: int, options: Sequence[str] = ()) -> int:
    """Serve the page of a run until interrupted, one kernel per visitor; returns Voila's exit code.

    `options` go to Voila, which needs the variables of `environment`. Raises DataError when the port is taken.
    """
    check_free(port)
    with tempfile.TemporaryDirectory(prefix="macrec-") as place:  # Voila serves a folder: one with nothing else in it
        page = write_page(folder, Path(place))
        command = [sys.executable, "-m", "voila", str(page), f"--port={port}", "--Voila.ip=127.0.0.1", *options]
        return subprocess.call(command)


def environment(around: Mapping[str, str]) -> dict[str, str]:
    """The variables that Voila and its kernels need: our settings first, and one thread."""
    ours = {
        name: os.pathsep.join(filter(None, [str(SETTINGS), around.get(name)]))
        for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
    }
    # There is one history at a time: a second thread has little to do, and on a busy machine it is waited for.
    return ours | {"OMP_NUM_THREADS": around.get("OMP_NUM_THREADS", "1")}


def write_page(folder: Path, place: Path) -> Path:
    """The project's `demo_page` notebook, for a run folder, as a file in the folder `place`."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    source = project_root() / "notebooks" / "demo_page.ipynb"
    if not source.exists():
        raise DataError("the notebook of the demo page is not there", file=source, fix="run macrec from a checkout")
    notebook = parameterize_notebook(load_notebook_node(str(source)), {"out": str(folder.resolve())})
    page = place / source.name
    nbformat.write(notebook, page)
    return page


def check_free(port: int) -> None:
    """Raise DataError when somebody listens on the port already."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise DataError(f"port {port} is taken", fix="stop what listens there, or choose another one with --port")
