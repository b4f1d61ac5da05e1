"""Files of parameters: what they say is read as it was written, and a run can be repeated from the one it leaves."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from macrec.cli import app
from macrec.errors import DataError
from macrec.workbench.experiment_file import NAME, read_experiment, toml_key, toml_value
from macrec.workbench.notebooks import find_notebooks

PLAIN = st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()


@given(st.dictionaries(st.text(min_size=1), PLAIN | st.lists(PLAIN)))
def test_values_are_read_as_they_were_written(values):
    text = "\n".join(f"{toml_value(name)} = {toml_value(value)}" for name, value in values.items())
    found = tomllib.loads(text)
    assert found == values and repr(found) == repr(values)  # 1, 1.0 and True are three things


def test_a_key_of_plain_letters_stands_without_quotes():
    assert (toml_key("lambda_con"), toml_key("größe")) == ("lambda_con", '"größe"')


@pytest.fixture
def write(tmp_path):
    """Write a file of parameters; returns its path."""

    def write(text):
        (tmp_path / "a.toml").write_text(text, encoding="utf-8")
        return tmp_path / "a.toml"

    return write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 1", r'field "sed": no notebook has a parameter "sed"; choose from .*seed'),
        ('notebooks = ["01"]\nbeams = 5', r'field "beams": no notebook has a parameter "beams"'),
        ('seed = "1"', r'field "seed": the parameter seed takes int, not str'),
        ("dataset = 1979-05-27", r'field "dataset": the parameter dataset takes str, not date'),
        ("[seed]\nx = 1", r'field "seed": the parameter seed takes int, not dict'),
        ("lambda_con = nan", r'field "lambda_con": the parameter lambda_con cannot be nan'),
        ("lambda_con = [0, 0.1, 0.0]", r'field "lambda_con": the value 0.0 occurs twice'),
        ("lambda_con = []", r'field "lambda_con": the list of values is empty'),
        ("out = 'x'", r'field "out": "out" is set by the run itself'),
        ("notebooks = 6", r'field "notebooks": the notebooks are no list of names'),
        ("notebooks = [6]", r'field "notebooks": the notebooks are no list of names'),
        ('notebooks = ["99"]', r'field "notebooks": no notebook is called "99"'),
        ("seed", r": this is no TOML: expected '=' after a key"),
        ("seed = 1\nseed = 2\n", r": this is no TOML: cannot overwrite a value.*line 2"),
        ("seed = " + "[" * 10_000, r": (the values are nested too deeply|this is no TOML)"),
    ],
)
def test_what_no_notebook_takes_is_named_with_file_and_key(write, text, words):
    with pytest.raises(DataError, match=rf"a\.toml.*{words}"):
        read_experiment(write(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b'dataset = "caf\xe9"')
    with pytest.raises(DataError, match=r"latin\.toml: the file is not UTF-8"):
        read_experiment(tmp_path / "latin.toml")
    with pytest.raises(DataError, match=r"gone\.toml: there is no such file"):
        read_experiment(tmp_path / "gone.toml")


def test_every_notebook_gets_the_parameters_that_it_declares(write):
    found = read_experiment(write('notebooks = ["03", "08"]\nbeams = 5\nclusters = 16\nseed = 2'))
    assert [path.stem[:2] for path in found.notebooks] == ["03", "08"]
    assert found.parameters(found.notebooks) == {"beams": 5, "clusters": 16, "seed": 2}
    assert found.parameters(find_notebooks(["03"])) == {"clusters": 16, "seed": 2}
    assert read_experiment(write("seed = 2")).notebooks == find_notebooks()


def test_paths_are_meant_from_the_folder_of_the_file_and_only_those_used_are_looked_at(write, tmp_path, monkeypatch):
    (tmp_path / "ids.json").write_text("{}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = read_experiment(write('text_ids = "ids.json"\nimage_ids = "gone.json"'))
    assert found.parameters(found.notebooks, {"image_ids"}) == {"text_ids": str(tmp_path / "ids.json")}
    with pytest.raises(DataError, match=r'gone\.json, field "image_ids"'):
        found.parameters(found.notebooks)


def test_a_list_is_a_grid_for_a_sweep_and_refused_by_a_run(write):
    found = read_experiment(write('seed = [1, 2]\nprofile = "smoke"'))
    assert found.grid(found.notebooks) == {"seed": [1, 2], "profile": ["smoke"]}
    assert found.parameters(found.notebooks, {"seed"}) == {"profile": "smoke"}
    with pytest.raises(DataError, match=r'a\.toml, field "seed": a run takes one value of a parameter, not 2'):
        found.parameters(found.notebooks)


def macrec(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.notebook
def test_a_run_is_repeated_by_the_file_that_it_leaves_and_p_wins_over_it(write, tmp_path):
    shared = write('notebooks = ["01"]\ndataset = "curio:tiny"\nprofile = "smoke"\nseed = 9')
    macrec("run", "--params", shared, "-p", "seed=3", "--out", tmp_path / "a")
    written = tomllib.loads((tmp_path / "a" / NAME).read_text())
    assert written == {"notebooks": ["01_data"], "dataset": "curio:tiny", "profile": "smoke", "seed": 3}
    macrec("run", "--params", tmp_path / "a" / NAME, "--out", tmp_path / "b")
    for name in (NAME, "metrics.json"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()


@pytest.mark.notebook
def test_a_sweep_is_repeated_by_the_file_that_it_leaves(write, tmp_path):
    shared = write('notebooks = ["01"]\ndataset = "curio:tiny"\nprofile = "smoke"\nseed = [1, 2]')
    macrec("sweep", "--params", shared, "--out", tmp_path / "s")
    written = tomllib.loads((tmp_path / "s" / NAME).read_text())
    assert written == {"notebooks": ["01_data"], "dataset": "curio:tiny", "profile": "smoke", "seed": [1, 2]}
    assert tomllib.loads((tmp_path / "s" / "seed=2" / NAME).read_text()) == written | {"seed": 2}
    assert macrec("sweep", "--params", tmp_path / "s" / NAME, "--out", tmp_path / "s").count("finished before") == 2
    assert set(json.loads((tmp_path / "s" / "sweep.json").read_text())["grid"]) == {"dataset", "profile", "seed"}
