"""How much of a model's answers is a sum over its modalities.

Derived in chapter 06.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import special

from ..arguments import Arrays, check_positive, check_probabilities, check_seed

FLOOR = 1e-7  # smallest probability of which a logarithm is taken


def emap(
    predict: Callable[[dict[str, np.ndarray]], Arrays],
    inputs: Mapping[str, Arrays],
    *,
    modalities: Sequence[str] | None = None,
    from_logits: bool = False,
    batch: int = 4096,
    seed: int = 0,
) -> np.ndarray:
    """A model's best additive approximation on these rows (EMAP; Hessel & Lee 2020).

    Each modality is combined with those of all other rows, and the logits are averaged:

        f̂(t_i, v_i) = mean_j f(t_i, v_j) + mean_j f(t_j, v_i) - mean_jk f(t_j, v_k)

    Of all sums of a function of the text and a function of the picture, this one is nearest to f
    in squared distance over the n² pairs. If it scores as well as f, the score is no evidence that
    f uses an interaction. With M > 2 modalities, f̂ = Σ_m mean(f | m) - (M - 1) mean(f), where the
    other modalities are combined by independent permutations; if f is a sum, f̂ still equals f.

    The model is evaluated on n² rows (on M n² for M > 2), so use a sample of a few hundred rows.

    Args:
        predict: dict of inputs → probabilities, (n,), (n, 1) or (n, classes), such as
            `trainer.predict`. Their logits are averaged: log p minus its mean over the classes, or
            log(p / (1 - p)) in a binary problem; p counts as at least 1e-7.
        inputs: modality → array (n, …); "present", if it is there, is the mask (n, modalities),
            whose columns are recombined together with their modality.
        modalities: names, in the order of the columns of the mask; None: all but "present".
        from_logits: whether `predict` returns logits; then this function returns logits, too.
        batch: number of recombined rows per call of `predict`.
        seed: seed of the permutations, int from 0; it has no effect for two modalities.

    Returns:
        The answers of f̂, float64 of the shape that `predict` returns.

    Raises:
        ValueError: there are fewer than two modalities or rows, the inputs differ in length, or
            `predict` does not return probabilities.
    """
    arrays = {name: np.asarray(values) for name, values in inputs.items()}
    names = list(modalities or [name for name in arrays if name != "present"])
    lengths = {name: len(values) for name, values in arrays.items()}
    n = next(iter(lengths.values()), 0)
    if len(names) < 2 or not set(names) <= set(arrays) or n < 2 or set(lengths.values()) != {n}:
        raise ValueError(
            f"inputs must hold two modalities or more and two rows or more, the same number in "
            f"each; got {names} and rows {lengths}"
        )
    check_positive("batch", batch)
    rng = np.random.default_rng(check_seed(seed))

    def ask(rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits where each modality comes from its own row numbers."""
        fed = {name: arrays[name][rows[name]] for name in names}
        if "present" in arrays:
            columns = [arrays["present"][rows[name], m] for m, name in enumerate(names)]
            fed["present"] = np.stack(columns, axis=1)
        said = np.asarray(predict(fed), dtype=float)
        return said if from_logits else _logits(said)

    if len(names) == 2:
        first, second = _means(ask, names, dict.fromkeys(names[1:], np.arange(n)), n, batch)
        total = first + second - first.mean(axis=0)
    else:
        total = 0.0
        for name in names:
            deal = {other: rng.permutation(n) for other in names if other != name}
            mean, _ = _means(ask, [name, *deal], deal, n, batch)
            total = total + mean - mean.mean(axis=0) * (1 - 1 / len(names))
    return total if from_logits else _probabilities(total)


def _means(
    ask: Callable[[dict[str, np.ndarray]], np.ndarray],
    names: Sequence[str],
    deal: Mapping[str, np.ndarray],
    n: int,
    batch: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The row means and the column means of the table of answers whose rows are those of the first
    modality and whose columns are those of the others."""
    lines, columns, step = [], 0.0, max(1, batch // n)
    for start in range(0, n, step):
        mine = np.arange(start, min(start + step, n))
        rows = {other: np.tile(order, len(mine)) for other, order in deal.items()}
        said = ask({names[0]: np.repeat(mine, n), **rows})
        table = said.reshape(len(mine), n, *said.shape[1:])
        lines.append(table.mean(axis=1))
        columns = columns + table.sum(axis=0) / n
    return np.concatenate(lines), np.asarray(columns)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    check_probabilities(probabilities, "what predict returns")
    if probabilities.ndim == 1 or probabilities.shape[1] == 1:
        return special.logit(np.clip(probabilities, FLOOR, 1 - FLOOR))
    logs = np.log(np.maximum(probabilities, FLOOR))
    return logs - logs.mean(axis=1, keepdims=True)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    one = logits.ndim == 1 or logits.shape[1] == 1
    return special.expit(logits) if one else special.softmax(logits, axis=1)
