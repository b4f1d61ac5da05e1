"""The crops of one item as a view."""

import re

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.errors import DataError
from macrec.viz.labels import item_label
from macrec.viz.views.crops import crops_view


def test_it_shows_the_picture_and_every_crop():
    data, recipe = curio("tiny"), DistillationRecipe(local_crops=3)
    row = int(np.flatnonzero(data.images.present)[4])
    page = crops_view(data, row, recipe, draws=2)
    sides = [int(side) for side in re.findall(r'width="(\d+)" height="\1"', page)]
    small = round(96 * recipe.local_pixels / recipe.global_pixels)
    assert sides[1:] == [96, 96, small, small, small] * 2 and item_label(data, row) in page
    words = re.findall(r'alt="([^"]+)"', page)
    assert words[1:4] == ["global crop 1", "global crop 2", "local crop 1"] and len(words) == len(sides)
    assert crops_view(data, row, recipe) == crops_view(data, row, recipe) != crops_view(data, row, recipe, seed=1)
    with pytest.raises(DataError, match="has no picture"):
        crops_view(data, int(np.flatnonzero(~data.images.present)[0]), recipe)
