"""The shared pictures: what they show is what they were given, and odd input is explained."""

from collections.abc import Iterator

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from mmkeras import evaluate, plots
from mmkeras.plots.style import PAPER

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 80)
MODELS = {
    name: np.clip(0.5 + g * (Y - 0.5) + RNG.normal(0, 0.2, 80), 0, 1)
    for name, g in (("text", 0.2), ("image", 0.5))
}
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_gallery_shows_every_picture_once_with_its_title():
    figure = plots.gallery(PICTURES, titles=list("abcde"), columns=3, rows=["one", "two"])
    shown = [ax for ax in figure.axes if ax.images]
    assert len(figure.axes) == 6 and len(shown) == 5
    for ax, picture, title in zip(shown, PICTURES, "abcde", strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), picture)
        assert ax.get_title() == title
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["one", "two"]


def test_confusion_counts_shares_of_each_row():
    ax = plots.confusion(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ["a", "b", "c"])
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares, [[75, 25, 0], [0, 100, 0], [0, 0, 0]])
    assert [t.get_text() for t in ax.texts[:3]] == ["75", "25", "0"]
    assert ax.texts[0].get_color() != ax.texts[1].get_color()  # light on dark, dark on light


def test_confusion_has_the_true_class_along_the_rows():
    ax = plots.confusion(np.array([2]), np.array([0]), ["a", "b", "c"])
    assert ax.images[0].get_array()[2, 0] == 100
    assert ax.get_xlabel().startswith("predicted") and ax.get_ylabel().startswith("true")


def test_confusion_names_what_it_counts():
    ax = plots.confusion(np.array([0]), np.array([0]), ["a", "b"], what="diagnosis")
    assert ax.get_xlabel() == "predicted diagnosis"
    assert ax.get_ylabel().startswith("true diagnosis")
    default = plots.confusion(np.array([0]), np.array([0]), ["a", "b"])
    assert default.get_xlabel() == "predicted group"


def test_curves_draw_training_and_validation():
    ax = plots.curves(
        {"text": {"loss": [3, 2], "val_loss": [4, 3]}, "image": {"loss": [5]}}, "loss"
    )
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert lines == {"text, training": [3, 2], "text, validation": [4, 3], "image, training": [5]}
    with pytest.raises(ValueError, match="text has no 'accuracy'; it has 'loss'"):
        plots.curves({"text": {"loss": [1]}})


def test_spread_draws_every_run_and_the_mean():
    scores = pd.DataFrame(
        {"model": ["text", "text", "both"], "artist": ["x", "x", "y"], "accuracy": [0.4, 0.6, 0.9]}
    )
    ax = plots.spread(scores, value="accuracy", by="model", within="artist", chance=0.25)
    dots = sorted(y for line in ax.lines for y in line.get_ydata() if line.get_marker() != "None")
    assert dots == [0.4, 0.6, 0.9]
    means = sorted(bar.get_segments()[0][0][1] for bar in ax.collections)
    np.testing.assert_allclose(means, [0.5, 0.9])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["text", "both"]


@pytest.mark.parametrize(
    ("options", "words"), [({}, "chance"), ({"chance_label": "no skill"}, "no skill")]
)
def test_spread_says_what_its_line_is(options, words):
    scores = pd.DataFrame({"model": ["a"], "auc": [0.7]})
    ax = plots.spread(scores, value="auc", by="model", chance=0.5, **options)
    assert [t.get_text() for t in ax.texts] == [words]


