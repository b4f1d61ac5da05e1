"""A tokenizer without a network: codebooks fitted to the standardized vectors of a catalog, modality by modality."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.evaluation.system import learned
from macrec.quantization.measured import measured_health
from macrec.quantization.semantic_ids import SemanticIds, level_names
from macrec.terms import codebook_prefix
from macrec.tokenizers.tokenizer import Tokenizer
from macrec.training import Event, best_device


class Fitted(Protocol):
    """A quantizer that is fitted to fixed vectors rather than trained."""

    @property
    def codebooks(self) -> list[Tensor]:
        """Codewords `[K_l, d]` per level, whose sums are decoded vectors."""

    def fit(self, x: Tensor) -> Self:
        """Fit to `x` `[N, d]`."""

    def encode(self, x: Tensor) -> Tensor:
        """Codes `[n, L]` int32."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """`x` `[n, d]` encoded and decoded."""

    def tensors(self) -> list[Tensor]:
        """What was fitted."""

    def restore(self, tensors: Sequence[Tensor]) -> Self:
        """Be as fitted as the one that gave the tensors."""


Which = Literal["learnable", "present", "all"]
"""Which rows of a modality: those that are learned from, those that have it, or all."""


class FittedTokenizer(Tokenizer):
    """Fits one quantizer per modality to its present items; an absent item counts as the mean, a vector of zeros.

    Those that are not learned from (`Embeddings.seen`) take no part in what is fitted, nor in its events.
    """

    _fitted: dict[str, Fitted] | None = None

    @abstractmethod
    def quantizer(self, sizes: tuple[int, ...]) -> Fitted:
        """A quantizer with so many codewords per level, not yet fitted."""

    def decides(self) -> dict[str, Any]:
        """The tokenizer with its options, the codewords per level and the seed."""
        settings = self.settings
        sizes = list(settings.config.rqvae.sizes)
        return {"tokenizer": settings.tokenizer, "sizes": sizes, "seed": settings.recipe.seed}

    def events(self) -> Generator[Event, None, None]:
        """Fit the modalities one after the other, an event each; or read what was fitted before."""
        if self.checkpoint.finished():
            yield from self._read()
            return
        with self.checkpoint.held():
            if self.checkpoint.finished():  # by another process in the meantime
                yield from self._read()
                return
            begin, cpu, fitted, events = time.perf_counter(), time.process_time(), dict[str, Fitted](), list[Event]()
            for name in self.embeddings:
                x = self._vectors(name, "learnable")
                if not len(x):
                    raise DataError(f"no item has the modality {name}", field="modality", fix="leave it out")
                sizes = self.settings.config.rqvae.sizes
                fitted[name] = self.quantizer(tuple(min(size, len(x)) for size in sizes)).fit(x)
                self._fitted = fitted
                error = self._error(name, "learnable")
                measured, usage = measured_health({name: self._ids(name, "learnable")})
                events.append(
                    Event(
                        len(events) + 1, len(self.embeddings), time.perf_counter() - begin,
                        {"loss": error, f"reconstruction/{name}": error}, measured, usage, len(x),
                        time.process_time() - cpu,
                    )
                )  # fmt: skip
                yield events[-1]
            tensors = {f"{name}.{n}": x for name, one in fitted.items() for n, x in enumerate(one.tensors())}
            told = [{key: getattr(event, key) for key in EVENT_FIELDS} for event in events]
            self.checkpoint.save(len(events), tensors, {"finished": True, "events": told})

    def _read(self) -> list[Event]:
        tensors, state = learned(self.checkpoint.load(), "the tokenizer")
        fitted: dict[str, Fitted] = {}
        for name in self.embeddings:
            count = sum(key.rpartition(".")[0] == name for key in tensors)
            kept = [tensors[f"{name}.{number}"].to(best_device()) for number in range(count)]
            fitted[name] = self.quantizer(self.settings.config.rqvae.sizes).restore(kept)
        self._fitted = fitted
        return [Event(steps=len(state["events"]), **event) for event in state["events"]]

    def ids(self, absent: bool = False) -> dict[str, SemanticIds]:
        """The nearest codewords of every modality. Raises RuntimeError before anything is fitted."""
        which: Which = "all" if absent else "present"
        return {name: self._ids(name, which) for name in learned(self._fitted, "the tokenizer")}

    def latents(self, absent: bool = False) -> dict[str, NDArray[np.float32]]:
        """The standardized vectors themselves."""
        which: Which = "all" if absent else "present"
        return {name: self._vectors(name, which).cpu().numpy() for name in self.embeddings}

    def quantize(self, modality: str, vectors: Embeddings) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The nearest codewords of further vectors, and the standardized vectors."""
        x = torch.from_numpy(vectors.standardized()).to(best_device())
        codes = learned(self._fitted, "the tokenizer")[modality].encode(x)
        return codes.cpu().numpy(), x.cpu().numpy()

    def codebooks(self) -> dict[str, list[NDArray[np.float32]]]:
        """The codebooks; where few distinct vectors gave fewer codewords, codewords come again to fill their number."""
        sizes = self.settings.config.rqvae.sizes
        return {
            name: [np.resize(book.cpu().numpy(), (size, book.shape[1])) for book, size in
                   zip(one.codebooks, sizes, strict=True)]
            for name, one in learned(self._fitted, "the tokenizer").items()
        }  # fmt: skip

    def reconstruction(self) -> dict[str, float]:
        """The mean squared error of the decoded codes, by modality."""
        return {name: self._error(name) for name in learned(self._fitted, "the tokenizer")}

    def _error(self, name: str, which: Which = "present") -> float:
        x, one = self._vectors(name, which), learned(self._fitted, "the tokenizer")[name]
        return float((one.reconstruct(x) - x).square().double().mean())

    def _ids(self, name: str, which: Which) -> SemanticIds:
        codes = learned(self._fitted, "the tokenizer")[name].encode(self._vectors(name, which)).cpu().numpy()
        names = tuple(f"{codebook_prefix(name)}_{letter}" for letter in level_names(codes.shape[1]))
        chosen = self.data.items["item_id"].filter(self._rows(name, which))
        return SemanticIds.from_codes(codes, names, self.settings.config.rqvae.sizes, chosen)

    def _vectors(self, name: str, which: Which) -> Tensor:
        rows = np.flatnonzero(self._rows(name, which))
        return torch.from_numpy(self.embeddings[name].standardized(rows)).to(best_device())

    def _rows(self, name: str, which: Which) -> NDArray[np.bool_]:
        embeddings = self.embeddings[name]
        if which == "all":
            return np.ones(len(embeddings), bool)
        return embeddings.learnable if which == "learnable" else embeddings.present


EVENT_FIELDS = ("step", "seconds", "losses", "measured", "samples", "cpu_seconds")
"""What is kept of an event."""
