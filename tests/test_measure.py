"""What is measured on the test rows, by hand; intervals that never feign certainty."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mmkeras import evaluate
from mmkeras.evaluate.intervals import Intervals, wilson
from mmkeras.table import measure
from mmkeras.table.caveats import ALL, MAJORITY
from mmkeras.table.report import examples
from mmkeras.table.wording import number, percent, with_interval

Z = 1.9599639845400545


def fake(counts, modalities=("text",), **rows):
    """A table without files: counts is part → number of rows of each class."""
    classes = [f"c{k}" for k in range(len(counts["test"]))]
    labels = [(part, c) for part, ns in counts.items() for c, n in zip(classes, ns, strict=True)
              for _ in range(n)]  # fmt: skip
    frame = pd.DataFrame(labels, columns=["part", "label"])
    frame["row"] = np.arange(2, len(frame) + 2)
    for modality in modalities:
        frame[modality] = "something"
    for name, values in rows.items():
        frame[name] = values
    parts = {part: sum(ns) for part, ns in counts.items()}
    return SimpleNamespace(
        rows=frame, classes=classes, modalities=modalities, parts=parts, report=pd.DataFrame()
    )


def certain(y, classes):
    return np.eye(classes)[y] * 0.8 + 0.2 / classes


def answers_of(y, said, classes):
    """Of a model of one modality; nothing at all gives even chances."""
    return {(): np.full((len(y), classes), 1 / classes), ("text",): certain(said, classes)}


def by_hand(right, n):
    """Wilson (1927): (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    p = right / n
    half = Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n * n))
    return pytest.approx([(p + Z**2 / (2 * n) + s * half) / (1 + Z**2 / n) for s in (-1, 1)])


# ------------------------------------------------------------------------------ answers


def stream(x, y, times=1):
    return lambda part, shuffle: SimpleNamespace(as_numpy_iterator=lambda: iter([(x, y)] * times))


def test_every_subset_is_answered_in_one_pass_and_no_row_gets_what_it_has_not():
    present = np.array([[1, 1], [0, 1], [1, 0]], np.float32)
    x = {"text": np.ones((3, 4)), "image": np.ones((3, 2, 2, 3)), "present": present}
    passes = []

    def dataset(part, shuffle):
        passes.append((part, shuffle))
        return stream(x, np.array([0, 1, 2]), times=2)(part, shuffle)

    table = SimpleNamespace(
        modalities=("text", "image"), classes=["a", "b", "c"], parts={"test": 6}, dataset=dataset
    )

    def told(batch):  # a model that answers what it is told is there
        there = np.concatenate([batch["present"], np.full((3, 1), 0.5)], axis=1)
        return there / there.sum(axis=1, keepdims=True)

    y, answers = measure.answer(SimpleNamespace(predict_on_batch=told), table, "test")
    assert passes == [("test", False)]
    assert y.tolist() == [0, 1, 2, 0, 1, 2]
    assert {p.shape for p in answers.values()} == {(6, 3)}
    assert {subset: (p[:3, :2] > 0).tolist() for subset, p in answers.items()} == {
        (): [[False, False]] * 3,
        ("text",): [[True, False], [False, False], [True, False]],
        ("image",): [[False, True], [False, True], [False, False]],
        ("text", "image"): [[True, True], [False, True], [True, False]],
    }
    assert measure.shown(("audio",)) == {ALL: ("audio",)}


def test_too_many_probabilities_are_kept_for_the_model_and_each_modality_alone(monkeypatch):
    names = ("text", "image", "audio")
    x = {name: np.ones((2, 3)) for name in names} | {"present": np.ones((2, 3), np.float32)}
    table = SimpleNamespace(
        modalities=names, classes=["a", "b"], parts={"test": 2}, dataset=stream(x, np.array([0, 1]))
    )
    model = SimpleNamespace(predict_on_batch=lambda x: np.full((2, 1), 0.5))
    assert list(measure.answer(model, table, "test")[1]) == evaluate.subsets(names)
    monkeypatch.setattr(measure, "HELD", 4 * 2 * 2 * 7 - 1)
    y, answers = measure.answer(model, table, "test")
    assert list(answers) == [(), ("text",), ("image",), ("audio",), names]
    table = fake({"train": [3, 3], "valid": [1, 1], "test": [1, 1]}, names)
    assert measure.measure(table, y, answers, seed=0)["importance"] is None


