"""Clinical notes rendered from table values; no clinician wrote them; not for clinical use.

A note states the values and invents nothing: no symptom, drug or finding beyond them. It usually
begins with age and sex; chest pain, blood pressure, cholesterol, blood sugar and angina under
exercise follow in any order, each in one of several phrasings.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LANGUAGES = ("en", "zh")
OPENS = 0.9  # share of the notes that begin with age and sex
OMITTED = 0.03  # share of the recorded values (except age and sex) that a note leaves out
QUALIFIED = 0.5  # share of the pressures and cholesterol values followed by a qualifying word
TYPOS = 0.01  # share of the English words of five letters or more that have a typo
SLIPS = 0.03  # share of the Chinese notes that have one wrong character

Pools = Mapping[str, Sequence[str]]  # "value level" → phrasings, with {v} number, {q} qualifier


def _pools(text: str) -> Pools:
    """Read lines "value level = phrasing | phrasing"; an indented line continues the one before."""
    entries = (entry.split(" = ") for entry in re.split(r"\n(?=\S)", text.strip()))
    return {name: [_spaced(part) for part in phrasings.split("|")] for name, phrasings in entries}


def _spaced(part: str) -> str:
    part = " ".join(part.split())
    return f" {part}" if part.startswith("(") else part


_EN = _pools("""
open male age = {v} y/o man. | {v}-year-old male patient. | Pt is a {v}-year-old man. |
    Male patient, {v} years of age. | Man aged {v} years. | This is a {v} y/o male.
open female age = {v} y/o woman. | {v}-year-old female patient. | Pt is a {v}-year-old woman. |
    Female patient, {v} years of age. | Woman aged {v} years. | This is a {v} y/o female.
open male = Male patient. | Pt is a man. | This is a male patient. | Patient: male. | Male pt. |
    The patient is a man.
open female = Female patient. | Pt is a woman. | This is a female patient. | Patient: female. |
    Female pt. | The patient is a woman.
open age = {v} y/o patient. | {v}-year-old pt. | Pt is {v} years old. |
    Patient, {v} years of age. | Patient aged {v} years. | This is a {v} y/o patient.
cp typical angina = Presents with typical angina of effort. |
    C/o chest pain with all features of typical angina. |
    Pressure-like retrosternal pain on exertion, relieved by rest. |
    Reports classic exertional angina that settles with rest. |
    Squeezing retrosternal chest pain on effort, eases at rest. |
    Chest pain is of typical anginal character.
cp atypical angina = Presents with angina of atypical kind. |
    C/o atypical chest pain, only partly fitting angina. |
    Chest pain with some but not all features of angina. |
    Reports pain in the chest, atypical for angina. | Pt describes atypical anginal chest pain. |
    Chest discomfort of atypical anginal character.
cp non-anginal = C/o chest pain, clearly non-anginal. | Sharp chest pain not related to effort. |
    Reports chest pain of non-anginal type. |
    Describes chest pain that does not resemble angina. |
    Chest pain is of non-anginal character. |
    Presents with chest pain unrelated to exertion, judged non-anginal.
cp asymptomatic = Denies chest pain. | Denies angina or other chest discomfort. |
    No chest pain reported. | Asymptomatic with regard to chest pain. |
    Pt is free of chest pain. | Without chest pain or chest tightness. | Denies angina.
trestbps = Resting BP {v} mmHg systolic{q}. | SBP {v} mmHg at rest{q}. |
    Systolic pressure {v} mmHg on admission{q}. | On admission BP {v} systolic{q}. |
    Blood pressure at rest: systolic {v}{q}. | Resting systolic BP was {v} mmHg{q}.
trestbps low = , low | (low) | , below normal | (below normal) | , on the low side |
    , in the hypotensive range
trestbps normal = , normal | (normal) | , within normal limits | (WNL) | , in the normal range |
    , which is normal
trestbps upper = , high-normal | (high-normal) | , upper normal range | (borderline) |
    , in the prehypertensive range | , at the upper end of normal
trestbps high = , high | (high) | , elevated | (elevated) | , in the hypertensive range |
    , which is high
chol = Chol on labs {v} mg/dl{q}. | Total cholesterol {v} mg/dl{q}. |
    Serum cholesterol measured at {v} mg/dl{q}. | Lipids: total chol {v} mg/dl{q}. |
    Labs: cholesterol {v} mg/dl{q}. | Serum chol came back at {v} mg/dl{q}.
