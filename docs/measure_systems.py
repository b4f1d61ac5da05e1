"""What notebook 08 does not ask of trained systems: `python docs/measure_systems.py subsets|beams RUN OUT`.

`RUN` is a run of notebook 08 on the built-in catalog, whose trainings are read; what is measured goes to the folder `OUT`,
which make_systems.py takes as it takes a run. "subsets": MSCGRec, with and without masking in training, reads every subset
of its modalities. "beams": LIGER and its steps with beams of several widths.
"""

# ruff: noqa: E501 (the prose is as wide as the pages are)

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from macrec.experiments import modality_specs, open_dataset
from macrec.experiments.compare_systems import compare_systems
from macrec.experiments.modality_subsets import modality_subsets
from macrec.experiments.new_items import steps_of_liger
from macrec.experiments.open_context import open_context
from macrec.experiments.results import Results
from macrec.experiments.saved_ranks import save_ranks
from macrec.systems import Generative, Parameters, System
from macrec.systems.registry import Context, open_generator
from macrec.training import drain
from macrec.workbench.experiment_file import read_experiment
from macrec.workbench.run import Run, environment

BEAMS = (5, 10, 20, 50, 100)


def subsets(context: Context) -> dict[str, System]:
    """MSCGRec as it reads each subset of its modalities, with and without masking in training."""
    made: dict[str, System] = {}
    for ending, without in (("", ""), (", no masking", " w/o masking")):
        system = trained(context, f"MSCGRec{without}")
        for name, reading in modality_subsets(system).items():
            reading.name = f"{name}{ending}"
            made[reading.name] = reading
    return made


def beams(context: Context) -> dict[str, System]:
    """The steps of LIGER with a beam of each width."""
    made: dict[str, System] = {}
    for width in BEAMS:
        settings = context.settings
        decoding = replace(settings.generator.decoding, beams=width)
        wide = replace(context, settings=replace(settings, generator=replace(settings.generator, decoding=decoding)))
        for name, step in steps_of_liger(trained(wide, "LIGER"), wide).items():
            step.name = f"{name}, {width} beams"
            made[step.name] = step
    return made


def trained(context: Context, name: str) -> Generative:
    """The system of this name, trained; its checkpoint is found again."""
    system = open_generator(context, name)
    drain(system.fit(context.data, context.split))
    return system


MEASURES: Mapping[str, Callable[[Context], dict[str, System]]] = {"subsets": subsets, "beams": beams}


def measured(what: str, run: Path, seeds: range) -> Results:
    """The systems of a measure over the trainings of `run`, for all test users."""
    given = {name: values[0] for name, values in read_experiment(run / "parameters.toml").values.items()}
    parameters = Parameters.from_values(given)
    data = open_dataset(given.get("dataset", "curio"), parameters.profile, users=given.get("sample_users", -1))
    encoders = modality_specs(given.get("text_encoder", "tfidf"), given.get("image_encoder", "hog-color"))
    context = open_context(run / "artifacts" / "systems", data, data.split(), parameters, encoders)
    return compare_systems(lambda seed: MEASURES[what](context.with_seed(seed)), data, context.split, seeds)


def main() -> None:
    """Measure what the command line names, and record it as notebook 08 would."""
    what, run, out = sys.argv[1:] if len(sys.argv) == 4 and sys.argv[1] in MEASURES else sys.exit(__doc__)
    results = measured(what, Path(run), range(3))
    folder = Run.open(str(Path(out).resolve()))
    folder.record("08_evaluation", rows=results.rows, ablation=[], caption=results.caption)
    save_ranks(folder.path("ranks.parquet"), results)
    (folder.folder / "run.json").write_text(json.dumps({"environment": environment()}), encoding="utf-8")


if __name__ == "__main__":
    main()
