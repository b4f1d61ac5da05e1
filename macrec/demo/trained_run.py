"""The trained MACRec of a run, loaded with the parameters that notebook 06 had there; nothing is learned here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split
from macrec.systems import Generative
from macrec.workbench.run import project_root
from macrec.workbench.trained_systems import generator_of, load, open_inputs, parameters_of, untrained

__all__ = ["Opened", "open_trained", "parameters_of", "system_of"]


@dataclass(frozen=True, eq=False)
class Opened:
    """A run's dataset, its test samples (histories uncut) and the MACRec that was trained on it."""

    folder: Path
    data: Dataset
    test: Samples
    macrec: Generative


def open_trained(out: str | Path = "") -> Opened:
    """The MACRec that notebook 06 trained in the run folder `out`, a path from the project's root; default: runs/demo.

    Takes seconds. Raises DataError where nothing was trained to its end for the parameters of that run.
    """
    folder = project_root() / (out or "runs/demo")
    if not (folder / "artifacts").is_dir():
        raise untrained(folder)
    opened = open_inputs(folder)
    macrec = generator_of(opened)
    if not load(opened.context, macrec):
        raise untrained(folder)
    return Opened(folder, opened.context.data, opened.context.split.test, macrec)


def system_of(folder: Path) -> tuple[Dataset, Split, Generative]:
    """What notebook 06 makes in a run folder before anything is learned: the dataset, its split and the system."""
    opened = open_inputs(folder)
    return opened.context.data, opened.context.split, generator_of(opened)
