"""The stored tables on languages say what `encoders.language` and docs/results.md say of them."""

from pathlib import Path

import pandas as pd

from mmkeras.table.encoders.language import FOREIGN, UNREAD

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"


def test_english_and_other_languages_lie_apart():
    table = pd.read_csv(RESULTS / "languages.csv")
    english, latin = table["language"] == "en", table["letters"] == "LATIN"
    assert english.sum() == 6 and not table.duplicated(["language", "kind"]).any()
    assert table["language"][~english & latin].nunique() == 50
    assert table["language"][~latin].nunique() == 30
    share = table["share"].round(2)
    for some, low, high in (
        (english, 0.79, 0.94),
        (~english & latin, 0.08, 0.52),
        (~latin, 0.01, 0.13),
    ):
        assert (share[some].min(), share[some].max()) == (low, high)
    assert table["wrong_by_20"].max() <= 1 / 400 and table["wrong_by_10"].max() <= 4 / 400
    assert share[~english].max() < FOREIGN < share[english].min()
    assert share[~english & latin].min() > UNREAD


def test_what_minilm_adds_to_counted_words():
    table = pd.read_csv(RESULTS / "languages_gains.csv").set_index("language")
    each = table.filter(like="gain_")
    expected = {
        "de": 5.6,
        "nl": 4.9,
        "fr": 4.3,
        "fi": 3.9,
        "it": 0.9,
        "es": 0.7,
        "pl": -3.3,
        "en": 21.6,
    }
    for language, points in expected.items():
        assert abs(100 * each.loc[language].mean() - points) < 0.11
    assert (each.loc[["de", "nl", "fi"]] > 0).all(axis=None) and (each.loc["pl"] < 0).all()