def test_a_binary_head_gives_two_columns():
    model = SimpleNamespace(predict_on_batch=lambda x: np.float32([[0.25], [1.0]]))
    assert measure.probabilities(model, {}, 2).tolist() == [[0.75, 0.25], [0, 1]]


# ------------------------------------------------------------------------------ numbers


def test_measures_against_a_count_by_hand():
    table = fake({"train": [30, 10], "valid": [5, 5], "test": [6, 4]})
    y = np.repeat([0, 1], [6, 4])
    said = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 0])  # 8 of 10
    metrics = measure.measure(table, y, answers_of(y, said, 2), seed=0)
    whole, base = (metrics["models"][name]["accuracy"] for name in (ALL, MAJORITY))
    assert [whole["low"], whole["high"]] == by_hand(8, 10) and whole["value"] == 0.8
    assert [base["low"], base["high"]] == by_hand(6, 10) and base["value"] == 0.6
    assert metrics["interval"]["unit"] == "rows" and "Wilson" in metrics["interval"]["kind"]
    gap = metrics["differences"][MAJORITY]["accuracy"]
    assert gap["difference"] == pytest.approx(0.2) and gap["low"] < 0 < gap["high"]
    assert metrics["confusion"] == {"c0": {"c0": 5, "c1": 1}, "c1": {"c0": 1, "c1": 3}}
    assert metrics["confusion_left_out"] == 0 and metrics["majority"] == "c0"
    assert [c["recall"] for c in metrics["per_class"]] == pytest.approx([5 / 6, 3 / 4])
    assert [c["precision"] for c in metrics["per_class"]] == pytest.approx([5 / 6, 3 / 4])
    assert [metrics["per_class"][0][f"recall_{end}"] for end in ("low", "high")] == by_hand(5, 6)
    loss = metrics["models"][ALL]["log_loss"]["value"]
    assert loss == pytest.approx(-(8 * np.log(0.9) + 2 * np.log(0.1)) / 10)
    base_loss = metrics["models"][MAJORITY]["log_loss"]["value"]
    assert base_loss == pytest.approx(-(6 * np.log(0.75) + 4 * np.log(0.25)) / 10)
    assert any("not shown that the model beats" in text for text in metrics["warnings"])


