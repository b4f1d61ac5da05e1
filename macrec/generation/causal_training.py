"""Training the causal generator: every place of a history is a target, in every modality, under changing views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from macrec.data.split import Samples, seen_items
from macrec.data.windows import WindowBatches, Windows
from macrec.errors import NotApplicable
from macrec.generation.batches import CodeTables, TaskSamples
from macrec.generation.causal import CausalGenerator, newest_states
from macrec.generation.modality_masking import kept_modalities
from macrec.generation.tasks import ITEM, CodeTask
from macrec.generation.trie import CodeTrie
from macrec.tokenizers.contrastive import info_nce
from macrec.training import VALIDATION_LOSS, Keep, Plan, Usage, Watch, generator_for

VIEWS, ITEMS, MASKS = range(2, 5)
"""What a random draw is for; see `generator_for`."""


@dataclass(frozen=True)
class CausalRecipe:
    """How the causal generator learns; the defaults were tried on validation users of the built-in catalog, one seed.

    `epochs` over all training targets, or so many `steps` where these are not 0, in batches of `batch` windows of
    at most `max_history` items. `joint_share` of the windows read all modalities at once, where a task does; the
    others each read one of the other sources. `mask_modality`: the probability by which a window leaves out one of the
    modalities that it would read (`macrec.generation.modality_masking`). `dense_weight` weighs the loss of the dense
    head, where there is one, beside the mean of those of the IDs. `optimizer` "muon" takes Muon for the matrices of the
    Transformer, at `muon_rate`, and AdamW for everything else. `table_factor`: the learning rate of the codeword tables
    in units of that of the others. `softmax`: what a code competes with, see `GeneratorRecipe`. `item_weight` weighs
    the tasks from an item's ID in one modality to that in another, on `items` random items per step, as many as take
    part in the implicit alignment, which `lambda_implicit` weighs.
    """

    epochs: int = 24
    steps: int = 0
    batch: int = 128
    learning_rate: float = 3e-3
    optimizer: Literal["muon", "adamw"] = "muon"
    muon_rate: float = 0.02
    table_factor: float = 5.0
    weight_decay: float = 0.01
    warmup: float = 0.03
    clip: float = 1.0
    max_history: int = 20
    joint_share: float = 0.9
    mask_modality: float = 0.0
    dense_weight: float = 1.0
    softmax: Literal["children", "level"] = "children"
    item_weight: float = 0.01
    lambda_implicit: float = 0.01
    items: int = 64
    temperature: float = 0.1
    monitor: str = "NDCG@10/validation"
    patience: int | None = None
    seed: int = 0

    def total_steps(self, tasks: Sequence[CodeTask], train: Samples, items: int) -> int:
        """Steps of a training on these samples, which each step asks for all tasks."""
        return self.steps or self.epochs * -(-len(Windows.of(train, self.max_history).begin) // self.batch)


class CausalTraining:
    """A `Task` for `macrec.training.train`: a causal generator, its IDs, and the windows of the training histories.

    The tasks of `tables` say what is read and written. A "sequence" task reads the histories in its source
    modalities and writes the ID of the next item, at every place, in its target; every window draws one of the
    sources per step and learns all targets of that source. An "item" task reads one item in one modality and writes
    its ID in another. Items without training events teach nothing: they are none of the single items, and among the
    "children" their codes do not compete; of the dense heads see `seen_only`. Raises NotApplicable where there is
    nothing to train on.
    """

    def __init__(
        self,
        module: CausalGenerator,
        tables: CodeTables,
        train: Samples,
        recipe: CausalRecipe,
        measure_with: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        if len(train) == 0:
            raise NotApplicable("there is nothing to train on", fix="give users with 4 events or more")
        self.module, self.tables, self.recipe, self.measure_with = module, tables, recipe, measure_with
        seen = seen_items(train, len(module.codes))
        self.seen = torch.from_numpy(np.flatnonzero(seen))
        """The rows of the items with training events."""
        self.tries = [CodeTrie.of(ids, tables.device) for ids in tables.ids.values()]
        self.seen_tries = [CodeTrie.of(ids, tables.device, seen) for ids in tables.ids.values()]
        tasks = tables.tasks
        self.device = module.codes.device
        self.train_samples = train
        self.windows = WindowBatches(train, recipe.max_history, recipe.batch, recipe.seed, self.device)
        names = module.modalities
        sources = list(dict.fromkeys(task.sources for task in tasks if task.kind == "sequence"))
        self.reads = torch.tensor([[name in source for name in names] for source in sources], device=self.device)
        """`[V, M]`: the modalities that each view of a history reads."""
        # The share of the windows that are read in each way.
        joint = torch.tensor([len(source) > 1 for source in sources])
        self.shares = torch.where(joint, recipe.joint_share / joint.sum(), (1 - recipe.joint_share) / (~joint).sum())
        if joint.all() or not joint.any():
            self.shares = torch.full((len(sources),), 1 / len(sources))
        paths = {(task.sources, task.target) for task in tasks if task.kind == "sequence"}
        self.writes = torch.tensor(
            [[(source, name) in paths for name in module.targets] for source in sources], device=self.device
        )
        """`[V, M]` or, with a dense head, `[V, M + 1]`: the targets that are asked for under each view."""
        self.among: Tensor | None = None
        """`[N]`: the items that compete in the loss of the dense head, where these are not all."""
        if module.dense is not None and module.dense.seen_only:
            self.among = torch.from_numpy(seen).to(self.device)
        self.across = torch.zeros(len(names), len(names), dtype=torch.bool, device=self.device)
        """`[M, M]`: which modality's ID is asked for after an item of which one is read (columns)."""
        for task in tasks if recipe.item_weight else ():
            if task.kind == "item":
                self.across[names.index(task.target), names.index(task.source)] = True

    @cached_property
    def samples(self) -> TaskSamples:
        """The same samples task by task, for looking at them; the training reads windows."""
        seen = np.isin(np.arange(len(self.module.codes)), self.seen)
        return TaskSamples(self.tables, self.train_samples.newest(self.recipe.max_history), seen)

    def plan(self, reports: int = 200, measurements: int = 0) -> Plan:
        """The plan of this training, with about so many events and measurements (0: one per epoch)."""
        recipe = self.recipe
        steps = recipe.steps or recipe.epochs * self.windows.per_epoch
        keep = (Keep(recipe.monitor, "highest"),) if self.measure_with is not None else ()
        return Plan(
            steps=steps,
            report_every=max(1, steps // reports),
            measure_every=max(1, steps // measurements) if measurements else self.windows.per_epoch,
            learning_rate=recipe.learning_rate,
            rate_factors=(("codebooks", recipe.table_factor),),
            weight_decay=recipe.weight_decay,
            tables=("codebooks", "distance_bias", "item_vectors"),
            warmup=round(recipe.warmup * steps),
            clip=recipe.clip,
            betas=(0.9, 0.98),
            muon=("transformer.",) if recipe.optimizer == "muon" else (),
            muon_rate=recipe.muon_rate,
            keep=keep,
            watch=(Watch(VALIDATION_LOSS),) if keep else (),
            patience=recipe.patience if keep else None,
            seed=recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch, nats per ID, and its terms: the IDs by modality, the item tasks, the alignment."""
        recipe, module = self.recipe, self.module
        batch = self.windows.batch(step)
        events = self.windows.events
        places, asked = batch.places[batch.inside], batch.asked[batch.inside]
        view = torch.multinomial(
            self.shares, len(batch.inside), replacement=True, generator=generator_for(recipe.seed, VIEWS, step)
        ).to(self.device)
        states = module.states(events[places].long(), batch.inside, self.read_in(step, view))[asked]
        targets = events[places[asked] + 1].long()
        count = len(module.modalities)
        chosen, alone = targets[:0], states[:0].expand(count, 0, -1)
        if count > 1 and (self.across.any() or recipe.lambda_implicit):
            random = generator_for(recipe.seed, ITEMS, step)
            chosen = self.seen[torch.randperm(len(self.seen), generator=random)[: recipe.items]].to(self.device)
            alone = module.alone(chosen, range(count))
        # The heads are asked once, for the places of the histories and for the single items.
        asked_of = torch.cat([states, alone.flatten(0, 1)]), torch.cat([targets, chosen.repeat(count)])
        written = self.writes[view][:, None].expand(*batch.asked.shape, -1)[batch.asked].T
        wanted = torch.cat([written[:count], self.across.repeat_interleave(len(chosen), 1)], 1)
        every = module.losses(*asked_of, self.seen_tries, recipe.softmax, wanted)
        per_id, of_items = every[:, : len(states)], every[:, len(states) :].view(count, count, -1)
        # Where a dense head learns alone, no ID is written and the sum is 0.
        loss = (per_id * written[:count]).sum(0).div(written[:count].sum(0).clamp(min=1)).mean()
        terms = {
            name: per_id[number][written[number]].mean()
            for number, name in enumerate(module.modalities)
            if written[number].any()
        }
        if module.dense is not None and written[count].any():
            terms[ITEM] = module.item_losses(states[written[count]], targets[written[count]], self.among).mean()
            loss = loss + recipe.dense_weight * terms[ITEM]
        if self.across.any() and len(chosen):
            terms["item tasks"] = of_items[self.across].mean()
            loss = loss + recipe.item_weight * terms["item tasks"]
        if recipe.lambda_implicit and len(chosen):
            pairs = [info_nce(first, second, recipe.temperature) for first, second in combinations(alone, 2)]
            terms["implicit"] = torch.stack(pairs).sum()
            loss = loss + recipe.lambda_implicit * terms["implicit"]
        return loss, terms

    def read_in(self, step: int, view: Tensor) -> Tensor:
        """What is read of the windows of `step`, `[B, M]` of 0 and 1: what stays of their `view` `[B]`."""
        reads, rate = self.reads[view], self.recipe.mask_modality
        if rate:
            reads = kept_modalities(reads, rate, generator_for(self.recipe.seed, MASKS, step))
        return reads.to(self.module.codebooks.dtype)

    @torch.no_grad()
    def loss_of(self, samples: Samples, tasks: Sequence[int], batch: int = 256) -> float:
        """The loss of the targets of `samples` on the paths of these tasks, nats per ID: the mean, module as it is."""
        module, total = self.module, 0.0
        for at in range(0, len(samples), batch):
            part = samples.take(np.arange(at, min(at + batch, len(samples))))
            targets = torch.from_numpy(part.targets).to(self.device).long()
            for task in (self.tables.tasks[number] for number in tasks):
                state = newest_states(module, task, part)
                if task.target == ITEM:
                    losses = module.item_losses(state, targets)
                else:
                    number = module.modalities.index(task.target)
                    only = torch.zeros(len(self.tries), len(targets), dtype=torch.bool, device=self.device)
                    only[number] = True
                    losses = module.losses(state, targets, self.tries, self.recipe.softmax, only)[number]
                total += float(losses.double().sum())
        return total / (len(samples) * len(tasks))

    def batch_size(self, step: int) -> int:
        """Targets in the batch of `step`."""
        return self.windows.batch_size(step)

    def stepped(self, step: int) -> None:
        """Nothing is left to do after a step."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """What `measure_with` says."""
        return (self.measure_with() if self.measure_with is not None else {}), {}
