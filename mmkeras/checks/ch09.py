"""Checks of chapter 09, evaluation."""

import itertools
import re
from collections.abc import Callable, Mapping

import numpy as np
from sklearn.metrics import roc_auc_score

from . import NotYet, exercise, expect_close

CLAIMS = {
    "a": "the paired interval of B - A leaves out 0, and there was one comparison: a is supported",
    "b": "b compares two intervals by eye; both networks answered about the same patients, so look "
    "at the paired difference",
    "c": "c compares women with men: the interval of the women holds 0, and the men alone are not "
    "in the table",
    "d": "a slope below 1 means probabilities that are too extreme, and its interval leaves out 1: "
    "d is supported",
    "e": "e is about other trainings; each network was trained once, and the bootstrap drew "
    "patients only",
    "f": "f is about another hospital; all patients came from one",
    "g": "the interval of the women's difference holds 0, and 'not settled' claims no more than "
    "that: g is supported",
    "h": "h takes the AUC for the recall; 0.86 is the share of pairs in the right order",
}


@exercise(
    "09.1",
    "what the study shows",
    hint="ask of each sentence: which number of the table is it about, was it paired, and does the "
    "interval cover what the sentence speaks of (patients, trainings, hospitals)?",
)
def supported_claims(letters: str) -> str | None:
    """The letters of the sentences that the study supports, a str (any order) or a list."""
    if not isinstance(letters, str | list | tuple | set):
        raise NotYet(f'enter letters, such as "bc"; yours is {type(letters).__name__}')
    got = set(re.findall(r"[a-z]", "".join(map(str, letters)).lower()))
    if not got or not got <= set(CLAIMS):
        raise NotYet(f"the letters go from a to h, yours are {''.join(sorted(got)) or 'none'}")
    for letter in sorted(got - set("adg")):
        raise NotYet(CLAIMS[letter])
    missing = sorted(set("adg") - got)
    if missing:
        topic = {"a": "the paired difference", "d": "the slope", "g": "the women"}[missing[0]]
        raise NotYet(
            f"what you have is supported, and {len(missing)} more: look at {topic} once again"
        )
    return "the other five speak of trainings, hospitals, groups or numbers that were not measured"


@exercise(
    "09.2",
    "the AUC within hospitals",
    hint="a, b = s[y == 1], s[y == 0]; a[:, None] > b[None] has one entry for each pair, and so "
    "has the table of whether their hospitals are the same; take the mean where they are",
)
def auc_within(auc: Callable) -> str | None:
    """A function of y, s, hospital (n,): share of a hospital's pairs in order, ties half."""
    rng = np.random.default_rng(0)
    for levels in (4, 1000):
        place = np.repeat(["Cleveland", "Hungary", "Switzerland"], (30, 20, 10))
        y = (rng.random(60) < np.repeat([0.5, 0.3, 0.6], (30, 20, 10))).astype(int)
        bonus = np.repeat([0.0, -0.6, 0.6], (30, 20, 10))  # the hospital shows in the score
        s = np.round((rng.random(60) + 0.4 * y + bonus) * levels) / levels
        a, b = s[y == 1][:, None], s[y == 0][None]
        together = place[y == 1][:, None] == place[y == 0][None]
        want = ((a > b) + 0.5 * (a == b))[together].mean()
        each = [roc_auc_score(y[place == one], s[place == one]) for one in np.unique(place)]
        order = rng.permutation(60)
        got = auc(y[order], s[order], place[order])
        slips = {
            "these are the pairs of two hospitals; count those of one": (
                ((a > b) + 0.5 * (a == b))[~together].mean()
            ),
            "these are all pairs; count only those of one hospital": roc_auc_score(y, s),
            "this is the mean of the hospitals' AUCs; here every pair weighs the same": np.mean(
                each
            ),
            "the pairs are the wrong way round: the ill one should be above": 1 - want,
            "equal scores count half; yours count nothing": (a > b)[together].mean(),
            "equal scores count half; yours count in full": (a >= b)[together].mean(),
        }
        for problem, slip in slips.items():
            if np.shape(got) == () and np.isclose(got, slip) and not np.isclose(slip, want):
                raise NotYet(problem)
        expect_close(got, want, "the AUC within hospitals", atol=1e-9)
    return "what is left when the hospital itself gives no points"


