"""The note says what the values say, in both languages, and nothing else."""

import itertools
import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from mmkeras.datasets import note_words, simulate_heart
from mmkeras.datasets.heart import notes as hn
from mmkeras.datasets.heart.notes import LANGUAGES, word_regions, write_note

KINDS = ("typical angina", "atypical angina", "non-anginal", "asymptomatic")
BODY = ("cp", "trestbps", "chol", "fbs", "exang")
CUTS = {
    "trestbps": ((90, "low"), (120, "normal"), (140, "upper"), (np.inf, "high")),
    "chol": ((200, "desirable"), (240, "borderline"), (np.inf, "high")),
}
FULL = {
    "age": 63,
    "sex": "male",
    "cp": "asymptomatic",
    "trestbps": 145.0,
    "chol": 233.0,
    "fbs": True,
    "exang": False,
}
# Words by hand, not taken from the pools: no note without the value may hold one of them.
WORDS = {
    "en": {
        "cp": r"pain|chest|retrosternal|denies|asymptomatic|discomfort|exertion|effort",
        "trestbps": r"\bS?BP\b|blood pressure|systolic|mm ?Hg|tensi",
        "chol": r"chol|lipid|\bTC\b|desirable",
        "fbs": r"FBS|fasting|glucose|sugar|diabet|120",
        "exang": r"exercise|stress|\bEx\b|test|treadmill",
    },
    "zh": {
        "cp": "胸|劳力|否认|主诉|典型",
        "trestbps": "血压|收缩|mmHg",
        "chol": "胆固醇|血脂|合适",
        "fbs": "空腹|血糖|120",
        "exang": "运动",
    },
}


def patient(rng):
    return {
        "age": int(rng.integers(28, 78)),
        "sex": str(rng.choice(["female", "male"])),
        "cp": str(rng.choice(KINDS)),
        "trestbps": float(rng.integers(80, 200)),
        "chol": float(rng.integers(121, 450)),
        "fbs": bool(rng.integers(2)),
        "exang": bool(rng.integers(2)),
    }


def cohort(n, seed=0):
    rng = np.random.default_rng(seed)
    return [patient(rng) for _ in range(n)]


def notes(n, language="en", **changes):
    rng = np.random.default_rng(5)
    return [write_note({**FULL, **changes}, rng, language) for _ in range(n)]


@pytest.fixture
def clean(monkeypatch):
    """No typos and no slips, so that a parser can read every word."""
    monkeypatch.setattr(hn, "TYPOS", 1e-12)
    monkeypatch.setattr(hn, "SLIPS", 0.0)


@pytest.fixture
def complete(monkeypatch):
    monkeypatch.setattr(hn, "OMITTED", 0.0)


def patterns(language):
    """[(regex of one sentence, key, level or None)]; number and qualifier are named groups."""
    pools, rows = hn._POOLS[language], []
    for name, pool in pools.items():
        key, _, level = name.partition(" ")
        if key in CUTS and level:
            continue  # a qualifier, not a sentence
        words = [
            (part.partition(" ")[2], word)
            for part, pool2 in pools.items()
            if key in CUTS and part.startswith(f"{key} ")
            for word in pool2
        ]
        for text in pool:
            expression = re.escape(text).replace(r"\{v\}", r"(?P<v>\d+(\.\d+)?)")
            qualifier = "|".join(re.escape(word) for _, word in words)
            expression = expression.replace(r"\{q\}", rf"(?P<q>{qualifier})?")
            rows.append((re.compile(expression), key, level))
    return rows


PATTERNS = {language: patterns(language) for language in LANGUAGES}


def read(note, language):
    """The oracle: sentence by sentence, longest match → {key: (level, number, qualifier)}."""
    facts, order, at = {}, [], 0
    while at < len(note):
        hits = [
            (m.end(), key, level, m)
            for r, key, level in PATTERNS[language]
            if (m := r.match(note, at))
        ]
        assert hits, f"not a known sentence: {note[at:]!r}"
        end, key, level, match = max(hits, key=lambda hit: hit[0])
        assert key not in facts, f"{key} twice in {note!r}"
        groups = match.groupdict()
        facts[key] = (level, groups.get("v"), groups.get("q"))
        order.append(key)
        at = end + (language == "en")
    return facts, order


def level_of(key, value):
    return next(name for end, name in CUTS[key] if value < end)


