"""Pictures: what opens, what is refused, and what counts as the same picture."""

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from macrec.data.images import FolderImages, NoImages, PackedImages
from macrec.errors import DataError


def png(color: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (8, 6), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "red.png").write_bytes(png("red"))
    (tmp_path / "again.png").write_bytes(png("red"))
    (tmp_path / "blue.png").write_bytes(png("blue"))
    (tmp_path / "cut.png").write_bytes(png("blue")[:40])
    (tmp_path / "noise.png").write_bytes(b"not a picture")
    return tmp_path


def test_a_folder_opens_what_is_there_and_marks_what_is_not(folder):
    images = FolderImages(folder, ["red.png", None, "blue.png"], ["a", "b", "c"])
    assert images.present.tolist() == [True, False, True]
    assert images.open(2).getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(KeyError, match="item b"):
        images.open(1)


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hosts", "sub/../../x.png"])
def test_a_path_that_leaves_the_folder_is_refused(folder, path):
    with pytest.raises(DataError, match=r'item b, field "image": the image path ".*" leaves the image folder'):
        FolderImages(folder, ["red.png", path], ["a", "b"])


def test_a_link_that_leaves_the_folder_is_refused(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.png"
    outside.write_bytes(png("red"))
    (folder / "link.png").symlink_to(outside)
    with pytest.raises(DataError, match="leaves the image folder"):
        FolderImages(folder, ["link.png"], ["a"])


def test_a_file_that_is_not_there_is_named(folder):
    with pytest.raises(DataError, match=r'item a, field "image": the image file "gone.png" does not exist'):
        FolderImages(folder, ["gone.png"], ["a"])


@pytest.mark.parametrize("name", ["cut.png", "noise.png"])
def test_a_picture_that_does_not_decode_is_named(folder, name):
    images = FolderImages(folder, [name], ["a"])
    with pytest.raises(DataError, match=rf"{name}, item a, field .image.: the image does not decode"):
        images.open(0)
    packed = PackedImages(folder / "images.parquet", pl.Series([(folder / name).read_bytes()]), ["a"])
    with pytest.raises(DataError, match=r"images.parquet, item a"):
        packed.open(0)


def test_transparent_parts_become_white(folder):
    packed = PackedImages(folder / "x", pl.Series([png("#00000000", "RGBA")]), ["a"])
    assert packed.open(0).getpixel((0, 0)) == (255, 255, 255)


def test_equal_bytes_have_equal_keys_and_the_fingerprint_follows_content(folder):
    images = FolderImages(folder, ["red.png", "again.png", "blue.png", None], list("abcd"))
    red, again, blue, nothing = images.content_keys()
    assert red == again != blue and nothing is None
    before = images.fingerprint
    (folder / "blue.png").write_bytes(png("green"))
    assert FolderImages(folder, ["red.png", "again.png", "blue.png", None], list("abcd")).fingerprint != before
    data = pl.Series([(folder / name).read_bytes() for name in ("red.png", "again.png", "blue.png")] + [None])
    assert (
        PackedImages(folder / "x", data, list("abcd")).fingerprint
        == FolderImages(folder, ["red.png", "again.png", "blue.png", None], list("abcd")).fingerprint
    )


def test_no_images_open_nothing():
    with pytest.raises(KeyError):
        NoImages(3).open(0)
    assert not NoImages(3).present.any()


@pytest.mark.parametrize("mode", ["P", "LA", "RGB"])
def test_transparency_is_white_in_every_mode_that_knows_it(folder, mode):
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    picture.putpixel((0, 0), (10, 10, 10, 255))
    if mode == "RGB":  # one color counts as transparent
        picture, options = Image.new("RGB", (4, 4), (1, 2, 3)), {"transparency": (1, 2, 3)}
        picture.putpixel((0, 0), (10, 10, 10))
    else:
        picture, options = picture.convert(mode), {}
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    found = PackedImages(folder / "x", pl.Series([buffer.getvalue()]), ["a"]).open(0)
    assert (found.mode, found.getpixel((3, 3)), found.getpixel((0, 0))) == ("RGB", (255, 255, 255), (10, 10, 10))


def test_a_picture_that_claims_to_be_enormous_is_refused(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow refuses above twice this
    with pytest.raises(DataError, match="does not decode"):
        FolderImages(folder, ["red.png"], ["a"]).open(0)


def test_the_fingerprint_tells_whose_picture_it_is(folder):
    orders = (["red.png", None, "blue.png"], [None, "red.png", "blue.png"], ["blue.png", None, "red.png"])
    fingerprints = {FolderImages(folder, order, list("abc")).fingerprint for order in orders}
    assert len(fingerprints) == 3
    data = [(folder / name).read_bytes() for name in ("red.png", "blue.png")]
    packed = {
        PackedImages(folder / "x", pl.Series(order, dtype=pl.Binary), list("abc")).fingerprint
        for order in ([data[0], None, data[1]], [None, *data], [data[1], None, data[0]])
    }
    assert packed == fingerprints


def test_an_empty_path_is_a_missing_picture(folder):
    images = FolderImages(folder, ["", "blue.png"], ["a", "b"])
    assert images.present.tolist() == [False, True] and images.content_keys()[0] is None


def test_no_images_have_no_keys():
    assert NoImages(3).content_keys() == [None, None, None]


def test_sixteen_bit_gray_keeps_its_brightness(folder):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 128 * 257, np.uint16)).save(buffer, "PNG")
    packed = PackedImages(folder / "x", pl.Series([buffer.getvalue()]), ["a"])
    assert packed.open(0).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5_000 + ".png", "loop.png"])
def test_a_path_no_system_can_open_is_named(folder, path):
    (folder / "loop.png").symlink_to(folder / "loop.png")
    with pytest.raises(DataError, match=r'item a, field "image"'):
        FolderImages(folder, [path], ["a"])


def test_a_file_that_vanished_is_named(folder):
    images = FolderImages(folder, ["red.png"], ["a"])
    (folder / "red.png").unlink()
    with pytest.raises(DataError, match=r"red.png, item a, field .image.: the image cannot be read"):
        images.open(0)
