"""The network of RQ-DINO: a student with a quantizer before its head, and the teacher that follows it."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from macrec.encoders.distillation.crops import whole
from macrec.encoders.distillation.dino import follow
from macrec.encoders.distillation.networks import Head, make_network
from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.quantization.nearest import nearest_codeword
from macrec.quantization.quantizers.ema import EMAQuantizer

AT_ONCE = 256
"""Pictures that are embedded together."""


class RQDINO(nn.Module):
    """Student, quantizer, teacher, and the center of what the teacher says; `sizes`: codewords per level.

    The teacher has codebooks of its own, which follow those of the quantizer as its weights follow the student's. It
    gets no gradient. Weights are drawn from the seed of the recipe.
    """

    center: Tensor

    def __init__(self, recipe: DistillationRecipe, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.recipe = recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.student, width = make_network(recipe)
            self.head = Head(width, recipe)
        self.quantizer = EMAQuantizer(sizes, width, seed=recipe.seed, decay=recipe.codebook_decay)
        self.teacher, self.teacher_head = copy.deepcopy(self.student), copy.deepcopy(self.head)
        self.teacher.requires_grad_(False)
        self.teacher_head.requires_grad_(False)
        self.register_buffer("center", torch.zeros(recipe.prototypes))
        for level, codebook in enumerate(self.quantizer.codebooks):
            self.register_buffer(f"teacher_codebook_{level}", codebook.detach().clone())

    def follow(self, momentum: float) -> None:
        """Move the teacher towards the student."""
        follow(self.teacher, self.student, momentum)
        follow(self.teacher_head, self.head, momentum)
        for old, new in zip(self.teacher_codebooks, self.quantizer.codebooks, strict=True):
            old.lerp_(new.detach(), 1 - momentum)

    @property
    def teacher_codebooks(self) -> list[Tensor]:
        """The codebooks of the teacher, `[K_l, width]` per level."""
        return [cast(Tensor, getattr(self, f"teacher_codebook_{level}")) for level in range(len(self.quantizer.sizes))]

    @property
    def codebooks(self) -> list[Tensor]:
        """The codebooks that are read out, `[K_l, width]` per level."""
        if self.recipe.readout == "teacher":
            return self.teacher_codebooks
        return [codebook.detach() for codebook in self.quantizer.codebooks]

    def through_words(self, vectors: Tensor) -> Tensor:
        """What the teacher's codebooks make of `vectors` `[B, width]`: the sums of the nearest codewords."""
        residual = vectors
        for codebook in self.teacher_codebooks:
            residual = residual - codebook[nearest_codeword(residual, codebook)[0]]
        return vectors - residual

    @torch.no_grad()
    def embed(self, pictures: Tensor, teacher: bool) -> Tensor:
        """The vectors `[N, width]` of whole `pictures` `[N, 3, S, S]` uint8, by the teacher or the student."""
        network = self.teacher if teacher else self.student
        device = self.center.device
        vectors = [
            network(whole(as_floats(part.to(device)), self.recipe.global_pixels))
            for part in torch.split(pictures, AT_ONCE)
        ]
        return torch.cat(vectors)

    def vectors(self, pictures: Tensor) -> Tensor:
        """The vectors that are read out."""
        return self.embed(pictures, self.recipe.readout == "teacher")


@torch.no_grad()
def codes_of(vectors: Tensor, codebooks: list[Tensor]) -> Tensor:
    """Codes `[N, L]` int32 of `vectors` `[N, d]`: the nearest codewords, level by level."""
    residual, codes = vectors, []
    for codebook in codebooks:
        code = nearest_codeword(residual, codebook)[0]
        residual = residual - codebook[code]
        codes.append(code.int())
    return torch.stack(codes, 1)


def as_floats(pictures: Tensor) -> Tensor:
    """Pictures of whole numbers from 0 to 255 as numbers from 0 to 1."""
    return pictures.float() / 255
