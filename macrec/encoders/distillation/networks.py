"""The networks of RQ-DINO: four convolutions for a CPU, any network of timm for a GPU, and the head of DINO."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear, normalize

from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.encoders.torchvision_compat import import_torchvision
from macrec.errors import DataError

CHANNELS = (32, 64, 128, 128)


class ConvNetwork(nn.Module):
    """Four convolutions, then the mean and the maximum over places, for pictures of any size.

    Groups of channels are normalized picture by picture, but the vectors dimension by dimension over the crops of one
    size in a batch: without that they all become much the same vector, and the codes collapse. A trained network takes
    the mean and deviation that the first of the `views` had in training, so that no picture depends on others.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for number, channels in enumerate(CHANNELS):
            stride = 2 if number else 1
            layers += [
                nn.Conv2d(before, channels, 3, stride, 1, bias=False),
                nn.GroupNorm(8, channels),
                nn.GELU(),
            ]
            before = channels
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(2 * before, width)
        self.norm = nn.BatchNorm1d(width, affine=False)

    def forward(self, *views: Tensor) -> Tensor:
        """Vectors `[ΣB, width]` of pictures with values from 0 to 1, of several sizes, `[B, 3, P, P]` each."""
        first, *others = [self.out(self.pooled(pictures)) for pictures in views]
        alike = [batch_norm(part, None, None, training=True) if self.training else self.norm(part) for part in others]
        return torch.cat([self.norm(first), *alike])

    def pooled(self, pictures: Tensor) -> Tensor:
        """The mean and the maximum over places of what the convolutions make of pictures of one size."""
        places = self.layers(((pictures - 0.5) * 4).contiguous(memory_format=torch.channels_last))
        return torch.cat([places.mean((2, 3)), places.amax((2, 3))], 1)


class TimmNetwork(nn.Module):
    """A network of timm, without its classifier, for pictures of several sizes."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: str) -> None:
        super().__init__()
        import_torchvision()
        import timm

        file = Path(weights).expanduser()
        options: dict[str, Any] = {"checkpoint_path": str(file)} if file.is_file() else {}
        if name.startswith("vit"):
            options["dynamic_img_size"] = True
        try:
            network: Any = timm.create_model(name, weights == "pretrained", num_classes=0, **options)
        except Exception as error:  # timm, the hub and torch each have their own errors
            why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            what = f'the network "{name}" with weights "{weights}" cannot be loaded: {why}'
            raise DataError(what, field="network", fix="give NAME/random, NAME/pretrained or NAME/FILE") from error
        self.network: nn.Module = network
        self.width = int(network.num_features)
        config = network.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config["std"])[:, None, None], persistent=False)

    def forward(self, *views: Tensor) -> Tensor:
        """Vectors `[ΣB, width]` of pictures with values from 0 to 1, of several sizes, `[B, 3, P, P]` each."""
        return torch.cat([self.network((pictures - self.mean) / self.std) for pictures in views])


def make_network(recipe: DistillationRecipe) -> tuple[nn.Module, int]:
    """The network that the recipe names, and the width of its vectors. Raises DataError for one that cannot be had."""
    if recipe.network == "conv":
        return ConvNetwork(recipe.width), recipe.width
    name, slash, weights = recipe.network.partition("/")
    if not slash or not (weights in ("random", "pretrained") or Path(weights).expanduser().is_file()):
        what = f'"{recipe.network}" names no network with its weights'
        raise DataError(what, field="network", fix='give "conv", or a name of timm as NAME/random or NAME/FILE')
    network = TimmNetwork(name, weights)
    return network, network.width


class Head(nn.Module):
    """The head of DINO: a small network, then the cosine of its output with every prototype, `[B, K]`."""

    def __init__(self, width: int, recipe: DistillationRecipe) -> None:
        super().__init__()
        units = (width, recipe.hidden, recipe.hidden)
        layers = [layer for pair in pairwise(units) for layer in (nn.Linear(*pair), nn.GELU())]
        self.layers = nn.Sequential(*layers, nn.Linear(recipe.hidden, recipe.bottleneck))
        self.prototypes = nn.Parameter(torch.empty(recipe.prototypes, recipe.bottleneck))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
            else:
                nn.init.zeros_(parameter)

    def forward(self, vectors: Tensor, frozen: bool = False) -> Tensor:
        """The cosines of `vectors` `[B, width]`; with `frozen` the prototypes get no gradient."""
        prototypes = self.prototypes.detach() if frozen else self.prototypes
        return linear(normalize(self.layers(vectors), dim=1), normalize(prototypes, dim=1))
