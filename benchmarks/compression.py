"""What smaller models cost and lose, on the emoji: a new concept by a new artist.

    python benchmarks/compression.py tune       settings of students and rivals, on validation rows
    python benchmarks/compression.py students   teacher, students, name alone: 4 artists, 3 seeds
    python benchmarks/compression.py sizes      the teacher on smaller pictures, the simplest rival
    python benchmarks/compression.py tuned      students whose picture encoder learns, too
    python benchmarks/compression.py formats    the small model as Keras, LiteRT and ONNX files
    python benchmarks/compression.py prune      the small model with zeros, and with fewer channels
    python benchmarks/compression.py whole      the rival of the one with zeros
    python benchmarks/compression.py article    the recipe of many tutorials: thin matrices, int8
    python benchmarks/compression.py cost       bytes, multiply-adds, time of six models

Each writes benchmarks/results/compression_<name>.csv, which chapter 18 reads: one row per picture,
with 1 where a model is right (students: the class that it names), or one row per model. They take
between one and four minutes of processor time each, and should run on one thread
(OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1). Milliseconds are processor
time: elapsed time depends on what else runs.

The seed of `tune` is used nowhere else. Its settings are chosen by the mean validation accuracy of
two artists. All fits have the same number of steps.
"""

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import compression_models as models
import numpy as np
import pandas as pd
from compression_costs import article, cost
from compression_models import BATCH, CLASSES, EPOCHS, Pictures, right, said
from compression_small import formats, prune, whole
from compression_tuned import tuned
from fusion import RESULTS

import mmkeras as mm
from mmkeras.compression import soften
from mmkeras.datasets import load_emoji
from mmkeras.training import Trainer

SEEDS, DEVELOPMENT = range(1, 4), 0
SIDES = (48, 64, 96)  # of pictures, beside the 32 of the students and the 128 of the teacher
PAIRS = 3  # made-up pairs per row
SMOOTH = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
TAUGHT = [(t, s) for t in (2.0, 4.0, 8.0) for s in (0.5, 1.0)]  # temperature, share of the teacher


class Student(NamedTuple):
    """What reads the picture ("": nothing), and from what it learns."""

    image: str
    way: str


STUDENTS = {
    "name, labels": Student("", "labels"),
    "name, taught": Student("", "taught"),
    "32px, labels": Student("32px", "labels"),
    "32px, smoothed": Student("32px", "smoothed"),
    "32px, tempered": Student("32px", "tempered"),
    "32px, own kind": Student("32px", "own kind"),
    "32px, taught": Student("32px", "taught"),
    "32px, pairs": Student("32px", "pairs"),
    "32px-first, labels": Student("32px-first", "labels"),
    "32px-first, taught": Student("32px-first", "taught"),
}


TUNED = ("32px, smoothed", "32px, taught", "32px, pairs")  # the other students take these settings


