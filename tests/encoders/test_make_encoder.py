from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from macrec.data.dataset import Dataset
from macrec.encoders import (
    EmbeddingStore,
    HogColorEncoder,
    NpyEncoder,
    OpenClipEncoder,
    SentenceTransformerEncoder,
    TfidfEncoder,
    available,
    make_encoder,
    registry,
)
from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.encoders.rq_dino import RQDINOEncoder
from macrec.errors import DataError


@pytest.mark.parametrize(
    ("spec", "settings", "expected"),
    [
        ("tfidf", {"dim": 8}, TfidfEncoder(dim=8)),
        ("minilm", {"combine": "mean"}, SentenceTransformerEncoder("minilm", combine="mean")),
        ("st:owner/model", {}, SentenceTransformerEncoder("owner/model")),
        ("st:C:/models/m", {}, SentenceTransformerEncoder("C:/models/m")),
        ("hog-color", {"size": 48}, HogColorEncoder(size=48)),
        ("clip:ViT-B-32/openai", {"batch_size": 8}, OpenClipEncoder("ViT-B-32", "openai", batch_size=8)),
        ("clip:ViT-B-32/folder/weights.pt", {}, OpenClipEncoder("ViT-B-32", "folder/weights.pt")),
        ("clip:ViT-B-32/random", {}, OpenClipEncoder("ViT-B-32", None)),
        ("clip:hf-hub:owner/name", {}, OpenClipEncoder("hf-hub:owner/name", None)),
        ("clip:local-dir:/models/m", {}, OpenClipEncoder("local-dir:/models/m", None)),
        ("rq-dino", {}, RQDINOEncoder()),
        ("rq-dino:steps=20,seed=1", {}, RQDINOEncoder(DistillationRecipe(steps=20, seed=1))),
        ("npy:folder/v.npy", {"modality": "text"}, NpyEncoder("folder/v.npy", "text")),
    ],
)
def test_each_spec_names_its_encoder(spec: str, settings: dict[str, Any], expected: Any) -> None:
    assert make_encoder(spec, **settings) == expected


@pytest.mark.parametrize(
    "spec", ["", "bert", "st:", "clip:", "clip:ViT-B-32", "clip:ViT-B-32/", "npy:", "npy:v.npy", "TFIDF"]
)
def test_other_specs_are_refused_with_those_that_exist(spec: str) -> None:
    with pytest.raises(DataError, match="There is no encoder") as caught:
        make_encoder(spec)
    forms = "minilm, st:<model name or folder>, tfidf[:<field>], clip:<model>/<weights>, hog-color, "
    assert forms + "rq-dino[:<setting>=<value>], npy:<file>" in str(caught.value)


def test_available_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    by_spec = {entry.spec: entry for entry in available()}
    assert by_spec["tfidf[:<field>]"].installed == (importlib.util.find_spec("sklearn") is not None)
    assert by_spec["npy:<file>"].installed

    monkeypatch.setattr(registry, "find_spec", lambda module: None)
    by_spec = {entry.spec: entry for entry in available()}
    assert by_spec["minilm"][:4] == ("minilm", "text", False, "sentence-transformers, macrec[minilm]")
    assert by_spec["clip:<model>/<weights>"].missing == "open_clip_torch"
    assert by_spec["npy:<file>"].installed


def test_offline_encoders_run_through_the_store_on_real_pictures_and_texts(catalog: Dataset, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    for spec in ("tfidf", "hog-color"):
        result = store.get(catalog, make_encoder(spec), progress=False)
        assert len(result) == 6
        assert result.present.sum() == 5
        assert np.isfinite(result.standardized()).all()
    assert [entry.meta["encoder"] for entry in store.entries()] == ["hog-color", "tfidf"]