chol desirable = , desirable | (desirable) | , in the desirable range | , not raised |
    (not high) | , which is desirable
chol borderline = , borderline | (borderline) | , borderline high | (borderline high) |
    , in the borderline range | , which is borderline
chol high = , high | (high) | , elevated | (elevated) | , in the high range | , which is high
fbs 0 = FBS not above 120 mg/dl. | Fasting glucose not elevated. |
    Fasting blood sugar does not exceed 120 mg/dl. | Fasting sugar within the limit of 120 mg/dl. |
    Labs show no raised fasting glucose. | FBS <=120 mg/dl.
fbs 1 = FBS exceeds 120 mg/dl. | Fasting glucose is elevated. |
    Fasting blood sugar is >120 mg/dl. | Fasting sugar over the limit of 120 mg/dl. |
    Labs show raised fasting glucose. | FBS >120 mg/dl.
exang 0 = No angina on exercise test. | Exercise test did not provoke angina. |
    Stress test negative for angina. | No exercise-induced angina on stress test. |
    Ex. angina negative. | Angina absent during exercise test.
exang 1 = Angina occurred on exercise test. | Exercise test provoked angina. |
    Stress test positive for angina. | Exercise-induced angina present on stress test. |
    Ex. angina positive. | Developed angina during exercise test.
""")
_ZH = _pools("""
open male age = 男，{v}岁。 | 患者男性，{v}岁。 | {v}岁男性患者。 | 男性患者，年龄{v}岁。
open female age = 女，{v}岁。 | 患者女性，{v}岁。 | {v}岁女性患者。 | 女性患者，年龄{v}岁。
open male = 男性患者。 | 患者男性。 | 男性。 | 患者为男性。
open female = 女性患者。 | 患者女性。 | 女性。 | 患者为女性。
open age = 患者{v}岁。 | 年龄{v}岁。 | 患者年龄{v}岁。 | {v}岁患者。
cp typical angina = 典型心绞痛。 | 活动时胸骨后压榨样疼痛，休息后缓解。 | 主诉典型劳力性心绞痛。 |
    劳累时胸骨后紧缩感，休息可缓解。
cp atypical angina = 不典型心绞痛。 | 胸痛，仅部分符合心绞痛特点。 |
    主诉胸痛，性质不典型，类似心绞痛。 | 胸痛表现为不典型心绞痛。
cp non-anginal = 非心绞痛性胸痛。 | 胸部刺痛，与活动无关。 | 主诉胸痛，不符合心绞痛特点。 |
    胸痛与劳力无关，属非心绞痛性。
cp asymptomatic = 否认胸痛。 | 无胸痛症状。 | 否认心绞痛发作。 | 未诉胸痛或胸部不适。
trestbps = 收缩压{v}mmHg{q}。 | 静息收缩压{v}mmHg{q}。 | 入院时收缩压{v}mmHg{q}。 |
    静息血压：收缩压{v}mmHg{q}。
trestbps low = ，偏低 | （偏低） | ，低于正常 | ，属低血压水平
trestbps normal = ，正常 | （正常） | ，在正常范围 | （正常范围内）
trestbps upper = ，正常高值 | （正常高值） | ，属正常高值 | ，处于正常高值
trestbps high = ，升高 | （升高） | ，偏高 | ，达高血压水平
chol = 总胆固醇{v}mg/dL{q}。 | 血清胆固醇{v}mg/dL{q}。 | 胆固醇{v}mg/dL{q}。 |
    血脂：总胆固醇{v}mg/dL{q}。
chol desirable = ，合适水平 | （合适水平） | ，在合适范围 | ，水平合适
chol borderline = ，边缘升高 | （边缘升高） | ，处于边缘水平 | （临界）
chol high = ，升高 | （升高） | ，偏高 | （偏高）
fbs 0 = 空腹血糖不高。 | 空腹血糖未升高。 | 空腹血糖≤120mg/dL。 | 空腹血糖未超过120mg/dL。
fbs 1 = 空腹血糖增高。 | 空腹血糖高于120mg/dL。 | 空腹血糖>120mg/dL。 | 空腹血糖超标。
exang 0 = 运动试验未诱发心绞痛。 | 运动试验中无心绞痛。 | 无运动诱发的心绞痛。 |
    运动试验心绞痛阴性。
