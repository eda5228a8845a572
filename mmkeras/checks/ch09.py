"""Checks of chapter 09, evaluation."""

import itertools
import re
from collections.abc import Callable, Mapping

import numpy as np

from . import NotYet, exercise, expect_close

# Why each sentence is supported or not; a, d and g are.
CLAIMS = {
    "a": "the paired interval of B - A leaves out 0, and there was one comparison, so it is "
    "supported",
    "b": "it compares two intervals by eye; both networks answered about the same patients, so "
    "look at the paired difference",
    "c": "it compares women with men; the interval of the women holds 0, and the men alone are not "
    "in the table",
    "d": "a slope below 1 means probabilities that are too extreme, and its interval leaves out 1, "
    "so it is supported",
    "e": "it is about other trainings; each network was trained once, and the bootstrap drew "
    "patients only",
    "f": "it is about another hospital; all patients came from one",
    "g": "the interval of the women's difference holds 0, and 'not settled' claims no more than "
    "that, so it is supported",
    "h": "it takes the AUC for the recall; 0.86 is the share of pairs in the right order",
}
# Why each objection is right or wrong; a, b, c, d and f are right.
OBJECTIONS = {
    "a": "ask what was dealt into the folds",
    "b": "ask what the bootstrap drew",
    "c": "ask how the seed was chosen",
    "d": "ask how many rivals there were",
    "e": "McNemar's test compares two models on the same cases, so it is not wrong here",
    "f": "ask which hospitals the last sentence speaks of",
    "g": "an alarm for everybody is right about the ill, so its accuracy is 0.55",
    "h": "the number of folds is no fault, but what was dealt into them may be",
}
REFUSED: dict[str, int] = {}  # wrong answers so far; from the second on, the reasons are told


@exercise(
    "09.1",
    "what the study shows",
    hint="ask of each sentence: which number of the table is it about, was it paired, and does the "
    "interval cover what the sentence speaks of (patients, trainings, hospitals)?",
)
def supported_claims(letters: str) -> str | None:
    """The letters of the sentences that the study supports, a str (any order) or a list."""
    _judge("09.1", _letters(letters, CLAIMS), "adg", CLAIMS)
    return "the other five speak of trainings, hospitals, groups or numbers that were not measured"


