"""Checks of chapter 16, fine-tuning."""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "16.1",
    "counting without Keras",
    hint="A has as many rows as the kernel and `rank` columns; B has `rank` rows and as many "
    "columns as the kernel. Add both sizes over all kernels",
)
def lora_weights(function: Callable) -> str | None:
    """Return the number of weights that LoRA trains in these kernels, an int."""
    for kernels, rank in (
        ([(384, 384), (100, 512)], 4),
        ([(384, 1536), (1536, 384)], 8),
        ([(5, 3)], 1),
    ):
        got = function(list(kernels), rank)
        case = f"kernels {kernels}, rank {rank}"
        rows, columns = (sum(shape[i] for shape in kernels) for i in (0, 1))
        slips = {
            "these are the kernels themselves; LoRA leaves them frozen": sum(
                i * o for i, o in kernels
            ),
            "these are the matrices A alone; B is trained, too": rank * rows,
            "these are the matrices B alone; A is trained, too": rank * columns,
            "the rank is a side of a matrix: it multiplies i + o, not i · o": rank
            * sum(i * o for i, o in kernels),
            "only one kernel is counted: add over all of them": rank * sum(kernels[0]),
        }
        want = rank * (rows + columns)
        for advice, wrong in slips.items():
            if np.isscalar(got) and got == wrong != want:
                raise NotYet(f"{case}: {advice}")
        expect_close(got, want, f"the number for {case}")
    return "r times the sum of the two sides, and never their product"


@exercise(
    "16.2",
    "merged by hand",
    hint="the rank is the number of columns of A; return W + (alpha / rank) * A @ B",
)
def merge(function: Callable) -> str | None:
    """Return one kernel, (in, out), that gives the same output as W with LoRA."""
    rng = np.random.default_rng(0)
    for rows, columns, rank, alpha in ((6, 4, 2, 8.0), (3, 5, 1, 3.0), (4, 4, 3, 4.0)):
        W, A, B = (
            rng.normal(size=shape) for shape in ((rows, columns), (rows, rank), (rank, columns))
        )
        given = W.copy()
        got = function(given, A.copy(), B.copy(), alpha)
        if not np.array_equal(given, W):
            raise NotYet("W itself has changed: return a new array, so that it can be unmerged")
        slips = {
            "α / r is a fraction here: do not round it": W + alpha // rank * A @ B,
            "the product A B comes without its factor α / r": W + A @ B,
            "the factor is α / r, not α": W + alpha * A @ B,
            "the rank is the number of columns of A, not of its rows": W + alpha / rows * A @ B,
            "this is the difference alone: add the kernel W": alpha / rank * A @ B,
            "the difference is added to W, not subtracted": W - alpha / rank * A @ B,
        }
        want = W + alpha / rank * A @ B
        for advice, wrong in slips.items():
            if (
                np.shape(got) == want.shape
                and np.allclose(got, wrong)
                and not np.allclose(wrong, want)
            ):
                raise NotYet(advice)
        expect_close(got, want, f"the merged kernel for rank {rank}")
    return "one kernel again: at inference LoRA costs nothing"


@exercise(
    "16.3",
    "smaller rates for lower blocks",
    hint="the head has the rate itself, the last block rate · factor, the block before it "
    "rate · factor²; so the exponents fall by one from block to block",
)
def rates(function: Callable) -> str | None:
    """Return the rates of block 1, …, block L, head: floats (blocks + 1,)."""
    for rate, factor, blocks in ((1e-3, 0.8, 6), (2e-4, 0.5, 2), (1e-2, 0.9, 4)):
        got = function(rate, factor, blocks)
        want = rate * factor ** np.arange(blocks, -1, -1)
        case = f"rate {rate}, factor {factor}, {blocks} blocks"
        slips = {
            "the order is reversed: block 1, the lowest, comes first": want[::-1],
            "the head itself has the full rate; only the blocks are slowed down": want * factor,
            "the exponent of the head is 0, and that of the last block is 1": want / factor,
            "the rate falls by a factor per block, not by equal steps": rate
            * np.linspace(factor, 1, blocks + 1),
            "the rates grow downwards: the factor is below 1": rate
            * (1 / factor) ** np.arange(blocks, -1, -1),
            "every block has the same rate: raise the factor to the number of steps from the head":
            np.r_[np.full(blocks, rate * factor), rate],
        }  # fmt: skip
        for advice, wrong in slips.items():
            if np.shape(got) == want.shape and np.allclose(got, wrong, rtol=1e-6, atol=0):
                raise NotYet(f"{case}: {advice}")
        if np.shape(got) == (blocks,):
            raise NotYet(f"{case}: the head has a rate, too, so there are {blocks + 1} numbers")
        expect_close(got, want, f"the array for {case}", atol=1e-9)
    return "the blocks that every task needs move least"


