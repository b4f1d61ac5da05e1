"""What decides an RQ-DINO: how pictures are cropped, the network, its quantizer, and how they learn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Quantize = Literal["student", "both", "none"]
"""Whose vectors are quantized in training. "none" is plain DINO."""
Readout = Literal["student", "teacher"]
"""Whose vectors and codes are read out."""


@dataclass(frozen=True)
class DistillationRecipe:
    """The settings of RQ-DINO; all values are ours.

    `network`: "conv", or a network of timm as "NAME/WEIGHTS", where WEIGHTS is a file, "random", or "pretrained".

    Pictures are held in memory with `pixels` a side. Of each, two global and `local_crops` local crops are taken, with
    `global_pixels` and `local_pixels` a side, which show the shares of the picture between `global_least` or
    `local_least` and `global_most` or `local_most`, at an aspect of up to `aspect` or its inverse. Each is mirrored
    with probability `mirror`; brightness and contrast are multiplied by factors between 1 - `brightness` and
    1 + `brightness`, and likewise `contrast`; it is made gray with probability `gray`. What is made equal here the
    codes cannot tell apart: so the aspect stays, which is part of a shape, and the hue, which would turn by up to `hue`
    of a full circle, as color is something people choose by.

    The network makes vectors of `width`, and the head compares them with `prototypes` vectors, by way of `hidden` units
    and a vector of unit length with `bottleneck` dimensions. `levels` of `codewords`: 0 for what fits the number of
    pictures. Moving averages: of the teacher by a `momentum` that climbs to 1, of the center by `center_momentum`, of
    the codewords by `codebook_decay`. `student_temperature` and `teacher_temperature` divide what the heads say.

    `steps` of `batch` pictures. For `warmup` of the steps the quantizer is left out; then k-means on all pictures sets
    the codebooks, and over `ramp` of the steps the vectors move to their codewords. The loss is that of DINO plus
    `commitment` times the squared distance of vectors to codewords. `clip`: the largest norm of the gradient.
    Raises ValueError for a value that cannot be used.
    """

    network: str = "conv"
    pixels: int = 36
    global_pixels: int = 24
    local_pixels: int = 12
    local_crops: int = 4
    global_least: float = 0.6
    global_most: float = 1.0
    local_least: float = 0.3
    local_most: float = 0.8
    aspect: float = 1.0
    mirror: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    hue: float = 0.0
    gray: float = 0.2
    width: int = 64
    prototypes: int = 256
    hidden: int = 256
    bottleneck: int = 64
    levels: int = 0
    codewords: int = 0
    quantize: Quantize = "student"
    readout: Readout = "student"
    momentum: float = 0.99
    center_momentum: float = 0.9
    codebook_decay: float = 0.95
    student_temperature: float = 0.1
    teacher_temperature: float = 0.04
    commitment: float = 0.25
    steps: int = 320
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.04
    clip: float = 3.0
    warmup: float = 0.4
    ramp: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("quantize", get_args(Quantize)), ("readout", get_args(Readout))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        positive = ("pixels", "global_pixels", "local_pixels", "width", "prototypes", "hidden", "bottleneck", "steps",
                    "batch", "learning_rate", "student_temperature", "teacher_temperature", "clip")  # fmt: skip
        if wrong := [name for name in positive if not getattr(self, name) > 0]:
            raise ValueError(f"{wrong[0]} must be above 0, got {getattr(self, wrong[0])}")
        shares = ("mirror", "brightness", "contrast", "hue", "gray", "momentum", "center_momentum", "codebook_decay",
                  "warmup", "ramp")  # fmt: skip
        if wrong := [name for name in shares if not 0 <= getattr(self, name) <= 1]:
            raise ValueError(f"{wrong[0]} must be from 0 to 1, got {getattr(self, wrong[0])}")
        for view in ("global", "local"):
            least, most = getattr(self, f"{view}_least"), getattr(self, f"{view}_most")
            if not 0 < least <= most <= 1:
                raise ValueError(f"{view}_least and {view}_most must rise between 0 and 1, got {least} and {most}")
        if self.aspect < 1:
            raise ValueError(f"aspect must be 1 or more, got {self.aspect}")
        if self.local_crops < 0 or min(self.levels, self.codewords) < 0 or self.warmup + self.ramp > 1:
            raise ValueError("local_crops, levels and codewords must be 0 or more, and warmup + ramp at most 1")

    @property
    def spec(self) -> str:
        """The settings that are not the default, as `of_options` reads them: "steps=20,seed=1"; "" for none."""
        changed = [field for field in fields(self) if getattr(self, field.name) != field.default]
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in changed)

    @property
    def warmup_steps(self) -> int:
        """Steps without the quantizer."""
        return self.steps if self.quantize == "none" else round(self.warmup * self.steps)


def of_options(options: dict[str, str]) -> DistillationRecipe:
    """The recipe with these settings, each as text. Raises ValueError for an unknown name and a value of no use.

    >>> of_options({"steps": "20", "hue": "0.1"}).spec
    'hue=0.1,steps=20'
    """
    kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(DistillationRecipe)}
    given: dict[str, Any] = {}
    for name, text in options.items():
        if name not in kinds:
            raise ValueError(f"there is no setting {name}; the settings are {', '.join(kinds)}")
        try:
            given[name] = kinds[name](text)
        except ValueError:
            raise ValueError(f"{name} must be a {'whole ' * (kinds[name] is int)}number, got {text!r}") from None
    return DistillationRecipe(**given)
