"""The results of a trained model on the test part of a `mmkeras.table.Table`.

The module compares the model with each modality alone and with the most frequent class, with
intervals. It measures the importance of each modality and the results of each class, and warns in
sentences where there are too few rows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .. import evaluate
from ..evaluate.intervals import Intervals, flat
from ..evaluate.metrics import Answers
from ..evaluate.tables import of_answers
from .caveats import ALL, MAJORITY, warnings_of
from .parts import PARTS

Array = np.ndarray
Subset = tuple[str, ...]
METRICS = ("accuracy", "recall", "f1", "roc_auc", "brier", "ece")
MANY = 1000  # with more classes, no ROC AUC is computed, which takes one curve per class
HELD = 2**30  # largest size in bytes of the answers of all subsets; if larger, fewer are kept
DRAWS = 2e8  # bound on draws of the bootstrap × rows × classes, so that many rows get fewer draws
PAIRS = 20_000  # largest number of pairs of classes in the confusion matrix of metrics.json
FLOOR = 1e-7  # smallest probability in the log loss: about the step of float32 below 1


# ------------------------------------------------------------------------------ what it answers


def probabilities(model: Any, x: Mapping[str, Array], classes: int) -> Array:
    """The probabilities of one batch, float64 (batch, classes); a binary head gives 1 - p and p."""
    return classes_of(model.predict_on_batch(dict(x)), classes)


def classes_of(answers: Any, classes: int) -> Array:
    """As `probabilities`, from what the model answered."""
    p = np.asarray(answers, np.float64)
    return np.concatenate([1 - p, p], axis=1) if classes == 2 else p / p.sum(axis=1, keepdims=True)


def answer(model: Any, table: Any, part: str = "test") -> tuple[Array, dict[Subset, Array]]:
    """The answers of the model with each subset of the modalities, in one pass over the data.

    A modality that a row does not have stays absent. With no modality, (), the answer is the same
    for every row: what the model predicts before it has seen anything.

    Returns:
        y, int (n,), and a dict subset (in the order of the table) → probabilities, float32 (n,
        classes), for each of the 2^M subsets. If these would take over 1 GiB, the dict has only (),
        each modality alone and all modalities.
    """
    from ..missing import only  # imported here, so that --help loads no TensorFlow

    names, classes = tuple(table.modalities), len(table.classes)
    subsets = evaluate.subsets(names)
    rows = table.parts[part] if part in table.parts else sum(table.parts.values())
    if 4 * rows * classes * (len(subsets) - 1) > HELD:
        subsets = [s for s in subsets if len(s) in (0, 1, len(names))]
    nothing, *rest = subsets
    y, done = np.zeros(rows, int), 0
    found = {subset: np.empty((rows, classes), np.float32) for subset in rest}
    for x, labels in table.dataset(part, shuffle=False).as_numpy_iterator():
        if not done:
            prior = probabilities(model, only(x, nothing, names), classes)[0].astype(np.float32)
        here = slice(done, done + len(labels))
        y[here] = labels
        for subset, p in found.items():
            p[here] = probabilities(model, only(x, subset, names), classes)
        done = here.stop
    return y, {nothing: np.broadcast_to(prior, (rows, classes)), **found}


def shown(modalities: Sequence[str]) -> dict[str, Subset]:
    """Name in the report → the modalities that the model sees."""
    alone = {f"{m} alone": (m,) for m in modalities} if len(modalities) > 1 else {}
    return {ALL: tuple(modalities), **alone}


# ------------------------------------------------------------------------------ the numbers


def measure(
    table: Any,
    y: Array,
    answers: Mapping[Subset, Array],
    seed: int,
    *,
    part: str = "test",
    learned: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The content of metrics.json except for the training, for JSON.

    Args:
        table: the `Table`.
        y: int (n,), classes of the rows of `part`.
        answers: subset of the modalities → float (n, classes), as from `answer`.
        seed: seed of the bootstrap.
        part: the part that is tested; "all" tests all rows, as if they were one test part.
        learned: class → number of training rows, if the table has no training part.

    Returns:
        A dict. rows, classes, present: counts and shares by part. models: name → metric → value,
        low and high. differences: the accuracy of the whole model minus that of each other model.
        importance: modality → its Shapley value for accuracy and for log_loss (by how much it
        lowers it, in nats), each with low and high. interval: unit ("rows", "groups" or None) and
        kind. per_class: the results of each class. confusion: true class → predicted class → number
        of rows, without zeros. warnings: sentences. None means that a number is undefined, or has
        no interval.
    """
    rows = table.rows.assign(part="test") if part == "all" else table.rows
    tested = rows[rows["part"] == ("test" if part == "all" else part)]
    counts = _counts(rows, table.classes, learned)
    shares = (counts["train"] / counts["train"].sum()).to_numpy()
    draws = int(np.clip(DRAWS / (len(y) * len(table.classes)), 200, 1000))
    intervals = Intervals(len(y), _groups(tested), draws, seed)
    models = {name: answers[subset] for name, subset in shown(table.modalities).items()}
    models[MAJORITY] = np.broadcast_to(shares, (len(y), len(shares)))
    said = {name: _said(p) for name, p in models.items()}
    metrics = {
        "rows": {name: int(n) for name, n in counts.sum().items()},
        "duplicates": getattr(table, "duplicates", None),
        "skipped": int(table.report["row"].nunique()) if len(table.report) else 0,
        "classes": {name: counts.loc[name].astype(int).to_dict() for name in table.classes},
        "present": _present(rows, table.modalities),
        "majority": table.classes[int(shares.argmax())],
        "bootstrap_draws": draws,
        "interval": {"unit": intervals.unit, "kind": intervals.kind, "units": intervals.count},
        "models": {name: _values(y, p, said[name], intervals) for name, p in models.items()},
        "differences": _differences(y, said, intervals),
        **_importance(y, answers, table.modalities, intervals),
        "per_class": _per_class(y, said[ALL], table.classes, intervals),
        **_confusion(y, said[ALL], table.classes),
    }
    told = jsonable(metrics)
    return {**told, "warnings": warnings_of(told)}


