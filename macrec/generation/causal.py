"""The causal generator: one place per item, and the ID of the next item asked for at every place at once.

An encoder-decoder encodes a history for one target. Here a history is read once, and every place of it is a target: for
the same computation about ten times as many. An item enters with the codewords of its IDs, and with its content vectors
where these are given; heads write the codes of the next item's IDs (`macrec.models.code_heads`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, embedding_bag, pad

from macrec.data.split import Samples
from macrec.data.windows import places_between
from macrec.generation.backbones.backbone import CodeGenerator
from macrec.generation.batches import CodeTables
from macrec.generation.beam import Normalize
from macrec.generation.tasks import ITEM, CodeTask
from macrec.generation.trie import CodeTrie
from macrec.models.causal import CausalConfig, CausalTransformer
from macrec.models.code_heads import CodeHeads
from macrec.models.dense_head import CosineConfig, CosineHead, DenseHead
from macrec.quantization.semantic_ids import SemanticIds
from macrec.training import generator_for


@dataclass(frozen=True)
class CausalGeneratorConfig:
    """The Transformer that reads items, and the hidden units of the heads that write codes.

    `dense`: whether there is a head that ranks the items themselves, too (`macrec.models.dense_head`): by their codes
    and contents where it is True, or, given a `CosineConfig`, by their contents alone. `item_vectors`: whether every
    item also has a vector of its own, as in SASRec, which is read beside its IDs where all of these are read, and which
    the first of these two heads ranks by, too. It begins at 0 and is learned from events alone: that of an item without
    any stays 0, except that this head learns that nobody took it.
    """

    transformer: CausalConfig = field(default_factory=CausalConfig)
    head_units: int = 128
    dense: bool | CosineConfig = False
    item_vectors: bool = False


class CausalGenerator(CodeGenerator):
    """A generator over semantic IDs of one or more modalities; weights from the seed.

    `ids`: modality → the IDs of the same N items. `content`: modality → vectors `[N, d]` that are read beside the codes
    of that modality; empty where codes alone are read, as published. The codeword tables are shared between reading and
    writing. Raises ValueError where a head is to rank by contents and there are none.
    """

    normalizations = ("children", "level")
    places = "item"
    codes: Tensor

    def __init__(
        self,
        ids: Mapping[str, SemanticIds],
        content: Mapping[str, Tensor] | None = None,
        config: CausalGeneratorConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config = config or CausalGeneratorConfig()
        self.modalities = tuple(ids)
        width, generator = config.transformer.width, generator_for(seed)
        levels = [table.num_levels for table in ids.values()]
        self.sizes = tuple(size for table in ids.values() for size in table.sizes)
        self.register_buffer(
            "codes",
            torch.from_numpy(np.concatenate([table.codes for table in ids.values()], axis=1)).long(),
            persistent=False,
        )
        """`[N, S]`: the codes of every item, all IDs side by side."""
        self.codebooks = nn.Parameter(torch.randn(len(self.sizes), max(self.sizes), width, generator=generator) * 0.02)
        self.projections = nn.ParameterDict()
        for name, vectors in (content or {}).items():
            self.register_buffer(f"content_{name}", vectors, persistent=False)
            self.projections[name] = nn.Parameter(torch.randn(vectors.shape[1], width, generator=generator) * 0.02)
        self.item_vectors = nn.Parameter(torch.zeros(len(self.codes), width)) if config.item_vectors else None
        self.input_bias = nn.Parameter(torch.zeros(width))
        self.transformer = CausalTransformer(config.transformer, generator)
        self.heads = CodeHeads(levels, max(self.sizes), width, config.head_units, generator)
        self.reads_content = True
        self.dense: DenseHead | CosineHead | None = None
        if isinstance(config.dense, CosineConfig):
            if not content:
                raise ValueError("a head that ranks by contents needs some")
            self.reads_content, self.dense = config.dense.read, CosineHead(config.dense.temperature)
        elif config.dense:
            self.dense = DenseHead(len(self.codes), width, content or {}, generator)

    @property
    def targets(self) -> tuple[str, ...]:
        """What can be asked for after a state: the ID in each modality, then the item itself by a dense head."""
        return (*self.modalities, *([ITEM] if self.dense is not None else []))

    def slots(self, modality: int) -> slice:
        """The slots of the ID of a modality."""
        first = self.heads.first[modality]
        return slice(first, first + self.heads.levels[modality])

    def tables(self) -> list[Tensor]:
        """The codebooks `[K, width]` slot by slot."""
        return [table[:size] for table, size in zip(self.codebooks.unbind(0), self.sizes, strict=True)]

    def words(self, items: Tensor, slots: slice = slice(None)) -> Tensor:
        """The sum `[P, width]` of the codewords of `items` `[P]`, of all `slots` or some."""
        number = torch.arange(len(self.sizes), device=items.device)[slots]
        return embedding_bag(
            self.codes[items, slots] + number * self.codebooks.shape[1], self.codebooks.flatten(0, 1), mode="sum"
        )

    def projected(self, name: str, items: Tensor | slice = slice(None)) -> Tensor:
        """The contents in a modality of `items` `[P]` (default: all) as they are read, `[P, width]`."""
        projected: Tensor = self.get_buffer(f"content_{name}")[items] @ self.projections[name]
        return projected

    def inputs(self, items: Tensor, read: Tensor | None = None) -> Tensor:
        """What enters for `items` `[P]`: `[P, width]`. `read` `[P, M]`: the modalities that are read of each."""
        parts = []
        for number, name in enumerate(self.modalities):
            part = self.words(items, self.slots(number))
            if self.reads_content and name in self.projections:
                part = part + self.projected(name, items)
            parts.append(part if read is None else part * read[:, number, None])
        if self.item_vectors is not None:
            own = self.item_vectors[items]
            parts.append(own if read is None else own * read.all(1)[:, None])
        return torch.stack(parts).sum(0) + self.input_bias

    def states(self, items: Tensor, inside: Tensor, read: Tensor | None = None) -> Tensor:
        """The state `[P, width]` after each of `items` `[P]`, which fill the places `inside` `[B, T]` row by row.

        Row b is a history, oldest item first, and its True places come before all False ones. `read` `[B, M]`: the
        modalities that are read of each history (default: all).
        """
        if read is not None:
            read = read.repeat_interleave(inside.sum(1), 0)
        states: Tensor = self.transformer(self.inputs(items, read), inside)
        return states

    def alone(self, items: Tensor, modalities: Sequence[int]) -> Tensor:
        """The states `[M, R, width]` after a history of one of `items` `[R]` each, of which one modality is read."""
        one = torch.ones((len(modalities) * len(items), 1), dtype=torch.bool, device=items.device)
        views = torch.cat([self.view(len(items), [modality]) for modality in modalities])
        return self.states(items.repeat(len(modalities)), one, views).view(len(modalities), len(items), -1)

    def view(self, rows: int, read: Sequence[int]) -> Tensor:
        """What `inputs` is to read in each of so many rows, `[rows, M]`: the modalities of these numbers."""
        view = torch.zeros(rows, len(self.modalities), device=self.codes.device)
        view[:, list(read)] = 1.0
        return view

    def item_logits(self, states: Tensor) -> Tensor:
        """Logits `[R, N]` of all items after `states` `[R, width]` by the dense head. Raises ValueError without one."""
        if self.dense is None:
            raise ValueError("the generator has no dense head")
        if isinstance(self.dense, CosineHead):
            table = torch.stack([self.projected(name) for name in self.projections]).sum(0)
        else:
            table = self.words(torch.arange(len(self.codes), device=states.device))
            table = table if self.item_vectors is None else table + self.item_vectors
        logits: Tensor = self.dense(states, table)
        return logits

    def losses(
        self,
        states: Tensor,
        items: Tensor,
        tries: Sequence[CodeTrie],
        normalize: Normalize,
        asked: Tensor | None = None,
    ) -> Tensor:
        """-log p of the ID of each of `items` `[R]` in every modality, `[M, R]`, in nats.

        `tries`: of the IDs, in order. `normalize` as in `beam_search`; "vocabulary" is "level" here, as every level has
        tokens of its own. `asked` `[M, R]`: which are computed, the others being 0 (default: all). Among "children" a
        code that is the only one after its prefix is certain, and no head is asked for it: in a catalog of some
        thousand items that is most of the codes after the second.
        """
        slots, codebooks = self.heads.slots(), self.tables()
        found = []
        for number, trie in enumerate(tries):
            nodes = trie.ancestors(trie.leaf[items].long())
            total = states.new_zeros(len(states), dtype=torch.float32)
            asked_here = torch.ones_like(items, dtype=torch.bool) if asked is None else asked[number]
            prefix = None
            for level, slot in enumerate(range(*self.slots(number).indices(len(self.sizes)))):
                uncertain = trie.branches(level, nodes[level]) if normalize == "children" else True
                rows = (asked_here & uncertain).nonzero()[:, 0]
                before = None if prefix is None else prefix[rows]
                logits = slots[slot].logits(states[rows], before, codebooks[slot]).float()
                if normalize == "children":
                    logits = logits.masked_fill(~trie.allowed(level, nodes[level][rows]), -torch.inf)
                losses = cross_entropy(logits, self.codes[items[rows], slot], reduction="none")
                total = total.index_add(0, rows, losses)
                word = embedding(self.codes[items, slot], codebooks[slot])
                prefix = word if prefix is None else prefix + word
            found.append(total)
        return torch.stack(found)

    def item_losses(self, states: Tensor, items: Tensor, among: Tensor | None = None) -> Tensor:
        """-log p of each of `items` `[R]` by the dense head, `[R]`, in nats. Raises ValueError without one.

        `among` `[N]`: the items that compete (default: all), which those asked for must be among.
        """
        logits = self.item_logits(states).float()
        logits = logits if among is None else logits.masked_fill(~among, -torch.inf)
        return cross_entropy(logits, items, reduction="none")

    def scorer(
        self, tables: CodeTables, task: int, samples: Samples, normalize: Normalize
    ) -> CausalScorer | ItemScorer:
        """The path of a task: its sources are read once, then the codes of its target written, or all items scored."""
        asked = tables.tasks[task]
        return (ItemScorer if asked.target == ITEM else CausalScorer)(self, asked, samples)

    @torch.no_grad()
    def with_items(self, ids: Mapping[str, SemanticIds], contents: Mapping[str, Tensor]) -> Self:
        """A copy over a longer catalog; see `CodeGenerator.with_items`. New items' own vectors are 0."""
        other = deepcopy(self)
        codes = np.concatenate([table.codes for table in ids.values()], axis=1)
        new = len(codes) - len(self.codes)
        other.codes = torch.from_numpy(codes).long().to(self.codes.device)
        lengthen(other, contents)
        if other.item_vectors is not None:
            other.item_vectors = nn.Parameter(pad(other.item_vectors, (0, 0, 0, new)))
        if isinstance(other.dense, DenseHead):
            lengthen(other.dense, contents)
            mean = other.dense.bias.mean().expand(new)  # as likely as an item of the catalog is on average
            other.dense.bias = nn.Parameter(torch.cat([other.dense.bias, mean]))
        return other

    def item_states(self, tables: CodeTables, modality: int, batch: int) -> Tensor:
        """The state `[N, width]` after a history of one item, of which one modality is read."""
        items = torch.arange(len(self.codes), device=self.codes.device)
        return torch.cat([self.alone(part, [modality])[0] for part in torch.split(items, batch)])


