"""The live board and the final figure show exactly what the events of a training say."""

import itertools
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell

from macrec.training import Event
from macrec.viz import LiveBoard, board_svg, training_figure
from macrec.viz.live.board import STRIP, perplexity
from macrec.viz.live.curves import (
    Curves,
    Line,
    Panel,
    duration,
    modalities_in,
    panels,
    round_values,
    share,
    spread,
    thin,
)
from macrec.viz.theme import CONFLICT, FURTHER, IMAGE, INK, MODALITY, MUTED, TEXT, modality_colors

SVG = "{http://www.w3.org/2000/svg}"


def training(count=60, modalities=("text", "image"), levels=2, size=16, every=5, final=0.05, total=None, seed=0):
    """Events of a made-up training whose losses and conflict rates fall; one step takes 0.1 seconds."""
    rng = np.random.default_rng(seed)
    events = []
    for step in range(1, count + 1):
        fall = np.exp(-5 * step / count)
        losses = {"loss": 2 * fall + 0.5, "alignment": fall + 0.1}
        measured, usage = {}, {}
        for modality in modalities:
            losses |= {f"{term}/{modality}": float(rng.uniform(0.1, 1)) for term in ("reconstruction", "quantization")}
        if step % every == 0:
            for modality in modalities:
                counts = tuple(rng.integers(1, 9, size) * (np.arange(size) > 2 + level) for level in range(levels))
                usage[modality] = counts
                measured[f"conflict_rate/{modality}"] = float(fall + final)
                measured[f"dead_codes/{modality}"] = float(sum((c == 0).sum() for c in counts))
                for level, c in enumerate(counts):
                    measured[f"utilization/{modality}/{level}"] = float((c > 0).mean())
                    measured[f"perplexity/{modality}/{level}"] = perplexity(c[c > 0])
        events.append(Event(step, total or count, step / 10, losses, measured, usage))
    return events


def read(page):
    """The svg element of a board; fails unless the whole is well-formed."""
    return ElementTree.fromstring(page)[0]


def words(page):
    return ["".join(found.itertext()) for found in read(page).iter(f"{SVG}text")]


@pytest.fixture
def notebook(monkeypatch):
    """What a front end receives, through IPython's own display machinery: one dict per message."""
    shell = SimpleNamespace(display_formatter=DisplayFormatter(), display_pub=CapturingDisplayPublisher())
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: True)
    monkeypatch.setattr(InteractiveShell, "instance", lambda: shell)
    return shell.display_pub.outputs


def test_a_training_is_one_output_that_ends_complete(notebook):
    events, reference = training(), training(seed=1)
    time = 0.0
    board = LiveBoard("Codebooks", reference, clock=lambda: time)
    for event in events[:-20]:
        board(event)
        time += 1
    board.close()
    first, *updates = notebook
    assert not first["update"] and all(message["update"] for message in updates)
    assert len({message["transient"]["display_id"] for message in notebook}) == 1
    assert len(updates) == 40  # every event and the close, less the first
    final = notebook[-1]["data"]["text/html"]
    assert final == board.frame == board_svg(events[:-20], reference, "Codebooks", running=False)
    assert words(final)[2] == "ended early: step 40 of 60 after 4 s, 10 steps/s"


def test_a_burst_of_events_draws_one_frame_per_interval_and_the_last_step_always(notebook):
    time = 0.0
    board = LiveBoard(interval=0.25, clock=lambda: time)
    events = training(count=60)
    for event in events[:50]:
        board(event)
    assert len(notebook) == 1
    time = 0.24
    board(events[50])
    assert len(notebook) == 1
    time = 0.25
    board(events[51])
    assert len(notebook) == 2 and "step 52 of 60" in board.frame
    for event in events[52:]:
        board(event)
    assert len(notebook) == 3 and "finished: step 60 of 60" in board.frame
    board.close()
    assert len(notebook) == 3  # nothing new to show


