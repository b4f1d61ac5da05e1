"""What a student and its teacher are shown of one picture: global and local crops, side by side."""

from __future__ import annotations

import html

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrec.data.dataset import Dataset
from macrec.encoders.distillation.crops import multi_crop
from macrec.encoders.distillation.model import as_floats
from macrec.encoders.distillation.pictures import load_pictures
from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.errors import DataError
from macrec.training import generator_for
from macrec.viz.labels import item_label
from macrec.viz.pictures import data_uri, labelled
from macrec.viz.theme import FONT

SIDE = 96
"""Pixels at which a global crop is shown; local ones are as much smaller as they are."""


def crops_view(dataset: Dataset, row: int, recipe: DistillationRecipe, draws: int = 2, seed: int = 0) -> str:
    """The picture of an item as the network holds it, and `draws` sets of crops of it, as HTML.

    Raises DataError for an item without a picture.
    """
    if not dataset.images.present[row]:
        what = f'the item "{item_label(dataset, row)}" has no picture'
        raise DataError(what, file=dataset.name, fix="choose one that has")
    picture = as_floats(load_pictures(dataset, np.array([row]), recipe.pixels))
    title = html.escape(item_label(dataset, row))
    words = f"{item_label(dataset, row)}, and crops of its picture: the teacher sees the two larger ones."
    whole = round(SIDE * recipe.pixels / recipe.global_pixels)
    lines = [_line(title, [(picture[0].numpy(), whole, "the picture as the network holds it")])]
    for draw in range(draws):
        made = multi_crop(picture, recipe, generator_for(seed, draw))
        small = round(SIDE * recipe.local_pixels / recipe.global_pixels)
        shown = [(crop.numpy(), SIDE, f"global crop {n}") for n, crop in enumerate(made.shown_whole[:, 0], start=1)]
        shown += [(crop.numpy(), small, f"local crop {n}") for n, crop in enumerate(made.shown_part[:, 0], start=1)]
        lines.append(_line(f"draw {draw + 1}: two global crops, {recipe.local_crops} local ones", shown))
    style = f"font:13px {html.escape(FONT, quote=True)};color:#222;background:#fff;padding:8px"
    return f'<div {labelled(words)} style="{style}">{"".join(lines)}</div>'


def _line(title: str, shown: list[tuple[NDArray[np.floating], int, str]]) -> str:
    """A row of crops `[3, P, P]`, each with its side in pixels and its alternative text."""
    tags = [
        f'<img alt="{words}" src="{data_uri(_image(crop, side))}" width="{side}" height="{side}" '
        'style="border-radius:4px">'
        for crop, side, words in shown
    ]
    row = "display:flex;align-items:end;gap:8px;margin:4px 0 12px"
    return f'<div>{title}</div><div style="{row}">{"".join(tags)}</div>'


def _image(crop: NDArray[np.floating], side: int) -> Image.Image:
    """A crop `[3, P, P]` of numbers from 0 to 1, its pixels shown as squares."""
    pixels = (crop.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
