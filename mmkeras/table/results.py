"""What a training writes when it is over: the numbers on the test part, the report, the files."""

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import files
from . import run as runs
from .wording import with_interval

MOST = 100  # up to this number of classes each has a column of probabilities


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
    from . import people
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
    rows = table.rows[table.rows["part"] == "test"]
    if options.groups:
        groups = people.read(options.csv, options.groups, options.encoding, options.delimiter)
        people.add(metrics, groups, rows, y, p, seed=options.seed)
    shown = examples(table, y, p) if options.show_rows else None
    run = Run(settings, metrics, y, p, shown, in_words(table.report))
    cells = table.modalities if options.show_rows else ()
    predicted = predictions(rows, table.classes, y, p, cells)
    finish(options.out, folder, run, predicted, more=more)
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


def predictions(rows: Any, classes: list[str], y: Any, p: Any, columns: Sequence[str]) -> Any:
    """The content of test_predictions.csv, with one line per test row.

    Args:
        rows: n rows of `Table.rows`.
        classes, y, p: names (classes,), true classes int (n,) and probabilities float (n, classes).
        columns: the columns whose cells are shown as well.

    Returns:
        DataFrame: row (its number in the CSV), truth, prediction, probability (of the prediction),
        probability_<class> of each class unless there are more than MOST, and the cells.
    """
    import pandas as pd

    names = pd.Series(classes)
    found = {
        "row": rows["row"].to_numpy(),
        "truth": names[y].to_numpy(),
        "prediction": names[p.argmax(axis=1)].to_numpy(),
        "probability": p.max(axis=1).round(6),
    }
    if len(classes) <= MOST:
        found |= {f"probability_{name}": p[:, k].round(6) for k, name in enumerate(classes)}
    cells = {name: rows[name].to_numpy() for name in columns if name in rows}
    return pd.DataFrame({**found, **cells})


def finish(folder: Path, best: Path, run: Any, predictions: Any, *, more: bool) -> None:
    """Write all files of a run into a temporary folder, then move them in; other files are kept.

    Args:
        folder: the folder of the run.
        best: the folder of the seed that is kept.
        run: a `report.Run`.
        predictions: DataFrame for test_predictions.csv.
        more: whether to keep what is needed to continue the training.
    """
    from . import report

    with files.whole_folder(folder, runs.FILES) as part:
        runs.write_json(part / "settings.json", run.settings)
        runs.write_json(part / "metrics.json", run.metrics)
        predictions.to_csv(part / "test_predictions.csv", index=False)
        (part / "README.txt").write_text(ABOUT.format(**run.settings), encoding="utf-8")
        report.write(run, part)
        shutil.copyfile(best / "model.keras", part / "model.keras")
    if not more:
        shutil.rmtree(folder / runs.TRAINING)


ABOUT = """This folder holds a model that predicts the column {label} of {data}, made by mmkeras
train. Begin with report.html. To predict new rows:

    mmkeras predict FOLDER new.csv

To test the model on other rows that have a label:

    mmkeras evaluate FOLDER labelled.csv

In Python, started in this folder, load the model by:

    import mmkeras.models, keras  # the first import registers the layers of mmkeras
    model = keras.saving.load_model("model.keras")

To predict new rows with it:

    import json, mmkeras as mm
    settings = json.load(open("settings.json", encoding="utf-8"))
    table = mm.load_table("new.csv", label=None, **settings["table"])
    probabilities = model.predict(table.dataset("all"))  # (rows, classes); (rows, 1) for two
"""
