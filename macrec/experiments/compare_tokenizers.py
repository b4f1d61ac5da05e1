"""Codebooks compared with each other: every variant from every seed, measured in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm import tqdm

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.errors import DataError, say_left_out
from macrec.quantization.health import codebook_health
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.settings import profile_named
from macrec.tokenizers.kinds import check_tokenizer, open_tokenizer
from macrec.tokenizers.measures import cross_modal_information
from macrec.tokenizers.settings import CodebookSettings
from macrec.tokenizers.tokenizer import Tokenizer
from macrec.training import drain

PREFIX_WEIGHT = 0.03
BY_PREFIX = f"cross-modal by prefix λ={PREFIX_WEIGHT:g}"
"""The form of the contrastive term that is about conflicts, with the weight that docs/codebooks.md measures."""


def codebook_rows(tokenizer: Tokenizer, variant: str) -> list[dict[str, Any]]:
    """One row of `comparison_table` per modality of a tokenizer that has learned."""
    reconstruction, seed = tokenizer.reconstruction(), tokenizer.settings.recipe.seed
    return [
        measured_row(variant, seed, name, ids, tokenizer.labels, reconstruction[name])
        for name, ids in tokenizer.ids().items()
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


def variants(
    settings: CodebookSettings,
    embeddings: Mapping[str, Embeddings],
    sweep: Sequence[float],
    tokenizers: Sequence[str] = (),
    quantizers: Sequence[str] = (),
) -> dict[str, CodebookSettings]:
    """What notebook 03 compares.

    Independent and cross-modal RQ-VAEs for every λ in `sweep`; the form of the contrastive term by prefix, unless
    `settings` have it, which then holds for every λ; the published code; residual k-means; and every one of
    `tokenizers` (else "rqvae") with every one of `quantizers` (else as it is).

    λ = 0 in the sweep leaves the alignment term on, "independent" has neither. With one modality there is no
    cross-modal variant. Raises DataError for unknown names.
    """
    joint = replace(settings, tokenizer="cross-modal")
    compared = {"independent": joint.independent()}
    if len(embeddings) > 1:
        compared |= {f"cross-modal λ={value:g}": joint.with_lambda(value) for value in sweep}
        if settings.config.contrast != "prefix":
            compared[BY_PREFIX] = joint.by_prefix(PREFIX_WEIGHT)
    compared |= {"published code": joint.published(), "residual k-means": replace(settings, tokenizer="rkmeans")}
    for tokenizer in tokenizers or (["rqvae"] if quantizers else []):
        check_tokenizer(tokenizer)
        for quantizer in quantizers or [settings.config.rqvae.quantizer]:
            rqvae = replace(settings.config.rqvae, quantizer=quantizer)
            name = ", ".join([tokenizer, *([quantizer] if quantizers else [])])
            compared[name] = replace(settings, tokenizer=tokenizer, config=replace(settings.config, rqvae=rqvae))
    return compared


def board_titles(settings: CodebookSettings) -> tuple[str, str]:
    """What the boards of the two trainings of notebook 03 are called: without terms between modalities, and with them.

    Where the tokenizer has no such terms the second board shows the same training, and says so.
    """
    if settings.tokenizer != "cross-modal":
        return f"{settings.tokenizer}, each modality by itself", "The same again: it has no terms between modalities"
    return "Independent: one RQ-VAE per modality", "Cross-modal"


def joined(settings: CodebookSettings, embeddings: Mapping[str, Embeddings]) -> CodebookSettings:
    """`settings` where there are two modalities; with one, those without the terms between them, which is printed."""
    if len(embeddings) > 1 or settings.tokenizer != "cross-modal":
        return settings
    say_left_out("the cross-modal terms", f"{next(iter(embeddings))} is the only modality")
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
    compared: Mapping[str, CodebookSettings],
    seeds: Sequence[int],
    progress: bool = False,
) -> pl.DataFrame:
    """Train every one of `compared` from every seed and measure it: the rows of `measured_row`, by variant, seed and
    modality.

    What is trained already is not trained again. After an interrupt the rows of what was finished are returned.
    `progress` shows a bar.
    """
    trainings = [(name, seed) for name in compared for seed in seeds]
    rows: list[dict[str, Any]] = []
    bar = tqdm(trainings, desc="codebooks", unit="trainings", disable=not progress, leave=False)
    with bar, suppress(KeyboardInterrupt):  # an interrupt may also come between two trainings
        for name, seed in bar:
            bar.set_postfix_str(f"{name}, seed {seed}")
            tokenizer = open_tokenizer(folder, data, embeddings, compared[name].with_seed(seed))
            if drain(tokenizer.events()).stopped:
                break
            rows += codebook_rows(tokenizer, name)
    return pl.DataFrame(rows)


def listed(names: str) -> list[str]:
    """The names in a parameter, with commas between them; several options of one have semicolons between them:
    "rkmeans, rkmeans:metric=cosine;residual=project"."""
    return [name.strip().replace(";", ",") for name in names.split(",") if name.strip()]
