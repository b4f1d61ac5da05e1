from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrec.data.dataset import Dataset
from macrec.encoders import EmbeddingStore, HogColorEncoder, OpenClipEncoder
from macrec.encoders.hog_color import color_histogram, color_table
from macrec.encoders.rotation import rotation
from macrec.encoders.torchvision_compat import import_torchvision
from macrec.errors import DataError

PRESENT = np.array([0, 1, 2, 3, 5])


def color_number(rgb: tuple[int, int, int]) -> int:
    red, green, blue = (value // 8 for value in rgb)
    return int(color_table()[0][red * 1024 + green * 32 + blue])


def test_a_color_histogram_counts_each_place_by_itself() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    colors = color_table()[1]
    expected = np.zeros((3, 3, colors))
    for y in range(12):
        for x in range(12):
            expected[y // 4, x // 4, color_number(tuple(pixels[y, x].tolist()))] += 1
    result = color_histogram(pixels)
    np.testing.assert_allclose(result**2 * 144, expected.ravel(), atol=1e-4)
    assert np.linalg.norm(result) == pytest.approx(1)


def test_colors_that_look_alike_share_a_number_and_others_do_not() -> None:
    assert color_number((90, 90, 90)) == color_number((100, 96, 94))
    names = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255), (0, 0, 0), (128, 128, 128)]
    assert len({color_number(rgb) for rgb in names}) == len(names)
    assert color_table()[0].max() + 1 == color_table()[1]


def test_both_parts_have_unit_length_and_a_similar_size(catalog: Dataset) -> None:
    rotated = HogColorEncoder().encode(catalog, PRESENT)
    vectors = rotated @ rotation(rotated.shape[1]).T
    colors = 9 * color_table()[1]
    hog = vectors.shape[1] - colors
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :colors], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, colors:], axis=1), 1, atol=1e-5)
    assert hog == 9 * 4 * 9
    assert 0.5 < colors / hog < 2


def test_a_plain_surface_has_color_and_no_shape() -> None:
    assert not HogColorEncoder().hog(Image.new("RGB", (96, 96), "teal")).any()


def test_the_shape_part_sees_direction_and_not_color() -> None:
    def stripes(color: str, *, turned: bool) -> Image.Image:
        image = Image.new("RGB", (96, 96), "white")
        for start in range(0, 96, 16):
            image.paste(color, (start, 0, start + 8, 96))
        return image.transpose(Image.Transpose.ROTATE_90) if turned else image

    hog = HogColorEncoder().hog
    upright, blue, lying = (
        hog(stripes("red", turned=False)),
        hog(stripes("blue", turned=False)),
        hog(stripes("red", turned=True)),
    )
    assert upright @ blue > 0.99
    assert upright @ lying < 0.2


def test_similar_pictures_are_closer_than_different_ones(catalog: Dataset) -> None:
    red, darkred, blue, *_ = HogColorEncoder().encode(catalog, PRESENT)
    assert red @ darkred > red @ blue


@pytest.mark.parametrize("rows", [[5, 0, 2], [2, 2, 1], [3]])
def test_each_row_belongs_to_its_own_picture(catalog: Dataset, rows: list[int]) -> None:
    vectors = HogColorEncoder().encode(catalog, np.array(rows))
    alone = [HogColorEncoder().encode(catalog, np.array([row]))[0] for row in rows]
    np.testing.assert_allclose(vectors, np.stack(alone), atol=1e-6)  # the rotation adds in another order
    everyone = HogColorEncoder().encode(catalog, PRESENT)
    assert len(np.unique(everyone, axis=0)) == len(PRESENT)


def test_items_without_a_picture_are_absent_and_zero(catalog: Dataset, tmp_path: Path) -> None:
    result = EmbeddingStore(tmp_path).get(catalog, HogColorEncoder(), progress=False)
    assert np.flatnonzero(result.present).tolist() == PRESENT.tolist()
    assert not result.values[4].any()
    assert not result.standardized()[4].any()


def break_picture(catalog: Dataset, row: int) -> None:
    file = catalog.images.files[row]  # type: ignore[attr-defined]
    file.write_bytes(file.read_bytes()[:100])


def test_a_picture_that_does_not_decode_stops_with_its_name(catalog: Dataset, tmp_path: Path) -> None:
    break_picture(catalog, 2)
    store = EmbeddingStore(tmp_path)
    with pytest.raises(DataError, match=r'2\.png, item i2, field "image": the image does not decode'):
        store.get(catalog, HogColorEncoder(), progress=False)
    assert store.entries() == []