@exercise(
    "09.3",
    "a bootstrap by patient",
    hint="draw as many patients as there are with rng.integers or rng.choice, put all rows of each "
    "drawn patient together, take the mean of right; draws times",
)
def accuracy_draws(bootstrap: Callable) -> str | None:
    """A function of right (n,), patient (n,), draws, rng: accuracies of the draws, (draws,)."""
    made = np.random.default_rng(1)
    sizes = np.tile([2, 10], 30)  # patients of two sizes, some easy and some hard
    patient = np.repeat(100 + np.arange(60), sizes)
    right = made.random(360) < np.repeat(np.where(made.random(60) < 0.6, 0.95, 0.15), sizes)
    hits = np.bincount(patient - 100, right)
    order = made.permutation(360)
    got = bootstrap(right[order], patient[order], 600, np.random.default_rng(2))
    if np.shape(got) != (600,):
        raise NotYet(f"return one accuracy per draw, shape (600,); yours has {np.shape(got)}")
    got = np.asarray(got, float)
    if not np.isfinite(got).all() or got.min() < 0 or got.max() > 1:
        raise NotYet("an accuracy lies between 0 and 1; some of yours do not")
    if got.std() < 1e-9:
        raise NotYet("every draw is the same: draw with replacement, anew in each draw")
    times = np.random.default_rng(3).multinomial(60, np.full(60, 1 / 60), size=4000)
    want = (times @ hits) / (times @ sizes)
    centre, spread = want.mean(), want.std()
    by_rows = np.sqrt(right.mean() * (1 - right.mean()) / 360)
    if abs(got.std() - by_rows) < spread / 5 and abs(got.mean() - centre) < 0.02:
        raise NotYet(
            f"your draws vary by {got.std():.3f}, they should by about {spread:.3f}: were rows "
            "drawn in place of patients?"
        )
    if abs(got.mean() - (hits / sizes).mean()) < abs(got.mean() - centre) / 3:
        raise NotYet(
            "the mean over patients is not the accuracy over rows: a patient with ten rows weighs "
            "more than one with two"
        )
    first = np.unique(patient[order], return_index=True)[1]
    alone = (times @ (right[order][first] * sizes)).mean() / (times @ sizes).mean()
    if abs(got.mean() - alone) < abs(got.mean() - centre) / 3:
        raise NotYet(
            "one row of each patient stands for all of them: count how many rows of a patient are "
            "right, they are not all the same"
        )
    rows = np.arange(120, 601, 8)  # so many rows can 60 patients with 2 or 10 rows have
    counts = got[:, None] * rows
    whole = np.abs(counts - counts.round()).min(axis=1) < 1e-6
    expect_close(got.mean(), centre, "the mean of the draws", atol=0.02)
    if not whole.all():
        at = got[whole.argmin()]
        raise NotYet(
            f"{at:.4f} is no share of the rows of 60 drawn patients: in each draw collect the rows "
            "of the drawn patients and take the mean of right"
        )
    expect_close(got.std(), spread, "the spread (standard deviation) of the draws", atol=spread / 5)
    return "the rows of a patient stay together"