exang 1 = 运动试验诱发心绞痛。 | 运动试验中出现心绞痛。 | 有运动诱发的心绞痛。 |
    运动试验心绞痛阳性。
""")
_POOLS = {"en": _EN, "zh": _ZH}
# Names of the levels, and the values at which all but the first begin (mm Hg; mg/dl)
_LEVELS = {
    "trestbps": (("low", "normal", "upper", "high"), (90, 120, 140)),
    "chol": (("desirable", "borderline", "high"), (200, 240)),
}
_BODY = ("cp", "trestbps", "chol", "fbs", "exang")
# Characters that sound or look alike, so that a typist may confuse them
_CONFUSED = {
    "试验": "实验",
    "典型": "典形",
    "心绞痛": "心铰痛",
    "缓解": "缓减",
    "胆固醇": "胆固纯",
    "血糖": "血塘",
    "静息": "静熄",
    "符合": "付合",
    "否认": "否任",
}
_LONG_WORD = re.compile(r"[A-Za-z]{5,}")
_DRAWS = 21  # 6 places, 6 phrasings, 5 omissions, 2 qualifiers, 2 slips or typos


def write_note(values: Mapping[str, Any], rng: np.random.Generator, language: str = "en") -> str:
    """A note of up to six short sentences, determined by the values and the generator's state.

    A value that is not recorded is not mentioned, and 3% of the recorded ones are left out, so that
    a gap looks like an omission. A qualifying word ("high") follows half of the numbers, by the
    usual cut-offs: systolic pressure 90 (hypotension), 120 and 140 mm Hg (JNC 7, 2003), total
    cholesterol 200 and 240 mg/dl (NCEP ATP III, 2001). Non-anginal, atypical and typical pain are
    told apart as in Diamond (1983). In English, 1% of the longer words have a typo; in Chinese, 3%
    of the notes have a wrong character; numbers are never changed. Each value has its own random
    draws, so that changing one value changes only its sentence.

    Args:
        values: age (years), sex ("female" or "male"), cp (chest pain: "typical angina", "atypical
            angina", "non-anginal" or "asymptomatic"), trestbps (systolic, mm Hg), chol (mg/dl),
            fbs (fasting sugar above 120 mg/dl) and exang (angina under exercise) as bool or 0
            and 1; None, NaN or an absent key means that the value is not recorded.
        rng: the random generator of this note; its state advances.
        language: "en" or "zh" (simplified Chinese).

    Returns:
        The note; "" if nothing is recorded.

    Raises:
        ValueError: the language, the sex or the kind of chest pain is unknown, or fbs or exang is
            neither true nor false.
    """
    if language not in _POOLS:
        raise ValueError(f"language={language!r} must be one of {', '.join(LANGUAGES)}")
    u = rng.random(_DRAWS).tolist()
    ordered = [sentence for sentence, _ in _ordered(values, _POOLS[language], u)]
    if language == "zh":
        return _with_slip("".join(ordered), u[19], u[20])
    return _with_typos(" ".join(ordered), u[19], rng)


def word_regions(values: Mapping[str, Any], rng: np.random.Generator) -> tuple[str, ...]:
    """What each word of an English note speaks of, in the order of `note_words`.

    Args: as for `write_note`, with a generator in the same state.

    Returns:
        One name per word: "opening" for age and sex, otherwise the name of the value.
    """
    found = _ordered(values, _POOLS["en"], rng.random(_DRAWS).tolist())
    return tuple(name for sentence, name in found for _ in _words(sentence).split())


def _ordered(values: Mapping[str, Any], pools: Pools, u: Sequence[float]) -> list[tuple[str, str]]:
    """The sentences of a note, without slips, each with the name of what it speaks of."""
    opening = _opening(pools, values.get("age"), values.get("sex"), u[6])
    place = -1.0 if u[0] < OPENS else (u[0] - OPENS) / (1 - OPENS)
    sentences = [(place, opening, "opening")] if opening else []
    for i, key in enumerate(_BODY):
        value = values.get(key)
        if value is None or value != value:
            continue
        sentence = _sentence(pools, key, value, u[7 + i], u[16 + i] if key in _LEVELS else 1.0)
        if u[12 + i] >= OMITTED:
            sentences.append((u[1 + i], sentence, key))
    return [(sentence, name) for _, sentence, name in sorted(sentences)]


def _opening(pools: Pools, age: Any, sex: Any, u: float) -> str:
    """Age and sex, or the one of them that is recorded, or nothing."""
    no_age, no_sex = age is None or age != age, sex is None or sex != sex
    if not no_sex and sex not in ("male", "female"):
        raise ValueError(f"sex={sex!r} must be 'male' or 'female', or None where not recorded")
    if no_age and no_sex:
        return ""
    kind = "open" + ("" if no_sex else f" {sex}") + ("" if no_age else " age")
    text = _choose(pools[kind], u)
    return text if no_age else text.replace("{v}", _number(age))


def _sentence(pools: Pools, key: str, value: Any, u: float, q: float) -> str:
    """One sentence on a recorded value; u picks its phrasing, and q < QUALIFIED its qualifier."""
    if key in _LEVELS:
        names, cuts = _LEVELS[key]
        level = names[sum(value >= cut for cut in cuts)]
        word = _choose(pools[f"{key} {level}"], q / QUALIFIED) if q < QUALIFIED else ""
        return _choose(pools[key], u).replace("{v}", _number(value)).replace("{q}", word)
    if key != "cp" and value not in (0, 1):
        raise ValueError(f"{key}={value!r} must be True or False, or None where not recorded")
    kind = f"{key} {value}" if key == "cp" else f"{key} {int(value)}"
    if kind not in pools:
        kinds = ", ".join(repr(name[3:]) for name in pools if name.startswith("cp "))
        raise ValueError(f"cp={value!r} must be one of {kinds}, or None where not recorded")
    return _choose(pools[kind], u)


def _choose(pool: Sequence[str], u: float) -> str:
    return pool[int(u * len(pool))]


def _number(value: float) -> str:
    """As recorded: 145.0 → "145", 145.5 → "145.5"."""
    return f"{value:.10g}"


def _with_slip(note: str, u: float, pick: float) -> str:
    """If u < SLIPS, replace one character of the note by one that sounds or looks alike."""
    words = [word for word in _CONFUSED if word in note] if u < SLIPS else []
    if not words:
        return note
    word = _choose(words, pick)
    return note.replace(word, _CONFUSED[word], 1)


def _with_typos(note: str, u: float, rng: np.random.Generator) -> str:
    """Misspell each long word with probability TYPOS; u gives the number of words before a typo."""
    nth = _gap(u)
    words = [match.span() for match in _LONG_WORD.finditer(note)]
    wrong = []
    while nth < len(words):
        where, how, u = rng.random(3).tolist()
        wrong.append((words[nth], where, how))
        nth += 1 + _gap(u)
    for (start, end), where, how in reversed(wrong):  # so that the earlier spans stay valid
        note = note[:start] + _misspelt(note[start:end], where, how) + note[end:]
    return note


def _gap(u: float) -> int:
    """The number of words without a typo before the next typo, from a geometric distribution."""
    return int(math.log(1 - u) / math.log(1 - TYPOS))


def _misspelt(word: str, where: float, how: float) -> str:
    """Two letters swapped, one dropped or one doubled; the first letter stays."""
    i = 1 + int(where * (len(word) - 2))
    one, two = word[i], word[i + 1]
    pair = (two + one, two, one + one + two)[int(3 * how)]
    if one == two and pair == one + two:  # a swap that nobody would see
        pair = one
    return word[:i] + pair + word[i + 2 :]


def note_words(notes: Sequence[str]) -> np.ndarray:
    """English notes as plain words, object (n,), ready for a `TextVectorization(standardize=None)`.

    The words are in lower case and without punctuation. The signs "<" and ">", which a standard
    clean-up would delete, become "below" and "above". Numbers are rounded down to tens ("145" to
    "140s"), since few patients share the exact number.
    """
    return np.array([_words(note) for note in notes], object)


def _words(note: str) -> str:
    note = note.lower().replace("<", " below ").replace(">", " above ")
    note = re.sub(r"(\d+)\d\b", r"\g<1>0s", note)
    return " ".join(re.findall(r"[a-z0-9]+", note))
