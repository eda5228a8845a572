"""What a trained model does on the test part of a `mmkeras.datasets.Table`, in numbers.

Used by `mmkeras train`: the model against each modality alone and the most frequent class, with
intervals, class by class, and plain words on what is too small to mean much.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from .. import evaluate
from .report import ALL, Example, percent

Array = np.ndarray
METRICS = ("accuracy", "recall", "f1", "roc_auc", "brier", "ece")
DRAWS = 2e8  # of the bootstrap, times rows, times classes: fewer draws where there are many rows
MISTAKES = 12  # shown in the report
SMALL_TEST, SMALL_VALID, SMALL_CLASS = 100, 20, 10  # rows below which a warning is due


def probabilities(model: Any, x: Mapping[str, Array], classes: int) -> Array:
    """Float64 (batch, classes) of one batch; the two columns of a binary head are 1 - p and p."""
    p = np.asarray(model.predict_on_batch(dict(x)), np.float64)
    return np.concatenate([1 - p, p], axis=1) if classes == 2 else p / p.sum(axis=1, keepdims=True)


def subsets_of(modalities: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name in the report → modalities that the model may see."""
    alone = {f"{m} alone": (m,) for m in modalities} if len(modalities) > 1 else {}
    return {ALL: tuple(modalities), **alone}


def answer(model: Any, table: Any, part: str) -> tuple[Array, dict[str, Array]]:
    """y (n,), and name → probabilities (n, classes) of the model and of each modality alone."""
    from ..missing import only  # here, so that no TensorFlow is loaded for --help

    subsets = subsets_of(table.modalities)
    truth: list[Array] = []
    found: dict[str, list[Array]] = {name: [] for name in subsets}
    for x, y in table.dataset(part, shuffle=False).as_numpy_iterator():
        truth.append(y)
        for name, subset in subsets.items():
            seen = only(x, subset, table.modalities)
            found[name].append(probabilities(model, seen, len(table.classes)))
    return np.concatenate(truth), {name: np.concatenate(p) for name, p in found.items()}


def measure(table: Any, y: Array, answers: Mapping[str, Array], seed: int) -> dict[str, Any]:
    """Everything of metrics.json but the training, fit for JSON."""
    rows, parts, classes = table.rows, list(table.parts), table.classes
    counts = pd.crosstab(rows["label"], rows["part"]).reindex(
        index=classes, columns=parts, fill_value=0
    )
    shares = (counts["train"] / counts["train"].sum()).to_numpy()
    models = {**answers, "majority class": np.tile(shares, (len(y), 1))}
    groups = rows.loc[rows["part"] == "test", "group"] if "group" in rows else None
    if groups is not None:
        groups = [name or f"row {i}" for i, name in groups.items()]  # a blank one stands alone
        groups = groups if len(set(groups)) > 1 else None
    draws = int(np.clip(DRAWS / (len(y) * len(classes)), 200, 1000))
    options: Any = {"groups": groups, "seed": seed, "replicates": draws}
    whole = evaluate.report(y, models, metrics=METRICS, **options)
    gaps = {
        name: evaluate.compare(
            y, {name: p, ALL: answers[ALL]}, name, metrics=["accuracy"], **options
        ).loc[ALL]
        for name, p in models.items()
        if name != ALL
    }
    predicted = answers[ALL].argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (y, predicted), 1)
    metrics = {
        "rows": table.parts,
        "skipped": int(table.report["row"].nunique()) if len(table.report) else 0,
        "classes": {name: counts.loc[name].astype(int).to_dict() for name in classes},
        "present": {
            m: {part: float((rows.loc[rows["part"] == part, m] != "").mean()) for part in parts}
            for m in table.modalities
        },
        "majority": classes[int(shares.argmax())],
        "bootstrap_draws": draws,
        "models": {name: whole.loc[name].to_dict("index") for name in models},
        "differences": {name: gap.to_dict("index") for name, gap in gaps.items()},
        "accuracy_wilson": _wilson(int((predicted == y).sum()), len(y)),
        "per_class": _per_class(classes, confusion),
        "confusion": confusion.tolist(),
    }
    metrics["warnings"] = warnings_of(metrics, groups is not None)
    return _jsonable(metrics)


