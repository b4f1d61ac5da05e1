"""The name of the built-in catalog: size, seed and settings, and one sentence for what is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.built_in import is_built_in, with_size
from macrec.data.curio import curio
from macrec.data.load import load_dataset
from macrec.errors import DataError
from macrec.experiments import open_dataset
from macrec.workbench.file_parameters import locate
from macrec.workbench.parameters import parse_parameters


@pytest.mark.parametrize(
    ("name", "size", "seed", "given"),
    [
        ("curio:tiny", "tiny", 0, {}),
        ("curio:tiny()", "tiny", 0, {}),
        ("curio:tiny(hidden=2)", "tiny", 0, {"hidden": 2}),
        ("curio:small:7(hidden=1, cold=.08)", "small", 7, {"hidden": 1, "cold": 0.08}),
        ("curio:tiny:1( cold = 0.1 ,cold_last=0.5)", "tiny", 1, {"cold": 0.1, "cold_last": 0.5}),
        ("curio(num_items=100, num_users=50)", "demo", 0, {"num_items": 100, "num_users": 50}),
    ],
)
def test_a_name_means_size_seed_and_settings(name, size, seed, given):
    found, expected = load_dataset(name), curio(size, seed=seed, **given)
    assert found.fingerprint == expected.fingerprint and found.world.settings == expected.world.settings
    assert found.name == expected.name + (
        f"({', '.join(f'{key}={value}' for key, value in given.items())})" * bool(given)
    )


@given(hidden=st.integers(0, 3), cold=st.floats(0, 0.4))
@settings(max_examples=10)
def test_every_value_is_the_one_that_was_written(hidden, cold):
    stated = load_dataset(f"curio:tiny(hidden={hidden}, cold={cold}, num_users=5)").world.settings
    assert (stated.hidden, stated.cold) == (hidden, cold)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("curio(hiden=2)", 'no setting "hiden"; write curio[:SIZE[:SEED]][(SETTING=VALUE, …)] with settings from'),
        ("curio(2)", 'no setting "2"'),
        ("curio(seed=2)", 'no setting "seed"'),
        ("curio(hidden=2,)", 'no setting ""'),
        ("curio(hidden=two)", 'field "curio(hidden=two)": hidden cannot be "two"; give a whole number.'),
        ("curio(hidden=1.5)", 'hidden cannot be "1.5"; give a whole number'),
        ("curio(cold=nan)", 'cold cannot be "nan"; give a number'),
        ("curio(hidden=1, hidden=2)", "hidden is given twice; give it once"),
        ("curio(hidden=4)", "hidden must be a whole number from 0 to 3, got 4; give another value"),
        ("curio:tiny(cold=0.9)", "without the 144 cold ones, got 160"),
        ("curio(hidden=2", 'no built-in catalog "curio(hidden=2"; write curio'),
        ("curio:huge(hidden=2)", "with SIZE one of tiny, small, demo, large"),
        ("curio(hidden=2):tiny", "there is no built-in catalog"),
        ("curio:tiny:x", "a whole number as SEED"),
    ],
)
def test_what_is_wrong_is_one_sentence(name, said):
    with pytest.raises(DataError) as caught:
        load_dataset(name)
    assert said in str(caught.value).replace("There is", "there is") and "\n" not in str(caught.value)


def test_files_that_only_begin_like_it_are_files():
    assert [is_built_in(name) for name in ("curio", "curio:x", "curio(x", "curios", "curio.csv", "curio/")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_a_profile_chooses_the_size_where_none_is_named():
    assert with_size("curio:small(hidden=1)", "tiny") == "curio:small(hidden=1)"
    assert with_size("curios(hidden=1)", "tiny") == "curios(hidden=1)"
    smoke = open_dataset("curio(hidden=1)", "smoke")
    assert smoke.fingerprint == curio("tiny", hidden=1).fingerprint and smoke.name == "curio-tiny(hidden=1)"


def test_it_can_be_written_as_a_parameter():
    text = "curio(hidden=2, cold=0.08)"
    assert parse_parameters([f"dataset={text}"], {"dataset"}) == {"dataset": text}
    assert locate("dataset", text) == text
