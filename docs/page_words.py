"""What pages of notebooks say besides outputs, and bringing it up to date: `python docs/page_words.py`.

`make_pages.py` writes the pages of a whole run. This keeps their outputs and takes titles, words and code anew from the
notebooks, for changes after which the outputs are the same.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from macrec.workbench.executed import Executed, read_executed, tags
from macrec.workbench.notebooks import find_notebooks

CODE = re.compile(r"<details><summary>Code</summary>\n\n```python\n.*?\n```\n\n</details>", re.DOTALL)
OUTPUT = re.compile(r"\s*(?:```text\n.*?\n```(?=\n|\Z)|(?:<img |<sub>|\|)[^\n]*)", re.DOTALL)
END = "\n\n---\n\n[all notebooks]"


def folded(cell: Any) -> str:
    """The code of a cell as a page shows it."""
    return f"<details><summary>Code</summary>\n\n```python\n{cell.source.strip()}\n```\n\n</details>"


def prose(cell: Any, title: str) -> str:
    """The words of a Markdown cell as a page shows them: the title stands above all."""
    return re.sub(rf"\A# +{re.escape(title)}\n*", "", cell.source.strip())


def shown(cell: Any) -> bool:
    """Whether a page shows the code of a cell."""
    return cell.cell_type == "code" and not {"injected-parameters", "record"} & set(tags(cell))


def head(notebook: Executed, commit: str) -> str:
    """How the page of a notebook begins."""
    file = notebook.file.name
    return (
        f"# {notebook.title}\n\n*What [{file}](../../notebooks/{file}) shows after `make demo` (commit {commit}).* "
        "*In JupyterLab, and in the page that `macrec report` writes, the pictures answer to the pointer.*"
    )


def foot(notebooks: Sequence[Executed], place: int) -> str:
    """How the page of the notebook at `place` ends: links to its neighbors."""
    beside = {"before": notebooks[place - 1] if place else None, "after": (notebooks[place + 1 :] or [None])[0]}
    links = [f"[{way}: {other.title}]({other.name}.md)" for way, other in beside.items() if other]
    return "---\n\n" + " · ".join(["[all notebooks](README.md)", *links]) + "\n"


def index(notebooks: Sequence[Executed]) -> str:
    """The page that lists the pages."""
    lines = "\n".join(f"- [{notebook.name}]({notebook.name}.md): {notebook.title}" for notebook in notebooks)
    words = "What the notebooks show after `make demo`, written by `python docs/make_pages.py runs/demo`."
    return f"# The notebooks\n\n{words}\n\n{lines}\n"


def refreshed(page: str, notebook: Executed) -> str:
    """The body of `page` between head and foot, with the notebook's words and code and the page's outputs.

    Raises ValueError where cells of code came or went: then their outputs are needed, which only a run has.
    """
    gaps = CODE.split(page.partition(".*\n\n")[2].rpartition(END)[0])
    cells = [cell for cell in notebook.cells if shown(cell) or cell.cell_type == "markdown"]
    starts = [place for place, cell in enumerate(cells) if shown(cell)]
    if len(starts) + 1 != len(gaps):
        raise ValueError(f"{notebook.name} has {len(starts)} cells of code, its page {len(gaps) - 1}: make_pages.py")
    parts = [prose(cell, notebook.title) for cell in cells[: starts[0]]]
    for start, end, gap in zip(starts, [*starts[1:], len(cells)], gaps[1:], strict=True):
        parts += [folded(cells[start]), outputs(gap), *(prose(cell, notebook.title) for cell in cells[start + 1 : end])]
    return "\n\n".join(part for part in parts if part)


def outputs(gap: str) -> str:
    """The outputs with which the text between two cells of code begins."""
    place = 0
    while found := OUTPUT.match(gap, place):
        place = found.end()
    return gap[:place].strip()


def up_to_date(folder: Path) -> dict[Path, str]:
    """The pages in `folder` as they should be, from the project's notebooks; file → text."""
    notebooks = [read_executed(file) for file in find_notebooks()]
    made = {folder / "README.md": index(notebooks)}
    for place, notebook in enumerate(notebooks):
        file = folder / f"{notebook.name}.md"
        page = file.read_text(encoding="utf-8")
        commit = re.search(r"\(commit (\w+)\)", page)
        assert commit is not None
        made[file] = "\n\n".join([head(notebook, commit[1]), refreshed(page, notebook), foot(notebooks, place)])
    return made


if __name__ == "__main__":
    for file, text in up_to_date(Path(__file__).with_name("notebooks")).items():
        if file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{file}\n")
