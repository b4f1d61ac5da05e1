"""Serving the demo page with Voila: on this machine only, with nothing fetched from any other.

Our settings (`jupyter/voila.json`) answer only requests that name this machine as their host, so that no page from
elsewhere can reach it under a name of its own, and only visitors who bring the token of the printed address. Each
visitor has a kernel; how many there may be is `BoundedKernelManager`'s to say.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nbformat

from macrec.errors import DataError
from macrec.workbench.notebooks import notebook_folder

SETTINGS = Path(__file__).parents[1] / "jupyter"
"""Our template, which asks no other machine for anything, and `voila.json`, whose policy makes browsers see to it."""


def serve(folder: Path, port: int, options: Sequence[str] = (), ready: Callable[[], None] = lambda: None) -> int:
    """Serve the page of a run until interrupted, one kernel per visitor; returns Voila's exit code.

    `options` go to Voila, which needs the variables of `environment`; `ready` is called once it answers. Raises
    DataError when the port is taken.
    """
    check_free(port)
    with tempfile.TemporaryDirectory(prefix="macrec-") as place:  # Voila serves a folder: one with nothing else in it
        page = write_page(folder, Path(place))
        command = [sys.executable, "-m", "voila", str(page), f"--port={port}", "--Voila.ip=127.0.0.1", *options]
        with subprocess.Popen(command) as server:
            try:
                while server.poll() is None and not answers(port):
                    time.sleep(0.1)
                if server.poll() is None:
                    ready()
                return server.wait()
            except KeyboardInterrupt:  # Ctrl-C reaches Voila, too, which ends its kernels
                server.wait()
                raise


def environment(around: Mapping[str, str]) -> dict[str, str]:
    """The variables that Voila and its kernels need: our settings first, a token (the user's own, or a new one) and one
    thread.
    """
    ours = {
        name: os.pathsep.join(filter(None, [str(SETTINGS), around.get(name)]))
        for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
    }
    # There is one history at a time: a second thread has little to do, and on a busy machine it is waited for.
    threads = {"OMP_NUM_THREADS": around.get("OMP_NUM_THREADS", "1")}
    return ours | threads | {"JUPYTER_TOKEN": around.get("JUPYTER_TOKEN") or secrets.token_hex(16)}


def write_page(folder: Path, place: Path) -> Path:
    """The project's `demo_page` notebook, for a run folder, as a file in the folder `place`."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    source = notebook_folder() / "demo_page.ipynb"
    if not source.exists():
        raise DataError("the notebook of the demo page is not there", file=source, fix="install macrec again")
    notebook = parameterize_notebook(load_notebook_node(str(source)), {"out": str(folder.resolve())})
    page = place / source.name
    nbformat.write(notebook, page)
    return page


def answers(port: int) -> bool:
    """Whether a process listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_free(port: int) -> None:
    """Raise DataError when a process listens on the port already."""
    if answers(port):
        raise DataError(f"port {port} is taken", fix="stop what listens there, or choose another one with --port")