CLAIMS = {"A": "gains", "B": "not settled", "C": "leak", "D": "loses"}


def _study(name: str) -> dict[str, np.ndarray]:
    """Right answers (n,) of probe and tuned model, the concept of each row, concepts trained on."""
    seed, effect, per, shared = {
        "A": (1, 0.12, 1, False),
        "B": (105, 0.03, 20, False),
        "C": (3, 0.12, 4, True),
        "D": (4, -0.12, 1, False),
    }[name]
    rng, concepts = np.random.default_rng(seed), 1200 // per
    concept = np.repeat(np.arange(concepts), per)
    hard = rng.normal(size=concepts)[concept]
    own = rng.normal(size=concepts)[concept]  # of how a concept turns out after tuning
    noise = rng.random(len(concept))
    probe = noise < 1 / (1 + np.exp(-1 - hard))
    tuned = noise < 1 / (1 + np.exp(-1 - hard - 0.6 * own)) + effect
    trained = np.arange(5000, 6000)
    if shared:
        trained[:concepts] = np.arange(concepts)
    return {"probe": probe, "tuned": tuned, "concept": concept, "trained": trained}


STUDIES = {name: _study(name) for name in CLAIMS}


def _interval(gain: np.ndarray, concept: np.ndarray, centred: bool = True) -> np.ndarray:
    """Mean gain ± 1.96 standard errors, by concept."""
    sums = np.bincount(concept, gain - gain.mean() if centred else gain)
    count = len(np.unique(concept))
    spread = np.sqrt(count / (count - 1) * (sums**2).sum()) / len(gain)
    return gain.mean() + 1.96 * spread * np.array([-1, 1])


@exercise(
    "16.4",
    "what may be claimed?",
    hint="subtract the mean gain from each row before you add the rows of a concept up. For the "
    "verdict, first look whether a concept of the test rows is among those trained on",
)
def claim(function: Callable, verdicts: dict) -> str | None:
    """Return the interval (low, high) from the function, and give a dict from study to verdict."""
    for name, study in STUDIES.items():
        probe, tuned, concept = (study[key] for key in ("probe", "tuned", "concept"))
        gain = tuned.astype(float) - probe
        want = _interval(gain, concept)
        rows = np.arange(len(gain))
        apart = 1.96 * np.sqrt((probe.var() + tuned.var()) / len(gain)) * np.array([-1, 1])
        count = len(np.unique(concept))
        narrow = gain.mean() + (want - gain.mean()) * np.sqrt(1 - 1 / count)
        slips = {
            "the factor C / (C - 1) under the root is missing": narrow,
            "the rows of a concept are treated as independent: add them up by concept": _interval(
                gain, rows
            ),
            "the two models are treated as if tested on different rows: take differences first": (
                gain.mean() + apart
            ),
            "subtract the mean gain m from each row before adding up by concept": _interval(
                gain, concept, centred=False
            ),
            "this is probe - tuned: a gain is tuned - probe": -want[::-1],
        }
        got = function(probe.copy(), tuned.copy(), concept.copy())
        for advice, wrong in slips.items():
            if (
                np.shape(got) == (2,)
                and np.allclose(got, wrong, atol=1e-4)
                and not np.allclose(wrong, want, atol=1e-4)
            ):
                raise NotYet(f"study {name}: {advice}")
        expect_close(got, want, f"study {name}: the interval", atol=1e-4)
    _judged(verdicts, CLAIMS, ("gains", "loses", "not settled", "leak"), "study", {
        "gains": "is the interval by concept above 0, and no test concept trained on?",
        "loses": "is the interval by concept below 0?",
        "not settled": "does the interval by concept hold 0?",
        "leak": "which concepts of the test rows are in trained?",
    })  # fmt: skip
    return "the leak is looked for first: no interval can see it"


