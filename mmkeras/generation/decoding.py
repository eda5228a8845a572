"""Rules that choose the next token: greedy, beam search, and sampling.

A model that writes says how likely each word is to come next. The rules here ask it through a
**step**, a function from the last token of each text, int32 (n,), and a state to the logits of the
next token, (n, words), and the next state. The state is whatever the model needs to know of earlier
tokens: None, an array, or arrays nested in tuples, lists and dicts, each with one row per text.

Tokens are whole numbers from 0 to words - 1. One of them, `end`, ends a text. Texts that have ended
are filled with it until the last text of the batch has ended, too.

Derived in chapter 15.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from scipy.special import logsumexp

from ..arguments import check_integer, check_positive, check_seed

Step = Callable[[np.ndarray, Any], tuple[Any, Any]]


class Written(NamedTuple):
    """Texts and how likely the model finds them.

    Attributes:
        tokens: int32 (n, length), or (n, width, length) of `beam`, without the first token, and
            filled with `end`. The length is that of the longest text.
        log_probability: float64 (n,) or (n, width): the sum of the natural logarithms of the
            model's own probabilities of all tokens of a text, the end included. A temperature, a
            cut or a forbidden repetition changes which token is chosen, but not this number.
    """

    tokens: np.ndarray
    log_probability: np.ndarray


def greedy(
    step: Step, start: Any, state: Any = None, *, end: int, most: int, no_repeat: int = 0
) -> Written:
    """Write the likeliest token each time. The text as a whole need not be the likeliest one.

    Args:
        step: see the head of this module.
        start: int (n,), the token that is given before the first one, one for each text.
        state: what the step is given with it.
        end: the token that ends a text.
        most: the most tokens that are written, the end included; ≥ 1.
        no_repeat: with m ≥ 1, no m tokens in a row occur twice in a text (Paulus et al. 2017);
            0 allows everything.

    Raises:
        ValueError: an argument out of range, or a step that returns logits of another shape, or
            logits that are not numbers.
    """
    return _write(lambda p: p.argmax(axis=1), step, start, state, end, most, no_repeat)


def sample(
    step: Step,
    start: Any,
    state: Any = None,
    *,
    end: int,
    most: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    no_repeat: int = 0,
    seed: int = 0,
) -> Written:
    """Draw each token at random, from the probabilities that `distribution` returns.

    Args:
        step, start, state, end, most, no_repeat: as for `greedy`.
        temperature, top_k, top_p: as for `distribution`.
        seed: int ≥ 0; the same seed and the same rows give the same texts.

    Raises:
        ValueError: as `greedy` and `distribution`.
    """
    rng = np.random.default_rng(check_seed(seed))

    def draw(log_p: np.ndarray) -> np.ndarray:
        edges = distribution(log_p, temperature, top_k, top_p).cumsum(axis=1)
        return (edges <= rng.random((len(edges), 1)) * edges[:, -1:]).sum(axis=1)

    return _write(draw, step, start, state, end, most, no_repeat)


def distribution(
    logits: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> np.ndarray:
    """The probabilities from which `sample` draws.

    The logits are divided by the temperature. Then all but the k likeliest tokens are left out
    (Fan et al. 2018), and of the rest all but the fewest tokens that together have a probability of
    at least p (Holtzman et al. 2020). Of equally likely tokens the one with the smaller number is
    kept. What is left is scaled to a sum of 1.

    Args:
        logits: float (n, words), or log-probabilities; -inf for a token that cannot come.
        temperature: above 0; small ones approach the greedy choice, large ones a blind draw.
        top_k: how many tokens are kept, ≥ 1; None for all.
        top_p: the probability that is kept, above 0 and at most 1; None for all.

    Returns:
        float64 (n, words), each row with the sum 1.

    Raises:
        ValueError: an argument out of range.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(
            f"temperature={temperature!r}: expected a number above 0; for 0 call greedy"
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p!r}: expected a number above 0 and at most 1, or None")
    p = np.exp(_log_softmax(np.asarray(logits, "float64") / temperature))
    order = np.argsort(-p, axis=1, kind="stable")
    rank = np.argsort(order, axis=1)
    if top_k is not None:
        p = np.where(rank < check_positive("top_k", top_k), p, 0)
        p = p / p.sum(axis=1, keepdims=True)
    if top_p is not None:
        falling = np.take_along_axis(p, order, axis=1)
        before = falling.cumsum(axis=1) - falling  # the probability of all likelier tokens
        p = np.where(np.take_along_axis(before < top_p - 1e-12, rank, axis=1), p, 0)
    return p / p.sum(axis=1, keepdims=True)


