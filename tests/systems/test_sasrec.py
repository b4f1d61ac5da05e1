"""SASRec: the network against numpy, every target once per epoch, one seed one result, and nothing seen too early."""

import signal
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf, log_softmax, softmax

from macrec.data import Histories, from_events, leave_one_out
from macrec.data.split import Samples, training_events
from macrec.data.windows import Windows
from macrec.errors import DataError
from macrec.evaluation.metrics import hit_rate, ndcg
from macrec.systems.sasrec import SASRec
from macrec.systems.sasrec_network import SASRecNetwork, SASRecRecipe
from macrec.systems.sasrec_training import SASRecTraining
from macrec.training import drain

N = 9
TINY = SASRecRecipe(width=8, layers=2, heads=2, dropout=0.2, max_history=4, epochs=3, batch=8, learning_rate=0.01)
SEQUENCES = st.lists(st.lists(st.integers(0, N - 1), min_size=1, max_size=15), min_size=1, max_size=6)


def dataset(sequences):
    events = [(f"u{user}", f"i{item}") for user, items in enumerate(sequences) for item in items]
    return from_events(
        "toy",
        pl.DataFrame(events, schema=["user_id", "item_id"], orient="row"),
        pl.DataFrame({"item_id": [f"i{item}" for item in range(N)]}),
        events_file="events",
        items_file="items",
    )


def random_sequences(users=30):
    rng = np.random.default_rng(0)
    return [rng.integers(0, N, rng.integers(3, 12)).tolist() for _ in range(users)]


@pytest.fixture(scope="module")
def data():
    return dataset(random_sequences())


@pytest.fixture(scope="module")
def split(data):
    return leave_one_out(data.histories)


@pytest.fixture(scope="module")
def fitted(data, split):
    system = SASRec(TINY)
    drain(system.fit(data, split))
    return system


def numbers(network):
    return {name: value.numpy() for name, value in network.state_dict().items()}


def learned(system):
    return numbers(system._network)


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


def random_network():
    """A network in which every part matters: far from its initial weights, biases and norms included."""
    network = SASRecNetwork(N, TINY).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return network


def batch_of(sequences):
    longest = max(map(len, sequences))
    inside = torch.tensor([[place < len(items) for place in range(longest)] for items in sequences])
    return torch.tensor([item for items in sequences for item in items]), inside


def asked(task, step):
    """The windows of the batch of `step`: the places each reads, and which of them are asked for the next event."""
    rows = zip(*(column.numpy() for column in task.windows.batch(step)), strict=True)
    return [(places[inside], asks[inside]) for places, inside, asks in rows]


# The network by hand: loops over layers, heads and places.


def norm_by_hand(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def states_by_hand(network, items):
    """States `[T, width]` of one sequence."""
    w = {name: value.astype(np.float64) for name, value in numbers(network).items()}
    x = np.array([w["embedding.weight"][item] + w["age.weight"][len(items) - 1 - t] for t, item in enumerate(items)])
    part = TINY.width // TINY.heads
    for layer in range(TINY.layers):
        own = {name.removeprefix(f"blocks.{layer}."): value for name, value in w.items()}
        normed = norm_by_hand(x, own["attention_norm.weight"], own["attention_norm.bias"])
        query, key, value = np.split(normed @ own["query_key_value.weight"].T + own["query_key_value.bias"], 3, axis=1)
        read = np.zeros_like(x)
        for head in range(TINY.heads):
            of = slice(head * part, (head + 1) * part)
            for t in range(len(items)):
                read[t, of] = softmax(key[: t + 1, of] @ query[t, of] / np.sqrt(part)) @ value[: t + 1, of]
        x = x + read @ own["output.weight"].T + own["output.bias"]
        normed = norm_by_hand(x, own["feed_forward_norm.weight"], own["feed_forward_norm.bias"])
        wide = normed @ own["wide.weight"].T + own["wide.bias"]
        x = x + (wide * (1 + erf(wide / np.sqrt(2))) / 2) @ own["narrow.weight"].T + own["narrow.bias"]
    return norm_by_hand(x, w["norm.weight"], w["norm.bias"])


def test_states_equal_a_second_implementation():
    network, sequences = random_network(), [[3, 1, 4, 1], [5], [2, 6]]
    expected = np.concatenate([states_by_hand(network, items) for items in sequences])
    np.testing.assert_allclose(network(*batch_of(sequences)).detach(), expected, rtol=1e-4, atol=1e-4)


def test_the_loss_equals_a_loop_over_targets(data, split):
    network, items = random_network(), data.histories.items
    task = SASRecTraining(network, split.train, TINY)
    for step in range(task.windows.per_epoch):
        expected = [
            -log_softmax(network.embedding.weight.detach().double().numpy() @ state)[items[place + 1]]
            for places, asks in asked(task, step)
            for place, state in zip(places[asks], states_by_hand(network, items[places])[asks], strict=True)
        ]
        loss, terms = task.losses(step)
        assert loss.item() == pytest.approx(np.mean(expected), rel=1e-5)
        assert terms.keys() == {"next item"} and terms["next item"].item() == loss.item()


def test_a_later_item_never_changes_an_earlier_state():
    network, items = random_network(), [3, 1, 4, 1]
    before = network(*batch_of([items])).detach().numpy()
    for place in range(len(items)):
        other = [*items[:place], 8, *items[place + 1 :]]
        after = network(*batch_of([other])).detach().numpy()
        np.testing.assert_array_equal(after[:place], before[:place])
        assert (np.abs(after[place:] - before[place:]).max(1) > 1e-3).all()


def test_neither_the_others_in_a_batch_nor_padding_change_scores(fitted, split):
    together = fitted.scores(split.test)
    assert together.shape == (len(split.test), N) and len(set(np.minimum(split.test.lengths, 4))) > 1
    for row in range(len(split.test)):
        alone = fitted.scores(split.test.take(np.array([row])))
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-5)
    assert fitted.scores(split.test.take(np.zeros(0, np.int64))).shape == (0, N)


