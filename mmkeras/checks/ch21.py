"""Checks of chapter 21, privacy."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from . import NotYet, exercise, expect_close, expect_plan, expect_truths, refuse_slips

VERDICTS = {"a": False, "b": False, "c": False, "d": False, "e": True, "f": True}
LOOK = {
    "a": "section 1: what links a note that holds no name at all? section 3: what escapes a mask?",
    "b": "section 2: what about a class in which all have the same diagnosis?",
    "c": "section 5: which second number belongs to it, and whose presence is hidden?",
    "d": "section 1: is a failed attack an upper or a lower limit of the danger?",
    "e": "section 7: what proves it for one patient?",
    "f": "section 6: what does InvalidTag say?",
}


@exercise(
    "21.1",
    "certain without being found",
    hint="groupby(quasi)[sensitive].transform('nunique') gives each row the number of different "
    "values of its class; the share of rows where it is 1 is asked for",
)
def certain(function: Callable) -> str | None:
    """Return the share of patients in a class where all have the same sensitive value."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame(
        {"place": rng.choice(list("abcd"), 60), "age": rng.integers(2, 8, 60) * 10}
    )
    table["ill"] = (rng.random(60) < 0.2 + 0.5 * (table["age"] > 50)).astype(int)
    quasi, classes = ["place", "age"], table.groupby(["place", "age"])["ill"]
    same, size = classes.nunique() == 1, classes.size()
    want = size[same].sum() / len(table)
    got = function(table.copy(), list(quasi), "ill")
    all_ill = classes.mean() == 1
    slips = {
        "this is the share of classes: count the patients in them": same.mean(),
        "this is the share of patients who are alone: a class of several can be uniform, too": (
            size == 1
        ).sum()
        / len(table),
        "a class where everybody is healthy gives its patients away as well": size[all_ill].sum()
        / len(table),
        "these are the patients in mixed classes: count the others": 1 - want,
        "patients who are alone are certain as well": size[same & (size > 1)].sum() / len(table),
        "this is the number of patients: divide by all of them": want * len(table),
    }
    refuse_slips(got, {k: v for k, v in slips.items() if not np.isclose(v, want)}, want)
    expect_close(got, want, "the share of certain patients")
    other = table[["place", "ill"]].set_axis(["ward", "grade"], axis=1)
    each = other.groupby("ward")["grade"].transform("nunique") == 1
    expect_close(function(other, ["ward"], "grade"), each.mean(), "the share in another table")
    return "being alone is one way to be known; being among equals is another"


@exercise(
    "21.2",
    "a pseudonym for each purpose",
    hint="hmac.new(key, message, 'sha256').hexdigest()[:32], with a message in which the purpose "
    "and the number cannot run into each other, such as f'{purpose}|{number}'.encode()",
)
def pseudonym_for(function: Callable) -> str | None:
    """Return 32 hexadecimal characters of a keyed hash of purpose and number."""
    key, other = bytes(range(32)), bytes(range(1, 33))
    got = function(key, "study", 17)
    if not isinstance(got, str) or not re.fullmatch(r"[0-9a-fA-F]{32}", got):
        raise NotYet(f"return 32 hexadecimal characters as a string; got {got!r:.60}")
    if function(key, "study", 17) != got:
        raise NotYet("the same key, purpose and number must give the same pseudonym each time")
    if function(other, "study", 17) == got:
        raise NotYet("another key gives the same pseudonym: without a key, anyone can try them all")
    if function(key, "billing", 17) == got:
        raise NotYet("another purpose gives the same pseudonym: the two tables can be joined")
    if function(key, "study", 18) == got:
        raise NotYet("another number gives the same pseudonym: two patients become one")
    if function(key, "study1", 7) == function(key, "study", 17):
        raise NotYet("'study1' with 7 and 'study' with 17 are the same: keep the two parts apart")
    if function(b"ab", "cd", 17) == function(b"a", "bcd", 17):
        raise NotYet(
            "key b'ab' with 'cd' and key b'a' with 'bcd' give the same: hashing key + text is "
            "ambiguous; hmac keeps them apart"
        )
    return "two studies can no longer be joined without the key"


