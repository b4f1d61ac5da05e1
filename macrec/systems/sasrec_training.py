"""Training SASRec: pieces of histories that hold every target once, and the loss over all items at every place."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cross_entropy

from macrec.data.split import Samples
from macrec.data.windows import WindowBatches
from macrec.errors import NotApplicable
from macrec.systems.sasrec_network import SASRecNetwork, SASRecRecipe
from macrec.training import VALIDATION_LOSS, Keep, Plan, Usage, Watch


class SASRecTraining:
    """A `Task` for `macrec.training.train`: a network and the targets of `samples`, each once per epoch.

    `measure_with` gives the numbers of a measurement. Raises NotApplicable when there are no samples.
    """

    def __init__(
        self,
        module: SASRecNetwork,
        samples: Samples,
        recipe: SASRecRecipe,
        measure_with: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        if len(samples) == 0:
            raise NotApplicable("there is nothing to train on", fix="give histories of 2 items or more")
        self.module, self.recipe, self.measure_with = module, recipe, measure_with
        self.device = next(module.parameters()).device
        self.windows = WindowBatches(samples, recipe.max_history, recipe.batch, recipe.seed, self.device)

    def plan(self, reports: int = 200) -> Plan:
        """The plan of this training, with about so many events, and a measurement after each epoch."""
        steps = self.recipe.epochs * self.windows.per_epoch
        keep = (Keep("NDCG@10/validation", "highest"),) if self.measure_with is not None else ()
        return Plan(
            steps=steps,
            report_every=max(1, steps // reports),
            measure_every=self.windows.per_epoch,
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            decay=self.recipe.decay,
            tables=("embedding", "age"),
            schedule="constant",
            keep=keep,
            watch=(Watch(VALIDATION_LOSS),) if keep else (),
            patience=self.recipe.patience if keep else None,
            seed=self.recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """-log p of the next item, in nats: the mean over the M targets of a batch, whose logits `[M, N]` are held."""
        batch, events = self.windows.batch(step), self.windows.events
        place, asked = batch.places[batch.inside], batch.asked[batch.inside]
        states = self.module(events[place], batch.inside)[asked]
        loss = cross_entropy(self.module.logits(states), events[place[asked] + 1].long())
        return loss, {"next item": loss}

    def batch_size(self, step: int) -> int:
        """Targets in the batch of `step`."""
        return self.windows.batch_size(step)

    def stepped(self, step: int) -> None:
        """Nothing is left to do after a step."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """The measurements of `measure_with`."""
        return (self.measure_with() if self.measure_with is not None else {}), {}
