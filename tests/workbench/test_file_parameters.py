"""Parameters that name files: every kind is meant from the caller's folder and looked at before a cell runs."""

import pytest

from macrec.errors import DataError
from macrec.workbench.file_parameters import ENCODERS, IDS, locate, located
from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.parameters import declared_parameters
from macrec.workbench.runner import run_notebooks
from macrec.workbench.sweep import run_sweep


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with some files in which the command is typed, and which is not that of the notebooks."""
    for name in ("ids.json", "v.npy", "weights.pt", "D.inter.json", "D.item.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        *((name, "ids.json", "{here}/ids.json") for name in IDS),
        *((name, "npy:v.npy", "npy:{here}/v.npy") for name in ENCODERS),
        ("image_encoder", "npy:model/../v.npy", "npy:{here}/v.npy"),
        ("image_encoder", "clip:ViT-B-32/weights.pt", "clip:ViT-B-32/{here}/weights.pt"),
        ("image_encoder", "clip:ViT-B-32/./weights.pt", "clip:ViT-B-32/{here}/weights.pt"),
        ("image_encoder", "clip:local-dir:model", "clip:local-dir:{here}/model"),
        ("text_encoder", "st:model", "st:{here}/model"),
        ("modalities", "acoustic=npy:v.npy,title=tfidf:title", "acoustic=npy:{here}/v.npy, title=tfidf:title"),
        ("dataset", ".", "{here}"),
        ("dataset", "D.inter.json", "{here}/D.inter.json"),
        ("dataset", "D", "{here}/D"),  # the beginning of the names of its files
        ("dataset", "recbole:D.item.json", "recbole:{here}/D.item.json"),
        ("dataset", "lcrec:D", "lcrec:{here}/D"),
    ],
)
def test_every_file_is_meant_from_where_the_command_is_typed(here, name, given, meant):
    found = locate(name, given)
    assert found == meant.format(here=here) and locate(name, found) == found


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("dataset", "curio"),
        ("dataset", "curio:tiny"),
        ("dataset", ""),
        ("text_ids", ""),
        ("modalities", ""),
        ("modalities", "not an entry"),
        ("text_encoder", "tfidf"),
        ("text_encoder", "st:sentence-transformers/all-MiniLM-L6-v2"),
        ("image_encoder", "hog-color"),
        ("image_encoder", "clip:ViT-B-32/laion2b_s34b_b79k"),
        ("image_encoder", "clip:hf-hub:owner/name"),
        ("profile", "ids.json"),
        ("seed", 3),
    ],
)
def test_what_names_no_file_stays_as_it_is(here, name, given):
    assert locate(name, given) == given


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, "gone.json") for name in IDS),
        *((name, "npy:gone.npy") for name in ENCODERS),
        ("modalities", "text/title=tfidf:title, acoustic=npy:gone.npy"),
        ("text_encoder", "npy:"),
        ("text_encoder", "npy:model"),  # a folder
        ("image_encoder", "clip:ViT-B-32/gone.pt"),
        ("image_encoder", "clip:local-dir:gone"),
        ("text_encoder", "st:./gone"),
        ("dataset", "gone"),
        ("dataset", "no/such/place"),
        ("text_ids", "~/gone-from-home.json"),
    ],
)
def test_what_is_not_there_is_named_with_its_parameter(here, name, given):
    with pytest.raises(DataError, match=f'field "{name}": there is no such (file|folder)'):
        located({"seed": 1, name: given})


def test_every_parameter_of_a_notebook_that_may_name_a_file_is_known():
    parameters = {name for path in find_notebooks() for name in declared_parameters(path)}
    assert {*IDS, *ENCODERS, "dataset"} == {
        name for name in parameters if name.endswith(("_ids", "_file", "_encoder")) or name == "dataset"
    }


def test_a_run_and_a_sweep_refuse_a_missing_file_before_anything_is_made(here):
    notebooks = find_notebooks(["06"])
    with pytest.raises(DataError, match=r"gone\.json"):
        run_notebooks(notebooks, here / "run", {"text_ids": "gone.json"}, progress=False)
    with pytest.raises(DataError, match=r"gone\.json"):
        run_sweep(notebooks, {"text_ids": ["ids.json", "gone.json"]}, here / "sweep")
    assert not (here / "run").exists() and not (here / "sweep").exists()
