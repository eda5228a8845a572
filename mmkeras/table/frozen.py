"""Frozen encoders and small heads compete; the winner is tested, and written as a run."""

import argparse
import math
import time
from dataclasses import dataclass
from typing import Any

from . import run as runs
from .results import by_class, spread, write

ONE_SEED = "1, since a logistic regression has no random numbers: all seeds give the same"


@dataclass
class One:
    """The result of one seed: a model, and the course of its training (`fit.Fitted`).

    Of a head behind frozen encoders it is the validation loss.
    """

    seed: int
    model: Any
    fitted: Any


def frozen(options: argparse.Namespace, table: Any, settings: dict[str, Any], weights: Any) -> None:
    """Train and test the winner of the race, write the run, with progress on stdout.

    Args:
        options: of `mmkeras train`.
        table: a `Table` with the three parts.
        settings: of settings.json; completed here.
        weights: of the classes, or None.
    """
    from .encoders import choice as encoders
    from .encoders.board import TUNED
    from .encoders.race import Race
    from .measure import answer

    print("Candidates, on the validation part")
    began = time.monotonic()
    found = Race(table, options, weights, options.encoders).run()
    winner = found.winner
    print(f"Taken: {winner.fusion}. {found.why}")
    for line in found.advice:
        print(line)
    kept, y, answers, seeds = _of_seeds(options, found)
    settings |= {"table": found.table.settings, "fusion": winner.fusion,
                 "encoders": winner.encoders, "seed": kept.seed}  # fmt: skip
    settings["parameters"] |= found.parameters
    if options.seeds > 1:
        settings["parameters"]["seeds"] = options.seeds if seeds else ONE_SEED
    folder, taken, why = runs.seed_folder(options.out, options.seed), winner.fusion, found.why
    if tuned := _fine_tuned(options, found, settings, weights, began):
        settings["parameters"] |= tuned.settings
        why = f"{why} {tuned.why}"
        if tuned.model:
            kept, taken = One(options.seed, tuned.model, tuned.fitted), TUNED
            y, answers = answer(tuned.model, found.table, "test")
    settings |= {"training": f"{time.monotonic() - began:.0f} s",
                 "weights": kept.model.count_params()}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    runs.check_room(folder, kept.model)
    runs.save_model(kept.model, folder / "model.keras")
    print("Measuring, and writing the report …", flush=True)
    advice = [*found.advice, encoders.SCRATCH, *encoders.lacking(found.table.modalities)]
    race = {"board": found.board.lines(), "winner": taken, "why": why, "advice": advice}
    training = {"class_weight": by_class(found.table, weights), "race": race}
    write(options, found.table, settings, (y, answers), training, folder, more=False, seeds=seeds)


def _fine_tuned(
    options: argparse.Namespace, found: Any, settings: dict[str, Any], weights: Any, began: float
) -> Any:
    """What fine-tuning gave (`encoders.tuning.Tuned`); None if not asked, or not possible."""
    from .encoders import tuning

    if not options.fine_tune:
        return None
    left = (options.time_limit or math.inf) - (time.monotonic() - began)
    folder = runs.seed_folder(options.out, options.seed)
    tuned = tuning.tuned(found, options, weights, settings, folder, max(left, 0.0))
    print(tuned.why if tuned else f"Nothing is fine-tuned: {tuning.NOTHING}", flush=True)
    return tuned


def _of_seeds(options: argparse.Namespace, found: Any) -> tuple[Any, Any, Any, Any]:
    """The model of the seed that is best by validation, its answers to the test part, the spread.

    The candidates compete under the first seed alone, and the others train what won.
    """
    from .encoders.heads import whole
    from .measure import answer

    one = One(options.seed, found.model, found.loss)
    y, answers = answer(found.head, found.features, "test")
    if options.seeds == 1:
        return one, y, answers, None
    if found.again is None:
        print(f"Seeds: {ONE_SEED}")
        return one, y, answers, None
    runs_of = [(one, answers)]
    for seed in range(options.seed + 1, options.seed + options.seeds):
        print(f"Seed {seed}, {seed - options.seed + 1} of {options.seeds}", flush=True)
        head, loss = found.again(seed)
        another = One(seed, whole(found.sources, head), loss)
        runs_of.append((another, answer(head, found.features, "test")[1]))
    names = tuple(found.table.modalities)
    seeds = spread([of.seed for of, _ in runs_of], y, [said[names] for _, said in runs_of])
    kept, answers = min(runs_of, key=lambda of: float(of[0].fitted))
    return kept, y, answers, seeds
