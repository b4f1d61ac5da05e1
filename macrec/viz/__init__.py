"""What the eye sees: theme, figures, hovers. Figures are pure functions: data in, figure and one sentence out."""

from macrec.viz.data_figures import card_figure, ceiling_figure
from macrec.viz.embedding_figures import agreement_figure, modality_map, purity_figure
from macrec.viz.histories import history_strip, personas
from macrec.viz.layout import umap_layouts
from macrec.viz.neighborhoods import examples, factors_of, neighbor_strips, purity_table
from macrec.viz.pictures import Gallery, picture_grid
from macrec.viz.theme import show, show_html

__all__ = [
    "Gallery",
    "agreement_figure",
    "card_figure",
    "ceiling_figure",
    "examples",
    "factors_of",
    "history_strip",
    "modality_map",
    "neighbor_strips",
    "personas",
    "picture_grid",
    "purity_figure",
    "purity_table",
    "show",
    "show_html",
    "umap_layouts",
]
