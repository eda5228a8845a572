"""Chapter 19: right answers pass, and a student with a likely slip is told which one."""

import math
from typing import Any

import numpy as np
from check_cases import accepted, refused, right_verdicts, wrong_verdicts

from mmkeras.checks import ch19


def quantile(
    inside: Any = lambda low, high, share: low + (high - low) * share,
    counts_of: Any = np.asarray,
    share_of: Any = lambda wanted, below, count, n: (wanted - below) / (count - below),
    last: Any = lambda bounds: bounds[-2],
    q_of: Any = lambda q: q,
    factor: float = 1.0,
) -> Any:
    """The quantile by a loop, with a slip."""

    def function(bounds: np.ndarray, counts: np.ndarray, q: float) -> float:
        counts = counts_of(counts)
        wanted, below, low = q_of(q) * counts[-1], 0, 0.0
        for high, count in zip(bounds, counts, strict=True):
            if count >= wanted:
                if math.isinf(high):
                    return factor * last(bounds)
                return factor * inside(low, high, share_of(wanted, below, count, counts[-1]))
            below, low = count, high
        raise AssertionError

    return function


def by_interp(bounds: np.ndarray, counts: np.ndarray, q: float) -> Any:
    """In another style: the running sum as a function of the bounds, turned round."""
    finite = np.append(0.0, bounds[:-1])
    return np.interp(q * counts[-1], np.append(0, counts[:-1]), finite)


def servers(
    tail: float = math.log(100), whole: Any = math.ceil, stable: bool = False, more: int = 0
) -> Any:
    def function(rate: float, service: float, bar: float) -> Any:
        if stable:
            return math.floor(rate * service) + 1
        return whole(rate * service / (1 - tail * service / bar)) + more

    return function


def by_search(rate: float, service: float, bar: float) -> int:
    n = 1
    while rate * service >= n or math.log(100) * service / (1 - rate * service / n) > bar:
        n += 1
    return n


def delays(
    limit_of: Any = lambda base, cap, k: np.minimum(cap, base * 2.0**k),
    draw: Any = lambda rng, limits: rng.uniform(0, limits),
    join: Any = lambda least, more: least + more,
    count: Any = lambda tries: tries,
) -> Any:
    def function(tries: int, base: float, cap: float, retry_after: float, rng: Any) -> Any:
        limits = limit_of(base, cap, np.arange(count(tries)))
        return join(retry_after, draw(rng, limits))

    return function


def by_loop(tries: int, base: float, cap: float, retry_after: float, rng: Any) -> list:
    found, limit = [], base
    for _ in range(tries):
        found.append(retry_after + rng.random() * min(limit, cap))
        limit *= 2
    return found


WRONG = {
    ch19.quantile: [
        ("upper end", lambda: (quantile(lambda low, high, s: high),), "this is the upper end"),
        ("lower end", lambda: (quantile(lambda low, high, s: low),), "this is the lower end"),
        ("middle", lambda: (quantile(lambda low, high, s: (low + high) / 2),), "the middle of"),
        ("sums of sums", lambda: (quantile(counts_of=np.cumsum),), "running sums already"),
        ("percent", lambda: (quantile(q_of=lambda q: q / 100),), "not a percentage"),
        ("turned", lambda: (quantile(lambda low, high, s: high - (high - low) * s),), "turned"),
        ("of all", lambda: (quantile(share_of=lambda w, b, c, n: (w - b) / n),), "not by all"),
        ("not less", lambda: (quantile(share_of=lambda w, b, c, n: w / (c - b)),), "subtract them"),
        ("q inside", lambda: (quantile(share_of=lambda w, b, c, n: w / n),), "goes in by q"),
        ("infinite", lambda: (quantile(last=lambda bounds: bounds[-1]),), "no upper end"),
        ("ms", lambda: (quantile(factor=1000),), "return seconds"),
    ],
    ch19.servers: [
        ("keeps up", lambda: (servers(stable=True),), "just below 1"),
        ("mean", lambda: (servers(tail=1.0),), "this holds for the mean"),
        ("down", lambda: (servers(whole=math.floor),), "round up"),
        ("one more", lambda: (servers(more=1),), "one too many"),
        ("fraction", lambda: (servers(whole=lambda n: n),), "is whole"),
        ("log10", lambda: (servers(tail=2.0),), "the natural one"),
        ("90th", lambda: (servers(tail=math.log(10)),), "this is the 90th percentile"),
        ("text", lambda: (lambda *_: "many",), "return a number of servers"),
    ],
    ch19.delays: [
        ("no draw", lambda: (delays(draw=lambda rng, limits: limits),), "equally long"),
        ("half", lambda: (delays(draw=lambda rng, limits: rng.uniform(limits / 2, limits)),),
         "begins at 0"),
        ("not doubled", lambda: (delays(lambda base, cap, k: base + 0.0 * k),), "comes near"),
        ("tripled", lambda: (delays(lambda base, cap, k: np.minimum(cap, base * 3.0**k)),),
         "twice the one before"),
        ("no cap", lambda: (delays(lambda base, cap, k: base * 2.0**k),), "never exceeds cap"),
        ("from 1", lambda: (delays(lambda base, cap, k: np.minimum(cap, base * 2.0 ** (k + 1))),),
         "the first limit is base"),
        ("the larger", lambda: (delays(join=np.maximum),), "no random time comes near"),
        ("alone", lambda: (delays(join=lambda least, more: more),), "less than retry_after"),
        ("one draw", lambda: (delays(draw=lambda rng, limits: rng.random() * limits),),
         "draw anew"),
        ("squares", lambda: (delays(draw=lambda rng, top: top * rng.random(len(top)) ** 2),),
         "spread evenly"),
        ("too few", lambda: (delays(count=lambda tries: tries - 1),), "6 numbers"),
        ("one number", lambda: (lambda *given: 2.0,), "6 numbers"),
    ],
    ch19.verdicts: wrong_verdicts(ch19.VERDICTS),
}  # fmt: skip
RIGHT = {
    ch19.quantile: [
        ("a loop", lambda: (quantile(),)),
        ("np.interp", lambda: (by_interp,)),
    ],
    ch19.servers: [
        ("the formula", lambda: (servers(),)),
        ("one by one", lambda: (by_search,)),
        ("NumPy", lambda: (servers(whole=lambda n: np.int64(np.ceil(n))),)),
    ],
    ch19.delays: [("at once", lambda: (delays(),)), ("a loop", lambda: (by_loop,))],
    ch19.verdicts: right_verdicts(ch19.VERDICTS),
}  # fmt: skip
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
