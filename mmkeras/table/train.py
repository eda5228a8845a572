"""Your CSV in, a trained and tested model with a report out.

    mmkeras train data.csv --label label

The command finds the columns of text, pictures and sounds, trains one encoder each and their
fusion, stops on the validation part, tests on the test part, and writes a folder with model.keras,
settings.json, metrics.json, report.html and model_card.md. `mmkeras predict` uses it.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import __version__
from .columns import MODALITIES, Choice, choose, kind_of, least_words, sample_cells, unspaced
from .command import Parser, RunError, at_least, delimiter, encoding, exit_status, seed

FORMAT = 1  # of settings.json
FILES = ("model.keras", "settings.json", "metrics.json", "report.html", "model_card.md")
ROLES = {"label": "is learned", "split": "says the part", "group": "equal values stay together"}
UNBALANCED = 3.0  # largest over smallest class from which on classes are weighted


# ------------------------------------------------------------------------------ the parts of a run


def inspect(options: argparse.Namespace) -> tuple[Choice, dict[str, list[str]]]:
    """The chosen columns, and the cells they were judged by.

    Raises:
        RunError: the columns cannot be told, or the label is a quantity.
        TableError: the CSV cannot be read.
    """
    from .reading import Problems, read_cells

    path = options.csv
    if not path.is_file():
        raise RunError(f"there is no CSV at {path}")
    roles = {"label": options.label, "split": options.split, "group": options.group}
    wanted = {role: column for role, column in roles.items() if column}
    # The faults of the file as a whole are said by the reader of the loader.
    read_cells(path, wanted, (), encoding=options.encoding, delimiter=options.delimiter,
               problems=Problems())  # fmt: skip
    cells = sample_cells(path, options.encoding, options.delimiter)
    named = {m: getattr(options, m) for m in MODALITIES}
    choice = choose(cells, named, without=options.without, taken=roles)
    labels = [cell for cell in cells[options.label] if cell]
    if kind_of(labels).name == "number" and len(set(labels)) > max(20, len(labels) / 5):
        raise RunError(
            f"the label {options.label!r} holds {len(set(labels))} different numbers in "
            f"{len(labels)} rows: this command learns classes, not quantities. Put them into a few "
            "classes, or build a model with a 'regression' head (mmkeras.multimodal_model)"
        )
    return choice, cells


def load(options: argparse.Namespace, choice: Choice, cells: Mapping[str, list[str]]) -> Any:
    """The `Table`: sizes that were not given are taken from the data.

    Raises:
        TableError: with all problems.
    """
    from .loader import load_table

    sizes: dict[str, Any] = {**choice.columns}
    if "text" in choice.columns:
        texts = cells[choice.columns["text"]]
        sizes["tokens"] = "character" if unspaced(texts) else "word"
        sizes["words"] = options.words or least_words(texts)
    if "audio" in choice.columns:
        paths = cells[choice.columns["audio"]]
        sizes["audio_rate"] = options.audio_rate
        sizes["audio_seconds"] = options.audio_seconds or _usual_seconds(options, paths)
    return load_table(
        options.csv,
        label=options.label,
        split=options.split,
        group=options.group,
        seed=options.seed,
        image_size=(options.image_size, options.image_size),
        on_error="skip" if options.skip_bad_rows else "raise",
        allow_outside=options.allow_outside,
        encoding=options.encoding,
        delimiter=options.delimiter,
        cache=False if options.no_cache else None,
        **sizes,
    )


def _usual_seconds(options: argparse.Namespace, paths: Sequence[str]) -> float:
    """A length that holds nine of ten recordings whole, up to 10 s; of at most 50 of them."""
    import soundfile

    from .decode import Refused, resolve

    folder = os.path.realpath(options.csv.parent)
    found = [path for path in dict.fromkeys(paths) if path]
    lengths = []
    for path in found[:: max(1, len(found) // 50)]:
        with suppress(Refused, OSError, RuntimeError, ValueError):  # the loader will say it
            lengths.append(soundfile.info(resolve(folder, path, options.allow_outside)).duration)
    usual = float(np.quantile(lengths, 0.9)) if lengths else 2.0
    return round(float(np.clip(usual, 0.25, 10)), 2)


def build(table: Any, fusion: str, image_encoder: str, seed: int) -> Any:
    """One encoder a modality and their fusion, for gaps in any of them; not compiled.

    Raises:
        ValueError: an unknown fusion or encoder, sizes too small for it.
    """
    import keras

    import mmkeras as mm

    keras.utils.set_random_seed(seed)
    s, sequences = table.settings, fusion in ("cross_attention", "bottleneck")
    make = {
        "text": lambda: mm.text_branch(len(table.vocabulary), s["words"], tokens=sequences),
        "image": lambda: mm.image_branch(
            (*s["image_size"], 3), encoder=image_encoder, tokens=sequences
        ),
        "audio": lambda: mm.audio_branch(
            round(s["audio_rate"] * s["audio_seconds"]), s["audio_rate"], tokens=sequences
        ),
    }
    branches = [make[modality]() for modality in table.modalities]
    heads: dict[str, str | int] = {
        "answer": "binary" if len(table.classes) == 2 else len(table.classes)
    }
    return mm.multimodal_model(branches, heads, fusion=fusion, missing=True, dropout=0.2)


def class_weights(counts: Sequence[int], choice: str = "auto") -> np.ndarray | None:
    """Weights n / (classes · n_c), with mean 1 over the rows; None for equal ones.

    Args:
        counts: training rows of each class.
        choice: "balanced", "none", or "auto": balanced where the largest class has at least three
            times the rows of the smallest.
    """
    rows = np.maximum(np.asarray(counts, float), 1)
    if choice == "none" or (choice == "auto" and rows.max() < UNBALANCED * rows.min()):
        return None
    return rows.sum() / (len(rows) * rows)


def fit(model: Any, table: Any, options: argparse.Namespace, weights: np.ndarray | None) -> dict:
    """Train until the validation loss has stopped falling; the best weights are in the model.

    Returns:
        The history: metric → a number an epoch.
    """
    import keras
    import tensorflow as tf

    binary = len(table.classes) == 2
    loss = "binary_crossentropy" if binary else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(options.learning_rate), loss, metrics=["accuracy"])
    size = options.batch_size or int(np.clip(table.parts["train"] // 10, 8, 32))
    scale = tf.constant(np.ones(len(table.classes)) if weights is None else weights, tf.float32)

    def weigh(x: Any, y: Any) -> Any:
        return x, y, tf.gather(scale, y)

    train, valid = (
        table.dataset(part, size, seed=options.seed).map(weigh) for part in ("train", "valid")
    )
    patience = max(5, options.epochs // 5)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    progress = _progress(options.epochs)
    history = model.fit(
        train,
        validation_data=valid,
        epochs=options.epochs,
        shuffle=False,  # the table shuffles
        verbose=0,
        callbacks=[stop, progress],
    )
    return {name: [float(v) for v in values] for name, values in history.history.items()}


def _progress(epochs: int) -> Any:
    """A callback: a line an epoch, and on a terminal the batch that runs."""
    import keras

    class Progress(keras.callbacks.Callback):
        best = math.inf

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch, self.began = epoch + 1, time.monotonic()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if sys.stdout.isatty():
                of = self.params.get("steps") or "?"
                print(f"\repoch {self.epoch}/{epochs}, batch {batch + 1}/{of}  ", end="")
                sys.stdout.flush()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs, best = logs or {}, ""
            again = "\r" if sys.stdout.isatty() else ""  # over the line that counted batches
            if logs["val_loss"] < self.best:
                self.best, best = logs["val_loss"], "  best so far"
            print(
                f"{again}epoch {self.epoch:3d}/{epochs}"
                f"  loss {logs['loss']:.3f} (validation {logs['val_loss']:.3f})"
                f"  accuracy {logs['accuracy']:.2f} ({logs['val_accuracy']:.2f})"
                f"  {time.monotonic() - self.began:.1f} s{best}",
                flush=True,
            )

    return Progress()


# ------------------------------------------------------------------------------ what is printed


def chosen(choice: Choice, options: argparse.Namespace) -> Iterator[str]:
    """Lines: what each column is taken for, and why."""
    yield f"Columns of {options.csv.name}"
    for modality, column in choice.columns.items():
        yield f"  {modality:8} {column!r}: {choice.why[modality]}"
    for role in ("label", "split", "group"):
        if column := getattr(options, role):
            yield f"  {role:8} {column!r}"
    for column, kind in choice.unused.items():
        yield f"  not used {column!r}: {kind.name}, {kind.why}"


def overview(table: Any) -> Iterator[str]:
    """Lines: rows by class and part, gaps, what was skipped, sizes."""
    rows, parts = table.rows, list(table.parts)
    counts = pd.crosstab(rows["label"], rows["part"])
    yield f"Rows{'':16}" + "".join(f"{part:>8}" for part in parts)
    shown = table.classes[:20]
    for name in shown:
        yield f"  {name[:16]:18}" + "".join(f"{counts.get(p, {}).get(name, 0):8}" for p in parts)
    if len(table.classes) > len(shown):
        yield f"  and {len(table.classes) - len(shown)} more classes"
    yield f"  {'all':18}" + "".join(f"{n:8}" for n in table.parts.values())
    for m in table.modalities:
        there = [(rows.loc[rows["part"] == part, m] != "").mean() for part in parts]
        yield f"  with {m:13}" + "".join(f"{share:8.0%}" for share in there)
    if len(table.report):
        skipped = table.report["row"].nunique()
        yield f"Skipped {skipped} row{'' if skipped == 1 else 's'} with problems:"
        for row, column, _, reason in table.report.head(5).itertuples(index=False):
            yield f"  row {row}, {column}: {reason}"
        if len(table.report) > 5:
            yield f"  and {len(table.report) - 5} more; the report lists them"
    s = table.settings
    sizes = {
        "text": f"{s['words']} {s['tokens']}s, {len(table.vocabulary)} in the vocabulary",
        "image": f"{s['image_size'][0]}×{s['image_size'][1]} pixels",
        "audio": f"{s['audio_seconds']:g} s at {s['audio_rate']} Hz",
    }
    yield "Sizes: " + "; ".join(f"{m} {sizes[m]}" for m in table.modalities)


def summary(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Lines: the result on the test part, and what to beware of."""
    yield f"Test, {metrics['rows']['test']} rows     accuracy (95% interval)"
    for name, of in metrics["models"].items():
        a = of["accuracy"]
        yield f"  {name:18} {a['value']:.2f} ({a['low']:.2f} to {a['high']:.2f})"
    for text in metrics["warnings"]:
        yield f"Beware: {text}"