def _wilson(right: int, n: int) -> list[float]:
    if n == 0:
        return [math.nan, math.nan]
    interval = binomtest(right, n).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


def _per_class(classes: Sequence[str], confusion: Array) -> list[dict[str, Any]]:
    entries = []
    for k, name in enumerate(classes):
        right, true, said = confusion[k, k], confusion[k].sum(), confusion[:, k].sum()
        low, high = _wilson(int(right), int(true))
        entries.append(
            {
                "class": name,
                "rows": int(true),
                "precision": right / said if said else math.nan,
                "recall": right / true if true else math.nan,
                "recall_low": low,
                "recall_high": high,
                "f1": 2 * right / (true + said) if true + said else math.nan,
            }
        )
    return entries


def warnings_of(metrics: Mapping[str, Any], grouped: bool = False) -> list[str]:
    """Plain sentences on what is too small for the numbers to mean much."""
    said, rows, classes = [], metrics["rows"], metrics["classes"]
    if (n := rows["test"]) < SMALL_TEST:
        low, high = metrics["accuracy_wilson"]
        wilson = "" if grouped else (
            f" The interval of Wilson (1927), which holds for few rows too, is {percent(low)} to "
            f"{percent(high)}."
        )  # fmt: skip
        said.append(
            f"The test part has {n} row{'' if n == 1 else 's'} only: one more mistake moves the "
            f"accuracy by {100 / n:.1f} points, and bootstrap intervals of so few rows tend to be "
            f"too narrow.{wilson} For a firm statement test on hundreds of rows."
        )
    if (n := rows["valid"]) < SMALL_VALID:
        said.append(f"The validation part has {n} rows only: when to stop was decided by chance.")
    few = [name for name, of in classes.items() if of["train"] < SMALL_CLASS]
    if few:
        said.append(f"Fewer than {SMALL_CLASS} training rows of: {_some(few)}.")
    absent = [name for name, of in classes.items() if not of["test"]]
    if absent:
        said.append(
            f"No test row of: {_some(absent)}. Means over the classes are undefined (–), and "
            "nothing is known about how well these are told."
        )
    gap = metrics["differences"]["majority class"]["accuracy"]
    if not gap["low"] > 0:
        said.append(
            "It is not shown that the model beats always giving the most frequent answer: the "
            f"interval of the difference, {gap['low']:.2f} to {gap['high']:.2f}, reaches 0."
        )
    for m, of in metrics["present"].items():
        if of["train"] < 0.5:
            said.append(f"Only {percent(of['train'])} of the training rows have {m}.")
    if metrics["models"][ALL]["accuracy"]["value"] == 1 and rows["test"] >= SMALL_TEST:
        said.append("Every test row is right: look for a clue to the label that new data lacks.")
    return said


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _jsonable(value: Any) -> Any:
    """Plain Python numbers, and None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def worst_mistakes(table: Any, y: Array, p: Array, most: int = MISTAKES) -> list[Any]:
    """The surest wrong answers of the test part, as the model saw them."""
    predicted, sure = p.argmax(axis=1), p.max(axis=1)
    wrong = np.flatnonzero(predicted != y)
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    rows, found, start = table.rows[table.rows["part"] == "test"], {}, 0
    for x, labels in table.dataset("test", shuffle=False).as_numpy_iterator():
        for i in chosen[(chosen >= start) & (chosen < start + len(labels))]:
            row = rows.iloc[i]
            there = dict(zip(table.modalities, x["present"][i - start], strict=True))
            found[i] = Example(
                int(row["row"]),
                table.classes[y[i]],
                table.classes[predicted[i]],
                float(sure[i]),
                row["text"] if there.get("text") else None,
                x["image"][i - start] if there.get("image") else None,
                x["audio"][i - start] if there.get("audio") else None,
                table.settings["audio_rate"],
            )
        start += len(labels)
    return [found[i] for i in chosen]