# ------------------------------------------------------------------------------ what it says


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_parser_reads_back_every_value(language, clean, complete):
    rng = np.random.default_rng(1)
    for values in cohort(1500):
        facts, _ = read(write_note(values, rng, language), language)
        assert set(facts) == {"open", *BODY}
        assert facts["open"][:2] == (f"{values['sex']} age", str(values["age"]))
        assert facts["cp"][0] == values["cp"]
        assert facts["fbs"][0] == str(int(values["fbs"]))
        assert facts["exang"][0] == str(int(values["exang"]))
        for key in CUTS:
            _, number, word = facts[key]
            assert float(number) == values[key]
            if word:
                assert word in hn._POOLS[language][f"{key} {level_of(key, values[key])}"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("gap", [None, float("nan")])
@pytest.mark.parametrize("key", BODY)
def test_a_value_that_is_not_recorded_is_not_mentioned(language, gap, key, clean):
    words = re.compile(WORDS[language][key], re.IGNORECASE if language == "en" else 0)
    silent = [{**values, key: gap} for values in cohort(400, seed=2)]
    for values in silent:
        if key == "fbs":  # its limit is a number that a pressure may have, too
            values["trestbps"] = 145.0
        note = write_note(values, np.random.default_rng(3), language)
        assert not words.search(note), note
    spoken = [write_note(v, np.random.default_rng(i), language) for i, v in enumerate(cohort(300))]
    assert np.mean([bool(words.search(note)) for note in spoken]) > 0.85


@pytest.mark.parametrize("language", LANGUAGES)
def test_age_and_sex_may_be_missing_too(language, clean):
    bare = dict.fromkeys(BODY)
    for age, sex, kind in (
        (None, "male", "male"),
        (50, None, "age"),
        (float("nan"), "female", "female"),
    ):
        facts, _ = read(notes(1, language, **bare, age=age, sex=sex)[0], language)
        assert set(facts) == {"open"} and facts["open"][0] == kind
    assert notes(1, language, **bare, age=None, sex=None) == [""]
    assert write_note({}, np.random.default_rng(0), language) == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_are_as_recorded(language, clean, complete):
    facts, _ = read(notes(1, language, trestbps=145.5, chol=np.float32(233))[0], language)
    assert facts["trestbps"][1] == "145.5" and facts["chol"][1] == "233"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_number_is_made_up(language):
    rng = np.random.default_rng(12)
    for values in cohort(2000, seed=3):
        seen = set(re.findall(r"\d+", write_note(values, rng, language)))
        known = {f"{values[key]:.0f}" for key in ("age", "trestbps", "chol")}
        assert f"{values['age']}" in seen and seen <= known | {"120"}  # the limit of the sugar


@pytest.mark.parametrize("language", LANGUAGES)
def test_qualifying_words_follow_the_cut_offs(language, clean, complete):
    for key, values in {
        "trestbps": (80, 89, 90, 119, 120, 139, 140),
        "chol": (199, 200, 239, 240),
    }.items():
        for value in values:
            rng = np.random.default_rng(value)
            seen = [
                read(write_note({**FULL, key: value}, rng, language), language)[0][key][2]
                for _ in range(200)
            ]
            pool = hn._POOLS[language][f"{key} {level_of(key, value)}"]
            assert {word for word in seen if word} == set(pool), (key, value)
            assert np.mean([word is not None for word in seen]) == pytest.approx(0.5, abs=0.13)


def test_denying_angina_is_not_the_same_as_no_angina_in_the_test(clean, complete):
    asymptomatic = set(notes(300, cp="asymptomatic", exang=True))
    assert any("Denies angina." in note for note in asymptomatic)
    assert any("Ex. angina positive." in note for note in asymptomatic)
    for note in asymptomatic:
        facts, _ = read(note, "en")
        assert facts["cp"][0] == "asymptomatic" and facts["exang"][0] == "1"


# ------------------------------------------------------------------------------ the pools


@pytest.mark.parametrize(("language", "least"), [("en", 6), ("zh", 4)])
def test_enough_phrasings_and_none_in_two_levels(language, least):
    pools = hn._POOLS[language]
    kinds = ["male age", "female age", "male", "female", "age"]
    wanted = {f"open {kind}" for kind in kinds} | {f"cp {kind}" for kind in KINDS}
    wanted |= {"fbs 0", "fbs 1", "exang 0", "exang 1", *CUTS}
    wanted |= {f"{key} {name}" for key, levels in CUTS.items() for _, name in levels}
    assert set(pools) == wanted
    for name, pool in pools.items():
        assert len(set(pool)) == len(pool) >= least, name
        holes = [set(re.findall(r"\{(\w)\}", text)) for text in pool]
        want = {"v", "q"} if name in CUTS else {"v"} if name.endswith("age") else set()
        assert all(hole == want for hole in holes), name
    for first, second in itertools.combinations(pools, 2):
        alike = first.split()[0] == second.split()[0] in CUTS
        if alike or first.split()[0] not in CUTS and second.split()[0] not in CUTS:
            assert not set(pools[first]) & set(pools[second]), (first, second)


def test_every_phrasing_comes_up(complete, clean):
    for language in LANGUAGES:
        rng = np.random.default_rng(6)
        text = " ".join(write_note(v, rng, language) for v in cohort(2500))
        for name, pool in hn._POOLS[language].items():
            if name not in ("open male", "open female", "open age"):
                for phrase in pool:
                    assert re.search(re.escape(phrase).split(r"\{")[0], text), (name, phrase)


# ------------------------------------------------------------------------------ shape and chance


def test_same_state_same_note_and_many_wordings():
    for language in LANGUAGES:
        first, second = notes(300, language), notes(300, language)
        assert first == second and len(set(first)) > 290


def test_one_value_changes_its_own_sentence_alone(clean, complete):
    for language in LANGUAGES:
        for seed in range(50):
            a, b = (
                read(
                    write_note({**FULL, "chol": chol}, np.random.default_rng(seed), language),
                    language,
                )
                for chol in (233.0, 301.0)
            )
            assert a[1] == b[1]
            assert {k: v for k, v in a[0].items() if k != "chol"} == {
                k: v for k, v in b[0].items() if k != "chol"
            }


def test_lengths(clean, complete):
    rng = np.random.default_rng(0)
    english = [write_note(values, rng) for values in cohort(2000)]
    words = np.array([len(note.split()) for note in english])
    assert words.min() >= 18 and words.max() <= 60
    assert np.mean((words >= 25) & (words <= 60)) > 0.95
    chinese = [len(write_note(values, rng, "zh")) for values in cohort(2000)]
    assert min(chinese) >= 40 and max(chinese) <= 110


@pytest.mark.parametrize("language", LANGUAGES)
def test_order_varies_and_age_and_sex_mostly_open(language, clean, complete):
    orders = [read(note, language)[1] for note in notes(1500, language)]
    # 0.9 by rule, and one in six of the rest by chance
    assert np.mean([order[0] == "open" for order in orders]) == pytest.approx(0.917, abs=0.03)
    rest = [tuple(key for key in order if key != "open") for order in orders]
    assert len(set(rest)) == 120
    for key in BODY:
        first = np.mean([order[0] == key for order in rest])
        assert first == pytest.approx(0.2, abs=0.05), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_recorded_value_in_33_is_left_out(language, clean):
    rng = np.random.default_rng(4)
    said = [set(read(write_note(v, rng, language), language)[0]) for v in cohort(4000)]
    for key in BODY:
        left_out = np.mean([key not in facts for facts in said])
        assert left_out == pytest.approx(0.03, abs=4 * np.sqrt(0.03 * 0.97 / 4000)), key
    assert all("open" in facts for facts in said)


def marked_and_clean(n, language, monkeypatch):
    patients = cohort(n)
    write = lambda: [  # noqa: E731
        write_note(v, np.random.default_rng([i, 8]), language) for i, v in enumerate(patients)
    ]
    marked = write()
    monkeypatch.setattr(hn, "TYPOS", 1e-12)
    monkeypatch.setattr(hn, "SLIPS", 0.0)
    return marked, write()


def test_one_long_english_word_in_a_hundred_has_a_typo(monkeypatch):
    marked, clean_notes = marked_and_clean(6000, "en", monkeypatch)
    wrong, long_words = 0, 0
    for typed, right in zip(marked, clean_notes, strict=True):
        for a, b in zip(
            re.findall(r"[A-Za-z]+|[^A-Za-z]+", typed),
            re.findall(r"[A-Za-z]+|[^A-Za-z]+", right),
            strict=True,
        ):
            long_words += len(b) >= 5 and b.isalpha()
            if a != b:
                wrong += 1
                assert len(b) >= 5 and b.isalpha() and a[0] == b[0]
                assert is_one_typo(a, b), (a, b)
    share = wrong / long_words
    assert share == pytest.approx(0.01, abs=4 * np.sqrt(0.01 / long_words))


def test_every_word_has_the_same_chance_also_after_a_typo(monkeypatch):
    monkeypatch.setattr(hn, "TYPOS", 0.3)
    rng, right = np.random.default_rng(2), " ".join(["glucose"] * 30)
    typed = np.array([hn._with_typos(right, rng.random(), rng).split() for _ in range(2000)])
    assert (typed != "glucose").mean(axis=0) == pytest.approx(np.full(30, 0.3), abs=0.045)


def is_one_typo(a, b):
    """Two neighbours swapped, one letter dropped, or one doubled."""
    swaps = {b[:i] + b[i + 1] + b[i] + b[i + 2 :] for i in range(1, len(b) - 1)}
    drops = {b[:i] + b[i + 1 :] for i in range(1, len(b))}
    doubles = {b[:i] + b[i] + b[i:] for i in range(1, len(b))}
    return a in swaps | drops | doubles


def test_all_three_kinds_of_typo_happen():
    rng = np.random.default_rng(0)
    lengths = [len(hn._misspelt("angina", *rng.random(2))) - 6 for _ in range(300)]
    assert set(lengths) == {-1, 0, 1}
    for word in ("glucose", "presssure", "aaaaa"):
        draws = rng.random((200, 2))
        assert all(hn._misspelt(word, *u) != word for u in draws)


def test_a_slip_in_three_of_a_hundred_chinese_notes_spares_numbers(monkeypatch):
    marked, right = marked_and_clean(8000, "zh", monkeypatch)
    pairs = [(a, b) for a, b in zip(marked, right, strict=True) if a != b]
    assert len(pairs) / 8000 == pytest.approx(0.03, abs=4 * np.sqrt(0.03 / 8000))
    for a, b in pairs:
        assert len(a) == len(b) and re.findall(r"\d+", a) == re.findall(r"\d+", b)
        assert sum(x != y for x, y in zip(a, b, strict=True)) == 1


def test_typos_spare_english_numbers(monkeypatch):
    marked, right = marked_and_clean(2000, "en", monkeypatch)
    assert [re.findall(r"\d+", n) for n in marked] == [re.findall(r"\d+", n) for n in right]


# ------------------------------------------------------------------------------ can it be learnt


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_bag_of_words_recovers_the_facts(language):
    patients = cohort(2100, seed=7)
    rng = np.random.default_rng(11)
    texts = [write_note(values, rng, language) for values in patients]
    bag = (
        CountVectorizer(token_pattern=r"[^\s.,()]+")
        if language == "en"
        else CountVectorizer(analyzer="char", ngram_range=(2, 2))
    )
    x = bag.fit(texts[:1500]).transform(texts)
    for key in ("cp", "sex", "exang", "fbs"):
        y = np.array([values[key] for values in patients])
        model = LogisticRegression(C=10, max_iter=3000).fit(x[:1500], y[:1500])
        assert model.score(x[1500:], y[1500:]) >= 0.95, key


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("changes", "language", "words"),
    [
        ({}, "de", "language='de' must be one of en, zh"),
        ({"sex": "M"}, "en", "sex='M' must be 'male' or 'female'"),
        ({"cp": "angina"}, "en", "cp='angina' must be one of 'typical angina'"),
        ({"exang": 2.0}, "zh", "exang=2.0 must be True or False"),
        ({"fbs": "yes"}, "en", "fbs='yes' must be True or False"),
    ],
)
def test_wrong_values_are_named_in_every_note(changes, language, words):
    for seed in range(100):  # also in the notes that would leave the value out
        with pytest.raises(ValueError, match=words):
            write_note({**FULL, **changes}, np.random.default_rng(seed), language)


