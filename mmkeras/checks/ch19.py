"""Checks of chapter 19, serving."""

import math
from collections.abc import Callable

import numpy as np

from . import NotYet, exercise, expect_close, expect_verdicts, refuse_slips

VERDICTS = {
    "A": "the tail is hidden",
    "B": "another load",
    "C": "waited for answers",
    "D": "not the same work",
    "E": "holds",
}
LOOK = {
    "A": "which number was reported, and whose latency is it? Section 4 draws such a day",
    "B": "how many asked at a time when it was measured, and how many in the claim?",
    "C": "what did the clients do during the two seconds, and what do users do?",
    "D": "what was each of the two asked?",
    "E": "read what is claimed: at which percentile, at which rate, sent when?",
}


@exercise(
    "19.1",
    "a percentile from buckets",
    hint="q · counts[-1] requests lie below the quantile; find the first bucket whose count "
    "reaches that number, and go into it by the share of its own requests that is needed",
)
def quantile(function: Callable) -> str | None:
    """Return the quantile in seconds, a float."""
    bounds = np.array([0.005, 0.01, 0.05, 0.1, 0.5, math.inf])
    for counts, q in (
        ([100, 300, 700, 900, 990, 1000], 0.5),
        ([100, 300, 700, 900, 990, 1000], 0.95),
        ([60, 80, 90, 95, 98, 100], 0.3),
        ([10, 40, 150, 170, 180, 200], 0.99),
    ):
        got = function(bounds.copy(), np.array(counts), q)
        want = _quantile(bounds, np.array(counts), q)
        below = [0, *counts]
        i = int(np.searchsorted(counts, q * counts[-1]))
        low = 0.0 if i == 0 else bounds[i - 1]
        slips = {
            "in the last bucket there is no upper end: return the largest finite bound": math.inf,
            "this is the upper end of the bucket: go into it": bounds[i],
            "this is the lower end of the bucket: go into it": low,
            "this is the middle of the bucket: go into it by the share that is needed": (
                (low + bounds[i]) / 2
            ),
            "the counts are running sums already: do not add them up again": _quantile(
                bounds, np.cumsum(counts), q
            ),
            "q is a share, not a percentage": _quantile(bounds, np.array(counts), q / 100),
            "the share within the bucket is turned round": low
            + (bounds[i] - low) * (1 - (q * counts[-1] - below[i]) / (counts[i] - below[i])),
            "divide by the requests of this bucket, not by all": low
            + (bounds[i] - low) * (q * counts[-1] - below[i]) / counts[-1],
            "requests of the buckets before it lie below: subtract them": low
            + (bounds[i] - low) * q * counts[-1] / (counts[i] - below[i]),
            "go in by the share of this bucket that is needed; this goes in by q": low
            + (bounds[i] - low) * q,
            "this is milliseconds: return seconds": 1000 * want,
        }
        usable = {k: v for k, v in slips.items() if not math.isnan(v) and v != want}
        refuse_slips(got, usable, want, atol=1e-9)
        expect_close(got, want, f"the quantile {q}", atol=1e-9)
    return "and buckets of several servers may be added, which percentiles may not"


def _quantile(bounds: np.ndarray, counts: np.ndarray, q: float) -> float:
    wanted = q * counts[-1]
    i = int(np.searchsorted(counts, wanted))
    if math.isinf(bounds[i]):
        return float(bounds[i - 1])
    low, before = (bounds[i - 1], counts[i - 1]) if i else (0.0, 0)
    return float(low + (bounds[i] - low) * (wanted - before) / (counts[i] - before))