@pytest.mark.parametrize("settings", [{"size": 90}, {"size": 12}, {"orientations": 1}])
def test_sizes_that_do_not_divide_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        HogColorEncoder(**settings)


# --------------------------------------------------------------------------------------------------------- CLIP

TINY = "ViT-S-32-alt"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> OpenClipEncoder:
    import_torchvision()
    import torch

    state = torch.random.get_rng_state()
    encoder = OpenClipEncoder(TINY, None, batch_size=2, device="cpu")
    encoder.prepare(None)  # type: ignore[arg-type]  # random weights need no dataset
    assert torch.equal(torch.random.get_rng_state(), state), "loading must not touch the global generator"
    return encoder


@pytest.mark.slow
def test_clip_encodes_in_batches_what_it_encodes_alone(clip: OpenClipEncoder, catalog: Dataset) -> None:
    vectors = clip.encode(catalog, PRESENT)
    assert vectors.shape == (5, 256)
    assert vectors.dtype == np.float32
    alone = np.concatenate([clip.encode(catalog, np.array([row])) for row in PRESENT])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
    np.testing.assert_allclose(clip.encode(catalog, PRESENT[::-1]), vectors[::-1], atol=1e-5)
    assert len(np.unique(vectors, axis=0)) == 5


def test_clip_preprocessing_is_that_of_the_clip_paper(clip: OpenClipEncoder, catalog: Dataset) -> None:
    """A 224-pixel square needs no resizing: only the published mean and deviation are applied."""
    import torch

    square = Image.new("RGB", (224, 224), "purple")
    square.paste("orange", (20, 40, 150, 90))
    square.save(catalog.images.files[0])  # type: ignore[attr-defined]
    pixels = np.asarray(square, np.float32) / 255
    pixels = (pixels - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    with torch.no_grad():
        expected = clip._loaded.encode_image(torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None])
    np.testing.assert_allclose(clip.encode(catalog, np.array([0])), expected.numpy(), atol=1e-5)


def test_random_weights_are_called_random(clip: OpenClipEncoder) -> None:
    assert clip.name == f"clip-{TINY}-random"
    assert clip.settings["weights"] == f"{TINY} random 0"
    assert OpenClipEncoder("ViT-B-32").name == "clip-ViT-B-32-laion2b_s34b_b79k"


@pytest.mark.slow
def test_random_weights_depend_on_the_seed_alone(clip: OpenClipEncoder, catalog: Dataset) -> None:
    same, other = OpenClipEncoder(TINY, None, device="cpu"), OpenClipEncoder(TINY, None, seed=1, device="cpu")
    rows = np.array([0])
    np.testing.assert_allclose(same.encode(catalog, rows), clip.encode(catalog, rows), atol=1e-5)
    assert np.abs(other.encode(catalog, rows) - clip.encode(catalog, rows)).max() > 0.01


def test_clip_leaves_items_without_a_picture_out(clip: OpenClipEncoder, catalog: Dataset, tmp_path: Path) -> None:
    result = EmbeddingStore(tmp_path).get(catalog, clip, progress=False)
    assert np.flatnonzero(result.present).tolist() == PRESENT.tolist()
    assert not result.values[4].any()


def test_clip_names_a_picture_that_does_not_decode(clip: OpenClipEncoder, catalog: Dataset) -> None:
    break_picture(catalog, 5)
    with pytest.raises(DataError, match="item i5"):
        clip.encode(catalog, PRESENT)


@pytest.mark.parametrize(
    ("model", "pretrained"),
    [("ViT-none", None), (TINY, "no-such-tag"), ("local-dir:/no/such/folder", None)],
)
def test_weights_that_cannot_be_had_are_named_with_the_ways_out(
    catalog: Dataset, tmp_path: Path, model: str, pretrained: str | None
) -> None:
    with pytest.raises(DataError, match=rf'The CLIP model "{model}" .* cannot be loaded') as caught:
        EmbeddingStore(tmp_path).get(catalog, OpenClipEncoder(model, pretrained, device="cpu"), progress=False)
    assert "local-dir:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_are_not_named_twice() -> None:
    with pytest.raises(ValueError, match="brings its weights along"):
        OpenClipEncoder("hf-hub:owner/name")