def test_a_board_without_events_or_without_a_notebook_displays_nothing(notebook, monkeypatch, capsys):
    LiveBoard().close()
    assert notebook == []
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: False)
    board = LiveBoard()
    for event in training():
        board(event)
    board.close()
    assert notebook == [] and capsys.readouterr().out == ""
    assert "finished: step 60 of 60" in board.frame


def test_the_board_stays_small():
    events = training(count=500, levels=4, size=256, every=1)
    assert len(board_svg(events)) < 20_000
    assert len(board_svg(events, training(count=500, levels=4, size=256, every=1, seed=1))) < 24_000
    long = training(count=5000, levels=4, size=256, every=10)
    assert len(board_svg(long)) < 20_000


def test_the_board_says_the_newest_values_also_to_those_who_cannot_see_it():
    events = training(count=30, total=90)
    drawing = read(board_svg(events, title="Codebooks"))
    rate = events[-1].measured["conflict_rate/text"]
    assert drawing.get("role") == "img"
    assert drawing.get("aria-label") == (
        "Codebooks: step 30 of 90, 10 steps/s, about 6 s left; "
        f"loss {events[-1].losses['loss']:.4g}; conflict rate: text {share(rate)}, image {share(rate)}; "
        "dead codes: text 7, image 7"
    )


def test_every_loss_rate_and_level_has_a_label_with_its_newest_value():
    events = training()
    found = words(board_svg(events))
    for name, value in events[-1].losses.items():
        assert f"{name.replace('/', ' ')} {value:#.3g}".removesuffix(".") in found
    assert found.count("level 0 81.2%") == found.count("level 1 75.0%") == 2
    for modality in ("text", "image"):
        assert f"{modality} {share(events[-1].measured[f'conflict_rate/{modality}'])}" in found


def test_labels_neither_overlap_nor_leave_the_drawing():
    page = board_svg(training(modalities=("text", "image", "sound", "collaborative"), levels=5), training(seed=1))
    drawing = read(page)
    _, _, width, height = map(float, drawing.get("viewBox").split())
    places = [(float(t.get("x")), float(t.get("y"))) for t in drawing.iter(f"{SVG}text") if t.get("fill")]
    assert all(0 <= y <= height and x <= width for x, y in places)
    curve_labels = [place for place in places if place[0] > 0]
    for x in {x for x, _ in curve_labels}:
        column = sorted(y for other, y in curve_labels if other == x)
        assert all(b - a > 11 for a, b in itertools.pairwise(column))


def test_a_reference_is_dashed_and_its_last_value_in_brackets():
    page = board_svg(training(final=0.02), training(final=0.08, seed=1), reference_name="alone")
    rate = np.exp(-5)
    assert f"text {share(rate + 0.02)} ({share(rate + 0.08)})" in words(page)
    assert "dashed, and in brackets: alone" in words(page)
    names = ("alignment", "loss", *(f"{t}/{m}" for t in ("reconstruction", "quantization") for m in ("text", "image")))
    assert page.count('stroke-dasharray="40 30"') == len(names) + 2 + 4  # losses, conflict rates, levels
    assert 'stroke-dasharray="40 30"' not in board_svg(training())


def test_terms_are_drawn_times_their_weights_which_stand_in_the_labels():
    """Of the reference as well, whose weights may be others; a term without a weight is drawn as it is."""
    own, other = (
        Curves([Event(step, 2, step, {"loss": 5.0, "contrastive/text": 20.0}, weights=weights) for step in (1, 2)])
        for weights in ({"contrastive/text": 0.003}, {"contrastive/text": 0.5})
    )
    panel = panels(own, other, 10)[0]
    plain, term = panel.lines
    assert (plain.label, term.label) == ("loss", "contrastive text ×0.003")
    endings = [panel.ending(line.label, line.values[-1]) for line in (plain, term)]
    assert endings == ["loss 5.00", "contrastive text ×0.003: 0.0600"]
    assert plain.values.tolist() == [5, 5] and term.values == pytest.approx([0.06, 0.06])
    assert term.reference.tolist() == [10, 10]


