"""Codebooks in a run: trained once per setting, found again afterwards, and compared with each other."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from macrec.alignment.pseudo_labels import pseudo_labels
from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.encoders.embeddings import chunks
from macrec.errors import DataError
from macrec.quantization.codebook_training import CodebookRecipe, CodebookTask, cross_modal_information
from macrec.quantization.conflicts import ConflictReport, resolve_conflicts
from macrec.quantization.cross_modal import CrossModalConfig, CrossModalRQVAE
from macrec.quantization.health import codebook_health
from macrec.quantization.residual_kmeans import ResidualKMeans
from macrec.quantization.rqvae import RQVAEConfig
from macrec.quantization.semantic_ids import SemanticIds
from macrec.training import Event, drain, generator_for, train
from macrec.workbench.run import Run

NETWORKS: dict[str, dict[str, Any]] = {
    "smoke": {"projection": None, "hidden": (64,), "width": 16},
    "demo": {"projection": None, "hidden": (512, 256, 128), "width": 32},
    "study": {"projection": None, "hidden": (512, 256, 128), "width": 32},
    "paper": {},
}
"""The autoencoder of each profile; "paper" is the network of the paper, 25 million weights for two modalities."""

EPOCHS = {"smoke": 10, "demo": 100, "study": 200, "paper": 1000}


@dataclass(frozen=True)
class CodebookSettings:
    """Everything that decides what codebooks come out: the model, the recipe, and the number of pseudo-labels."""

    config: CrossModalConfig
    recipe: CodebookRecipe
    clusters: int = 512

    @classmethod
    def of(
        cls, profile: str, *, levels: int = 4, codewords: int = 64, lambda_con: float = 0.01,
        lambda_align: float = 0.001, clusters: int = 512, epochs: int = 0, seed: int = 0, network: str = "",
    ) -> CodebookSettings:  # fmt: skip
        """From the flat parameters of a notebook: `lambda_con` holds on the upper half of the levels, as in the paper.

        `epochs` 0 and an empty `network` leave the choice to the profile. Raises DataError for an unknown one, and for
        a number that cannot be used.
        """
        for name, count, least, most in (
            ("levels", levels, 1, 8),
            ("codewords", codewords, 2, 16_384),
            ("clusters", clusters, 1, 1_000_000),
            ("epochs", epochs, 0, 1_000_000),
            ("seed", seed, 0, 2**31),
        ):
            if not least <= count <= most:
                raise DataError(f"{count} cannot be used", field=name, fix=f"give a number from {least} to {most:,}")
        for name, weight in {"lambda_con": lambda_con, "lambda_align": lambda_align}.items():
            if not 0 <= weight < math.inf:
                raise DataError(f"{weight} is no weight", field=name, fix="give a number of 0 or more")
        network = network or profile
        if network not in NETWORKS:
            raise DataError(f'there is no network "{network}"', fix=f"choose one of {', '.join(NETWORKS)}")
        weights = tuple(lambda_con if level >= levels // 2 else 0.0 for level in range(levels))
        config = CrossModalConfig(
            RQVAEConfig(**NETWORKS[network], sizes=(codewords,) * levels), lambda_con=weights, lambda_align=lambda_align
        )
        return cls(config, CodebookRecipe(epochs=epochs or EPOCHS[network], batch=1024, seed=seed), clusters)

    def independent(self) -> CodebookSettings:
        """The same training without any cross-modal term."""
        return replace(self, config=self.config.independent())

    def compat(self) -> CodebookSettings:
        """The same network, trained as the published code trains it."""
        return replace(self, config=self.config.compat(), recipe=self.recipe.compat())

    def with_lambda(self, value: float) -> CodebookSettings:
        """The same with another contrastive weight on the levels that have one (the upper half if none has)."""
        before = self.config.lambda_con
        upper = (level >= len(before) // 2 for level in range(len(before)))
        chosen = (weight > 0 for weight in before) if any(before) else upper
        weights = tuple(value if here else 0.0 for here in chosen)
        return replace(self, config=replace(self.config, lambda_con=weights))

    def with_seed(self, seed: int) -> CodebookSettings:
        """The same from another random start."""
        return replace(self, recipe=replace(self.recipe, seed=seed))


class Codebooks:
    """The codebooks of one setting in one run; untrained until `events` is consumed, or a checkpoint is found.

    The folder in the run's artifacts is named by everything that decides the result, so that other parameters never
    meet old weights, and equal ones find them again.
    """

    def __init__(
        self, run: Run, data: Dataset, embeddings: Mapping[str, Embeddings], settings: CodebookSettings
    ) -> None:
        self.data, self.embeddings, self.settings = data, dict(embeddings), settings
        self.identity = {
            "dataset": data.fingerprint,
            "encoders": {name: found.encoder for name, found in embeddings.items()},
            "vectors": {name: digest(found) for name, found in embeddings.items()},
            "settings": json.loads(json.dumps(asdict(settings))),
        }
        key = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:12]
        self.checkpoint = Checkpoint(run.path(f"codebooks/{key}"), self.identity)

    @cached_property
    def labels(self) -> dict[str, NDArray[np.int32]]:
        """Pseudo-labels `[N]` of every modality."""
        return catalog_labels(self.embeddings, self.settings.clusters, self.settings.recipe.seed)

    @cached_property
    def task(self) -> CodebookTask:
        """The model and its data, on the GPU where there is one."""
        dims = {name: found.dim for name, found in self.embeddings.items()}
        model = CrossModalRQVAE(dims, self.settings.config, self.settings.recipe.seed)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        return CodebookTask(model, self.embeddings, self.labels, self.settings.recipe)

    def events(self) -> Generator[Event, None, None]:
        """Train, or go on where the checkpoint stands; what was done before comes as events too."""
        yield from train(self.task, self.task.plan(), self.checkpoint)

    def batch(self, size: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The standardized vectors `[B, d]` and the pseudo-labels `[B]` of `size` random items, by modality.

        Raises DataError for fewer than 2.
        """
        if size < 2:
            raise DataError(f"{size} cannot be used", field="batch", fix="give a number of 2 or more")
        rows = torch.randperm(self.data.num_items, generator=generator_for(self.settings.recipe.seed))[:size]
        chosen = rows.sort().values.numpy()
        x = {name: torch.from_numpy(found.standardized(chosen)) for name, found in self.embeddings.items()}
        return x, {name: torch.from_numpy(label[chosen]).long() for name, label in self.labels.items()}

    def ids(self) -> dict[str, SemanticIds]:
        """The semantic IDs of every modality, for the items that have it, as the quantizers give them."""
        return self.task.semantic_ids(self.data.items["item_id"])

    def resolved(self) -> tuple[dict[str, SemanticIds], dict[str, ConflictReport]]:
        """The same after resolving conflicts, and what that took, by modality.

        Where there are more items than IDs, a level more counts the items of each ID.
        """
        found, reports = {}, {}
        latents, books = self.latents(), self.books()
        for name, ids in self.ids().items():
            codes, report = resolve_conflicts(ids.codes, latents[name], books[name], saturated="extra_level")
            extra = codes[:, ids.num_levels :]
            found[name] = SemanticIds.from_codes(
                codes,
                ids.codebooks + (f"{name}_count",) * extra.shape[1],
                ids.sizes + tuple(int(size) for size in extra.max(0, initial=0) + 1),
                ids.item_ids,
            )
            reports[name] = report
        return found, reports

    def latents(self) -> dict[str, NDArray[np.float32]]:
        """The encoder outputs `[n, width]` of every modality, for the items that have it: the rows of `ids`."""
        return {name: found.cpu().numpy() for name, found in self.task.latents().items()}

    def books(self) -> dict[str, list[NDArray[np.float32]]]:
        """The codebooks of every modality: one `[K_l, width]` per level."""
        module = self.task.module
        return {
            name: [book.detach().cpu().numpy() for book in module.branch(name).quantizer.codebooks]
            for name in module.modalities
        }

    def rows(self, variant: str) -> list[dict[str, Any]]:
        """One row of `codebook_table` per modality."""
        reconstruction = self.task.reconstruction()
        return [
            measured_row(variant, self.settings.recipe.seed, name, ids, self.labels, reconstruction[name])
            for name, ids in self.ids().items()
        ]


