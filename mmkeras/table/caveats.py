"""Sentences that warn where there are too few rows for the numbers of a report to mean much."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .wording import percent

ALL, MAJORITY = "whole model", "majority class"  # two of the models in metrics.json
SMALL_TEST, SMALL_VALID, SMALL_CLASS, FEW_GROUPS = 100, 20, 10, 20  # below: a warning


def warnings_of(metrics: Mapping[str, Any]) -> list[str]:
    """The warnings, as sentences.

    Args:
        metrics: as `mmkeras.table.measure.measure` returns them.
    """
    return [*_of_sizes(metrics), *_of_classes(metrics), *_of_results(metrics)]


def _of_sizes(metrics: Mapping[str, Any]) -> Iterator[str]:
    rows, interval = metrics["rows"], metrics["interval"]
    if (n := rows["test"]) < SMALL_TEST:
        by_rows = interval["unit"] == "rows"
        yield (
            f"The test part has {n} row{'' if n == 1 else 's'} only: one more mistake moves the "
            f"accuracy by {100 / n:.1f} points"
            + (
                ", and all intervals but those of the accuracy and of the recall of a class, "
                "which need no bootstrap, tend to be too narrow."
                if by_rows
                else "."
            )
            + " For a firm statement test on hundreds of rows."
        )
    if interval["unit"] is None:
        yield (
            "All test rows are of one group, so nothing can be said about other groups: no number "
            "has an interval. Test on several groups."
        )
    elif interval["unit"] == "groups" and interval["units"] < FEW_GROUPS:
        yield (
            f"The test part has {interval['units']} groups only: intervals over so few tend to be "
            "too narrow."
        )
    if 0 < (n := rows.get("valid", 0)) < SMALL_VALID:
        yield (
            f"The validation part has {n} rows only: what was chosen by it, such as when to stop "
            "or which candidate to take, was largely decided by chance."
        )


def _of_classes(metrics: Mapping[str, Any]) -> Iterator[str]:
    classes = metrics["classes"]
    few = [name for name, of in classes.items() if of["train"] < SMALL_CLASS]
    if few:
        yield f"Fewer than {SMALL_CLASS} training rows of: {_some(few)}."
    absent = [name for name, of in classes.items() if not of["test"]]
    if absent:
        yield (
            f"No test row of: {_some(absent)}. Means over the classes are undefined (–), and "
            "nothing is known about how well these are told."
        )
    for m, of in metrics["present"].items():
        if (share := of.get("train", of["test"])) < 0.5:
            part = "training" if "train" in of else "test"
            yield f"Only {percent(share)} of the {part} rows have {m}."


def _of_results(metrics: Mapping[str, Any]) -> Iterator[str]:
    gap = metrics["differences"][MAJORITY]["accuracy"]
    if gap["low"] is not None and gap["low"] <= 0:
        yield (
            "It is not shown that the model beats always giving the most frequent answer: the "
            f"interval of the difference, {gap['low']:.2f} to {gap['high']:.2f}, reaches 0."
        )
    elif gap["difference"] <= 0:
        yield "The model is not better than always giving the most frequent answer."
    if metrics["models"][ALL]["accuracy"]["value"] == 1 and metrics["rows"]["test"] >= SMALL_TEST:
        yield "Every test row is right: look for a clue to the label that new rows will lack."


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
