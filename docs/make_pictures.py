"""Make the pictures of the README: `python docs/make_pictures.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

from macrec.data.curio import curio


def shop_window(columns: int = 10, rows: int = 3, size: int = 128, gap: int = 8) -> Image.Image:
    """A window of the built-in shop: items of every category, drawn at `size` pixels."""
    shop = curio("tiny", num_items=400, no_picture=0, variants=0, picture_size=size)
    # One item of every category in turn, so that the window shows the whole range.
    by_category = shop.items.with_row_index("row").group_by("category", maintain_order=True).agg("row")["row"].to_list()
    order = np.random.default_rng(7).permutation(len(by_category))
    chosen = [by_category[order[i % len(order)]][i // len(order)] for i in range(columns * rows)]
    step = size + gap
    window = Image.new("RGB", (columns * step - gap, rows * step - gap), "white")
    for place, row in enumerate(chosen):
        window.paste(shop.images.open(int(row)), (place % columns * step, place // columns * step))
    return window


if __name__ == "__main__":
    shop_window().quantize(255).save(Path(__file__).with_name("shop.png"), optimize=True)
