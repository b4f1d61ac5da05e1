"""What a backbone offers: a network that scores codes, and its training; decoding, states and systems ask no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

from torch import Tensor, nn

from macrec.data.split import Samples
from macrec.generation.batches import CodeTables, TaskSamples
from macrec.generation.beam import Normalize
from macrec.generation.exact import BranchingScorer
from macrec.generation.tasks import CodeTask
from macrec.quantization.semantic_ids import SemanticIds
from macrec.training import Plan, Task


class CodeGenerator(nn.Module, ABC):
    """A network that writes the codes of an item, as `PathDecoder` and `item_states` ask it.

    `normalizations`: what its probabilities can be shares of. `places`: whether it reads one place per "item", with all
    codes at once, or one per "token".
    """

    normalizations: ClassVar[tuple[Normalize, ...]]
    places: ClassVar[Literal["item", "token"]]

    @abstractmethod
    def scorer(self, tables: CodeTables, task: int, samples: Samples, normalize: Normalize) -> BranchingScorer:
        """Scores the codes of the next item of every sample, by the task of this number in `tables`."""

    @abstractmethod
    def item_states(self, tables: CodeTables, modality: int, batch: int) -> Tensor:
        """The state `[N, width]` of every item, of which one modality is read: the states that alignment compares."""

    def with_items(self, ids: Mapping[str, SemanticIds], contents: Mapping[str, Tensor]) -> Self:
        """The same generator over a longer catalog, whose `ids` continue those that it has learned.

        `contents`: modality → what is read beside the codes of the M items behind the known ones, `[M, d]`. A generator
        that knows items by their codes alone is the same.
        """
        return self


class GeneratorTask(Task, Protocol):
    """The training of a generator: a `Task` that also says how long it takes and what the true IDs cost."""

    tables: CodeTables
    measure_with: Callable[[], dict[str, float]] | None

    @property
    def module(self) -> CodeGenerator:
        """The generator."""

    @property
    def samples(self) -> TaskSamples:
        """The training samples of every task."""

    def plan(self, reports: int = 200, measurements: int = 0) -> Plan:
        """The plan of this training, with about so many events and measurements (0: one per epoch)."""

    def loss_of(self, samples: Samples, tasks: Sequence[int]) -> float:
        """The mean loss of the targets of `samples` on the paths of these tasks, module as it is."""


class Config(Protocol):
    """The sizes of a network: any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class Recipe(Config, Protocol):
    """How a generator learns: a frozen dataclass with at least these fields."""

    @property
    def epochs(self) -> int:
        """Passes over the training samples."""

    @property
    def lambda_implicit(self) -> float:
        """The weight of the implicit alignment."""

    @property
    def max_history(self) -> int:
        """How many of the newest items of a history are read."""

    @property
    def seed(self) -> int:
        """Where all its random draws begin."""

    def total_steps(self, tasks: Sequence[CodeTask], train: Samples, items: int) -> int:
        """Optimizer steps of a training on these tasks over these samples and so many items."""


@dataclass(frozen=True)
class Backbone:
    """`name`: the value of the parameter `backbone`; `about`: one line.

    `config` and `recipe`: the classes of its settings. `training` makes a fresh generator and its training, from
    `tables`, the training samples, the settings, and the contents of each modality `[N, d]` where these are read.
    `choices`: parameter → the values that it knows. `prompt`: tokens that begin the tasks across modalities; `joint`:
    whether reading all modalities at once costs no more than reading one; `reads_content`: whether it can read contents
    beside the codes; `dense`: whether it can have a head that ranks the items themselves, if its `config` says so in a
    field of this name.
    """

    name: str
    about: str
    config: type
    recipe: type
    training: Callable[[CodeTables, Samples, Any, Any, Mapping[str, Tensor]], GeneratorTask]
    choices: Mapping[str, tuple[str, ...]]
    prompt: int = 0
    joint: bool = False
    reads_content: bool = False
    dense: bool = False
