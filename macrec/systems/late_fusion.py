"""Late fusion: generators that are trained separately and whose scores are fused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from macrec.data.dataset import Dataset
from macrec.data.ranking import Ranking
from macrec.data.split import Samples, Split
from macrec.evaluation.validation import validation_users
from macrec.generation.decoder import DecodingOptions, rankings_of
from macrec.generation.fusion import best, fuse
from macrec.generation.fusion_weights import WEIGHING_USERS, tuned_weights
from macrec.systems.generative import Generative
from macrec.systems.registry import TWO_MODALITIES, Entry
from macrec.systems.tiger import TIGER
from macrec.training import Event


class LateFusion:
    """The control for generators over several modalities: `parts` over one modality each, fused as paths are.

    What a joint generator has above it comes from learning together, not from having two modalities. Its trainings are
    those of its parts, found again where they were made already. How much each part counts is chosen on validation
    users, unless the first part's options say.
    """

    def __init__(self, parts: Sequence[Generative], name: str = "late fusion") -> None:
        self.parts, self.name = tuple(parts), name
        self.options: DecodingOptions = self.parts[0].settings.decoding

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """The events of the parts, one after the other."""
        for part in self.parts:
            yield from part.fit(data, split)
        settings = self.parts[0].settings
        self.options = settings.decoding
        asked = validation_users(split, WEIGHING_USERS, settings.recipe.seed)
        if len(asked) and self.options.weights is None and self.options.fusion != "published":
            self.options = replace(self.options, weights=tuned_weights(self, asked))

    def rankings(self, samples: Samples, k: int, mask_seen: bool = False) -> list[Ranking]:
        """The scores of each part for the candidates of all parts."""
        return rankings_of([part.decoder for part in self.parts], samples, k, mask_seen)

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items of every history, all parts together. Raises RuntimeError before they have learned."""
        rankings = self.rankings(samples, k, mask_seen)
        if len(rankings) == 1:
            return best(rankings[0].items, rankings[0].scores, k)
        return fuse(rankings, self.options.fusion, k, self.options.weights)

    @property
    def ends(self) -> tuple[Event, ...]:
        """The newest events of the parts' trainings."""
        return tuple(event for part in self.parts for event in part.ends)


SYSTEM = Entry(
    name="TIGERs fused late",
    family="generative",
    idea="the control for generators over several modalities: a TIGER of each, trained separately, scores fused",
    make=lambda context, without: [
        LateFusion([TIGER(context, modality) for modality in context.modalities], "TIGERs fused late")
    ],
    needs=(TWO_MODALITIES,),
    place=2,
)
