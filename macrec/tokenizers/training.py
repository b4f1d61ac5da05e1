"""Training a cross-modal RQ-VAE on a catalog: batches, warm-up, codebook initialization, revival, measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.encoders.collaborative import COLLABORATIVE
from macrec.encoders.embeddings import Embeddings
from macrec.errors import DataError
from macrec.quantization.measured import measured_health
from macrec.quantization.semantic_ids import SemanticIds, level_names
from macrec.terms import codebook_prefix
from macrec.tokenizers.cross_modal import CrossModalRQVAE
from macrec.tokenizers.loss_terms import mean_over_levels, summed_over_levels
from macrec.tokenizers.projection_start import start_as_projection
from macrec.training import Decay, Keep, Plan, Usage, generator_for

POSITIVES, SHUFFLE, REVIVE, SAMPLE = range(4)
"""What a random draw is for; see `generator_for`."""


@dataclass(frozen=True)
class CodebookRecipe:
    """How long and in which order things happen; the defaults follow section 3.7 of the specification.

    `epochs` over all items in batches of about `batch`; `warmup_share`: the share of them at the start in which the
    autoencoder learns without codebooks, which then start by k-means of all latents (`kmeans_init` "data"), of the
    first batch ("batch", as the published code does) or stay random ("none"). `ramp`: the share of the steps over
    which the cross-modal weights climb from zero. `revive`: dead codewords move to random residuals after every epoch,
    but for the last 5 percent. `standardize`: scale every dimension to mean 0 and deviation 1.
    """

    epochs: int = 200
    batch: int = 2048
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    decay: Decay = "matrices"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_share: float = 0.05
    kmeans_init: Literal["data", "batch", "none"] = "data"
    ramp: float = 0.25
    revive: bool = True
    standardize: bool = True
    keep: Literal["last", "two_best"] = "last"
    start: Literal["random", "projection"] = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(f"epochs and batch must be 1 or more, got {self.epochs} and {self.batch}")
        if not (0 <= self.warmup_share < 1 and 0 <= self.ramp <= 1):
            raise ValueError(
                f"warmup_share must be from 0 to below 1 and ramp from 0 to 1, got {self.warmup_share} and {self.ramp}"
            )

    def published(self) -> CodebookRecipe:
        """As the published code trains: raw inputs, codebooks from one batch, no ramp, no revival, a constant rate.

        It keeps two checkpoints: text codes come from the epoch with the fewest text conflicts, image codes from the
        one with the fewest image conflicts.
        """
        return CodebookRecipe(
            epochs=self.epochs, batch=self.batch, learning_rate=self.learning_rate, weight_decay=self.weight_decay,
            decay="all",
            schedule="constant", warmup_share=0.0, kmeans_init="batch", ramp=0.0, revive=False, standardize=False,
            keep="two_best", seed=self.seed,
        )  # fmt: skip


class CodebookTask:
    """A `Task` for `macrec.training.train`: a cross-modal RQ-VAE, the vectors of a catalog and its pseudo-labels.

    `embeddings`: modality → vectors of N items; `labels`: modality → pseudo-labels `[N]`, -1 for an absent item, as
    `macrec.tokenizers.pseudo_labels` makes them. An item without a modality takes no part in its branch: neither in
    training nor in what is measured. Where `Embeddings.seen` says which items are learned from, all others take part in
    nothing. Measures the catalog, or `sample` random items of it.

    Raises ValueError where embeddings and labels differ in length, and DataError for a modality that no item has.
    """

    def __init__(
        self,
        module: CrossModalRQVAE,
        embeddings: Mapping[str, Embeddings],
        labels: Mapping[str, NDArray[np.int32]],
        recipe: CodebookRecipe,
        sample: int = 100_000,
    ) -> None:
        self.module, self.recipe = module, recipe
        self.x: dict[str, Tensor] = {}
        self.unit: dict[str, Tensor] = {}
        device = next(module.parameters()).device
        first = embeddings[module.modalities[0]]
        seen = np.ones(len(first), bool) if first.seen is None else first.seen
        for name in module.modalities:
            if not len(labels[name]) == len(embeddings[name]) == len(first):
                counts = f"{len(embeddings[name])} vectors and {len(labels[name])} labels"
                raise ValueError(f"{name} has {counts} for {len(first)} items")
            if not ((labels[name] >= 0) & seen).any():
                raise DataError(f"no item has the modality {name}", field="modality", fix="leave it out")
            if recipe.standardize:
                module.branch(name).standardize_like(embeddings[name])
                vectors = embeddings[name].standardized()
            else:
                vectors = np.array(embeddings[name].values, np.float32)  # a copy: the store maps files read-only
            self.x[name] = torch.from_numpy(vectors).to(device)
            if recipe.start == "projection":
                present = torch.from_numpy((labels[name] >= 0) & seen).to(device)
                start_as_projection(module.branch(name), self.x[name][present])
            std = torch.from_numpy(embeddings[name].std).to(device)
            self.unit[name] = torch.ones_like(std) if recipe.standardize else std
        self.labels = {name: torch.from_numpy(labels[name]).long().to(device) for name in module.modalities}
        self.items = len(first)
        self.learned = torch.from_numpy(np.flatnonzero(seen))
        """The rows that are learned from, the same in all modalities."""
        self.per_epoch = max(1, round(len(self.learned) / recipe.batch))
        self.steps = recipe.epochs * self.per_epoch
        self.warmup_steps = round(recipe.warmup_share * recipe.epochs) * self.per_epoch
        chosen = self.learned
        if len(chosen) > sample:
            drawn = torch.randperm(len(chosen), generator=generator_for(recipe.seed, SAMPLE))[:sample].sort().values
            chosen = chosen[drawn]
        self.measured = chosen.to(device)
        self._order: tuple[int, Tensor] | None = None
        self._latents: dict[str, Tensor] = {}

    def plan(self, reports: int = 200, measurements: int = 25) -> Plan:
        """The plan of this training, with about so many events and measurements."""
        keep = tuple(
            Keep(f"conflict_rate/{name}", "lowest", f"branches.{name}.") for name in self.module.modalities
        )  # fmt: skip
        return Plan(
            steps=self.steps,
            report_every=max(1, self.steps // reports),
            measure_every=max(1, self.steps // measurements),
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            decay=self.recipe.decay,
            tables=("codebooks",),
            schedule=self.recipe.schedule,
            keep=keep if self.recipe.keep == "two_best" else (),
            seed=self.recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss of one batch and its terms; contrastive terms are reported as the sum over levels."""
        rows = self.batch(step)
        quantize = step >= self.warmup_steps
        if quantize:
            self._start_codebooks(rows)
        labels = {name: label[rows] for name, label in self.labels.items()}
        x = {name: vectors[rows] for name, vectors in self.x.items()}
        outputs, draws = self.module(x, labels, quantize), generator_for(self.recipe.seed, POSITIVES, step)
        terms = self.module.losses(outputs, labels, draws, x.get(COLLABORATIVE))
        weights = self.module.weights(self.ramp(step))
        loss = torch.stack([weights[term] * value for term, value in terms.items()]).sum()
        self._latents = {}
        for name, output in outputs.items():
            if output.quantized is not None:
                self.module.branch(name).quantizer.observe(output.quantized)
                self._latents[name] = output.latent.detach()
        return loss, summed_over_levels(terms)

    def loss_weights(self, step: int) -> dict[str, float]:
        """What every reported term is multiplied with at `step`; terms between modalities climb to their weight."""
        return mean_over_levels(self.module.weights(self.ramp(step)))

    def batch_size(self, step: int) -> int:
        """Items in the batch of `step`."""
        return len(self.batch(step))

    def stepped(self, step: int) -> None:
        """At the end of an epoch, let dead codewords start anew."""
        done = (step + 1) / self.steps
        if not self.recipe.revive or (step + 1) % self.per_epoch or done > 0.95:
            return
        for number, (name, latents) in enumerate(self._latents.items()):
            self.module.branch(name).quantizer.revive(latents, generator_for(self.recipe.seed, REVIVE, step, number))

    def measure(self) -> tuple[dict[str, float], Usage]:
        """Conflict rate, dead codes, and per level utilization and perplexity, of every modality's own codes.

        Nothing before the codebooks are set: codes would mean nothing yet.
        """
        if self.recipe.kmeans_init != "none" and not all(
            self.module.branch(name).quantizer.initialized for name in self.module.modalities
        ):
            return {}, {}
        rows = self.measured if len(self.measured) < self.items else None
        return measured_health(self.semantic_ids(rows=rows))

    def batch(self, step: int) -> Tensor:
        """The rows of the batch of `step`: every epoch is one random order of the items, cut into equal parts."""
        epoch, part = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.learned), generator=generator_for(self.recipe.seed, SHUFFLE, epoch))
            self._order = epoch, self.learned[order].to(self.measured.device)
        return self._order[1].tensor_split(self.per_epoch)[part]

    def ramp(self, step: int) -> float:
        """The factor of the cross-modal weights at `step`."""
        climb = self.recipe.ramp * self.steps
        return min(1.0, max(0, step - self.warmup_steps + 1) / climb) if climb else 1.0

    def rows_with(self, modality: str, rows: Tensor | None = None) -> Tensor:
        """The row numbers of the items that have `modality`, of `rows` or of all."""
        if rows is None:
            return (self.labels[modality] >= 0).nonzero().flatten()
        return rows[self.labels[modality][rows] >= 0]

    @torch.no_grad()
    def latents(self, rows: Tensor | None = None, absent: bool = False) -> dict[str, Tensor]:
        """The encoder outputs `[n, width]` of every modality, for the items that have it, of `rows` or of all.

        With `absent` for the others too, whose standardized vector is the mean.
        """
        self.module.eval()
        return {
            name: torch.cat(
                [
                    self.module.branch(name).encoder(x[part])
                    for part in torch.split(self._chosen(name, rows, absent), 1 << 16)
                ]
            )
            for name, x in self.x.items()
        }

    def semantic_ids(
        self, item_ids: pl.Series | None = None, rows: Tensor | None = None, absent: bool = False
    ) -> dict[str, SemanticIds]:
        """The codes of every modality for the items that have it, conflicts included; see `latents`.

        `item_ids` `[N]` names the items; the default are their row numbers. Codebooks are named like "text_a".
        """
        if item_ids is None:
            item_ids = pl.int_range(self.items, eager=True).cast(pl.String)
        ids = {}
        for name, latents in self.latents(rows, absent).items():
            quantizer = self.module.branch(name).quantizer
            codes = quantizer.encode(latents).cpu().numpy()
            names = tuple(f"{codebook_prefix(name)}_{letter}" for letter in level_names(codes.shape[1]))
            chosen = item_ids.gather(self._chosen(name, rows, absent).cpu().numpy())
            ids[name] = SemanticIds.from_codes(codes, names, quantizer.sizes, chosen)
        return ids

    @torch.no_grad()
    def reconstruction(self) -> dict[str, float]:
        """The mean squared error of the decoded codes over items and dimensions, modality by modality.

        In units of each dimension's deviation, whether the model was trained on standardized vectors or on raw ones.
        """
        errors = {}
        for name, latents in self.latents().items():
            branch, unit = self.module.branch(name), self.unit[name]
            words = branch.quantizer.decode(branch.quantizer.encode(latents))
            total = torch.zeros((), dtype=torch.float64, device=words.device)
            for part, rows in zip(torch.split(words, 1 << 16), torch.split(self.rows_with(name), 1 << 16), strict=True):
                total += ((branch.decoder(part) - self.x[name][rows]) / unit).square().double().sum()
            errors[name] = float(total) / (len(words) * len(unit))
        return errors

    def _chosen(self, modality: str, rows: Tensor | None, absent: bool) -> Tensor:
        if not absent:
            return self.rows_with(modality, rows)
        return rows if rows is not None else torch.arange(self.items, device=self.measured.device)

    def _start_codebooks(self, rows: Tensor) -> None:
        if self.recipe.kmeans_init == "none":
            return
        quantizers = {name: self.module.branch(name).quantizer for name in self.module.modalities}
        if all(quantizer.initialized for quantizer in quantizers.values()):
            return
        if self.recipe.kmeans_init == "data":
            latents = self.latents(self.learned.to(rows.device) if len(self.learned) < self.items else None)
        else:
            latents = self.latents(rows)
        self.module.train()
        for number, (name, quantizer) in enumerate(quantizers.items()):
            if not quantizer.initialized and len(latents[name]):  # else a later batch will have the modality
                quantizer.initialize(latents[name], self.recipe.seed + 100 * number)