def test_other_trainings_get_a_panel_for_every_family_they_measure():
    events = [
        Event(i, 40, i, {"loss": 3 / i}, {"ndcg@10/validation": i / 100, "ndcg@10/test": i / 200, "recall@10": i / 50})
        for i in range(1, 41)
    ]
    titles = [panel.title for panel in panels(Curves(events), Curves(), 100)]
    assert titles == ["loss terms, log scale", "ndcg@10", "recall@10"]
    found = words(board_svg(events))
    assert {"validation 0.400", "test 0.200", "recall@10 0.800", "loss 0.0750"} <= set(found)
    assert not any("code usage" in said for said in found)


def test_perplexity_is_a_panel_only_where_no_usage_shows_it():
    events = training(modalities=("text",))
    bare = [Event(e.step, e.steps, e.seconds, e.losses, e.measured) for e in events]
    assert not any(panel.title == "perplexity" for panel in panels(Curves(events), Curves(), 100))
    assert {"perplexity", "dead codes"} <= {panel.title for panel in panels(Curves(bare), Curves(), 100)}


@pytest.mark.parametrize("hostile", ["<b>&\"'</b>", "</svg><script>alert(1)</script>", "a" * 500])
def test_words_of_others_stay_words(hostile):
    name = hostile.replace("/", "")
    counts = (np.array([3, 0]),)
    event = Event(1, 2, 1, {f"loss/{name}": 1.0}, {f"conflict_rate/{name}": 0.5, hostile: 1.0}, {name: counts})
    page = board_svg([event], [event], title=hostile, reference_name=hostile)
    assert read(page).get("aria-label").startswith(hostile)
    assert not any(part.tag.endswith(("script", "}b")) for part in ElementTree.fromstring(page).iter())
    figure, _ = training_figure([event], [event], hostile)
    assert not any("<script" in note.text for note in figure.layout.annotations)


def test_strips_show_the_share_of_dead_codes_exactly():
    counts = np.array([40, 10, 10, 10, 10, 0, 0, 0])
    page = board_svg([Event(1, 1, 1, {"loss": 1}, {}, {"text": (counts,)})])
    assert f"3 dead of 8, perplexity {perplexity(counts[:5]):.3g}" in words(page)
    dead = re.search(r'd="M([\d.]+) 6H(\d+)" stroke="#8A8A8A"', page)
    assert float(dead[1]) == pytest.approx(5 / 8 * STRIP, abs=0.1) and int(dead[2]) == STRIP
    runs = [float(run) for run in re.findall(r'<path d="M[\d.]+ 6h([\d.]+)"', page)]
    assert runs == pytest.approx([STRIP / 8, STRIP / 2], abs=0.1)  # the crowded code, then the four alike


@pytest.mark.parametrize("counts", [[5, 5, 5, 5], [8, 4, 2, 1, 1], [7]])
def test_perplexity_is_two_to_the_entropy(counts):
    p = np.array(counts) / sum(counts)
    assert perplexity(np.array(counts)) == pytest.approx(np.prod(p**-p))
    assert perplexity(np.array([], int)) == 0


def test_a_training_that_went_back_to_a_checkpoint_is_drawn_once():
    events = training()
    again = Curves([*events[:50], *events[29:]])
    straight = Curves(events)
    for name, series in straight.losses.items():
        np.testing.assert_array_equal(again.losses[name].arrays(), series.arrays())
    for name, series in straight.measured.items():
        np.testing.assert_array_equal(again.measured[name].arrays(), series.arrays())