def lengthen(module: nn.Module, contents: Mapping[str, Tensor]) -> None:
    """Put the `contents` of further items, modality → `[M, d]`, behind those of the known ones."""
    for name, further in contents.items():
        known = module.get_buffer(f"content_{name}")
        setattr(module, f"content_{name}", torch.cat([known, further.to(known.device)]))


def newest_states(model: CausalGenerator, task: CodeTask, samples: Samples) -> Tensor:
    """The states `[B, width]` after B histories, of which the sources of `task` are read.

    Histories are cut to their newest `max_history` items by whoever gives the samples.
    """
    device = model.codes.device
    places, inside = places_between(torch.from_numpy(samples.start), torch.from_numpy(samples.target))
    items = torch.from_numpy(samples.items[places[inside].numpy()]).to(device).long()
    newest = (inside.sum(1).cumsum(0) - 1).to(device)
    read = model.view(len(inside), [model.modalities.index(name) for name in task.sources])
    with torch.no_grad():
        return model.states(items, inside.to(device), read)[newest]


class ItemScorer:
    """The dense head for B histories, as a `BranchingScorer` over IDs of one code each, which is the item's number."""

    def __init__(self, model: CausalGenerator, task: CodeTask, samples: Samples) -> None:
        self.model, self.state = model, newest_states(model, task, samples)

    @torch.no_grad()
    def first(self) -> Tensor:
        """Logits `[B, 1, N]` of the items."""
        return self.model.item_logits(self.state)[:, None]

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """Raises ValueError: there is one code only."""
        raise ValueError(f"an item's number has no level {level}")

    def fork(self) -> Self:
        """The scorer itself, which nothing changes."""
        return self