@exercise(
    "21.3",
    "a private mean",
    hint="clip the values to low and high first; one of n values then changes the mean by at most "
    "(high - low) / n, which times sqrt(2 ln(1.25 / delta)) / epsilon is the noise",
)
def private_mean(function: Callable) -> str | None:
    """Return the mean of the clipped values plus Gaussian noise of the right size."""
    x = np.r_[np.random.default_rng(5).uniform(30, 75, 380), np.full(20, 999.0)]
    low, high, epsilon, delta = 20.0, 80.0, 0.5, 1e-5
    want = (high - low) / len(x) * np.sqrt(2 * np.log(1.25 / delta)) / epsilon
    draws = [function(x.copy(), low, high, epsilon, delta, np.random.default_rng(s))
             for s in range(3000)]  # fmt: skip
    got = np.array([_number(value) for value in draws])
    if np.ptp(got) == 0:
        raise NotYet("every call gives the same number: draw the noise from rng")
    centre, spread = got.mean(), got.std()
    means = {
        "the age of 999 counts as it is: clip the values to low and high first": x.mean(),
        "leave nobody out: clip the values, for a dropped patient changes n": x[:380].mean(),
    }
    true = np.clip(x, low, high).mean()
    for message, value in means.items():
        if abs(centre - value) < 0.3 < abs(true - value):
            raise NotYet(message)
    slips = {
        "divide the range by n: one of n values changes the mean by a part of the range": (
            want * len(x)
        ),
        "this spread is the variance: rng.normal takes the standard deviation": want**2,
        "the range is high - low, not high": want * high / (high - low),
        "epsilon is missing, or turned round: a small epsilon needs much noise": want * epsilon**2,
        "epsilon is missing: a small epsilon needs much noise": want * epsilon,
        "log is the natural logarithm in this formula": want / np.sqrt(np.log(10)),
        "the 2 under the root is missing": want / np.sqrt(2),
        "the noise follows the data's own range, which is a secret: use low and high": (
            np.ptp(x) / len(x) * np.sqrt(2 * np.log(1.25 / delta)) / epsilon
        ),
        "add the noise once, to the mean, not to every value": want / np.sqrt(len(x)),
    }
    for message, value in slips.items():
        if abs(spread / value - 1) < 0.05 < abs(value / want - 1):
            raise NotYet(message)
    expect_close(spread / want, 1.0, "the noise, divided by what the formula says", atol=0.08)
    expect_close(centre, true, "the mean of 3,000 calls", atol=0.25)
    return "an age of 999 moves it no further than one of 80, and noise hides who was there"


@exercise(
    "21.4",
    "which promises may be printed",
    hint="a: section 3; b: section 2; c: section 5, the definition; d: the box of section 1",
)
def promises(answer: dict) -> str | None:
    """Decide for each of the six sentences whether it follows: True or False."""
    expect_truths(answer, VERDICTS, LOOK)
    return "two of six: a promise needs its unit, its numbers and its attack"


@exercise(
    "21.5",
    "a plan for one release",
    hint="unit: one patient with all visits; training: DP-SGD with an epsilon and a delta below "
    "1/5000; limit: a share of linked patients, as a number",
)
def release(plan: dict) -> str | None:
    """Plan the release: unit, released, attack, limit, training and withdraws, none empty."""
    asked = ("unit", "released", "attack", "limit", "training", "withdraws")
    expect_plan(plan, asked, {name: 1 if name == "unit" else 3 for name in asked})
    said = {name: text.lower() for name, text in plan.items()}
    if not any(word in said["unit"] for word in ("patient", "person", "people", "individual")):
        raise NotYet(
            "a patient may have many notes: whom, not which row, does the promise protect?"
        )
    if not any(word in said["released"] for word in ("band", "round", "mask", "without", "no ")):
        raise NotYet("section 1: which digits of the notes does a model not need?")
    if "tf-idf" in said["attack"] or "tfidf" in said["attack"]:
        raise NotYet("the box of section 1: a search by shared words is the weak attack")
    if not any(word in said["attack"] for word in ("link", "member", "lira", "infer")):
        raise NotYet("name an attack of section 1 (linking) or 4 (membership inference)")
    if not any(c.isdigit() for c in said["limit"]):
        raise NotYet("name the number at which you stop, before anybody has attacked")
    delta = _delta(said["training"])
    if not re.search(r"(?:epsilon|ε)\D{0,12}\d", said["training"]) or delta is None:
        raise NotYet("training: an epsilon without a delta is no promise; give both as numbers")
    if delta >= 1 / 5000:
        raise NotYet(
            f"delta = {delta:g}: with 5,000 patients, giving one of them away entirely would "
            "still keep this promise; take a delta well below 1/5000"
        )
    if not any(w in said["withdraws"] for w in ("retrain", "train", "shard", "key", "shred")):
        raise NotYet("section 7: deleting the row leaves the model; what happens to it?")
    return "a plan that can fail; ask the patients what else it needs"


def _delta(text: str) -> float | None:
    """The first delta in the text: 1e-5, 0.00001, 10^-5, 10⁻⁵ or 1/100,000."""
    text = text.translate(str.maketrans("⁻−⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789"))
    found = re.search(
        r"(?:delta|δ)\D{0,12}?(?:10\s*(?:\^|\*\*)?\s*(-\d+)|1\s*/\s*(\d[\d,]*)"
        r"|(\d+(?:\.\d+)?(?:e-?\d+)?))",
        text,
    )
    if not found:
        return None
    power, part, plain = found.groups()
    if power:
        return 10.0 ** int(power)
    return 1 / float(part.replace(",", "")) if part else float(plain)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise NotYet(f"return one number; got {value!r:.60}") from None
