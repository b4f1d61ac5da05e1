"""The pages of the project: what they link to is there."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from macrec.systems import Parameters

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_of_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\]\(([^)#\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    named = [link for link in found if "://" not in link and not link.startswith("data:")]
    missing = [link for link in named if not (page.parent / link).exists()]
    assert not missing


def test_every_notebook_has_a_page_and_a_line_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for notebook in ROOT.glob("notebooks/[0-9]*.ipynb"):
        assert (ROOT / "docs" / "notebooks" / f"{notebook.stem}.md").exists()
        assert f"`{notebook.stem}`" in readme


def test_every_figure_of_the_page_on_codebooks_comes_from_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from make_codebooks import DATA, FORMS, NONE, PAGE, page, section, verdict

    studies = json.loads(DATA.read_text(encoding="utf-8"))
    assert len(studies) >= 3 and PAGE.read_text(encoding="utf-8") == page(studies)
    for study in studies:
        said = section(study)
        for variant, of in study["differences"].items():
            for protocol, found in of.items():
                metric = "NDCG@10" + (" masked" if protocol == "masked" else "")
                own, none = (
                    [row[metric] for row in study["rows"] if row["variant"] == name] for name in (variant, NONE)
                )
                assert len(own) == len(none) == 3
                assert found["difference"] == pytest.approx(sum(own) / 3 - sum(none) / 3, abs=3e-6)
                assert f"{protocol} {verdict(found)} ({found['difference']:+.4f}" in said
    # The default is one of these forms: the published one, unless recommendations were above with another everywhere.
    parameters = Parameters("demo")
    default = {"lambda_con": parameters.lambda_con, "contrast": parameters.contrast}
    always = [
        form
        for name, form in FORMS.items()
        if name != NONE and all(found["low"] > 0 for study in studies for found in study["differences"][name].values())
    ]
    assert default in (always or [form for form in FORMS.values() if form.get("contrast") == "labels"])


def test_every_figure_of_the_recommenders_page_comes_from_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from make_recommenders import DATA, PAGE, mean_of, page, sentences

    studies = json.loads(DATA.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(studies)
    for study in studies:
        said = " ".join(sentences(study))
        assert bool(said) == bool(study["rows"])
        for protocol, differences in study["differences"].items():
            for name, found in differences.items():
                word = "above" if found["low"] > 0 else "below" if found["high"] < 0 else "not clearly different"
                part = next(part for part in said.split("Against ")[1:] if f", {protocol}:" in part)
                groups = [group for group in part.split("; ") if f"{name} (" in group]
                assert len(groups) == 1 and f"{word}: " in groups[0]
                # The difference is that of the rows.
                metric = "NDCG@10" + (" masked" if protocol == "masked" else "")
                own, other = (mean_of(study["rows"], system)[metric] for system in (name, study["reference"]))
                assert found["difference"] == pytest.approx(own - other, abs=2e-6)
        if ablation := study.get("ablation"):
            for protocol, differences in ablation["differences"].items():
                assert differences.keys() == {row["system"] for row in ablation["rows"]} - {ablation["reference"]}
                metric = "NDCG@10" + (" masked" if protocol == "masked" else "")
                for name, found in differences.items():
                    own, other = (mean_of(ablation["rows"], system)[metric] for system in (name, ablation["reference"]))
                    assert found["difference"] == pytest.approx(own - other, abs=2e-6)
                    assert f"{name} ({found['difference']:+.4f}" in page([study])


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs" / "systems").glob("*.json")))
def test_every_figure_on_the_page_of_a_system_comes_from_what_was_measured(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from make_systems import BLOCK, filled, verdict_of

    about = json.loads((ROOT / "docs" / "systems" / f"{name}.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "systems" / f"{name}.md").read_text(encoding="utf-8")
    assert filled(page, about) == page
    shown = {found[1].removeprefix("study: ") for found in re.finditer(r"<!-- (study: [^>]+?|claims) -->", page)}
    assert shown == {"claims", *about["studies"]}
    if name == "mscgrec":
        assert "<!-- readability -->" in page
    # Only blocks state what was measured: outside them four decimals stand nowhere.
    assert not re.search(r"[^\d]\.\d{4}\b|0\.\d{4}\b", BLOCK.sub("", page).partition("## What was claimed")[0])
    for claim in about["claims"]:
        assert claim["study"] in about["studies"]
        if not (found := claim.get("found")) or claim["kind"] != "difference":
            continue
        assert found["difference"] == pytest.approx(found["system"] - found["against"], abs=2e-6)
        # Where everybody counts, the means are those of the table.
        ending = " masked" if claim.get("masked") else ""
        for role in ("system", "against"):
            study = about["studies"][claim.get(f"{role}_study", claim["study"])]
            rows = [row[claim["metric"] + ending] for row in study["rows"] if row["system"] == claim[role]]
            assert rows, claim
            if not claim.get("group"):
                assert sum(rows) / len(rows) == pytest.approx(found[role], abs=2e-6)
        below, above = found["high"] < 0, found["low"] > 0
        holds = {"above": above, "below": below, "not below": not below, "": None}[claim["expected"]]
        said = verdict_of(claim)
        assert holds is None or (said == "holds") == holds, said


def test_what_rq_dino_was_measured_with_are_its_settings():
    from macrec.encoders.distillation.recipe import DistillationRecipe

    study = json.loads((ROOT / "docs" / "rq_dino.json").read_text(encoding="utf-8"))
    usual = dataclasses.asdict(DistillationRecipe())
    assert study["recipe"] == {name: value for name, value in usual.items() if name != "seed"}
    assert {row["pictures by"] for row in study["rows"]} >= {"rq-dino", "rq-dino without quantizer", "hog-color"}