class CausalScorer:
    """The path of a `task` for B histories, as a `BranchingScorer`: codes in, logits of codes out."""

    def __init__(self, model: CausalGenerator, task: CodeTask, samples: Samples) -> None:
        target = model.modalities.index(task.target)
        self.model, self.slots = model, range(*model.slots(target).indices(len(model.sizes)))
        self.state = newest_states(model, task, samples)
        self.heads, self.codebooks = model.heads.slots(), model.tables()
        self.prefix: Tensor | None = None

    def first(self) -> Tensor:
        """Logits `[B, 1, K_0]` of the codes of level 0."""
        self.prefix = None
        return self._logits(0)

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """Logits `[B, W, K_level]`; see `macrec.generation.beam.Scorer`."""
        chosen = self.codebooks[self.slots[level - 1]][codes]
        if self.prefix is not None:
            prefix = self.prefix.expand(max(len(self.prefix), len(parents)), -1, -1)
            chosen = chosen + prefix[torch.arange(len(prefix), device=parents.device)[:, None], parents]
        self.prefix = chosen
        return self._logits(level)

    def fork(self) -> Self:
        """A scorer at the same step; what is asked of one does not change the other."""
        return copy(self)

    @torch.no_grad()
    def _logits(self, level: int) -> Tensor:
        slot = self.slots[level]
        return self.heads[slot].logits(self.state[:, None], self.prefix, self.codebooks[slot])
