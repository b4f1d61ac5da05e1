"""Pictures by CLIP models, through open_clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.encoder import DECODERS, digest_path, library
from macrec.encoders.kind import EncoderKind
from macrec.encoders.paths import existing_path, looks_like_path
from macrec.encoders.torchvision_compat import import_torchvision
from macrec.errors import DataError


@dataclass
class OpenClipEncoder:
    """The picture half of a CLIP model from open_clip, with the model's own preprocessing; vectors not normalized.

    `model` is an architecture of open_clip and `pretrained` a tag of weights for it or a local file; `model` may also
    be "hf-hub:owner/name" or "local-dir:folder", which bring their weights along. `pretrained=None` then means those;
    otherwise it means random weights drawn from `seed`, which carry no information about pictures: for tests, and named
    so. `precision` is open_clip's ("fp32", "fp16", "bf16"); half precision is stored as float16.
    """

    model: str = "ViT-B-32"
    pretrained: str | None = "laion2b_s34b_b79k"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    seed: int = 0
    batch_size: int = 64
    device: str | None = None
    modality: str = field(default="image", init=False)
    _loaded: Any = field(default=None, init=False, repr=False, compare=False)
    _preprocess: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "fp16", "bf16"):
            raise ValueError(f"precision must be fp32, fp16 or bf16, got {self.precision}")
        if self.brings_weights and self.pretrained is not None:
            raise ValueError(f"{self.model} brings its weights along: leave pretrained at None")

    @property
    def brings_weights(self) -> bool:
        """Whether the model's name contains the place of the weights."""
        return self.model.startswith(("hf-hub:", "local-dir:"))

    @property
    def name(self) -> str:
        """Architecture and weights."""
        if self.brings_weights:
            return f"clip-{Path(self.model.partition(':')[2]).name}"
        return f"clip-{self.model}-{'random' if self.pretrained is None else Path(self.pretrained).name}"

    @property
    def settings(self) -> dict[str, Any]:
        """The weights and the precision; local weights are known by their contents, not by their path."""
        return {"weights": self.weights, "precision": self.precision, "library": library("open_clip_torch")}

    @cached_property
    def weights(self) -> str:
        """What the vectors come from, as text. Raises DataError for a local folder that does not exist."""
        if self.model.startswith("local-dir:"):
            folder = Path(self.model.removeprefix("local-dir:")).expanduser()
            if not folder.is_dir():
                raise self.not_loaded("the folder does not exist")
            return digest_path(folder)
        if self.pretrained is None:
            return self.model if self.brings_weights else f"{self.model} random {self.seed}"
        local = Path(self.pretrained).expanduser()
        return f"{self.model} {digest_path(local) if local.is_file() else self.pretrained}"

    def not_loaded(self, why: str) -> DataError:
        """The error for a model that cannot be had."""
        return DataError(
            f'the CLIP model "{self.model}" with weights "{self.pretrained}" cannot be loaded: {why}',
            fix="check the names (open_clip.list_pretrained()) and the connection, or work offline: give the path of a "
            'weights file as pretrained, "local-dir:<folder>" as model, or use the encoder "hog-color"',
        )

    def prepare(self, dataset: Dataset) -> None:
        """Load the weights, once. Raises DataError when they cannot be had; no other weights take their place."""
        if self._loaded is not None:
            return
        import_torchvision()
        import open_clip
        import torch

        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            # Initial weights come from torch's global generator: seed it, and give it back as it was.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                model, _, preprocess = open_clip.create_model_and_transforms(
                    self.model,
                    pretrained=self.pretrained,
                    precision=self.precision,
                    device=device,
                )
        except Exception as error:  # open_clip, the hub and torch each have their own errors
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise self.not_loaded(why[0].rstrip(".")) from error
        self._loaded, self._preprocess = model.eval(), preprocess

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Items with a picture, `[N]`."""
        return dataset.images.present

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """Equal for all items, `[N]`: pictures are brought to one size before anything expensive happens."""
        return np.ones(dataset.num_items, np.int32)

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.floating]:
        """The projected image features, `[n, d]`. Raises DataError for a picture that does not decode."""
        self.prepare(dataset)
        import torch

        first = next(self._loaded.parameters())
        features = []
        with torch.inference_mode():
            for pictures in self.batches(dataset, rows.tolist()):
                batch = torch.stack(pictures).to(first.device, first.dtype)
                features.append(self._loaded.encode_image(batch).float().cpu().numpy())
        return np.concatenate(features).astype(np.float32 if self.precision == "fp32" else np.float16)

    def batches(self, dataset: Dataset, rows: Sequence[int]) -> Iterator[list[Any]]:
        """Preprocessed pictures in batches; threads decode the next batch while the model works on this one."""

        def load(row: int) -> Any:
            return self._preprocess(dataset.images.open(row))

        with ThreadPoolExecutor(DECODERS) as pool:
            ahead: list[Future[Any]] = [pool.submit(load, row) for row in rows[: self.batch_size]]
            for start in range(self.batch_size, len(rows) + self.batch_size, self.batch_size):
                batch, ahead = ahead, [pool.submit(load, row) for row in rows[start : start + self.batch_size]]
                yield [future.result() for future in batch]


def made(rest: str, **settings: Any) -> OpenClipEncoder | None:
    """The encoder of "clip:MODEL/WEIGHTS" ("random" for tests), "clip:hf-hub:OWNER/NAME" or "clip:local-dir:FOLDER"."""
    if rest.startswith(("hf-hub:", "local-dir:")):
        return OpenClipEncoder(rest, None, **settings)
    model, _, weights = rest.strip("/").partition("/")
    return OpenClipEncoder(model, None if weights == "random" else weights, **settings) if weights else None


def located(rest: str, parameter: str) -> str:
    """A model and its weights, of which these may be a file; or a folder that holds both."""
    if rest.startswith("local-dir:"):
        return f"local-dir:{existing_path(rest.removeprefix('local-dir:'), parameter, folder=True)}"
    model, slash, weights = rest.partition("/")
    if rest.startswith("hf-hub:") or not (looks_like_path(weights) or Path(weights).is_file()):
        return rest
    return f"{model}{slash}{existing_path(weights, parameter)}"


ENCODER = EncoderKind(
    name="clip",
    form="clip:<model>/<weights>",
    modality="image",
    make=made,
    located=located,
    needs={"open_clip": "open_clip_torch"},
    remark="what a picture shows; weights are a tag of open_clip or a file, hf-hub:<owner>/<name> and "
    "local-dir:<folder> bring theirs; ViT-B-32: about 23 pictures a second on two CPU cores, 1.5 GB",
)
