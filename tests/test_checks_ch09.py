"""Chapter 9: right answers pass, and a student with a likely slip is told which one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from check_cases import accepted, refused, verdict
from sklearn.metrics import roc_auc_score

from mmkeras.checks import ch09
from mmkeras.evaluate import shapley


def pairs(
    y: np.ndarray, s: np.ndarray, age: np.ndarray, years: int, tie: float = 0.5
) -> np.ndarray:
    """Which pairs are in order, where the ages are near."""
    a, b = s[y == 1][:, None], s[y == 0][None]
    return ((a > b) + tie * (a == b))[gaps(y, age) <= years]


def gaps(y: np.ndarray, age: np.ndarray) -> np.ndarray:
    return abs(age[y == 1][:, None] - age[y == 0][None])


def where(choose: Callable[..., np.ndarray]) -> Callable[..., float]:
    """The AUC of the pairs that a function of the two ages and the years chooses."""

    def auc(y: np.ndarray, s: np.ndarray, age: np.ndarray, years: int) -> float:
        a, b = s[y == 1][:, None], s[y == 0][None]
        chosen = choose(age[y == 1][:, None], age[y == 0][None], years)
        return float(((a > b) + 0.5 * (a == b))[chosen].mean())

    return auc


def in_a_loop(y: np.ndarray, s: np.ndarray, age: np.ndarray, years: int) -> float:
    points = [
        float(s[i] > s[j]) + 0.5 * (s[i] == s[j])
        for i in np.flatnonzero(y == 1)
        for j in np.flatnonzero(y == 0)
        if -years <= age[i] - age[j] <= years
    ]
    return sum(points) / len(points)


Draws = Callable[[np.ndarray, np.ndarray, np.ndarray, int, np.random.Generator], Any]


def by_patient(
    statistic: Callable[[list[np.ndarray]], float] = lambda parts: float(
        np.concatenate(parts).mean()
    ),
    *,
    replace: bool = True,
    seed: int | None = None,
) -> Draws:
    """A bootstrap by patient of any statistic of the drawn patients' differences."""

    def draw(
        a: np.ndarray, b: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
    ) -> Any:
        rng = rng if seed is None else np.random.default_rng(seed)
        parts = [a[patient == one] * 1.0 - b[patient == one] for one in np.unique(patient)]
        n = len(parts)
        return np.array(
            [statistic([parts[i] for i in rng.choice(n, n, replace=replace)]) for _ in range(draws)]
        )

    return draw


def by_counts(
    a: np.ndarray, b: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    _, who = np.unique(patient, return_inverse=True)
    gained, sizes = np.bincount(who, a) - np.bincount(who, b), np.bincount(who)
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws)
    return (times @ gained) / (times @ sizes)


