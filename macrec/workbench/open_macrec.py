"""The MACRec of a notebook's parameters: over codebooks of its own, or over semantic IDs from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from macrec.alignment.tasks import code_tasks
from macrec.data.dataset import Dataset
from macrec.quantization.semantic_ids import load_semantic_ids
from macrec.systems import CodebookSettings, Generative, GeneratorSettings, GivenIds, MACRec
from macrec.workbench.session import encode_modalities, require


def open_macrec(
    folder: Path,
    data: Dataset,
    encoders: Mapping[str, str],
    files: Mapping[str, str],
    codebooks: CodebookSettings,
    generator: GeneratorSettings,
    progress: bool = False,
) -> Generative:
    """MACRec over the embeddings of `encoders` ("text" and "image"), or over the IDs in `files`, where any is named.

    Published IDs need neither texts nor pictures: the generator with its alignments learns over the modalities that
    have a file. Raises DataError for a file that cannot be read or lacks an item, and where a modality is missing.
    """
    named = {modality: file for modality, file in files.items() if file}
    if named:
        ids = GivenIds({modality: load_semantic_ids(file) for modality, file in named.items()})
        ids.tables(data)  # an item without an ID is found now rather than after the first minutes
        print(*ids.matched(data), sep="\n")
        return Generative("MACRec over given IDs", folder / "generators", ids, code_tasks(tuple(named)), generator)
    embeddings = encode_modalities(data, text=encoders["text"], image=encoders["image"], progress=progress)
    require(embeddings, "text", "image")
    return MACRec(folder, embeddings, codebooks, generator)