@exercise(
    "19.2",
    "how many servers",
    hint="section 5 has the 99th percentile of an M/M/1 queue; with n servers the utilisation of "
    "each is rate · service / n. Try n = 1, 2, 3 … or solve for n",
)
def servers(function: Callable) -> str | None:
    """Return the smallest number of servers, an int."""
    for rate, service, bar in ((3000.0, 0.01, 0.1), (2000.0, 0.004, 0.05), (50.0, 0.02, 0.5)):
        got = function(rate, service, bar)
        tail = math.log(100) * service
        want = math.ceil(rate * service / (1 - tail / bar) - 1e-9)
        slips = {
            "with so many the utilisation is just below 1; the bar asks for more": math.floor(
                rate * service
            )
            + 1,
            "this holds for the mean: the 99th percentile is asked for": math.ceil(
                rate * service / (1 - service / bar)
            ),
            "round up: with one server less than that, the bar is missed": want - 1,
            "this is one too many: one less is enough": want + 1,
            "a number of servers is whole: round up": rate * service / (1 - tail / bar),
            "the logarithm is the natural one": math.ceil(rate * service / (1 - 2 * service / bar)),
            "this is the 90th percentile: 99% of the requests must meet the bar": math.ceil(
                rate * service / (1 - math.log(10) * service / bar)
            ),
        }
        if (got is not None) and not isinstance(got, int | float | np.number):
            raise NotYet(f"return a number of servers, not {type(got).__name__}")
        refuse_slips(got, {k: v for k, v in slips.items() if v != want}, want)
        expect_close(got, want, f"the servers for {rate:g} requests per second", atol=0.01)
    return "far more than keep up with the work alone"


@exercise(
    "19.3",
    "ask again, but not all at once",
    hint="limits = np.minimum(cap, base · 2**k) for k = 0, 1, 2 …; then retry_after plus a draw "
    "between 0 and its own limit for each",
)
def delays(function: Callable) -> str | None:
    """Return the waiting time after each refusal, (tries,)."""
    tries, base, cap, least = 6, 0.5, 4.0, 2.0
    drawn = [function(tries, base, cap, least, np.random.default_rng(seed)) for seed in range(400)]
    try:
        found = np.array(drawn, dtype=float)
    except (TypeError, ValueError):
        raise NotYet("return the same number of waiting times in every case") from None
    if found.shape != (400, tries):
        raise NotYet(f"return {tries} numbers, one per refusal; got {np.shape(drawn[0])}")
    limits = np.minimum(cap, base * 2.0 ** np.arange(tries))
    extra = found - least
    if (found.std(axis=0) < 1e-9).all():
        raise NotYet("every client waits equally long, so all come back together: draw with rng")
    if extra.min() < -1e-9:
        raise NotYet("some wait for less than retry_after: add the random time to it")
    if (extra.max(axis=0) > limits + 1e-9).any():
        k = int(np.argmax(extra.max(axis=0) > limits + 1e-9))
        why = "the limit never exceeds cap" if limits[k] == cap else (
            "the first limit is base, and the next ones are twice the one before"
        )  # fmt: skip
        raise NotYet(f"refusal {k + 1}: a random time of {extra[:, k].max():.2f} s, at most "
                     f"{limits[k]:g} s is allowed: {why}")  # fmt: skip
    share = extra / limits
    if (share.max(axis=0) < 0.9).any():
        k = int(np.argmax(share.max(axis=0) < 0.9))
        raise NotYet(f"refusal {k + 1}: no random time comes near its limit of {limits[k]:g} s: "
                     "base seconds, doubled with each refusal, up to cap")  # fmt: skip
    if (share.min(axis=0) > 0.1).any():
        raise NotYet("the random time begins at 0: these begin higher, which spreads them less")
    if (np.abs(share.mean(axis=0) - 0.5) > 0.1).any():
        raise NotYet("the random time is spread evenly between 0 and its limit; this one is not")
    if np.corrcoef(share[:, 0], share[:, 1])[0, 1] > 0.9:
        raise NotYet("one draw serves for all waiting times: draw anew for each")
    return "what came together is spread over half a second, then over one, two and four"


@exercise(
    "19.4",
    "five reports",
    hint="ask of each: which number was reported, under which load, who waited for whom, and was "
    "the same thing asked?",
)
def verdicts(answers: dict[str, str]) -> str | None:
    """Give each of the claims A to E one of the five verdicts."""
    expect_verdicts(answers, VERDICTS, LOOK)
    return "which number, under which load, sent when, and for which work"