def _counts(rows: pd.DataFrame, classes: Sequence[str], learned: Any) -> pd.DataFrame:
    """Number of rows of each class (index) in each part (columns, in the order of their use)."""
    counts = pd.crosstab(rows["label"], rows["part"]).reindex(index=classes, fill_value=0)
    parts = [part for part in PARTS if part in counts]
    if learned is not None:
        counts["train"], parts = [learned.get(name, 0) for name in classes], ["train", "test"]
    return counts[parts]


def _groups(tested: pd.DataFrame) -> list[str] | None:
    """The group of each row; a row with a blank group is a group of its own."""
    if "group" not in tested:
        return None
    return [name or f"row {i}" for i, name in tested["group"].items()]


def _present(rows: pd.DataFrame, modalities: Sequence[str]) -> dict[str, dict[str, float]]:
    parts = [part for part in PARTS if (rows["part"] == part).any()]
    there = {m: _there(rows, m) for m in modalities}
    return {
        m: {part: float(has[(rows["part"] == part).to_numpy()].mean()) for part in parts}
        for m, has in there.items()
    }


def _there(rows: pd.DataFrame, modality: str) -> Array:
    """Bool (rows,): whether the row has the modality."""
    return (rows[modality] != "").to_numpy()


def _values(y: Array, p: Array, said: Array, intervals: Intervals) -> dict[str, dict[str, float]]:
    """Metric → value, low and high."""
    names = [name for name in METRICS if name != "roc_auc" or p.shape[1] <= MANY]
    rows = of_answers(
        {"": Answers(y, said, p.T)},
        names,
        groups=intervals.groups if intervals.unit else None,
        replicates=intervals.draws if intervals.unit else 1,
        seed=intervals.seed,
    )
    values = {name: rows.loc[("", name)].to_dict() for name in names}
    loss = _losses(y, p)[:, None]
    low, high = intervals.mean(loss)[:, 0]
    values["log_loss"] = {"value": loss.mean(), "low": low, "high": high}
    for entry in values.values():
        if intervals.unit is None or flat(entry["low"], entry["high"]):
            entry["low"] = entry["high"] = math.nan
    low, high = intervals.share(said == y)
    values["accuracy"] = {"value": float((said == y).mean()), "low": low, "high": high}
    undefined = dict.fromkeys(("value", "low", "high"), math.nan)
    return {name: values.get(name, undefined) for name in (*METRICS, "log_loss")}