class Run:
    """One artist and one seed: inputs and labels of training, validation and test rows."""

    def __init__(self, pictures: Pictures, artist: str, seed: int) -> None:
        data = pictures.data
        self.rows, self.seed, self.artist = data.rows(artist, seed), seed, artist
        self.ids = data.inputs(self.rows[0])["text"]
        self.features, self.emoji = pictures.features, data.emoji
        self.y = data.emoji.y

    def x(self, image: str, part: int | np.ndarray) -> dict[str, np.ndarray]:
        rows = self.rows[part] if isinstance(part, int) else part
        x = {"text": self.ids[rows]}
        return {**x, "image": self.features[image][rows]} if image else x

    def teach(self, trainer: Trainer) -> None:
        """Train the teacher on the labels, and keep its answers."""
        self.fit(trainer, "teacher", self.x("teacher", 0), labels(self.y[self.rows[0]]))
        self.known = trainer.predict(self.x("teacher", 0))
        self.own = self.known  # until a student of the same size has learned
        rng, rows = np.random.default_rng(self.seed), self.rows[0]
        # a name with the picture of another row: nobody has a label for it
        self.named = np.tile(rows, PAIRS)
        self.drawn = rng.permuted(np.tile(rows, (PAIRS, 1)), axis=1).ravel()
        self.made = trainer.predict(
            {"text": self.ids[self.named], "image": self.features["teacher"][self.drawn]}
        )

    def learn(self, trainer: Trainer, student: Student, setting: Any) -> float:
        """Train a student; its validation accuracy."""
        x, y = self.lesson(student.image, student.way, setting)
        return self.fit(trainer, student.image, x, y)

    def lesson(
        self, image: str, way: str, setting: Any
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Inputs and answers that a student learns from, in one of the ways."""
        x, y = self.x(image, 0), self.y[self.rows[0]]
        if way in ("labels", "smoothed"):
            return x, labels(y, setting if way == "smoothed" else 0.0)
        truth = np.eye(CLASSES)[y]
        # "tempered": the labels in the place of a teacher; "own kind": a teacher of its own size
        teacher = {"tempered": truth, "own kind": self.own}.get(way, self.known)
        answers = np.concatenate([soften(teacher, setting[0]), truth], axis=1)
        if way == "pairs":
            more = np.concatenate([soften(self.made, setting[0]), np.zeros_like(self.made)], axis=1)
            seen = self.features[image][self.drawn]
            x = {"text": np.concatenate([x["text"], self.ids[self.named]]),
                 "image": np.concatenate([x["image"], seen])}  # fmt: skip
            answers = np.concatenate([answers, more])
        return x, answers.astype("float32")

    def fit(self, trainer: Trainer, image: str, x: dict, y: np.ndarray) -> float:
        passes = len(y) // len(self.rows[0])  # more rows, fewer epochs: the same steps
        trainer.fit(x, y, seed=self.seed, epochs=EPOCHS // passes, batch_size=BATCH)
        p = trainer.predict(self.x(image, 1))
        return right(p, self.y[self.rows[1]]).mean()


def labels(y: np.ndarray, smooth: float = 0.0) -> np.ndarray:
    """No teacher, then the labels, of which a share `smooth` is spread over all classes."""
    truth = np.eye(CLASSES)[y] * (1 - smooth) + smooth / CLASSES
    return np.concatenate([np.zeros_like(truth), truth], axis=1).astype("float32")


class Trainers:
    """One compiled trainer per input and loss."""

    def __init__(self, pictures: Pictures) -> None:
        self.widths = {"": None, **{n: f.shape[1] for n, f in pictures.features.items()}}
        self.made: dict[Any, Trainer] = {}

    def get(self, image: str, setting: Any = (1.0, 0.0)) -> Trainer:
        loss = setting if isinstance(setting, tuple) else (1.0, 0.0)
        key = (image, loss)
        if key not in self.made:
            width = self.widths[image]
            self.made[key] = models.trainer(width, *loss)
        return self.made[key]


# ------------------------------------------------------------------------------ students


def tune() -> Iterator[pd.DataFrame]:
    """Validation accuracy of every setting of every way to learn, on the development seed."""
    pictures = Pictures()
    trainers, rows = Trainers(pictures), []
    for artist in pictures.data.artists[:2]:
        run = Run(pictures, artist, DEVELOPMENT)
        run.teach(trainers.get("teacher"))
        for name, student in STUDENTS.items():
            if name not in TUNED:
                continue
            for setting in SMOOTH if student.way == "smoothed" else TAUGHT:
                score = run.learn(trainers.get(student.image, setting), student, setting)
                t, share = setting if isinstance(setting, tuple) else (setting, 0.0)
                rows.append({"student": name, "artist": artist, "setting": t, "share": share,
                             "seed": DEVELOPMENT, "accuracy": round(score, 4)})  # fmt: skip
        print(artist, pd.DataFrame(rows).groupby("student")["accuracy"].max().to_dict(), flush=True)
        yield pd.DataFrame(rows)


def chosen() -> dict[str, Any]:
    """The setting of each student with the best mean validation accuracy; the first of equals."""
    table = pd.read_csv(RESULTS / "compression_tune.csv")
    means = table.groupby(["student", "setting", "share"], sort=False)["accuracy"].mean()
    best = {name: part.idxmax()[1:] for name, part in means.groupby("student")}
    settings: dict[str, Any] = {}
    for name, student in STUDENTS.items():
        if student.way == "labels":
            settings[name] = (1.0, 0.0)
        else:
            way = student.way if f"32px, {student.way}" in best else "taught"
            smooth, share = map(float, best[f"32px, {way}"])
            settings[name] = smooth if student.way == "smoothed" else (smooth, share)
    return settings


def students() -> Iterator[pd.DataFrame]:
    """The class that each model names, per validation and test picture; confidence of the name."""
    pictures, settings = Pictures(), chosen()
    trainers, blocks = Trainers(pictures), []
    for seed in SEEDS:
        for artist in pictures.data.artists:
            run = Run(pictures, artist, seed)
            run.teach(trainers.get("teacher"))
            pages = []
            for part in (1, 2):
                table = run.emoji.table.loc[run.rows[part], ["hexcode", "family", "artist"]]
                pages.append(
                    table.assign(held_out=artist, seed=seed, part=("valid", "test")[part - 1])
                )
                p = trainers.get("teacher").predict(run.x("teacher", part))
                pages[-1]["truth"] = run.y[run.rows[part]]
                pages[-1]["teacher"] = p.argmax(axis=1)
            for name, student in STUDENTS.items():
                trainer = trainers.get(student.image, settings[name])
                run.learn(trainer, student, settings[name])
                if name == "32px, labels":
                    run.own = trainer.predict(run.x("32px", 0))
                for part, page in zip((1, 2), pages, strict=True):
                    p = trainer.predict(run.x(student.image, part))
                    page[name] = p.argmax(axis=1)
                    if name == "name, labels":
                        page["confidence"] = p.max(axis=1).round(4)
            blocks += pages
            said(pages[1][["teacher", *STUDENTS]].eq(pages[1]["truth"], axis=0).astype(int))
        yield pd.concat(blocks)


def sizes() -> Iterator[pd.DataFrame]:
    """The class that the fused model names per test picture, with pictures of other sizes."""
    pictures, blocks = Pictures(), []
    for side in SIDES:
        encoder = mm.pretrained.efficientnet_lite0((side, side, 3))
        images = load_emoji(size=side).images
        pictures.features[f"{side}px"] = mm.pretrained.cached_features(encoder, images)
    trainer = models.trainer(1280)
    for seed in SEEDS:
        for artist in pictures.data.artists:
            run = Run(pictures, artist, seed)
            page = run.emoji.table.loc[run.rows[2], ["hexcode", "family", "artist"]]
            page = page.assign(held_out=artist, seed=seed, truth=run.y[run.rows[2]])
            for name in (f"{side}px" for side in SIDES):
                run.learn(trainer, Student(name, "labels"), (1.0, 0.0))
                page[name] = trainer.predict(run.x(name, 2)).argmax(axis=1)
            blocks.append(page)
        yield pd.concat(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=JOBS)
    what = parser.parse_args().what
    mm.start(seed=0)
    for found in JOBS[what]():  # written after each step: a run cut short leaves some
        name, table = found if isinstance(found, tuple) else (what, found)
        table.to_csv(RESULTS / f"compression_{name}.csv", index=False)


JOBS = {
    "tune": tune,
    "students": students,
    "sizes": sizes,
    "tuned": lambda: tuned(Run, Trainers, chosen()),
    "formats": formats,
    "prune": prune,
    "whole": whole,
    "article": article,
    "cost": cost,
}

if __name__ == "__main__":
    main()
