"""The list of mutants is of the code that is there: each changes one place, into Python that compiles."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("mutants")
spec = importlib.util.spec_from_file_location("mutants_run", FOLDER / "run.py")
run = sys.modules["mutants_run"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)
MUTANTS = run.load_mutants()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{Path(mutant.file).name}:{mutant.old[:40]}")
def test_a_mutant_changes_one_place_and_names_tests_that_exist(mutant):
    assert ast.dump(ast.parse(run.mutated(mutant))) != ast.dump(ast.parse((run.ROOT / mutant.file).read_text()))
    assert mutant.tests and all((run.ROOT / name).exists() for name in mutant.tests)


def test_there_are_enough_of_them_and_few_without_a_test():
    assert len(MUTANTS) >= 60 and sum(bool(mutant.reason) for mutant in MUTANTS) <= run.ALLOWED
