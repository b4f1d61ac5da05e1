"""Cross-modal RQ-VAE: one RQ-VAE per modality, tied together by two losses and nothing else (MACRec, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from macrec.encoders.collaborative import COLLABORATIVE
from macrec.errors import DataError
from macrec.tokenizers.autoencoder import RQVAE, RQVAEConfig, RQVAEOutput
from macrec.tokenizers.contrastive import Positives, info_nce, prefix_repulsion, supervised_contrastive
from macrec.tokenizers.loss_terms import LossTerm
from macrec.training import generator_for

GUIDED = 9
"""What the draw of the maps to collaborative vectors is for, among the uses of a seed."""

AlignOn = Literal["both", "encoder", "codebook"]
Contrast = Literal["labels", "prefix"]


@dataclass(frozen=True)
class CrossModalConfig:
    """What ties the modalities: the weights of the terms and the form they take. Zero weights leave RQ-VAEs alone.

    What the forms of the contrastive term do to conflicts and recommendations: docs/codebooks.md.

    `lambda_con`: per level, the weight of the contrastive term on the residuals that enter it. `contrast`: its pairs,
    "labels" (as published: items with the same pseudo-label of another modality are drawn together, all others pushed
    apart) or "prefix" (items with the same codes before are pushed apart where another modality tells them apart, or
    is missing: `prefix_repulsion`, where `positives` and `self_in_denominator` have no effect). `lambda_align`: of the
    alignment of the reconstructed latents, whose gradient `align_on` sends to the "encoder" (straight through), to the
    "codebook" or to "both". `lambda_cf`: of LETTER's collaborative alignment (arXiv 2405.07314), where the modality
    "collaborative" is among those that learn: in the branch of every other one the reconstructed latent of an item,
    by a linear map, is drawn to its collaborative vector, which is given and does not move. `temperature`,
    `normalize`, `positives`, `self_in_denominator`: see `supervised_contrastive`.
    """

    rqvae: RQVAEConfig = field(default_factory=RQVAEConfig)
    lambda_con: tuple[float, ...] = (0.0, 0.0, 0.003, 0.003)
    contrast: Contrast = "labels"
    lambda_align: float = 0.001
    align_on: AlignOn = "both"
    lambda_cf: float = 0.0
    temperature: float = 0.1
    normalize: bool = True
    positives: Positives = "all"
    self_in_denominator: bool = False

    def __post_init__(self) -> None:
        levels = len(self.rqvae.sizes)
        if len(self.lambda_con) != levels or min(self.lambda_con) < 0 or self.lambda_align < 0:
            raise ValueError(
                f"lambda_con needs {levels} weights of 0 or more and lambda_align one, got {self.lambda_con} and "
                f"{self.lambda_align}"
            )
        if self.lambda_cf < 0:
            raise ValueError(f"lambda_cf must be 0 or more, got {self.lambda_cf}")
        if self.align_on not in get_args(AlignOn):
            raise ValueError(f"align_on must be one of {get_args(AlignOn)}, got {self.align_on!r}")
        if self.contrast not in get_args(Contrast):
            raise ValueError(f"contrast must be one of {get_args(Contrast)}, got {self.contrast!r}")

    def independent(self) -> CrossModalConfig:
        """The same RQ-VAEs without any cross-modal term."""
        levels = len(self.rqvae.sizes)
        return replace(self, lambda_con=(0.0,) * levels, lambda_align=0.0, lambda_cf=0.0, contrast="labels")

    def with_lambda(self, value: float) -> CrossModalConfig:
        """The same with another contrastive weight, on the levels that have one (the upper half if none has)."""
        levels = tuple(value if weight > 0 else 0.0 for weight in self.lambda_con)
        return replace(self, lambda_con=levels if any(self.lambda_con) else upper_half(value, len(self.lambda_con)))

    def published(self) -> CrossModalConfig:
        """The terms that the published code computes (specification 3.4 and 3.6), whatever its options.

        No gradient through residuals; every anchor its own positive, kept in the denominator; weight 1 on every level,
        averaged over them; alignment by the straight-through latents only, with weight 0.001.
        """
        levels = len(self.rqvae.sizes)
        return replace(
            self,
            rqvae=replace(self.rqvae, residual_grad="none", quantizer="ste"),
            lambda_con=(1.0 / levels,) * levels,
            contrast="labels",
            lambda_align=0.001,
            align_on="encoder",
            lambda_cf=0.0,
            temperature=0.1,
            normalize=True,
            positives="self",
            self_in_denominator=True,
        )


def upper_half(weight: float, levels: int) -> tuple[float, ...]:
    """A contrastive weight per level: `weight` on the upper half of the levels, as in the paper, and 0 below.

    >>> upper_half(0.003, 5)
    (0.0, 0.0, 0.003, 0.003, 0.003)
    """
    return tuple(weight if level >= levels // 2 else 0.0 for level in range(levels))


class CrossModalRQVAE(nn.Module):
    """RQ-VAEs for any number of modalities, one or more, and the terms that make them learn from each other.

    In the branch of modality m the contrastive term draws together items that share the pseudo-label of *another*
    modality: text residuals become close where pictures are alike, and the other way around; with `contrast` "prefix"
    it pushes apart items of one prefix whose labels differ instead. With more than two modalities it is the mean over
    the others. The alignment term draws the reconstructed latents of one item together across each pair of modalities.
    """

    def __init__(self, dims: Mapping[str, int], config: CrossModalConfig, seed: int = 0) -> None:
        super().__init__()
        if not dims:
            raise ValueError("at least one modality is needed")
        for name in dims:
            if hasattr(nn.ModuleDict, name):
                what = f'a modality cannot be called "{name}", as PyTorch uses the word'
                raise DataError(what, field="modalities", fix="give it another name")
        self.config = config
        self.branches = nn.ModuleDict(
            {name: RQVAE(dim, config.rqvae, seed + 1000 * number) for number, (name, dim) in enumerate(dims.items())}
        )
        guided = [name for name in dims if name != COLLABORATIVE] if config.lambda_cf and COLLABORATIVE in dims else []
        shape, generator = (config.rqvae.width, dims.get(COLLABORATIVE, 0)), generator_for(seed, GUIDED)
        self.guides = nn.ParameterDict(
            {name: torch.randn(shape, generator=generator) / shape[0] ** 0.5 for name in guided}
        )
        """Per modality the map `[width, d]` from its reconstructed latents to the collaborative vectors."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the branches, in order."""
        return tuple(self.branches)

    def branch(self, modality: str) -> RQVAE:
        """The RQ-VAE of one modality."""
        branch = self.branches[modality]
        assert isinstance(branch, RQVAE)
        return branch

    def forward(
        self, x: Mapping[str, Tensor], labels: Mapping[str, Tensor] | None = None, quantize: bool = True
    ) -> dict[str, RQVAEOutput]:
        """Run every branch on its standardized vectors `[B, dim]`.

        With `labels` (see `losses`) a branch runs on the rows that have its modality, so that nothing is learned from
        what is not there; a modality that no row has is left out.
        """
        if labels is not None:
            x = {name: x[name][labels[name] >= 0] for name in self.modalities}
        return {name: self.branch(name)(x[name], quantize) for name in self.modalities if len(x[name])}

    def losses(
        self,
        outputs: Mapping[str, RQVAEOutput],
        labels: Mapping[str, Tensor],
        generator: torch.Generator | None = None,
        collaborative: Tensor | None = None,
    ) -> dict[LossTerm, Tensor]:
        """The terms of the loss, unweighted; a term whose weight is zero is not computed.

        `outputs` are those of a pass over the same `labels`: modality → pseudo-labels `[B]`, -1 for an item that lacks
        the modality. `collaborative` `[B, d]`: the vectors that `lambda_cf` draws to. Outputs of a pass without
        codebooks have only their reconstruction. Raises ValueError when rows and labels do not fit.
        """
        for name, output in outputs.items():
            if len(output.latent) != (labelled := int((labels[name] >= 0).sum())):
                raise ValueError(f"{name} has {len(output.latent)} rows for {labelled} labels: pass forward the labels")
        terms: dict[LossTerm, Tensor] = {}
        for name, output in outputs.items():
            terms[LossTerm("reconstruction", name)] = output.reconstruction_loss
            if output.quantized is not None:
                terms[LossTerm("quantization", name)] = output.quantization_loss
        if any(output.quantized is None for output in outputs.values()):
            return terms
        for name, output in outputs.items():
            rows = labels[name] >= 0
            others = [labels[other][rows] for other in self.modalities if other != name]
            for level, weight in enumerate(self.config.lambda_con):
                if weight and others:
                    terms[LossTerm("contrastive", name, level)] = self._contrast(output, others, level, generator)
            if name in self.guides and collaborative is not None:
                terms[LossTerm("alignment", name)] = self._guide(output, labels, name, collaborative)
        pairs = list(combinations(outputs, 2))
        if pairs and self.config.lambda_align:
            terms[LossTerm("alignment")] = torch.stack(
                [self._align(outputs, labels, one, two) for one, two in pairs]
            ).sum()
        return terms

    def weights(self, cross_modal: float = 1.0) -> dict[LossTerm, float]:
        """What every term of `losses` is multiplied with; `cross_modal` scales those between modalities."""
        weights: dict[LossTerm, float] = {}
        for name in self.modalities:
            weights |= {LossTerm("reconstruction", name): 1.0, LossTerm("quantization", name): 1.0}
            for level, weight in enumerate(self.config.lambda_con):
                weights[LossTerm("contrastive", name, level)] = cross_modal * weight
        weights |= {LossTerm("alignment", name): cross_modal * self.config.lambda_cf for name in self.guides}
        return weights | {LossTerm("alignment"): cross_modal * self.config.lambda_align}

    def _contrast(
        self, output: RQVAEOutput, others: list[Tensor], level: int, generator: torch.Generator | None
    ) -> Tensor:
        """The contrastive term on the residuals entering `level`, mean over the other modalities' labels."""
        assert output.quantized is not None
        residual = output.quantized.residuals[level]
        if self.config.contrast == "prefix":
            before = output.quantized.codes[:, :level]
            pushed = [
                prefix_repulsion(residual, before, labels, self.config.temperature, normalize=self.config.normalize)[0]
                for labels in others
            ]
            return torch.stack(pushed).mean()
        terms = [
            supervised_contrastive(
                residual, labels, self.config.temperature, normalize=self.config.normalize,
                positives=self.config.positives, self_in_denominator=self.config.self_in_denominator,
                generator=generator,
            )[0]
            for labels in others
        ]  # fmt: skip
        return torch.stack(terms).mean()

    def _align(self, outputs: Mapping[str, RQVAEOutput], labels: Mapping[str, Tensor], one: str, two: str) -> Tensor:
        """InfoNCE between the reconstructed latents of two modalities, over the items that have both."""
        both = (labels[one] >= 0) & (labels[two] >= 0)
        if not both.any():
            return outputs[one].latent.sum() * 0
        first, second = (self._aligned(outputs[name])[both[labels[name] >= 0]] for name in (one, two))
        return info_nce(first, second, self.config.temperature, self.config.normalize)

    def _guide(self, output: RQVAEOutput, labels: Mapping[str, Tensor], name: str, collaborative: Tensor) -> Tensor:
        """InfoNCE between the mapped latents of a modality and the collaborative vectors, over the items with both."""
        both = (labels[name] >= 0) & (labels[COLLABORATIVE] >= 0)
        if not both.any():
            return output.latent.sum() * 0
        mapped = self._aligned(output)[both[labels[name] >= 0]] @ self.guides[name]
        return info_nce(mapped, collaborative[both], self.config.temperature, self.config.normalize)

    def _aligned(self, output: RQVAEOutput) -> Tensor:
        """Σ e `[B, width]`, with the gradient that `align_on` defines."""
        assert output.quantized is not None
        if self.config.align_on == "codebook":
            return output.quantized.words
        through, words = output.quantized.vectors, output.quantized.words
        return through if self.config.align_on == "encoder" else through + words - words.detach()
