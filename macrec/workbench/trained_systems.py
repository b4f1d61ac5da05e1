"""The generators of a run, opened again with the parameters that its notebooks had; nothing is learned here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macrec.encoders.modalities import modality_specs
from macrec.errors import DataError, NotApplicable
from macrec.evaluation.system import System
from macrec.experiments.compare_systems import SystemComparison
from macrec.experiments.open_context import open_context
from macrec.experiments.session import open_dataset
from macrec.systems.generative import Generative
from macrec.systems.registry import Context, open_generator, systems
from macrec.systems.settings import PROFILES, Parameters
from macrec.training import drain
from macrec.workbench.notebooks import find_notebooks, notebook_folder, read_notebook
from macrec.workbench.parameters import declared_parameters

BESIDE = "LIGER"
"""The system that is looked for beside the generator of notebook 06."""


@dataclass(frozen=True, eq=False)
class Opened:
    """What a notebook makes in a run before anything is learned: the inputs of systems, the encoder of every modality,
    and the notebook's parameters.
    """

    context: Context
    specs: Mapping[str, str]
    given: Mapping[str, Any]


def parameters_of(folder: Path, number: str = "06") -> dict[str, Any]:
    """What a notebook was executed with in a run; where it only ran live, the values of the project's own notebook."""
    notebook = find_notebooks([number])[0]
    parameters, executed = declared_parameters(notebook), folder / notebook.name
    if executed.exists():
        about = read_notebook(executed)["metadata"].get("papermill", {})
        parameters |= declared_parameters(executed) | dict(about.get("parameters", {}))
    return parameters


def open_inputs(folder: Path, number: str = "06") -> Opened:
    """The dataset, its split, embeddings and settings by the parameters of a notebook of the run."""
    given = parameters_of(folder, number)
    asked = Parameters.from_values(given)
    specs = modality_specs(given["text_encoder"], given["image_encoder"], given["modalities"])
    files = {"text": given["text_ids"], "image": given["image_ids"]}
    with chdir(notebook_folder()):  # where notebooks run: paths among the parameters are meant from there
        users, newest, cold = given["sample_users"], given["newest_events"], given.get("held_out", 0.0)
        data = open_dataset(given["dataset"], given["profile"], users, newest, held_out=cold)
        context = open_context(folder / "artifacts" / "systems", data, data.split(), asked, specs, files)
    return Opened(context, specs, given)


def generator_of(opened: Opened) -> Generative:
    """The system of notebook 06, not yet loaded."""
    with chdir(notebook_folder()):
        return open_generator(opened.context, opened.given["system"])


def open_trained_systems(folder: Path, names: str = "") -> tuple[Opened, dict[str, Generative]]:
    """The generators that were trained to their end in the run, by name: those between commas in `names`.

    Default: that of notebook 06, and LIGER. Beside that of 06 those are found that its parameters, or those of notebook
    08 where that was executed, make. Raises DataError where none was trained, or one that is named.
    """
    if not (folder / "artifacts").is_dir():
        raise untrained(folder)
    opened = open_inputs(folder)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    found: dict[str, Generative] = {}
    for system in candidates(folder, opened, wanted):
        if system.name not in found and (not wanted or system.name in wanted) and load(opened.context, system):
            found[system.name] = system
    if lacking := [name for name in wanted if name not in found]:
        raise untrained(folder, f'no "{lacking[0]}" that was trained to its end with its parameters')
    if not found:
        raise untrained(folder)
    return opened, found


def candidates(folder: Path, opened: Opened, wanted: list[str]) -> list[Generative]:
    """The generators that may have been trained, not yet loaded, those of notebook 06 first."""
    context, made = opened.context, [generator_of(opened)]
    names = wanted or [BESIDE]
    with chdir(notebook_folder()):
        for name in names:
            with suppress(NotApplicable):
                made += generators(systems(context, name))
        if (folder / find_notebooks(["08"])[0].name).exists():
            other = open_inputs(folder, "08")
            asked, data = other.given, context.data
            if other.context.data.fingerprint == data.fingerprint and other.specs == opened.specs:
                usual = PROFILES[asked["profile"]].systems
                comparison = SystemComparison(other.context, asked["systems"], asked["reference"], usual=usual)
                made += [one for one in generators(comparison.make(asked["seed"])) if one.name in names]
    return made


def generators(made: Mapping[str, System]) -> list[Generative]:
    """Those of the systems that are generators."""
    return [system for system in made.values() if isinstance(system, Generative)]


def load(context: Context, system: Generative) -> bool:
    """Load a generator whose training is finished; False where there is none."""
    data, split = context.data, context.split
    if not system.ids.known(data, split):
        return False
    drain(system.learn_ids(data, split))
    if not system.checkpoint(data, split, system.ids.tables(data, split)).finished():
        return False
    drain(system.learn_generator(data, split))
    return True


def untrained(folder: Path, what: str = "no generator that was trained to its end with its parameters") -> DataError:
    """The error for a run without a generator."""
    fix = "run make demo first, or macrec run 06 --out with this folder"
    return DataError(f"the run holds {what}", file=folder, fix=fix)
