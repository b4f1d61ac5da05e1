"""The published backbone: an encoder-decoder over tokens, which reads a history for one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from torch import Tensor

from macrec.data.split import Samples
from macrec.generation.backbones.backbone import Backbone
from macrec.generation.batches import CodeTables
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import PROMPT_TOKENS
from macrec.generation.training import GeneratorRecipe, GeneratorTraining, Implicit, Softmax
from macrec.models.t5 import T5Config


def training(
    tables: CodeTables, train: Samples, config: T5Config, recipe: GeneratorRecipe, contents: Mapping[str, Tensor]
) -> GeneratorTraining:
    """A fresh T5 over the tokens of `tables`, and its training; `contents` are not read."""
    if config.positions == "item_slot":
        config = replace(config, slots=int(tables.levels[tables.source[0]]))
    module = T5Generator(len(tables.vocabulary), config, recipe.seed).to(tables.device)
    return GeneratorTraining(module, tables, train, recipe)


BACKBONE = Backbone(
    name="t5",
    about="an encoder-decoder over tokens, which reads a history for one target, as published",
    config=T5Config,
    recipe=GeneratorRecipe,
    training=training,
    choices={"softmax": get_args(Softmax), "implicit": get_args(Implicit)},
    prompt=PROMPT_TOKENS,
)
