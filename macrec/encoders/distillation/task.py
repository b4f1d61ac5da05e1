"""Training RQ-DINO on the pictures of a catalog: batches, warm-up, codebooks, measurements."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.encoders.distillation.collapse import check_codes
from macrec.encoders.distillation.crops import multi_crop
from macrec.encoders.distillation.dino import (
    distillation_loss,
    entropy_of_mean,
    momentum_at,
    moved_center,
    teacher_probabilities,
)
from macrec.encoders.distillation.model import RQDINO, as_floats, codes_of
from macrec.encoders.distillation.neighbors import neighbor_accuracy
from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.quantization.measured import measured_health
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.sizes import fitting_size
from macrec.training import Plan, Usage, generator_for

SHUFFLE, CROPS, REVIVE, SAMPLE = range(4)
"""What a random draw is for; see `generator_for`."""


class DistillationTask:
    """A `Task` for `macrec.training.train`: an RQ-DINO and `pictures` `[N, 3, S, S]` uint8.

    `labels` `[N]`, -1 for none, are only for the measured `knn_accuracy`: the share of pictures whose label is that of
    most of the pictures with the most similar vectors. Nothing is learned from them. Measures the catalog, or `sample`
    random pictures of it, and raises DataError where the codes have collapsed (`check_codes`).
    """

    def __init__(
        self,
        module: RQDINO,
        pictures: Tensor,
        labels: NDArray[np.integer] | None = None,
        sample: int = 20_000,
    ) -> None:
        self.module, self.recipe = module, module.recipe
        self.device = module.center.device
        self.pictures = pictures.to(self.device)
        self.items = len(pictures)
        self.per_epoch = max(1, round(self.items / self.recipe.batch))
        chosen = torch.arange(self.items)
        if self.items > sample:
            drawn = torch.randperm(self.items, generator=generator_for(self.recipe.seed, SAMPLE))
            chosen = drawn[:sample].sort().values
        self.measured = self.pictures[chosen.to(self.device)]
        asked = np.empty(0, np.int64) if labels is None else labels[chosen.numpy()]
        self.labels = asked if (asked >= 0).sum() > 1 else None
        self._done = 0
        self._order: tuple[int, Tensor] | None = None
        self._latents: Tensor | None = None

    def plan(self, reports: int = 80, measurements: int = 8) -> Plan:
        """The plan of this training, with about so many events and measurements."""
        recipe = self.recipe
        return Plan(
            steps=recipe.steps,
            report_every=max(1, recipe.steps // reports),
            measure_every=max(1, recipe.steps // measurements),
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            tables=("codebooks",),
            warmup=recipe.steps // 10,
            clip=recipe.clip,
            seed=recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch, with its terms."""
        recipe, module = self.recipe, self.module
        if step >= recipe.warmup_steps and not module.quantizer.initialized:
            self._start_codebooks()
        crops = multi_crop(as_floats(self.pictures[self.batch(step)]), recipe, generator_for(recipe.seed, CROPS, step))
        by_size = [views.flatten(0, 1) for views in crops if len(views)]
        with torch.no_grad():
            shown = module.teacher(by_size[0])
            if recipe.quantize == "both" and module.quantizer.initialized:
                shown = shown.lerp(module.through_words(shown), self.ramp(step))
            reply = module.teacher_head(shown).view(2, -1, recipe.prototypes)
        vectors = module.student(*by_size)
        terms: dict[str, Tensor] = {}
        if module.quantizer.initialized:
            quantized = module.quantizer(vectors)
            terms["commitment"] = module.quantizer.loss(quantized, recipe.commitment)
            self._observe(vectors[: len(by_size[0])].detach())
            vectors = vectors + self.ramp(step) * (quantized.vectors - vectors)
        logits = module.head(vectors, frozen=step < self.per_epoch)
        probabilities = teacher_probabilities(reply, module.center, recipe.teacher_temperature)
        views = logits.view(-1, reply.shape[1], recipe.prototypes)
        terms["distillation"] = distillation_loss(views, probabilities, recipe.student_temperature)
        module.center.copy_(moved_center(module.center, reply, recipe.center_momentum))
        return torch.stack(list(terms.values())).sum(), terms

    def batch_size(self, step: int) -> int:
        """Pictures in the batch of `step`."""
        return len(self.batch(step))

    def stepped(self, step: int) -> None:
        """Move the teacher; at the end of an epoch, let dead codewords start anew, but for the last tenth."""
        recipe = self.recipe
        self.module.follow(momentum_at(step, recipe.steps, recipe.momentum))
        self._done = step + 1
        if self._latents is not None and self._done % self.per_epoch == 0 and self._done <= 0.9 * recipe.steps:
            self.module.quantizer.revive(self._latents, generator_for(recipe.seed, REVIVE, step))

    def measure(self) -> tuple[dict[str, float], Usage]:
        """What the codes of the catalog are like, where there are codes yet, and how evenly the teacher sorts.

        `teacher_entropy`: of the mean of what the teacher says, in nats; `knn_accuracy`: see the class. Raises
        DataError where the codes have collapsed; not before the end of the warm-up.
        """
        module, recipe = self.module, self.recipe
        reply = module.teacher_head(module.embed(self.measured, teacher=True))
        entropy = entropy_of_mean(teacher_probabilities(reply, module.center, recipe.teacher_temperature))
        measured, usage = {"teacher_entropy": entropy}, Usage()
        vectors = module.vectors(self.measured)
        if module.quantizer.initialized:
            codes = codes_of(vectors, module.codebooks).cpu().numpy()
            sizes = module.quantizer.sizes
            health, usage = measured_health({"image": SemanticIds.from_codes(codes, sizes=sizes)})
            measured |= health
        if self.labels is not None:
            measured["knn_accuracy"] = neighbor_accuracy(vectors.cpu().numpy(), self.labels)
        if self._done > recipe.warmup_steps:
            check_codes(measured, recipe.prototypes, module.quantizer.sizes, len(vectors))
        return measured, usage

    def batch(self, step: int) -> Tensor:
        """The rows of the batch of `step`: every epoch is one random order of all pictures, cut into equal parts."""
        epoch, part = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(self.items, generator=generator_for(self.recipe.seed, SHUFFLE, epoch))
            self._order = epoch, order.to(self.device)
        return self._order[1].tensor_split(self.per_epoch)[part]

    def ramp(self, step: int) -> float:
        """How far vectors are moved to their codewords at `step`, 0 to 1."""
        climb = self.recipe.ramp * self.recipe.steps
        return min(1.0, max(0, step - self.recipe.warmup_steps + 1) / climb) if climb else 1.0

    @torch.no_grad()
    def _observe(self, vectors: Tensor) -> None:
        """Move the codewords to `vectors` `[2 B, d]` of global crops; local ones, which show less, move none."""
        self._latents = vectors
        self.module.quantizer.observe(self.module.quantizer(vectors))

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        """Set the codebooks by residual k-means on all pictures, and the teacher's to the same."""
        module = self.module.eval()
        module.quantizer.initialize(module.embed(self.pictures, teacher=False), self.recipe.seed)
        for own, codebook in zip(module.teacher_codebooks, module.quantizer.codebooks, strict=True):
            own.copy_(codebook)
        module.train()


def sizes_for(recipe: DistillationRecipe, pictures: int) -> tuple[int, ...]:
    """Codewords per level for so many pictures; never more than there are pictures."""
    levels, codewords = fitting_size(pictures, recipe.levels, recipe.codewords)
    return (min(codewords, pictures),) * levels
