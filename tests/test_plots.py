"""The shared pictures: what they show is what they were given, and odd input is explained."""

from collections.abc import Iterator

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mmkeras import plots

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


def test_flow_has_every_box_and_arrow():
    figure = plots.flow({"t": ["a", "b"], "i": ["c", "d"]}, ["join", "out"], stages=list("1234"))
    ax = figure.axes[0]
    words = [t.get_text() for t in ax.texts if t.get_text()]
    assert sorted(words) == sorted(["a", "b", "c", "d", "join", "out", *"1234"])
    assert len(ax.patches) == 6  # boxes
    assert len([t for t in ax.texts if not t.get_text()]) == 5  # arrows


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.gallery(PICTURES[:0]), "no picture"),
        (lambda: plots.gallery(PICTURES, titles=["a"]), "5 pictures need 5 titles, got 1"),
        (lambda: plots.gallery(PICTURES, columns=5, rows=["a", "b"]), "1 rows of pictures"),
        (lambda: plots.flow({"a": ["x"], "b": ["x", "y"]}, ["j"]), r"got \[1, 2\]"),
        (lambda: plots.flow({"a": ["x"]}, ["j"], stages=["s"]), "2 columns need 2 headings"),
    ],
)
def test_odd_input_is_explained(call, words):
    with pytest.raises(ValueError, match=words):
        call()
