"""Checks of chapter 14, the cross-modal transformer."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from . import NotYet, exercise, expect_close

VERDICTS = {"A": "leak", "B": "not settled", "C": "no ceiling", "D": "holds"}


def _same(got: Any, wrong: Any) -> bool:
    got, wrong = np.asarray(got), np.asarray(wrong)
    return got.shape == wrong.shape and bool(np.allclose(got, wrong, atol=1e-7))


def _softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


@exercise(
    "14.1",
    "attention with a mask",
    hint="scores = keys[keep] @ query / np.sqrt(len(query)); the softmax of these; their weights "
    "times values[keep]; and zeros where keep.any() is False",
)
def attend(function: Callable) -> str | None:
    """Return the answer to one query, float (v,)."""
    rng = np.random.default_rng(14)
    for k, keep in ((3, [1, 1, 0, 1]), (6, [0, 1, 1, 0, 0]), (5, [1, 1, 1])):
        places = len(keep)
        query, keys = rng.normal(size=k), rng.normal(size=(places, k))
        values = rng.normal(size=(places, 2))
        mask = np.array(keep, bool)
        got = function(query.copy(), keys.copy(), values.copy(), mask.copy())
        scores = keys @ query / np.sqrt(k)
        want = _softmax(scores[mask]) @ values[mask]
        if np.shape(got) != want.shape:
            raise NotYet(f"the answer has the shape {np.shape(got)}, it should be {want.shape}")
        slips = {
            "divide the scores by the root of the width of the query": (
                _softmax(keys[mask] @ query) @ values[mask]
            ),
            "the masked places are used, too": _softmax(scores) @ values,
            "the weights no longer sum to 1: mask the scores before the softmax": (
                (_softmax(scores) * mask) @ values
            ),
            "a score of 0 is no mask, since exp(0) = 1": _softmax(scores * mask) @ values,
            "the root is of the number of keys: take the width of the query": (
                _softmax((keys @ query / np.sqrt(places))[mask]) @ values[mask]
            ),
            "the root is of the width of a value: take the width of the query": (
                _softmax((keys @ query / np.sqrt(values.shape[1]))[mask]) @ values[mask]
            ),
        }
        if not mask.all():
            slips["turned round: keep is true where the query may look"] = (
                _softmax(scores[~mask]) @ values[~mask]
            )
        if not _same(got, want):
            for advice, wrong in slips.items():
                if _same(got, wrong):
                    raise NotYet(advice)
        expect_close(got, want, "the answer")
    try:
        nothing = function(query.copy(), keys.copy(), values.copy(), np.zeros(3, bool))
    except NotYet as error:  # such as the maximum of no scores
        raise NotYet(f"where keep is False throughout, return zeros: {error}") from None
    if not _same(nothing, np.zeros(2)):
        raise NotYet("where nothing may be looked at, the answer should be zeros")
    return "an empty memory gives zeros, and no NaN"


@exercise(
    "14.2",
    "a ceiling",
    hint="count the replies of each value of shown, add up the largest counts, divide by all rows",
)
def ceiling(function: Callable) -> str | None:
    """Return the largest share of right replies, a number from 0 to 1."""
    cases = [
        (["a", "a", "a", "b", "b", "c", "d"], [0, 0, 1, 1, 2, 0, 3]),
        (["x"] * 5, [0, 1, 1, 2, 3]),
        (["p", "q", "r", "r", "r", "r"], [0, 0, 1, 2, 3, 3]),
    ]
    for shown, reply in cases:
        groups = [
            np.unique(
                [r for s, r in zip(shown, reply, strict=True) if s == name], return_counts=True
            )
            for name in sorted(set(shown))
        ]
        best = [counts.max() for _, counts in groups]
        want = sum(best) / len(reply)
        got = function(np.array(shown), np.array(reply))
        slips = {
            "this always gives one reply, whatever is shown": (
                np.unique(reply, return_counts=True)[1].max() / len(reply)
            ),
            "values that are shown more often must count more": np.mean(
                [counts.max() / counts.sum() for _, counts in groups]
            ),
            "this guesses at random among the replies of each value: take the most frequent": (
                np.sum([(counts**2).sum() / counts.sum() for _, counts in groups]) / len(reply)
            ),
        }
        slips["this is a percentage: return a share from 0 to 1"] = 100 * want
        slips["this counts what is shown: count the most frequent reply to each value"] = len(
            groups
        ) / len(reply)
        if not _same(got, want):
            for advice, wrong in slips.items():
                if _same(got, wrong):
                    raise NotYet(advice)
        expect_close(got, want, "the ceiling")
    return "no model that sees only this can be better in the long run"


@exercise(
    "14.3",
    "voices that are one voice",
    hint="go through itertools.combinations(sorted(clips), 2) and compare with np.array_equal",
)
def doubles(function: Callable) -> str | None:
    """Return the pairs of voices that sound the same, a list of tuples."""
    rng = np.random.default_rng(3)
    a, b, c = (rng.normal(size=(3, 20)) for _ in range(3))
    half = np.concatenate([a[:1], b[1:]])
    shuffled = np.sort(a, axis=1)
    clips = {"m1": a, "f3": b, "f1": a.copy(), "x": half, "m2": c, "s": shuffled, "k": b.copy()}
    want = {("f1", "m1"), ("f3", "k")}
    got = function({name: values.copy() for name, values in clips.items()})
    try:
        pairs = [tuple(pair) for pair in got]
    except TypeError:
        raise NotYet("return a list of pairs of names") from None
    if any(len(pair) == 2 and pair[0] == pair[1] for pair in pairs):
        raise NotYet("every voice is the same as itself: leave these pairs out")
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise NotYet("each pair once: not ('a', 'b') and ('b', 'a')")
    found = {tuple(sorted(pair)) for pair in pairs}
    if found - want and any("x" in pair for pair in found - want):
        raise NotYet("one equal clip is not enough: all clips of the two must be equal")
    if any("s" in pair for pair in found - want):
        raise NotYet("equal means or sorted samples are no equal sound: compare sample by sample")
    if not found:
        raise NotYet("no pair found, but two pairs of these voices are copies, expected 2 pairs")
    if found != want:
        raise NotYet(f"found {sorted(found)}, expected {len(want)} pairs of equal sound")
    return "a comparison that takes a line, and would have shown the leak at once"


LOOK = {
    "A": "who speaks in the test, and who spoke in training?",
    "B": "is 0 in the interval?",
    "C": "how far can these two modalities reach at all?",
    "D": "was it the same test, paired, on fresh splits? Does the claim go beyond it?",
}


@exercise(
    "14.4",
    "four claims",
    hint="for each claim ask: was the test new? Is 0 in the interval? What was possible at all?",
)
def verdicts(answer: dict) -> str | None:
    """Give a verdict for each of the claims A to D, as a dict."""
    if not isinstance(answer, dict) or set(answer) != set(VERDICTS):
        raise NotYet('give a verdict for each claim, such as {"A": "holds", "B": …}')
    known = sorted(VERDICTS.values())
    for claim, verdict in answer.items():
        if verdict is ... or verdict is None:
            raise NotYet(f"claim {claim} has no verdict yet")
        if verdict not in known:
            raise NotYet(f"claim {claim}: {verdict!r} is no verdict; they are {', '.join(known)}")
    for claim, right in VERDICTS.items():
        if answer[claim] != right:
            raise NotYet(f"claim {claim} is not {answer[claim]!r}: {LOOK[claim]}")
    return "a number needs its ceiling, its interval and a test that is new"


@exercise(
    "14.5",
    "your own change",
    hint="half = stats.t.ppf(0.975, n - 1) * gains.std(ddof=1) / np.sqrt(n); the interval is the "
    "mean of the gains, more or less this half",
)
def own_change(gains: Any, conclusion: str) -> str | None:
    """Give the paired gains, at least three numbers in points, and what follows from them."""
    if conclusion is ... or any(gain is ... for gain in np.ravel(np.asarray(gains, object))):
        raise NotYet("fill in the gains and the conclusion")
    try:
        values = np.asarray(gains, float)
    except (TypeError, ValueError):
        raise NotYet("give the gains as numbers, one per pair of fits, in points") from None
    if values.ndim != 1 or len(values) < 3:
        raise NotYet(f"{values.size} gains in the shape {values.shape}: give at least three pairs")
    if not np.isfinite(values).all() or np.abs(values).max() > 100:
        raise NotYet("a gain in points lies between -100 and 100")
    if np.ptp(values) == 0:
        raise NotYet("all gains are the same number: was the seed changed between the fits?")
    if conclusion not in ("better", "worse", "not settled"):
        raise NotYet(f"{conclusion!r} is no conclusion; they are better, worse, not settled")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    low, high = values.mean() - half, values.mean() + half
    right = "better" if low > 0 else "worse" if high < 0 else "not settled"
    if conclusion != right:
        place = (
            "contains 0" if right == "not settled" else f"lies {'above' if low > 0 else 'below'} 0"
        )
        raise NotYet(
            f"the interval of the mean gain, by t with {len(values) - 1} degrees of freedom, "
            f"{place}: {conclusion!r} does not follow"
        )
    return f"the mean gain is {values.mean():.1f} points ({low:.1f} to {high:.1f})"
