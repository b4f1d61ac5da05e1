"""Pictures stand upright, are bounded, and are whole exactly when they decode."""

import io
import random

import numpy as np
import polars as pl
import pytest
from PIL import Image, features

from macrec.data.reading import decoding
from macrec.data.reading.decoding import UPRIGHT, decode, decoded, defect, formats
from macrec.data.reading.picture_files import file_of, first_whole
from macrec.errors import DataError

KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *(["AVIF"] if features.check("avif") else [])]


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def corners():
    """A picture whose corners are red, green, blue and white, going round from the upper left one."""
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:8, :16], picture[:8, 16:], picture[8:, 16:], picture[8:, :16] = [255, 0, 0], [0, 255, 0], [0, 0, 255], 255
    return Image.fromarray(picture)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright_whatever_its_exif_orientation(corners, kind, orientation):
    turn_back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)  # a turn by 90 degrees is undone by one back
    lying = corners.transpose(UPRIGHT[turn_back]) if turn_back > 1 else corners
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    found = decode(saved(lying, kind, exif=exif, **options), file="x", row="item a")
    assert found.size == corners.size
    difference = np.abs(np.asarray(found, int) - np.asarray(corners, int))
    assert np.median(difference) <= 3 and difference.mean() < 30


@pytest.mark.filterwarnings("ignore")
def test_damaged_exif_leaves_the_picture_as_it_is(corners):
    data = saved(corners, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert decode(data, file="x", row="item a").size == corners.size


def test_floats_between_0_and_1_are_brightness():
    picture = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    assert decode(saved(picture, "TIFF"), file="x", row="item a").getpixel((0, 0)) == (128, 128, 128)


def bomb(side):
    """A whole PNG of `side` × `side` white pixels: a few kilobytes, far more when decoded."""
    return saved(Image.new("1", (side, side), 1), "PNG", optimize=True)


def test_a_picture_larger_than_any_photograph_is_not_decoded(tmp_path):
    data = bomb(7_200)
    assert len(data) < 100_000
    with pytest.raises(DataError, match=r"item a.*7,200 × 7,200 pixels large, and up to 50 million are read"):
        decode(data, file="x", row="item a")
    (tmp_path / "bomb.png").write_bytes(data)
    assert "7,200 × 7,200" in defect(tmp_path / "bomb.png")


def test_a_file_larger_than_any_photograph_is_not_read(tmp_path):
    with (tmp_path / "x.jpg").open("wb") as stream:
        stream.truncate(decoding.LARGEST_BYTES + 1)
    assert "more than 67" in defect(tmp_path / "x.jpg")


def test_no_format_that_starts_a_program_is_read(tmp_path):
    assert not {"EPS", "PDF", "WMF"} & set(formats())
    data = saved(Image.new("RGB", (8, 8)), "EPS")
    with pytest.raises(DataError, match="no image format is recognized"):
        decode(data, file="x", row="item a")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_every_shorter_file_is_whole_exactly_when_it_decodes(tmp_path, kind):
    data, file = saved(Image.new("RGB", (9, 9), "teal"), kind), tmp_path / "x"
    wrong = []
    for length in range(len(data) + 1):
        file.write_bytes(data[:length])
        try:
            decoded(file)
        except decoding.UNDECODABLE:
            decodes = False
        else:
            decodes = True
        if (defect(file) is None) != decodes:
            wrong.append(length)
    assert not wrong and defect(file) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", [b"", b"\n", b"\0" * 64], ids=["as it is", "a line end", "padding"])
def test_what_stands_behind_a_whole_picture_does_not_matter(tmp_path, corners, kind, tail):
    (tmp_path / "x").write_bytes(saved(corners, kind) + tail)
    assert defect(tmp_path / "x") is None


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd TIFF tags
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_are_a_sentence_and_nothing_else(corners, kind):
    data, rng = saved(corners, kind), random.Random(0)
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 2, 8])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            decode(bytes(damaged), file="x", row="item a")
        except DataError as error:
            assert "item a" in str(error) and "\n" not in str(error)


def test_the_first_whole_file_of_each_item_and_notes_for_the_rest(tmp_path, corners):
    (tmp_path / "51+0.gif").write_bytes(saved(corners, "GIF"))
    (tmp_path / "b.bmp").write_bytes(saved(corners, "BMP"))
    (tmp_path / "cut.jpg").write_bytes(saved(corners, "JPEG")[:-40])
    named = pl.DataFrame(
        [("i", "51%2B0.gif"), ("j", "cut.jpg"), ("j", "gone.jpg"), ("j", "b.bmp"), ("k", "cut.jpg"), ("l", "lost.png")],
        schema=["item_id", "name"],
        orient="row",
    )
    pictures, notes = first_whole(named, tmp_path)
    assert dict(pictures.rows()) == {"i": "51+0.gif", "j": "b.bmp"}
    assert [note.partition(" (")[0] for note in notes] == [
        "1 of 3 picture files do not decode: cut.jpg",
        f"1 picture files are not in {tmp_path.name}/: lost.png",
        "2 of 4 items that name a picture have no file that is one",
    ]


@pytest.mark.parametrize("name", [".", "..", "", "a\0b", "é" * 128 + ".jpg", "..%2Fx.png"])
def test_no_file_has_a_name_that_none_can_have(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "x.png").write_bytes(b"")
    assert file_of(tmp_path / "in", name) is None
