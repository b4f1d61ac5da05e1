"""Trainings of recommenders that `test_learning_deaths` kills, on a small scale, keeping every event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from macrec.data.curio import curio
from macrec.data.dataset import Dataset
from macrec.data.split import Split
from macrec.generation.tasks import code_tasks
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Generative, Parameters, SASRec, SASRecRecipe
from macrec.systems import generative as generative_module
from macrec.systems import sasrec as sasrec_module
from macrec.training import Event, drain, train

DATA = curio("tiny", num_items=80, num_users=24)
SPLIT, FINGERPRINT = DATA.split(), DATA.fingerprint  # by polars, whose threads a forked process does not have


def tables() -> dict[str, SemanticIds]:
    rng = np.random.default_rng(0)
    return {
        name: SemanticIds.from_codes(
            np.stack(np.unravel_index(rng.permutation(125)[: DATA.num_items], (5, 5, 5)), 1),
            tuple(f"{name}_{letter}" for letter in "abc"),
            (5, 5, 5),
            DATA.items["item_id"],
        )
        for name in ("text", "image")
    }


TABLES = tables()


class Made:
    """IDs that are there."""

    def learn(self, data: Dataset, split: Split) -> Iterator[Event]:
        return iter(())

    def tables(self, data: Dataset, split: Split) -> dict[str, SemanticIds]:
        return TABLES


def every_event(task, plan, checkpoint=None):
    """`train`, which keeps the state at every event rather than twice a minute."""
    return train(task, plan, checkpoint, checkpoint_seconds=0)


generative_module.train = sasrec_module.train = every_event  # type: ignore[attr-defined]


def generator(folder: Path) -> None:
    """A generator over given IDs of two modalities, with its alignments, patience, and the best weights kept."""
    torch.set_num_threads(1)
    settings = replace(Parameters("smoke", backbone="t5", beams=5).generator(), validate_users=8, measurements=4)
    config = replace(T5Config.named("tiny"), dropout_rate=0.2)
    recipe = replace(settings.recipe, epochs=1, batch=48, implicit_items=8, patience=3)
    settings = replace(settings, config=config, recipe=recipe)
    system = Generative("generator", folder / "kept", Made(), code_tasks(("text", "image")), settings)
    trained = drain(system.fit(DATA, SPLIT))
    states = np.concatenate([found for moment in system.states().values() for found in moment.values()])
    leave(folder, trained.events, system.training.module, states.tobytes())


def sasrec(folder: Path) -> None:
    """A SASRec."""
    torch.set_num_threads(1)
    system = SASRec(SASRecRecipe(width=8, max_history=6, epochs=4, batch=12, patience=2), folder / "kept")
    events = drain(system.fit(DATA, SPLIT)).events
    leave(folder, events, system._network)


def leave(folder: Path, events: list[Event], module: torch.nn.Module | None, more: bytes = b"") -> None:
    """Leave what was told and learned in `folder`."""
    assert module is not None
    told = repr([(event.step, event.samples, event.losses, event.measured) for event in events])
    (folder / "result").write_bytes(told.encode() + save(dict(module.state_dict())) + more)
