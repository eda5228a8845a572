"""Checks of chapter 08, training."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from . import NotYet, exercise, expect_close


@exercise(
    "08.1",
    "one step of AdamW",
    hint="m ← β1·m + (1 − β1)·g, and q the same with β2 and g². Then divide copies of them by "
    "1 − β1^k and 1 − β2^k, and take rate · m̂ / (√q̂ + ε) from (1 − rate · decay) · w",
)
def adamw_step(step: Callable) -> str | None:
    """three things, the new w, m and q, each of the shape of w."""
    rng, decay = np.random.default_rng(0), 0.4
    w, m, q, b1, b2, rate, eps = rng.normal(size=4), np.zeros(4), np.zeros(4), 0.9, 0.95, 0.1, 0.03
    for k in (1, 2, 3):
        g = rng.normal(size=4) * [1, 0.1, 0.01, 10]
        got = step(w.copy(), g.copy(), m.copy(), q.copy(), k, rate, decay, b1, b2, eps)
        if not isinstance(got, tuple | list) or len(got) != 3:
            raise NotYet("return three things: the new w, m and q")
        l2 = g + decay * w
        l2_m, l2_q = b1 * m + (1 - b1) * l2, b2 * q + (1 - b2) * l2**2
        before, m, q = w, b1 * m + (1 - b1) * g, b2 * q + (1 - b2) * g**2
        m_hat, q_hat = m / (1 - b1**k), q / (1 - b2**k)
        move = m_hat / (np.sqrt(q_hat) + eps)
        w = (1 - rate * decay) * before - rate * move
        slips = {
            "the step goes uphill: subtract it from w": -move,
            "the bias correction is missing: divide by 1 − β1^k and 1 − β2^k": (
                m / (np.sqrt(q) + eps)
            ),
            "ε is inside the root: add it after the square root is taken": m_hat
            / np.sqrt(q_hat + eps),
            "ε is added before q is corrected, as in Keras; here, correct q first": m_hat
            / (np.sqrt(q_hat) + eps / np.sqrt(1 - b2**k)),
            "the weights do not decay: shrink w by the factor 1 − rate · decay": move
            - decay * before,
            "the decay is not multiplied by the rate: the factor is 1 − rate · decay": move
            + (1 / rate - 1) * decay * before,
        }
        if np.shape(got[0]) == np.shape(got[1]) == np.shape(got[2]) == w.shape:
            moved = ((1 - rate * decay) * before - np.asarray(got[0], float)) / rate
            for advice, wrong in slips.items():
                if np.allclose(moved, wrong):
                    raise NotYet(advice)
            if np.allclose(got[1], l2_m) and np.allclose(got[2], l2_q):
                raise NotYet(
                    "the decay is in the gradient, so Adam rescales it: shrink w separately"
                )
            if np.allclose(got[1], m_hat) and np.allclose(got[2], q_hat) and k == 1:
                raise NotYet("return m and q as they are, without the correction: it is for w only")
        for name, mine, right in zip("mqw", (got[1], got[2], got[0]), (m, q, w), strict=True):
            expect_close(mine, right, f"{name} after step {k}", atol=1e-6)
    return "every weight shrinks by the same factor, whatever its gradient"


@exercise(
    "08.2",
    "up, down, and stay down",
    hint="peak · step / warm while step < warm; then floor plus (peak − floor) times half of "
    "1 + cos(π · done), where done is (step − warm) / (total − warm), and at most 1",
)
def warm_cosine(rate: Callable) -> str | None:
    """the learning rate at this step, a float from 0 to peak."""
    for warm, total, peak, floor in ((10, 50, 0.2, 0.01), (4, 20, 1.0, 0.25)):

        def at(step: int, case: tuple = (warm, total, peak, floor)) -> float:
            got = rate(step, *case)
            names = ", ".join(map("{} {}".format, ("warm", "total", "peak", "floor"), case))
            expect_close(got, 0.0, f"the rate at step {step} ({names})", atol=np.inf)  # one number
            return float(got)

        def fall(done: Any, high: float = peak, low: float = floor) -> Any:
            return low + (high - low) * (1 + np.cos(np.pi * np.asarray(done))) / 2

        up = [at(k) for k in range(warm)]
        if np.isclose(up[0], peak):
            raise NotYet("the rate begins at the peak: it should grow from 0 in the warm-up")
        if np.isclose(up[0], floor):
            raise NotYet("the warm-up begins at the floor: it should begin at 0")
        expect_close(up, [peak * k / warm for k in range(warm)], "in the warm-up, the rate")
        top = at(warm)
        if np.isclose(top, fall(warm / total)):
            raise NotYet(
                f"the rate jumps from {at(warm - 1):.4g} to {top:.4g} at the end of the warm-up: "
                f"the cosine begins there, at step − warm = 0, and lasts total − warm steps"
            )
        if np.isclose(top, peak + floor):
            raise NotYet("the rate exceeds the peak: the cosine falls by peak − floor, not by peak")
        expect_close(top, peak, f"at step {warm}, the end of the warm-up, the rate")
        done = np.arange(total - warm + 1) / (total - warm)
        down = [at(k) for k in range(warm, total + 1)]
        if np.isclose(at(total), fall((total - warm) / total)):
            raise NotYet(
                f"the rate is not {floor} at step {total}: the cosine lasts total − warm steps"
            )
        if np.allclose(down, np.maximum(fall(done, low=0.0), floor)):
            raise NotYet("the floor cuts the cosine off: it should fall all the way to the floor")
        expect_close(down, fall(done), "after the warm-up, the rate")
        for after in (total + 1, total + warm, 2 * total):
            if (late := at(after)) > floor + 1e-9 * peak:
                raise NotYet(
                    f"training ends at step {total}, but at step {after} the rate is up again, "
                    f"{late:.4g}: take at most 1 for the share that is done"
                )
            expect_close(late, floor, f"at step {after}, after the end, the rate")
    cold = [rate(k, 0, 8, 0.5, 0.1) for k in range(12)]
    if np.allclose(cold, 0.5):
        raise NotYet("with warm = 0 the rate never falls: the cosine begins at step 0 then")
    want = 0.1 + 0.4 * (1 + np.cos(np.pi * np.minimum(np.arange(12) / 8, 1))) / 2
    expect_close(cold, want, "with warm = 0, total 8, peak 0.5 and floor 0.1, the rate")
    return "a step too many does no harm: the rate stays at the floor"


@exercise(
    "08.3",
    "losses that weigh themselves, with a bound",
    hint="np.sum(np.exp(-s) * losses + s) is the total. Without a bound, log L is best; a weight "
    "exp(−s) of at most `heaviest` means that s is at least −log(heaviest)",
)
def uncertainty(total: Callable, best: Callable) -> str | None:
    """two functions: one returns the total, a float, the other the best s, (K,)."""
    for losses, s in (([2.0, 0.5], [0.3, -1.0]), ([4.0, 0.1, 1.0], [1.5, -0.5, 0.2])):
        L, t = np.array(losses), np.array(s)
        got = total(L.copy(), t.copy())
        want = float(np.sum(np.exp(-t) * L + t))
        slips = {
            "this forgets + s: without it, s grows without end and all weights go to 0": (
                np.exp(-t) @ L
            ),
            "s itself is the weight here, and may be negative; the weight is exp(−s)": t @ L,
            "s itself is the weight here (the + s is right); the weight is exp(−s)": t @ L
            + t.sum(),
            "the sign of s is wrong: a large uncertainty means a small weight, exp(−s)": np.exp(t)
            @ L
            + t.sum(),
            "add s, do not subtract it: otherwise the total falls without end": np.exp(-t) @ L
            - t.sum(),
            "this is the mean over the losses; take the sum": want / len(L),
        }
        for advice, wrong in slips.items():
            if np.ndim(got) == 0 and np.isclose(float(got), wrong) and not np.isclose(wrong, want):
                raise NotYet(advice)
        expect_close(got, want, f"the total for losses {losses} and s {s}")
        mine = best(L.copy(), 1e9)
        if np.shape(mine) == L.shape:
            if np.allclose(mine, -np.log(L)):
                raise NotYet("the best s has the wrong sign: exp(−s)·L = 1, so exp(s) = L")
            if np.allclose(mine, 1 / L) or np.allclose(mine, L):
                raise NotYet("that is not s but a weight or a loss: exp(−s)·L = 1, solve for s")
        case = f"for losses {losses} and a bound too high to matter"
        expect_close(mine, np.log(L), f"{case}, the best s")
    for heaviest in (50.0, 5.0):
        L = np.array([3.0, 0.1, 0.0])
        with np.errstate(divide="ignore"):
            mine, free = best(L.copy(), heaviest), np.log(L)
        want = np.log(np.maximum(L, 1 / heaviest))
        case = f"for losses {L.tolist()} and weights up to {heaviest:.0f}"
        if np.shape(mine) == L.shape:
            if np.allclose(mine, free):
                raise NotYet(f"{case}, s is not bounded: exp(−s) ≤ heaviest, so s ≥ −log(heaviest)")
            if np.allclose(mine, np.maximum(free, np.log(heaviest))) or np.allclose(
                mine, np.minimum(free, np.log(heaviest))
            ):
                raise NotYet(f"{case}, the bound is on the wrong side: s ≥ −log(heaviest)")
            if np.allclose(mine, np.maximum(free, -heaviest)):
                raise NotYet(f"{case}, the bound is on the weight exp(−s): s ≥ −log(heaviest)")
        expect_close(mine, want, f"{case}, the best s")
    return "units change nothing, and a loss of 0 breaks nothing"


@exercise(
    "08.4",
    "brake the leader of many",
    hint="p[u][np.arange(len(y)), y].mean() is how sure branch u is of the truth; divide it by the "
    "mean of the others to get ρ; the coefficient is 1 − tanh(α·ρ) where ρ > 1, else 1",
)
def modulation(coefficients: Callable) -> str | None:
    """a function that returns M coefficients between 0 and 1, one per branch."""
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet([1.0] * 3, (3, 40)), rng.integers(0, 3, 40)
    for branch, more in enumerate((1.0, 0.6, 0.0)):
        p[branch, np.arange(40), y] += more
    p /= p.sum(axis=2, keepdims=True)
    for who, chosen, alpha in (
        ("the first of two leads", [0, 2], 0.5),
        ("the second of two leads", [2, 1], 0.2),
        ("two are equally sure", [0, 0], 0.5),
        ("two of three lead", [0, 1, 2], 0.3),
        ("one of four leads", [2, 2, 0, 2], 0.5),
    ):
        case = f"where {who} (α = {alpha})"
        these, count = p[chosen], len(chosen)
        got = coefficients(these.copy(), y.copy(), alpha)
        if np.shape(got) != (count,):
            raise NotYet(f"return one coefficient per branch: {count} numbers, {case}")
        s = these[:, np.arange(40), y].mean(axis=1)
        rho = s * (count - 1) / (s.sum() - s)

        def braked(rho: np.ndarray, alpha: float = alpha) -> np.ndarray:
            return np.where(rho > 1, 1 - np.tanh(alpha * rho), 1.0)

        want, mine = braked(rho), np.asarray(got)
        leader, largest = want < 1, these.max(axis=2).mean(axis=1)
        slips = {
            "a branch that does not lead is braked, too: its coefficient is 1": 1
            - np.tanh(alpha * rho),
            "this is tanh(α·ρ): the coefficient is 1 − tanh(α·ρ)": np.where(leader, 1 - want, 1),
            "divide by the mean of the others, not by their sum": braked(s / (s.sum() - s)),
            "the mean is over the others: leave branch u itself out": braked(s / s.mean()),
            "take the probability of the true class, p[u, i, y[i]], not the largest": braked(
                largest * (count - 1) / (largest.sum() - largest)
            ),
        }
        if mine.dtype.kind in "biuf" and not np.allclose(mine, want):
            for advice, wrong in slips.items():
                if np.allclose(mine, wrong):
                    raise NotYet(f"{case}: {advice}")
            if leader.any() and (mine[leader] == 1).all() and (mine < 1).any():
                raise NotYet(f"{case}, the weaker one is slowed down; brake the one with ρ > 1")
        expect_close(got, want, f"{case}, the coefficients")
    return "the leaders wait, and nobody is hurried"


REPORT = {
    "baseline": [0.42, 0.71, 0.55, 0.48, 0.83, 0.60, 0.46, 0.66],
    "A": [0.39, 0.67, 0.53, 0.43, 0.80, 0.59, 0.42, 0.64],
    "B": [0.26, 0.76, 0.53, 0.38, 0.90, 0.48, 0.52, 0.57],
}


@exercise(
    "08.5",
    "what the table supports",
    hint="for each of the three, take the eight differences, their mean, and t · s / √8 on either "
    "side, with t = stats.t.ppf(1 − 0.025 / 3, 7). Then ask of each sentence whether the interval "
    "of the comparison that it makes contains 0",
)
def report(intervals: Any, supported: Any) -> str | None:
    """three intervals as an array (3, 2), and the letters of the sentences that hold, as a set."""
    losses = {name: np.array(values) for name, values in REPORT.items()}
    pairs = (("A", "baseline"), ("B", "baseline"), ("A", "B"))
    rows = np.array([losses[one] - losses[other] for one, other in pairs])
    mean, sd, n = rows.mean(axis=1), rows.std(axis=1, ddof=1), rows.shape[1]

    def around(width: np.ndarray) -> np.ndarray:
        return np.stack([mean - width, mean + width], axis=1)

    t = stats.t.ppf(1 - 0.025 / 3, n - 1)
    want = around(t * sd / np.sqrt(n))
    spread = [np.hypot(losses[one].std(ddof=1), losses[other].std(ddof=1)) for one, other in pairs]
    slips = {
        "these are 95% intervals for one comparison, but three were looked at: leave 2.5% / 3 on "
        "each side": around(stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n)),
        "these are not paired: subtract split by split first, then take the spread of the "
        "differences": around(stats.t.ppf(1 - 0.025 / 3, 2 * n - 2) * np.array(spread) / n**0.5),
        "that is where a single split may lie; the interval of the mean is √8 times narrower": (
            around(t * sd)
        ),
        "with eight splits take Student's t with 7 degrees of freedom, not the normal's 2.39": (
            around(stats.norm.ppf(1 - 0.025 / 3) * sd / np.sqrt(n))
        ),
        "s is the standard deviation of a sample: divide by n − 1 (ddof=1)": around(
            t * rows.std(axis=1) / np.sqrt(n)
        ),
        "the differences are reversed: A − baseline is below 0 where A has the lower loss": (
            -want[:, ::-1]
        ),
        "each row is (low, high): yours has the higher end first": want[:, ::-1],
    }
    for advice, wrong in slips.items():
        if np.shape(intervals) == want.shape and np.allclose(intervals, wrong, atol=1e-4):
            raise NotYet(advice)
    expect_close(intervals, want, "the array of intervals", atol=1e-3)
    _read(supported, want)
    return "pair the rows, count the comparisons, and do not take 'not settled' for 'nothing'"


def _read(supported: Any, intervals: np.ndarray) -> None:
    """Refuse a set of sentences that the intervals do not carry, with the reason."""
    if isinstance(supported, str):
        supported = supported.replace(",", " ").split()
    if not isinstance(supported, list | tuple | set | frozenset):
        raise NotYet('name the sentences by their letters, such as {"a", "e"}')
    named = {str(letter).strip().lower() for letter in supported}
    if unknown := named - set("abcde"):
        raise NotYet(f"the sentences are called a to e; there is no {', '.join(sorted(unknown))}")
    a, b, both = (f"{low:.3f} to {high:.3f}" for low, high in intervals)
    reasons = {
        "a": "sentence a compares two clouds of eight losses. The splits make those overlap, and "
        f"in the paired differences they cancel: A − baseline is {a}",
        "c": f"sentence c looks at the mean alone: the interval of B − baseline, {b}, contains 0",
        "d": "sentence d takes 'not settled' for 'no effect': the interval of B − baseline, "
        f"{b}, also contains effects far larger than A's",
        "e": "sentence e compares A with B, so it needs the interval of A − B, which is "
        f"{both} and contains 0. One settled and one unsettled difference prove no difference",
    }
    for letter, reason in reasons.items():
        if letter in named:
            raise NotYet(reason)
    if "b" not in named:
        raise NotYet(f"one sentence does hold: the interval of A − baseline is {a}")
