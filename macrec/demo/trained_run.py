"""The trained MACRec of a run, loaded with the parameters that notebook 06 had there; nothing is learned here."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split
from macrec.encoders.modalities import modality_specs
from macrec.errors import DataError
from macrec.experiments.open_context import open_context
from macrec.experiments.session import open_dataset
from macrec.systems import Generative, open_generator
from macrec.systems.settings import Parameters
from macrec.training import drain
from macrec.workbench.notebooks import find_notebooks, notebook_folder, read_notebook
from macrec.workbench.parameters import declared_parameters
from macrec.workbench.run import project_root


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
    data, split, macrec = system_of(folder)
    if not macrec.ids.known(data, split):
        raise untrained(folder)
    drain(macrec.learn_ids(data, split))
    if not macrec.checkpoint(data, split, macrec.ids.tables(data, split)).finished():
        raise untrained(folder)
    drain(macrec.learn_generator(data, split))
    return Opened(folder, data, split.test, macrec)


def system_of(folder: Path) -> tuple[Dataset, Split, Generative]:
    """What notebook 06 makes in a run folder before anything is learned: the dataset, its split and the system."""
    given = parameters_of(folder)
    asked = Parameters.from_values(given)
    encoders = modality_specs(given["text_encoder"], given["image_encoder"], given["modalities"])
    files = {"text": given["text_ids"], "image": given["image_ids"]}
    with chdir(notebook_folder()):  # where notebooks run: paths among the parameters are meant from there
        data = open_dataset(given["dataset"], given["profile"], given["sample_users"], given["newest_events"])
        split = data.split()
        context = open_context(folder / "artifacts" / "systems", data, split, asked, encoders, files)
        generator = open_generator(context, given["system"])
    return data, split, generator


def parameters_of(folder: Path) -> dict[str, Any]:
    """What notebook 06 was executed with in a run; where it only ran live, the values of the project's own notebook."""
    notebook = find_notebooks(["06"])[0]
    parameters, executed = declared_parameters(notebook), folder / notebook.name
    if executed.exists():
        about = read_notebook(executed)["metadata"].get("papermill", {})
        parameters |= declared_parameters(executed) | dict(about.get("parameters", {}))
    return parameters


def untrained(folder: Path) -> DataError:
    """The error for a run without a generator to show."""
    return DataError(
        "the run holds no generator that was trained to its end with its parameters", file=folder,
        fix="run make demo first, or macrec run 06 --out with this folder",
    )  # fmt: skip