@exercise(
    "09.4",
    "three players by hand",
    hint="text: it comes first in 2 of the 6 orders and then brings 0.70 - 0.50; in one order it "
    "follows the image alone, in one the audio alone, in 2 it comes last",
)
def shapley_by_hand(values: Mapping[str, float]) -> str | None:
    """The Shapley values of text, image and audio, a dict, for the AUCs of the exercise."""
    names = ("text", "image", "audio")
    if not isinstance(values, Mapping) or set(values) != set(names):
        raise NotYet('enter a dict with the keys "text", "image" and "audio"')
    if any(value is None or value is ... for value in values.values()):
        raise NotYet("one of the three values is still missing")
    v = {"": 0.5, "t": 0.7, "i": 0.8, "a": 0.6, "it": 0.85, "at": 0.7, "ai": 0.8, "ait": 0.85}
    want = dict.fromkeys(names, 0.0)
    for order in itertools.permutations(names):
        for place, name in enumerate(order):
            before, after = ("".join(sorted(n[0] for n in order[:k])) for k in (place, place + 1))
            want[name] += (v[after] - v[before]) / 6
    last = {"text": v["ait"] - v["ai"], "image": v["ait"] - v["at"], "audio": v["ait"] - v["it"]}
    got = {name: values[name] for name in names}
    numbers = np.array([got[name] for name in names], dtype=float)
    if np.allclose(numbers, list(last.values()), atol=1e-3):
        raise NotYet("this is the ablation, where each comes last; average over all six orders")
    if np.allclose(numbers, [0.2, 0.3, 0.1], atol=1e-3):
        raise NotYet("this is what each brings when it comes first; average over all six orders")
    if np.allclose(numbers.sum(), 0.85, atol=2e-3):
        raise NotYet("they sum to 0.85; they should share what is above the coin, 0.85 - 0.50")
    for name in names:
        expect_close(got[name], want[name], f"the value of the {name}", atol=1e-3)
    return "they sum to 0.35; the audio is paid for the two orders in which it comes first"


@exercise(
    "09.5",
    "one honest sentence",
    hint='an f-string such as f"{model}: AUC {auc:.3f} (95% interval {low:.3f} to {high:.3f}, …)"',
)
def report_line(write: Callable) -> str | None:
    """A function of model, auc, low, high, patients: a sentence with all that belongs to it."""
    cases = (("note+scan", 0.86149, 0.83651, 0.88249, 918), ("ECG only", 0.7361, 0.688, 0.7812, 57))
    for model, auc, low, high, patients in cases:
        text = write(model, auc, low, high, patients)
        if not isinstance(text, str):
            raise NotYet(f"return a str, yours is {type(text).__name__}")
        numbers = [(n.start(), float(n[0])) for n in re.finditer(r"\d+\.\d+", text)]
        places = {}
        for what, value in {"AUC": auc, "lower end": low, "upper end": high}.items():
            places[what] = [at for at, n in numbers if abs(n - value) <= 0.0051]
            if not places[what]:
                raise NotYet(f"the {what} {value} is not in {text!r}, or is rounded too much")
        if any(len(n) > 3 for n in re.findall(r"\d+\.(\d+)", text)):
            raise NotYet("three digits are enough: the interval is wider than the second one")
        if not re.search(rf"\b{patients}\b", text):
            raise NotYet(f"how many patients? {patients} is not in {text!r}")
        _expect_words(model, text)
        if places["lower end"][0] > places["upper end"][0]:
            raise NotYet(f"the lower end {low} belongs before the upper end {high}")
        if places["AUC"][0] > places["lower end"][0]:
            raise NotYet(
                f"the AUC is {auc}, and its place is before the interval: in {text!r} an end of "
                "the interval stands there"
            )
    return "that is a number one can trust, and check"


def _expect_words(model: str, text: str) -> None:
    words = {
        model.lower(): "the model is not named",
        "auc": "say which metric it is: AUC",
        "95": "how sure? Say that it is a 95% interval",
        "bootstrap": "say how the interval was made: by bootstrap",
        "patient": "say what was drawn: patients",
        "rendered": "say that the signals are rendered",
    }
    for word, problem in words.items():
        if word not in text.lower():
            raise NotYet(f"{problem}; the sentence was {text!r}")
    pattern = r"\b(no|not|never|nothing|without)\b[^.,;:()]*\b(bootstrap|rendered)"
    if denied := re.search(pattern, text.lower()):
        raise NotYet(
            f"{denied[0]!r} denies what has to be said: the interval is a bootstrap by patient, "
            "and the signals are rendered"
        )
