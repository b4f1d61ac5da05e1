"""One short file per recommender: all learn with `fit` and answer with a ranking. And the codebooks that they share."""

from macrec.evaluation.system import ScoringSystem, System
from macrec.systems.generative import Generative, GeneratorSettings
from macrec.systems.item_knn import ItemKNN
from macrec.systems.late_fusion import LateFusion
from macrec.systems.liger import LIGER
from macrec.systems.macrec import MACRec
from macrec.systems.markov import Markov
from macrec.systems.mql4grec import MQL4GRec
from macrec.systems.mscgrec import MSCGRec
from macrec.systems.popularity import Popularity
from macrec.systems.registry import Context, Entry, Need, entries, open_generator
from macrec.systems.sasrec import SASRec
from macrec.systems.sasrec_network import SASRecRecipe
from macrec.systems.settings import PROFILES, Parameters, Profile, Settings
from macrec.systems.text_knn import TextKNN
from macrec.systems.tiger import TIGER
from macrec.systems.transition_graph import TransitionGraph

__all__ = [
    "LIGER",
    "PROFILES",
    "TIGER",
    "Context",
    "Entry",
    "Generative",
    "GeneratorSettings",
    "ItemKNN",
    "LateFusion",
    "MACRec",
    "MQL4GRec",
    "MSCGRec",
    "Markov",
    "Need",
    "Parameters",
    "Popularity",
    "Profile",
    "SASRec",
    "SASRecRecipe",
    "ScoringSystem",
    "Settings",
    "System",
    "TextKNN",
    "TransitionGraph",
    "entries",
    "open_generator",
]
