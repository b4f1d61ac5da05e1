"""Items per second of each encoder through the store, against what a user would write instead.

Every side runs in a process of its own on the same generated catalog and times itself without loading libraries and
weights; ours includes writing the result to disk. Where both sides make the same vectors, they must agree. Run it with
`python -m benchmarks.encoders [texts] [pictures]`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measure import peak
from macrec.data.dataset import Dataset, from_events
from macrec.data.images import FolderImages
from macrec.encoders import EmbeddingStore, OpenClipEncoder, SentenceTransformerEncoder, item_texts, make_encoder

CLIP = "clip:ViT-B-32/random"
SIDE = 224

# record, encoder, theirs, what theirs is, and what bounds ours (a side, with a name)
SIDES = [
    ("tfidf", "tfidf", "pipeline", "scikit-learn pipeline", ("vectors", "TfidfVectorizer alone")),
    ("minilm", "minilm", "encode_all", "SentenceTransformer.encode of everything", None),
    ("minilm (batches)", "minilm", "encode_batches", "SentenceTransformer.encode in catalog order, 64 at a time", None),
    (
        "hog-color",
        "hog-color",
        "hog_loop",
        "a loop with skimage hog and rgb2lab (other bins)",
        ("hog_alone", "HOG alone"),
    ),
    ("clip", CLIP, "clip_loop", "open_clip, one picture at a time", ("clip_alone", "the model alone, batches of 64")),
]
SAME_VECTORS = {"pipeline", "encode_all", "encode_batches", "clip_loop"}


def records(texts: int = 1000, pictures: int = 600) -> list[dict[str, Any]]:
    """One record per comparison; CLIP, the slow one, gets a quarter of the pictures."""
    counts = {"tfidf": texts, "minilm": texts, "hog-color": pictures, CLIP: max(1, pictures // 4)}
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        generate(Path(temporary), texts, pictures)
        for name, encoder, side, alternative, bound in SIDES:
            items = counts[encoder]
            shared = {"folder": temporary, "items": items}
            ours = peak("benchmarks.encoders:ours", spec=encoder, name=name, **shared)
            theirs = peak("benchmarks.encoders:theirs", side=side, **shared)
            if side in SAME_VECTORS:
                np.testing.assert_allclose(ours.result["sample"], theirs.result["sample"], atol=1e-4)
            limit = ""
            if bound is not None:
                alone = peak("benchmarks.encoders:theirs", side=bound[0], **shared)
                limit = f"{bound[1]}: {items / alone.result['seconds']:,.0f} items/s"
            found.append(
                {
                    "name": name,
                    "ours": round(items / ours.result["seconds"], 1),
                    "theirs": round(items / theirs.result["seconds"], 1),
                    "ratio": round(theirs.result["seconds"] / ours.result["seconds"], 2),
                    "limit": limit,
                    "unit": "items/s",
                    "peak_memory_mb": round(ours.peak_mb),
                    "note": f"{items:,} items; theirs: {alternative}, {theirs.peak_mb:.0f} MB",
                }
            )
    return found


def ours(spec: str, name: str, folder: str, items: int) -> dict[str, Any]:
    """The encoder through an empty store; fitting counts, loading weights does not."""
    dataset = catalog(Path(folder), items)
    encoder = make_encoder(spec)
    assert not hasattr(encoder, "open")
    if isinstance(encoder, SentenceTransformerEncoder | OpenClipEncoder):
        encoder.prepare(dataset)
    else:
        for module in ("skimage.feature", "skimage.color", "sklearn.decomposition", "sklearn.feature_extraction.text"):
            import_module(module)
    begin = time.perf_counter()
    result = EmbeddingStore(Path(folder) / f"store {name}").get(dataset, encoder, progress=False)
    return report(time.perf_counter() - begin, result.values)


def theirs(side: str, folder: str, items: int) -> dict[str, Any]:
    """What a user would write: `side` prepares it and returns the part that is timed."""
    work = THEIRS[side](catalog(Path(folder), items))
    begin = time.perf_counter()
    vectors = work()
    return report(time.perf_counter() - begin, vectors)


def report(seconds: float, vectors: NDArray[Any]) -> dict[str, Any]:
    """The time, and some numbers by which two sides are compared."""
    return {"seconds": seconds, "sample": np.asarray(vectors[:20, :5], float).tolist()}


Work = Callable[[], NDArray[Any]]


def pipeline(dataset: Dataset) -> Work:
    """TF-IDF and SVD with the same settings, all texts in one call."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    steps = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=100_000, dtype=np.float32),
        TruncatedSVD(256, random_state=0),
    )
    return lambda: np.asarray(steps.fit_transform(item_texts(dataset)))


