"""Training the generator: several tasks in one stream of batches, and the implicit alignment beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from macrec.data.split import Samples, seen_items
from macrec.errors import NotApplicable
from macrec.generation.batches import CodeTables, TaskSamples, TokenBatch
from macrec.generation.implicit import implicit_alignment, misaligned, pooled
from macrec.generation.modality_masking import kept_modalities
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import CodeTask
from macrec.generation.trie import CodeTrie
from macrec.quantization.vocabulary import EOS, PAD
from macrec.training import VALIDATION_LOSS, Decay, Keep, Plan, Usage, Watch, generator_for

TABLES = ("embedding.", "encoder.position_bias.", "encoder.slot_bias.", "decoder.position_bias.")
"""Prefixes of the names of embedding tables."""

LARGEST = 2**23
"""Numbers in one activation, 32 MB of float32."""

ALIGNED, MASKED = 1, 4
"""What the draws of the items to align and of the modalities to mask are for, among the uses of a seed."""

IGNORED = -100
"""What `cross_entropy` skips."""

Softmax = Literal["children", "level", "vocabulary"]
Implicit = Literal["paired", "published"]


@dataclass(frozen=True)
class GeneratorRecipe:
    """How the generator learns; the defaults are those of the specification, section 5.6, for one machine.

    `epochs` over all samples of all tasks in batches of `batch`, or so many optimizer `steps` where these are not 0:
    systems of more tasks make more steps in an epoch, and so learn more.

    `softmax` "level": a token competes with those of its own codebook; "children": with those that some item has after
    the same codes, so that the model need not learn which IDs exist, as the trie has them; "vocabulary":
    with all, and the end of the ID is predicted as well, as published. `lambda_implicit` weighs the implicit alignment
    of `implicit_items` random items per step; `implicit` "published" pairs them as the published code does. `patience`:
    stop after so many measurements in a row with neither a better `monitor` nor a lower validation loss.
    `mask_modality`: the probability by which a step leaves out one of the modalities that a task joins
    (`macrec.generation.modality_masking`), for the whole batch, whose sources become shorter.

    `weight_decay` is for matrices alone unless `decay` is "all"; see `Plan`.

    `table_factor`: the learning rate of what is looked up (token embeddings, position biases) in units of that of the
    other weights. Embeddings start with deviation 1, the others with .01 to .1, and biases have to grow to several
    units before attention heeds them, while a step of AdamW is as large for all. (The optimizer of the original T5,
    Adafactor, makes steps in proportion to the weights.) On the built-in catalog a factor of 30 brings a generator in
    80,000 samples to the NDCG@10 that it does not reach in 300,000 without.
    """

    epochs: int = 200
    steps: int = 0
    batch: int = 1024
    learning_rate: float = 1e-3
    table_factor: float = 1.0
    weight_decay: float = 0.01
    decay: Decay = "matrices"
    warmup: float = 0.01
    clip: float = 1.0
    softmax: Softmax = "level"
    lambda_implicit: float = 0.01
    implicit_items: int = 256
    implicit: Implicit = "paired"
    mask_modality: float = 0.0
    temperature: float = 0.1
    monitor: str = "NDCG@10/validation"
    patience: int | None = 10
    seed: int = 0
    max_history: ClassVar[int] = 20
    """How many of the newest items of a history are read unless a decoder is told otherwise: as published."""

    def total_steps(self, tasks: Sequence[CodeTask], train: Samples, items: int) -> int:
        """Steps of a training on these tasks over these samples and so many items."""
        samples = sum(len(train) if task.kind == "sequence" else items for task in tasks)
        return self.steps or self.epochs * -(-samples // self.batch)


class GeneratorTraining:
    """A `Task` for `macrec.training.train`: a T5, the tokens of a catalog, and the training samples of its tasks.

    Items without training events teach it nothing: no item task asks for them, they are not aligned, and among the
    "children" their codes do not compete. `measure_with` gives the numbers of a measurement: the recipe's `monitor`,
    and `VALIDATION_LOSS` by `loss_of`.
    """

    def __init__(
        self,
        module: T5Generator,
        tables: CodeTables,
        train: Samples,
        recipe: GeneratorRecipe,
        measure_with: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self.module, self.tables, self.recipe = module, tables, recipe
        one_layout = len({task.source for task in tables.tasks}) == 1 and not any(task.prompt for task in tables.tasks)
        if module.config.positions != "flat" and not one_layout:
            raise ValueError("positions of items and slots need tasks that all read one source, without a prompt")
        seen = seen_items(train, len(next(iter(tables.ids.values()))))
        self.samples = TaskSamples(tables, train, seen)
        if len(self.samples) == 0:
            raise NotApplicable(
                "there is nothing to train on", fix="give users with 4 events or more, or two modalities"
            )
        self._seen = torch.from_numpy(np.flatnonzero(seen))
        self._tries = [CodeTrie.of(ids, tables.device) for ids in tables.ids.values()]
        self._seen_tries = [CodeTrie.of(ids, tables.device, seen) for ids in tables.ids.values()]
        self.per_epoch = len(self.samples.order(recipe.batch, 0))
        self.measure_with = measure_with
        self._epoch: tuple[int, list[NDArray[np.int64]]] | None = None

    def plan(self, reports: int = 200, measurements: int = 0) -> Plan:
        """The plan of this training, with about so many events and measurements (0: one per epoch).

        The best weights are kept, and patience waits for them and for the validation loss.
        """
        steps = self.recipe.steps or self.recipe.epochs * self.per_epoch
        keep = (Keep(self.recipe.monitor, "highest"),) if self.measure_with is not None else ()
        return Plan(
            steps=steps,
            report_every=max(1, steps // reports),
            measure_every=max(1, steps // measurements) if measurements else self.per_epoch,
            learning_rate=self.recipe.learning_rate,
            rate_factors=tuple((name, self.recipe.table_factor) for name in TABLES),
            weight_decay=self.recipe.weight_decay,
            decay=self.recipe.decay,
            tables=("embedding", "position_bias", "slot_bias"),
            warmup=round(self.recipe.warmup * steps),
            clip=self.recipe.clip,
            keep=keep,
            watch=(Watch(VALIDATION_LOSS),) if keep else (),
            patience=self.recipe.patience if keep else None,
            seed=self.recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The generation loss of one batch, nats per token, and the implicit alignment; reported task by task."""
        batch, slots = self.batch(step), self.slots(step)
        *before, last = self.slices(batch)
        rows = []
        for part in before:
            rows.append(self.generation_loss(part, slots, self._seen_tries))
            (rows[-1].sum() / len(batch.task)).backward()  # type: ignore[no-untyped-call]
        rows = [*(row_losses.detach() for row_losses in rows), self.generation_loss(last, slots, self._seen_tries)]
        per_row = torch.cat(rows)
        loss = per_row.mean()
        terms = {}
        for number, task in enumerate(self.tables.tasks):
            mine = batch.task == number
            if mine.any():
                terms[task.name] = per_row[mine].mean()
        if self.recipe.lambda_implicit and len(self.tables.modalities) > 1:
            implicit = self.implicit_loss(batch, step)
            loss = loss + self.recipe.lambda_implicit * implicit
            terms["implicit"] = implicit
        return loss, terms

    def loss_weights(self, step: int) -> dict[str, float]:
        """What a reported term is multiplied with; the tasks share the generation loss by their samples."""
        return {"implicit": self.recipe.lambda_implicit}

    def batch_size(self, step: int) -> int:
        """Samples of all tasks in the batch of `step`."""
        return len(self._rows(step))

    def stepped(self, step: int) -> None:
        """Nothing is left to do after a step."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """The measurements of `measure_with`."""
        return (self.measure_with() if self.measure_with is not None else {}), {}

    @torch.no_grad()
    def loss_of(self, asked: Samples, tasks: Sequence[int]) -> float:
        """The loss of the targets of `asked` on these `tasks`, nats per token: the mean, module as it is."""
        samples = TaskSamples(self.tables, asked)
        rows = np.flatnonzero(np.isin(samples.task.cpu().numpy(), tasks))
        rows = rows[np.argsort(samples.lengths[rows], kind="stable")]
        batches = [samples.batch(rows[at : at + self.recipe.batch]) for at in range(0, len(rows), self.recipe.batch)]
        losses = [self.generation_loss(part).double().sum() for batch in batches for part in self.slices(batch)]
        return float(torch.stack(losses).sum()) / len(rows)

    def batch(self, step: int) -> TokenBatch:
        """The tokens of the batch of `step`."""
        return self.samples.batch(self._rows(step), self.kept(step))

    def kept(self, step: int) -> tuple[str, ...]:
        """The modalities that are read in `step` where a task joins several; empty for all."""
        joined = {name for task in self.tables.tasks if len(task.sources) > 1 for name in task.sources}
        if not (self.recipe.mask_modality and joined):
            return ()
        reads = torch.tensor([[name in joined for name in self.tables.modalities]])
        kept = kept_modalities(reads, self.recipe.mask_modality, generator_for(self.recipe.seed, MASKED, step))[0]
        return tuple(name for name, stays in zip(self.tables.modalities, kept.tolist(), strict=True) if stays)

    def _rows(self, step: int) -> NDArray[np.int64]:
        epoch, part = divmod(step, self.per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self.samples.order(self.recipe.batch, (self.recipe.seed, epoch))
        return self._epoch[1][part]

    def slices(self, batch: TokenBatch) -> list[TokenBatch]:
        """The batch in parts that go forward and backward one after the other: on a GPU the whole, on a CPU less.

        There no activation may pass 32 MB: larger blocks of memory come fresh from the system every time, page by page,
        which doubles the time of a step with long histories.
        """
        tokens = LARGEST // max(self.module.config.d_ff, 2 * self.module.config.inner)
        rows = max(1, tokens // batch.source.shape[1])
        if batch.source.device.type != "cpu" or rows >= len(batch.task):
            return [batch]
        return [TokenBatch(*parts) for parts in zip(*(torch.split(part, rows) for part in batch), strict=True)]

    def slots(self, step: int) -> Tensor | None:
        """The slots of the tokens that every item has in `step`, `[C]`; None where positions are flat."""
        if self.module.config.positions == "flat":
            return None
        columns, count = self.tables.columns(self.kept(step))
        source = self.tables.source[0]
        return columns[source, : int(count[source])]

    def generation_loss(self, batch: TokenBatch, slots: Tensor | None = None, tries: Sequence[CodeTrie] = ()) -> Tensor:
        """-log p of the target's tokens, mean over its levels (and `EOS`, as published), `[B]`.

        `slots` as in `T5.encode`; `tries`: which codes are "children" (default: those of all items).
        """
        tries = tries or self._tries
        memory = self.module.encode(batch.source, batch.mask, slots)
        if self.recipe.softmax == "vocabulary":
            return self._published_loss(batch, memory)
        states = self.module.decode(memory, batch.mask, batch.target)
        modality = self.tables.target[batch.task]
        total = states.new_zeros(len(states), dtype=torch.float32)
        for number, ids in enumerate(self.tables.ids.values()):
            rows = (modality == number).nonzero().flatten()
            nodes = tries[number].ancestors(tries[number].leaf[batch.item[rows]].long())
            for level, columns in enumerate(self.tables.vocabulary.ranges(ids)):
                logits = self.module.logits(states[rows, level], columns).float()
                code = batch.target[rows, level] - columns.start
                own = logits.gather(1, code[:, None])[:, 0]
                if self.recipe.softmax == "children":
                    children = tries[number].children(level, nodes[level])
                    logits = logits.gather(1, children.codes).masked_fill(~children.exists, -torch.inf)
                total = total.index_add(0, rows, logits.logsumexp(1) - own)
        return total / self.tables.levels[modality]

    def _published_loss(self, batch: TokenBatch, memory: Tensor) -> Tensor:
        """Every token competes with the whole vocabulary, and the end of the ID is predicted as well."""
        levels = self.tables.levels[self.tables.target[batch.task]]
        target = pad(batch.target, (0, 1), value=PAD).scatter(1, levels[:, None], EOS)
        logits = self.module.logits(self.module.decode(memory, batch.mask, target)).float()
        target = target.masked_fill(target == PAD, IGNORED)
        per_token = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORED, reduction="none")
        return per_token.view(target.shape).sum(1) / (levels + 1)

    def implicit_loss(self, batch: TokenBatch, step: int) -> Tensor:
        """The implicit alignment of random items between every pair of modalities, or as published."""
        if self.recipe.implicit == "published":
            return self._published_implicit(batch)
        generator = generator_for(self.recipe.seed, ALIGNED, step)
        drawn = torch.randperm(len(self._seen), generator=generator)[: self.recipe.implicit_items]
        chosen = self._seen[drawn].to(self.tables.device)
        views = [self.tables.item_tokens(number, chosen) for number in range(len(self.tables.modalities))]
        terms = [
            implicit_alignment(self.module.encode, first, second, self.recipe.temperature)
            for place, first in enumerate(views)
            for second in views[place + 1 :]
        ]
        return torch.stack(terms).sum()

    def _published_implicit(self, batch: TokenBatch) -> Tensor:
        """Anchors are the item rows of the batch, candidates the targets of *all* its rows; numbered apart (G1)."""
        single = torch.tensor([task.kind == "item" for task in self.tables.tasks], device=self.tables.device)
        rows = single[batch.task]
        if not rows.any():
            return batch.source.new_zeros((), dtype=torch.float32)
        prompt = self.tables.prompt_length[batch.task[rows]]
        place = torch.arange(batch.source.shape[1], device=self.tables.device)
        mask = batch.mask[rows] & (place >= prompt[:, None])
        anchors = pooled(self.module.encode, batch.source[rows].masked_fill(~mask, PAD), mask)
        targets = pad(batch.target, (0, 1), value=EOS)
        return misaligned(anchors, pooled(self.module.encode, targets, targets != PAD), self.recipe.temperature)
