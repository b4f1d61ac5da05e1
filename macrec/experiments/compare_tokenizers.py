"""Codebooks compared with each other: every variant from every seed, measured in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.quantization.health import codebook_health
from macrec.quantization.residual_kmeans import ResidualKMeans
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.settings import profile_named
from macrec.tokenizers.codebooks import Codebooks, CodebookSettings, catalog_labels
from macrec.tokenizers.training import cross_modal_information
from macrec.training import drain


def codebook_rows(books: Codebooks, variant: str) -> list[dict[str, Any]]:
    """One row of `comparison_table` per modality of trained codebooks."""
    reconstruction, seed = books.task.reconstruction(), books.settings.recipe.seed
    return [
        measured_row(variant, seed, name, ids, books.labels, reconstruction[name]) for name, ids in books.ids().items()
    ]


def measured_row(
    variant: str,
    seed: int,
    modality: str,
    ids: SemanticIds,
    labels: Mapping[str, NDArray[np.int32]],
    reconstruction: float,
) -> dict[str, Any]:
    """The measures by which codebooks are compared; utilization and perplexity are means over levels."""
    health = codebook_health(ids)
    information = cross_modal_information(ids, modality, labels) if len(labels) > 1 else [float("nan")]
    return {
        "variant": variant,
        "seed": seed,
        "modality": modality,
        "conflict_rate": health.conflict_rate,
        "utilization": float(np.mean([level.utilization for level in health.levels])),
        "perplexity": float(np.mean([level.perplexity for level in health.levels])),
        "information": float(np.mean(information)),
        "reconstruction": reconstruction,
    }


def variants(settings: CodebookSettings, sweep: Sequence[float]) -> dict[str, CodebookSettings]:
    """The trainings that notebook 03 compares: independent, cross-modal for every λ in `sweep`, and the published code.

    λ = 0 in the sweep leaves the alignment term on, "independent" has neither.
    """
    found = {"independent": settings.independent()}
    found |= {f"cross-modal λ={value:g}": settings.with_lambda(value) for value in sweep}
    return found | {"published code": settings.compat()}


def joined(settings: CodebookSettings, embeddings: Mapping[str, Embeddings]) -> CodebookSettings:
    """`settings` where there are two modalities; with one, those without the terms between them, which is printed."""
    if len(embeddings) > 1:
        return settings
    print(f"Left out: the cross-modal terms, as {next(iter(embeddings))} is the only modality.")
    return settings.independent()


def what_to_compare(
    profile: str, lambda_con: float, sweep: str = "", seeds: int = 0, seed: int = 0
) -> tuple[list[float], list[int]]:
    """The contrastive weights and the seeds of a comparison, from the flat parameters of a notebook.

    `sweep` holds weights with commas between them; empty, and `seeds` 0, leave them to the profile, which may
    compare none but `lambda_con` and start once, from `seed`. `lambda_con` is always among
    them. Raises DataError for a sweep that is not a list of numbers of 0 or more, and for a negative number of seeds.
    """
    if seeds < 0:
        raise DataError(f"{seeds} is too small", field="seeds", fix="give a whole number of 0 or more")
    chosen = profile_named(profile)
    weights = list(chosen.weights)
    if sweep:
        try:
            weights = [float(part) for part in sweep.split(",")]
        except ValueError:
            weights = [-1.0]
        if min(weights) < 0 or not np.isfinite(weights).all():
            what = f'the sweep "{sweep}" is no list of weights of 0 or more'
            raise DataError(what, field="sweep", fix='write such as "0, 0.001, 0.01"')
    return sorted({*weights, lambda_con}), list(range(seed, seed + (seeds or chosen.seeds)))


def compare(
    folder: Path,
    data: Dataset,
    embeddings: Mapping[str, Embeddings],
    settings: CodebookSettings,
    weights: Sequence[float],
    seeds: Sequence[int],
    progress: bool = False,
) -> pl.DataFrame:
    """Train every variant from every seed and measure it: the rows of `measured_row`, by variant, seed and modality.

    What is trained already is not trained again. Residual k-means on the standardized vectors, with as many levels and
    codewords, joins as the variant that needs no training. With one modality there is no cross-modal variant. After an
    interrupt the rows of what was finished are returned. `progress` shows a bar.
    """
    compared = variants(settings, weights if len(embeddings) > 1 else ())
    trainings = [(name, seed) for name in compared for seed in seeds]
    rows: list[dict[str, Any]] = []
    bar = tqdm(trainings, desc="codebooks", unit="trainings", disable=not progress, leave=False)
    with bar, suppress(KeyboardInterrupt):  # an interrupt may also come between two trainings
        for name, seed in bar:
            bar.set_postfix_str(f"{name}, seed {seed}")
            books = Codebooks(folder, data, embeddings, compared[name].with_seed(seed))
            if drain(books.events()).stopped:
                break
            rows += codebook_rows(books, name)
    for seed in seeds:
        rows += kmeans_rows(embeddings, settings, seed)
    return pl.DataFrame(rows)


def kmeans_rows(embeddings: Mapping[str, Embeddings], settings: CodebookSettings, seed: int) -> list[dict[str, Any]]:
    """One row per modality for residual k-means on the standardized vectors."""
    labels = catalog_labels(embeddings, settings.clusters, seed)
    rows = []
    for name, found in embeddings.items():
        x = torch.from_numpy(found.standardized(np.flatnonzero(found.present)))
        sizes = settings.config.rqvae.sizes
        fitted = ResidualKMeans([min(size, len(x)) for size in sizes], seed=seed).fit(x)
        codes = fitted.encode(x)
        error = float((fitted.decode(codes) - x).square().double().mean())
        ids = SemanticIds.from_codes(codes.numpy(), sizes=sizes)
        rows.append(measured_row("residual k-means", seed, name, ids, labels, error))
    return rows
