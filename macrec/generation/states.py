"""The generator's states of every item's IDs, now and at some moments of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file
from torch import Tensor, nn

from macrec.errors import DataError, unseen
from macrec.files import replacing
from macrec.generation.backbones import CodeGenerator
from macrec.generation.batches import CodeTables
from macrec.training import Task, Usage

Floats = NDArray[np.float32]


@torch.no_grad()
def item_states(model: CodeGenerator, tables: CodeTables, batch: int = 1024) -> dict[str, Floats]:
    """Modality → the state `[N, width]` of every item, of which that modality alone is read.

    Of an encoder-decoder it is the mean of the encoder's states over the item's ID and `EOS`, of a causal generator the
    state after the item. These are the states that the implicit alignment compares, without dropout; `model` is left in
    the mode it was in. `batch` items at a time. Raises ValueError for a `batch` below 1.
    """
    if batch < 1:
        raise ValueError(f"batch must be 1 or more, got {batch}")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return {
            modality: model.item_states(tables, number, batch).float().cpu().numpy()
            for number, modality in enumerate(tables.modalities)
        }
    finally:
        for module, mode in modes:
            module.training = mode


class StateSnapshots:
    """Keeps states at some moments of a training, one file of float16 per moment in `folder`.

    `take` gives the states of the module as it is: modality → `[N, d]`. `at`: shares of the training's steps, 0 being
    before the first. Train what `during` returns, and call `after` when it has ended. `folder` belongs to one training,
    as its checkpoint's does.
    """

    def __init__(
        self,
        folder: Path,
        take: Callable[[], Mapping[str, NDArray[np.floating[Any]]]],
        at: Sequence[float] = (0.0, 0.1, 0.3),
    ) -> None:
        if not all(0 <= share < 1 for share in at):
            raise ValueError(f"the moments are shares from 0 to below 1 (after() keeps the end), got {tuple(at)}")
        self.folder, self.take, self.at = folder, take, tuple(at)

    def during(self, task: Task, steps: int) -> Task:
        """The same task of `steps` steps, with snapshots of its states at the moments that are due.

        It does so when it is about to make a step: the weights are then those of the steps before. Steps that a
        training only reports again, from its checkpoint, are not made, so no moment is ever kept of other weights; one
        that was missed stays missing, and one that is made again after a kill is the same.
        """
        return _Watched(task, {int(share * steps): share for share in reversed(self.at)}, self.keep)

    def keep(self, share: float) -> None:
        """Keep the states of now as those after this share of the steps, unless these are kept already."""
        file = self.folder / f"states-{share:.4f}.safetensors"
        if not file.exists():
            self._write(file)

    def after(self) -> None:
        """Keep the states of now as those of the end, in place of what was the end before.

        A training that keeps its best weights, or was stopped early, ends with others than those of its last step.
        """
        self._write(self.folder / "states-end.safetensors")

    def load(self) -> dict[str, dict[str, Floats]]:
        """Moment → modality → states `[N, d]`, in order of time: "before", "at 10%", …, "after".

        Empty when nothing was kept. Raises DataError for a file that cannot be read.
        """
        moments = {}
        for file in sorted(self.folder.glob("states-[0-9]*.safetensors")):
            share = float(file.stem.removeprefix("states-"))
            moments[f"at {share * 100:.4g}%" if share else "before"] = read_states(file)
        end = self.folder / "states-end.safetensors"
        return moments | ({"after": read_states(end)} if end.exists() else {})

    def _write(self, file: Path) -> None:
        # Numbered, as these files sort their names.
        states = {
            f"{number}.{name}": np.ascontiguousarray(array, np.float16)
            for number, (name, array) in enumerate(self.take().items())
        }
        with replacing(file) as temporary:
            save_file(states, temporary)


class _Watched:
    """A task with a callback before every step that is `due`: step, from 0 → share of the training."""

    def __init__(self, task: Task, due: Mapping[int, float], look: Callable[[float], None]) -> None:
        self.task, self.due, self.look = task, due, look

    @property
    def module(self) -> nn.Module:
        return self.task.module

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        if step in self.due:
            self.look(self.due[step])
        return self.task.losses(step)

    def batch_size(self, step: int) -> int:
        return self.task.batch_size(step)

    def stepped(self, step: int) -> None:
        self.task.stepped(step)

    def measure(self) -> tuple[dict[str, float], Usage]:
        return self.task.measure()


def read_states(file: Path) -> dict[str, Floats]:
    """Modality → states `[N, d]` from one file. Raises DataError where it cannot be read."""
    try:
        kept = load(file.read_bytes())  # safetensors itself calls whatever it cannot open a missing file
    except (OSError, SafetensorError) as error:
        what, fix = "the states cannot be read", "remove the file to do without them"
        raise unseen(error, file) or DataError(what, file=file, fix=fix) from error
    names = sorted(kept, key=lambda name: int(name.partition(".")[0]))
    return {name.partition(".")[2]: kept[name].astype(np.float32) for name in names}
