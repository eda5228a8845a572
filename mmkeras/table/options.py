"""The options of `mmkeras train`: all it can be told, with the defaults."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .columns import MODALITIES
from .command import (
    STATUS,
    Parser,
    add_reading,
    at_least,
    class_list,
    seconds,
    seed,
)

# Told here as well, so that no TensorFlow is loaded for --help; a test compares.
FUSIONS = ("concatenate", "weighted_sum", "product", "gated", "attention", "tensor", "low_rank",
           "cross_attention", "bottleneck", "decision")  # fmt: skip
IMAGE_ENCODERS = ("conv", "small", "stack", "patch")
Add = Callable[..., Any]
EPILOG = f"""Example: mmkeras train weather/data.csv --label label. Or:
mmkeras train visits.csv --label diagnosis --number age --category ward --ignore id --group patient
--time-limit 30m --seeds 3. Paths in the CSV are relative to its folder; a blank cell means that
this row has no such modality. What was trained is kept as it comes: the same command with --resume
goes on after Ctrl-C, a kill or a full disk. {STATUS}"""


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras train",
        description="Train and test a model on a CSV of texts, pictures, sounds, numbers and "
        "categories; write a folder with the model, its test predictions and a report.",
        epilog=EPILOG,
    )
    p.add_argument("csv", type=Path, metavar="data.csv", help="first record: the header")
    _columns(p.add_argument_group("columns (found where they are not named)").add_argument)
    _rows(p.add_argument_group("rows and classes").add_argument)
    add_reading(p.add_argument_group("reading").add_argument)
    _sizes(p.add_argument_group("sizes").add_argument)
    _training(p.add_argument_group("training").add_argument)
    _writing(p.add_argument_group("writing").add_argument)
    return p


def _columns(add: Add) -> None:
    add("--label", default="label", metavar="COL", help="the class to learn (default: label)")
    add("--text", metavar="COL", help="texts")
    add("--image", metavar="COL", help="paths of pictures: PNG, JPEG, WebP and others")
    add("--audio", metavar="COL", help="paths of sounds: WAV, FLAC, OGG and others")
    add("--number", action="append", default=[], metavar="COL", help="numbers, such as an age; "
        "may be given several times")  # fmt: skip
    add("--category", action="append", default=[], metavar="COL", help="a few words or codes, such "
        "as a city; may be given several times")  # fmt: skip
    add("--ignore", action="append", default=[], metavar="COL", help="a column not to be used; may "
        "be given several times")  # fmt: skip
    add("--without", action="append", default=[], choices=MODALITIES, help="leave a modality out; "
        "may be given several times")  # fmt: skip
    add("--split", metavar="COL", help="says train, valid or test in each row (default: by chance)")
    add("--group", metavar="COL", help="rows of one value stay in one part, such as a patient")


def _rows(add: Add) -> None:
    add("--classes", type=class_list, metavar="A,B,…", help="the classes, in this order; rows of "
        "others are problems (default: those in the file)")  # fmt: skip
    add("--least-rows", type=at_least(1), default=1, metavar="N", help="leave out classes with "
        "fewer rows, and say which (default: 1, all are used)")  # fmt: skip
    add("--allow-duplicates", action="store_true", help="let equal rows fall on both sides of a "
        "split (default: they are kept together)")  # fmt: skip


def _sizes(add: Add) -> None:
    add("--words", type=at_least(1), metavar="N", help="of a text (default: holds 95%% of them)")
    add("--image-size", type=at_least(8), default=64, metavar="N", help="pixels (default: 64)")
    add("--audio-rate", type=at_least(1000), default=8000, metavar="HZ", help="samples per second "
        "(default: 8000)")  # fmt: skip
    add("--audio-seconds", type=at_least(0.05, float), metavar="S", help="length of a clip "
        "(default: holds nine of ten files, at most 10)")  # fmt: skip


def _training(add: Add) -> None:
    add("--epochs", type=at_least(1), default=40, metavar="N", help="at most (default: 40)")
    add("--time-limit", type=seconds, metavar="TIME", help="stop training in this time and keep "
        "the best, as in 90s, 10m, 1.5h; a number alone counts minutes")  # fmt: skip
    add("--batch-size", type=at_least(1), metavar="N", help="(default: 8 to 32, by the rows)")
    add("--learning-rate", type=at_least(1e-12, float), default=1e-3, metavar="X", help="of Adam "
        "(default: 0.001)")  # fmt: skip
    add("--fusion", default="concatenate", choices=FUSIONS, metavar="NAME", help="how the "
        f"modalities are joined: {', '.join(FUSIONS)} (default: concatenate)")  # fmt: skip
    add("--image-encoder", default="conv", choices=IMAGE_ENCODERS, metavar="NAME",
        help=f"{', '.join(IMAGE_ENCODERS)} (default: conv)")  # fmt: skip
    add("--class-weight", default="auto", choices=("auto", "balanced", "none"), help="auto: "
        "balanced where one class is three times as frequent as another")  # fmt: skip
    add("--seed", type=seed, default=0, metavar="N", help="of everything (default: 0)")
    add("--seeds", type=at_least(1), default=1, metavar="N", help="train with N seeds, from --seed "
        "on; keep the model that is best on the validation part (default: 1)")  # fmt: skip


def _writing(add: Add) -> None:
    add("--out", type=Path, metavar="DIR", help="where the run goes (default: run, beside the CSV)")
    add("--no-examples", action="store_true", help="put no rows of the data into what is written")
    add("--force", action="store_true", help="replace the files of an earlier run")
    add("--resume", action="store_true", help="go on with a run that was stopped")