# ------------------------------------------------------------------------------ the whole


def train(options: argparse.Namespace) -> Any:
    """Everything but the files: inspect, load, build, fit, measure, with progress on stdout.

    Args:
        options: as `parser()` makes them.

    Returns:
        (model, `mmkeras.report.Run`).
    """
    import mmkeras as mm

    from .measure import answer, measure, worst_mistakes
    from .report import ALL, Run

    choice, cells = inspect(options)
    for line in chosen(choice, options):
        print(line)
    mm.start(options.seed)
    table = load(options, choice, cells)
    for line in overview(table):
        print(line)
    for part, count in table.parts.items():
        if not count:
            raise RunError(f"no row is in the part {part!r}; train, valid and test are all needed")
    try:
        model = build(table, options.fusion, options.image_encoder, options.seed)
    except ValueError as error:
        raise RunError(str(error)) from None
    of_train = table.rows.loc[table.rows["part"] == "train", "label"].value_counts()
    weights = class_weights(
        [int(of_train.get(name, 0)) for name in table.classes], options.class_weight
    )
    began = time.monotonic()
    history = fit(model, table, options, weights)
    seconds = time.monotonic() - began
    y, answers = answer(model, table, "test")
    metrics = measure(table, y, answers, options.seed)
    metrics["training"] = {
        "epochs": len(history["loss"]),
        "best_epoch": int(np.argmin(history["val_loss"])) + 1,
        "class_weight": None
        if weights is None
        else dict(zip(table.classes, weights.round(4).tolist(), strict=True)),
        "history": history,
    }
    examples = None if options.no_examples else worst_mistakes(table, y, answers[ALL])
    settings = settings_of(options, choice, table, model, seconds)
    return model, Run(settings, metrics, y, answers[ALL], examples, table.report)


