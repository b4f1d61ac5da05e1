"""The generator of a notebook's parameters: over codebooks of its own, or over semantic IDs from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.errors import NotApplicable
from macrec.experiments.session import encode_modalities
from macrec.generation.tasks import code_tasks
from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids
from macrec.systems import TIGER, Generative, GeneratorSettings, MACRec
from macrec.tokenizers import CodebookSettings, GivenIds

Given = Mapping[str, SemanticIds]
"""Modality → semantic IDs that somebody has made."""


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

    Where there is one modality, it is what MACRec then comes to: TIGER. Published IDs need neither texts nor pictures:
    the generator with its alignments learns over the modalities that have a file. Raises DataError for a file that
    cannot be read or lacks an item, and NotApplicable for a dataset with neither contents nor files.
    """
    embeddings, given = open_sources(data, encoders, files, progress)
    if given:
        return over_given(folder, given, generator)
    if not embeddings:
        what = "its items have neither texts nor pictures to make semantic IDs of"
        fix = "add them, or give semantic IDs as text_ids=FILE or image_ids=FILE"
        raise NotApplicable(what, file=data.name, fix=fix)
    return over_embeddings(folder, embeddings, codebooks, generator)


def open_sources(
    data: Dataset, encoders: Mapping[str, str], files: Mapping[str, str], progress: bool = False
) -> tuple[dict[str, Embeddings], dict[str, SemanticIds]]:
    """What semantic IDs can be had from: embeddings by modality, or the IDs in `files` where any is named, never both.

    Neither where the items have no contents and no file is named.
    """
    if given := given_ids(files, data):
        return {}, given
    return encode_modalities(data, text=encoders["text"], image=encoders["image"], progress=progress, least=0), {}


def over_embeddings(
    folder: Path, embeddings: Mapping[str, Embeddings], codebooks: CodebookSettings, generator: GeneratorSettings
) -> Generative:
    """MACRec, or TIGER where there is a single modality."""
    if len(embeddings) > 1:
        return MACRec(folder, embeddings, codebooks, generator)
    return TIGER(folder, embeddings, next(iter(embeddings)), codebooks, generator)


def given_ids(files: Mapping[str, str], data: Dataset) -> dict[str, SemanticIds]:
    """The semantic IDs in the `files` that are named, modality → IDs; prints by what key items were matched.

    Raises DataError for an item without an ID.
    """
    ids = {modality: load_semantic_ids(file) for modality, file in files.items() if file}
    source = GivenIds(ids)
    source.tables(data)  # an item without an ID is found now rather than after the first minutes
    for sentence in source.matched(data):
        print(sentence)
    return ids


def over_given(folder: Path, ids: Given, generator: GeneratorSettings) -> Generative:
    """The generator over IDs that somebody has made: MACRec's over several modalities, TIGER's over one."""
    modalities = tuple(ids)
    name = "MACRec" if len(ids) > 1 else f"TIGER ({modalities[0]})"
    settings = generator if len(ids) > 1 else generator.without_implicit()
    tasks = code_tasks(modalities)
    return Generative(f"{name} over given IDs", folder / "generators", GivenIds(ids), tasks, settings)
