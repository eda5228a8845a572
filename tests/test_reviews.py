"""Rated sentences: counts as in the files, groups that hold together, splits that do not leak."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from mmkeras import assets
from mmkeras.datasets import load_reviews, reviews
from mmkeras.datasets.reviews import SOURCES

SEEDS = (0, 1, 2)
SIZES = {"tweets": 4200, "films": 10605, "products": 3708, "editorials": 5190}


@pytest.fixture(scope="module")
def full():
    return load_reviews()


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The real files, where a test may spoil them."""
    folder = tmp_path / "reviews"
    shutil.copytree(assets.fetch("reviews"), folder)
    monkeypatch.setattr(assets, "fetch", lambda name: folder)
    return folder


def toy(groups=40):
    table = pd.DataFrame(
        {
            "source": np.repeat(["tweets", "films"], groups),
            "text": [f"text {i}" for i in range(2 * groups)],
            "rating": np.tile([-1.0, 0.2], groups),
            "group": np.arange(2 * groups) // 2,
        }
    )
    return reviews.Reviews(table)


# ---- what is loaded -----------------------------------------------------------------------------


def test_counts_and_types_are_those_of_the_files(full):
    table = full.table
    assert table["source"].value_counts().to_dict() == SIZES
    assert table.index.tolist() == list(range(sum(SIZES.values())))
    assert not table.isna().any().any()
    assert table["rating"].between(-4, 4).all()
    assert table["raters"].min() == 15
    assert full.y.dtype == np.int32
    assert full.text.dtype == object
    documents = table.groupby("source")["document"].nunique().to_dict()
    assert documents == {"tweets": 4200, "films": 10605, "products": 300, "editorials": 498}


def test_rating_and_spread_are_those_of_the_single_ratings(full):
    row = full.table[full.table["document"] == "films 3"].iloc[0]
    given = [-1, 0, -1, 0, -1, -1, -1, -1, 0, -2, 1, 1, -1, -1, -1]  # as printed in the file
    assert row["text"] == "Effective but too tepid biopic"
    assert (row["rating"], row["spread"]) == pytest.approx((np.mean(given), np.std(given)))
    assert row["raters"] == 15


def test_the_second_opinion_of_the_package_differs_for_199_tweets_only(full):
    for source, differ in {"tweets": 199, "films": 0, "products": 0, "editorials": 0}.items():
        path = assets.fetch("reviews") / f"{reviews._FILES[source]}_GroundTruth.txt"
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        printed = {line[2]: float(line[1]) for line in lines}
        rows = full.of(source).table.drop_duplicates("text", keep="last")
        away = (rows["rating"] - rows["text"].map(printed)).abs()
        assert (away > 1e-3).sum() == differ
        assert away.max() < 1.13


# ---- what must not be divided -------------------------------------------------------------------


def test_a_document_is_never_divided(full):
    assert (full.table.groupby("document")["group"].nunique() == 1).all()


def test_variants_of_a_tweet_are_one_group(full):
    text = full.table["text"].str.lower()
    for words in ("running late", "good phone interview", "stupid treadmill"):
        family = full.table[text.str.contains(words) & (full.table["source"] == "tweets")]
        together = family["group"].value_counts()
        assert together.iloc[0] >= 7, words


def test_sentences_with_the_same_letters_are_one_group(full):
    letters = full.table["text"].str.lower().str.replace(r"[\W_]+", " ", regex=True).str.strip()
    real = letters.str.contains(" ")
    assert (full.table[real].groupby(letters[real])["group"].nunique() == 1).all()


def test_near_duplicates_agree_with_comparing_all_pairs(full):
    texts = full.table["text"].iloc[np.r_[0:150, 1423:1573]].reset_index(drop=True)
    words = [set(re.findall(r"\w+", reviews._NO_WORDS.sub("", t.lower()))) for t in texts]
    want = {
        (i, j)
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if words[i] and words[j] and len(words[i] & words[j]) >= 0.6 * len(words[i] | words[j])
    }
    a, b = reviews._near_duplicates(texts)
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == want
    assert len(want) > 100