def test_the_tables_are_those_of_evaluate():
    """The same metrics, and for what is no share of rows the same draws."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    p = rng.dirichlet(np.ones(3) + 3 * np.eye(3)[0], 90)
    table = fake({part: np.bincount(y).tolist() for part in ("train", "valid", "test")})
    y = np.sort(y)
    answers = {(): np.full((90, 3), 1 / 3), ("text",): p}
    got = measure.measure(table, y, answers, seed=5)["models"][ALL]
    want = evaluate.report(y, p, metrics=measure.METRICS, seed=5)
    for name in measure.METRICS:
        assert got[name]["value"] == pytest.approx(want.loc[name, "value"])
        if name != "accuracy":
            assert got[name]["low"] == pytest.approx(want.loc[name, "low"])
            assert got[name]["high"] == pytest.approx(want.loc[name, "high"])


def test_importance_is_the_shapley_value_by_hand():
    """Two modalities, four rows; who is right with what is written out."""
    table = fake({"train": [9, 9], "valid": [9, 9], "test": [2, 2]}, ("text", "image"))
    y = np.array([0, 0, 1, 1])
    right = {
        (): [1, 1, 0, 0],  # always the first class
        ("text",): [1, 1, 1, 0],
        ("image",): [1, 0, 0, 0],
        ("text", "image"): [1, 1, 1, 1],
    }
    answers = {s: certain(np.where(ok, y, 1 - y), 2) for s, ok in right.items()}
    metrics = measure.measure(table, y, answers, seed=0)
    # accuracies 0.50, 0.75, 0.25, 1.00: text first gains 0.25, after image 0.75; and so on
    text, image = (metrics["importance"][m] for m in ("text", "image"))
    assert text["accuracy"] == pytest.approx((0.25 + 0.75) / 2)
    assert image["accuracy"] == pytest.approx((-0.25 + 0.25) / 2)
    assert text["accuracy_low"] < 0.5 < text["accuracy_high"]
    nats = np.log(0.9 / 0.1)  # that one more right answer is worth, times the rows
    assert text["log_loss"] == pytest.approx(0.5 * nats)
    assert image["log_loss"] == pytest.approx(0)
    assert metrics["subsets"]["nothing"]["accuracy"] == 0.5
    assert metrics["subsets"]["text + image"]["accuracy"] == 1


@pytest.mark.parametrize("count", [1, 3, 4])
def test_importance_equals_shapley_of_the_scores_and_adds_up(count):
    names = ("text", "image", "audio", "numbers")[:count]
    table = fake({"train": [9, 9], "valid": [9, 9], "test": [30, 30]}, names)
    rng = np.random.default_rng(count)
    y = np.repeat([0, 1], 30)
    answers = {s: rng.dirichlet([1 + len(s), 1], 60) for s in evaluate.subsets(names)}
    metrics = measure.measure(table, y, answers, seed=0)
    for metric, sign in (("accuracy", 1), ("log_loss", -1)):
        scores = {
            subset: sign * metrics["subsets"][" + ".join(subset) or "nothing"][metric]
            for subset in answers
        }
        got = {m: of[metric] for m, of in metrics["importance"].items()}
        assert got == pytest.approx(evaluate.shapley(scores, names).to_dict(), abs=1e-12)
        assert sum(got.values()) == pytest.approx(scores[names] - scores[()])


def test_a_class_without_test_rows_is_said_and_fits_json():
    table = fake({"train": [20, 20, 4], "valid": [9, 9, 9], "test": [60, 60, 0]})
    y = np.repeat([0, 1], [60, 60])
    metrics = measure.measure(table, y, answers_of(y, y, 3), seed=0)
    assert metrics["models"][ALL]["recall"]["value"] is None
    assert metrics["per_class"][2]["recall"] is None
    json.dumps(metrics, allow_nan=False)
    assert any("No test row of: 'c2'" in text for text in metrics["warnings"])
    assert any("Fewer than 10 training rows of: 'c2'" in text for text in metrics["warnings"])
    assert any("Every test row is right" in text for text in metrics["warnings"])
    assert not any("rows only" in text and "test part" in text for text in metrics["warnings"])


def test_new_rows_are_measured_against_the_class_that_was_frequent_in_training():
    """As `mmkeras evaluate` does: all rows are tested, and none of them was learned from."""
    table = fake({"test": [2, 8]})
    table.rows["part"] = ["train"] * 5 + ["valid"] * 2 + ["test"] * 3  # as they were dealt out
    y = np.repeat([0, 1], [2, 8])
    metrics = measure.measure(
        table, y, answers_of(y, y, 2), seed=0, part="all", learned={"c0": 30, "c1": 10}
    )
    assert metrics["rows"] == {"train": 40, "test": 10} and metrics["majority"] == "c0"
    assert metrics["classes"] == {"c0": {"train": 30, "test": 2}, "c1": {"train": 10, "test": 8}}
    assert metrics["models"][MAJORITY]["accuracy"]["value"] == pytest.approx(0.2)
    assert metrics["present"] == {"text": {"test": 1.0}}
    assert not any("validation" in text for text in metrics["warnings"])


# ------------------------------------------------------------------------------ intervals


def test_everything_right_has_an_interval_that_is_not_certain():
    table = fake({"train": [20, 20], "valid": [10, 10], "test": [15, 15]})
    y = np.repeat([0, 1], 15)
    metrics = measure.measure(table, y, answers_of(y, y, 2), seed=0)
    whole = metrics["models"][ALL]
    assert [whole["accuracy"]["low"], whole["accuracy"]["high"]] == by_hand(30, 30)
    assert with_interval(whole["accuracy"], digits=2) == "1.00 (0.89 to 1.00)"
    for name in ("recall", "f1", "roc_auc", "brier", "ece", "log_loss"):  # the draws are all equal
        assert (
            whole[name]["value"] is not None and whole[name]["low"] is whole[name]["high"] is None
        )
    assert with_interval(whole["recall"]) == "1.000"
    assert metrics["per_class"][0]["recall_low"] == pytest.approx(15 / (15 + Z**2))


GROUPED = {"train": [50, 50], "valid": [10, 10], "test": [60, 60]}


def grouped(said, y, group):
    table = fake(GROUPED, group=[""] * 120 + group)
    return measure.measure(table, y, answers_of(y, said, 2), seed=0)


def test_intervals_over_groups_are_wider_than_over_rows():
    y = np.repeat([0, 1], [60, 60])
    said = np.where(np.arange(120) // 10 % 2, y, 1 - y)  # groups of ten are all right or all wrong
    by_groups = grouped(said, y, [f"g{i // 10}" for i in range(120)])
    by_rows = measure.measure(fake(GROUPED), y, answers_of(y, said, 2), seed=0)
    width = [
        m["models"][ALL]["accuracy"]["high"] - m["models"][ALL]["accuracy"]["low"]
        for m in (by_rows, by_groups)
    ]
    assert width[1] > 2 * width[0]
    recall = [m["per_class"][0]["recall_high"] - m["per_class"][0]["recall_low"]
              for m in (by_rows, by_groups)]  # fmt: skip
    assert recall[1] > 2 * recall[0]
    assert by_groups["interval"]["unit"] == "groups" and by_groups["interval"]["units"] == 12
    assert "over groups" in by_groups["interval"]["kind"]
    assert any("12 groups only" in text for text in by_groups["warnings"])


def test_one_group_gives_no_interval_and_says_so():
    y = np.repeat([0, 1], [60, 60])
    said = np.where(np.arange(120) % 10, y, 1 - y)
    metrics = grouped(said, y, ["the only one"] * 120)
    assert metrics["interval"] == {"unit": None, "kind": None, "units": 1}
    entries = [of[name] for of in metrics["models"].values() for name in of]
    entries += [of["accuracy"] for of in metrics["differences"].values()]
    assert {(e["low"], e["high"]) for e in entries} == {(None, None)}
    assert metrics["importance"]["text"]["accuracy_low"] is None
    assert {(c["recall_low"], c["recall_high"]) for c in metrics["per_class"]} == {(None, None)}
    assert metrics["models"][ALL]["accuracy"]["value"] == pytest.approx(0.9)
    assert any("All test rows are of one group" in text for text in metrics["warnings"])
    assert "to" not in with_interval(metrics["models"][ALL]["accuracy"])


def test_where_all_groups_are_right_each_of_them_is_one_trial():
    y = np.repeat([0, 1], [60, 60])
    a = grouped(y, y, [f"g{i // 10}" for i in range(120)])["models"][ALL]["accuracy"]
    assert [a["low"], a["high"]] == by_hand(12, 12)  # groups, not rows


def test_rows_with_a_blank_group_stand_alone():
    member = Intervals(4, measure._groups(pd.DataFrame({"group": ["a", "", "", "a"]})), 50, 0)
    assert member.count == 3 and member.unit == "groups"


def test_groups_of_one_row_draw_as_rows_do():
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.8
    rows, groups = Intervals(400, None, 1000, 0), Intervals(400, list(range(400)), 1000, 0)
    np.testing.assert_allclose(groups.share(right), rows.share(right), atol=0.01)
    np.testing.assert_array_equal(rows.mean(right[:, None]), np.transpose([groups.share(right)]))
    want = evaluate.report(np.ones(400, int), right.astype(float), metrics=["accuracy"], seed=0)
    np.testing.assert_allclose(groups.share(right), want[["low", "high"]].to_numpy()[0])


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(0, 10, 0.0, 0.277533), (8, 10, 0.490162, 0.943318), (50, 50, 0.928652, 1.0)],
)
def test_wilson_is_what_the_textbook_has(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=1e-6)
    assert np.isnan(wilson(0, 0)).all()


@pytest.mark.parametrize(
    ("value", "words", "share"),
    [
        (1.0, "1.000", "100%"),
        (0.99996, ">0.999", ">99.9%"),
        (0.9956, "0.996", "99.6%"),
        (0.75, "0.750", "75%"),
        (0.0001, "<0.001", "<0.1%"),
        (0.0, "0.000", "0%"),
        (1e-17, "0.000", "0%"),  # what sums leave of 0
        (None, "–", "undefined"),
    ],
)
def test_what_is_nearly_certain_is_not_rounded_to_certain(value, words, share):
    assert number(value) == words and percent(value) == share


# ------------------------------------------------------------------------------ many classes


def test_many_classes_stay_small_and_have_no_auc(monkeypatch):
    monkeypatch.setattr(measure, "MANY", 20)
    n = 30
    table = fake({part: [4] * n for part in ("train", "valid", "test")})
    y = np.repeat(np.arange(n), 4)
    said = np.where(np.arange(len(y)) == 3, 17, y)
    metrics = measure.measure(table, y, answers_of(y, said, n), seed=0)
    assert metrics["models"][ALL]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert metrics["models"][ALL]["recall"]["value"] == pytest.approx((n - 0.25) / n)
    assert sum(map(len, metrics["confusion"].values())) == n + 1  # pairs that occur
    assert metrics["confusion"]["c0"] == {"c0": 3, "c17": 1}
    monkeypatch.setattr(measure, "PAIRS", 10)
    few = measure.measure(table, y, answers_of(y, said, n), seed=0)
    assert sum(map(len, few["confusion"].values())) == 10 and few["confusion_left_out"] == 21


# ------------------------------------------------------------------------------ examples


def told(y, wrong, confidence):
    said = np.where(wrong, 1 - y, y)
    return np.where(np.arange(2) == said[:, None], confidence[:, None], 1 - confidence[:, None])


def test_examples_are_the_surest_mistakes_then_right_rows_as_the_model_saw_them():
    table = fake({"train": [2, 2], "valid": [1, 1], "test": [3, 3]}, ("text", "image", "audio"))
    table.settings = {"audio_rate": 8000}
    y = np.repeat([0, 1], [3, 3])
    confidence = np.array([0.9, 0.6, 0.7, 0.55, 0.99, 0.8])
    p = told(y, np.array([True, True, False, True, True, False]), confidence)
    image = np.arange(6)[:, None, None, None] * np.ones((6, 4, 4, 3))
    present = np.ones((6, 3))
    present[4] = [1, 0, 1]

    def batches(part, shuffle):
        assert (part, shuffle) == ("test", False)
        x = {"text": y, "image": image, "audio": np.zeros((6, 80)), "present": present}
        cut = [({k: v[i : i + 4] for k, v in x.items()}, y[i : i + 4]) for i in (0, 4)]
        return SimpleNamespace(as_numpy_iterator=lambda: iter(cut))

    table.dataset = batches
    found = examples.examples(table, y, p)
    assert [round(e.probability, 2) for e in found] == [0.99, 0.9, 0.6, 0.55, 0.8, 0.7]
    assert [e.row for e in found] == [12, 8, 9, 11, 13, 10]  # 6 rows before the test, the header
    assert [e.truth == e.predicted for e in found] == [False] * 4 + [True] * 2
    assert found[0].picture is None and (found[2].picture == 1).all()


def test_right_examples_are_spread_from_sure_to_unsure():
    y = np.zeros(101, int)
    p = told(y, np.zeros(101, bool), np.linspace(0.5, 1, 101))
    wrong, right = examples.pick(y, p, right=5)
    assert len(wrong) == 0 and right.tolist() == [100, 75, 50, 25, 0]
