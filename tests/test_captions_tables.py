"""The stored tables on captions belong to today's splits, and nothing in them leaks."""

import importlib
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkeras.datasets import load_emoji

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
PARTS = ["new pairs", "new artist", "both new"]


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "results" / f"captions_{name}.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(FOLDER))  # its files import each other, as when it is run
    try:
        return importlib.import_module("captions")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def data(bench):
    return sys.modules["captions_data"]


@pytest.fixture(scope="module")
def emoji():
    return load_emoji(96)


@pytest.mark.parametrize("n", [4, 10, 30])
def test_the_rounds_hold_each_pair_once_and_in_each_round_each_thing_once(data, n):
    dealt = data.rounds(n)
    assert all(sorted(row.ravel()) == list(range(n)) for row in dealt)
    pairs = [tuple(sorted(pair)) for row in dealt for pair in row.tolist()]
    assert sorted(pairs) == list(combinations(range(n), 2))


def test_what_is_read_is_what_is_written_one_place_later(data):
    words = data.Words([["a", "b"], ["c"]])
    reads, writes = words.pairs([["b", "a"], ["c"]], np.array([1, 2]), 4)
    assert reads.tolist() == [[1, 4, 3, 0], [2, 5, 0, 0]]
    assert writes.tolist() == [[4, 3, 0, -1], [5, 0, -1, -1]]
    assert words.text([4, 3]) == "b a" and words.text([4, 99], chinese=True) == "b?"


def test_validation_drawings_are_kept_back_and_their_concepts_are_not(bench, emoji):
    rows = bench.name_rows(emoji, "fluent", 24)
    assert not set(rows["train"]) & set(rows["valid"])
    codes = {part: set(emoji.table["hexcode"].loc[at]) for part, at in rows.items()}
    assert codes["valid"] <= codes["train"] and codes["known"] <= codes["train"]
    assert not codes["new"] & codes["train"] and len(codes["valid"]) == len(rows["valid"])
    assert "fluent" not in set(emoji.table["artist"].loc[rows["train"]])


def test_names_are_those_of_todays_test_rows(bench, data, emoji):
    table = read("names")
    assert set(table["artist"]) == set(data.SPLITS)
    for (artist, part), block in table.groupby(["artist", "part"]):
        rows = bench.name_rows(emoji, artist, data.SPLITS[artist])
        assert block["row"].tolist() == rows[part].tolist()
        labels = emoji.table["label_en"].loc[rows[part]]
        assert block["name"].tolist() == [" ".join(data.words_of(label)) for label in labels]
    assert (table.loc[table["part"] == "known", "words known"] == "True").all() or (
        table.loc[table["part"] == "known", "words known"].astype(bool).all()
    )


def test_scenes_are_those_of_today_and_no_test_pair_was_seen(data, emoji):
    table = read("scenes")
    assert table["artist"].nunique() >= 3
    for artist, block in table.groupby("artist"):
        scenes = data.Scenes(emoji, artist, data.SPLITS[artist])
        rows = np.concatenate([np.flatnonzero(scenes.table["part"] == part) for part in PARTS])
        assert block["English"].tolist() == [" ".join(scenes.english[i]) for i in rows]
        assert block["Chinese"].tolist() == ["".join(scenes.chinese[i]) for i in rows]
        pairs = {
            part: {frozenset(pair) for pair in group[["first", "second"]].to_numpy().tolist()}
            for part, group in scenes.table.groupby("part")
        }
        for few, more in (("15", "60"), ("60", "150"), ("150", "300")):
            assert pairs[f"{few} pairs"] < pairs[f"{more} pairs"] and len(
                pairs[f"{few} pairs"]
            ) == int(few)
        assert not pairs["300 pairs"] & (pairs["new pairs"] | pairs["both new"] | pairs["valid"])
        assert not pairs["valid"] & (pairs["new pairs"] | pairs["both new"])
        new = scenes.table[scenes.table["part"].isin(["new artist", "both new"])]
        old = scenes.table[scenes.table["part"].isin(["300 pairs", "valid", "new pairs"])]
        columns = ["first_artist", "second_artist"]
        assert set(new[columns].to_numpy().ravel()) == {artist}
        assert artist not in set(old[columns].to_numpy().ravel())


def test_a_drawing_is_cut_to_what_is_drawn_and_its_longer_side_fills_the_square(data):
    wide = np.full((1, 96, 96, 3), 255, "uint8")
    wide[0, 10:20, 30:70] = 0
    small = data.cut(wide, 40)[0]
    assert small.shape == (40, 40, 3)
    assert (small[16:24] < 50).all() and (small[:14] == 255).all() and (small[26:] == 255).all()


def test_scenes_with_margins_are_the_same_but_for_the_margins(data, emoji):
    cut, whole = (data.Scenes(emoji, "openmoji", 23, margins=m) for m in (False, True))
    assert cut.english == whole.english
    columns = [column for column in cut.table if column != "shift"]
    pd.testing.assert_frame_equal(cut.table[columns], whole.table[columns])
    np.testing.assert_array_equal(np.stack(cut.table["shift"]), np.stack(whole.table["shift"]))
    drawn = [(np.stack(s.drawings[60]) < 255).any(axis=3).any(axis=2).sum() for s in (cut, whole)]
    assert drawn[0] > 1.05 * drawn[1]
    table, scenes = read("margins"), read("scenes")
    for column in ("English", "Chinese", "part", "artist", "first", "second"):
        assert table[column].tolist() == scenes[column].tolist()


def test_a_picture_shows_its_first_drawing_on_the_left_or_above(data, emoji):
    scenes = data.Scenes(emoji, "noto", 21)
    rows = np.arange(60)
    pictures, halves = scenes.paint(rows)
    for i, scene in zip(rows, scenes.table.iloc[rows].itertuples(), strict=True):
        side = data.SMALL if scene.first_small else data.BIG
        number = data.ARTISTS.index(scene.first_artist) * data.CONCEPTS + scene.first
        wanted = scenes.drawings[side][number]
        y, x = ((32, 64) if scene.above else (64, 32)) - np.array(side // 2) + scene.shift[:2]
        np.testing.assert_array_equal(pictures[i, y : y + side, x : x + side], wanted)
        cut = pictures[i, :64, 32:96] if scene.above else pictures[i, 32:96, :64]
        np.testing.assert_array_equal(halves[i, 0], cut)


def test_each_fit_is_stored_and_a_copied_scene_is_never_right_on_new_pairs(data):
    fits, table = read("fits"), read("scenes")
    tried = {"names": 2, "scenes": 3, "margins": 2}  # learning rates
    assert set(fits["task"]) == set(tried) and set(fits["artist"]) == set(data.SPLITS)
    for (task, artist), split in fits.groupby(["task", "artist"]):
        assert split["rate"].nunique() == tried[task], (task, artist)
    new = table[table["part"] != "new artist"]
    assert not (new["nearest scene"] == new["English"]).any()
    known = table[table["part"] == "new pairs"]
    for rival in ("nearest by part", "by part, not enlarged"):
        assert (known[rival] == known["English"]).mean() > 0.95


def test_the_cache_changes_no_number_by_more_than_rounding_and_is_faster_on_long_texts():
    speed = read("speed")
    assert (speed["largest difference"] < 1e-4).all()
    long = speed.loc[speed["length"].idxmax()]
    assert long["times faster"] == pytest.approx(long["FullStep"] / long["CachedStep"], rel=0.01)
    assert long["times faster"] > 3
