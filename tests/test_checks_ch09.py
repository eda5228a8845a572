"""Chapter 9: right answers pass, and a student with a likely slip is told which one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from check_cases import accepted, refused
from sklearn.metrics import roc_auc_score

from mmkeras.checks import ch09
from mmkeras.evaluate import shapley


def pairs(y: np.ndarray, s: np.ndarray, place: np.ndarray, tie: float = 0.5) -> float:
    a, b = s[y == 1][:, None], s[y == 0][None]
    together = place[y == 1][:, None] == place[y == 0][None]
    return ((a > b) + tie * (a == b))[together].mean()


def pairs_apart(y: np.ndarray, s: np.ndarray, place: np.ndarray) -> float:
    a, b = s[y == 1][:, None], s[y == 0][None]
    together = place[y == 1][:, None] == place[y == 0][None]
    return ((a > b) + 0.5 * (a == b))[~together].mean()


def each_place(y: np.ndarray, s: np.ndarray, place: np.ndarray, weighted: bool = True) -> float:
    """The mean of the hospitals' AUCs, weighted by their pairs or not."""
    parts = [place == one for one in np.unique(place)]
    counts = [y[part].sum() * (1 - y[part]).sum() if weighted else 1 for part in parts]
    return float(np.average([roc_auc_score(y[part], s[part]) for part in parts], weights=counts))


Draws = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], Any]


def by_patient(
    statistic: Callable[[list[np.ndarray]], float], *, replace: bool = True, seed: int | None = None
) -> Draws:
    """A bootstrap by patient of any statistic of the drawn patients' rows."""

    def draw(right: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator) -> Any:
        rng = rng if seed is None else np.random.default_rng(seed)
        parts = [right[patient == one] for one in np.unique(patient)]
        n = len(parts)
        return np.array(
            [statistic([parts[i] for i in rng.choice(n, n, replace=replace)]) for _ in range(draws)]
        )

    return draw


