"""The command `mmkeras train`: train and test a model on your CSV, and write a report.

    mmkeras train data.csv --label label

The command finds the columns of text, pictures, sounds, numbers and categories, trains one encoder
per modality and their fusion, stops by the validation part, tests on the test part, and writes a
folder with the model, its test predictions and a report. `mmkeras predict` uses this folder.
"""

import argparse
import math
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from . import cluster, worker
from . import run as runs
from .command import RunError, exit_status
from .frozen import One, frozen
from .options import parser
from .privacy import lock
from .results import by_class, spread, write

HINTS = {
    "too few for every part": "To leave out classes with few rows: --least-rows 3",
    "spelt in another way": "To keep them as classes of their own, name all: --classes A,a,…",
    "no such column": "Each column is named by an option, see: mmkeras train --help",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `options.parser`."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    p = parser()
    options = p.parse_args(arguments)
    options.task = cluster.task_of(options, p.error)
    if options.network and options.encoders not in (None, "scratch"):
        p.error(f"{options.network[0]} is for networks that are trained from scratch: leave it "
                f"out, or --encoders {options.encoders}")  # fmt: skip
    if options.fine_tune and (options.encoders == "scratch" or options.network):
        named = options.network[0] if options.network else "--encoders scratch"
        p.error(f"--fine-tune trains pretrained encoders further, and {named} is for networks that "
                "are trained from scratch: leave one of them out")  # fmt: skip
    if options.fine_tune and options.seeds > 1:
        p.error("--fine-tune goes on from one model: leave it out, or --seeds")
    if options.seed + options.seeds > 2**32:
        p.error(f"--seed {options.seed} with --seeds {options.seeds}: the last must be below 2**32")
    options.command = shlex.join(["mmkeras", "train", *arguments])
    options.out = options.out or options.csv.parent / "run"
    options.begun = False  # nothing has been written to options.out yet
    if options.task and options.task.index is None:
        return cluster.supervise(options.task, arguments, options, lambda: kept(options))
    advice = "" if options.skip_bad_rows else "To go on without these rows: --skip-bad-rows"
    return exit_status(
        lambda: _run(options),
        advice=advice,
        hints=HINTS,
        stopped=f"nothing was written to {options.out}",
        kept=lambda: kept(options),
    )


def _run(options: argparse.Namespace) -> None:
    """Run the command, except for the handling of errors."""
    if options.task and options.task.index:
        with worker.quiet(options), runs.opened(options.out, resume=options.resume):
            train(options)
        return
    out = options.out
    if options.encrypt_with:
        lock.check(out, options.encrypt_with)  # a wrong key file must not cost a training
    with runs.opened(out, force=options.force, resume=options.resume):
        train(options)
    if options.encrypt_with:
        made = lock.lock(out, options.encrypt_with)
        print(f"Wrote {made}, in which all files of the run are, and deleted {out}\n"
              f"Next: mmkeras data unlock {made} --key-file {options.encrypt_with}")  # fmt: skip
        return
    print(f"Wrote {out}: {', '.join(runs.FILES)}")
    if (out / runs.TRAINING).exists():
        print("The training can be continued: raise --epochs or --time-limit in\n  "
              f"{runs.resuming(options.command)}")  # fmt: skip
    print("To load the model in Python: import mmkeras.models, keras\n"
          f"  model = keras.saving.load_model({str(out / 'model.keras')!r})")  # fmt: skip
    print(f"Next: open {out / 'report.html'}; mmkeras predict {out} new.csv")


def kept(options: argparse.Namespace) -> str:
    """What is kept of a run that did not finish, and how to resume it; "" if nothing is kept."""
    best = runs.best_kept(options.out) if options.begun else None
    if best is None:
        return ""
    return (
        f"Nothing trained is lost: the best model so far is in {best}, which "
        "mmkeras predict can use.\n"
        f"To resume, and to get the report: {runs.resuming(options.command)}"
    )


# ------------------------------------------------------------------------------ the whole


def train(options: argparse.Namespace) -> None:
    """Inspect, load, build, fit, measure and write, with progress on stdout."""
    import mmkeras as mm

    from . import people, prepare
    from .encoders import choice as encoders
    from .report import facts
    from .settings import settings_of

    choice, cells, rare = prepare.inspect(options)
    groups = None
    if options.groups:  # read again for the report; a wrong name must not cost a training
        groups = people.read(options.csv, options.groups, options.encoding, options.delimiter)
    _say(prepare.chosen(choice, cells, rare, options))
    modalities = [*choice.columns, *(["numbers"] if choice.numbers or choice.categories else [])]
    asked, options.encoders = options.encoders, encoders.resolved(options, modalities)
    _say(encoders.told(options, asked, modalities))
    if options.encoders == "scratch" and options.fine_tune:
        raise RunError("--fine-tune needs a pretrained encoder, and there is none for this data: "
                       f"{' '.join(encoders.lacking(modalities)) or 'leave it out'}")  # fmt: skip
    runs.begin(options.out, vars(options), options.csv)
    options.begun = True
    mm.start(options.seed)
    strategy = worker.strategy_of(options, options.task)
    table = prepare.load(options, choice, cells)
    _say(prepare.overview(table))
    for part, count in table.parts.items():
        if not count:
            raise RunError(f"no row is in the part {part!r}; train, valid and test are all needed")
    weights = _class_weights(options, table)
    settings = settings_of(options, choice, table, weights)
    settings["parameters"]["classes left out"] = prepare.told(rare) or None
    settings["facts"] = facts.of(options, choice, cells, rare, table, groups)
    if options.encoders == "scratch":
        _networks(options, table, settings, weights, strategy)
    else:
        frozen(options, table, settings, weights)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _networks(
    options: argparse.Namespace,
    table: Any,
    settings: dict[str, Any],
    weights: Any,
    strategy: Any,
) -> None:
    """Networks from scratch, one a seed; the best is kept."""
    if strategy:
        worker.check(strategy, options, table, settings)
    began, found = time.monotonic(), []
    for number in range(options.seeds):
        if options.seeds > 1:
            print(f"Seed {options.seed + number}, {number + 1} of {options.seeds}")
        left = (options.time_limit or math.inf) - (time.monotonic() - began)
        seconds = max(left, 0.0) / (options.seeds - number)
        seed = options.seed + number
        found.append(_one(options, table, settings, weights, seed, seconds, strategy))
    if options.task and worker.left(strategy):
        return  # the rest is the chief's
    best = min(found, key=lambda one: one.fitted.best_loss)
    settings |= {"training": f"{time.monotonic() - began:.0f} s", "seed": best.seed,
                 "weights": best.model.count_params()}  # fmt: skip
    _finish(options, table, settings, weights, found, best)


def _class_weights(options: argparse.Namespace, table: Any) -> Any:
    from .fit import class_weights

    counts = table.rows.loc[table.rows["part"] == "train", "label"].value_counts()
    return class_weights([int(counts.get(name, 0)) for name in table.classes], options.class_weight)


def _one(
    options: argparse.Namespace,
    table: Any,
    settings: dict[str, Any],
    weights: Any,
    seed: int,
    seconds: float,
    strategy: Any,
) -> One:
    """Train with one seed, or continue where this training was stopped."""
    from . import fit

    folder = runs.seed_folder(options.out, seed)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with worker.scope(strategy):
            model = worker.synchronized(fit.build(table, options, seed), strategy)
    except ValueError as error:
        raise RunError(str(error)) from None
    runs.check_room(folder, model)
    ours = {"seed": seed, "weights": model.count_params(), "training": "not ended"}
    runs.write_json(folder / "settings.json", {**settings, **ours})
    with worker.together(options.task):
        if options.task:
            worker.receive(strategy, folder)
        fitted = fit.fit(model, table, options, weights, folder, seconds)
    if strategy:
        model = runs.load(folder)[0]  # without its strategy: one process goes on
    if fitted.why == "time":
        print(f"Stopped by --time-limit in epoch {len(fitted.history['loss'])}")
    return One(seed, model, fitted)


def _finish(
    options: argparse.Namespace,
    table: Any,
    settings: dict[str, Any],
    weights: Any,
    found: Sequence[One],
    best: One,
) -> None:
    """Measure the best model, and write the run."""
    from .measure import answer

    print("Measuring, and writing the report …", flush=True)
    y, answers = answer(best.model, table, "test")
    training = {
        "epochs": len(best.fitted.history["loss"]),
        "best_epoch": best.fitted.best_epoch,
        "ended_by": best.fitted.why,
        "class_weight": by_class(table, weights),
        "history": best.fitted.history,
    }
    seeds = None
    if len(found) > 1:
        said = [_of_test(one.model, table) for one in found]
        seeds = spread([one.seed for one in found], y, said)
    more = best.fitted.why in ("epochs", "time")
    folder = runs.seed_folder(options.out, best.seed)
    write(options, table, settings, (y, answers), training, folder, more=more, seeds=seeds)


def _of_test(model: Any, table: Any) -> Any:
    """Probabilities (n, classes) of the test part."""
    import numpy as np

    from .measure import probabilities

    batches = table.dataset("test").as_numpy_iterator()
    return np.concatenate([probabilities(model, x, len(table.classes)) for x, _ in batches])
