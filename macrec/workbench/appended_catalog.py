"""The folder that `macrec append` writes: versions of the semantic IDs of a run's generators, and the new items.

`manifest.json`; per version n from 2 on `items.vn.parquet`, its new items with their pictures, `MODALITY.vn.npy`, their
vectors, and in a folder per system `MODALITY.vn.parquet`, the IDs of all items. The folder is written as a whole.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from macrec.data.appended import stacked
from macrec.data.dataset import ITEM_COLUMNS, Dataset
from macrec.data.formats.parquet_save import encoded
from macrec.data.histories import Histories
from macrec.data.images import NoImages, PackedImages
from macrec.data.reading.parquet_table import read_table
from macrec.encoders import Embeddings
from macrec.encoders.embeddings import open_npy
from macrec.encoders.encoder import GivenVectors, digest_path
from macrec.encoders.further import like
from macrec.errors import DataError
from macrec.experiments.modalities import encoder_for
from macrec.files import replacing
from macrec.quantization.manifest import Manifest, codebooks_digest, digest_of
from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids
from macrec.systems.generative import Generative
from macrec.terms import codebook_prefix
from macrec.tokenizers.appended import tokenizers_of
from macrec.tokenizers.tokenizer import Tokenizer
from macrec.tokenizers.tokenizer import digest as vectors_digest
from macrec.workbench.trained_systems import Opened

Tables = dict[str, dict[str, SemanticIds]]
"""System → modality → IDs."""


@dataclass(frozen=True, eq=False)
class TrainedCatalog:
    """The generators of a run, loaded, and the tokenizers that gave their IDs: system → modality → tokenizer."""

    opened: Opened
    systems: dict[str, Generative]
    tokenizers: dict[str, dict[str, Tokenizer]]

    @classmethod
    def of(cls, opened: Opened, systems: dict[str, Generative]) -> TrainedCatalog:
        """Raises DataError for a generator whose IDs are not those of codebooks."""
        data, split = opened.context.data, opened.context.split
        return cls(opened, systems, {name: tokenizers_of(system.ids, data, split) for name, system in systems.items()})

    @property
    def tables(self) -> Tables:
        """The IDs that the generators have learned."""
        return {name: dict(system.decoder.tables.ids) for name, system in self.systems.items()}

    def made_from(self) -> dict[str, Any]:
        """What the manifest names: data, encoders and codebooks."""
        encoders, codebooks = {}, {}
        for name, vectors in self.opened.context.embeddings.items():
            spec = self.opened.specs.get(name, "")
            encoder = encoder_for(spec, name) if spec else None
            settings = {} if encoder is None or isinstance(encoder, GivenVectors) else dict(encoder.settings)
            encoders[name] = [vectors.encoder, digest_of(settings), vectors_digest(vectors)]
        for name, tokenizers in self.tokenizers.items():
            codebooks[name] = {part: codebooks_digest(one.codebooks()[part]) for part, one in tokenizers.items()}
        return {"data": self.opened.context.data.fingerprint, "encoders": encoders, "codebooks": codebooks}


@dataclass(frozen=True, eq=False)
class AppendedCatalog:
    """What lies in the folder at its newest version: the manifest, the IDs of all items, and the M items that were
    appended with their vectors by modality.
    """

    manifest: Manifest
    tables: Tables
    items: Dataset
    vectors: dict[str, Embeddings]

    @classmethod
    def first(cls, trained: TrainedCatalog) -> AppendedCatalog:
        """Version 1: nothing is appended yet."""
        context = trained.opened.context
        histories, users = Histories(np.zeros(1, np.int64), np.zeros(0, np.int32)), pl.Series([], dtype=pl.String)
        table = context.data.items.select(list(ITEM_COLUMNS)).clear()
        none = Dataset("new items", table, histories, users, NoImages(0))
        empty = {name: like(known, known.values[:0]) for name, known in context.embeddings.items()}
        manifest = Manifest.of(trained.made_from(), flat(trained.tables))
        return cls(manifest, trained.tables, none, empty)

    @classmethod
    def load(cls, folder: Path, trained: TrainedCatalog) -> AppendedCatalog:
        """Read the newest version. Raises DataError where anything is not what the manifest names, where the manifest
        is damaged, and where it is that of another run.
        """
        manifest = Manifest.load(folder)
        manifest.check_made_from(trained.made_from(), folder)
        catalog, number = cls.first(trained), manifest.newest.number
        items, vectors = catalog.items, catalog.vectors
        for version in manifest.versions[1:]:
            for name, digest in version.files.items():
                if not (folder / name).is_file() or digest_path(folder / name) != digest:
                    what, fix = "the file is not the one that the manifest names", "restore it"
                    raise DataError(what, file=folder / name, fix=f"{fix}, or append again into another folder")
            further = read_items(folder / f"items.v{version.number}.parquet", items)
            items = stacked(items, further)
            for name, known in vectors.items():
                values = np.array(open_npy(folder / vectors_file(name, version.number)))
                vectors[name] = like(known, np.concatenate([known.values, values]))
        tables = {
            system: {part: load_semantic_ids(folder / table_file(system, part, number)) for part in of_system}
            for system, of_system in catalog.tables.items()
        } if number > 1 else catalog.tables  # fmt: skip
        manifest.check_older(flat(tables), number, folder)
        return replace(catalog, manifest=manifest, tables=tables, items=items, vectors=vectors)

    def with_items(self, items: Dataset, vectors: Mapping[str, Embeddings], tables: Tables) -> AppendedCatalog:
        """The next version; its manifest names the files once they are written."""
        longer = {
            name: like(known, np.concatenate([known.values, vectors[name].values]))
            for name, known in self.vectors.items()
        }
        return replace(self, tables=tables, items=stacked(self.items, items), vectors=longer)

    def save(self, folder: Path, before: Path | None, new: Dataset) -> AppendedCatalog:
        """Write the folder, all or nothing: the versions in the folder `before`, and one more of the last items, `new`.

        Returns the catalog with the new manifest.
        """
        number = self.manifest.newest.number + 1
        at = self.items.num_items - new.num_items
        with replacing(folder) as temporary:
            if before is None:
                temporary.mkdir()
            else:
                shutil.copytree(before, temporary)
            files = [f"items.v{number}.parquet"]
            item_frame(new).write_parquet(temporary / files[0])
            for name, vectors in self.vectors.items():
                files.append(vectors_file(name, number))
                np.save(temporary / files[-1], vectors.values[at:])
            for system, tables in self.tables.items():
                for name, table in tables.items():
                    files.append(table_file(system, name, number))
                    (temporary / files[-1]).parent.mkdir(exist_ok=True)
                    table.save(temporary / files[-1])
            digests = {name: digest_path(temporary / name) for name in files}
            manifest = self.manifest.with_version(flat(self.tables), digests)
            manifest.save(temporary)
        return replace(self, manifest=manifest)


def flat(tables: Tables) -> dict[str, SemanticIds]:
    """The tables by the names that the manifest has for them: SYSTEM/MODALITY."""
    return {f"{system}/{name}": table for system, of_system in tables.items() for name, table in of_system.items()}


def table_file(system: str, modality: str, number: int) -> str:
    """Where the IDs of a system lie: `tiger-text/text.v2.parquet`."""
    return f"{re.sub('[^a-z0-9]+', '-', system.lower()).strip('-')}/{codebook_prefix(modality)}.v{number}.parquet"


def vectors_file(modality: str, number: int) -> str:
    """Where the vectors of new items lie."""
    return f"{codebook_prefix(modality)}.v{number}.npy"


def item_frame(items: Dataset) -> pl.DataFrame:
    """The items, their pictures in a column of bytes: those of the files where there are such."""
    present = items.images.present
    pictures = [encoded(items.images, row) if present[row] else None for row in range(items.num_items)]
    return items.items.select(list(ITEM_COLUMNS)).with_columns(pl.Series("picture", pictures, pl.Binary))


def read_items(file: Path, like_those: Dataset) -> Dataset:
    """What `item_frame` was written to a file."""
    table = read_table(file)
    images = PackedImages(file, table["picture"], table["item_id"].to_list())
    return replace(like_those, items=table.select(list(ITEM_COLUMNS)), images=images)
