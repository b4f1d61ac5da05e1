"""What a trained generator makes of histories that it reads in some of their modalities only (MSCGRec)."""

from __future__ import annotations

from collections.abc import Iterator
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


class Decoded:
    """What a decoder of a trained generator recommends, as a `System` that is not trained again."""

    def __init__(self, name: str, decoder: PathDecoder) -> None:
        self.name, self.decoder = name, decoder

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Nothing."""
        return iter(())

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items of every history."""
        return self.decoder.recommend(samples, k, mask_seen)


def modality_subsets(system: Generative) -> dict[str, Decoded]:
    """The trained `system` reading each subset of the modalities that it has learned to read, the largest last.

    What it writes stays: the ID that its first task writes. Raises NotApplicable for an encoder-decoder, whose
    positions of an item's codes are those of all its modalities.
    """
    decoder, task = system.decoder, system.tasks[0]
    if not isinstance(decoder.model, CausalGenerator):
        what = f"the backbone {system.settings.backbone.name} cannot leave out modalities after its training"
        raise NotApplicable(what, field="backbone", fix="choose backbone=causal")
    made = {}
    for size in range(1, len(task.sources) + 1):
        for read in combinations(task.sources, size):
            reading = [CodeTask("+".join(read), task.target, "sequence")]
            tables = CodeTables(decoder.tables.ids, reading, decoder.tables.device)
            name = " + ".join(read)
            made[name] = Decoded(name, PathDecoder(decoder.model, tables, system.settings.decoding))
    return made
