"""Checks of chapter 13, joint embedding."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..evaluate import paired_difference
from . import NotYet, exercise, expect_close, expect_verdicts, refuse_slips

VERDICTS = {"A": "not settled", "B": "no control", "C": "leak", "D": "holds", "E": "ties"}


@exercise(
    "13.1",
    "InfoNCE from cosines",
    hint="logits = cosines / temperature; for each row the logarithm of the sum of exp(logits) "
    "minus the logit on the diagonal; the same for each column; the mean of all",
)
def info_nce_loss(function: Callable) -> str | None:
    """Return the loss, a number: the mean of both directions."""
    cosines = np.random.default_rng(0).uniform(-1, 1, (5, 5))
    for tau in (0.5, 0.07, 0.001):
        logits = cosines / tau
        own = np.diag(logits)
        rows = np.logaddexp.reduce(logits, axis=1) - own
        columns = np.logaddexp.reduce(logits, axis=0) - own
        want = (rows.mean() + columns.mean()) / 2
        got = function(cosines.copy(), tau)
        times, off = cosines * tau, logits.copy()
        np.fill_diagonal(off, -np.inf)
        without = np.logaddexp.reduce(off, 1).mean() + np.logaddexp.reduce(off, 0).mean()
        slips = {
            "these are the rows alone: each name must find its picture, too": rows.mean(),
            "these are the columns alone: each picture must find its name, too": columns.mean(),
            "divide the cosines by the temperature, do not multiply": (
                np.logaddexp.reduce(times, 1) + np.logaddexp.reduce(times, 0)
            ).mean()
            / 2
            - np.diag(times).mean(),
            "this is the sum of both directions: take their mean": 2 * want,
            "this adds up the rows of the batch: take their mean": 5 * want,
            "the sign is turned round: a loss is minus the logarithm of a probability": -want,
            "the right pair belongs in the sum of the denominator, too": (without / 2 - own.mean()),
        }
        if np.isscalar(got) and not np.isfinite(got):
            raise NotYet(
                f"NaN or infinity at temperature {tau}: exp overflows for a logit of about a "
                "thousand, and is 0 far below the maximum, so that its logarithm is -inf; subtract "
                "the maximum of each row (of each column for the other direction) and take no "
                "logarithm of a probability, or use np.logaddexp.reduce"
            )
        refuse_slips(got, slips, want)
        expect_close(got, want, f"the loss at temperature {tau}")
    return "the cross-entropy of finding the partner, in both directions"


@exercise(
    "13.2",
    "how low can it go",
    hint="every row has one logit own / τ and N - 1 logits other / τ; divide the sum of the "
    "exponentials by that of the right pair; then solve loss = log(1 + (N - 1) exp(…)) for τ",
)
def floor(function: Callable) -> str | None:
    """Return two numbers: the loss at the temperature, and the temperature of the given loss."""
    for own, other, n, tau, loss in ((1, -1, 256, 1.0, 0.1), (0.8, 0.1, 64, 0.2, 0.01)):
        got = function(own, other, n, tau, loss)
        if not isinstance(got, tuple | list | np.ndarray) or np.shape(got) != (2,):
            raise NotYet("return two numbers: the loss, and the temperature that gives `loss`")
        gap = own - other
        want = np.log1p((n - 1) * np.exp(-gap / tau))
        cold = gap / np.log((n - 1) / np.expm1(loss))
        refuse_slips(
            got[0],
            {
                "a batch of N has N - 1 wrong pairs in a row, not N": np.log1p(
                    n * np.exp(-gap / tau)
                ),
                "the wrong pairs have the cosine `other`, not 0": np.log1p(
                    (n - 1) * np.exp(-own / tau)
                ),
                "the loss of a model that knows nothing is log N; this one knows": np.log(n),
                "divide the difference of the cosines by the temperature": np.log1p(
                    (n - 1) * np.exp(-gap * tau)
                ),
                "the exponent is other - own, which is negative": np.log1p(
                    (n - 1) * np.exp(gap / tau)
                ),
                "the right pair counts in the denominator: log(1 + …)": np.log(
                    (n - 1) * np.exp(-gap / tau)
                ),
            },
            want,
        )
        expect_close(got[0], want, f"the loss for N = {n}, τ = {tau}")
        refuse_slips(
            got[1],
            {
                "this is 1 / τ: turn it round": 1 / cold,
                "the inverse of log(1 + x) is exp(loss) - 1, not exp(loss)": gap
                / np.log((n - 1) / np.exp(loss)),
            },
            cold,
        )
        expect_close(got[1], cold, f"the temperature for the loss {loss}, N = {n}")
    return "the larger the batch, the colder it must be, but only by the logarithm"


@exercise(
    "13.3",
    "recall with ties",
    hint="for each query count the candidates above the right one, and those tied with it (itself "
    "included): the share is (k - above) / tied, cut to the range from 0 to 1",
)
def recall(function: Callable) -> str | None:
    """Return R@k, a number from 0 to 1, with ties as the mean over all their orders."""
    rng = np.random.default_rng(0)
    cases = [(rng.normal(size=(7, 9)), rng.integers(0, 9, 7), 3)]
    cases += [(rng.integers(0, 4, (40, 6)) / 4, rng.integers(0, 6, 40), k) for k in (2, 5, 1)]
    cases += [(np.zeros((4, 5)), np.arange(4), 1)]
    for number, (scores, right, k) in enumerate(cases):
        mine = scores[np.arange(len(right)), right][:, None]
        above, tied = (scores > mine).sum(axis=1), (scores == mine).sum(axis=1)
        want = np.clip((k - above) / tied, 0, 1).mean()
        middle = 1 + above + (tied - 1) / 2
        slips = {
            "ties count in favour of the model: one that scores all alike gets 1": (
                above < k
            ).mean(),
            "ties count against the model: a candidate is no rival of itself": (
                (above + tied) <= k
            ).mean(),
            "the middle rank of tied ones gives all or nothing; the expected value is a share": (
                middle <= k
            ).mean(),
            "this needs only one place among the first k - 1: above < k, with k counted from 1": (
                above < k - 1
            ).mean(),
            "a lower score is taken for a better one": np.clip(
                (k - (scores < mine).sum(axis=1)) / tied, 0, 1
            ).mean(),
            "a share of more than 1 must count as 1, and a negative one as 0": (
                (k - above) / tied
            ).mean(),
        }
        got = function(scores.copy(), right.copy(), k)
        refuse_slips(got, slips, want)
        what = "without ties" if number == 0 else "with ties"
        expect_close(got, want, f"R@{k} {what}")
    return "a model that scores all alike gets the result of chance"


LOOK = {
    "A": "does the interval exclude 0?",
    "B": "what did this text encoder know before it met a picture, and was that measured?",
    "C": "four artists draw each thing: where are the other three drawings of a test concept?",
    "D": "is the interval, corrected and paired over fresh splits, on one side of 0? What is "
    "claimed beyond it?",
    "E": "what does this line do with equal scores, and how many equal scores do 16 levels make?",
}


@exercise(
    "13.4",
    "five claims",
    hint="for each claim ask: could the control have failed, and is there one? Is the test really "
    "new? How are ties counted? Is 0 in the interval?",
)
def verdicts(answer: dict) -> str | None:
    """Give a verdict for each of the claims A to E, as a dict."""
    expect_verdicts(answer, VERDICTS, LOOK)
    return "a number is worth as much as what it is compared with"


def _report(report: Any) -> dict[str, Any]:
    """The report with arrays, or `NotYet` for what is no report."""
    wanted = ("base", "changed", "families", "looked", "verdict")
    if not isinstance(report, dict) or set(report) != set(wanted):
        raise NotYet(f"give a dict with the keys {', '.join(wanted)}")
    for key, value in report.items():
        if value is ... or value is None:
            raise NotYet(f"{key} is still open: fill in every part of the report")
    found = {key: np.asarray(report[key]) for key in ("base", "changed", "families")}
    for key in ("base", "changed"):
        if found[key].dtype.kind not in "biuf" or found[key].ndim != 1:
            raise NotYet(f"{key} should hold one number per query, shape (Q,), not a mean")
        if not ((found[key] >= 0) & (found[key] <= 1)).all():
            raise NotYet(f"{key} should hold hits from 0 to 1, neither ranks nor per cent")
    if len({value.shape for value in found.values()}) > 1:
        shapes = ", ".join(f"{key} {value.shape}" for key, value in found.items())
        raise NotYet(f"base and changed must answer the same queries, row by row; got {shapes}")
    if len(np.unique(found["families"])) < 30:
        raise NotYet("fewer than 30 families: too few for an interval by family; ask more queries")
    looked = report["looked"]
    if isinstance(looked, bool) or not isinstance(looked, int | np.integer) or looked < 1:
        raise NotYet(f"looked should be the number of comparisons, from 1, got {looked!r}")
    return {**report, **found}


@exercise(
    "13.5",
    "your own question",
    hint="hits of both from retrieval.recall_at(scores, right, 10), on the same queries in the "
    "same order; mm.evaluate.paired_difference(changed, base, families, comparisons=looked)",
)
def own_question(report: dict) -> str | None:
    """Give a dict with base, changed, families, looked and verdict."""
    given = _report(report)
    words = ("better", "worse", "not settled")
    if given["verdict"] not in words:
        raise NotYet(f"{given['verdict']!r} is no verdict; they are {', '.join(words)}")
    arrays = given["changed"], given["base"], given["families"]
    if np.array_equal(arrays[0], arrays[1]):
        raise NotYet("base and changed are equal in every query: has anything been changed?")

    def follows(comparisons: int, families: Any) -> tuple[str, str]:
        gap = paired_difference(*arrays[:2], families, comparisons=comparisons)
        sign = words[0] if gap.low > 0 else words[1] if gap.high < 0 else words[2]
        return sign, "{:.1f} ({:.1f} to {:.1f})".format(*(100 * value for value in gap))

    right, interval = follows(int(given["looked"]), arrays[2])
    if given["verdict"] == right:
        return f"{right} follows: {interval} points, by family, for {given['looked']} comparisons"
    if given["verdict"] == follows(1, arrays[2])[0]:
        raise NotYet("this would follow if you had looked at a single comparison: correct for all")
    if given["verdict"] == follows(int(given["looked"]), None)[0]:
        raise NotYet("this would follow if queries of one family were independent: keep families")
    if {given["verdict"], right} == {"better", "worse"}:
        raise NotYet("the other way round: the difference is changed minus base")
    raise NotYet(
        f"{given['verdict']!r} does not follow: look on which side of 0 the interval lies, and "
        "whether it contains 0"
    )
