"""How high the right candidate stands: ranks, recall at k, average precision, all with ties.

Candidates with the same score have no order. Each measure here is its expected value if every order
of the tied candidates is equally likely, so that a model that scores all candidates alike gets the
result of chance. Counting ties in favour of the right candidate would give it a recall of 1.

`relevant` says which candidates are right: int (queries,), the index of the one right candidate; or
bool (queries, candidates), for several.

Source: F. McSherry, M. Najork, "Computing information retrieval performance measures efficiently in
the presence of tied scores", ECIR 2008, doi:10.1007/978-3-540-78646-7_38.

Derived in chapter 13.
"""

import numpy as np

from ..arguments import Arrays, check_integer


def _checked(scores: Arrays, relevant: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Float and bool matrices (queries, candidates)."""
    values, right = np.asarray(scores), np.asarray(relevant)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "biuf":
        raise ValueError(
            f"scores must be numbers (queries, candidates), not empty; got shape {values.shape}, "
            f"dtype {values.dtype}"
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(f"scores of query {bad.argmax()} hold NaN or infinity")
    queries, candidates = values.shape
    if right.shape == (queries,) and right.dtype.kind in "iu":
        wrong = (right < 0) | (right >= candidates)
        if wrong.any():
            raise ValueError(
                f"relevant[{wrong.argmax()}] is {right[wrong][0]}, but there are {candidates} "
                f"candidates, from 0 to {candidates - 1}"
            )
        right = np.arange(candidates) == right[:, None]
    if right.shape != values.shape or right.dtype != bool:
        raise ValueError(
            f"relevant must be int ({queries},) or bool {values.shape}, got {right.dtype} "
            f"{right.shape}"
        )
    if not right.any(axis=1).all():
        raise ValueError(f"query {right.any(axis=1).argmin()} has no relevant candidate")
    return values, right


def _around_the_best(scores: Arrays, relevant: Arrays) -> tuple[np.ndarray, ...]:
    """For each query: candidates above the best relevant one; those wrong, and right, beside it."""
    values, right = _checked(scores, relevant)
    best = np.where(right, values, -np.inf).max(axis=1, keepdims=True)
    above = (values > best).sum(axis=1)
    beside = values == best
    return above, (beside & ~right).sum(axis=1), (beside & right).sum(axis=1)


def ranks(scores: Arrays, relevant: Arrays) -> np.ndarray:
    """The rank of the first relevant candidate of each query, from 1; float (queries,).

    With m wrong and r relevant candidates tied at the best relevant score, the expected rank is
    1 + (candidates above) + m / (r + 1).

    Args:
        scores: float (queries, candidates), larger for what fits better.
        relevant: int (queries,) or bool (queries, candidates); see the module.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite scores, an index out of range, or a
            query without a relevant candidate; the message names the query.
    """
    above, wrong, right = _around_the_best(scores, relevant)
    return 1 + above + wrong / (right + 1)


def median_rank(scores: Arrays, relevant: Arrays) -> float:
    """The median over the queries of `ranks`; chance with one relevant of n is (n + 1) / 2."""
    return float(np.median(ranks(scores, relevant)))


def recall_at(scores: Arrays, relevant: Arrays, k: int) -> np.ndarray:
    """Whether a relevant candidate is among the best k, for each query; float (queries,).

    It is 1 or 0, or with ties the probability that one of the relevant candidates is among the
    first k: of s free places among t tied ones, of which r are relevant, none is taken with the
    probability C(t - r, s) / C(t, s). The mean over the queries is R@k.

    Args:
        scores, relevant: as for `ranks`, which also says what is raised.
        k: how many candidates are looked at, from 1; it may exceed their number.
    """
    k = check_integer("k", k)
    above, wrong, right = _around_the_best(scores, relevant)
    found = np.zeros(len(above))
    for i, (places, m, r) in enumerate(zip(k - above, wrong, right, strict=True)):
        if places > 0:  # the places are taken one by one: none by a relevant one so far
            taken = np.arange(min(places, m + r))
            found[i] = 1 - np.prod(np.maximum(m - taken, 0) / (m + r - taken))
    return found


def average_precision(scores: Arrays, relevant: Arrays) -> np.ndarray:
    """The mean, over a query's relevant candidates, of the precision down to each; (queries,).

    The mean over the queries is the mAP. With one relevant candidate and no ties it is 1 / rank.
    With ties it is the expected value (McSherry and Najork 2008): if n candidates, r of them
    relevant, stand above a group of t tied ones, of which q are relevant, then place i of the group
    holds a relevant one with probability q / t, and is then expected to have
    r + (i - 1)(q - 1) / (t - 1) relevant ones above it, so that the group adds

        q / t · Σ_i (r + (i - 1)(q - 1) / (t - 1) + 1) / (n + i).

    Args:
        scores, relevant: as for `ranks`, which also says what is raised.
    """
    values, right = _checked(scores, relevant)
    return np.array([_precision(*query) for query in zip(values, right, strict=True)])


def _precision(scores: np.ndarray, right: np.ndarray) -> float:
    """The expected average precision of one query; every candidate has one term of the sum."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], right[order].astype(float)
    first = np.r_[0, np.flatnonzero(np.diff(scores)) + 1]  # of each group of ties
    size, own = np.diff(np.r_[first, len(scores)]), np.add.reduceat(hits, first)
    t, q = np.repeat(size, size), np.repeat(own, size)
    above = np.repeat(np.r_[0, np.cumsum(own)[:-1]], size)  # relevant ones in earlier groups
    place = np.arange(len(scores)) - np.repeat(first, size)  # i - 1
    expected = above + place * (q - 1) / np.maximum(t - 1, 1) + 1
    return float((q / t * expected / np.arange(1, len(scores) + 1)).sum() / hits.sum())
