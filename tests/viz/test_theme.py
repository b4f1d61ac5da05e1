"""Colors that everyone can tell apart, and figures that every front end can show."""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from macrec.data.curio import curio
from macrec.viz import Gallery, show, theme
from macrec.viz.pictures import script_json


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_palette_is_that_of_okabe_and_ito_and_further_modalities_have_colors_of_tol():
    assert theme.MODALITY == {"text": "#0072B2", "image": "#D55E00", "collaborative": "#332288", "fused": "#009E73"}
    assert theme.modality_colors(["collaborative", "sound"]) == {"collaborative": "#332288", "sound": "#882255"}
    assert len({*theme.MODALITY.values(), *theme.FURTHER}) == len(theme.MODALITY) + len(theme.FURTHER)
    assert (theme.CONFLICT, theme.ORANGE, theme.SKY, theme.YELLOW) == ("#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
    assert len(set(theme.CATEGORICAL)) == len(set(theme.SYMBOLS)) == 8
    assert len(set(theme.SYMBOL.values())) == len(theme.SYMBOL) == 9


# Machado, Oliveira and Fernandes (2009): how linear light looks without one of the three cones.
CONES = {
    "all": np.eye(3),
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def cielab(color: str, cones: str) -> np.ndarray:
    """CIELAB coordinates of a color as somebody with these cones sees it."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(CONES[cones]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    x, y, z = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("cones", CONES)
def test_the_colors_of_modalities_differ_for_every_eye(cones):
    for one, other in combinations(theme.MODALITY.values(), 2):
        assert np.linalg.norm(cielab(one, cones) - cielab(other, cones)) > 15, (one, other)


@pytest.mark.parametrize("color", theme.CATEGORICAL)
def test_every_color_stands_out_from_white_or_has_an_outline(color):
    contrast = 1.05 / (luminance(color) + 0.05)
    assert (contrast >= 3) == (color not in theme.OUTLINE)  # 3:1 is what WCAG asks of graphics


def contrast(words: str, fill: str) -> float:
    """How words stand out from what is behind them, as WCAG 2 measures it; 4.5 is what it asks."""
    dark, light = sorted((luminance(words), luminance(fill)))
    return (light + 0.05) / (dark + 0.05)


def test_words_stand_out_from_white():
    # Every color that HTML of ours gives to words, wherever it is written; those with a fill of their own are below.
    package = Path(theme.__file__).parents[1]
    sources = [file for kind in ("py", "js", "css") for file in package.rglob(f"*.{kind}")]
    colors = {
        color if len(color) == 7 else "#" + "".join(2 * digit for digit in color[1:])
        for source in sources
        for color in re.findall(r"(?<![\w-])color: ?(#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3}))\b", source.read_text())
    }
    assert {"#222222", "#555555", "#666666"} <= colors
    for color in colors - {"#ffffff"}:
        assert contrast(color, "#ffffff") >= 4.5, color


@pytest.mark.parametrize("fill", [*theme.OUTLINE, "#e3f1fa", "#f4f4f4", "#eeeeee"])
def test_ink_stands_out_from_every_fill_it_is_written_on(fill):
    # Pale colors, selected rows, hovered rows and code: words on them are never gray.
    assert contrast(theme.INK, fill) >= 4.5


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", 'a"b\\c\n', "\u2028\u2029"])
def test_text_of_a_dataset_cannot_leave_its_script(text):
    written = script_json({"title": text})
    assert "<" not in written and "\u2028" not in written
    assert json.loads(written)["title"] == text.replace("\u2028", "").replace("\u2029", "")


@pytest.fixture
def shown(monkeypatch):
    """What `show` hands to the front end, as a list."""
    outputs = []
    monkeypatch.setattr(theme, "display", lambda value, raw=False: outputs.append(value if raw else value.data))
    return outputs


def test_a_figure_travels_in_every_form_with_its_sentence(shown):
    show(go.Figure(go.Bar(x=[1, 2], y=[3, 4])), "Two bars & more.")
    bundle, caption = shown
    assert set(bundle) == {"application/vnd.plotly.v1+json", "text/html", "text/plain"}
    assert bundle["application/vnd.plotly.v1+json"]["data"][0]["type"] == "bar"
    assert bundle["text/plain"] == "[figure: Two bars & more.]"
    assert 'role="figure" aria-label="Two bars &amp; more."' in bundle["text/html"]
    assert "Two bars &amp; more." in caption
    spec = re.search(r'drawFigure\("[\w-]+", (.*), "https', bundle["text/html"])[1]
    assert json.JSONDecoder().raw_decode(spec)[0]["data"] == bundle["application/vnd.plotly.v1+json"]["data"]


def test_a_gallery_travels_with_the_caption_and_is_named_by_the_figure(shown):
    gallery = Gallery(curio("tiny"), np.arange(5))
    show(go.Figure(go.Scatter(x=[1], y=[1], customdata=[3])), "A dot.", gallery)
    bundle, caption = shown
    assert bundle["application/vnd.plotly.v1+json"]["layout"]["meta"]["gallery"] == gallery.key
    assert gallery.key in caption and "data:image/webp" in caption
