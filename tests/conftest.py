"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--endure N`: the long form of the tests in tests/endure."""
    text = "tries per job in tests/endure (mutated inputs, kills); 0 is the short form that always runs"
    parser.addoption("--endure", type=int, default=0, metavar="N", help=text)


FIRST = ("tests/notebooks/", "tests/browser/", "tests/endure/", "tests/workbench/")
"""What takes longest, and is begun first where tests run in parallel."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `--dist loadgroup`, what one process runs: the tests of a file, or those of notebooks, which share a run."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = FIRST[0] if file.startswith(FIRST[0]) else file
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: next((n for n, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST)))


@pytest.fixture
def endure(request: pytest.FixtureRequest) -> int:
    """How many tries each test of endurance makes; 0: the few that always run."""
    count: int = request.config.getoption("--endure")
    return count


ROOT = Path(__file__).resolve().parent.parent

# No deadline: how long an example takes says how busy the machine is. The same examples every time, on every machine.
settings.register_profile("macrec", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("macrec")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the processes they start, keep their embeddings away from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MACREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


QUICK_MAP = """
class UMAP:
    def __init__(self, **settings): pass
    def fit_transform(self, values): return values[:, :2]
"""


@pytest.fixture(scope="session", autouse=True)
def quick_map(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In processes that tests start, as kernels, any map stands for UMAP's, which takes ten seconds to compile.

    UMAP itself runs in the tests of maps (tests/viz/test_figures.py).
    """
    modules = tmp_path_factory.mktemp("modules")
    (modules / "umap.py").write_text(QUICK_MAP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(modules), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, as in a terminal, also where the tests run in the background and a shell has turned it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is installed; tests that need it skip where it, or playwright, is absent."""
    pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[browser]'")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    installed = next((path for name in names if (path := shutil.which(name))), None)
    if installed is None:
        pytest.skip("no Chromium is installed")
    return installed


@pytest.fixture
def chromium(chromium_path: str) -> Iterator[Any]:
    """A fresh headless Chromium that playwright drives."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium_path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-unsafe-swiftshader"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, executed_notebook: Callable[..., None]) -> Path:
    """A run folder as notebook 06 leaves it, with a small trained MACRec; nobody may change it."""
    from macrec.demo.trained_run import system_of
    from macrec.training import drain

    folder = tmp_path_factory.mktemp("runs") / "small"
    executed_notebook(folder)
    data, split, macrec = system_of(folder)
    drain(macrec.fit(data, split))
    return folder


@pytest.fixture(scope="session")
def executed_notebook() -> Callable[..., None]:
    """Writes notebook 06 into a run folder as papermill would leave it there, with the parameters of a small run."""
    import nbformat

    def write(folder: Path, **parameters: Any) -> None:
        notebook = nbformat.read(ROOT / "notebooks" / "06_generation.ipynb", as_version=4)
        notebook.metadata["papermill"] = {"parameters": {"profile": "smoke", "codewords": 8, **parameters}}
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / "06_generation.ipynb")

    return write


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets that may stand beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real datasets are not beside this checkout")
    return folder
