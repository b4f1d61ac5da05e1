"""The causal backbone: one place per item, and every place of a history is a target."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from macrec.data.split import Samples
from macrec.generation.backbones.backbone import Backbone
from macrec.generation.batches import CodeTables
from macrec.generation.causal import CausalGenerator, CausalGeneratorConfig
from macrec.generation.causal_training import CausalRecipe, CausalTraining


def training(
    tables: CodeTables,
    train: Samples,
    config: CausalGeneratorConfig,
    recipe: CausalRecipe,
    contents: Mapping[str, Tensor],
) -> CausalTraining:
    """A fresh causal generator over the IDs of `tables`, and its training."""
    module = CausalGenerator(tables.ids, contents, config, recipe.seed).to(tables.device)
    return CausalTraining(module, tables, train, recipe)


BACKBONE = Backbone(
    name="causal",
    about="one place per item, and every place a target",
    config=CausalGeneratorConfig,
    recipe=CausalRecipe,
    training=training,
    choices={"softmax": ("children", "level"), "implicit": ("paired",)},
    joint=True,
    reads_content=True,
    dense=True,
)
