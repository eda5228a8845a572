"""Clinical notes rendered from table values: written by no clinician, not for clinical use.

A note says what the values say and invents nothing. It opens with age and sex; chest pain,
pressure, cholesterol, sugar and the angina under exercise follow in any order, each in one of many
phrasings.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LANGUAGES = ("en", "zh")
OMITTED = 0.03  # share of the known values (but age and sex) that a note leaves out
TYPOS = 0.01  # share of the English words of five letters or more that have a typo

_EN: dict[str, Sequence[str]] = {
    "open female": (
        "{v} y/o woman.",
        "{v}-year-old female.",
        "Pt is a {v} year old woman.",
        "Female patient, {v} yrs.",
        "Woman aged {v}.",
        "F, {v} y.",
        "This {v} y/o lady was seen in clinic.",
    ),
    "open male": (
        "{v} y/o man.",
        "{v}-year-old male.",
        "Pt is a {v} year old man.",
        "Male patient, {v} yrs.",
        "Man aged {v}.",
        "M, {v} y.",
        "This {v} y/o gentleman was seen in clinic.",
    ),
    "cp typical angina": (
        "C/o typical angina.",
        "Typical anginal chest pain.",
        "Retrosternal pressure on effort, gone after minutes of rest.",
        "Pt reports classic exertional angina, relieved by rest.",
        "Hx of typical angina pectoris.",
        "Squeezing chest pain on exertion, eases at rest.",
    ),
    "cp atypical angina": (
        "C/o atypical angina.",
        "Atypical anginal chest pain.",
        "Chest pain with some but not all features of angina.",
        "Hx of atypical angina.",
        "Pt reports chest pain, atypical for angina.",
        "Anginal pain of atypical kind.",
    ),
    "cp non-anginal": (
        "Chest pain, non-anginal.",
        "C/o non-anginal chest pain.",
        "Sharp chest pain, not related to effort.",
        "Pt reports chest pain that does not fit angina.",
        "Non-cardiac type of chest pain.",
        "Stitching chest pain, independent of exertion.",
    ),
    "cp asymptomatic": (
        "Denies chest pain.",
        "No chest pain reported.",
        "Asymptomatic.",
        "Pt is free of chest pain.",
        "No complaints, denies chest discomfort.",
        "Without chest symptoms.",
    ),
    "trestbps": (
        "BP {v} systolic{q}.",
        "SBP {v}{q}.",
        "Systolic {v} mmHg on admission{q}.",
        "Resting BP {v} mmHg systolic{q}.",
        "Blood pressure at rest {v}{q}.",
        "RR syst. {v}{q}.",
    ),
    "trestbps 0": (", normal", " (normal range)", ", within normal limits"),
    "trestbps 1": (", upper normal", " (high-normal)", ", slightly raised"),
    "trestbps 2": (", elevated", " (high)", ", hypertensive"),
    "chol": (
        "Chol {v} mg/dl{q}.",
        "Total cholesterol {v}{q}.",
        "Serum cholesterol {v} mg/dl{q}.",
        "Lipids: TC {v}{q}.",
        "Cholesterol measured at {v}{q}.",
        "TC {v} mg/dl{q}.",
    ),
    "chol 0": (", desirable", " (normal)", ", in range"),
    "chol 1": (", borderline", " (borderline high)", ", slightly above range"),
    "chol 2": (", high", " (elevated)", ", hypercholesterolaemia"),
    "fbs 0": (
        "FBS not elevated.",
        "Fasting glucose below 120.",
        "Fasting sugar normal.",
        "FBS <120 mg/dl.",
        "No raised fasting glucose.",
        "Fasting blood sugar unremarkable.",
    ),
    "fbs 1": (
        "FBS elevated.",
        "Fasting glucose above 120.",
        "Fasting sugar high.",
        "FBS >120 mg/dl.",
        "Raised fasting glucose.",
        "Fasting blood sugar over the limit.",
    ),
    "exang 0": (
        "No angina on treadmill.",
        "Exercise test without angina.",
        "No exercise-induced angina.",
        "Ex. angina negative.",
        "Effort did not provoke angina.",
        "Stress test: angina absent.",
    ),
    "exang 1": (
        "Angina on treadmill.",
        "Exercise test with angina.",
        "Exercise-induced angina present.",
        "Ex. angina positive.",
        "Effort provoked angina.",
        "Stress test: develops angina.",
    ),
}
_ZH: dict[str, Sequence[str]] = {
    "open female": ("女，{v}岁。", "患者女性，{v}岁。", "{v}岁女性。", "女性患者，年龄{v}岁。"),
    "open male": ("男，{v}岁。", "患者男性，{v}岁。", "{v}岁男性。", "男性患者，年龄{v}岁。"),
    "cp typical angina": (
        "典型心绞痛。",
        "活动后胸骨后压榨感，休息数分钟缓解。",
        "主诉典型劳力性心绞痛。",
        "劳累时胸部紧缩样疼痛，休息后好转。",
    ),
    "cp atypical angina": (
        "不典型心绞痛。",
        "胸痛，具备部分心绞痛特点。",
        "主诉不典型心绞痛样胸痛。",
        "心绞痛症状不典型。",
    ),
    "cp non-anginal": (
        "非心绞痛性胸痛。",
        "胸部刺痛，与活动无关。",
        "胸痛，不符合心绞痛。",
        "主诉非心源性胸痛。",
    ),
    "cp asymptomatic": ("否认胸痛。", "无胸痛。", "无症状。", "无胸部不适主诉。"),
    "trestbps": (
        "收缩压{v}mmHg{q}。",
        "静息血压收缩压{v}{q}。",
        "入院收缩压{v}mmHg{q}。",
        "SBP {v}{q}。",
    ),
    "trestbps 0": ("，正常", "（正常范围）"),
    "trestbps 1": ("，正常高值", "（略高）"),
    "trestbps 2": ("，升高", "（高血压水平）"),
    "chol": (
        "总胆固醇{v}mg/dl{q}。",
        "血清胆固醇{v}{q}。",
        "胆固醇{v}mg/dl{q}。",
        "血脂：TC {v}{q}。",
    ),
    "chol 0": ("，理想", "（正常）"),
    "chol 1": ("，边缘升高", "（临界）"),
    "chol 2": ("，偏高", "（高胆固醇）"),
    "fbs 0": ("空腹血糖不高。", "空腹血糖低于120。", "空腹血糖正常。", "空腹血糖<120mg/dl。"),
    "fbs 1": ("空腹血糖升高。", "空腹血糖高于120。", "空腹血糖偏高。", "空腹血糖>120mg/dl。"),
    "exang 0": (
        "运动未诱发心绞痛。",
        "平板试验无心绞痛。",
        "无运动性心绞痛。",
        "运动试验心绞痛阴性。",
    ),
    "exang 1": (
        "运动诱发心绞痛。",
        "平板试验出现心绞痛。",
        "有运动性心绞痛。",
        "运动试验心绞痛阳性。",
    ),
}
_POOLS = {"en": _EN, "zh": _ZH}
_CUTS = {"trestbps": (120, 140), "chol": (200, 240)}  # mm Hg (JNC 7); mg/dl (ATP III)
_BODY = ("cp", "trestbps", "chol", "fbs", "exang")
_LONG_WORD = re.compile(r"[A-Za-z]{5,}")


def write_note(values: Mapping[str, Any], rng: np.random.Generator, language: str = "en") -> str:
    """A note of three to six short sentences; the same generator state, the same note.

    A value that is not known is not mentioned, and a known one is left out now and then (3%), so
    that a gap looks like an omission. A qualifying word ("high") follows a number in half of the
    notes, by the usual cut-offs: systolic pressure 120 and 140 mm Hg (JNC 7, 2003), total
    cholesterol 200 and 240 mg/dl (NCEP ATP III, 2001). In English 1% of the longer words have a
    typo; numbers never have.

    Args:
        values: age (years), sex ("female" or "male"), cp ("typical angina", "atypical angina",
            "non-anginal" or "asymptomatic"), trestbps (mm Hg), chol (mg/dl), fbs (fasting sugar
            above 120 mg/dl) and exang (angina under exercise) as 0 or 1; None or NaN where not
            known.
        rng: of the recording.
        language: "en" or "zh" (simplified Chinese).

    Raises:
        ValueError: an unknown language, sex or kind of chest pain.
        KeyError: age or sex is not among the values.
    """
    if language not in _POOLS:
        raise ValueError(f"language={language!r} must be one of {', '.join(LANGUAGES)}")
    pools, u = _POOLS[language], rng.random(20)
    if f"open {values['sex']}" not in pools:
        raise ValueError(f"sex={values['sex']!r} must be 'female' or 'male'")
    sentences = [_choose(pools[f"open {values['sex']}"], u[0]).format(v=f"{values['age']:.0f}")]
    for i in np.argsort(u[1:6]):
        key = _BODY[i]
        value = values.get(key)
        if value is None or value != value or u[6 + i] < OMITTED:
            continue
        sentences.append(_sentence(pools, key, value, u[11 + i], u[16 + i % 4]))
    note = ("" if language == "zh" else " ").join(sentences)
    return note if language == "zh" else _with_typos(note, rng)


def note_words(notes: Sequence[str]) -> np.ndarray:
    """English notes as plain words, object (n,), ready for a `TextVectorization(standardize=None)`.

    Lower case, without punctuation; "<" and ">" become "below" and "above", which a standard
    clean-up would delete, and numbers are rounded down to tens ("145" to "140s"), since few
    patients share the exact number.
    """
    return np.array([_words(note) for note in notes], object)


def _words(note: str) -> str:
    note = note.lower().replace("<", " below ").replace(">", " above ")
    note = re.sub(r"(\d+)\d\b", r"\g<1>0s", note)
    return " ".join(re.findall(r"[a-z0-9]+", note))


def _sentence(pools: Mapping[str, Sequence[str]], key: str, value: Any, u: float, q: float) -> str:
    if key in _CUTS:
        level = sum(value >= cut for cut in _CUTS[key])
        word = _choose(pools[f"{key} {level}"], 2 * q) if q < 0.5 else ""
        return _choose(pools[key], u).format(v=f"{value:.0f}", q=word)
    kind = f"{key} {value}" if key == "cp" else f"{key} {value:.0f}"
    if kind not in pools:
        raise ValueError(f"{key}={value!r} is not among the values a note can tell")
    return _choose(pools[kind], u)


def _choose(pool: Sequence[str], u: float) -> str:
    return pool[int(u * len(pool))]


def _with_typos(note: str, rng: np.random.Generator) -> str:
    """Now and then two letters of a longer word change places, or one is lost or doubled."""
    words = [match.span() for match in _LONG_WORD.finditer(note)]
    chances = rng.random((len(words), 3))
    for (start, end), (hit, where, how) in reversed(
        list(zip(words, chances.tolist(), strict=True))
    ):
        if hit >= TYPOS:
            continue
        i = start + 1 + int(where * (end - start - 2))
        pair = note[i : i + 2]
        change = (pair[::-1], pair[0], pair[0] + pair)[int(3 * how)]
        note = note[:i] + change + note[i + 2 :]
    return note
