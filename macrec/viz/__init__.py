"""Figures and views: theme, figures, hover cards. Figures are pure functions: data in, figure and one sentence out."""

from macrec.encoders.factors import factors_of, purity_table
from macrec.encoders.layout import umap_layouts
from macrec.viz.coded_items import item_rows, items_in
from macrec.viz.efforts import effort_table
from macrec.viz.figures.ablation import ablation_figure, ablation_table
from macrec.viz.figures.alignment import alignment_map, distance_figure, retrieval_figure
from macrec.viz.figures.audit import gradient_figure, positives_figure, resolver_figure
from macrec.viz.figures.code_tree import code_tree_figure
from macrec.viz.figures.codebook_distances import codebook_distances
from macrec.viz.figures.codebooks import code_agreement, residual_figure, usage_heatmap
from macrec.viz.figures.comparison import comparison_figure, comparison_table, verdict, verdicts
from macrec.viz.figures.data import card_figure, ceiling_figure
from macrec.viz.figures.differences import differences_figure
from macrec.viz.figures.embeddings import agreement_figure, modality_map, purity_figure
from macrec.viz.figures.groups import groups_figure
from macrec.viz.figures.next_code import next_code_figure
from macrec.viz.figures.results import results_figure, results_table
from macrec.viz.figures.training import training_figure
from macrec.viz.linked.explorers import ItemExplorer, LinkedItems, explore
from macrec.viz.linked.linked import linked_items
from macrec.viz.linked.prefix_explorer import PrefixExplorer
from macrec.viz.live.board import LiveBoard, board_svg
from macrec.viz.pictures import Gallery, picture_grid
from macrec.viz.tables import table_html
from macrec.viz.theme import show, show_html
from macrec.viz.views.beam_trace import beam_trace
from macrec.viz.views.code_centroids import nearest_code_centroids
from macrec.viz.views.conflicts import conflict_explorer
from macrec.viz.views.crops import crops_view
from macrec.viz.views.histories import history_strip, personas
from macrec.viz.views.nearest_codewords import nearest_codewords
from macrec.viz.views.neighborhoods import examples, neighbor_strips
from macrec.viz.views.prefix_gallery import prefix_gallery
from macrec.viz.views.replay import replay
from macrec.viz.views.run_board import run_board, run_table
from macrec.viz.views.task_examples import task_examples

__all__ = [
    "Gallery",
    "ItemExplorer",
    "LinkedItems",
    "LiveBoard",
    "PrefixExplorer",
    "ablation_figure",
    "ablation_table",
    "agreement_figure",
    "alignment_map",
    "beam_trace",
    "board_svg",
    "card_figure",
    "ceiling_figure",
    "code_agreement",
    "code_tree_figure",
    "codebook_distances",
    "comparison_figure",
    "comparison_table",
    "conflict_explorer",
    "crops_view",
    "differences_figure",
    "distance_figure",
    "effort_table",
    "examples",
    "explore",
    "factors_of",
    "gradient_figure",
    "groups_figure",
    "history_strip",
    "item_rows",
    "items_in",
    "linked_items",
    "modality_map",
    "nearest_code_centroids",
    "nearest_codewords",
    "neighbor_strips",
    "next_code_figure",
    "personas",
    "picture_grid",
    "positives_figure",
    "prefix_gallery",
    "purity_figure",
    "purity_table",
    "replay",
    "residual_figure",
    "resolver_figure",
    "results_figure",
    "results_table",
    "retrieval_figure",
    "run_board",
    "run_table",
    "show",
    "show_html",
    "table_html",
    "task_examples",
    "training_figure",
    "umap_layouts",
    "usage_heatmap",
    "verdict",
    "verdicts",
]
