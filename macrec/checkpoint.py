"""Checkpoints: tensors as safetensors, everything else as JSON, never half-written, nothing unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from macrec.errors import DataError
from macrec.files import replacing, write_json


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of one training is kept: a folder with `checkpoint.json` and the file of tensors that it names.

    `identity`: plain values that say which training this is (data, settings, seed). A checkpoint of another one is
    refused rather than continued.
    """

    folder: Path
    identity: dict[str, Any]

    @classmethod
    def named(cls, folder: Path, identity: dict[str, Any]) -> Checkpoint:
        """The checkpoint in the folder of `folder` that a digest of `identity` names: one folder per training."""
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
        return cls(folder / key, identity)

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Keep `tensors` and the JSON values `state`. The old checkpoint is good until the new one is complete."""
        name = f"step-{step:08}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / name) as temporary:
            # Copies, as safetensors refuses tensors that share their memory, as tied weights do.
            whole = torch.contiguous_format
            save_file({key: value.detach().clone(memory_format=whole) for key, value in tensors.items()}, temporary)
        # This one rename makes the new checkpoint the current one.
        write_json(self._json, {"tensors": name, "identity": self.identity, "state": state})
        for file in self.folder.glob("step-*"):  # the one before
            if file.name != name:
                file.unlink()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors (on the CPU) and the state that were saved last; None when there is nothing yet.

        Raises DataError when the checkpoint belongs to another training or cannot be read.
        """
        if not self._json.exists():
            return None
        fix = "remove the folder to start anew"
        try:
            found = json.loads(self._json.read_text(encoding="utf-8"))
            file, state, identity = self.folder / found["tensors"], found["state"], dict(found["identity"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError("the checkpoint cannot be read", file=self._json, fix=fix) from error
        mine = json.loads(json.dumps(self.identity))
        if identity != mine:
            missing = object()
            keys = identity.keys() | mine.keys()
            differing = [key for key in keys if identity.get(key, missing) != mine.get(key, missing)]
            what = f"the checkpoint is of another training (it differs in {', '.join(sorted(differing))})"
            raise DataError(what, file=self._json, fix="use another folder, or " + fix)
        try:
            return load_file(file), state
        except (OSError, SafetensorError) as error:
            raise DataError("the tensors cannot be read", file=file, fix=fix) from error

    @property
    def _json(self) -> Path:
        return self.folder / "checkpoint.json"
