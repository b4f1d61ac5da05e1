"""The figure of the next code says what both softmaxes give."""

import numpy as np

from macrec.generation.next_code import NextCode
from macrec.viz.figures.next_code import next_code_figure


def test_bars_are_in_the_order_of_the_whole_level_and_codes_without_items_have_one():
    level = np.array([0.2, 0.5, 0.3])
    step = NextCode((7,), level, np.array([0.4, 0.0, 0.6]), np.array([True, False, True]), 0, np.array([5, -1, 9]))
    figure, sentence = next_code_figure(step)
    whole, following, star = figure.data
    assert list(whole.x) == ["1", "2", "0"] and list(whole.y) == [0.5, 0.3, 0.2]
    assert np.isnan(following.y[0]) and list(following.y[1:]) == [0.6, 0.4]
    assert list(whole.customdata) == [None, 9, 5]
    assert list(star.x) == ["0"] and list(star.y) == [0.4]
    assert "50%" in figure.layout.title.text
    assert "2 of 3 codes lead to an item" in sentence and "0.400 instead of 0.200, 2.00 times" in sentence
