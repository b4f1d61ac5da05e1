"""Checkpoints: tensors as safetensors, everything else as JSON, never half-written, nothing unpickled.

A checkpoint's key is the first 12 digits of the SHA-256 of its `identity` as JSON (`Checkpoint.named`), and names its folder. The
identity holds everything that decides the result and nothing else, so that equal trainings are found again and others never meet:

| training | identity |
|---|---|
| tokenizers (`Tokenizer` in macrec/tokenizers/tokenizer.py) | fingerprint of the dataset, encoders, digest of the vectors, settings |
| generators (`Generative.checkpoint`) | fingerprint, digests of the IDs and of the samples learned from and measured on, tasks, settings without decoding |
| RQ-DINO (`Distillation` in macrec/encoders/distillation/training.py) | fingerprint of the pictures, settings of the encoder |
| SASRec (`SASRec.fit`) | fingerprint, digest of the split, recipe |

Seeds are in the settings. Not in it: the name of the system (two that train alike share a checkpoint), how it is decoded, the
version of the code.
"""  # noqa: E501

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from macrec.errors import DataError, unseen
from macrec.files import replacing, write_json
from macrec.lock import Lock, locked

FIX = "remove the folder to start anew"


@dataclass(frozen=True)
class Checkpoint:
    """The stored state of one training: a folder with `checkpoint.json` and the file of tensors that it names.

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

    @contextmanager
    def held(self) -> Iterator[Lock]:
        """Keep other trainings from this folder while the block runs; wait, with a warning, for one that is there.

        A training of this thread that never ended is not waited for: its `Lock.held` is False then, and it must not
        save.
        """
        lock = self.folder.with_name(f".{self.folder.resolve().name[:200]}.lock")
        with locked(lock, f"a training in {self.folder}", take_over=True) as mine:
            yield mine

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Keep `tensors` and the JSON values `state`. The old checkpoint is good until the new one is complete."""
        name = f"step-{step:08}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / name) as temporary:
            # Copies, as safetensors refuses tensors that share their memory, as tied weights do.
            whole = torch.contiguous_format
            save_file({key: value.detach().clone(memory_format=whole) for key, value in tensors.items()}, temporary)
        # This one rename makes the new checkpoint the current one.
        about = {"tensors": name, "identity": self.identity, "state": state}
        write_json(self.file, about | {"checksum": checksum(self.folder / name, about)})
        for file in self.folder.glob("step-*"):  # the one before
            if file.name != name:
                file.unlink()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors (on the CPU) and the state that were saved last; None when there is nothing yet.

        Raises DataError when the checkpoint belongs to another training, is damaged or cannot be read.
        """
        while (about := self._about()) is not None:
            file = self.folder / about["tensors"]
            try:
                if checksum(file, about) != about["checksum"]:
                    raise ValueError("the checksum differs")
                return load_file(file), about["state"]
            except (OSError, ValueError, SafetensorError) as error:
                if self._about() != about:
                    continue  # another process has just replaced it
                raise unseen(error, file) or DataError("the tensors cannot be read", file=file, fix=FIX) from error
        return None

    def finished(self) -> bool:
        """Whether the training kept here is finished; raises what `load` raises."""
        about = self._about()
        return about is not None and about["state"].get("finished") is True

    def _about(self) -> dict[str, Any] | None:
        """The content of `checkpoint.json`; None when it is missing."""
        try:
            about = json.loads(self.file.read_text(encoding="utf-8"))
            shape = {"tensors": str, "identity": dict, "state": dict, "checksum": str}
            if about.keys() != shape.keys() or any(type(about[name]) is not kind for name, kind in shape.items()):
                raise ValueError("something is missing")
            if not re.fullmatch(r"step-\d{8,}\.safetensors", about["tensors"], re.ASCII):
                raise ValueError("the tensors are elsewhere")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            what = "the checkpoint cannot be read"
            raise unseen(error, self.file) or DataError(what, file=self.file, fix=FIX) from error
        identity, mine = about["identity"], json.loads(json.dumps(self.identity))
        if identity != mine:
            missing = object()
            keys = identity.keys() | mine.keys()
            differing = [key for key in keys if identity.get(key, missing) != mine.get(key, missing)]
            what = f"the checkpoint is of another training (it differs in {', '.join(sorted(differing))})"
            raise DataError(what, file=self.file, fix="use another folder, or " + FIX)
        return dict(about)

    @property
    def file(self) -> Path:
        """`checkpoint.json`."""
        return self.folder / "checkpoint.json"


def checksum(file: Path, about: dict[str, Any]) -> str:
    """A digest of a file of tensors and of its metadata, except the digest itself."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
    said = json.loads(json.dumps({name: value for name, value in about.items() if name != "checksum"}))
    digest.update(json.dumps(said, sort_keys=True).encode())
    return digest.hexdigest()
