"""LIGER: a generator proposes items, and a head that compares contents ranks them, with those that nobody has taken."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.ranking import Ranking, top_k
from macrec.data.split import PADDING, Samples, Split, item_counts
from macrec.encoders.embeddings import Embeddings
from macrec.errors import DataError
from macrec.evaluation.system import learned
from macrec.generation.decoder import parts
from macrec.generation.tasks import ITEM, CodeTask
from macrec.models.dense_head import CosineConfig
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.generative import Generative
from macrec.systems.registry import A_MODALITY, Context, Entry, named_without
from macrec.training import Event

TERMS = {
    "content": "contents are read beside the codes",
    "generation": "IDs are learned, and the items of the best are candidates; without, all items are",
    "dense": "candidates are ranked by their contents; without, by their IDs, as TIGER does",
    "union": "items without training events are candidates, too",
}


class LIGER(Generative):
    """Yang et al., "Unifying Generative and Dense Retrieval for Sequential Recommendation" (arXiv 2411.18814).

    One network with two heads. The first writes the ID of the next item; the second gives item i the logit
    cos(u, P x_i) / 0.07, with the state u after a history and the contents x_i, where P x_i is also what is read of an
    item beside its codes. The loss is the sum of both, and in that of the second only items with training events
    compete. The candidates are the items of the best IDs of a beam and all items without training events; the second
    head ranks them. Over one modality: "text", or the first with contents.

    `without` leaves `TERMS` out, and everything else stays: without content and dense it is TIGER over codes alone,
    without dense it is `TIGER`, which reads contents on this backbone, and without generation it is dense retrieval.
    (The original has an encoder-decoder, and a deep network for P; here P is a matrix over the principal components
    that the backbone reads. In the released code the cells differ in their positions and beams, too.) Raises DataError
    where neither generation nor dense is left.
    """

    def __init__(self, context: Context, without: Collection[str] = ()) -> None:
        if {"generation", "dense"} <= set(without):
            what = "without generation and dense nothing ranks items"
            raise DataError(what, field="without", fix="leave out one of these")
        modality = "text" if "text" in context.embeddings else next(iter(context.embeddings))
        generator = context.settings.generator.without_implicit()
        if "dense" not in without:
            generator = generator.with_dense_head(CosineConfig(read="content" not in without))
        elif "content" in without:
            generator = replace(generator, content=0)
        tasks = generator.tasks([modality])
        super().__init__(
            named_without("LIGER", without, TERMS),
            context.folder / "generators",
            context.ids(context.settings.codebooks.independent(), (modality,)),
            [task for task in tasks if task.target == ITEM] if "generation" in without else tasks,
            generator,
            context.embeddings,
        )
        self.dense = next((task for task in tasks if task.target == ITEM), None)
        """The task of the dense head, which is measured while it learns, as in the original."""
        self.measured_paths = () if self.dense is None else (self.dense.name,)
        self.union = "union" not in without
        self._cold: NDArray[np.bool_] | None = None

    def learn_generator(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """The second stage; before it, which items have no training event is looked up."""
        self._cold = item_counts(split, data.num_items) == 0
        yield from super().learn_generator(data, split)

    def with_items(self, ids: Mapping[str, SemanticIds], further: Mapping[str, Embeddings]) -> Self:
        """See `Generative.with_items`; nobody has taken the new items, so that they are candidates."""
        other = super().with_items(ids, further)
        new = other.decoder.tables.tokens.shape[1] - self.decoder.tables.tokens.shape[1]
        other._cold = np.append(learned(self._cold, self.name), np.ones(new, bool))
        return other

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best of the candidates of every history, by the dense head; without one of the heads, by the other.

        Rows end in padding where there are fewer candidates.
        """
        if self.dense is None or self.dense == self.tasks[0]:
            return super().recommend(samples, k, mask_seen)
        batches = parts(samples, self.settings.decoding.batch) or [samples]
        return Ranking.stack([self._ranked(part, self.dense, k, mask_seen) for part in batches])

    def _ranked(self, samples: Samples, dense: CodeTask, k: int, mask_seen: bool) -> Ranking:
        (found,) = self.decoder.rankings(samples, k, mask_seen)
        scores = self.decoder.exact_scores(samples, dense.name)
        candidates = np.zeros(scores.shape, bool)
        rows, places = np.nonzero(found.items != PADDING)
        candidates[rows, found.items[rows, places]] = True
        if self.union:
            candidates |= learned(self._cold, self.name)
        return top_k(scores, k, candidates, samples.padded() if mask_seen else None)


SYSTEM = Entry(
    name="LIGER",
    family="generative",
    paper="arXiv 2411.18814",
    idea="a beam of IDs and the items nobody has taken, ranked by their contents",
    make=lambda context, without: [LIGER(context, without)],
    needs=(A_MODALITY,),
    terms=TERMS,
    least=("content", "dense"),
    otherwise="TIGER",
    dense=True,
    contents=True,
    place=6,
)