def settings_of(
    options: argparse.Namespace, choice: Choice, table: Any, model: Any, seconds: float
) -> dict[str, Any]:
    """What settings.json holds: `table` is what `load_table` needs to read new rows."""
    from ..session import device

    packages = ("tensorflow", "keras", "numpy", "pandas")
    by_column = f"by the column {options.split!r}" if options.split else (
        f"drawn by chance{', whole groups' if options.group else ''}, stratified by class "
        f"(seed {options.seed})"
    )  # fmt: skip
    roles = {"label": options.label, "split": options.split, "group": options.group}
    return {
        "format": FORMAT,
        "table": table.settings,
        "modalities": list(table.modalities),
        "classes": table.classes,
        "encoding": options.encoding,
        "delimiter": options.delimiter,
        "data": options.csv.name,
        **roles,
        "columns": choice.columns,
        "columns_chosen": {
            **{m: [column, choice.why[m]] for m, column in choice.columns.items()},
            **{role: [column, ROLES[role]] for role, column in roles.items() if column},
            **{f"not used: {c}": [kind.name, kind.why] for c, kind in choice.unused.items()},
        },
        "how_split": by_column,
        "fusion": options.fusion,
        "image_encoder": options.image_encoder,
        "seed": options.seed,
        "weights": model.count_params(),
        "training": f"{seconds:.0f} s",
        "day": datetime.date.today().isoformat(),
        "device": device(),
        "command": options.command,
        "versions": {
            "mmkeras": __version__,
            "Python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def check_folder(folder: Path, force: bool) -> None:
    """Raises RunError if the folder holds anything and `force` is not given, or is no folder."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; name a folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        what = "a run" if (folder / "settings.json").exists() else "files"
        raise RunError(f"{folder} holds {what} already; name another with --out, or --force")


def write(model: Any, run: Any, folder: Path) -> None:
    """All files, each complete: made beside the folder, then moved in. Other files are left."""
    from . import report

    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        model.save(part / "model.keras")
        for name, content in (("settings", run.settings), ("metrics", run.metrics)):
            text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
            (part / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        report.write(run, part)
        folder.mkdir(exist_ok=True)
        for name in FILES:
            os.replace(part / name, folder / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


# ------------------------------------------------------------------------------ command line


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras train",
        description="Train and test a model on a CSV of texts, pictures and sounds; write a folder "
        f"with {', '.join(FILES)}.",
        epilog="Example: mmkeras train weather/data.csv --label label. "
        "Paths in the CSV are relative to its folder; a blank cell means that this row has no such "
        "modality. Exit status: 0 done, 1 the data or the options have problems, 2 wrong usage, "
        "130 stopped by Ctrl-C. A run that stops early writes nothing.",
    )
    p.add_argument("csv", type=Path, metavar="data.csv", help="first record: the header")
    add = p.add_argument_group("columns (found where they are not named)").add_argument
    add("--label", default="label", metavar="COL", help="the class to learn (default: label)")
    add("--text", metavar="COL", help="texts")
    add("--image", metavar="COL", help="paths of pictures: PNG, JPEG, WebP")
    add("--audio", metavar="COL", help="paths of sounds: WAV, FLAC, OGG")
    add("--without", action="append", default=[], choices=MODALITIES, help="leave one out")
    add("--split", metavar="COL", help="says train, valid or test in each row; default: by chance")
    add("--group", metavar="COL", help="rows of one value stay in one part, such as a patient")
    add = p.add_argument_group("reading").add_argument
    add("--skip-bad-rows", action="store_true", help="leave out rows with problems, and list them")
    add("--allow-outside", action="store_true", help="paths may leave the folder of the CSV")
    add(
        "--encoding",
        type=encoding,
        default="utf-8",
        metavar="NAME",
        help="of the CSV (default: utf-8)",
    )
    add(
        "--delimiter",
        type=delimiter,
        default=",",
        metavar="MARK",
        help="between cells (default: a comma)",
    )
    add("--no-cache", action="store_true", help="keep no decoded copies of files in mmkeras' cache")
    add("--words", type=at_least(1), metavar="N", help="of a text (default: holds 95%% of them)")
    add("--image-size", type=at_least(8), default=64, metavar="N", help="pixels (default: 64)")
    add("--audio-rate", type=at_least(1000), default=8000, metavar="HZ", help="(default: 8000)")
    add("--audio-seconds", type=at_least(0.05, float), metavar="S", help="(default: by the files)")
    add = p.add_argument_group("training").add_argument
    add("--epochs", type=at_least(1), default=40, metavar="N", help="at most (default: 40)")
    add("--batch-size", type=at_least(1), metavar="N", help="(default: 8 to 32, by the rows)")
    add("--learning-rate", type=at_least(0, float), default=1e-3, metavar="X", help="of Adam "
        "(default: 0.001)")  # fmt: skip
    add(
        "--fusion",
        default="concatenate",
        metavar="NAME",
        help="see mmkeras.fuse (default: concatenate)",
    )
    add(
        "--image-encoder",
        default="conv",
        metavar="NAME",
        help="see mmkeras.image_branch (default: conv)",
    )
    add("--class-weight", default="auto", choices=("auto", "balanced", "none"),
        help="auto: balanced where one class is three times as frequent as another")  # fmt: skip
    add("--seed", type=seed, default=0, metavar="N", help="of everything (default: 0)")
    add = p.add_argument_group("writing").add_argument
    add("--out", type=Path, metavar="DIR", help="default: run, beside the CSV")
    add("--no-examples", action="store_true", help="show no rows of the data in the report")
    add("--force", action="store_true", help="replace the files of an earlier run")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; see `parser` for the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = parser().parse_args(arguments)
    options.command = shlex.join(["mmkeras", "train", *arguments])
    out = options.out or options.csv.parent / "run"
    advice = "" if options.skip_bad_rows else "To go on without these rows: --skip-bad-rows"
    return exit_status(
        lambda: _run(options, out), advice=advice, stopped=f"nothing was written to {out}"
    )


def _run(options: argparse.Namespace, out: Path) -> None:
    """Everything but telling the errors."""
    check_folder(out, options.force)
    model, run = train(options)
    write(model, run, out)
    for line in summary(run.metrics):
        print(line)
    print(f"Wrote {out}: {', '.join(FILES)}")
    print(f"Next: open {out / 'report.html'}; mmkeras predict {out} new.csv")
