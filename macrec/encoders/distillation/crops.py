"""Crops of pictures, and how their colors are changed: what a student and its teacher are shown."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from macrec.encoders.distillation.recipe import DistillationRecipe


class Crops(NamedTuple):
    """Crops of B pictures: global ones `[2, B, 3, G, G]` and local ones `[V, B, 3, H, H]`."""

    shown_whole: Tensor
    shown_part: Tensor


def multi_crop(pictures: Tensor, recipe: DistillationRecipe, generator: torch.Generator) -> Crops:
    """Random crops of `pictures` `[B, 3, S, S]` with values from 0 to 1; equal generators draw equal crops.

    All crops are read from the pictures at once: one `grid_sample` per batch. Draws are made on the CPU, on whatever
    device the pictures are.
    """
    batch, device = len(pictures), pictures.device
    grids, shapes, views = [], [], []
    for count, pixels, least, most in kinds_of(recipe):
        theta = windows(count * batch, least, most, recipe, generator).to(device)
        grid = affine_grid(theta, [count * batch, 3, pixels, pixels], align_corners=False)
        grids.append(grid.view(count, batch, pixels * pixels, 2).transpose(0, 1).reshape(batch, -1, 2))
        shapes.append(count * pixels * pixels)
        views.append((count, pixels))
    read = grid_sample(pictures, torch.cat(grids, 1)[:, :, None], padding_mode="border", align_corners=False)[..., 0]
    made = []
    for part, (count, pixels) in zip(torch.split(read, shapes, 2), views, strict=True):
        crops = part.view(batch, 3, count, pixels, pixels).permute(2, 0, 1, 3, 4).reshape(-1, 3, pixels, pixels)
        made.append(recolored(crops, recipe, generator).view(count, batch, 3, pixels, pixels))
    none = pictures.new_zeros(0, batch, 3, recipe.local_pixels, recipe.local_pixels)
    return Crops(*made, *[none] * (2 - len(made)))


def kinds_of(recipe: DistillationRecipe) -> list[tuple[int, int, float, float]]:
    """How many crops there are, their pixels and the least and the most that they show: of global, then local ones."""
    every = [
        (2, recipe.global_pixels, recipe.global_least, recipe.global_most),
        (recipe.local_crops, recipe.local_pixels, recipe.local_least, recipe.local_most),
    ]
    return [kind for kind in every if kind[0]]


def windows(count: int, least: float, most: float, recipe: DistillationRecipe, generator: torch.Generator) -> Tensor:
    """What `count` crops show, as affine maps `[count, 2, 3]` of their places to places of the picture, -1 to 1.

    Each shows a share of the picture between `least` and `most`, at an aspect that the recipe allows, and lies within
    the picture. As many as the recipe says are mirrored.
    """
    draws = torch.rand(5, count, generator=generator)
    area = least + (most - least) * draws[0]
    aspect = torch.exp((2 * draws[1] - 1) * math.log(recipe.aspect))
    across = (area * aspect).sqrt().clamp(max=1)
    down = (area / aspect).sqrt().clamp(max=1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = torch.where(draws[2] < recipe.mirror, -across, across)
    theta[:, 1, 1] = down
    theta[:, 0, 2] = (2 * draws[3] - 1) * (1 - across)
    theta[:, 1, 2] = (2 * draws[4] - 1) * (1 - down)
    return theta


def recolored(crops: Tensor, recipe: DistillationRecipe, generator: torch.Generator) -> Tensor:
    """Crops `[n, 3, P, P]`, each with a brightness, contrast and hue of its own or gray, cut to values from 0 to 1."""
    draws = (2 * torch.rand(3, len(crops), 1, 1, 1, generator=generator) - 1).to(crops.device)
    bright = crops * (1 + recipe.brightness * draws[0])
    middle = bright.mean((1, 2, 3), keepdim=True)
    changed = middle + (bright - middle) * (1 + recipe.contrast * draws[1])
    if recipe.gray:
        chosen = torch.rand(len(crops), 1, 1, 1, generator=generator).to(crops.device) < recipe.gray
        changed = torch.where(chosen, changed.mean(1, keepdim=True), changed)
    if recipe.hue:
        turn = hue_turns(recipe.hue * draws[2].flatten())
        changed = torch.einsum("nij,njhw->nihw", turn, changed)
    return changed.clamp(0, 1)


def hue_turns(share: Tensor) -> Tensor:
    """Maps of colors `[n, 3, 3]` that turn the hue by these shares `[n]` of a circle: rotations about the gray axis."""
    angle = 2 * math.pi * share[:, None, None]
    gray = torch.full((3, 3), 1 / 3, device=share.device)
    across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=share.device) / math.sqrt(3)
    return gray + angle.cos() * (torch.eye(3, device=share.device) - gray) + angle.sin() * across


def whole(pictures: Tensor, pixels: int) -> Tensor:
    """All of `pictures` `[B, 3, S, S]` as `multi_crop` would show it, without chance: `[B, 3, pixels, pixels]`."""
    theta = torch.eye(2, 3, device=pictures.device).expand(len(pictures), 2, 3)
    grid = affine_grid(theta, [len(pictures), 3, pixels, pixels], align_corners=False)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False)