def test_groups_are_kept_and_made_anew_where_they_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path)
    text = pd.Series(["a fine film", "A fine film!", "a dull book"])
    document = pd.Series(["films 1", "films 2", "films 3"])
    want = reviews._groups(document, text)
    assert reviews._kept_groups(document, text).tolist() == want.tolist() == [0, 0, 1]
    (kept,) = tmp_path.glob("groups/*.npy")
    np.save(kept, np.array([5, 5, 6]))
    assert reviews._kept_groups(document, text).tolist() == [5, 5, 6]  # read, not computed
    np.save(kept, np.array([5, 5]))
    assert reviews._kept_groups(document, text).tolist() == want.tolist()
    other = text.replace("A fine film!", "a red tractor")  # another text: another file
    assert len(set(reviews._kept_groups(document, other))) == 3


def test_no_group_swallows_a_source(full):
    assert full.table["group"].value_counts().max() < 100


# ---- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("held_out", [None, *SOURCES])
@pytest.mark.parametrize("seed", SEEDS)
def test_splits_share_no_group(full, held_out, seed):
    parts = full.split(held_out, seed=seed)
    groups = [set(part.table["group"]) for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert all(len(part) for part in parts)
    if held_out is None:
        assert sum(map(len, parts)) == len(full)
    else:
        assert set(parts[2].table["source"]) == {held_out}
        assert all(held_out not in set(part.table["source"]) for part in parts[:2])


def test_the_test_rows_of_a_source_do_not_depend_on_what_is_held_out(full):
    plain = full.split(seed=1)[2].of("tweets").table.index
    assert full.split("tweets", seed=1)[2].table.index.equals(plain)


def test_shares_and_seeds(full):
    training, validation, testing = full.split(test=0.3, valid=0.2)
    assert len(testing) / len(full) == pytest.approx(0.3, abs=0.02)
    assert len(validation) / len(full) == pytest.approx(0.2, abs=0.02)
    assert full.split(test=0.3, valid=0.2)[0].table.index.equals(training.table.index)
    assert not full.split(test=0.3, valid=0.2, seed=1)[0].table.index.equals(training.table.index)


def test_clear_and_of(full):
    part = full.of("films").clear(1)
    assert set(part.table["source"]) == {"films"}
    assert part.table["rating"].abs().min() >= 1
    assert len(full.clear(0)) == len(full)
    assert np.array_equal(part.y, part.table["rating"] > 0)
    assert repr(part).startswith(f"Reviews({len(part)} rated sentences: {len(part)} films")
    assert "none" in repr(part.take([]))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda r: r.split("books"), "'books' is not in this set; choose one of tweets, films"),
        (lambda r: r.of("films").split("films"), "'films' is the only source"),
        (lambda r: r.split(test=0.9, valid=0.1), "together below 1"),
        (lambda r: r.take([0, 1]).split(), "is not possible with 1 different values of group"),
        (lambda r: r.of("editorials"), "'editorials' is not here"),
        (lambda r: r.clear(5), "from 0 to 4"),
    ],
)
def test_bad_requests_are_told(call, reason):
    with pytest.raises(ValueError, match=reason):
        call(toy())


# ---- files that are not as expected -------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("tweets_GroundTruth", "4\t2.857142857\t", "4\t", "line 4: expected 3 fields .* got 2"),
        ("tweets_GroundTruth", "\n4\t", "\n3\t", "line 4: id '3' is also on line 3"),
        ("tweets_GroundTruth", "\n4\t", "\n9999\t", "anon.*line 4: id '4' has no text in tweets"),
        ("tweets_anonDataRatings", "[2, 2, 4", "[2, 2, x", "line 1: .* is not a list of ratings"),
        ("tweets_anonDataRatings", "[2, 2, 4", "[2, 2, 40", "line 1: ratings must be from -4 to 4"),
        ("amazonReviewSnippets_anonDataRatings", "1_1\t", "", "line 1: expected 4 fields"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(copy, file, old, new, reason):
    path = copy / f"{file}.txt"
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=reason) as error:
        load_reviews()
    assert "tweets" in str(error.value) or "amazon" in str(error.value)


def test_a_text_without_a_rating_and_another_encoding_are_told(copy):
    path = copy / "tweets_GroundTruth.txt"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\r\n4201\t1.0\tone more")
    with pytest.raises(ValueError, match=r"tweets_GroundTruth.txt: id '4201' has no rating"):
        load_reviews()
    path.write_bytes(b"\xff" + whole)
    with pytest.raises(ValueError, match=r"tweets_GroundTruth.txt is not UTF-8 at byte 0"):
        load_reviews()
