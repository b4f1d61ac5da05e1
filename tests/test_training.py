"""The training loop: whole steps, resumption bit for bit, the best weights, and nothing left behind."""

import math
import signal
import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from macrec.checkpoint import Checkpoint
from macrec.training import Keep, Plan, Watch, drain, generator_for, train

PLAN = Plan(steps=11, report_every=3, measure_every=4, learning_rate=0.05, clip=1.0)
EVENTS = [3, 4, 6, 8, 9, 11]


class Line:
    """A task of few numbers: fit a line through random points, with dropout, a buffer and a weight that rests first."""

    def __init__(self, dropout=0.3, dtype=torch.float32, scores=None):
        self.module = nn.Sequential(nn.Dropout(dropout), nn.Linear(3, 2), nn.Dropout(dropout), nn.Linear(2, 1)).to(
            dtype
        )
        self.module.register_buffer("moving", torch.zeros(2, 3, dtype=dtype))
        for parameter in self.module.parameters():
            nn.init.constant_(parameter, 0.3)
        self.x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
        self.scores = scores
        self.calls: list[int] = []
        self.during = lambda step: None

    def losses(self, step):
        self.calls.append(step)
        rows = torch.randperm(64, generator=generator_for(0, step))[:16]
        x = self.x[rows]
        out = self.module[:3](x)
        out = self.module[3](out) if step >= 2 else out  # the last layer learns from the third step on
        fit = mse_loss(out.mean(1), x.sum(1))
        self.during(step)
        return fit + 0.1 * out.square().mean(), {"fit": fit, "size/line": out.square().mean()}

    def batch_size(self, step):
        return 16

    def stepped(self, step):
        with torch.no_grad():
            self.module.moving.lerp_(self.module[1].weight, 0.1)
            if step == 5:
                self.module[1].weight.copy_(self.module.moving)

    def measure(self):
        assert not self.module.training
        step = self.calls[-1] + 1
        score = self.scores[step // 4] if self.scores else self.module[1].weight.sum().item()
        return {"score": score}, {"line": (np.array([step, 2]), np.array([1]))}

    def weights(self):
        return {name: value.clone() for name, value in self.module.state_dict().items()}


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def told(events):
    """Events without the time they took and without code counts, of which a checkpoint keeps only the last."""
    return [(event.step, event.steps, event.samples, event.losses, event.measured) for event in events]


def uninterrupted(plan=PLAN, **options):
    task = Line(**options)
    return list(train(task, plan)), task.weights()


def interrupt(*_):
    signal.raise_signal(signal.SIGINT)


def test_events_come_when_they_are_due_and_hold_the_mean_since_the_one_before():
    each, _ = uninterrupted(replace(PLAN, report_every=1))
    some, _ = uninterrupted()
    assert [event.step for event in each] == list(range(1, 12)) and [event.step for event in some] == EVENTS
    for before, event in zip([0, *EVENTS], some, strict=False):
        for name in ("loss", "fit", "size/line"):
            mean = np.mean([one.losses[name] for one in each[before : event.step]])
            assert event.losses[name] == pytest.approx(mean, rel=1e-12)
        assert bool(event.measured) == bool(event.usage) == (event.step in (4, 8, 11))
    assert all(one.seconds < other.seconds for one, other in pairwise(some))


def test_a_term_that_comes_later_is_the_mean_over_the_steps_that_had_it():
    class Late(Line):
        def losses(self, step):
            loss, terms = super().losses(step)
            return loss, terms if step < 4 else terms | {"late": torch.tensor(float(step))}

    events = list(train(Late(), replace(PLAN, measure_every=100)))
    assert [event.step for event in events] == [3, 6, 9, 11]
    assert [event.losses.get("late") for event in events] == [None, 4.5, 7.0, 9.5]


def test_the_loss_and_its_terms_agree_and_fall():
    events, _ = uninterrupted(replace(PLAN, steps=150), dropout=0.0)
    for event in events:
        total = event.losses["fit"] + 0.1 * event.losses["size/line"]
        assert event.losses["loss"] == pytest.approx(total, rel=1e-5)
    assert events[-1].losses["loss"] < 0.5 * events[0].losses["loss"]


@pytest.mark.parametrize(("dropout", "dtype"), [(0.3, torch.float32), (0.0, torch.float64)])
def test_a_training_interrupted_after_any_step_resumes_bit_for_bit(tmp_path, dropout, dtype):
    events, weights = uninterrupted(dropout=dropout, dtype=dtype)
    for last in range(PLAN.steps):
        checkpoint = Checkpoint(tmp_path / str(last), {})
        task = Line(dropout, dtype)
        task.during = lambda step, last=last: interrupt() if step == last else None
        first = drain(train(task, PLAN, checkpoint, checkpoint_seconds=math.inf))
        assert first.stopped and task.calls == list(range(last + 1))
        assert told(first.events) == told(events[: len(first.events)])
        again = Line(dropout, dtype)
        second = drain(train(again, PLAN, checkpoint))
        assert again.calls == list(range(last + 1, PLAN.steps))  # no step is done twice, none is lost
        assert told(second.events) == told(events) and not second.stopped
        assert equal(again.weights(), weights)


def test_a_training_may_be_interrupted_at_every_step(tmp_path):
    events, weights = uninterrupted()
    checkpoint = Checkpoint(tmp_path, {})
    for _ in range(PLAN.steps):
        task = Line()
        task.during = interrupt
        assert drain(train(task, PLAN, checkpoint)).stopped
    last = Line()
    assert told(drain(train(last, PLAN, checkpoint)).events) == told(events)
    assert last.calls == [] and equal(last.weights(), weights)


@pytest.mark.parametrize("consumed", range(1, len(EVENTS) + 1))
def test_a_training_that_nobody_follows_any_more_resumes_from_its_last_event(tmp_path, consumed):
    events, weights = uninterrupted()
    checkpoint = Checkpoint(tmp_path, {})
    running = train(Line(), PLAN, checkpoint, checkpoint_seconds=math.inf)
    for _ in range(consumed):
        next(running)
    running.close()
    task = Line()
    assert told(train(task, PLAN, checkpoint)) == told(events)
    assert (
        equal(task.weights(), weights) and task.calls[:1] == [*EVENTS, None][consumed - 1 : consumed][: len(task.calls)]
    )


def test_ctrl_c_in_the_middle_of_a_step_waits_for_it_to_be_whole(tmp_path):
    task, reference = Line(), Line()
    task.during = lambda step: interrupt() if step == 4 else None
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        list(train(task, PLAN, Checkpoint(tmp_path, {}), checkpoint_seconds=math.inf))
    assert signal.getsignal(signal.SIGINT) is handler
    running = train(reference, replace(PLAN, report_every=1))
    for _ in range(5):
        next(running)
    assert equal(task.weights(), reference.weights())
    running.close()
    tensors, state = Checkpoint(tmp_path, {}).load()
    assert state["step"] == 5
    assert equal({name[7:]: value for name, value in tensors.items() if name.startswith("module.")}, task.weights())


def test_ctrl_c_waits_for_a_checkpoint_to_be_whole(tmp_path, monkeypatch):
    events, weights = uninterrupted()
    checkpoint, save = Checkpoint(tmp_path, {}), Checkpoint.save

    def interrupted(*arguments):
        interrupt()
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", interrupted)
        first = drain(train(Line(), PLAN, checkpoint, checkpoint_seconds=0))
    assert first.stopped and checkpoint.load()[1]["step"] == EVENTS[0]
    task = Line()
    assert told(train(task, PLAN, checkpoint)) == told(events) and equal(task.weights(), weights)


def test_training_works_in_a_thread_too():
    """Only the main thread may touch signals."""
    events, found = uninterrupted()[0], []
    thread = threading.Thread(target=lambda: found.extend(train(Line(), PLAN)))
    thread.start()
    thread.join()
    assert told(found) == told(events)


def test_an_interrupt_in_a_sink_ends_the_training_at_a_whole_step(tmp_path):
    events, weights = uninterrupted()
    checkpoint = Checkpoint(tmp_path, {})
    seen, closed = [], []

    class Sink:
        def __call__(self, event):
            seen.append(event)
            if event.step == 6:
                interrupt()

        def close(self):
            closed.append(True)

    running = train(Line(), PLAN, checkpoint, checkpoint_seconds=math.inf)  # a name keeps it from being collected
    trained = drain(running, Sink())
    assert trained.stopped and trained.events == seen and closed == [True]
    assert told(seen) == told(events[:3])
    assert checkpoint.load()[1]["step"] == 6
    task = Line()
    assert told(train(task, PLAN, checkpoint)) == told(events) and equal(task.weights(), weights)


def test_drain_returns_all_events_and_hands_them_to_every_sink():
    one, other = [], []
    trained = drain(train(Line(), PLAN), one.append, other.append)
    assert [event.step for event in trained.events] == EVENTS and not trained.stopped
    assert trained.events == one == other


def test_an_error_in_a_sink_is_raised_after_the_sinks_are_closed():
    class Sink:
        closed = False

        def __call__(self, event):
            raise RuntimeError("no pen")

        def close(self):
            self.closed = True

    sink = Sink()
    with pytest.raises(RuntimeError, match="no pen"):
        drain(train(Line(), PLAN), sink)
    assert sink.closed


def test_a_finished_training_only_replays_its_events(tmp_path):
    checkpoint = Checkpoint(tmp_path, {})
    task = Line()
    events = list(train(task, PLAN, checkpoint))
    again = Line()
    replayed = list(train(again, PLAN, checkpoint))
    assert again.calls == [] and equal(again.weights(), task.weights())
    assert told(replayed) == told(events) and [event.seconds for event in replayed] == [e.seconds for e in events]
    assert all(np.array_equal(a, b) for a, b in zip(replayed[-1].usage["line"], events[-1].usage["line"], strict=True))
    assert not any(event.usage for event in replayed[:-1])


def test_seconds_go_on_counting_after_a_resumption(tmp_path):
    running = train(Line(), PLAN, Checkpoint(tmp_path, {}))
    first = [next(running), next(running)]
    running.close()
    seconds = [event.seconds for event in train(Line(), PLAN, Checkpoint(tmp_path, {}))]
    assert seconds[:2] == [event.seconds for event in first] and seconds == sorted(seconds)


SCORES = [None, 5.0, 3.0, 4.0, 3.0, 2.0]  # the measurements after 4, 8, 12, 16 and 20 steps


@pytest.mark.parametrize(
    ("best", "patience", "kept", "stopped"),
    [("lowest", None, 20, 20), ("highest", None, 4, 20), ("lowest", 2, 8, 16), ("highest", 1, 4, 8)],
)
def test_the_best_weights_are_kept_and_patience_runs_out(tmp_path, best, patience, kept, stopped):
    plan = replace(PLAN, steps=20, keep=(Keep("score", best),), patience=patience)
    before = Line(scores=SCORES)
    for event in train(before, replace(plan, keep=(), patience=None)):
        if event.step == kept:
            expected = before.weights()  # a generator waits while its consumer looks
    task = Line(scores=SCORES)
    events = list(train(task, plan, Checkpoint(tmp_path, {})))
    assert events[-1].step == stopped and equal(task.weights(), expected)
    again = Line(scores=SCORES)
    assert list(train(again, plan, Checkpoint(tmp_path, {})))[-1].step == stopped
    assert again.calls == [] and equal(again.weights(), expected)


def test_patience_and_the_best_weights_survive_every_interruption(tmp_path):
    plan = replace(PLAN, steps=20, keep=(Keep("score", "lowest"),), patience=2)
    events, weights = uninterrupted(plan, scores=SCORES)
    assert events[-1].step == 16
    for last in (3, 7, 9, 11, 14, 15):
        checkpoint = Checkpoint(tmp_path / str(last), {})
        task = Line(scores=SCORES)
        task.during = lambda step, last=last: interrupt() if step == last else None
        drain(train(task, plan, checkpoint))
        task = Line(scores=SCORES)
        assert told(train(task, plan, checkpoint)) == told(events) and equal(task.weights(), weights)


class Watched(Line):
    """What it scores and loses on validation users stands in two lists, measurement by measurement."""

    losses_told = (None, 3.0, 2.0, 1.0, 1.0, 1.0, 0.5)
    scores_told = (None, 2.0, 5.0, 4.0, 4.0, 5.0, 9.0)

    def measure(self):
        number = (self.calls[-1] + 1) // 4
        return {"score": self.scores_told[number], "loss/validation": self.losses_told[number]}, {}


@pytest.mark.parametrize("last", [None, 9, 13, 17, 19])
def test_patience_waits_as_long_as_anything_that_is_watched_gets_better(tmp_path, last):
    """The score is best after 8 steps, the loss after 12: the weights of the one are kept, patience begins at both."""
    plan = replace(
        PLAN, steps=24, keep=(Keep("score", "highest"),), watch=(Watch("loss/validation"),), patience=2
    )  # fmt: skip
    before = Watched()
    for event in train(before, replace(plan, keep=(), watch=(), patience=None)):
        if event.step == 8:
            expected = before.weights()
    task = Watched()
    task.during = lambda step: interrupt() if step == last else None
    events = drain(train(task, plan, Checkpoint(tmp_path, {}))).events
    if last is not None:
        task = Watched()
        events = drain(train(task, plan, Checkpoint(tmp_path, {}))).events
    assert events[-1].step == 20 and equal(task.weights(), expected)


def test_patience_does_not_wait_for_what_is_only_kept():
    """Of several numbers to keep weights by, the first is waited for; here it is best after 8 steps."""
    plan = replace(PLAN, steps=24, keep=(Keep("score", "highest"), Keep("loss/validation")), patience=2)
    task = Watched()
    task.losses_told = (None, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    assert drain(train(task, plan)).events[-1].step == 16


def test_an_interrupt_leaves_the_best_weights_and_a_checkpoint_that_goes_on_from_the_newest(tmp_path):
    plan = replace(PLAN, steps=20, keep=(Keep("score", "lowest"),))
    scores = [None, 5.0, 3.0, 4.0, 3.5, 2.0]
    events, weights = uninterrupted(plan, scores=scores)
    best = {}
    for event in train(before := Line(scores=scores), replace(plan, keep=(), report_every=1)):
        best[event.step] = before.weights()
    checkpoint = Checkpoint(tmp_path, {})
    # In the middle of a step, before anything was measured and after; and while events are only told again.
    for last, expected in ((1, 2), (5, 4), (9, 8), (10, 8), (14, 8)):
        task = Line(scores=scores)
        task.during = lambda step, last=last: interrupt() if step == last else None
        assert drain(train(task, plan, checkpoint)).stopped
        assert equal(task.weights(), best[expected])
        if last == 1:
            continue  # no event is there to be told again
        task = Line(scores=scores)
        running = train(task, plan, checkpoint)
        next(running)
        running.close()
        assert equal(task.weights(), best[expected]) and task.calls == []
    last = Line(scores=scores)
    assert told(train(last, plan, checkpoint)) == told(events)
    assert equal(last.weights(), weights)


def test_events_tell_samples_and_the_cpu_time_of_the_steps_over_all_resumptions(tmp_path):
    running = train(Line(), PLAN, Checkpoint(tmp_path, {}))
    first = [next(running), next(running)]
    running.close()
    events = list(train(Line(), PLAN, Checkpoint(tmp_path, {})))
    assert [event.samples for event in events] == [16 * step for step in EVENTS]
    assert [event.cpu_seconds for event in events[:2]] == [event.cpu_seconds for event in first]
    assert all(one.cpu_seconds < other.cpu_seconds for one, other in pairwise(events))


def test_two_parts_may_be_kept_by_one_number():
    plan = replace(PLAN, steps=20, keep=(Keep("score", prefix="1."), Keep("score", prefix="3.")))
    task, weights = Line(scores=[None, 5.0, 3.0, 4.0, 3.0, 6.0]), {}
    for event in train(task, replace(plan, report_every=1)):
        weights[event.step] = task.weights()
    for name in ("1.weight", "3.weight"):
        assert torch.equal(task.weights()[name], weights[8][name])


def test_weights_are_kept_prefix_by_prefix():
    class Two(Line):
        def measure(self):
            step = self.calls[-1] + 1
            return {"a": -float(step), "b": float(step)}, {}  # the first gets better, the second worse

    plan = replace(
        PLAN, steps=12, measure_every=4, report_every=1, keep=(Keep("b", prefix="1."), Keep("a", prefix="3."))
    )
    task = Two()
    weights = {}
    for event in train(task, plan):
        weights[event.step] = task.weights()
    final = task.weights()
    assert torch.equal(final["1.weight"], weights[4]["1.weight"])
    assert not torch.equal(final["1.weight"], weights[11]["1.weight"])
    assert not torch.equal(final["3.weight"], weights[11]["3.weight"])
    assert torch.equal(final["moving"], weights[12]["moving"])


@pytest.mark.parametrize("term", ["fit", "size/line"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_and_is_named(term, value):
    class Bad(Line):
        def losses(self, step):
            loss, terms = super().losses(step)
            if step == 5:
                terms[term] = terms[term] * value
                loss = loss + terms[term]
            return loss, terms

    with pytest.raises(FloatingPointError, match=f"^{term} is {value} in steps 5 to 6"):
        list(train(Bad(), PLAN))


def test_a_checkpoint_of_before_is_what_a_failed_training_leaves(tmp_path):
    checkpoint = Checkpoint(tmp_path, {})
    task = Line()
    task.during = lambda step: task.module[3].weight.data.fill_(math.nan) if step == 6 else None
    with pytest.raises(FloatingPointError):
        list(train(task, PLAN, checkpoint, checkpoint_seconds=0))
    tensors, state = checkpoint.load()
    assert state["step"] == 6 and all(value.isfinite().all() for value in tensors.values())


def test_the_global_generator_is_as_it_was():
    task = Line()  # its layers draw when they are made
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    for _ in train(task, PLAN):
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_step_has_draws_of_its_own():
    task, drawn = Line(), []
    task.during = lambda step: drawn.append(torch.rand(1).item())
    list(train(task, PLAN))
    assert len(set(drawn)) == len(drawn) == PLAN.steps


def test_what_was_drawn_before_does_not_matter_but_the_seed_does():
    torch.manual_seed(1)
    _, one = uninterrupted()
    torch.manual_seed(2)
    _, same = uninterrupted()
    _, other = uninterrupted(replace(PLAN, seed=1))
    assert equal(one, same) and not equal(one, other)


def denormals_are_flushed():
    return float(torch.tensor([1e-39]) * 0.5) == 0


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormal numbers")
def test_small_numbers_are_flushed_to_zero_while_a_step_runs_and_never_outside_of_it():
    inside, outside = [], []
    task = Line()
    task.during = lambda step: inside.append(denormals_are_flushed())
    for event in train(task, PLAN):
        outside.append(denormals_are_flushed())
        if event.step == 9:
            task.during = interrupt
            break
    assert all(inside) and not any(outside) and not denormals_are_flushed()
    with pytest.raises(KeyboardInterrupt):
        list(train(task, PLAN))
    assert not denormals_are_flushed()


def test_a_checkpoint_is_written_no_more_often_than_asked(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, step, tensors, state: saved.append(step))
    list(train(Line(), PLAN, Checkpoint(tmp_path, {}), checkpoint_seconds=math.inf))
    assert saved == [11]
    saved.clear()
    list(train(Line(), PLAN, Checkpoint(tmp_path, {}), checkpoint_seconds=0))
    assert saved == EVENTS


def test_the_learning_rate_climbs_and_then_falls_by_a_cosine():
    plan = Plan(steps=100, learning_rate=2.0, warmup=10)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert rates[55] == pytest.approx(1.0) and 0 < rates[99] < 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert {replace(plan, schedule="constant").rate(step) for step in range(9, 100)} == {2.0}


FACTORS = (("1.", 3.0), ("1.bias", 100.0), ("3.weight", 0.0))


def test_weights_learn_at_the_rate_times_the_first_factor_that_fits():
    plan = replace(PLAN, steps=1, weight_decay=0.5, clip=None)
    moved = {}
    for factors in ((), FACTORS):
        task = Line(dropout=0.0, dtype=torch.float64)
        before = task.weights()
        task.losses = lambda step, task=task: Line.losses(task, 2)  # a step in which the last layer learns, too
        drain(train(task, replace(plan, rate_factors=factors)))
        moved[factors] = {name: value - before[name] for name, value in task.weights().items() if name != "moving"}
    assert all((change != 0).all() for change in moved[()].values())
    # The first step of AdamW, decay included, is the rate times what does not depend on it.
    for name, factor in {"1.weight": 3.0, "1.bias": 3.0, "3.weight": 0.0, "3.bias": 1.0}.items():
        torch.testing.assert_close(moved[FACTORS][name], factor * moved[()][name])


def test_factors_follow_the_schedule_of_the_plan():
    """Factors on all weights are another learning rate, step by step."""
    plan = replace(PLAN, warmup=4)
    _, expected = uninterrupted(replace(plan, learning_rate=0.04))
    _, found = uninterrupted(replace(plan, learning_rate=0.02, rate_factors=(("1.", 2.0), ("", 2.0))))
    assert equal(found, expected)


def test_a_training_with_factors_resumes_bit_for_bit(tmp_path):
    plan = replace(PLAN, rate_factors=FACTORS)
    events, weights = uninterrupted(plan)
    assert not equal(weights, uninterrupted()[1])
    for last in range(PLAN.steps):
        checkpoint = Checkpoint(tmp_path / str(last), {})
        task = Line()
        task.during = lambda step, last=last: interrupt() if step == last else None
        assert drain(train(task, plan, checkpoint)).stopped
        again = Line()
        assert told(drain(train(again, plan, checkpoint)).events) == told(events)
        assert equal(again.weights(), weights)


def test_the_gradient_is_clipped():
    """With plain statistics of Adam at the first step only the direction counts, so look at the gradient itself."""
    task, norms = Line(dropout=0), []
    stepped = task.stepped
    task.stepped = lambda step: norms.append(  # type: ignore[method-assign]
        torch.cat([p.grad.flatten() for p in task.module.parameters() if p.grad is not None]).norm().item()
    ) or stepped(step)  # fmt: skip
    list(train(task, replace(PLAN, clip=0.01)))
    assert norms and max(norms) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"report_every": 0}, {"measure_every": 0}, {"patience": 3}])
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|needs"):
        Plan(**{"steps": 5, **wrong})


def test_generators_depend_on_seed_and_purpose():
    draws = [
        torch.rand(4, generator=generator_for(*numbers)) for numbers in [(0, 1, 2), (0, 1, 2), (0, 2, 1), (1, 1, 2)]
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2]) and not torch.equal(draws[0], draws[3])