def test_a_training_after_another_has_the_board_for_itself():
    counts = np.array([1, 2])
    first = [
        Event(step, 2, step, {"loss": 1, "a/text": 1}, {"conflict_rate/text": 0.1}, {"text": (counts,)})
        for step in (1, 2)
    ]
    second = Event(1, 2, 1, {"loss": 1, "a/image": 1}, {}, {})
    both = Curves([*first, second])
    assert both.losses.keys() == second.losses.keys() and not both.measured and not both.usage


def test_values_that_cannot_be_drawn_do_not_stop_the_board():
    events = [
        Event(1, 3, 0, {"loss": 0.0, "a/text": float("nan")}, {"conflict_rate/text": 0.0}),
        Event(2, 3, 0, {"loss": 5.0, "a/text": float("inf")}, {"conflict_rate/text": 0.0}),
    ]
    page = board_svg(events)
    assert "nan" not in page and "text 0.00%" in words(page)
    read(page)
    negative = board_svg([Event(1, 3, 0, {"loss": -4.0}), Event(2, 3, 1, {"loss": 2.0})])
    assert "loss terms" in words(negative) and "-4" in words(negative)
    read(board_svg([]))
    assert training_figure([])[0].data == ()


@given(
    st.lists(st.floats(-10, 300), max_size=20),
    st.floats(1, 20),
    st.floats(0, 50),
    st.floats(60, 300),
)
def test_spread_keeps_order_distance_and_bounds(wanted, gap, low, high):
    places = spread(wanted, gap, low, high)
    assert all(low - 1e-9 <= place <= high + 1e-9 for place in places)
    ordered = np.array(places)[np.argsort(wanted, kind="stable")]
    room = min(gap, (high - low) / max(len(wanted) - 1, 1))
    assert (np.diff(ordered) >= room - 1e-6).all()
    apart = np.diff(np.sort(wanted))
    if len(wanted) and (apart >= gap).all() and min(wanted) >= low and max(wanted) <= high:
        assert places == wanted


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=400), st.integers(4, 60))
def test_thin_keeps_both_ends_and_every_extreme(values, points):
    values = np.array(values, float)
    steps, kept = thin(np.arange(len(values), dtype=float), values, points)
    finite = np.flatnonzero(np.isfinite(values))
    assert len(kept) <= points + 2
    np.testing.assert_array_equal(values[steps.astype(int)], kept)
    if len(finite):
        assert (steps[0], steps[-1]) == (finite[0], finite[-1])
        assert (kept.min(), kept.max()) == (np.nanmin(values), np.nanmax(values))


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e5))
def test_round_values_are_few_and_within(low, width):
    found = round_values(low, low + width)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-6 * width <= value <= low + width * (1 + 1e-6) for value in found)


def test_log_panels_place_equal_factors_equally_far_apart():
    line = panels(Curves([Event(1, 2, 0, {"loss": 1.0}), Event(2, 2, 1, {"loss": 100.0})]), Curves(), 10)[0].lines
    panel = Panel("loss", line, log=True)
    low, middle, high = panel.places(np.array([1.0, 10.0, 100.0]))
    assert middle - low == pytest.approx(high - middle) and panel.places(np.zeros(1))[0] == pytest.approx(0)
    assert panel.ticks() == [1, 10, 100]


def test_modalities_keep_their_colors_and_others_get_their_own():
    names = ["loss", "a/sound", "a/text", "b/image/0", "b/smell", "b/touch", "c/text/title/3"]
    colors = modality_colors(modality for name in names for modality in modalities_in(name))
    assert colors == {
        "sound": FURTHER[0],
        "text": TEXT,
        "image": IMAGE,
        "smell": FURTHER[1],
        "touch": MUTED,
        "text/title": MUTED,
    }


def test_time_spans_are_written_in_the_units_that_matter():
    assert [duration(s) for s in (0.4, 59, 61, 3600, 3 * 3600 + 125)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "1 h 0 min",
        "3 h 2 min",
    ]


