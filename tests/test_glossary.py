"""Public names use the words of docs/glossary.md, and none of those that its last table rules out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TITLE = "## Words that public names do not use\n"


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a Markdown text, without heads and rules."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return [row for row, after in zip(cells, [*cells[1:], [""]], strict=True) if "---" not in (row[0], after[0])]


FORBIDDEN = {word for row in rows(GLOSSARY.partition(TITLE)[2]) for word in row[0].split(", ")}


def public_names(tree: ast.Module) -> Iterator[str]:
    """Names of a module that others see: its functions, classes, constants, parameters, fields and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef():
                yield node.name
                fields = [line.target for line in node.body if isinstance(line, ast.AnnAssign)]
                yield from (field.id for field in fields if isinstance(field, ast.Name))
            case ast.FunctionDef() if not node.name.startswith("_") or node.name == "__init__":
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                yield from (node.name, *(argument.arg for argument in arguments))
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                yield node.attr
    for line in tree.body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def words(name: str) -> set[str]:
    """The words of a name, in lower case: of parts_of_a_name and of PartsOfAName.

    >>> sorted(words("FoundBooks_of"))
    ['books', 'found', 'of']
    """
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def forbidden_names(source: str) -> list[str]:
    """The public names of a module with a word that the glossary rules out."""
    names = (name for name in public_names(ast.parse(source)) if not name.startswith("_"))
    return sorted({name for name in names if words(name) & FORBIDDEN})


def test_no_public_name_has_a_word_that_the_glossary_rules_out():
    assert len(FORBIDDEN) > 10
    by_file = {str(file.relative_to(ROOT)): forbidden_names(file.read_text()) for file in ROOT.glob("macrec/**/*.py")}
    assert not {file: names for file, names in by_file.items() if names}


def test_a_ruled_out_word_is_seen_wherever_others_see_a_name():
    assert forbidden_names("class Contest: pass") == ["Contest"]
    assert forbidden_names("def fuse(*, official=1): pass") == ["official"]
    assert forbidden_names("class A:\n    found: int\n    def _b(self, books):\n        self.books = books") == [
        "books",
        "found",
    ]
    assert forbidden_names("BOOKS = 1\nTOLD: int = 2") == ["BOOKS", "TOLD"]
    assert not forbidden_names("def open(foundation, _books):\n    found = 1\n    return found")


def test_every_term_has_one_row_and_a_meaning():
    terms = rows(GLOSSARY.partition(TITLE)[0])
    assert len(terms) > 30 and all(row[2] for row in terms)
    assert len({row[0] for row in terms}) == len(terms)


def test_what_the_glossary_calls_a_name_in_code_is_one():
    code = "\n".join(file.read_text() for file in ROOT.glob("macrec/**/*.py"))
    for term, names, *_ in rows(GLOSSARY.partition(TITLE)[0]):
        for name in re.findall(r"`([^`]+)`", names):
            assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", code), f"{term}: {name}"


RETIRED = (
    "anyone could reach",
    "find again",
    "found again",
    "what it thought",
    "did it think",
    "nobody hears",
    "reached by nobody",
    "believes its own",
    "leaves the ground",
    "means another training",
    "Who met what",
    "half is painted",
    "reads only and",
    "The figures come back",
    "nobody finds",
    "knows the rules",
    "knows nothing of you",
)
"""Phrases of earlier texts: metaphors and riddles that a reader had to solve."""


def test_texts_for_readers_have_no_retired_phrase():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    texts = {page.name: " ".join(page.read_text(encoding="utf-8").split()) for page in pages}
    assert not {(name, phrase) for name, text in texts.items() for phrase in RETIRED if phrase in text}
