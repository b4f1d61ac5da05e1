"""The json of LC-Rec and its successors."""

from __future__ import annotations

from pathlib import Path

from macrec.data.formats.format import Format
from macrec.data.lcrec import load_lcrec


def find(path: Path) -> Path | None:
    """The folder, the `.inter.json` file or the prefix, as it was given."""
    if path.is_dir():
        return path if any(path.glob("*.inter.json")) else None
    named = path if path.name.endswith(".inter.json") else path.with_name(f"{path.name}.inter.json")
    return path if named.is_file() else None


FORMAT = Format(
    name="lcrec",
    title="LC-Rec, LETTER, MQL4GRec, MACRec",
    files="`<D>.inter.json`, optional `<D>.item.json`, `<D>.item2id`, `<D>.user2id`, `<D>_images_info.json` with "
    "`images/`, and `<D>.{train,valid,test}.inter`, whose split is kept",
    find=find,
    load=load_lcrec,
)
