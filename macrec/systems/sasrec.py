"""SASRec: a causal Transformer over item numbers that predicts the next item after every item of a history.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. The loss is cross-entropy over all items, at
every position, with which it is a much stronger baseline than with sampled negatives: Klenitskiy and Vasilev, "Turning
Dross into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023. It uses the order of items per user, and
nothing of what the items are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset
from macrec.data.ranking import Scores
from macrec.data.split import Samples, Split
from macrec.data.windows import places_between
from macrec.evaluation.system import CELLS, ScoringSystem, learned
from macrec.evaluation.validation import validation_metrics, validation_users
from macrec.systems.registry import Entry
from macrec.systems.sasrec_network import SASRecNetwork, SASRecRecipe
from macrec.systems.sasrec_training import SASRecTraining
from macrec.training import VALIDATION_LOSS, Event, best_device, train


class SASRec(ScoringSystem):
    """A SASRec with a softmax over all items; `folder` keeps its trainings, to be resumed or replayed from there.

    `device`: where it computes; the GPU by default, where there is one. It can recommend from its first event on, with
    what it has learned so far.
    """

    name = "SASRec"

    def __init__(
        self, recipe: SASRecRecipe | None = None, folder: Path | None = None, device: torch.device | None = None
    ) -> None:
        self.recipe, self.folder, self.device = recipe or SASRecRecipe(), folder, device or best_device()
        self._network: SASRecNetwork | None = None
        self.ends: tuple[Event, ...] = ()
        """The newest event of the training, with its effort; empty before the first."""

    def fit(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """Train on `split.train`; of all epochs the weights with the best "NDCG@10/validation" are kept.

        That, "HR@10/validation" and "loss/validation" are measured on users of `split.valid`, the same at all times;
        when it is empty nothing is measured and the last weights stay. Raises NotApplicable when there is nothing to
        train on, and DataError when the folder holds another training.
        """
        recipe = self.recipe
        network = SASRecNetwork(data.num_items, recipe).to(self.device)
        asked = validation_users(split, recipe.validate_users, recipe.seed)
        measure = partial(self._measured, asked) if len(asked) else None
        task = SASRecTraining(network, split.train, recipe, measure)
        identity = {"system": self.name, "data": data.fingerprint, "split": _digest(split), **asdict(recipe)}
        self._network = network
        checkpoint = Checkpoint.named(self.folder, identity) if self.folder is not None else None
        for event in train(task, task.plan(), checkpoint):
            self.ends = (event,)
            yield event

    @torch.no_grad()
    def loss(self, samples: Samples) -> float:
        """-log p of the targets of `samples`, in nats: the mean, without dropout."""
        rows = max(1, CELLS // self.num_items)
        total = 0.0
        for at in range(0, len(samples), rows):
            part = samples.take(np.arange(at, min(at + rows, len(samples))))
            logits, targets = torch.from_numpy(self.scores(part)), torch.from_numpy(part.targets).long()
            total += float(cross_entropy(logits.double(), targets, reduction="sum"))
        return total / len(samples)

    def _measured(self, samples: Samples) -> dict[str, float]:
        return validation_metrics(self.recommend, samples) | {VALIDATION_LOSS: self.loss(samples)}

    @property
    def num_items(self) -> int:
        """N."""
        return learned(self._network, self.name).embedding.num_embeddings

    def item_table(self) -> NDArray[np.float32]:
        """The vectors of all items, `[N, width]`."""
        table: NDArray[np.float32] = learned(self._network, self.name).embedding.weight.detach().float().cpu().numpy()
        return table

    @torch.no_grad()
    def scores(self, samples: Samples) -> Scores:
        """The logits of all items after the newest `max_history` items of each history, `[B, N]` float32."""
        network = learned(self._network, self.name).eval()
        read = samples.newest(self.recipe.max_history)
        place, inside = places_between(torch.tensor(read.start), torch.tensor(read.target))
        items = torch.tensor(samples.items[place[inside].numpy()], device=self.device)
        states = network(items, inside.to(self.device))
        newest = inside.sum(1).cumsum(0) - 1
        return cast(Scores, network.logits(states[newest.to(self.device)]).cpu().numpy())


def _digest(split: Split) -> str:
    """Digest of which samples `split` trains and validates on."""
    digest = hashlib.blake2b(digest_size=16)
    for samples in (split.train, split.valid):
        digest.update(str(len(samples)).encode())
        for column in (samples.user, samples.start, samples.target):
            digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


SYSTEM = Entry(
    name="SASRec",
    family="sequential",
    paper="Kang and McAuley, ICDM 2018; Klenitskiy and Vasilev, RecSys 2023",
    idea="a causal Transformer over item numbers, cross-entropy over all items",
    make=lambda context, without: [SASRec(context.settings.sasrec, context.folder / "sasrec")],
    color="orange",
)