def digest(embeddings: Embeddings) -> str:
    """A digest of the vectors: a file made elsewhere may change while its name stays."""
    found = hashlib.blake2b(np.packbits(embeddings.present).tobytes(), digest_size=8)
    for rows in chunks(embeddings.values):
        found.update(np.ascontiguousarray(embeddings.values[rows]).data)
    return found.hexdigest()


def catalog_labels(embeddings: Mapping[str, Embeddings], clusters: int, seed: int) -> dict[str, NDArray[np.int32]]:
    """Pseudo-labels `[N]` of every modality; on small catalogs fewer, of at least three items on average.

    With a cluster for every item nothing would be alike, and the contrastive terms would have nothing to draw.
    """
    return {
        name: pseudo_labels(found, min(clusters, max(1, int(found.present.sum()) // 3)), seed)
        for name, found in embeddings.items()
    }


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


def what_to_compare(
    profile: str, lambda_con: float, sweep: str = "", seeds: int = 0, seed: int = 0
) -> tuple[list[float], list[int]]:
    """The contrastive weights and the seeds of a comparison, from the flat parameters of a notebook.

    `sweep` holds weights with commas between them; empty, and `seeds` 0, mean what the profile does: the study
    compares six weights over three seeds, the others only `lambda_con` from `seed`. `lambda_con` is always among
    them. Raises DataError for a sweep that is not a list of numbers of 0 or more, and for a negative number of seeds.
    """
    if seeds < 0:
        raise DataError(f"{seeds} is too small", field="seeds", fix="give a whole number of 0 or more")
    weights = {"study": [0.0, 0.0003, 0.001, 0.003, 0.01, 0.03]}.get(profile, [])
    if sweep:
        try:
            weights = [float(part) for part in sweep.split(",")]
        except ValueError:
            weights = [-1.0]
        if min(weights) < 0 or not np.isfinite(weights).all():
            what = f'the sweep "{sweep}" is no list of weights of 0 or more'
            raise DataError(what, field="sweep", fix='write such as "0, 0.001, 0.01"')
    starts = seeds or {"study": 3}.get(profile, 1)
    return sorted({*weights, lambda_con}), list(range(seed, seed + starts))


def compare(
    run: Run,
    data: Dataset,
    embeddings: Mapping[str, Embeddings],
    settings: CodebookSettings,
    weights: Sequence[float],
    seeds: Sequence[int],
    progress: bool = False,
) -> pl.DataFrame:
    """Train every variant from every seed and measure it: the rows of `measured_row`, by variant, seed and modality.

    What is trained already is not trained again. Residual k-means on the standardized vectors, with as many levels and
    codewords, joins as the variant that needs no training. After an interrupt the rows of what was finished are
    returned. `progress` shows a bar.
    """
    trainings = [(name, seed) for name in variants(settings, weights) for seed in seeds]
    rows: list[dict[str, Any]] = []
    bar = tqdm(trainings, desc="codebooks", unit="trainings", disable=not progress)
    with bar, suppress(KeyboardInterrupt):  # an interrupt may also come between two trainings
        for name, seed in bar:
            bar.set_postfix_str(f"{name}, seed {seed}")
            books = Codebooks(run, data, embeddings, variants(settings, weights)[name].with_seed(seed))
            if drain(books.events()).stopped:
                break
            rows += books.rows(name)
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
