"""The space of the embeddings: exact search, hubs and what corrects them, the modality gap.

Derived in chapter 13.
"""

from typing import NamedTuple

import numpy as np

from ..arguments import Arrays, check_integer


def _matrix(what: str, values: Arrays) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{what} must be numbers (rows, columns), not empty; got shape {array.shape}, dtype "
            f"{array.dtype}"
        )
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ValueError(f"{what} hold NaN or infinity in row {bad.argmax()}")
    return array if array.dtype.kind == "f" else array.astype(float)


def _both(names: tuple[str, str], first: Arrays, second: Arrays) -> tuple[np.ndarray, np.ndarray]:
    one, other = _matrix(names[0], first), _matrix(names[1], second)
    if one.shape[1] != other.shape[1]:
        raise ValueError(
            f"{names[0]} have {one.shape[1]} columns and {names[1]} {other.shape[1]}; both must "
            "be of one width"
        )
    return one, other


def search(
    queries: Arrays, candidates: Arrays, k: int = 10, *, block: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """The k candidates with the largest dot products, exactly: every candidate is compared.

    For embeddings of length 1 the dot product is the cosine. The cost is queries · candidates · d
    multiplications; beyond some hundred thousand candidates, faiss or another index is faster.

    Args:
        queries: float (n, d).
        candidates: float (m, d).
        k: from 1 to m.
        block: queries that are compared at once, which takes block · m numbers of memory.

    Returns:
        scores (n, k), in the dtype of the product, falling; and indices int64 (n, k). Among equal
        scores the lower index comes first, but which of them are kept at place k is arbitrary.

    Raises:
        ValueError: arrays that are no finite matrices of one width, or a k out of range.
    """
    queries, candidates = _both(("queries", "candidates"), queries, candidates)
    k = check_integer("k", k, 1, len(candidates))
    block = check_integer("block", block)
    found, scores = [], []
    for start in range(0, len(queries), block):
        score = queries[start : start + block] @ candidates.T
        best = np.argpartition(-score, k - 1, axis=1)[:, :k] if k < len(candidates) else (
            np.tile(np.arange(k), (len(score), 1))
        )  # fmt: skip
        best.sort(axis=1)  # so that the stable sort below keeps the lower index first
        top = np.take_along_axis(score, best, axis=1)
        order = np.argsort(-top, axis=1, kind="stable")
        found.append(np.take_along_axis(best, order, axis=1))
        scores.append(np.take_along_axis(top, order, axis=1))
    return np.concatenate(scores), np.concatenate(found).astype(np.int64)


def csls(scores: Arrays, k: int = 10) -> np.ndarray:
    """Cosines without the advantage of hubs: cross-domain similarity local scaling (Conneau 2018).

    `2 * scores - r_q - r_c`, where r_q is the mean score of a query with its k best candidates, and
    r_c that of a candidate with its k best queries. Candidates that are close to everything lose.
    The order of the candidates of a query depends on r_c, and so on the *other queries*: it needs
    many of them, and a query that comes alone cannot be corrected in this way.

    Source: A. Conneau et al., "Word translation without parallel data", ICLR 2018,
    arXiv:1710.04087.

    Args:
        scores: float (queries, candidates).
        k: neighbours, from 1 to the smaller side of the matrix.

    Returns:
        float (queries, candidates).

    Raises:
        ValueError: scores that are no finite matrix, or a k out of range.
    """
    values = _matrix("scores", scores)
    k = check_integer("k", k, 1, min(values.shape))
    of_query = -np.partition(-values, k - 1, axis=1)[:, :k].mean(axis=1, keepdims=True)
    of_candidate = -np.partition(-values, k - 1, axis=0)[:k].mean(axis=0)
    return 2 * values - of_query - of_candidate


class Hubness(NamedTuple):
    """How often each candidate is among the k best, int (candidates,); and the skewness of that."""

    counts: np.ndarray
    skewness: float


def hubness(scores: Arrays, k: int = 10) -> Hubness:
    """Are some candidates the neighbours of everything (Radovanović 2010)?

    The k-occurrence of a candidate is the number of queries that have it among their k best. Its
    mean is k · queries / candidates. A large positive skewness (third standardised moment) means
    that there are hubs; 0 if all counts are equal. Among equal scores at place k it is arbitrary
    which of them count.

    Source: M. Radovanović et al., "Hubs in space", Journal of Machine Learning Research 11, 2010.

    Args:
        scores: float (queries, candidates).
        k: from 1 to the number of candidates.

    Raises:
        ValueError: scores that are no finite matrix, or a k out of range.
    """
    values = _matrix("scores", scores)
    k = check_integer("k", k, 1, values.shape[1])
    best = np.argpartition(-values, k - 1, axis=1)[:, :k]
    counts = np.bincount(best.ravel(), minlength=values.shape[1])
    spread = counts - counts.mean()
    deviation = counts.std()
    skewness = float((spread**3).mean() / deviation**3) if deviation > 0 else 0.0
    return Hubness(counts, skewness)


def modality_gap(first: Arrays, second: Arrays) -> float:
    """The distance between the means of two sets of embeddings of length 1 (Liang 2022).

    It is 0 if both have the same centre, and 2 if they are two opposite points. A gap does not
    say that retrieval is bad, since a shift that is the same for all candidates changes the order
    of none.

    Source: W. Liang et al., "Mind the gap", NeurIPS 2022, arXiv:2203.02053.

    Args:
        first, second: float (n, d) and (m, d), each row of length 1 within 0.001.

    Raises:
        ValueError: no finite matrices of one width, or a row of another length; it is named.
    """
    one, other = _both(("first", "second"), first, second)
    for what, values in (("first", one), ("second", other)):
        length = np.linalg.norm(values, axis=1)
        off = np.abs(length - 1)
        if off.max() > 1e-3:
            raise ValueError(
                f"row {off.argmax()} of {what} has the length {length[off.argmax()]:.4g}; "
                "embeddings must have length 1"
            )
    return float(np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)))
