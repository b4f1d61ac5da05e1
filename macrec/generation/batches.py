"""Batches for the generator, drawn from code tables by array arithmetic: no strings, no Python per sample."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from macrec.data.split import Samples
from macrec.generation.tasks import CodeTask
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.vocabulary import EOS, PAD, Vocabulary


class TokenBatch(NamedTuple):
    """What a generator reads and shall write.

    `source` `[B, S]` int64: prompt, IDs of the history from the oldest to the newest item, `EOS`, then `PAD`; `mask`
    `[B, S]` bool: what is not padding; `target` `[B, L]` int64: the tokens of the next ID, `PAD` beyond its levels;
    `task` and `item`, the row of the target in the item table, `[B]` int64.
    """

    source: Tensor
    mask: Tensor
    target: Tensor
    task: Tensor
    item: Tensor


class CodeTables:
    """The tokens of all items in every modality, and what else turns samples into tokens, on one device.

    `ids`: modality → semantic IDs of the same N items, in the order of the item table; `tasks` decide the prompts, and
    which modalities are also read side by side: of a source such as "text+image" an item's tokens are those of its text
    ID, then those of its image ID.
    """

    def __init__(
        self,
        ids: Mapping[str, SemanticIds],
        tasks: Sequence[CodeTask],
        device: torch.device | str = "cpu",
    ) -> None:
        self.ids, self.tasks, self.device = dict(ids), tuple(tasks), torch.device(device)
        self.modalities = tuple(ids)
        if len({len(table) for table in ids.values()}) > 1:
            raise ValueError("the tables must have the same items, got " + ", ".join(map(repr, ids.values())))
        self.vocabulary = Vocabulary.of(ids, {task.name: task.prompt for task in tasks if task.prompt})
        joint = dict.fromkeys(task.source for task in tasks if len(task.sources) > 1)
        self.read = self.ids | {
            name: SemanticIds.join(**{part: self.ids[part] for part in name.split("+")}) for name in joint
        }
        """What histories can be read in: the modalities, then what tasks join."""
        self.levels = torch.tensor([table.num_levels for table in self.read.values()], device=device)
        self.longest = max(table.num_levels for table in ids.values())
        """Levels of the longest ID that is written."""
        shape = (len(self.read), len(next(iter(ids.values()))), int(self.levels.max()))
        tokens = np.full(shape, PAD, np.int64)
        for row, table in enumerate(self.read.values()):
            tokens[row, :, : table.num_levels] = self.vocabulary.tokens(table)
        self.tokens = torch.from_numpy(tokens).to(device)
        """`[R, N, S]`: the tokens of every item in all that is read; the modalities come first."""
        prompts = np.full((len(self.tasks), max((task.prompt for task in tasks), default=0)), PAD, np.int64)
        for row, task in enumerate(self.tasks):
            if task.prompt:
                prompts[row, : task.prompt] = self.vocabulary.prompt(task.name)
        self.prompts = torch.from_numpy(prompts).to(device)
        self.prompt_length = torch.tensor([task.prompt for task in tasks], device=device)
        self.source = torch.tensor([list(self.read).index(task.source) for task in tasks], device=device)
        # `ITEM` has no table: only a causal generator has tasks with it.
        targets = [self.modalities.index(task.target) if task.target in ids else -1 for task in tasks]
        self.target = torch.tensor(targets, device=device)

    def table(self, target: str) -> SemanticIds:
        """The IDs of a modality; of `ITEM` the items' own numbers, one code each."""
        return self.ids[target] if target in self.ids else SemanticIds.numbers(next(iter(self.ids.values())).item_ids)

    def item_tokens(self, modality: int, items: Tensor) -> tuple[Tensor, Tensor]:
        """The ID of each of `items` `[S]` and `EOS`, `[S, L + 1]`, and a mask that hides nothing."""
        tokens = pad(self.tokens[modality, items, : int(self.levels[modality])], (0, 1), value=EOS)
        return tokens, torch.ones_like(tokens, dtype=torch.bool)

    def columns(self, kept: Collection[str] = ()) -> tuple[Tensor, Tensor]:
        """Which of an item's tokens are read, `[R, S]` with 0 behind the last, and how many of each table, `[R]`.

        All, or of joined modalities those of `kept`. A table of which nothing is kept is read whole.
        """
        chosen = [
            [level for level, group in enumerate(table.groups) if group in kept] or list(range(table.num_levels))
            for table in self.read.values()
        ]
        columns = torch.zeros(len(chosen), int(self.levels.max()), dtype=torch.int64)
        for row, levels in enumerate(chosen):
            columns[row, : len(levels)] = torch.tensor(levels)
        return columns.to(self.device), torch.tensor([len(levels) for levels in chosen], device=self.device)

    def sources(
        self, task: Tensor, items: Tensor, start: Tensor, length: Tensor, kept: Collection[str] = ()
    ) -> tuple[Tensor, Tensor]:
        """Tokens `[B, S]` and their mask for histories `items[start:start + length]`, `[B]` each, of `task` `[B]`.

        `kept`: of joined modalities only these are read (default: all).
        """
        columns, count = self.columns(kept)
        levels = count[self.source[task]]
        prompt = self.prompt_length[task]
        end = prompt + levels * length  # the place of EOS
        place = torch.arange(int(end.max()) + 1, device=self.device) if len(task) else torch.arange(1)
        inside = place - prompt[:, None]
        history = (inside >= 0) & (place < end[:, None])
        which = torch.where(history, inside, 0)
        row = items[start[:, None] + which // levels[:, None]].long()
        source = self.source[task][:, None]
        tokens = self.tokens[source, row, columns[source, which % levels[:, None]]]
        tokens = torch.where(history, tokens, PAD)
        tokens = torch.where(place == end[:, None], EOS, tokens)
        if self.prompts.shape[1]:
            begins = self.prompts[task][:, place.clamp(max=self.prompts.shape[1] - 1)]
            tokens = torch.where(place < prompt[:, None], begins, tokens)
        return tokens, place <= end[:, None]


class TaskSamples:
    """The training samples of all tasks: every sequence task has the samples of the split, every item task all items.

    `seen` `[N]`: of an item task only these items are samples, where they are not all.

    Sample number i belongs to the task whose range it falls in. `order` shuffles them so that batches hold sources of
    about one length, and `batch` turns numbers into tokens.
    """

    def __init__(self, tables: CodeTables, train: Samples, seen: NDArray[np.bool_] | None = None) -> None:
        self.tables = tables
        items = len(next(iter(tables.ids.values())))
        # One flat array of items: the events, then every item once, so that an item task is a history of one.
        flat = np.concatenate([train.items, np.arange(items, dtype=np.int32)])
        single = np.arange(len(train.items), len(flat), dtype=np.int64)
        single = single if seen is None else single[seen]
        starts, lengths, targets, tasks = [], [], [], []
        for number, task in enumerate(tables.tasks):
            sequence = task.kind == "sequence"
            starts.append(train.start if sequence else single)
            lengths.append(train.lengths if sequence else np.ones(len(single), np.int64))
            targets.append(train.target if sequence else single)
            tasks.append(np.full(len(starts[-1]), number, np.int64))
        levels, prompts = tables.levels.cpu().numpy(), tables.prompt_length.cpu().numpy()
        task_of, length = np.concatenate(tasks), np.concatenate(lengths)
        self.lengths = prompts[task_of] + levels[tables.source.cpu().numpy()[task_of]] * length + 1
        self.items = torch.from_numpy(flat).to(tables.device)
        self.start, self.length, self.target, self.task = (
            torch.from_numpy(values).to(tables.device)
            for values in (np.concatenate(starts), length, np.concatenate(targets), task_of)
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def order(self, batch: int, seed: int | Sequence[int]) -> list[NDArray[np.int64]]:
        """The batches of one epoch: all samples once, shuffled, those of a batch about equally long.

        Samples are shuffled, sorted by length within pools of 50 batches, cut, and the batches shuffled: large pools
        leave almost no padding, and small ones give other batches in every epoch.
        """
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        shuffled = rng.permutation(len(self))
        batches: list[NDArray[np.int64]] = []
        for begin in range(0, len(self), 50 * batch):
            pool = shuffled[begin : begin + 50 * batch]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[at : at + batch] for at in range(0, len(pool), batch)]
        return [batches[at] for at in rng.permutation(len(batches))]

    def batch(self, rows: NDArray[np.int64], kept: Collection[str] = ()) -> TokenBatch:
        """The tokens of the samples `rows` `[B]`; of joined modalities only those of `kept` are read (default: all)."""
        which = torch.from_numpy(rows).to(self.tables.device)
        task = self.task[which]
        source, mask = self.tables.sources(task, self.items, self.start[which], self.length[which], kept)
        item = self.items[self.target[which]].long()
        target = self.tables.tokens[self.tables.target[task], item, : self.tables.longest]
        return TokenBatch(source, mask, target, task, item)
