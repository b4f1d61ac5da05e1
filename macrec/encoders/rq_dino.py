"""Pictures by a network that learned from them, without labels, and with codes of its own: RQ-DINO.

On a GPU with a network of timm, random or from weights in a file, one says all sizes, as in
"rq-dino:network=vit_small_patch16_224/random,pixels=256,global_pixels=224,local_pixels=96,prototypes=8192,hidden=2048,
bottleneck=256,local_crops=8,batch=256,learning_rate=0.0005,steps=100000"; no such training was measured.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.distillation.recipe import DistillationRecipe, of_options
from macrec.encoders.encoder import digest_path, library
from macrec.encoders.kind import EncoderKind
from macrec.encoders.paths import existing_path, looks_like_path
from macrec.encoders.store import cache_folder
from macrec.errors import DataError
from macrec.quantization.specs import split_spec

if TYPE_CHECKING:  # torch comes with them, and naming an encoder needs none
    from macrec.encoders.distillation.training import Distillation
    from macrec.training import Event

NAME = "rq-dino"


@dataclass
class RQDINOEncoder:
    """The vectors before the quantizer of an RQ-DINO that is trained on the pictures of the dataset, once.

    The training is kept in `folder` (default: beside the embeddings); one that was killed goes on. `name` says all
    settings that are not the default, and whether a network of timm began with random weights, so that
    `make_encoder(name)` is the same encoder again.
    """

    recipe: DistillationRecipe = field(default_factory=DistillationRecipe)
    folder: Path | None = None
    modality: str = field(default="image", init=False)
    _opened: dict[str, Distillation] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """ "rq-dino", with the settings that are not the default."""
        return NAME + f":{self.recipe.spec}" * bool(self.recipe.spec)

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe; a file of weights is known by its contents, not by its path."""
        recipe = asdict(self.recipe)
        name, _, weights = self.recipe.network.partition("/")
        if weights and Path(weights).expanduser().is_file():
            recipe["network"] = f"{name}/{digest_path(Path(weights).expanduser())}"
        return {"version": 1, **recipe, "library": library("torch")}

    def distillation(self, dataset: Dataset) -> Distillation:
        """The training on the pictures of `dataset`, and what it learned."""
        from macrec.encoders.distillation.training import Distillation

        key = dataset.modality_fingerprint("image")
        if key not in self._opened:
            folder = cache_folder() / NAME if self.folder is None else self.folder
            self._opened[key] = Distillation(dataset, self.recipe, self.settings, folder)
        return self._opened[key]

    def events(self, dataset: Dataset) -> Generator[Event, None, None]:
        """The training, event by event, for a board; of a training that was finished before, its events."""
        yield from self.distillation(dataset).events()

    def prepare(self, dataset: Dataset) -> None:
        """Train, or find what was trained. Raises DataError where the codes collapse."""
        if dataset.images.present.any():
            _ = self.distillation(dataset).module

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Items with a picture, `[N]`."""
        return dataset.images.present

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """Equal for all items, `[N]`: pictures are brought to one size."""
        return np.ones(dataset.num_items, np.int32)

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The vectors, `[n, width]`. Raises DataError for a picture that does not decode."""
        return self.distillation(dataset).vectors(rows)


def made(rest: str, **settings: Any) -> RQDINOEncoder:
    """The encoder of "rq-dino" or "rq-dino:SETTING=VALUE,…"; see `DistillationRecipe` for the settings."""
    options = split_spec(f"{NAME}:{rest}", "image_encoder")[1]
    try:
        recipe = of_options(options)
    except ValueError as error:
        raise DataError(str(error), field="image_encoder", fix=f"write such as {NAME}:steps=1000,seed=1") from error
    return RQDINOEncoder(recipe, **settings)


def located(rest: str, parameter: str) -> str:
    """The settings, with the path of a file of weights made absolute."""
    recipe = made(rest).recipe
    name, slash, weights = recipe.network.partition("/")
    if not slash or not (looks_like_path(weights) or Path(weights).is_file()):
        return rest
    return replace(recipe, network=f"{name}/{existing_path(weights, parameter)}").spec


ENCODER = EncoderKind(
    name=NAME,
    form="rq-dino[:<setting>=<value>]",
    modality="image",
    make=made,
    located=located,
    remark="a small network that learns the pictures of the dataset without labels, and their codes with them; about "
    "80 CPU seconds, once per dataset, for any number of pictures; settings such as steps=1000,seed=1 between commas",
)