@exercise(
    "09.2",
    "pairs of the same age",
    hint="a, b = s[y == 1], s[y == 0]; a[:, None] > b[None] has one entry for each pair; make a "
    "table of the same shape that says whose ages are near, and take the mean where they are",
)
def auc_same_age(auc: Callable) -> str | None:
    """A function of y, s, age (n,) and years that returns the AUC of the pairs of near age.

    It is the share of those pairs that are in the right order; a tie counts half.
    """
    rng = np.random.default_rng(0)
    for levels, years in ((4, 3), (1000, 5)):
        age = rng.integers(30, 78, 80)
        y = (rng.random(80) < (age - 20) / 70).astype(int)
        s = np.round((rng.random(80) + 0.3 * y + age / 40) * levels) / levels
        a, b = s[y == 1][:, None], s[y == 0][None]
        gap = age[y == 1][:, None] - age[y == 0][None]
        near, right = abs(gap) <= years, (a > b) + 0.5 * (a == b)
        want = right[near].mean()
        got = auc(y, s, age, years)
        same_bin = (age[y == 1] // years)[:, None] == (age[y == 0] // years)[None]
        slips = {
            "these are all pairs; count only those of near age": right.mean(),
            "these are the pairs of different age; count those of near age": right[~near].mean(),
            "a healthy patient may be much older, too: take the absolute difference of the ages": (
                right[gap <= years].mean()
            ),
            "an ill patient may be much older, too: take the absolute difference of the ages": (
                right[-gap <= years].mean()
            ),
            f"a difference of exactly {years} years counts as near": right[abs(gap) < years].mean(),
            "these are age groups; two patients on both sides of a border are near as well": (
                right[same_bin].mean()
            ),
            "divide by the number of near pairs, not of all pairs": right[near].sum() / right.size,
            "the pairs are the wrong way round: the ill one should be above": 1 - want,
            "equal scores count half; yours count nothing": (a > b)[near].mean(),
            "equal scores count half; yours count in full": (a >= b)[near].mean(),
        }
        for problem, slip in slips.items():
            if np.shape(got) == () and np.isclose(got, slip) and not np.isclose(slip, want):
                raise NotYet(problem)
        expect_close(got, want, "the AUC at the same age", atol=1e-9)
    return "what is left when age itself gives no points"


@exercise(
    "09.3",
    "a paired bootstrap",
    hint="count for each patient the rows that A has right, those that B has right, and all rows; "
    "rng.multinomial(k, np.full(k, 1 / k), size=draws) says how often each of k patients is drawn",
)
def difference_draws(bootstrap: Callable) -> str | None:
    """A function that returns the accuracy of A minus that of B in each draw, (draws,).

    It takes right_a, right_b, patient (each (n,)), draws and rng.
    """
    made = np.random.default_rng(1)
    sizes = np.tile([2, 10], 30)  # patients of two sizes, some easy and some hard for both
    patient = np.repeat(100 + np.arange(60), sizes)
    right_b = made.random(360) < np.repeat(np.where(made.random(60) < 0.5, 0.95, 0.1), sizes)
    helped = np.repeat(made.random(60) < np.tile([0.05, 0.25], 30), sizes)
    right_a = right_b | (helped & (made.random(360) < 0.9))
    difference = right_a.astype(float) - right_b
    gained, order = np.bincount(patient - 100, difference), made.permutation(360)
    rows = right_a[order], right_b[order], patient[order]
    got = bootstrap(*rows, 600, np.random.default_rng(2))
    if np.shape(got) != (600,):
        raise NotYet(f"return one difference per draw, shape (600,); yours has {np.shape(got)}")
    got = np.asarray(got, float)
    if not np.isfinite(got).all() or np.abs(got).max() > 1:
        raise NotYet("a difference of shares lies between -1 and 1; some of yours do not")
    if got.std() < 1e-9:
        raise NotYet("every draw is the same: draw with replacement, anew in each draw")
    times = np.random.default_rng(3).multinomial(60, np.full(60, 1 / 60), size=4000)
    draws = (times @ gained) / (times @ sizes)
    centre, spread = draws.mean(), draws.std()
    hits = [np.bincount(patient - 100, right) for right in (right_a, right_b)]
    apart = np.hypot(*[((times @ hit) / (times @ sizes)).std() for hit in hits])
    by_rows = difference.std() / np.sqrt(360)
    if abs(got.mean() + centre) < centre / 4:
        raise NotYet("this is B minus A; A minus B is asked for")
    if abs(got.mean() - (gained / sizes).mean()) < abs(got.mean() - centre) / 3:
        raise NotYet(
            "the mean over patients is not the accuracy over rows: a patient with ten rows weighs "
            "more than one with two"
        )
    if abs(got.std() - apart) < abs(got.std() - spread) / 3:
        raise NotYet(
            f"your draws vary by {got.std():.3f}, they should by about {spread:.3f}: A and B have "
            "to be asked about the same drawn patients"
        )
    if abs(got.std() - by_rows) < abs(got.std() - spread) / 3:
        raise NotYet(
            f"your draws vary by {got.std():.3f}, they should by about {spread:.3f}: were rows "
            "drawn in place of patients?"
        )
    expect_close(got.mean(), centre, "the mean of the draws", atol=spread / 4)
    counts = got[:, None] * np.arange(120, 601, 8)  # so many rows can 60 such patients have
    whole = np.abs(counts - counts.round()).min(axis=1) < 1e-6
    if not whole.all():
        raise NotYet(
            f"{got[whole.argmin()]:.4f} is no difference of two shares of the rows of 60 drawn "
            "patients: in each draw, count the rows of the drawn patients"
        )
    expect_close(got.std(), spread, "the spread (standard deviation) of the draws", atol=spread / 5)
    return "the rows of a patient stay together, and so do the two models"


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
    "a dishonest abstract",
    hint="four of the eight objections are about what was drawn, dealt or chosen, and one about "
    "where; check the other three by their facts: what does McNemar's test compare, and what does "
    "an alarm for everybody have right?",
)
def abstract_faults(letters: str) -> str | None:
    """The letters of the objections that are right, a str (any order) or a list."""
    _judge("09.5", _letters(letters, OBJECTIONS), "abcdf", OBJECTIONS)
    return (
        "e, g and h are no faults: the test is made for pairs, 0.87 is not 0.55, and five folds "
        "are enough"
    )


def _letters(letters: str, known: Mapping[str, str]) -> set[str]:
    if not isinstance(letters, str | list | tuple | set):
        raise NotYet(f'enter letters, such as "bc"; yours is {type(letters).__name__}')
    got = set(re.findall(r"[a-z]", "".join(map(str, letters)).lower()))
    if not got or not got <= set(known):
        raise NotYet(f"the letters go from a to h, yours are {''.join(sorted(got)) or 'none'}")
    return got


def _judge(number: str, got: set[str], right: str, reasons: Mapping[str, str]) -> None:
    """Refuse wrong letters: at first only how many there are, later why one of them is wrong."""
    wrong = sorted(got - set(right)) + sorted(set(right) - got)
    if not wrong:
        return
    REFUSED[number] = REFUSED.get(number, 0) + 1
    count = f"{len(wrong)} of the {len(reasons)} letters {'is' if len(wrong) == 1 else 'are'}"
    if REFUSED[number] == 1:
        raise NotYet(
            f"{count} handed in wrongly or missing. Ask of each sentence which number it is about, "
            "and what was drawn, dealt or chosen to get that number"
        )
    raise NotYet(f"{count} wrong. Look at {wrong[0]}: {reasons[wrong[0]]}")
