"""The published cross-modal terms of MACRec, measured beside the corrected form (specification 0 and 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.errors import DataError, NotApplicable
from macrec.published.conflicts import resolve_published
from macrec.quantization.conflicts import resolve_conflicts
from macrec.quantization.quantizer import ResidualGrad
from macrec.quantization.residual_kmeans import ResidualKMeans
from macrec.quantization.tuples import checked, errors
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE

FORMS: dict[str, ResidualGrad] = {"published": "none", "corrected": "encoder"}


def gradient_by_level(
    x: Mapping[str, Tensor], labels: Mapping[str, Tensor], config: CrossModalConfig, seed: int = 0
) -> pl.DataFrame:
    """The norm of the encoders' gradient of the contrastive term on each level alone, in both forms.

    `x`: modality → standardized vectors `[B, d]`; `labels`: modality → pseudo-labels `[B]`. Codebooks start by
    k-means, the labels are used in both forms: only the way residuals are computed differs. Columns: form, level,
    gradient; no rows for a single modality, which has no contrastive term. Raises DataError for a single level, which
    both forms treat alike.
    """
    levels = len(config.rqvae.sizes)
    if len(x) < 2:
        return pl.DataFrame(schema={"form": pl.String, "level": pl.Int64, "gradient": pl.Float64})
    if levels < 2:
        raise DataError("a single level has no residual", field="levels", fix="give 2 or more")
    x, labels = whole_items(x, labels)
    rows: list[dict[str, Any]] = []
    for form, residual_grad in FORMS.items():
        for level in range(levels):
            only = replace(
                config,
                rqvae=replace(config.rqvae, residual_grad=residual_grad),
                lambda_con=tuple(float(other == level) for other in range(levels)),
                lambda_align=0.0,
            )
            model = started(x, only, seed)
            terms = model.losses(model(x), labels)
            torch.stack([value for term, value in terms.items() if term.kind == "contrastive"]).sum().backward()  # type: ignore[no-untyped-call]
            squares = [
                parameter.grad.square().sum()
                for name in model.modalities
                for parameter in model.branch(name).encoder.parameters()
                if parameter.grad is not None
            ]
            rows.append({"form": form, "level": level, "gradient": float(torch.stack(squares).sum().sqrt())})
    return pl.DataFrame(rows)


def positive_shares(labels: Mapping[str, NDArray[np.integer]], batch: int, seed: int = 0) -> pl.DataFrame:
    """The share of anchors of a random batch with a positive, by the published and the corrected lookup.

    The published code reads labels from JSON, builds its lists of items under *text* keys, and asks for them with
    *whole numbers*. Columns: form, modality, share.
    """
    rows: list[dict[str, Any]] = []
    for modality, all_labels in labels.items():
        having = all_labels[all_labels >= 0]
        batch_labels = np.random.default_rng(seed).permutation(having)[:batch].tolist()
        for form, key in (("published", str), ("corrected", int)):
            members: dict[str | int, list[int]] = {}
            for item, label in enumerate(batch_labels):
                members.setdefault(key(label), []).append(item)
            has_positive = [len(members.get(label, [])) > 1 for label in batch_labels]
            rows.append({"form": form, "modality": modality, "share": float(np.mean(has_positive))})
    return pl.DataFrame(rows)


def loss_under_shuffled_labels(
    x: Mapping[str, Tensor], labels: Mapping[str, Tensor], config: CrossModalConfig, shuffles: int = 8, seed: int = 0
) -> pl.DataFrame:
    """The contrastive loss with the true pseudo-labels and with shuffled ones: does it depend on them?

    Items that lack a modality are left out, so that a shuffle moves labels and nothing else. Columns: form, labels
    ("true" or "shuffled"), loss (sum over modalities, on the vectors that enter level 0); no rows for a single
    modality.
    """
    if len(x) < 2:
        return pl.DataFrame(schema={"form": pl.String, "labels": pl.String, "loss": pl.Float64})
    levels = len(config.rqvae.sizes)
    first = (1.0, *(0.0,) * (levels - 1))
    forms = {
        "published": replace(config.published(), lambda_con=first),
        "corrected": replace(config, lambda_con=first, lambda_align=0.0),
    }
    x, labels = whole_items(x, labels)
    generator = torch.Generator().manual_seed(seed)
    size = len(next(iter(labels.values())))
    orders = [torch.randperm(size, generator=generator) for _ in range(shuffles)]
    rows: list[dict[str, Any]] = []
    for form, chosen in forms.items():
        model = started(x, chosen, seed)
        with torch.no_grad():
            outputs = model(x)
            for name, order in [("true", torch.arange(size)), *(("shuffled", order) for order in orders)]:
                terms = model.losses(outputs, {modality: label[order] for modality, label in labels.items()})
                loss = sum(float(value) for term, value in terms.items() if term.kind == "contrastive")
                rows.append({"form": form, "labels": name, "loss": loss})
    return pl.DataFrame(rows)


def crowded_codes(
    vectors: NDArray[np.floating], codewords: int, levels: int, seed: int
) -> tuple[NDArray[np.int32], list[NDArray[np.float32]]]:
    """Codes `[N, L]` of `vectors` `[N, d]` by residual k-means, and its codebooks: few codewords give many conflicts.

    A small catalog, whose residuals do not suffice for so many codewords at every level, gets the largest number for
    which they do. Raises DataError for a number of codewords that N items or their IDs do not allow, and NotApplicable
    where no number fits.
    """
    items = len(vectors)
    if codewords < 2:
        raise DataError(f"{codewords} cannot be used", field="crowded", fix="give 2 or more")
    if codewords**levels < items:
        what = f"{codewords} codewords at {levels} levels give fewer IDs than the {items} items need"
        raise DataError(what, field="crowded", fix="give more codewords or levels")
    x = torch.from_numpy(np.asarray(vectors, np.float32))
    for size in range(min(codewords, items), 1, -1):
        fitted = ResidualKMeans((size,) * levels, seed=seed).fit(x)
        if size**levels >= items and all(len(codebook) == size for codebook in fitted.codebooks):
            return fitted.encode(x).numpy(), [codebook.numpy() for codebook in fitted.codebooks]
    what = f"{items} items differ too little for {levels} levels of codewords"
    raise NotApplicable(what, field="levels", fix="give fewer levels, 2 at least, or a larger catalog")


def resolvers(
    codes: NDArray[np.integer], vectors: NDArray[np.floating], codebooks: Sequence[NDArray[np.floating]]
) -> pl.DataFrame:
    """Conflicts resolved by the published procedure, under NumPy 2 and as intended, and by least distortion.

    Columns: form, left (items that still share an ID: N - distinct), moved, added (growth of the squared error, mean
    over all items).
    """
    codes, codebooks = checked(codes, vectors, codebooks)
    as_released = resolve_published(codes, vectors, codebooks, numpy2_bug=True)
    as_meant = resolve_published(codes, vectors, codebooks)
    ours, _ = resolve_conflicts(codes, vectors, codebooks)
    tables = {
        "published, NumPy 2": as_released.codes,
        "published, as meant": as_meant.codes,
        "least distortion": ours,
    }
    before = errors(codes, vectors, codebooks)
    return pl.DataFrame(
        [
            {
                "form": form,
                "left": len(table) - len(np.unique(table, axis=0)),
                "moved": int((table != codes).any(1).sum()),
                "added": float((errors(table, vectors, codebooks) - before).mean()),
            }
            for form, table in tables.items()
        ]
    )


def whole_items(x: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The rows that have every modality."""
    whole = torch.stack([label >= 0 for label in labels.values()]).all(0)
    return {name: rows[whole] for name, rows in x.items()}, {name: label[whole] for name, label in labels.items()}


def started(x: Mapping[str, Tensor], config: CrossModalConfig, seed: int) -> CrossModalRQVAE:
    """A model for `x` whose codebooks are set by k-means of its latents."""
    model = CrossModalRQVAE({name: rows.shape[1] for name, rows in x.items()}, config, seed)
    with torch.no_grad():
        for name in model.modalities:
            branch = model.branch(name)
            branch.quantizer.initialize(branch.encoder(x[name]), seed)
    return model
