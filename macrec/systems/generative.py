"""What all generative recommenders share: semantic IDs for the catalog, then a generator that writes the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset
from macrec.data.ranking import Ranking
from macrec.data.split import Samples, Split, seen_items
from macrec.encoders.embeddings import Embeddings
from macrec.encoders.further import like
from macrec.encoders.principal import principal_components
from macrec.evaluation.system import learned
from macrec.evaluation.validation import validation_metrics, validation_users
from macrec.generation.backbones import Backbone, Config, GeneratorTask, Recipe, backbone_of
from macrec.generation.batches import CodeTables
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.generation.fusion_weights import WEIGHING_USERS, tuned_weights
from macrec.generation.states import StateSnapshots, item_states
from macrec.generation.tasks import CodeTask, code_tasks
from macrec.generation.training import GeneratorRecipe
from macrec.models.dense_head import CosineConfig
from macrec.models.t5 import T5Config
from macrec.quantization.appended import check_continued
from macrec.quantization.semantic_ids import SemanticIds
from macrec.tokenizers.ids import GivenIds, Ids
from macrec.tokenizers.tokenizer import digest as vectors_digest
from macrec.tokenizers.tokenizer import digest_of_rows
from macrec.training import VALIDATION_LOSS, Event, best_device, train


@dataclass(frozen=True)
class GeneratorSettings:
    """The settings of a generator over given semantic IDs: network, training and decoding.

    `config` and `recipe` are those of one backbone (`macrec.generation.backbones`). `validate_users`: how many users
    the measurements during training use; `measurements`: how many there are, 0 being one after every epoch. `content`:
    so many principal components of the contents are read beside the codes, where the backbone can.
    """

    config: Config = field(default_factory=T5Config)
    recipe: Recipe = field(default_factory=GeneratorRecipe)
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    validate_users: int = 500
    measurements: int = 0
    content: int = 0

    @property
    def backbone(self) -> Backbone:
        """What the generator is built on."""
        return backbone_of(self.config, self.recipe)

    def tasks(
        self, modalities: Sequence[str], sequences: bool = True, items: bool = True, joint: bool = False
    ) -> tuple[CodeTask, ...]:
        """The tasks within these modalities, and across them for `sequences` and for single `items`.

        With `joint`, and on a backbone where that costs nothing, all modalities are also read at once.
        """
        backbone = self.backbone
        dense = backbone.dense and bool(getattr(self.config, "dense", False))
        return code_tasks(modalities, sequences, items, backbone.prompt, joint and backbone.joint, dense)

    def with_seed(self, seed: int) -> GeneratorSettings:
        """The same from another random start."""
        return replace(self, recipe=replace(self.recipe, seed=seed))

    def with_dense_head(self, head: bool | CosineConfig = True) -> GeneratorSettings:
        """The same with a head that ranks the items themselves. Raises ValueError where the backbone has none."""
        if not self.backbone.dense:
            raise ValueError(f"the backbone {self.backbone.name} has no dense head")
        return replace(self, config=replace(cast(Any, self.config), dense=head))

    def without_implicit(self) -> GeneratorSettings:
        """The same without implicit alignment."""
        return replace(self, recipe=replace(self.recipe, lambda_implicit=0.0))


class Generative:
    """A generative recommender: `ids`, the `tasks` its generator learns, and the settings of that generator.

    A `System`. What it learns lies in `folder`, one folder per training, and is found again. `embeddings`: the contents
    that the generator reads beside the codes, where its settings say so. `measured_paths`: the tasks, by name, that are
    decoded to measure it while it learns (empty: the usual ones).
    """

    measured_paths: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        folder: Path,
        ids: Ids,
        tasks: Sequence[CodeTask],
        settings: GeneratorSettings,
        embeddings: Mapping[str, Embeddings] | None = None,
    ) -> None:
        self.name, self.folder, self.ids, self.tasks, self.settings = name, folder, ids, tuple(tasks), settings
        used = {name for task in self.tasks for name in (*task.sources, task.target)} if settings.content else set()
        self.embeddings = {name: vectors for name, vectors in (embeddings or {}).items() if name in used}
        self._decoder: PathDecoder | None = None
        self._training: GeneratorTask | None = None
        self._states: StateSnapshots | None = None
        self._read: Mapping[str, Embeddings] = {}
        self.ends: tuple[Event, ...] = ()
        """The newest event of the generator's training, with its effort; empty before the first."""

    def fit(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """Both stages: first the events of the codebooks, then those of the generator."""
        yield from self.learn_ids(data, split)
        yield from self.learn_generator(data, split)

    def learn_ids(self, data: Dataset, split: Split) -> Iterator[Event]:
        """The first stage."""
        return self.ids.learn(data, split)

    def learn_generator(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """The second stage, over the IDs that the first has given."""
        settings = self.settings
        training = self.new_training(data, split)
        asked = self._asked(split)
        # Measured in one way however it will be asked, so that another way of asking finds the same training.
        usual = DecodingOptions(paths=self.measured_paths, max_history=settings.decoding.max_history)
        if len(asked):
            usual_decoder = PathDecoder(training.module, training.tables, usual)
            training.measure_with = partial(_measured, training, usual_decoder, asked)
        plan = training.plan(measurements=settings.measurements)
        checkpoint = self.checkpoint(data, split, training.tables.ids)
        states = StateSnapshots(checkpoint.folder / "states", partial(item_states, training.module, training.tables))
        decoder = PathDecoder(training.module, training.tables, settings.decoding)
        self._training, self._states, self._decoder = training, states, decoder
        for event in train(states.during(training, plan.steps), plan, checkpoint):
            self.ends = (event,)
            yield event
        weighted = len(decoder.paths) > 1 and settings.decoding.fusion != "published"
        if weighted and len(asked) and settings.decoding.weights is None:
            more = validation_users(split, WEIGHING_USERS, settings.recipe.seed)
            decoder.options = replace(settings.decoding, weights=tuned_weights(decoder, more))

    def contents(self, data: Dataset, split: Split) -> Mapping[str, Embeddings]:
        """The vectors that are read beside the codes, by modality; none where the settings say so."""
        return self.embeddings

    def new_training(self, data: Dataset, split: Split) -> GeneratorTask:
        """A fresh generator and its samples, over the IDs that the first stage has given."""
        tables = CodeTables(self.ids.tables(data, split), self.tasks, best_device())
        seen = seen_items(split.train, data.num_items)
        vectors = {name: table.learned_from(seen) for name, table in self.contents(data, split).items()}
        self._read = vectors
        contents = {
            name: torch.from_numpy(principal_components(vectors[name], self.settings.content))
            for name in tables.modalities
            if name in vectors
        }
        settings, train = self.settings, split.train.newest(self.settings.decoding.max_history)
        return settings.backbone.training(tables, train, settings.config, settings.recipe, contents)

    def steps(self, data: Dataset, split: Split) -> int:
        """The number of optimizer steps of the second stage, computed without training."""
        items = int(seen_items(split.train, data.num_items).sum())
        return self.settings.recipe.total_steps(self.tasks, split.train, items)

    def with_steps(self, steps: int) -> Self:
        """The same system, not yet trained, with so many steps of the second stage instead of epochs."""
        other = copy(self)
        other.settings = replace(self.settings, recipe=replace(self.settings.recipe, steps=steps))
        other.ends, other._training, other._states, other._decoder = (), None, None, None
        return other

    def with_items(self, ids: Mapping[str, SemanticIds], further: Mapping[str, Embeddings]) -> Self:
        """The same system, trained, over a longer catalog: the new items can be recommended, the old ones as before.

        `ids` continue those that it has learned, modality by modality, and `further` are the vectors of the M new items
        behind the known ones (`further_vectors`). Nothing is learned. Raises DataError for IDs that move one that was
        learned, or are of other codebooks.
        """
        decoder, other = self.decoder, copy(self)
        own = {name: ids[name] for name in decoder.tables.modalities}
        for name, table in own.items():
            check_continued(decoder.tables.ids[name], table)
        contents = {
            name: torch.from_numpy(
                principal_components(vectors, self.settings.content, like(vectors, further[name].values))
            )
            for name, vectors in self._read.items()
            if name in own
        }
        tables = CodeTables(own, self.tasks, best_device())
        other.ids, other._training, other._states = GivenIds(own), None, None
        other._decoder = PathDecoder(decoder.model.with_items(own, contents), tables, decoder.options)
        return other

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items of every history, all paths together."""
        return self.decoder.recommend(samples, k, mask_seen)

    @property
    def decoder(self) -> PathDecoder:
        """The generator with all that decoding needs. Raises RuntimeError before it is trained."""
        return learned(self._decoder, self.name)

    @property
    def training(self) -> GeneratorTask:
        """The second stage's module and its samples. Raises RuntimeError before it has begun."""
        if self._training is None:
            raise RuntimeError(f"{self.name} is not trained yet: call fit first")
        return self._training

    def states(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """Moment of the training → modality → the states of every item, `[N, width]`; see `item_states`.

        "after" are those of the weights as they are now. Raises RuntimeError before the generator has begun to learn.
        """
        snapshots = learned(self._states, self.name)
        snapshots.after()
        return snapshots.load()

    @property
    def about(self) -> dict[str, Any]:
        """The tasks and all settings of the generator as plain values."""
        return {
            "tasks": [asdict(task) for task in self.tasks],
            "settings": json.loads(json.dumps(asdict(self.settings))),
        }

    def checkpoint(self, data: Dataset, split: Split, ids: Mapping[str, SemanticIds]) -> Checkpoint:
        """Where the second stage keeps its training over the semantic `ids` that the first gave, once it has begun."""
        longest = self.settings.decoding.max_history
        read = (split.train.newest(longest), self._asked(split).newest(longest))  # learned from, and measured on
        identity = {
            "dataset": data.fingerprint,
            "ids": {name: digest(table) for name, table in ids.items()},
            "samples": [digest_of_samples(samples) for samples in read],
            "max_history": longest,
            "content": {name: vectors_digest(vectors) for name, vectors in self.contents(data, split).items()},
            "tasks": self.about["tasks"],
            "settings": {name: value for name, value in self.about["settings"].items() if name != "decoding"},
        }
        if not (seen := seen_items(split.train, data.num_items)).all():
            identity["learned_from"] = digest_of_rows(seen)
        return Checkpoint.named(self.folder, identity)

    def _asked(self, split: Split) -> Samples:
        """The users that the second stage is measured on while it learns."""
        return validation_users(split, self.settings.validate_users, self.settings.recipe.seed)


def _measured(training: GeneratorTask, decoder: PathDecoder, asked: Samples) -> dict[str, float]:
    """The metrics of the recommendations of `decoder` for `asked`, and the loss of the true IDs."""
    read = asked.newest(decoder.options.max_history)
    return validation_metrics(decoder.recommend, asked) | {VALIDATION_LOSS: training.loss_of(read, decoder.paths)}


def digest(ids: SemanticIds) -> str:
    """A digest of a table's codes and of what its codebooks are called."""
    hashed = hashlib.blake2b(json.dumps([ids.codebooks, ids.sizes]).encode(), digest_size=8)
    hashed.update(np.ascontiguousarray(ids.codes, np.int32).data)
    return hashed.hexdigest()


def digest_of_samples(samples: Samples) -> str:
    """A digest of which samples of a dataset these are."""
    hashed = hashlib.blake2b(digest_size=8)
    for column in (samples.user, samples.start, samples.target):
        hashed.update(np.ascontiguousarray(column).data)
    return hashed.hexdigest()
