"""Histories, the split and the validation that every dataset passes through."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data import PADDING, Histories, from_events, leave_one_out, train_part
from macrec.data.images import NoImages
from macrec.errors import DataError

sequences = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=8)


def test_toy_sequence_splits_as_the_specification_says():
    split = leave_one_out(Histories.from_lists([[1, 2, 3, 4, 5, 6, 7]]), max_history=3)  # T12

    def pairs(samples):
        return [(samples.history(i).tolist(), int(samples.targets[i])) for i in range(len(samples))]

    assert pairs(split.train) == [([1], 2), ([1, 2], 3), ([1, 2, 3], 4), ([2, 3, 4], 5)]
    assert pairs(split.valid) == [([3, 4, 5], 6)]
    assert pairs(split.test) == [([4, 5, 6], 7)]


@given(sequences, st.integers(1, 6))
def test_split_equals_a_loop_over_users(lists, cap):
    train, valid, test = [], [], []
    for user, sequence in enumerate(lists):
        kept = sequence[:-2] if len(sequence) >= 3 else sequence
        train += [(user, kept[max(0, i - cap) : i], kept[i]) for i in range(1, len(kept))]
        if len(sequence) >= 3:
            valid.append((user, sequence[:-2][-cap:], sequence[-2]))
            test.append((user, sequence[:-1][-cap:], sequence[-1]))
    split = leave_one_out(Histories.from_lists(lists), cap)
    for samples, expected in zip(split, (train, valid, test), strict=True):
        found = [
            (int(samples.user[i]), samples.history(i).tolist(), int(samples.targets[i])) for i in range(len(samples))
        ]
        assert found == expected
    assert [h.tolist() for h in train_part(Histories.from_lists(lists))] == [
        s[:-2] if len(s) >= 3 else s for s in lists
    ]


@given(sequences, st.integers(1, 6))
def test_padded_histories_hold_exactly_the_history_on_the_right(lists, cap):
    samples = leave_one_out(Histories.from_lists(lists), cap).train
    padded = samples.padded()
    for row in range(len(samples)):
        history = samples.history(row).tolist()
        assert padded[row].tolist() == [PADDING] * (padded.shape[1] - len(history)) + history
    if len(samples):
        last = np.array([len(samples) - 1])
        assert samples.padded(last).shape == (1, samples.lengths[-1])


@given(sequences, st.integers(1, 6))
def test_flat_histories_are_the_histories_one_after_another(lists, cap):
    samples = leave_one_out(Histories.from_lists(lists), cap).train
    items, begin = samples.flat()
    assert items.tolist() == [item for row in range(len(samples)) for item in samples.history(row).tolist()]
    for row, (start, length) in enumerate(zip(begin, samples.lengths, strict=True)):
        assert items[start : start + length].tolist() == samples.history(row).tolist()


def test_nothing_is_cut_unless_it_is_asked_for():
    split = leave_one_out(Histories.from_lists([list(range(60))]))
    assert split.test.history(0).tolist() == list(range(59)) and split.train.lengths.max() == 57
    assert split.test.newest(20).history(0).tolist() == list(range(39, 59))


def test_histories_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="offsets must rise"):
        Histories(np.array([0, 3]), np.zeros(2, np.int32))
    with pytest.raises(TypeError, match="int32"):
        Histories(np.array([0, 2]), np.zeros(2, np.int64))
    with pytest.raises(IndexError, match="user 1 of 1"):
        Histories.from_lists([[1]])[1]


EVENTS = pl.DataFrame({"user_id": ["b", "a", "b"], "item_id": ["y", "x", "x"]})
ITEMS = pl.DataFrame({"item_id": ["x", "y"], "title": ["X", None]})


def build(events=EVENTS, items=ITEMS):
    return from_events("toy", events, items, events_file="events.csv", items_file="items.csv")


def test_users_are_numbered_by_first_appearance_and_keep_their_order():
    data = build()
    assert data.user_ids.to_list() == ["b", "a"]
    assert [history.tolist() for history in data.histories] == [[1, 0], [0]]
    assert data.items["title"].to_list() == ["X", ""]


def test_integer_ids_meet_text_ids():
    data = build(pl.DataFrame({"user_id": [7, 7], "item_id": [2, 1]}), pl.DataFrame({"item_id": ["1", "2"]}))
    assert [history.tolist() for history in data.histories] == [[1, 0]]


def test_categorical_ids_give_the_same_dataset():
    own = [pl.Categorical(pl.Categories.random()) for _ in range(2)]
    events = EVENTS.with_columns(pl.col("user_id").cast(own[0]), pl.col("item_id").cast(own[1]))
    assert build(events).fingerprint == build().fingerprint
    assert build(events).user_ids.equals(build().user_ids)


@pytest.mark.parametrize(
    ("events", "items", "parts"),
    [
        (EVENTS.drop("user_id"), ITEMS, ["events.csv", '"user_id"', "missing"]),
        (EVENTS.with_columns(item_id=pl.lit(1.5)), ITEMS, ["events.csv", '"item_id"', "holds numbers where an id"]),
        (EVENTS.with_columns(user_id=pl.Series(["b", None, "b"])), ITEMS, ["events.csv", "row 2", '"user_id"']),
        (EVENTS.with_columns(item_id=pl.Series(["y", "x", "z"])), ITEMS, ["events.csv", "row 3", '"z"', 'user "b"']),
        (EVENTS.head(0), ITEMS, ["events.csv", "no events"]),
        (EVENTS, ITEMS.drop("item_id"), ["items.csv", '"item_id"', "missing"]),
        (EVENTS, pl.concat([ITEMS, ITEMS]), ["items.csv", "row 3", '"x" occurs again']),
        (EVENTS, ITEMS.with_columns(title=pl.lit(True)), ["items.csv", '"title"', "true and false"]),
        (EVENTS.with_columns(timestamp=pl.Series([1, None, 2])), ITEMS, ["events.csv", "row 2", '"timestamp"']),
        (EVENTS.with_columns(timestamp=pl.lit("noon")), ITEMS, ["events.csv", '"timestamp"', "holds text"]),
        (EVENTS.with_columns(behavior=pl.Series(["view", None, "buy"])), ITEMS, ["events.csv", "row 2", '"behavior"']),
    ],
)
def test_bad_input_is_named_by_file_row_and_field(events, items, parts):
    with pytest.raises(DataError) as caught:
        build(events, items)
    sentence = str(caught.value)
    assert all(part in sentence for part in parts), sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_behaviors_and_times_follow_their_events():
    events = EVENTS.with_columns(behavior=pl.Series(["view", "buy", "buy"]), timestamp=pl.Series([5, 6, 7]))
    histories = build(events).histories
    assert histories.timestamps.tolist() == [5, 7, 6]
    assert [histories.behavior_names[code] for code in histories.behaviors] == ["view", "buy", "buy"]


def test_fingerprint_follows_content_and_not_the_name():
    same = from_events("other", EVENTS, ITEMS, events_file="e", items_file="i")
    assert build().fingerprint == same.fingerprint
    other_text = build(items=ITEMS.with_columns(title=pl.Series(["X", "Y"])))
    other_order = build(events=EVENTS[[2, 1, 0]])
    assert other_text.modality_fingerprint("text") != build().modality_fingerprint("text")
    assert other_text.modality_fingerprint("image") == build().modality_fingerprint("image")
    assert other_order.modality_fingerprint("text") == build().modality_fingerprint("text")
    assert len({build().fingerprint, other_text.fingerprint, other_order.fingerprint}) == 3


@given(sequences, st.data())
def test_taken_samples_are_the_samples_of_those_rows(lists, data):
    samples = leave_one_out(Histories.from_lists(lists), max_history=3).train
    rows = np.array(data.draw(st.lists(st.integers(0, 99), max_size=6)), np.int64)
    rows = rows[rows < len(samples)]
    mask = np.isin(np.arange(len(samples)), rows)
    for chosen, where in ((samples.take(rows), rows), (samples.take(mask), np.flatnonzero(mask))):
        assert chosen.user.tolist() == samples.user[where].tolist()
        assert [chosen.history(i).tolist() for i in range(len(chosen))] == [samples.history(i).tolist() for i in where]
        assert chosen.targets.tolist() == samples.targets[where].tolist()
        assert chosen.padded().tolist() == samples.padded(where).tolist()


def test_the_train_part_keeps_the_time_and_behavior_of_every_event_it_keeps():
    histories = Histories(
        np.array([0, 4, 6, 9]),
        np.array([7, 8, 9, 6, 1, 2, 5, 4, 3], np.int32),
        timestamps=np.arange(100, 109),
        behaviors=np.array([0, 1, 1, 0, 1, 0, 1, 0, 0], np.int8),
        behavior_names=("buy", "view"),
    )
    kept = train_part(histories)
    assert [history.tolist() for history in kept] == [[7, 8], [1, 2], [5]]
    assert kept.timestamps.tolist() == [100, 101, 104, 105, 106]
    assert kept.behaviors.tolist() == [0, 1, 1, 0, 1] and kept.behavior_names == ("buy", "view")


@pytest.mark.parametrize(
    ("offsets", "columns", "message"),
    [
        ([1, 2], {}, "offsets must rise"),
        ([0, 2, 1, 2], {}, "offsets must rise"),
        ([0, 2], {"timestamps": np.zeros(1, np.int64)}, "timestamps has 1 entries for 2 events"),
        ([0, 2], {"behaviors": np.zeros(3, np.int8)}, "behaviors has 3 entries for 2 events"),
    ],
)
def test_columns_that_do_not_belong_to_the_events_are_refused(offsets, columns, message):
    with pytest.raises(ValueError, match=message):
        Histories(np.array(offsets), np.zeros(2, np.int32), **columns)


def test_a_history_of_no_cap_is_refused():
    with pytest.raises(ValueError, match="max_history must be at least 1"):
        leave_one_out(Histories.from_lists([[1, 2, 3]]), max_history=0)


def test_the_order_within_a_user_is_kept_among_many_events():
    # Long enough for an unstable sort to show (short arrays are sorted by insertion, which is stable anyway).
    user = np.random.default_rng(0).integers(3, size=400)
    events = pl.DataFrame({"user_id": user, "item_id": np.arange(400)})
    data = build(events, pl.DataFrame({"item_id": np.arange(400)}))
    for number, history in enumerate(data.histories):
        assert history.tolist() == np.flatnonzero(user == int(data.user_ids[number])).tolist()


def test_absent_fields_have_one_form():
    items = pl.DataFrame(
        {"item_id": ["x", "y"], "image": ["", "y.png"], "categories": [None, ["a"]], "brand": [None, "B"]}
    )
    found = build(items=items.with_columns(own=pl.Series([1, 2]))).items
    assert found.columns == ["item_id", "title", "brand", "categories", "description", "image", "own"]
    assert found["image"].to_list() == [None, "y.png"]
    assert found["categories"].to_list() == [[], ["a"]]
    assert found["brand"].to_list() == ["", "B"] and found["description"].to_list() == ["", ""]
    assert build(items=items.with_columns(categories=pl.lit([]))).items["categories"].to_list() == [[], []]


@pytest.mark.parametrize("empty", ["", None])
def test_an_item_without_an_id_is_refused(empty):
    with pytest.raises(DataError, match=r'items.csv, row 2, field "item_id": the id is empty'):
        build(items=pl.DataFrame({"item_id": ["x", empty, "y"]}))


def test_more_behaviors_than_the_codes_can_hold_are_refused():
    def events(n):
        return pl.DataFrame({"user_id": ["u"] * n, "item_id": ["x"] * n, "behavior": [f"b{i}" for i in range(n)]})

    histories = build(events(127)).histories
    assert [histories.behavior_names[code] for code in histories.behaviors] == [f"b{i}" for i in range(127)]
    with pytest.raises(DataError, match="there are 128 different behaviors"):
        build(events(128))


def test_columns_of_times_or_behaviors_that_hold_nothing_count_as_absent():
    histories = build(EVENTS.with_columns(timestamp=pl.lit(None, pl.Int64), behavior=pl.lit(None, pl.String))).histories
    assert histories.timestamps is None and histories.behaviors is None and histories.behavior_names == ()


def test_everything_a_model_could_learn_from_changes_the_fingerprint():
    full = ITEMS.with_columns(brand=pl.lit("B"), description=pl.lit("d"), categories=pl.lit(["c"]))
    variants = [full, *(full.with_columns(pl.lit("other").alias(name)) for name in ("title", "brand", "description"))]
    variants.append(full.with_columns(categories=pl.lit(["c", "d"])))
    shops = [build(items=items) for items in variants]
    timed = EVENTS.with_columns(timestamp=pl.Series([1, 2, 3]))
    shops += [build(timed, full), build(timed.with_columns(pl.col("timestamp") + 1), full)]
    for behaviors in (["a", "b", "a"], ["a", "a", "b"]):
        shops.append(build(EVENTS.with_columns(behavior=pl.Series(behaviors)), full))
    assert len({shop.fingerprint for shop in shops}) == len(shops)
    renamed = build(items=full.with_columns(item_id=pl.Series(["y", "x"])))
    assert renamed.text_fingerprint != shops[0].text_fingerprint  # embeddings are found again by row


def test_a_picture_changes_the_fingerprint_and_leaves_the_text_alone():
    class Pictures(NoImages):
        def __init__(self, fingerprint):
            super().__init__(2)
            self.fingerprint = fingerprint

    red, blue = (
        from_events("toy", EVENTS, ITEMS, events_file="e", items_file="i", images=Pictures(name))
        for name in ("red", "blue")
    )
    assert red.fingerprint != blue.fingerprint
    assert red.modality_fingerprint("image") != blue.modality_fingerprint("image")
    assert red.modality_fingerprint("text") == blue.modality_fingerprint("text")


def test_a_bad_word_tells_where_it_stands():
    error = DataError("the price is negative", file="items.csv", row=3, field="price", fix="correct it")
    assert str(error) == 'items.csv, row 3, field "price": the price is negative; correct it.'
    assert str(DataError("no users", row="item b", fix="add some")) == "item b: no users; add some."
    assert str(DataError("no users", fix="add some")) == "No users; add some."