def share(parts: list[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())


def by_counts(
    right: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    _, who = np.unique(patient, return_inverse=True)
    hits, sizes = np.bincount(who, right), np.bincount(who)
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws)
    return (times @ hits) / (times @ sizes)


def normal(
    right: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """No bootstrap at all: a bell curve of the right centre and width."""
    drawn = by_counts(right, patient, 2000, rng)
    return rng.normal(drawn.mean(), drawn.std(), draws).clip(0, 1)


def sentence(model: str, auc: float, low: float, high: float, patients: int) -> str:
    return (
        f"{model}: AUC {auc:.3f} (95% interval {low:.3f} to {high:.3f}, bootstrap by patient, "
        f"{patients} patients; rendered signals)"
    )


def other_sentence(model: str, auc: float, low: float, high: float, patients: int) -> str:
    return (
        f"In {patients} patients whose signals were rendered, not recorded, {model} has an area "
        f"(AUC) of {auc:.2f}, 95% bootstrap interval over patients [{low:.2f}, {high:.2f}]."
    )


def swapped(old: str, new: str) -> Callable[..., str]:
    return lambda *args: sentence(*args).replace(old, new)


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
        ("overlapping intervals", lambda: ("bdg",), "compares two intervals by eye"),
        ("a subgroup by its point value", lambda: ("acdg",), "the interval of the women holds 0"),
        ("other trainings", lambda: (["a", "d", "e"],), "each network was trained once"),
        ("another hospital", lambda: ("adfg",), "all patients came from one"),
        ("the AUC as recall", lambda: ("adgh",), "takes the AUC for the recall"),
        ("too careful", lambda: ("g",), "2 more: look at the paired difference"),
        ("one is missing", lambda: ("ad",), "1 more: look at the women"),
        ("a number", lambda: (3,), "enter letters"),
        ("another letter", lambda: ("axz",), "from a to h"),
        ("nothing", lambda: ("",), "yours are none"),
    ],
    ch09.auc_within: [
        ("ties forgotten", lambda: (lambda y, s, h: pairs(y, s, h, 0.0),), "yours count nothing"),
        ("ties in full", lambda: (lambda y, s, h: pairs(y, s, h, 1.0),), "yours count in full"),
        ("upside down", lambda: (lambda y, s, h: 1 - pairs(y, s, h),), "the wrong way round"),
        ("all pairs", lambda: (lambda y, s, h: roc_auc_score(y, s),), "these are all pairs"),
        ("two hospitals", lambda: (pairs_apart,), "the pairs of two hospitals"),
        (
            "the mean of the hospitals",
            lambda: (lambda y, s, h: each_place(y, s, h, weighted=False),),
            "the mean of the hospitals' AUCs",
        ),
        (
            "the table of pairs",
            lambda: (lambda y, s, h: s[y == 1][:, None] > s[y == 0],),
            "should have shape ()",
        ),
        (
            "the accuracy",
            lambda: (lambda y, s, h: ((s > 0.5) == y).mean(),),
            "the AUC within hospitals: yours is",
        ),
    ],
    ch09.accuracy_draws: [
        (
            "rows drawn",
            lambda: (lambda r, p, d, rng: rng.choice(r, (d, len(r))).mean(axis=1),),
            "were rows drawn in place of patients?",
        ),
        ("no replacement", lambda: (by_patient(share, replace=False),), "with replacement"),
        (
            "the mean of the patients",
            lambda: (by_patient(lambda parts: np.mean([part.mean() for part in parts])),),
            "ten rows weighs more",
        ),
        (
            "the first row stands for all",
            lambda: (
                by_patient(
                    lambda parts: sum(len(part) * part[0] for part in parts) / sum(map(len, parts))
                ),
            ),
            "one row of each patient stands for all",
        ),
        ("a bell curve", lambda: (normal,), "is no share of the rows of 60 drawn patients"),
        (
            "one number",
            lambda: (lambda r, p, d, rng: by_counts(r, p, d, rng).mean(),),
            "one accuracy per draw",
        ),
        (
            "in percent",
            lambda: (lambda r, p, d, rng: 100 * by_counts(r, p, d, rng),),
            "between 0 and 1",
        ),
        (
            "the errors",
            lambda: (lambda r, p, d, rng: 1 - by_counts(r, p, d, rng),),
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
    ch09.report_line: [
        ("no metric", lambda: (swapped("AUC", "accuracy"),), "say which metric"),
        ("no coverage", lambda: (swapped("95%", "an"),), "a 95% interval"),
        ("no bootstrap", lambda: (swapped("bootstrap", "drawn"),), "by bootstrap"),
        ("real signals", lambda: (swapped("rendered", "real"),), "signals are rendered"),
        ("no number", lambda: (swapped("918", "many"),), "how many patients?"),
        ("no name", lambda: (swapped("note+scan", "our model"),), "not named"),
        ("another end", lambda: (swapped("0.882", "0.9"),), "the upper end 0.88249"),
        ("too many digits", lambda: (swapped("0.861", "0.86149"),), "three digits are enough"),
        (
            "the lower end as AUC",
            lambda: (lambda m, a, low, high, n: sentence(m, low, a, high, n),),
            "its place is before the interval",
        ),
        (
            "the ends swapped",
            lambda: (lambda m, a, low, high, n: sentence(m, a, high, low, n),),
            "belongs before the upper end",
        ),
        (
            "all denied",
            lambda: (
                lambda m, a, low, high, n: (
                    f"{m}: AUC {a:.3f} (95%: {low:.3f} to {high:.3f}, {n} patients); no bootstrap "
                    "was made and nothing is rendered"
                ),
            ),
            "denies what has to be said",
        ),
        ("numbers", lambda: (lambda m, a, low, high, n: (a, low, high),), "return a str"),
    ],
}
RIGHT = {
    ch09.supported_claims: [
        ("letters", lambda: ("adg",)),
        ("in another order, with commas", lambda: ("G, d, a",)),
        ("a list", lambda: (["d", "a", "g"],)),
    ],
    ch09.auc_within: [
        ("all pairs at once", lambda: (pairs,)),
        ("hospital by hospital", lambda: (each_place,)),
    ],
    ch09.accuracy_draws: [
        ("patient by patient", lambda: (by_patient(share),)),
        ("how often each is drawn", lambda: (by_counts,)),
        *[
            (f"a generator of its own, {seed}", lambda seed=seed: (by_patient(share, seed=seed),))
            for seed in range(5)
        ],
    ],
    ch09.shapley_by_hand: [
        ("by the package", lambda: (BY_PACKAGE.to_dict(),)),
        ("rounded", lambda: (BY_PACKAGE.round(3).to_dict(),)),
    ],
    ch09.report_line: [
        ("one sentence", lambda: (sentence,)),
        ("two digits, brackets, 'not recorded'", lambda: (other_sentence,)),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
