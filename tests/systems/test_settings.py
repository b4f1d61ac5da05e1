"""Parameters become settings, and what cannot be used is one clear sentence."""

from dataclasses import fields, replace

import pytest
from typer.testing import CliRunner

from macrec import cli
from macrec.errors import DataError
from macrec.systems import PROFILES, Parameters, Profile
from macrec.systems.settings import profile_rows


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"levels": 9}, 'field "levels": 9 cannot be used; give a number from 1 to 8, or 0 for what fits the catalog.'),
        (
            {"levels": -2},
            'field "levels": -2 cannot be used; give a number from 1 to 8, or 0 for what fits the catalog.',
        ),
        (
            {"codewords": 1},
            'field "codewords": 1 cannot be used; give a number from 2 to 16,384, or 0 for what fits the catalog.',
        ),
        ({"clusters": 0}, 'field "clusters": 0 cannot be used; give a number from 1 to 1,000,000.'),
        ({"codebook_epochs": -1}, 'field "codebook_epochs": -1 cannot be used; give a number from 0 to 1,000,000.'),
        ({"epochs": -1}, 'field "epochs": -1 cannot be used; give a number from 0 to 1,000,000.'),
        ({"beams": 0}, 'field "beams": 0 cannot be used; give a number from 1 to 1,000.'),
        ({"beams": 1001}, 'field "beams": 1001 cannot be used; give a number from 1 to 1,000.'),
        ({"seed": -1}, 'field "seed": -1 cannot be used; give a number from 0 to 2,147,483,648.'),
        ({"lambda_con": -0.1}, 'field "lambda_con": -0.1 is no weight; give a number of 0 or more.'),
        ({"lambda_con": float("nan")}, 'field "lambda_con": nan is no weight; give a number of 0 or more.'),
        ({"lambda_align": float("inf")}, 'field "lambda_align": inf is no weight; give a number of 0 or more.'),
        ({"lambda_implicit": -0.1}, 'field "lambda_implicit": -0.1 is no weight; give a number of 0 or more.'),
        ({"contrast": "all"}, 'field "contrast": there is no contrast "all"; choose one of labels, prefix.'),
        ({"network": "tiny"}, 'There is no network "tiny"; choose one of smoke, demo, study, paper.'),
        ({"size": "huge"}, 'There is no size "huge"; choose one of smoke, demo, study, paper.'),
        ({"profile": "fast"}, 'There is no profile "fast"; choose one of smoke, demo, study, paper.'),
    ],
)
def test_a_parameter_that_cannot_be_used_is_one_clear_sentence(given, sentence):
    with pytest.raises(DataError) as caught:
        Parameters(**{"profile": "smoke", **given})
    assert str(caught.value) == sentence


def test_vectors_of_items_are_those_of_the_causal_backbone():
    assert Parameters("smoke", item_vectors=True).generator().config.item_vectors
    assert not Parameters("smoke").generator().config.item_vectors
    with pytest.raises(DataError, match='field "item_vectors": the backbone t5 has no vectors of items; give False'):
        Parameters("smoke", backbone="t5", item_vectors=True)


def test_a_seed_reaches_every_training():
    plain, seeded = Parameters("smoke"), Parameters("smoke", seed=5)
    assert seeded.codebooks() == plain.codebooks().with_seed(5) != plain.codebooks()
    assert seeded.generator() == plain.generator().with_seed(5) != plain.generator()
    assert seeded.sasrec() == replace(plain.sasrec(), seed=5) != plain.sasrec()


def test_the_table_of_profiles_shows_every_field_of_every_profile():
    rows = profile_rows()
    assert {name.partition(".")[0] for name in rows} == {field.name for field in fields(Profile)}
    assert rows["generator.epochs"] == {name: profile.generator.epochs for name, profile in PROFILES.items()}
    printed = CliRunner().invoke(cli.app, ["profiles"]).output.splitlines()
    assert printed[0].split() == list(PROFILES)
    for name, row in rows.items():
        line = next(line for line in printed if line.replace(":", "").split()[:1] == [name])
        assert all(str(value) in line for value in row.values())


def test_parameters_are_taken_from_the_variables_of_a_notebook():
    variables = {"profile": "smoke", "levels": 3, "seed": 4, "dataset": "curio", "print": print}
    assert Parameters.from_values(variables) == Parameters("smoke", levels=3, seed=4)
