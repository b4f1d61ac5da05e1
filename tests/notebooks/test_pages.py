"""The pages in docs/notebooks say what the notebooks say."""

from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "notebooks"


@pytest.fixture
def up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(str(PAGES.parent))
    from page_words import up_to_date

    return up_to_date


def test_pages_hold_the_words_and_the_code_of_the_notebooks(up_to_date):
    stale = [file.name for file, text in up_to_date(PAGES).items() if file.read_text(encoding="utf-8") != text]
    assert stale == [], "python docs/page_words.py; where outputs have changed, python docs/make_pages.py RUN"


def test_what_a_notebook_changes_is_noticed_and_outputs_stay(up_to_date, monkeypatch):
    import page_words

    read = page_words.read_executed

    def changed(file):
        notebook = read(file)
        for cell in notebook.cells:
            cell.source = cell.source.replace("dataset", "changed")
        return notebook

    before = up_to_date(PAGES)
    monkeypatch.setattr(page_words, "read_executed", changed)
    for file, text in up_to_date(PAGES).items():
        if file.name != "README.md":
            assert text != before[file] and text.count("<img ") == before[file].count("<img ") > 0
            assert text.count("```text") == before[file].count("```text")
