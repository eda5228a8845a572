"""What a training writes when it is over: the numbers on the test part, the report, the files."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import run as runs
from .wording import with_interval


def by_class(table: Any, weights: Any) -> dict[str, float] | None:
    """Class → its weight."""
    if weights is None:
        return None
    return dict(zip(table.classes, weights.round(4).tolist(), strict=True))


def write(
    options: argparse.Namespace,
    table: Any,
    settings: dict[str, Any],
    answered: tuple[Any, dict[Any, Any]],
    training: dict[str, Any],
    folder: Path,
    *,
    more: bool,
    seeds: dict[str, Any] | None = None,
) -> None:
    """The report on what was answered to the test rows, and all files of the run.

    Args:
        answered: from `measure.answer`.
        training, seeds: of metrics.json.
        folder: holds the model.
        more: keep what is needed to train on.
    """
    from .measure import measure
    from .problems import in_words
    from .report import Run
    from .report.examples import examples

    y, answers = answered
    metrics = measure(table, y, answers, options.seed)
    metrics["training"] = training
    if seeds:
        metrics["seeds"] = seeds
    p = answers[table.modalities]
    shown = None if options.no_examples else examples(table, y, p)
    run = Run(settings, metrics, y, p, shown, in_words(table.report))
    rows = table.rows[table.rows["part"] == "test"]
    predictions = runs.predictions(
        rows, table.classes, y, p, () if options.no_examples else table.modalities
    )
    runs.finish(options.out, folder, run, predictions, more=more)
    for line in summary(metrics):
        print(line)


def spread(seeds: Sequence[int], y: Any, answers: Sequence[Any]) -> dict[str, Any]:
    """The spread of the results of several seeds on the same rows.

    Args:
        seeds: the seeds of the models.
        y: int (n,), the true classes.
        answers: the probabilities of each model, float (n, classes).

    Returns:
        Lists over the seeds, and "mean" and "sd" (with n - 1) of each measure.
    """
    import numpy as np

    right = np.arange(len(y)), y
    values = {
        "accuracy": [float((p.argmax(axis=1) == y).mean()) for p in answers],
        "log_loss": [float(-np.log(np.maximum(p[right], 1e-7)).mean()) for p in answers],
    }
    return {
        "seed": list(seeds),
        **values,
        "mean": {name: float(np.mean(some)) for name, some in values.items()},
        "sd": {name: float(np.std(some, ddof=1)) for name, some in values.items()},
    }


def summary(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Lines with the result on the test part, and the warnings."""
    yield f"Test, {metrics['rows']['test']} rows     accuracy (95% interval)"
    for name, of in metrics["models"].items():
        yield f"  {name:18} {with_interval(of['accuracy'], digits=2)}"
    if seeds := metrics.get("seeds"):
        mean, sd, n = seeds["mean"]["accuracy"], seeds["sd"]["accuracy"], len(seeds["seed"])
        yield f"  {n} seeds: mean {mean:.2f}, sd {sd:.3f}; the best by validation is kept"
    for text in metrics["warnings"]:
        yield f"Beware: {text}"
