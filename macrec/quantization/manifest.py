"""The manifest of versioned tables of semantic IDs: what they were made from, and a digest of every version.

A version continues the one before it: its tables begin with the same rows. Version 1 is the catalog that codebooks were
learned on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError, unseen
from macrec.files import write_json
from macrec.quantization.semantic_ids import SemanticIds

FILE = "manifest.json"
FORMAT = 1

Tables = Mapping[str, SemanticIds]
"""Name of a table → IDs."""


@dataclass(frozen=True)
class Version:
    """One version: its `number`, the digest of its `parent` ("" for the first), how many `items` it has in all, the
    digest of the IDs in each of its tables (`codes`), and that of every file that came with it (`files`).
    """

    number: int
    parent: str
    items: int
    codes: dict[str, str]
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """A digest of all that, and so of all versions before."""
        return digest_of(asdict(self))


@dataclass(frozen=True)
class Manifest:
    """`made_from`: plain values that say which data, encoders and codebooks IDs are of; `versions`, oldest first."""

    made_from: dict[str, Any]
    versions: tuple[Version, ...]

    @classmethod
    def of(cls, made_from: Mapping[str, Any], tables: Tables) -> Self:
        """The manifest of version 1: the IDs of the catalog itself."""
        return cls(plain(made_from), (Version(1, "", count_of(tables), codes_of(tables), {}),))

    @property
    def newest(self) -> Version:
        """The last version."""
        return self.versions[-1]

    def with_version(self, tables: Tables, files: Mapping[str, str]) -> Manifest:
        """With one version more, of longer `tables`. Raises DataError where these change an ID of an older one."""
        self.check_older(tables)
        version = Version(self.newest.number + 1, self.newest.digest, count_of(tables), codes_of(tables), dict(files))
        return replace(self, versions=(*self.versions, version))

    def save(self, folder: Path) -> None:
        """Write `manifest.json` into a folder."""
        content = {"format": FORMAT, "made_from": self.made_from, "versions": [asdict(each) for each in self.versions]}
        write_json(folder / FILE, content | {"digest": digest_of(content)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `manifest.json` of a folder. Raises DataError where it is missing or damaged."""
        file = folder / FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            digest = content.pop("digest")
            versions = tuple(Version(**each) for each in content["versions"])
            parents = ["", *(version.digest for version in versions[:-1])]
            if content["format"] != FORMAT or digest != digest_of(content) or not versions:
                raise ValueError("its digest is another")
            for number, (version, parent) in enumerate(zip(versions, parents, strict=True), 1):
                if (version.number, version.parent) != (number, parent):
                    raise ValueError(f"version {number} does not continue the one before")
            return cls(dict(content["made_from"]), versions)
        except FileNotFoundError:
            what, fix = "the folder holds no versions of semantic IDs", "name one that macrec append has written"
            raise DataError(what, file=file, fix=fix) from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what, fix = "the manifest is damaged", "restore it, or append again into another folder"
            raise unseen(error, file) or DataError(f"{what} ({error!s:.80})", file=file, fix=fix) from error

    def check_made_from(self, made_from: Mapping[str, Any], folder: Path) -> None:
        """Raise DataError, naming what differs, unless the IDs are of these data, encoders and codebooks."""
        mine, given = self.made_from, plain(made_from)
        differing = sorted(name for name in mine.keys() | given.keys() if mine.get(name) != given.get(name))
        if differing:
            what = f"these semantic IDs belong to another run: its {' and '.join(differing)} differ"
            raise DataError(what, file=folder / FILE, fix="name the run that they were appended to, or another folder")

    def check_older(self, tables: Tables, number: int | None = None, folder: Path | None = None) -> None:
        """Raise DataError where `tables`, of version `number` (default: of one to come), are not those of the manifest.

        An ID of an earlier version that is another is said to have moved.
        """
        file = None if folder is None else folder / FILE
        fix = "restore the table, or append again into another folder"
        for version in self.versions[:number]:
            for name, digest in version.codes.items():
                if name not in tables or len(tables[name]) < version.items:
                    what = f"the table {name} lacks items of version {version.number}"
                    raise DataError(what, file=file, field="codes", fix=fix)
                if codes_digest(tables[name], version.items) != digest:
                    moved = f"an ID of version {version.number} in the table {name} has moved since"
                    other = f"the IDs in the table {name} are not those of the manifest"
                    what = other if version.number == number else moved
                    raise DataError(what, file=file, field="codes", fix=fix)


def plain(made_from: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON gives them back."""
    return dict(json.loads(json.dumps(made_from)))


def count_of(tables: Tables) -> int:
    """How many items the tables have, the same for all."""
    (count,) = {len(table) for table in tables.values()}
    return count


def codes_of(tables: Tables) -> dict[str, str]:
    """The digest of every table."""
    return {name: codes_digest(table, len(table)) for name, table in tables.items()}


def codes_digest(ids: SemanticIds, items: int) -> str:
    """A digest of the first `items` items, their IDs, and what the codebooks are called and hold."""
    names = json.dumps([ids.codebooks, ids.sizes, ids.item_ids[:items].to_list()])
    hashed = hashlib.blake2b(names.encode(), digest_size=16)
    hashed.update(np.ascontiguousarray(ids.codes[:items], np.int32).data)
    return hashed.hexdigest()


def codebooks_digest(codebooks: list[NDArray[np.float32]]) -> str:
    """A digest of the codewords of all levels."""
    hashed = hashlib.blake2b(json.dumps([words.shape for words in codebooks]).encode(), digest_size=16)
    for words in codebooks:
        hashed.update(np.ascontiguousarray(words, np.float32).data)
    return hashed.hexdigest()


def digest_of(value: Any) -> str:
    """A digest of a plain value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
