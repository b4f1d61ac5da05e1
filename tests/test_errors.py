"""Errors are sentences that any terminal can show and none obeys."""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError, printable


@given(st.text(st.characters(codec=None)))
def test_a_sentence_is_one_printable_line(text):
    said = str(DataError(text or "nothing", file=text, field=text, fix="do something"))
    assert said.isprintable()
    assert printable(said) == said  # what is printable stays as it is


def test_words_stay_words():
    assert printable("Les Misérables, 悲惨世界, 🙂") == "Les Misérables, 悲惨世界, 🙂"


def test_a_terminal_that_knows_fewer_letters_gets_the_sentence_all_the_same(tmp_path):
    command = [sys.executable, "-c", "from macrec.workbench.cli import main; main()", "datasets", "悲惨\x1b[31m"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=False)
    said = done.stderr.decode("latin-1")
    assert done.returncode == 2 and "Traceback" not in said and said.isprintable() is False  # it ends with a newline
    assert "\\u60b2\\u60e8\\x1b[31m" in said and len(said.splitlines()) == 1