def _said(p: Array) -> Array:
    """The most probable class, int (n,); argmax of all would copy rows that are broadcast."""
    return np.full(len(p), p[0].argmax()) if p.strides[0] == 0 else p.argmax(axis=1)


def _losses(y: Array, p: Array) -> Array:
    """-log of the probability of the true class, in nats: float64 (n,)."""
    return -np.log(np.maximum(p[np.arange(len(y)), y].astype(np.float64), FLOOR))


def _differences(
    y: Array, said: Mapping[str, Array], intervals: Intervals
) -> dict[str, dict[str, dict[str, float]]]:
    """The accuracy of the whole model minus that of each other model, on the same rows."""
    others = [name for name in said if name != ALL]
    right = {name: (answer == y).astype(float) for name, answer in said.items()}
    gaps = np.stack([right[ALL] - right[name] for name in others], axis=1)
    low, high = intervals.mean(gaps)
    return {
        name: {"accuracy": {"difference": gaps[:, i].mean(), "low": low[i], "high": high[i]}}
        for i, name in enumerate(others)
    }


def _importance(
    y: Array, answers: Mapping[Subset, Array], modalities: Sequence[str], intervals: Intervals
) -> dict[str, Any]:
    """Shapley values of the modalities, and the scores of the subsets from which they are computed.

    A Shapley value is a weighted sum of the scores of the subsets. So the Shapley value of a mean
    over rows is the mean of the Shapley values of the rows, which gives its interval.
    """
    subsets = evaluate.subsets(modalities)
    scores: dict[str, dict[Subset, Array]] = {"accuracy": {}, "log_loss": {}}
    for subset, p in answers.items():
        scores["accuracy"][subset] = (_said(p) == y).astype(float)
        scores["log_loss"][subset] = _losses(y, p)
    told = {
        " + ".join(subset) or "nothing": {name: of[subset].mean() for name, of in scores.items()}
        for subset in answers
    }
    if len(answers) < len(subsets):
        return {"importance": None, "subsets": told}
    one = np.eye(len(subsets))
    weights = np.stack(
        [evaluate.shapley(dict(zip(subsets, row, strict=True)), modalities) for row in one]
    )
    shares: dict[str, dict[str, float]] = {m: {} for m in modalities}
    for name, sign in (("accuracy", 1), ("log_loss", -1)):
        of_rows = sign * np.stack([scores[name][s] for s in subsets], axis=1) @ weights
        low, high = intervals.mean(of_rows)
        for i, m in enumerate(modalities):
            shares[m] |= {
                name: of_rows[:, i].mean(),
                f"{name}_low": low[i],
                f"{name}_high": high[i],
            }
    return {"importance": shares, "subsets": told}


def _per_class(
    y: Array, said: Array, classes: Sequence[str], intervals: Intervals
) -> list[dict[str, Any]]:
    size = len(classes)
    true, given, both = (np.bincount(v, minlength=size) for v in (y, said, y[y == said]))
    starts = np.split(np.argsort(y, kind="stable"), true.cumsum()[:-1])
    entries = []
    for k, name in enumerate(classes):
        low, high = intervals.share(said == y, starts[k]) if true[k] else (math.nan, math.nan)
        entries.append(
            {
                "class": name,
                "rows": int(true[k]),
                "precision": both[k] / given[k] if given[k] else math.nan,
                "recall": both[k] / true[k] if true[k] else math.nan,
                "recall_low": low,
                "recall_high": high,
                "f1": 2 * both[k] / (true[k] + given[k]) if true[k] + given[k] else math.nan,
            }
        )
    return entries


def _confusion(y: Array, said: Array, classes: Sequence[str]) -> dict[str, Any]:
    """True class → predicted class → rows, for pairs that occur; if too many, the most frequent."""
    pairs = pd.Series(y * len(classes) + said).value_counts()
    kept = pairs.head(PAIRS).sort_index()
    found: dict[str, dict[str, int]] = {}
    for pair, rows in kept.items():
        true, predicted = divmod(int(pair), len(classes))
        found.setdefault(classes[true], {})[classes[predicted]] = int(rows)
    return {"confusion": found, "confusion_left_out": len(pairs) - len(kept)}


def jsonable(value: Any) -> Any:
    """The value in Python numbers, with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value
