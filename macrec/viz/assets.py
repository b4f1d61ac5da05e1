"""Scripts and styles of pages: files beside the modules that use them, put together for a page that stands alone."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r'^import \{[^}]*\} from "(\./[^"]+|\.\./[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


@cache
def script(*files: Path) -> str:
    """JavaScript files as one text, each once and after those it imports: what a function or a module may hold.

    An import is written in one statement at the beginning of a line, as `import { a, b } from "./file.js";`. Files that
    are put together share their names.
    """
    texts: dict[Path, str] = {}

    def add(file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        for name in _IMPORT.findall(text):
            other = (file.parent / name).resolve()
            if other not in texts:
                add(other)
        texts[file] = _EXPORT.sub("", _IMPORT.sub("", text)).strip()

    for file in files:
        add(file.resolve())
    return "\n".join(texts.values())


def script_tag(call: str, *files: Path) -> str:
    """A <script> that runs `call` with the functions of some JavaScript files, and leaves nothing of them behind."""
    return f"<script>(() => {{\n{script(*files)}\n{call}\n}})();</script>"


@cache
def style(*files: Path) -> str:
    """The rules of CSS files. Colors and font of the theme are there as `var(--ink)` and so on: `theme.VARIABLES`."""
    return "\n".join(file.read_text(encoding="utf-8").strip() for file in files)