CASES = {
    "A": ("20 rated reviews of your shop, no more to come", False),
    "B": ("300 rendered scans, nothing like photographs; the scanner stays the same", False),
    "C": (
        "100 syllables each of two speakers; tested on the other speaker, a middle block read "
        "best, and LP-FT was level with it; the app is for every speaker",
        True,
    ),
    "D": ("forty tasks, on each of which fine-tuning has beaten the probe; one server", False),
}
CHOICES = {"A": "probe", "B": "fine-tune", "C": "probe, earlier layer", "D": "LoRA"}


@exercise(
    "16.5",
    "what would you train?",
    hint="the error is that of the row with the best mean, and it is subtracted from that mean; "
    "then take the first row that reaches this level. Read the recap's table for the cases",
)
def choose(function: Callable, choices: dict) -> str | None:
    """Return the row to take, an int, by the one-standard-error rule; a choice for each case."""
    rng = np.random.default_rng(0)
    tables = [
        np.array([[0.70, 0.71, 0.72], [0.80, 0.81, 0.82], [0.60, 0.70, 0.95]]),
        np.array([[0.70, 0.71, 0.72], [0.745, 0.750, 0.758], [0.74, 0.75, 0.77]]),
        np.array([[0.80, 0.82, 0.81], [0.60, 0.99, 0.99], [0.82, 0.86, 0.84], [0.85, 0.80, 0.9]]),
        np.array([[0.9, 0.9, 0.9], [0.5, 0.5, 0.5]]),
        np.sort(rng.uniform(0.6, 0.9, (6, 5)), axis=0),
        np.array([[0.79, 0.79, 0.79], [0.78, 0.80, 0.82]]),
    ]
    for number, scores in enumerate(tables):
        mean = scores.mean(axis=1)
        best = int(mean.argmax())
        spread = scores[best].std(ddof=1)
        error = spread / np.sqrt(scores.shape[1])
        want = int(np.flatnonzero(mean >= mean[best] - error)[0])
        got = function(scores.copy())
        root = np.sqrt(scores.shape[1])
        level_0 = mean[best] - scores[best].std() / root
        own = scores.std(axis=1, ddof=1) / root
        slips = {
            "few runs are a sample of all: their standard deviation has ddof=1": int(
                np.flatnonzero(mean >= level_0)[0]
            ),
            "the error is that of the best row, and not of each row itself": int(
                np.flatnonzero(mean >= mean[best] - own)[0]
            ),
            "this is the best row; take the first that is within one standard error of it": best,
            "the standard deviation of the runs is divided by the root of their number": int(
                np.flatnonzero(mean >= mean[best] - spread)[0]
            ),
            "this is the row with the best single run": int(scores.max(axis=1).argmax()),
        }
        for advice, wrong in slips.items():
            if np.isscalar(got) and got == wrong != want:
                raise NotYet(f"table {number}: {advice}")
        expect_close(got, want, f"the row of table {number}")
    _judged(choices, CHOICES, ("probe", "probe, earlier layer", "LoRA", "fine-tune"), "case", {
        "probe": "is there enough data that more weights could use?",
        "probe, earlier layer": "must the model work for speakers it has never heard?",
        "LoRA": "must many adapted copies be stored?",
        "fine-tune": "is there enough data of the kind that will come, and a gain to be had?",
    })  # fmt: skip
    return "what to train is a question of data, shift and cost"


def _judged(
    given: Any, right: dict[str, str], words: tuple[str, ...], what: str, look: dict[str, str]
) -> None:
    """Refuse wrong verdicts, with the question that was not asked."""
    if not isinstance(given, dict) or set(given) != set(right):
        raise NotYet(f'give a verdict for each {what}, such as {{"A": "{words[0]}", "B": …}}')
    for name, verdict in given.items():
        if verdict is None or verdict is ...:
            raise NotYet(f"{what} {name} has no verdict yet; they are {', '.join(words)}")
        if verdict not in words:
            raise NotYet(f"{what} {name}: {verdict!r} is no verdict; they are {', '.join(words)}")
    for name, wanted in right.items():
        if given[name] != wanted:
            raise NotYet(f"{what} {name} is not {given[name]!r}: {look[given[name]]}")