def test_note_words_keep_what_a_standard_clean_up_deletes():
    got = note_words(["F, 63 y. FBS >120 mg/dl. BP 145 systolic.", "Ex. angina: NO; 7", ""])
    assert got.dtype == object
    assert list(got) == ["f 60s y fbs above 120s mg dl bp 140s systolic", "ex angina no 7", ""]


def test_each_word_is_said_to_speak_of_what_it_speaks_of():
    """The words of a value are those that go when it is not recorded; typos change no number."""
    heart = simulate_heart(60, seed=2, missing={"note": 0.1})
    plain = note_words(heart.note)
    for words, names in zip(plain, heart.word_regions, strict=True):
        assert len(words.split()) == len(names)
    absent = ~heart.table["has_note"].to_numpy()
    assert absent.any() and set(heart.word_regions[absent]) <= {"", ()}
    for seed in range(20):
        names = np.array(word_regions(FULL, np.random.default_rng(seed)))
        whole = note_words([write_note(FULL, np.random.default_rng(seed))])[0].split()
        assert set(names) <= {"opening", *BODY} and len(names) == len(whole)
        for key in set(names) - {"opening"}:
            rest = word_regions({**FULL, key: None}, np.random.default_rng(seed))
            assert rest == tuple(names[names != key])
            said = " ".join(np.array(whole)[names == key])
            others = "|".join(WORDS["en"][other] for other in BODY if other != key)
            assert not re.search(others, said, re.IGNORECASE) or key in ("cp", "exang"), said
