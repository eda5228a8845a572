"""Chapter 21: right answers pass, and a student with a likely slip is told which one."""

import hashlib
import hmac
from typing import Any

import numpy as np
import pandas as pd
from check_cases import accepted, refused

from mmkeras.checks import ch21


def certain(table: pd.DataFrame, quasi: list[str], sensitive: str) -> float:
    return float((table.groupby(quasi)[sensitive].transform("nunique") == 1).mean())


def by_loop(table: pd.DataFrame, quasi: list[str], sensitive: str) -> float:
    rows = list(zip(*(table[column] for column in quasi), strict=True))
    kinds: dict[Any, set] = {}
    for row, value in zip(rows, table[sensitive], strict=True):
        kinds.setdefault(row, set()).add(value)
    return sum(len(kinds[row]) == 1 for row in rows) / len(rows)


def classes(table: pd.DataFrame, quasi: list[str], sensitive: str) -> Any:
    return table.groupby(quasi)[sensitive]


def keyed(key: bytes, purpose: str, number: int) -> str:
    return hmac.new(key, f"{purpose}|{number}".encode(), "sha256").hexdigest()[:32]


def by_blake(key: bytes, purpose: str, number: int) -> str:
    text = f"{len(purpose)}:{purpose}{number}".encode()
    return hashlib.blake2b(text, key=key, digest_size=16).hexdigest()