def beam(
    step: Step,
    start: Any,
    state: Any = None,
    *,
    end: int,
    most: int,
    width: int = 4,
    alpha: float = 0.0,
    no_repeat: int = 0,
) -> Written:
    """Write several texts side by side, and return the best of those that were met.

    After each step the `width` likeliest unfinished texts go on. A text that has ended, or that has
    `most` tokens, gets the score log-probability / `length_penalty`; the `width` best are returned,
    best first. The search stops once no unfinished text can become one of them. With a width of 1
    it is greedy, except that a shorter text that was met on the way may win. With a width as large
    as the number of unfinished texts of any length, it is exact.

    Args:
        step, start, state, end, most, no_repeat: as for `greedy`. The step is called with
            n · width rows, those of one text side by side.
        width: how many unfinished texts are kept, ≥ 1.
        alpha: ≥ 0; 0 compares log-probabilities, which favours short texts.

    Returns:
        `Written` with tokens (n, width, length) and log_probability (n, width). Where there are
        fewer texts than the width, the others have a log-probability of -inf.

    Raises:
        ValueError: as `greedy`; a width below 1 or a negative alpha.
    """
    first, end, most = _checked(start, end, most, no_repeat)
    width, n = check_positive("width", width), len(first)
    length_penalty(1, alpha)
    row = np.arange(n)[:, None]
    state, token = _take(state, np.repeat(np.arange(n), width)), np.repeat(first, width)
    tokens = np.empty((n, width, 0), "int32")  # of unfinished texts
    total = np.where(np.arange(width) == 0, 0, np.full((n, width), -np.inf))
    done, value, score = tokens, np.full((n, width), -np.inf), np.full((n, width), -np.inf)
    for length in range(1, most + 1):
        logits, state = step(token, state)
        log_p = _next(logits, tokens.reshape(n * width, -1), end, no_repeat)
        sums = (total.reshape(-1, 1) + log_p).reshape(n, -1)
        best = np.argsort(-sums, axis=1, kind="stable")[:, : 2 * width]
        parent, word = np.divmod(best, log_p.shape[1])
        sums = np.take_along_axis(sums, best, axis=1)
        grown = np.concatenate([tokens[row, parent], word[..., None]], axis=2).astype("int32")
        over = (word == end) | (length == most)

        done = np.pad(done, ((0, 0), (0, 0), (0, 1)), constant_values=end)
        new = np.where(over, sums / length_penalty(length, alpha), -np.inf)
        score, value = np.hstack([score, new]), np.hstack([value, sums])
        keep = np.argsort(-score, axis=1, kind="stable")[:, :width]
        done = np.concatenate([done, grown], axis=1)[row, keep]
        score, value = score[row, keep], value[row, keep]

        go = np.argsort(over, axis=1, kind="stable")[:, :width]  # unfinished first, best first
        total = np.where(over[row, go], -np.inf, sums[row, go])
        if (total.max(axis=1) / length_penalty(most, alpha) <= score[:, -1]).all():
            break
        tokens, token = grown[row, go], word[row, go].reshape(-1).astype("int32")
        state = _take(state, (row * width + parent[row, go]).reshape(-1))
    return Written(np.where(np.isinf(score)[..., None], end, done), np.where(
        np.isinf(score), -np.inf, value
    ))  # fmt: skip


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6) ** alpha, by which a log-probability is divided (Wu et al. 2016).

    Args:
        length: number of tokens, the end included, ≥ 1.
        alpha: ≥ 0; with 0 the penalty is 1 for every length.

    Raises:
        ValueError: an argument out of range.
    """
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha={alpha!r}: expected a number of at least 0")
    return ((5 + check_positive("length", length)) / 6) ** alpha


def cut(tokens: Any, end: int) -> list[list[int]]:
    """The tokens of each text, int (n, length), as a list without `end` and what follows it."""
    rows = np.asarray(tokens).tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]


# ---- what the rules share -------------------------------------------------------------------


def _write(
    choose: Callable[[np.ndarray], np.ndarray],
    step: Step,
    start: Any,
    state: Any,
    end: int,
    most: int,
    no_repeat: int,
) -> Written:
    """One token after the other, each chosen from log-probabilities (n, words)."""
    token, end, most = _checked(start, end, most, no_repeat)
    tokens, total = np.empty((len(token), 0), "int32"), np.zeros(len(token))
    live = np.ones(len(token), bool)
    for _ in range(most):
        logits, state = step(token, state)
        log_p = _next(logits, tokens, end, no_repeat)
        token = np.where(live, choose(log_p), end).astype("int32")
        total += np.where(live, log_p[np.arange(len(token)), token], 0)
        tokens = np.hstack([tokens, token[:, None]])
        live &= token != end
        if not live.any():
            break
    return Written(tokens, total)


def _checked(start: Any, end: int, most: int, no_repeat: int) -> tuple[np.ndarray, int, int]:
    first = np.asarray(start)
    if first.ndim != 1 or not len(first) or first.dtype.kind not in "iu":
        raise ValueError(
            f"start has the shape {first.shape} and the type {first.dtype}: expected whole numbers "
            "(n,), the first token of each text, as in np.full(n, 1)"
        )
    check_integer("no_repeat", no_repeat, 0)
    return first.astype("int32"), check_integer("end", end, 0), check_positive("most", most)


def _next(logits: Any, tokens: np.ndarray, end: int, no_repeat: int) -> np.ndarray:
    """The log-probabilities of the next token, float64 (n, words); -inf where it is forbidden."""
    logits = np.asarray(logits, "float64")
    if logits.ndim != 2 or len(logits) != len(tokens) or logits.shape[1] <= end:
        raise ValueError(
            f"the step returned logits of shape {logits.shape}: expected ({len(tokens)}, words), "
            f"with more words than end={end}"
        )
    log_p = _log_softmax(logits)
    if no_repeat:
        for row, text in zip(log_p, tokens.tolist(), strict=True):
            row[[word for word in _would_repeat(text, no_repeat) if word != end]] = -np.inf
    return log_p


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # inf - inf
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    if np.isnan(log_p).any():
        bad = np.isnan(log_p).any(axis=1)
        raise ValueError(f"the logits of row {bad.argmax()} are NaN, +inf, or all -inf")
    return log_p


def _would_repeat(text: list[int], m: int) -> list[int]:
    """The tokens that would make the last m tokens of a text occur in it twice."""
    last = text[len(text) - m + 1 :]
    return [text[i + m - 1] for i in range(len(text) - m + 1) if text[i : i + m - 1] == last]


def _take(state: Any, rows: np.ndarray) -> Any:
    """These rows of all arrays in a state."""

    def take(x: Any) -> Any:
        if x is None or isinstance(x, np.ndarray):
            return x if x is None else x[rows]
        return ops.take(x, rows, axis=0)

    return keras.tree.map_structure(take, state)
