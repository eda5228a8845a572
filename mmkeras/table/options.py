"""The options of `mmkeras train`, with their defaults."""

import argparse
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..usage import Parser
from .columns import MODALITIES
from .command import (
    STATUS,
    add_reading,
    at_least,
    class_list,
    column_list,
    seconds,
    seed,
)

# These names are repeated here, so that --help loads no TensorFlow; a test compares them.
FUSIONS = ("concatenate", "weighted_sum", "product", "gated", "attention", "tensor", "low_rank",
           "cross_attention", "bottleneck", "decision")  # fmt: skip
IMAGE_ENCODERS = ("conv", "small", "stack", "patch")
ENCODERS = ("auto", "scratch", "pretrained")
Add = Callable[..., Any]
EPILOG = f"""Example: mmkeras train weather/data.csv --label label. Or:
mmkeras train visits.csv --label diagnosis --number age --category ward --ignore id --group patient
--time-limit 30m --seeds 3. Paths in the CSV are relative to its folder; a blank cell means that
this row lacks the modality. Each finished epoch is kept, and so are the features of frozen
encoders: after Ctrl-C, a kill or a full disk, the same command with --resume continues the
training. {STATUS}"""


def devices(text: str) -> str:
    """For argparse: "all", or "cpu:2" to "cpu:64"."""
    found = re.fullmatch(r"cpu:(\d+)", text)
    if text != "all" and not (found and 2 <= int(found[1]) <= 64):
        raise argparse.ArgumentTypeError(f"must be all, or cpu:2 and the like; got {text!r}")
    return text


