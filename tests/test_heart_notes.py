"""The note says what the values say, in both languages, and nothing else."""

import itertools
import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from mmkeras.datasets import heart_notes, note_words
from mmkeras.datasets.heart_notes import LANGUAGES, write_note

FULL = {
    "age": 63,
    "sex": "male",
    "cp": "asymptomatic",
    "trestbps": 145.0,
    "chol": 233.0,
    "fbs": 1.0,
    "exang": 0.0,
}
KINDS = ("typical angina", "atypical angina", "non-anginal", "asymptomatic")


def notes(n, language="en", **changes):
    return [
        write_note({**FULL, **changes}, np.random.default_rng([i, 9]), language) for i in range(n)
    ]


def any_patient(rng):
    return {
        "age": int(rng.integers(28, 78)),
        "sex": str(rng.choice(["female", "male"])),
        "cp": str(rng.choice(KINDS)),
        "trestbps": float(rng.integers(90, 200)),
        "chol": float(rng.integers(120, 450)),
        "fbs": float(rng.integers(2)),
        "exang": float(rng.integers(2)),
    }


def test_same_generator_state_same_note_and_many_wordings():
    for language in LANGUAGES:
        first, second = notes(200, language), notes(200, language)
        assert first == second and len(set(first)) > 190
        assert all(isinstance(note, str) and note for note in first)


def test_lengths():
    words = [len(note.split()) for note in notes(500)]
    assert min(words) >= 12 and max(words) <= 60 and 20 < np.mean(words) < 40
    assert 20 < np.mean([len(note) for note in notes(500, "zh")]) < 90


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_are_exact_and_no_others_occur(language):
    rng = np.random.default_rng(0)
    for i in range(500):
        values = any_patient(rng)
        note = write_note(values, np.random.default_rng(i), language)
        seen = {int(number) for number in re.findall(r"\d+", note)}
        known = {int(values[k]) for k in ("age", "trestbps", "chol")}
        assert seen <= known | {120}  # 120 is the limit of the fasting sugar
        assert int(values["age"]) in seen


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("gap", [None, float("nan")])
def test_a_value_that_is_not_known_is_not_mentioned(language, gap):
    pools = heart_notes._POOLS[language]
    for key in ("cp", "trestbps", "chol", "fbs", "exang"):
        silent = notes(200, language, **{key: gap})
        own = [t for name, pool in pools.items() if name.split()[0] == key for t in pool]
        stems = {t.split("{")[0] for t in own if len(t.split("{")[0]) > 3}
        assert not any(stem in note for note in silent for stem in stems), key
        spoken = notes(200, language)
        assert np.mean([any(s in n for s in stems) for n in spoken]) > 0.5, key
    bare = notes(50, language, cp=gap, trestbps=gap, chol=gap, fbs=gap, exang=gap)
    assert all("63" in note and len(note) < 45 for note in bare)


def test_one_known_value_in_33_is_left_out():
    rest = {"cp": None, "chol": None, "fbs": None, "exang": None}
    shown = np.mean(["145" in note for note in notes(6000, "zh", **rest)])
    assert shown == pytest.approx(0.97, abs=0.01)


def test_qualifying_words_follow_the_cut_offs_and_half_of_the_notes():
    for key, values in {"trestbps": (119, 120, 139, 140), "chol": (199, 200, 239, 240)}.items():
        for value, level in zip(values, (0, 1, 1, 2), strict=True):
            alone = dict.fromkeys(("cp", "trestbps", "chol", "fbs", "exang"))
            said = notes(600, "zh", **{**alone, key: float(value)})
            hits = [
                [
                    any(f"{word}。" in note for word in heart_notes._ZH[f"{key} {i}"])
                    for note in said
                ]
                for i in range(3)
            ]
            shares = np.mean(hits, axis=1)
            assert shares[level] == pytest.approx(0.485, abs=0.07)
            assert shares.sum() == shares[level]


def test_no_wording_belongs_to_two_levels():
    for pools in heart_notes._POOLS.values():
        for first, second in itertools.combinations(pools, 2):
            assert not set(pools[first]) & set(pools[second]), (first, second)
        for name, pool in pools.items():
            assert len(set(pool)) == len(pool) >= 2, name


def test_typos_are_rare_and_spare_numbers_and_chinese(monkeypatch):
    marked = notes(4000)
    monkeypatch.setattr(heart_notes, "TYPOS", 0.0)
    clean = notes(4000)
    words = sum(len(heart_notes._LONG_WORD.findall(note)) for note in clean)
    wrong = sum(
        a != b
        for first, second in zip(marked, clean, strict=True)
        for a, b in zip(first.split(), second.split(), strict=True)
    )
    assert 0.006 < wrong / words < 0.011  # some double letters change places unseen
    assert [re.findall(r"\d+", n) for n in marked] == [re.findall(r"\d+", n) for n in clean]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_facts_can_be_read_from_the_words(language):
    rng = np.random.default_rng(1)
    patients = [any_patient(rng) for _ in range(1800)]
    texts = [write_note(p, np.random.default_rng([i]), language) for i, p in enumerate(patients)]
    words = (
        CountVectorizer(ngram_range=(1, 3), token_pattern=r"[^\s.,]+")
        if language == "en"
        else CountVectorizer(analyzer="char", ngram_range=(1, 4))
    )
    x = words.fit_transform(texts)
    for key in ("cp", "sex", "exang", "fbs"):
        y = np.array([p[key] for p in patients])
        model = LogisticRegression(C=10, max_iter=2000).fit(x[:1500], y[:1500])
        assert model.score(x[1500:], y[1500:]) >= 0.94, key


@pytest.mark.parametrize(
    ("changes", "language", "words"),
    [
        ({}, "de", "language='de'"),
        ({"sex": "M"}, "en", "sex='M'"),
        ({"cp": "angina"}, "en", "cp='angina'"),
        ({"exang": 2.0}, "zh", "exang=2.0"),
    ],
)
def test_bad_values(changes, language, words):
    with pytest.raises(ValueError, match=words):
        notes(20, language, **changes)


def test_note_words_keep_what_a_standard_clean_up_deletes():
    got = note_words(["F, 63 y. FBS <120 mg/dl. BP 145 systolic.", "Ex. angina: NO; 7", ""])
    assert got.dtype == object
    assert list(got) == ["f 60s y fbs below 120s mg dl bp 140s systolic", "ex angina no 7", ""]
