"""The report of a run of all notebooks: it opens with the answer, and shows no key of metrics.json."""

import html
import re

import pytest

from macrec.evaluation.metric_names import lower_is_better, metric_names, metric_words
from macrec.workbench.report import write_report
from macrec.workbench.run_record import flatten


@pytest.mark.notebook
def test_every_metric_has_a_name_in_words(run):
    for notebook, recorded in run.metrics().items():
        keys = list(flatten({notebook: recorded}, 0.003))
        assert len({metric_words(key) for key in keys}) == len(keys)  # no two are called alike
        for key, name in zip(keys, metric_names(keys), strict=True):
            assert not re.search(r"_|\.(?!\d)", name), key
            assert lower_is_better(name) == lower_is_better(key), key


@pytest.mark.notebook
def test_the_report_opens_with_the_answer_and_shows_no_key(run, tmp_path):
    page = write_report([run.folder], tmp_path / "report.html").read_text(encoding="utf-8").partition("<body>")[2]
    reference = run.metrics()["08_evaluation"]["reference"]
    first = page.partition('<nav aria-label="Contents">')[0]
    assert "Unmasked, " in first and "Masked, " in first and "95% interval" in first
    answer = page.partition(">Which recommender wins?</h2>")[2].partition("<h2")[0]
    assert answer.count('role="figure"') == 1 and answer.count("<table") == 1 and f"line of {reference}" in answer
    assert all(f"(notebook {number})" in answer for number in ("03", "06", "07", "08"))
    cells = {html.unescape(cell) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", page)}
    keys = list(flatten(run.metrics(), 0.003))
    raw = {*keys, *(tail for key in keys if "." in (tail := key.partition(".")[2]))}
    assert not cells & raw