def test_only_the_newest_items_are_read(fitted):
    def scores(*histories):
        return fitted.scores(leave_one_out(Histories.from_lists([[*items, 0] for items in histories])).test)

    newest = [5, 3, 2, 7]
    assert len(newest) == TINY.max_history
    longer = scores(newest, [1, *newest], [6, 8, 8, *newest])
    np.testing.assert_array_equal(longer[0], longer[1])
    np.testing.assert_array_equal(longer[0], longer[2])
    assert not np.allclose(scores([1, *newest[1:]]), longer[0])


# What is learned from.


@given(SEQUENCES, st.integers(1, 6), st.integers(1, 20), st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_target_is_asked_once_per_epoch_and_told_from_the_items_before_it(sequences, longest, cut, batch, random):
    histories = Histories.from_lists(sequences)
    train = leave_one_out(histories, cut).train
    if len(train) == 0:
        return
    # Any part of the samples, in any order.
    rows = random.sample(range(len(train)), random.randint(1, len(train)))
    train = train.take(np.array(rows))
    recipe = replace(TINY, max_history=longest, batch=batch)
    task = SASRecTraining(SASRecNetwork(N, recipe), train, recipe)
    oldest = {user: train.start[train.user == user].min() for user in train.user}
    user = dict(zip(train.target.tolist(), train.user.tolist(), strict=True))
    for epoch in range(2):
        met = []
        for step in range(epoch * task.windows.per_epoch, (epoch + 1) * task.windows.per_epoch):
            windows = asked(task, step)
            assert 1 <= len(windows) <= batch
            for places, asks in windows:
                assert places.tolist() == list(range(places[0], places[-1] + 1)) and len(places) <= longest
                assert asks.any()
                for at in np.flatnonzero(asks):
                    target = int(places[at]) + 1
                    met.append(target)
                    before = target - oldest[user[target]]  # items that could be read
                    assert min(before, longest // 2 + 1) <= at + 1 <= before
                    if before <= longest:
                        assert at + 1 == before
        assert sorted(met) == sorted(train.target.tolist())


def test_every_epoch_has_an_order_of_its_own_that_the_seed_decides(split):
    def order(seed, epoch):
        task = SASRecTraining(SASRecNetwork(N, TINY), split.train, replace(TINY, seed=seed))
        steps = range(epoch * task.windows.per_epoch, (epoch + 1) * task.windows.per_epoch)
        for step in steps:
            assert task.batch_size(step) == sum(asks.sum() for _, asks in asked(task, step))
        return [tuple(places) for step in steps for places, _ in asked(task, step)]

    assert order(0, 1) == order(0, 1) and sorted(order(0, 0)) == sorted(order(0, 1)) == sorted(order(1, 0))
    for other in (order(0, 1), order(0, 2), order(1, 0)):
        assert sum(a == b for a, b in zip(order(0, 0), other, strict=True)) < len(other) / 2


def test_a_plan_has_what_its_recipe_says(split):
    recipe = replace(TINY, weight_decay=0.3, patience=2, seed=5)
    task = SASRecTraining(SASRecNetwork(N, recipe), split.train, recipe, dict)
    plan = task.plan()
    assert (plan.steps, plan.measure_every) == (TINY.epochs * task.windows.per_epoch, task.windows.per_epoch)
    assert (plan.learning_rate, plan.weight_decay, plan.patience, plan.seed) == (0.01, 0.3, 2, 5)
    assert [(keep.metric, keep.best) for keep in plan.keep] == [("NDCG@10/validation", "highest")]
    assert [(watch.metric, watch.best) for watch in plan.watch] == [("loss/validation", "lowest")]
    for name, weight in task.module.named_parameters():
        table = name in ("embedding.weight", "age.weight")
        assert plan.decayed(name, weight) == (0.0 if table or weight.ndim < 2 else 0.3)


def test_a_long_history_is_cut_into_overlapping_windows():
    train = leave_one_out(Histories.from_lists([list(range(12)), [1, 2, 3, 4]])).train
    windows = Windows.of(train, 4)
    # Targets 1 to 9: the first four, then two at a time, each window reading the four items before its last target.
    assert windows.first.tolist() == [1, 5, 7, 9, 13]
    assert windows.end.tolist() == [4, 6, 8, 9, 13]
    assert windows.begin.tolist() == [0, 2, 4, 5, 12]


@given(SEQUENCES, st.integers(1, 6), st.integers(1, 6))
def test_it_does_not_matter_how_short_training_histories_were_cut(sequences, longest, cut):
    histories = Histories.from_lists(sequences)
    one, other = leave_one_out(histories).train, leave_one_out(histories, cut).train
    if len(one):
        for column, expected in zip(Windows.of(other, longest), Windows.of(one, longest), strict=True):
            assert column.tolist() == expected.tolist()


def test_the_test_targets_teach_nothing(data, split, fitted):
    changed = data.histories.items.copy()
    changed[split.test.target] = (changed[split.test.target] + 1) % N
    other = dataset([part.tolist() for part in np.split(changed, data.histories.offsets[1:-1])])
    assert training_events(leave_one_out(other.histories))[1].tolist() == training_events(split)[1].tolist()
    system = SASRec(TINY)
    drain(system.fit(other, leave_one_out(other.histories)))
    assert same(learned(system), learned(fitted))


# Training.


def test_a_deterministic_catalog_is_learned_by_heart():
    # Every other item counts on by one from a start of its own, so that the last item alone does not tell the next.
    sequences = [
        [(start + place // 2) % N for place, start in enumerate([first, second] * 4)]
        for first in range(N)
        for second in range(N)
    ]
    data = dataset(sequences)
    split = leave_one_out(data.histories)
    recipe = SASRecRecipe(width=32, dropout=0.0, max_history=4, epochs=30, batch=16, learning_rate=5e-3, patience=None)
    system = SASRec(recipe)
    drain(system.fit(data, split))
    for samples in (split.valid, split.test):
        assert hit_rate(system.recommend(samples, 1).rank_of(samples.targets), 1) == 1.0


def test_one_seed_gives_one_result_whatever_was_drawn_before(data, split, fitted):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = SASRec(TINY)
    drain(again.fit(data, split))
    assert torch.equal(torch.get_rng_state(), before)  # nor does it change what others will draw
    assert same(learned(again), learned(fitted))
    other = SASRec(replace(TINY, seed=1))
    drain(other.fit(data, split))
    assert not same(learned(other), learned(fitted))


def test_initial_weights_have_the_deviation_they_should():
    network = SASRecNetwork(2000, SASRecRecipe())
    for name, value in network.named_parameters():
        if value.ndim == 2:
            assert value.std().item() == pytest.approx(0.02, rel=0.1) and abs(value.mean().item()) < 0.002
        else:
            assert (value == (0.0 if name.endswith("bias") else 1.0)).all()


def test_a_training_interrupted_anywhere_ends_as_if_nothing_had_happened(data, split, fitted, tmp_path, monkeypatch):
    whole = drain(SASRec(TINY).fit(data, split)).events
    plain = SASRecTraining.losses
    steps = whole[-1].step
    for last in (0, 1, steps // 2, steps - 2):

        def losses(task, step, last=last):
            if step == last:
                signal.raise_signal(signal.SIGINT)
            return plain(task, step)

        monkeypatch.setattr(SASRecTraining, "losses", losses)
        folder = tmp_path / str(last)
        assert drain(SASRec(TINY, folder).fit(data, split)).stopped
        monkeypatch.setattr(SASRecTraining, "losses", plain)
        resumed = SASRec(TINY, folder)
        events = drain(resumed.fit(data, split)).events
        assert [(e.step, e.losses, e.measured) for e in events] == [(e.step, e.losses, e.measured) for e in whole]
        assert same(learned(resumed), learned(fitted))


def test_a_finished_training_is_replayed_without_a_step_and_recommends(data, split, fitted, tmp_path, monkeypatch):
    events = drain(SASRec(TINY, tmp_path).fit(data, split)).events
    monkeypatch.setattr(SASRecTraining, "losses", lambda *_: pytest.fail("a step was made"))
    replayed = SASRec(TINY, tmp_path)
    assert drain(replayed.fit(data, split)).events == events
    np.testing.assert_array_equal(replayed.scores(split.test), fitted.scores(split.test))


def test_every_training_has_a_checkpoint_of_its_own(data, split, tmp_path):
    other_data = dataset([items[::-1] for items in random_sequences()])
    fewer = split._replace(train=split.train.take(np.arange(len(split.train) - 1)))
    trainings = [
        (TINY, data, split),
        (replace(TINY, dropout=0.3), data, split),
        (TINY, other_data, leave_one_out(other_data.histories)),
        (TINY, data, fewer),
    ]
    for number, (recipe, asked_data, asked_split) in enumerate(trainings):
        drain(SASRec(recipe, tmp_path).fit(asked_data, asked_split))
        assert len(list(tmp_path.glob("[!.]*"))) == number + 1


def test_the_weights_of_the_best_epoch_are_kept_and_measured_as_evaluation_does(data, split, fitted):
    events = drain(SASRec(TINY).fit(data, split)).events
    measured = [event for event in events if event.measured]
    per_epoch = SASRecTraining(SASRecNetwork(N, TINY), split.train, TINY).windows.per_epoch
    assert [event.step for event in measured] == [per_epoch * epoch for epoch in range(1, TINY.epochs + 1)]
    assert all(event.losses.keys() == {"loss", "next item"} for event in events)
    ranks = fitted.recommend(split.valid, 10).rank_of(split.valid.targets)
    best = max(measured, key=lambda event: event.measured["NDCG@10/validation"])
    logs = log_softmax(fitted.scores(split.valid).astype(float), axis=1)
    assert best.measured == {
        "NDCG@10/validation": ndcg(ranks, 10),
        "HR@10/validation": hit_rate(ranks, 10),
        "loss/validation": pytest.approx(-logs[np.arange(len(ranks)), split.valid.targets].mean(), rel=1e-6),
    }


def test_a_training_does_not_stop_while_the_validation_loss_still_falls(data, split, monkeypatch):
    """On the plateau of popularity rankings get no better, by chance worse; what is learned shows in the loss alone."""
    losses = iter([3.0, 2.0, 1.0, 1.0, 2.0, 0.5])
    monkeypatch.setattr(SASRec, "loss", lambda self, samples: next(losses))
    monkeypatch.setattr("macrec.systems.sasrec.validation_metrics", lambda *_: {"NDCG@10/validation": 0.5})
    events = drain(SASRec(replace(TINY, epochs=9, patience=2)).fit(data, split)).events
    assert sum(bool(event.measured) for event in events) == 5


def test_validation_asks_as_many_users_as_it_should_and_always_the_same(data, split, monkeypatch):
    seen = []
    plain = SASRec.recommend

    def recommend(self, samples, k, mask_seen=False):
        seen.append(samples.user.tolist())
        return plain(self, samples, k, mask_seen)

    monkeypatch.setattr(SASRec, "recommend", recommend)
    for seed in (0, 0, 1):
        drain(SASRec(replace(TINY, validate_users=7, seed=seed)).fit(data, split))
    assert len(seen) == 3 * TINY.epochs and {len(set(users)) for users in seen} == {7}
    assert seen[: 2 * TINY.epochs] == [seen[0]] * (2 * TINY.epochs) and seen[-1] != seen[0]


def test_without_validation_users_the_last_weights_stay(data, split):
    nobody = Samples(
        split.valid.items, *(column[:0] for column in (split.valid.user, split.valid.start, split.valid.target))
    )
    events = drain(SASRec(replace(TINY, patience=1)).fit(data, split._replace(valid=nobody))).events
    assert events[-1].step == events[-1].steps and not any(event.measured for event in events)


def test_seen_items_are_masked_when_asked(fitted, split):
    plain, masked = fitted.recommend(split.test, N), fitted.recommend(split.test, N, mask_seen=True)
    for row in range(len(split.test)):
        seen = set(split.test.history(row).tolist())
        assert masked.items[row].tolist() == [item for item in plain.items[row] if item not in seen] + [-1] * len(seen)


def test_nothing_is_recommended_before_learning(data, split):
    system = SASRec(TINY)
    running = system.fit(data, split)
    with pytest.raises(RuntimeError, match="call fit"):
        system.recommend(split.test, 1)
    next(running)
    assert system.recommend(split.test, 1).items.shape == (len(split.test), 1)


def test_histories_that_teach_nothing_are_refused():
    data = dataset([[1], [2]])
    with pytest.raises(DataError, match="nothing to train on"):
        drain(SASRec(TINY).fit(data, leave_one_out(data.histories)))


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"epochs": 0}, "epochs must be 1"), ({"heads": 3}, "multiple of heads"), ({"dropout": 1.0}, "dropout must be")]
    + [({name: 0}, f"{name} must be 1") for name in ("width", "max_history", "batch", "validate_users", "patience")],
)
def test_a_recipe_refuses_senseless_settings(bad, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **bad)
