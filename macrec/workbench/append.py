"""`macrec append`: new items get semantic IDs beside those of a run, and its generators recommend them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrec.data.appended import with_further_items
from macrec.data.dataset import Dataset
from macrec.data.item_file import load_items
from macrec.data.split import Split
from macrec.encoders import Embeddings
from macrec.encoders.collaborative import COLLABORATIVE
from macrec.encoders.encoder import GivenVectors
from macrec.encoders.further import further_vectors, like
from macrec.errors import DataError
from macrec.experiments.modalities import encoder_for, listed
from macrec.lock import locked
from macrec.quantization.appended import check_new
from macrec.quantization.manifest import FILE, Manifest
from macrec.systems.generative import Generative
from macrec.tokenizers.appended import append_with
from macrec.workbench.appended_catalog import AppendedCatalog, TrainedCatalog
from macrec.workbench.trained_systems import open_trained_systems


@dataclass(frozen=True, eq=False)
class Appended:
    """A run with the items that were appended to it.

    `data`: the dataset, the new items behind the old; `split`: its samples, which are those of the run; `systems`: the
    run's generators over all items, ready to recommend; `catalog`: the IDs, the manifest and the new items with their
    vectors; `trained`: the generators as they were. `new`: how many items came last, `moved`: system → modality → which
    of these did not get the codes nearest to them `[new]`; empty where a catalog was only opened.
    """

    folder: Path
    data: Dataset
    split: Split
    systems: dict[str, Generative]
    catalog: AppendedCatalog
    trained: TrainedCatalog
    new: int = 0
    moved: Mapping[str, Mapping[str, NDArray[np.bool_]]] | None = None


def open_appended(run: Path, folder: Path) -> Appended:
    """The generators of a run over the catalog that was appended to it in `folder`, at its newest version.

    Raises DataError for a run that holds no such generators, and for IDs that are not the manifest's, that are of other
    data, encoders or codebooks, or that move one that was learned.
    """
    names = ",".join(Manifest.load(folder).made_from.get("codebooks", {}))
    trained = TrainedCatalog.of(*open_trained_systems(run, names))
    return opened_with(folder, trained, AppendedCatalog.load(folder, trained))


def append_items(
    run: Path, items: Path, folder: Path, systems: str = "", vectors: Mapping[str, str] | None = None
) -> Appended:
    """Append the items of a file to those of a run: `folder` gets the next version of their semantic IDs.

    `items`: a table or folder as `load_items` reads it. `systems`: generators of the run, between commas (default: that
    of notebook 06, and LIGER where it was trained); a folder that is there already keeps its own. `vectors`: modality →
    a .npy file with the vectors of the new items, for a modality whose vectors came from a file. A file without items
    changes nothing. Raises DataError for an item that is there already or comes twice, for one that has nothing of what
    a system knows items by, where there is no ID left, and for whatever `open_appended` refuses.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f".{folder.resolve().name}.append.lock", f"appending to {folder}"):
        before = folder if (folder / FILE).exists() else None
        if before is None and folder.exists() and any(folder.iterdir()):
            what, fix = "the folder holds something else", "name a new folder, or one that macrec append has written"
            raise DataError(what, file=folder, fix=fix)
        if before is not None:
            systems = ",".join(Manifest.load(folder).made_from.get("codebooks", {}))
        trained = TrainedCatalog.of(*open_trained_systems(run, systems))
        known = AppendedCatalog.first(trained) if before is None else AppendedCatalog.load(folder, trained)
        further = load_items(items)
        data = trained.opened.context.data
        for named in (data, known.items):
            check_new(named.items["item_id"], further.items["item_id"], items)
        if not further.num_items:
            return opened_with(folder, trained, known)
        encoded = encode(trained, further, vectors or {})
        check_contents(trained, further, encoded)
        tables, moved = dict(known.tables), {}
        for name, tokenizers in trained.tokenizers.items():
            tables[name], moved[name] = append_with(tokenizers, known.tables[name], further.items["item_id"], encoded)
        catalog = known.with_items(further, encoded, tables).save(folder, before, further)
    return opened_with(folder, trained, catalog, further.num_items, moved)


def encode(trained: TrainedCatalog, items: Dataset, vectors: Mapping[str, str]) -> dict[str, Embeddings]:
    """The vectors of new items in every modality of the run, by its encoders as they are.

    What people do with an item is not known yet: it is absent there.
    """
    context, specs = trained.opened.context, trained.opened.specs
    if unknown := [name for name in vectors if name not in specs or name not in context.embeddings]:
        fix = f"choose from {', '.join(specs)}"
        raise DataError(f'the run has no encoder of "{unknown[0]}"', field="vectors", fix=fix)
    encoded = {}
    for name, known in context.embeddings.items():
        if name == COLLABORATIVE:
            encoded[name] = like(known, np.zeros((items.num_items, known.dim), np.float32))
            continue
        encoder = encoder_for(f"npy:{vectors[name]}" if name in vectors else specs[name], name)
        if isinstance(encoder, GivenVectors) and name not in vectors:
            what = f"the vectors of {name} came from a file, which has none for the new items"
            raise DataError(what, field="vectors", fix=f"give theirs as --vectors {name}=FILE.npy, a row per new item")
        encoded[name] = further_vectors(context.data, known, encoder, items)
    return encoded


def check_contents(trained: TrainedCatalog, items: Dataset, encoded: Mapping[str, Embeddings]) -> None:
    """Raise DataError for an item that has nothing of what one of the systems knows items by."""
    for system, tokenizers in trained.tokenizers.items():
        having = np.logical_or.reduce([encoded[name].present for name in tokenizers])
        if not having.all():
            row = int((~having).argmax())
            lacking = listed([f"no {name}" for name in tokenizers])
            what = f'the item "{items.items["item_id"][row]}" has {lacking}, and {system} knows items by nothing else'
            raise DataError(what, row=row + 1, field="item_id", fix="give it one, or leave the item out")


def opened_with(
    folder: Path,
    trained: TrainedCatalog,
    catalog: AppendedCatalog,
    new: int = 0,
    moved: Mapping[str, Mapping[str, NDArray[np.bool_]]] | None = None,
) -> Appended:
    """The generators of a run over all items of a catalog."""
    context = trained.opened.context
    systems = {
        name: system.with_items(catalog.tables[name], catalog.vectors) for name, system in trained.systems.items()
    }
    data = with_further_items(context.data, catalog.items)
    return Appended(folder, data, context.split, systems, catalog, trained, new, moved)