def vectors(dataset: Dataset) -> Work:
    """The tokenizing half of it."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, dtype=np.float32)
    return lambda: np.asarray(vectorizer.fit_transform(item_texts(dataset))[:20, :5].toarray())


def minilm() -> Any:
    """The model itself."""
    encoder = SentenceTransformerEncoder("minilm")
    folder = encoder.folder
    from macrec.encoders.torchvision_compat import import_torchvision

    import_torchvision()
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder))


def encode_all(dataset: Dataset) -> Work:
    """One call for everything: the library sorts by length itself."""
    model, texts = minilm(), item_texts(dataset)
    return lambda: np.asarray(model.encode(texts, batch_size=64, show_progress_bar=False))


def encode_batches(dataset: Dataset) -> Work:
    """Batch after batch as the catalog has them."""
    model, texts = minilm(), item_texts(dataset)
    batches = [texts[start : start + 64] for start in range(0, len(texts), 64)]
    return lambda: np.concatenate([model.encode(batch, batch_size=64, show_progress_bar=False) for batch in batches])


def hog_loop(dataset: Dataset) -> Work:
    """Picture after picture, with the functions of scikit-image."""
    from skimage.color import rgb2lab
    from skimage.feature import hog

    def features(row: int) -> NDArray[Any]:
        small = dataset.images.open(row).resize((96, 96), Image.Resampling.BILINEAR)
        lab = rgb2lab(np.asarray(small))
        edges = [(0, 100), (-100, 100), (-110, 100)]
        tiles = [lab[y : y + 32, x : x + 32].reshape(-1, 3) for y in (0, 32, 64) for x in (0, 32, 64)]
        color = [np.histogramdd(tile, bins=(4, 5, 5), range=edges)[0].ravel() for tile in tiles]
        shape = hog(np.asarray(small.convert("L")), 9, pixels_per_cell=(24, 24), cells_per_block=(2, 2))
        return np.concatenate([*color, shape])

    return lambda: np.stack([features(row) for row in range(dataset.num_items)])


def hog_alone(dataset: Dataset) -> Work:
    """HOG of pictures that are already decoded and scaled."""
    from skimage.feature import hog

    gray = [
        np.asarray(dataset.images.open(row).resize((96, 96)).convert("L"), np.float32)
        for row in range(dataset.num_items)
    ]
    return lambda: np.stack([hog(one, 9, pixels_per_cell=(24, 24), cells_per_block=(2, 2)) for one in gray])


def clip_loop(dataset: Dataset) -> Work:
    """Decode, preprocess and encode each picture by itself."""
    import torch

    encoder = make_encoder(CLIP)
    assert isinstance(encoder, OpenClipEncoder)
    encoder.prepare(dataset)
    model, preprocess = encoder._loaded, encoder._preprocess

    def work() -> NDArray[Any]:
        with torch.inference_mode():
            pictures = (preprocess(dataset.images.open(row))[None] for row in range(dataset.num_items))
            return np.concatenate([model.encode_image(picture).numpy() for picture in pictures])

    return work


def clip_alone(dataset: Dataset) -> Work:
    """The model on batches that are already there."""
    import torch

    encoder = make_encoder(CLIP)
    assert isinstance(encoder, OpenClipEncoder)
    encoder.prepare(dataset)
    batch = torch.randn(64, 3, SIDE, SIDE)

    def work() -> NDArray[Any]:
        with torch.inference_mode():
            sizes = [min(64, dataset.num_items - start) for start in range(0, dataset.num_items, 64)]
            return np.concatenate([encoder._loaded.encode_image(batch[:size]).numpy() for size in sizes])

    return work


THEIRS: dict[str, Callable[[Dataset], Work]] = {
    function.__name__: function
    for function in (pipeline, vectors, encode_all, encode_batches, hog_loop, hog_alone, clip_loop, clip_alone)
}


def generate(folder: Path, texts: int, pictures: int) -> None:
    """A catalog of made-up words with lengths as in product texts, and JPEG pictures of smooth noise."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnoprstuvw"), size)) for size in rng.integers(3, 9, 5000)]
    rank = 1 / np.arange(1, len(words) + 1)
    lengths = np.clip(rng.lognormal(3.2, 0.9, texts), 2, 200).astype(int)
    titles = [" ".join(rng.choice(words, length, p=rank / rank.sum())) for length in lengths]
    pl.DataFrame({"item_id": [f"i{row}" for row in range(texts)], "title": titles}).write_parquet(
        folder / "items.parquet"
    )
    for row in range(pictures):
        noise = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{row}.jpg", quality=85)


def catalog(folder: Path, items: int) -> Dataset:
    """The first `items` of the generated catalog, with their pictures where there are any."""
    frame = pl.read_parquet(folder / "items.parquet").head(items)
    names = frame["item_id"].to_list()
    files = [f"{row}.jpg" if (folder / f"{row}.jpg").exists() else None for row in range(len(names))]
    events = pl.DataFrame({"user_id": ["u"], "item_id": [names[0]]})
    images = FolderImages(folder, files, names)
    return from_events("made up", events, frame, events_file="events", items_file="items", images=images)


if __name__ == "__main__":
    print(json.dumps(records(*map(int, sys.argv[1:])), indent=2))