def plain(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def noisy(factor: float = 1.0, power: float = 1.0, clip: str = "clip", every: bool = False) -> Any:
    def function(
        x: np.ndarray, low: float, high: float, epsilon: float, delta: float,
        rng: np.random.Generator,
    ) -> float:  # fmt: skip
        sigma = (high - low) / len(x) * np.sqrt(2 * np.log(1.25 / delta)) / epsilon
        sigma = factor * sigma**power
        if clip == "clip":
            x = np.clip(x, low, high)
        if clip == "drop":
            x = x[(x >= low) & (x <= high)]
        if every:
            return float((x + rng.normal(0, sigma, len(x))).mean())
        return float(x.mean() + rng.normal(0, sigma))

    return function


def standard_normal(
    x: np.ndarray, low: float, high: float, epsilon: float, delta: float, rng: np.random.Generator
) -> np.ndarray:
    share = (np.minimum(np.maximum(x, low), high) / len(x)).sum()
    step = (high - low) / (len(x) * epsilon)
    return np.array(share + step * (2 * np.log(1.25 / delta)) ** 0.5 * rng.standard_normal())


RIGHT_PROMISES = {"a": False, "b": False, "c": False, "d": False, "e": True, "f": True}
PLAN = {
    "unit": "one patient, with all notes and strips",
    "released": "notes with numbers in bands of 20, names masked, ECGs as mean beats",
    "attack": "linking by numbers as in section 1, then LiRA",
    "limit": "stop if more than 5% of patients are linked",
    "training": "DP-SGD by the company, epsilon 3 and delta 1e-5, Poisson sampling",
    "withdraws": "the shard is trained again and the key destroyed",
}

WRONG = {
    ch21.certain: [
        ("of classes", lambda: (lambda t, q, s: (classes(t, q, s).nunique() == 1).mean(),),
         "share of classes"),
        ("alone", lambda: (lambda t, q, s: (classes(t, q, s).transform("size") == 1).mean(),),
         "who are alone: a class"),
        ("only the ill", lambda: (
            lambda t, q, s: (classes(t, q, s).transform("mean") == 1).mean(),), "healthy"),
        ("mixed", lambda: (lambda t, q, s: 1 - certain(t, q, s),), "mixed classes"),
        ("a number of patients", lambda: (lambda t, q, s: certain(t, q, s) * len(t),), "divide"),
        ("fixed names", lambda: (
            lambda t, q, s: certain(t, ["place", "age"], "ill") if "place" in t else 2.0,),
         "another table"),
    ],
    ch21.pseudonym_for: [
        ("no key", lambda: (lambda k, p, n: plain(f"{p}|{n}"),), "another key"),
        ("no purpose", lambda: (lambda k, p, n: keyed(k, "", n),), "another purpose"),
        ("no number", lambda: (lambda k, p, n: keyed(k, p, 0),), "another number"),
        ("runs together", lambda: (
            lambda k, p, n: hmac.new(k, f"{p}{n}".encode(), "sha256").hexdigest()[:32],),
         "keep the two parts apart"),
        ("key before the text", lambda: (lambda k, p, n: plain(k.decode("latin1") + f"{p}|{n}"),),
         "ambiguous"),
        ("64 characters", lambda: (
            lambda k, p, n: hmac.new(k, f"{p}|{n}".encode(), "sha256").hexdigest(),), "32 hex"),
        ("bytes", lambda: (lambda k, p, n: keyed(k, p, n).encode(),), "as a string"),
        ("random", lambda: (lambda k, p, n: np.random.default_rng().bytes(16).hex(),), "each time"),
    ],
    ch21.private_mean: [
        ("no noise", lambda: (noisy(0.0),), "draw the noise"),
        ("no clip", lambda: (noisy(clip=""),), "999"),
        ("dropped", lambda: (noisy(clip="drop"),), "leave nobody out"),
        ("no n", lambda: (noisy(400.0),), "divide the range by n"),
        ("variance", lambda: (noisy(power=2.0),), "standard deviation"),
        ("high alone", lambda: (noisy(80 / 60),), "high - low"),
        ("times epsilon", lambda: (noisy(0.25),), "turned round"),
        ("no epsilon", lambda: (noisy(0.5),), "epsilon is missing: a small"),
        ("log10", lambda: (noisy(float(np.log(10) ** -0.5)),), "natural"),
        ("no 2", lambda: (noisy(2**-0.5),), "the 2 under the root"),
        ("every value", lambda: (noisy(every=True),), "add the noise once"),
        ("a word", lambda: (lambda *a: "54 years",), "one number"),
    ],
    ch21.promises: [
        ("names removed", lambda: (RIGHT_PROMISES | {"a": True},), "section 1"),
        ("k = 5", lambda: (RIGHT_PROMISES | {"b": True},), "same diagnosis"),
        ("no delta", lambda: (RIGHT_PROMISES | {"c": True},), "second number"),
        ("attacked in vain", lambda: (RIGHT_PROMISES | {"d": True},), "lower limit"),
        ("no proof", lambda: (RIGHT_PROMISES | {"e": False},), "section 7"),
        ("unnoticed", lambda: (RIGHT_PROMISES | {"f": False},), "InvalidTag"),
        ("open", lambda: (RIGHT_PROMISES | {"b": None},), "no verdict"),
        ("a word", lambda: (RIGHT_PROMISES | {"b": "no"},), "neither True nor False"),
        ("one missing", lambda: ({"a": False},), "each of a, b"),
    ],
    ch21.release: [
        ("a row", lambda: (PLAN | {"unit": "one row of the table"},), "which row"),
        ("everything", lambda: (PLAN | {"released": "all notes as they are"},), "digits"),
        ("weak attack", lambda: (PLAN | {"attack": "linking by a TF-IDF search"},), "weak attack"),
        ("no attack", lambda: (PLAN | {"attack": "a look by the lawyers"},), "name an attack"),
        ("no number", lambda: (PLAN | {"limit": "if it seems bad"},), "name the number"),
        ("no delta", lambda: (PLAN | {"training": "DP-SGD with epsilon 3"},), "without a delta"),
        ("large power", lambda: (PLAN | {"training": "DP-SGD, epsilon 3, delta 10^-2"},),
         "well below"),
        ("large delta", lambda: (PLAN | {"training": "DP-SGD, epsilon 3, delta 0.01"},),
         "well below"),
        ("the row", lambda: (PLAN | {"withdraws": "the row is deleted"},), "leaves the model"),
        ("empty", lambda: (dict.fromkeys(PLAN, ""),), "in a few words"),
        ("one missing", lambda: ({"unit": "patient"},), "exactly"),
    ],
}  # fmt: skip
RIGHT = {
    ch21.certain: [("pandas", lambda: (certain,)), ("a loop", lambda: (by_loop,))],
    ch21.pseudonym_for: [("HMAC", lambda: (keyed,)), ("keyed BLAKE2", lambda: (by_blake,))],
    ch21.private_mean: [
        ("normal", lambda: (noisy(),)),
        ("standard_normal", lambda: (standard_normal,)),
    ],
    ch21.promises: [
        ("bools", lambda: (RIGHT_PROMISES,)),
        ("NumPy", lambda: ({k: np.bool_(v) for k, v in RIGHT_PROMISES.items()},)),
    ],
    ch21.release: [
        ("a plan", lambda: (PLAN,)),
        ("Greek letters", lambda: (PLAN | {"training": "DP-SGD with ε = 1 and δ = 1e-6"},)),
        ("one word", lambda: (PLAN | {"unit": "patient"},)),
        ("a power", lambda: (PLAN | {"training": "DP-SGD, epsilon 3 and delta = 10^-5"},)),
        ("a power in small", lambda: (PLAN | {"training": "DP-SGD with ε = 3 and δ = 10⁻⁵"},)),
        ("a fraction", lambda: (PLAN | {"training": "DP-SGD: epsilon 3, delta 1/100,000"},)),
        ("at the end", lambda: (PLAN | {"training": "DP-SGD: epsilon 3, delta 0.00001."},)),
    ],
}  # fmt: skip
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
