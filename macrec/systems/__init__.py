"""One short file per recommender; all of them learn with `fit` and answer with a ranking."""

from macrec.systems.item_knn import ItemKNN
from macrec.systems.markov import Markov
from macrec.systems.popularity import Popularity
from macrec.systems.system import ScoringSystem, System

__all__ = ["ItemKNN", "Markov", "Popularity", "ScoringSystem", "System"]
