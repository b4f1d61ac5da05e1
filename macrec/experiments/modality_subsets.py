"""What a trained generator makes of histories that it reads in some of their modalities only (MSCGRec)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from macrec.data.dataset import Dataset
from macrec.data.ranking import Ranking
from macrec.data.split import Samples, Split
from macrec.errors import NotApplicable
from macrec.generation.batches import CodeTables
from macrec.generation.causal import CausalGenerator
from macrec.generation.decoder import PathDecoder
from macrec.generation.tasks import CodeTask
from macrec.systems import Generative
from macrec.training import Event


class ReadsOnly:
    """A trained generator as a `System` that reads histories in the modalities `read`, and is not trained again.

    What it writes stays: the ID that its first task writes.
    """

    def __init__(self, system: Generative, read: Sequence[str]) -> None:
        decoder, task = system.decoder, system.tasks[0]
        self.name = " + ".join(read)
        tables = CodeTables(
            decoder.tables.ids, [CodeTask("+".join(read), task.target, "sequence")], decoder.tables.device
        )
        self.decoder = PathDecoder(decoder.model, tables, system.settings.decoding)

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Nothing."""
        return iter(())

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items of every history."""
        return self.decoder.recommend(samples, k, mask_seen)


def modality_subsets(system: Generative) -> dict[str, ReadsOnly]:
    """The trained `system` reading each subset of the modalities that it has learned to read, the largest last.

    Raises NotApplicable for an encoder-decoder, whose positions of an item's codes are those of all its modalities.
    """
    if not isinstance(system.decoder.model, CausalGenerator):
        what = f"the backbone {system.settings.backbone.name} cannot leave out modalities after its training"
        raise NotApplicable(what, field="backbone", fix="choose backbone=causal")
    modalities = system.tasks[0].sources
    subsets = [part for size in range(1, len(modalities) + 1) for part in combinations(modalities, size)]
    made = [ReadsOnly(system, part) for part in subsets]
    return {one.name: one for one in made}
