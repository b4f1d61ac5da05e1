"""Pictures: what opens, what is refused, and what counts as the same picture."""

import io

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