def apart(
    a: np.ndarray, b: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """A and B are asked about different draws."""
    none = np.zeros(len(a))
    return by_counts(a, none, patient, draws, rng) - by_counts(b, none, patient, draws, rng)


def rows_drawn(
    a: np.ndarray, b: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    return rng.choice(a * 1.0 - b, (draws, len(a))).mean(axis=1)


def normal(
    a: np.ndarray, b: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """No bootstrap at all: a bell curve of the right centre and width."""
    drawn = by_counts(a, b, patient, 2000, rng)
    return rng.normal(drawn.mean(), drawn.std(), draws)


SCORES = {
    (): 0.5,
    ("text",): 0.7,
    ("image",): 0.8,
    ("audio",): 0.6,
    ("text", "image"): 0.85,
    ("text", "audio"): 0.7,
    ("image", "audio"): 0.8,
    ("text", "image", "audio"): 0.85,
}
BY_PACKAGE = shapley(SCORES, ["text", "image", "audio"])


def of_three(text: Any, image: Any, audio: Any) -> dict[str, Any]:
    return {"text": text, "image": image, "audio": audio}


WRONG = {
    ch09.supported_claims: [
        ("overlapping intervals", lambda: ("bdg",), "Look at b: it compares two intervals by eye"),
        ("a subgroup by its point value", lambda: ("acdg",), "the interval of the women holds 0"),
        ("other trainings", lambda: (["a", "d", "e"],), "each network was trained once"),
        ("another hospital", lambda: ("adfg",), "all patients came from one"),
        ("the AUC as recall", lambda: ("adgh",), "takes the AUC for the recall"),
        ("too careful", lambda: ("g",), "2 of the 8 letters are wrong. Look at a: the paired"),
        ("one is missing", lambda: ("ad",), "1 of the 8 letters is wrong. Look at g"),
        ("a number", lambda: (3,), "enter letters"),
        ("another letter", lambda: ("axz",), "from a to h"),
        ("nothing", lambda: ("",), "yours are none"),
    ],
    ch09.auc_same_age: [
        ("ties forgotten", lambda: (lambda *q: pairs(*q, 0.0).mean(),), "yours count nothing"),
        ("ties in full", lambda: (lambda *q: pairs(*q, 1.0).mean(),), "yours count in full"),
        ("upside down", lambda: (lambda *q: 1 - pairs(*q).mean(),), "the wrong way round"),
        (
            "all pairs",
            lambda: (lambda y, s, age, years: roc_auc_score(y, s),),
            "these are all pairs",
        ),
        (
            "far in age",
            lambda: (where(lambda a, b, n: abs(a - b) > n),),
            "the pairs of different age",
        ),
        (
            "no absolute value",
            lambda: (where(lambda a, b, n: a - b <= n),),
            "a healthy patient may be much older",
        ),
        (
            "no absolute value, the other way",
            lambda: (where(lambda a, b, n: b - a <= n),),
            "an ill patient may be much older",
        ),
        ("strictly less", lambda: (where(lambda a, b, n: abs(a - b) < n),), "years counts as near"),
        (
            "age groups",
            lambda: (where(lambda a, b, n: a // n == b // n),),
            "these are age groups",
        ),
        (
            "divided by all pairs",
            lambda: (lambda y, s, age, n: pairs(y, s, age, n).sum() / (y.sum() * (1 - y).sum()),),
            "not of all pairs",
        ),
        ("the table of pairs", lambda: (pairs,), "should have shape ()"),
    ],
    ch09.difference_draws: [
        ("rows drawn", lambda: (rows_drawn,), "were rows drawn in place of patients?"),
        ("two draws", lambda: (apart,), "about the same drawn patients"),
        ("no replacement", lambda: (by_patient(replace=False),), "with replacement"),
        (
            "the mean of the patients",
            lambda: (by_patient(lambda parts: float(np.mean([q.mean() for q in parts]))),),
            "ten rows weighs more",
        ),
        ("B minus A", lambda: (lambda a, b, *q: by_counts(b, a, *q),), "this is B minus A"),
        ("a bell curve", lambda: (normal,), "is no difference of two shares"),
        ("one number", lambda: (lambda *q: by_counts(*q).mean(),), "one difference per draw"),
        ("in percent", lambda: (lambda *q: 100 * by_counts(*q),), "between -1 and 1"),
        (
            "the accuracy of A",
            lambda: (lambda a, b, *q: by_counts(a, 0 * b, *q),),
            "the mean of the draws",
        ),
    ],
    ch09.shapley_by_hand: [
        ("a list", lambda: ([0.1, 0.2, 0.03],), "a dict with the keys"),
        ("two of three", lambda: ({"text": 0.1, "image": 0.2},), "a dict with the keys"),
        ("one open", lambda: (of_three(0.1, 0.2, ...),), "still missing"),
        ("ablation", lambda: (of_three(0.05, 0.15, 0.0),), "this is the ablation"),
        ("each alone", lambda: (of_three(0.2, 0.3, 0.1),), "when it comes first"),
        ("with the coin", lambda: (of_three(0.275, 0.375, 0.2),), "above the coin"),
        ("rounded too much", lambda: (of_three(0.108, 0.2, 0.033),), "the value of the image"),
    ],
    ch09.abstract_faults: [
        ("McNemar for other patients", lambda: ("abcdef",), "on the same cases"),
        ("the accuracy of an alarm", lambda: ("abcdfg",), "its accuracy is 0.55"),
        ("ten folds", lambda: ("ah",), "the number of folds is no fault"),
        ("the seed", lambda: ("abdf",), "1 of the 8 letters is wrong. Look at c: ask how the seed"),
        ("only the leak", lambda: (["a"],), "4 of the 8 letters are wrong. Look at b"),
        ("the other hospitals", lambda: ("abcd",), "Look at f: ask which hospitals"),
        ("all of them", lambda: ("abcdefgh",), "on the same cases"),
        ("a number", lambda: (3,), "enter letters"),
        ("nothing", lambda: ("",), "yours are none"),
    ],
}
RIGHT = {
    ch09.supported_claims: [
        ("letters", lambda: ("adg",)),
        ("in another order, with commas", lambda: ("G, d, a",)),
        ("a list", lambda: (["d", "a", "g"],)),
    ],
    ch09.auc_same_age: [
        ("all pairs at once", lambda: (lambda *q: pairs(*q).mean(),)),
        ("pair by pair", lambda: (in_a_loop,)),
    ],
    ch09.difference_draws: [
        ("patient by patient", lambda: (by_patient(),)),
        ("how often each is drawn", lambda: (by_counts,)),
        *[
            (f"a generator of its own, {seed}", lambda seed=seed: (by_patient(seed=seed),))
            for seed in range(5)
        ],
    ],
    ch09.shapley_by_hand: [
        ("by the package", lambda: (BY_PACKAGE.to_dict(),)),
        ("rounded", lambda: (BY_PACKAGE.round(3).to_dict(),)),
    ],
    ch09.abstract_faults: [
        ("letters", lambda: ("abcdf",)),
        ("in another order, with commas", lambda: ("F, a, d, c, b",)),
        ("a list", lambda: (["a", "b", "c", "d", "f"],)),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)


@pytest.fixture(autouse=True)
def second_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases above are those of a reader who has been wrong before."""
    monkeypatch.setattr(ch09, "REFUSED", {"09.1": 1, "09.5": 1})


@pytest.mark.parametrize(
    ("check", "reasons"),
    [(ch09.supported_claims, ch09.CLAIMS), (ch09.abstract_faults, ch09.OBJECTIONS)],
)
def test_reasons_come_with_the_second_wrong_answer(
    check: Callable,
    reasons: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ch09, "REFUSED", {})
    first, second = (verdict(capsys, check, ("abcdefgh",)) for _ in range(2))
    assert "of the 8 letters are handed in wrongly or missing" in first
    assert not any(reason in first for reason in reasons.values())
    assert sum(reason in second for reason in reasons.values()) == 1