def test_the_speed_is_that_of_the_newer_half():
    events = [Event(i, 100, 10 * i if i <= 20 else 200 + (i - 20), {"loss": 1.0}) for i in range(1, 61)]
    assert Curves(events).rate() == pytest.approx(1)  # the slow beginning is forgotten
    assert Curves([Event(5, 100, 2, {})]).rate() == pytest.approx(2.5)
    assert Curves([Event(5, 100, 0, {})]).rate() == Curves().rate() == 0


def test_the_final_figure_holds_every_curve_and_says_how_it_ended():
    events, reference = training(final=0.02), training(final=0.08, seed=1)
    figure, sentence = training_figure(events, reference, "alone")
    curves = Curves(events)
    solid = [trace for trace in figure.data if trace.line.dash == "solid"]
    assert len(solid) == len(figure.data) / 2 == 6 + 2 + 4
    for name, trace in zip(curves.losses, solid, strict=False):
        np.testing.assert_allclose(trace.customdata, curves.losses[name].arrays()[1], rtol=1e-6)
        np.testing.assert_array_equal(trace.x, curves.losses[name].arrays()[0])
    rate = np.exp(-5)
    assert sentence.startswith("Finished: step 60 of 60 after 6 s, 10 steps/s. Loss ")
    assert sentence.endswith(
        f"Dashed: alone, with a conflict rate of text {share(rate + 0.08)}, image {share(rate + 0.08)}."
    )
    assert figure.layout.title.text == (
        f"Conflict rate after 60 steps: text {share(rate + 0.02)}, image {share(rate + 0.02)}"
    )


@pytest.mark.parametrize("names", [("valid", "HR"), ("users of a long name", "loss"), ("a" * 400, "b")])
def test_labels_keep_clear_of_the_panel_beside_on_a_narrow_page(names):
    first, other = names
    measured = {f"HR@10/{first}": 0.12345, f"NDCG@10/{other}": 0.05}
    figure, _ = training_figure([Event(1, 2, 1, {"loss": 1.0}, measured), Event(2, 2, 2, {"loss": 0.5}, measured)])
    left, right = figure.layout.xaxis2.domain, figure.layout.xaxis3.domain
    room = (right[0] - left[1]) * (800 - figure.layout.margin.l - figure.layout.margin.r)
    label = next(note.text for note in figure.layout.annotations if note.text.startswith(first))
    ticks = max(len(tick) for tick in figure.layout.yaxis3.ticktext)
    assert room >= 6 + 6 * len(label) + 8 * ticks + 10 or len(label) > 60  # what is longer than a page is wide is cut
    assert left[1] - left[0] == pytest.approx(right[1] - right[0]) and left[1] - left[0] >= 0.24


@pytest.mark.parametrize("color", [*MODALITY.values(), CONFLICT, MUTED, INK])
def test_labels_in_the_color_of_their_curve_can_be_read(color):
    nothing = np.empty(0)
    ink = Line("", color, 1, nothing, nothing, nothing, nothing).ink
    channels = np.array([int(ink[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    luminance = ((channels + 0.055) / 1.055) ** 2.4 @ [0.2126, 0.7152, 0.0722]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_the_final_figure_of_a_training_with_losses_only_is_one_panel():
    figure, sentence = training_figure([Event(i, 9, i, {"loss": 1 / i}) for i in range(1, 6)])
    assert len(figure.data) == 1 and figure.layout.title.text == "5 steps"
    assert sentence == "Ended early: step 5 of 9 after 5 s, 1 steps/s. Loss 0.2."


def test_a_rate_that_is_always_zero_has_an_axis_below_one():
    events = [Event(step, 2, 1, {"loss": 1}, {"conflict_rate/text": 0.0}) for step in (1, 2)]
    rates = next(panel for panel in panels(Curves(events), Curves(), 100) if "conflict" in panel.title)
    assert rates.limits()[1] <= 1.6
    assert all(tick <= 1 for tick in rates.ticks())
