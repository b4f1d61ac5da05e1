"""What systems are made from, by a notebook's parameters: embeddings of the items, semantic IDs from files, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.data.split import Split
from macrec.encoders import Embeddings
from macrec.encoders.collaborative import COLLABORATIVE, collaborative_vectors
from macrec.errors import DataError, say_left_out
from macrec.experiments.modalities import encode_modalities
from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids
from macrec.systems.registry import Context
from macrec.systems.settings import Parameters
from macrec.tokenizers import GivenIds
from macrec.tokenizers.kinds import check_tokenizer
from macrec.tokenizers.kinds.kind import BETWEEN

TOKENIZING = ("tokenizer", "quantizer", "conflicts", "levels", "codewords", *BETWEEN)
"""Parameters that say how semantic IDs are made."""


def open_context(
    folder: Path,
    data: Dataset,
    split: Split,
    parameters: Parameters,
    encoders: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    progress: bool = False,
    least: int = 0,
) -> Context:
    """The context of systems over the embeddings of `encoders`, or over the IDs in `files` where any is named.

    `encoders` (`modality_specs`) and `files`: modality → a name. Published IDs need neither texts nor pictures: systems
    are over the modalities that have a file. With `parameters.collaborative` what people do is one more modality in
    either case, and may be the only one. `progress` shows a bar while items are encoded. Raises DataError for a file
    that cannot be read or lacks an item, NotApplicable for fewer than `least` modalities.
    """
    settings = parameters.settings(data.num_items)
    embeddings: dict[str, Embeddings] = {}
    if given := given_ids(files or {}, data, split):
        say_idle(BETWEEN if parameters.collaborative else TOKENIZING, parameters, "the semantic IDs come from files")
    elif encoders or not parameters.collaborative:
        embeddings = encode_modalities(data, encoders, progress, least - parameters.collaborative)
    if parameters.collaborative:
        if COLLABORATIVE in embeddings:
            what = f'the modality "{COLLABORATIVE}" is there twice'
            raise DataError(what, field="modalities", fix="give another name, or set collaborative=False")
        embeddings |= {COLLABORATIVE: collaborative_vectors(split, data.num_items)}
    if not parameters.collaborative:
        say_idle(("lambda_cf",), parameters, "collaborative=False gives no vectors to draw to")
    if embeddings:
        name = parameters.tokenizer
        say_idle(check_tokenizer(name).idle, parameters, f"the tokenizer {name} does not use them")
    return Context(folder, data, split, embeddings, settings, given)


def say_idle(names: Sequence[str], parameters: Parameters, why: str) -> None:
    """Print which of the parameters `names` were set to other than they are by default, and change nothing."""
    if idle := [name for name in names if getattr(parameters, name) != getattr(Parameters, name)]:
        say_left_out(", ".join(idle), why)


def given_ids(files: Mapping[str, str], data: Dataset, split: Split) -> dict[str, SemanticIds]:
    """The semantic IDs in the `files` that are named, modality → IDs; prints by what key items were matched.

    Raises DataError for an item without an ID.
    """
    ids = {modality: load_semantic_ids(file) for modality, file in files.items() if file}
    source = GivenIds(ids)
    source.tables(data, split)  # an item without an ID is found now rather than after the first minutes
    for sentence in source.matched(data):
        print(sentence)
    return ids
