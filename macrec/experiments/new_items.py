"""How a trained LIGER finds items that nobody has taken: its beam, its dense head, and the union with new items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.errors import DataError
from macrec.evaluation.system import System
from macrec.experiments.modality_subsets import Decoded
from macrec.experiments.results import Results
from macrec.systems.liger import LIGER
from macrec.systems.registry import Context

BEAM, RANKED = "beam of IDs", "beam, ranked by the dense head"
"""What the steps before LIGER's answer are called."""


def steps_of_liger(system: System, context: Context) -> dict[str, Decoded | LIGER]:
    """What a trained LIGER recommends after each step, from one training: the beam of IDs by itself, the same items in
    the order of the dense head, and LIGER, whose candidates are also the items without training events.

    The checkpoint of `system` is read for the second. Raises DataError for another system.
    """
    if not isinstance(system, LIGER) or system.name != "LIGER":
        raise DataError(f"{system.name} is not LIGER with all its terms", field="system", fix="give LIGER")
    ranked = LIGER(context, without=("union",))
    ranked.name = RANKED
    return {BEAM: Decoded(BEAM, system.decoder), RANKED: ranked, "LIGER": system}


def new_item_examples(
    results: Results, count: int = 6, k: int = 20
) -> tuple[Samples, range, dict[str, Ranking], dict[str, NDArray[np.bool_]]]:
    """What `replay` shows of `count` users whose target is new and whom LIGER serves, as far as there are any.

    Where no target is new, of users that some of the systems serve.
    """
    cold = results.groups["cold"]
    if not cold.any():
        return results.replayed(count)
    ranks = results.evaluations["LIGER"].ranks
    found = np.flatnonzero(cold & (ranks > 0))[np.argsort(ranks[cold & (ranks > 0)], kind="stable")]
    chosen = np.concatenate([found, np.flatnonzero(cold & (ranks == 0))])[:count]
    few = results.samples.take(chosen)
    rankings = {name: system.recommend(few, k, results.mask_seen) for name, system in results.systems.items()}
    return few, range(len(few)), rankings, {name: mask[chosen] for name, mask in results.groups.items()}