def drawn(ax):
    """Lines that stand in the legend, by their label."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_roc_draws_the_curve_of_every_model_with_its_auc():
    ax = plots.roc(Y, MODELS)
    want = [f"{name} AUC {roc_auc_score(Y, p):.3f}" for name, p in MODELS.items()]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == want == list(drawn(ax))
    for line, p in zip(drawn(ax).values(), MODELS.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata().T, roc_curve(Y, p)[:2])
    assert len({line.get_linestyle() for line in drawn(ax).values()}) == 2  # without colour too
    alone = plots.roc(Y, MODELS["text"][:, None])
    assert list(drawn(alone)) == [want[0].removeprefix("text ")]


def test_precision_recall_starts_at_the_share_of_class_1():
    ax = plots.precision_recall(Y, MODELS)
    want = [f"{name} AP {average_precision_score(Y, p):.3f}" for name, p in MODELS.items()]
    assert list(drawn(ax)) == want
    for line in drawn(ax).values():
        recall, precision = line.get_xydata().T
        assert (recall[0], precision[0]) == (1, pytest.approx(Y.mean()))
        steps = -np.sum(np.diff(recall) * precision[:-1])
        assert line.get_label().endswith(f"{steps:.3f}")  # the area of the steps is the AP
        assert line.get_drawstyle() == "steps-post"


@pytest.mark.parametrize("draw", [plots.roc, plots.precision_recall])
def test_several_classes_have_a_curve_each_against_the_rest(draw):
    y = RNG.integers(0, 3, 60)
    p = RNG.dirichlet(np.ones(3), 60)
    several = drawn(draw(y, p, classes={"a": 0, "c": 2}))
    score = roc_auc_score if draw is plots.roc else average_precision_score
    short = "AUC" if draw is plots.roc else "AP"
    want = [f"{n} {short} {score(y == k, p[:, k]):.3f}" for n, k in (("a", 0), ("c", 2))]
    assert list(several) == want
    for line, k in zip(several.values(), (0, 2), strict=True):
        (alone,) = drawn(draw((y == k).astype(int), p[:, k])).values()
        np.testing.assert_array_equal(line.get_xydata(), alone.get_xydata())
    with pytest.raises(ValueError, match="all 60 rows of b are 0"):
        draw(np.where(y == 1, 0, y), p, classes={"b": 1})


def test_reliability_draws_bins_their_error_and_where_predictions_lie():
    y, p = np.array([0, 1, 1, 1, 1]), np.array([0.1, 0.2, 0.25, 0.9, 0.95])
    ax = plots.reliability(y, p, bins=2)
    ((label, line),) = drawn(ax).items()
    assert label == f"ECE {evaluate.expected_calibration_error(y, p, 2):.3f}"
    np.testing.assert_allclose(line.get_xydata(), [[0.55 / 3, 2 / 3], [0.925, 1]])
    (strip,) = ax.child_axes
    heights = strip.patches[0].get_xy()[:, 1]
    assert sorted(set(heights)) == [0, 2, 3]
    (bars,) = ax.collections
    for bar, (right, rows) in zip(bars.get_segments(), [(2, 3), (2, 2)], strict=True):
        wilson = stats.binomtest(right, rows).proportion_ci(method="wilson")
        np.testing.assert_allclose(bar[:, 1], wilson, atol=1e-4)


def test_reliability_leaves_out_bins_with_few_rows():
    y, p = np.array([0, 1, 1, 1, 0]), np.array([0.1, 0.2, 0.25, 0.3, 0.95])
    ax = plots.reliability(y, p, bins=2, fewest=2)
    ((label, line),) = drawn(ax).items()
    np.testing.assert_allclose(line.get_xydata(), [[0.85 / 4, 3 / 4]])
    assert len(ax.collections[0].get_segments()) == 1
    assert label == f"ECE {evaluate.expected_calibration_error(y, p, 2):.3f}"  # of all rows


def test_reliability_of_several_classes_is_that_of_the_answer():
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.65, 0.35, 0.0]])
    ax = plots.reliability([0, 1, 1], {"a": p}, bins=1)
    (line,) = drawn(ax).values()
    np.testing.assert_allclose(line.get_xydata(), [[0.65, 2 / 3]])
    assert ax.get_ylabel() == "share right"


def test_intervals_draw_every_row_of_a_table():
    table = evaluate.report(Y, MODELS, replicates=20)
    ax = plots.intervals(table, "roc_auc")
    want = table.xs("roc_auc", level="metric")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["text", "image"]
    assert [line.get_xdata()[0] for line in ax.lines] == want["value"].tolist()
    ends = [bar.get_segments()[0][:, 0].tolist() for bar in ax.collections]
    assert ends == want[["low", "high"]].to_numpy().tolist()
    assert ax.get_ylim() == (1.5, -0.5)  # the first on top
    alone = plots.intervals(table.loc["text"])
    assert [t.get_text() for t in alone.get_yticklabels()] == list(table.loc["text"].index)
    assert len(plots.intervals(table.loc["text"], "f1").lines) == 1
    assert (ax.get_xlabel(), alone.get_xlabel()) == ("AUC", "value")


def test_intervals_of_differences_mark_zero():
    ax = plots.intervals(evaluate.compare(Y, MODELS, "text", replicates=20), "f1")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["image"]
    assert list(ax.lines[-1].get_xdata()) == [0, 0]
    assert ax.get_xlabel() == "difference in F1"


def test_flow_has_every_box_and_arrow():
    figure = plots.flow({"t": ["a", "b"], "i": ["c", "d"]}, ["join", "out"], stages=list("1234"))
    ax = figure.axes[0]
    words = [t.get_text() for t in ax.texts if t.get_text()]
    assert sorted(words) == sorted(["a", "b", "c", "d", "join", "out", *"1234"])
    assert len(ax.patches) == 6  # boxes
    assert len([t for t in ax.texts if not t.get_text()]) == 5  # arrows


@pytest.mark.parametrize(
    ("shaded", "dark"),
    [(None, ["b", "d", "join"]), ([1, 3], ["b", "d", "out"]), ([], [])],
)
def test_flow_shades_the_columns_that_it_is_told(shaded, dark):
    figure = plots.flow({"t": ["a", "b"], "i": ["c", "d"]}, ["join", "out"], shaded=shaded)
    ax = figure.axes[0]
    words = [t.get_text() for t in ax.texts if t.get_text()]
    paper = to_rgba(PAPER)
    boxes = zip(words, ax.patches, strict=True)
    assert sorted(word for word, box in boxes if box.get_facecolor() != paper) == dark


def test_a_diagram_has_a_box_per_station_and_an_arrow_per_arrow():
    ax = plots.diagram(plt.figure().subplots(), "gate", "x1 x2 | the_sum", "x1>the_sum ~x2>the_sum")
    boxes = {t.get_text(): t for t in ax.texts if t.get_text()}
    assert list(boxes) == ["x1", "x2", "the sum"] and ax.get_title(loc="left") == "gate"
    assert [boxes[name].get_position() for name in boxes] == [(0, 0.5), (0, -0.5), (1.5, 0)]
    assert [t.get_color() for t in boxes.values()] == ["black", "black", PAPER]
    straight, bent = [t for t in ax.texts if not t.get_text()]
    assert straight.xy == bent.xy == (1.5, 0) and straight.xyann == (0, 0.5)
    assert [t.arrow_patch.get_connectionstyle().rad for t in (straight, bent)] == [0, -0.3]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.gallery(PICTURES[:0]), "no picture"),
        (lambda: plots.diagram(plt.figure().subplots(), "", "a | b", "a>c"), "no box c; there are"),
        (lambda: plots.gallery(PICTURES, titles=["a"]), "5 pictures need 5 titles, got 1"),
        (lambda: plots.gallery(PICTURES, columns=5, rows=["a", "b"]), "1 rows of pictures"),
        (lambda: plots.flow({"a": ["x"], "b": ["x", "y"]}, ["j"]), r"got \[1, 2\]"),
        (lambda: plots.flow({"a": ["x"]}, ["j"], stages=["s"]), "2 columns need 2 headings"),
        (lambda: plots.roc(Y, np.full((80, 2), 0.5)), "2 columns of .* pass y == k"),
        (lambda: plots.precision_recall(0 * Y, MODELS), "all 80 rows are 0"),
        (lambda: plots.reliability(Y, MODELS, bins=0), "bins must be a positive integer, got 0"),
        (lambda: plots.intervals(pd.DataFrame({"value": [1]})), r"it has \['value'\]"),
        (
            lambda: plots.intervals(evaluate.report(Y, MODELS, replicates=2, metrics=["f1"])),
            "metric=None must be one of f1",
        ),
    ],
)
def test_odd_input_is_explained(call, words):
    with pytest.raises(ValueError, match=words):
        call()