class Network(argparse.Action):
    """An option of networks that are trained from scratch: that it was given is noted."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        namespace.network = [*namespace.network, option]
        setattr(namespace, self.dest, values)


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras train",
        description="Train and test a model on a CSV of texts, pictures, sounds, numbers and "
        "categories; write a folder with the model, its test predictions, a report, a model card "
        "and a data card.",
        epilog=EPILOG,
    )
    p.add_argument("csv", type=Path, metavar="data.csv", help="the table, with a header")
    _columns(p.add_argument_group("columns (guessed if they are not named)").add_argument)
    _rows(p.add_argument_group("rows and classes").add_argument)
    add_reading(p.add_argument_group("reading").add_argument)
    _sizes(p.add_argument_group("sizes").add_argument)
    _training(p.add_argument_group("training").add_argument)
    scratch = p.add_argument_group("networks from scratch (any of these asks for one)")
    _network(functools.partial(scratch.add_argument, action=Network))
    p.set_defaults(network=[])
    _writing(p.add_argument_group("writing").add_argument)
    return p


def _columns(add: Add) -> None:
    add("--label", default="label", metavar="COL", help="the column of the class to "
        "learn (default: label)")  # fmt: skip
    add("--text", metavar="COL", help="the column of texts")
    add("--image", metavar="COL", help="the column of paths of "
        "pictures: PNG, JPEG, WebP and others")  # fmt: skip
    add("--audio", metavar="COL", help="the column of paths of recordings: "
        "WAV, FLAC, OGG and others")  # fmt: skip
    add("--number", action="append", default=[], metavar="COL", help="a column of numbers, "
        "such as the age; may be given several times")  # fmt: skip
    add("--category", action="append", default=[], metavar="COL", help="a column of a few "
        "words or codes, such as the city; may be given several times")  # fmt: skip
    add("--ignore", action="append", default=[], metavar="COL", help="a column that is not "
        "used; may be given several times")  # fmt: skip
    add("--without", action="append", default=[], choices=MODALITIES, help="leave a modality out; "
        "may be given several times")  # fmt: skip
    add("--split", metavar="COL", help="the column that says train, valid or test in each row "
        "(default: the parts are drawn at random)")  # fmt: skip
    add("--group", metavar="COL", help="a column, such as the patient, whose equal values stay in "
        "one part")  # fmt: skip
    add("--groups", type=column_list, default=[], metavar="A,B,…", help="columns of groups of "
        "people, such as sex,age, whose results are shown apart; they need not be inputs, and "
        "numbers are cut into three bands")  # fmt: skip


def _rows(add: Add) -> None:
    add("--classes", type=class_list, metavar="A,B,…", help="the classes, in this order; a row "
        "of another class is a problem (default: the classes in the file)")  # fmt: skip
    add("--least-rows", type=at_least(1), default=1, metavar="N", help="leave out classes with "
        "fewer rows, and say which (default: 1, so that all are used)")  # fmt: skip
    add("--allow-duplicates", action="store_true", help="let equal rows fall on both sides of a "
        "split (default: they are kept together)")  # fmt: skip


def _sizes(add: Add) -> None:
    add("--words", type=at_least(1), metavar="N", help="length to which texts are cut or "
        "padded, in words, or in characters where a script has no spaces (default: enough for "
        "95%% of the texts)")  # fmt: skip
    add("--image-size", type=at_least(8), metavar="N", help="height and width to which pictures "
        "are scaled, in pixels (default: 64; 96 for a pretrained encoder, which takes 32 and "
        "more)")  # fmt: skip
    add("--audio-rate", type=at_least(1000), metavar="HZ", help="rate to which recordings are "
        "resampled, in samples per second (default: 8000; 16000 for a pretrained "
        "encoder)")  # fmt: skip
    add("--audio-seconds", type=at_least(0.05, float), metavar="S", help="length to which "
        "recordings are cut or padded, in seconds (default: enough for nine of ten, at most "
        "10)")  # fmt: skip


def _training(add: Add) -> None:
    add("--encoders", choices=ENCODERS, help="scratch: networks that learn from this data alone; "
        "pretrained: frozen encoders of text, pictures and speech with small heads, which compete "
        "on the validation part; auto: the same with those that are in the cache, beside TF-IDF "
        "and mel statistics (default: auto)")  # fmt: skip
    add("--fine-tune", action="store_true", help="train on, at a small rate, with the last blocks "
        "of the pretrained encoders that won; the result is kept if it is better on the validation "
        "part by two standard errors, and takes minutes, such as in: mmkeras train data.csv "
        "--fine-tune --time-limit 10m")  # fmt: skip
    add("--time-limit", type=seconds, metavar="TIME", help="longest time to train, such as 90s, "
        "10m or 1.5h, where a number alone means minutes; the best model so far is kept (default: "
        "no limit)")  # fmt: skip
    add("--class-weight", default="auto", choices=("auto", "balanced", "none"), help="weight "
        "of the classes in the loss: balanced by their frequency, none, or auto, which balances "
        "where one class is three times as frequent as another (default: auto)")  # fmt: skip
    add("--seed", type=seed, default=0, metavar="N", help="seed of the split, the first "
        "weights and the order of the rows (default: 0)")  # fmt: skip
    add("--seeds", type=at_least(1), default=1, metavar="N", help="train with N seeds, from --seed "
        "on; keep the model that is best on the validation part, and report the spread; behind "
        "frozen encoders it is the head that is trained N times, unless it is a logistic "
        "regression, which has no random numbers (default: 1)")  # fmt: skip


def _network(add: Add) -> None:
    add("--epochs", type=at_least(1), default=40, metavar="N", help="largest number of passes over "
        "the training part; the training ends earlier when the validation loss no longer falls "
        "(default: 40)")  # fmt: skip
    add("--batch-size", type=at_least(1), metavar="N", help="rows per training step (default: 8 to "
        "32, depending on the number of rows)")  # fmt: skip
    add("--learning-rate", type=at_least(1e-12, float), default=1e-3, metavar="X", help="step "
        "size of the optimiser, Adam (default: 0.001)")  # fmt: skip
    add("--devices", type=devices, metavar="WHICH", help="train on all GPUs of this machine: all; "
        "or, to try it without GPUs, on logical CPUs: cpu:2 (default: one device)")  # fmt: skip
    add("--cluster", metavar="WHERE", help="train with several workers: local:2 starts two here, "
        "and ends both if one dies; or a file with their addresses, such as "
        '{"worker": ["host0:2222", "host1:2222"]}, with --worker in each; TF_CONFIG in the '
        "environment does the same")  # fmt: skip
    add("--worker", type=at_least(0), metavar="N", help="which worker of the file this is; 0 is "
        "the chief, which alone writes the run")  # fmt: skip
    add("--fusion", default="concatenate", choices=FUSIONS, metavar="NAME", help="how the "
        f"modalities are joined: {', '.join(FUSIONS)} (default: concatenate)")  # fmt: skip
    add("--image-encoder", default="conv", choices=IMAGE_ENCODERS, metavar="NAME",
        help=f"how pictures are encoded: {', '.join(IMAGE_ENCODERS)} (default: conv)")  # fmt: skip


def _writing(add: Add) -> None:
    add("--out", type=Path, metavar="DIR", help="folder to write (default: run, beside the CSV)")
    add("--show-rows", action="store_true", help="show rows in the report (the surest mistakes "
        "with their texts, pictures and sounds, what skipped rows held) and their cells in "
        "test_predictions.csv (default: numbers of rows only)")  # fmt: skip
    add("--no-examples", action="store_true", help=argparse.SUPPRESS)  # the default since then
    add("--encrypt-with", type=Path, metavar="KEYFILE", help="at the end, turn the folder into one "
        "file that only this key opens, as mmkeras data lock does; until then it is plain "
        "(needs: pip install 'mmkeras[privacy]')")  # fmt: skip
    add("--force", action="store_true", help="replace the files of an earlier run")
    add("--resume", action="store_true", help="continue a run that was stopped")
