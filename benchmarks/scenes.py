"""An assistant that sees, hears and reads: three ways to join the modalities, on fresh splits.

    python benchmarks/scenes.py noto        # one split: the artist to hold out
    python benchmarks/scenes.py rules noto  # cross-attention again, for a program with all rules
    python benchmarks/scenes.py summary     # only print what the stored tables say

The number of batches was chosen on the validation scenes of two other splits, the masks and the
width of the convolutions by hearing alone, trained on some wordings and voices and tested on
others, in turn; the clips are the same in every split. All of it was written down before a test
scene of `SPLITS` was looked at, and is the same for the three models. None has a learning rate of
its own. Each fit is done `FITS` times. "equal time" is as many batches as take about the time of
cross-attention.

It writes, to benchmarks/results: scenes_fits.csv, one row per fit, with accuracies in percent and
processor seconds (`start` is what building the graph costs, once a process and model);
scenes_replies.csv, one row per fit and group of test scenes that share a wording, a question and a
typed form, with the right replies; scenes_attention.csv, where the question looks while
cross-attention is trained; scenes_rules.csv, as scenes_replies.csv, for programs that know more of
the rules of the task. These rules follow from how scenes are made; they were added after their gain
had been seen on these test scenes. `scenes_fresh.py` asks again on splits that were not seen.
"""

import argparse
import itertools
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from scene_models import MODELS, Data, Trainer, attention_of

import mmkeras as mm
from mmkeras.datasets.scenes import COLOURS, KINDS, PLACES

RESULTS = Path(__file__).parent / "results"
SPLITS = {"noto": 71, "twemoji": 72, "openmoji": 73, "fluent": 74}
STEPS, FITS = 500, 3
SAME_TIME = {"concatenation": 1000}  # batches, about the time of cross-attention
UNIT = ["wording", "intent", "form"]


def answers(model: keras.Model, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The logits of each head."""
    given = model.predict(x, batch_size=500, verbose=0)
    return {name: np.asarray(values) for name, values in given.items()}


def accuracies(given: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> dict[str, float]:
    """The share of right answers of each head, in percent."""
    return {n: round(100 * float((given[n].argmax(-1) == y[n]).mean()), 2) for n in y}


def shares(logits: np.ndarray, differ: bool) -> np.ndarray:
    """(n, 4, values) → the probability of each value, float; with `differ` given that the values of
    the four cells differ, summed over all ways to deal them out."""
    p = np.exp(logits - np.logaddexp.reduce(logits, -1, keepdims=True))
    if not differ:
        return p
    found = np.zeros_like(p)
    for values in itertools.permutations(range(p.shape[2]), 4):
        together = np.prod([p[:, cell, value] for cell, value in enumerate(values)], axis=0)
        for cell, value in enumerate(values):
            found[:, cell, value] += together
    return found / found.sum(axis=2, keepdims=True)


def typed(text: str) -> int:
    """Which attribute a text names: 0 a colour, 1 a kind, 2 a place."""
    names = (COLOURS, KINDS, PLACES)
    return next(i for i, of in enumerate(names) if any(re.search(rf"\b{v}\b", text) for v in of))


def not_typed(intent: np.ndarray, texts: Any) -> np.ndarray:
    """Logits of the intent (n, 3) → the likeliest one that the text does not name, int (n,)."""
    open_ = np.array(intent, float)
    open_[np.arange(len(open_)), [typed(text) for text in texts]] = -np.inf
    return open_.argmax(-1)


def by_rule(
    given: dict[str, np.ndarray], texts: Any, intent: np.ndarray, differ: bool = False
) -> np.ndarray:
    """The replies of a program: it finds the cell that is meant, and reads off what is asked.

    It knows the words of colours, kinds and places, takes the cell whose logits make the typed one
    most likely, and gives the likeliest value of the attribute `intent`; -1 for no intent. With
    `differ` it also knows that four cells have four kinds and four colours.
    """
    share = {n: shares(given[n], differ) for n in ("colour", "kind")}
    out = np.full(len(intent), -1)
    for row, (text, asked) in enumerate(zip(texts, intent, strict=True)):
        found = {n: [v for v in names if re.search(rf"\b{v}\b", text)] for n, names in
                 (("colour", COLOURS), ("kind", KINDS), ("place", PLACES))}  # fmt: skip
        if found["place"]:
            cell = PLACES.index(found["place"][0])
        elif found["kind"]:
            cell = int(share["kind"][row, :, KINDS.index(found["kind"][0])].argmax())
        else:
            cell = int(share["colour"][row, :, COLOURS.index(found["colour"][0])].argmax())
        if asked == 0:
            out[row] = share["colour"][row, cell].argmax()
        elif asked == 1:
            out[row] = len(COLOURS) + share["kind"][row, cell].argmax()
        elif asked == 2:
            out[row] = len(COLOURS) + len(KINDS) + cell
    return out


class Watch:
    """On 500 validation scenes: the attention on the cell that is meant, and the right replies."""

    def __init__(self, model: keras.Model, data: Data) -> None:
        self.model, self.probe, self.rows = model, attention_of(model), []
        self.x = {name: values[:500] for name, values in data.x("valid").items()}
        self.y, self.meant = data.y("valid")["reply"][:500], data.parts["valid"].meant[:500]

    def __call__(self, step: int) -> None:
        weights = self.probe.predict(self.x, batch_size=500, verbose=0).mean(axis=1)  # over heads
        reply = self.model.predict(self.x, batch_size=500, verbose=0)["reply"].argmax(axis=1)
        on_it = weights[np.arange(len(weights)), self.meant]
        row = {"step": step, "weight": on_it.mean(), "reply": (reply == self.y).mean()}
        row["largest"] = (weights.argmax(axis=1) == self.meant).mean()
        self.rows.append({name: round(float(value), 4) for name, value in row.items()})


class Split:
    """All fits of a split; the tables are stored after each of them."""

    def __init__(self, artist: str) -> None:
        self.artist, self.seed = artist, SPLITS[artist]
        scenes = mm.datasets.load_scenes(held_out_artist=artist, seed=self.seed)
        self.data, self.test = Data(scenes), scenes.split()[2]
        self.groups = groups(self.test)
        self.fits: list[dict[str, Any]] = []
        self.replies: list[pd.DataFrame] = []

    def one(self, trainer: Trainer, variant: str, steps: int, fit: int) -> None:
        """One fit. The variant is "full", "equal time" or "no augmentation"."""
        data, first = self.data, fit == 0 and variant == "full"
        watch = Watch(trainer.model, data) if first and trainer.kind == MODELS[2] else None
        seconds = trainer.fit(
            *(data.x("train"), data.y("train"), steps, 100 * self.seed + fit),
            augmented=variant != "no augmentation",
            look=watch,
        )
        row = {"artist": self.artist, "seed": self.seed, "model": trainer.kind, "variant": variant}
        row |= {"fit": fit, "steps": steps, "seconds": round(seconds, 1)}
        row["start"] = round(trainer.start, 1)
        valid = accuracies(answers(trainer.model, data.x("valid")), data.y("valid"))
        row["valid"] = valid["reply"]
        given = answers(trainer.model, data.x("test"))
        row |= accuracies(given, data.y("test"))
        replies = {"model": given["reply"].argmax(-1)}
        if variant == "full":
            replies["rule"] = by_rule(given, self.test.text, given["intent"].argmax(-1))
        self.fits.append(row)
        for name, reply in replies.items():
            right = self.groups.assign(right=reply == self.test.y)
            table = right.groupby(UNIT)["right"].agg(["sum", "count"]).reset_index()
            table.insert(0, "by", name)
            label = {name: row[name] for name in ("artist", "model", "variant", "fit")}
            self.replies.append(table.assign(**label))
        print(row, flush=True)
        store("fits", pd.DataFrame(self.fits), self.artist)
        store("replies", pd.concat(self.replies), self.artist)
        if watch:
            store("attention", pd.DataFrame(watch.rows), self.artist)


def groups(test: Any) -> pd.DataFrame:
    """For each test scene the wording and the intent of its clip, and the form of its text."""
    spoken = test.spoken.iloc[test.clip].reset_index(drop=True)
    names = "|".join([*COLOURS, *KINDS, *PLACES])
    form = pd.Series(test.text).str.replace(rf"\b({names})\b( one)?", "…", regex=True)
    return spoken[["wording", "intent"]].assign(form=form)


def run(artist: str) -> None:
    """All fits of a split, the most needed first."""
    split, trainers = Split(artist), {kind: Trainer(kind) for kind in MODELS[::-1]}
    for fit in range(FITS):
        for kind in MODELS[::-1]:
            split.one(trainers[kind], "full", STEPS, fit)
            if kind in SAME_TIME:
                split.one(trainers[kind], "equal time", SAME_TIME[kind], fit)
    split.one(trainers[MODELS[2]], "no augmentation", STEPS, 0)


def run_rules(artist: str) -> None:
    """The full fits of cross-attention again: beside its own replies those of a program that knows
    all rules of the task (what is typed is not asked; the four kinds and colours differ)."""
    split, trainer = Split(artist), Trainer(MODELS[2])
    data, rows = split.data, []
    for fit in range(FITS):
        trainer.fit(*(data.x("train"), data.y("train"), STEPS, 100 * split.seed + fit))
        given, y, texts = answers(trainer.model, data.x("test")), split.test.y, split.test.text
        asked = given["intent"].argmax(-1)
        replies = {
            "model": given["reply"].argmax(-1),
            "rule": by_rule(given, texts, asked),
            "typed is not asked": by_rule(given, texts, not_typed(given["intent"], texts)),
            "all rules": by_rule(given, texts, not_typed(given["intent"], texts), differ=True),
        }
        for name, reply in replies.items():
            right = split.groups.assign(right=reply == y)
            table = right.groupby(UNIT)["right"].agg(["sum", "count"]).reset_index()
            rows.append(table.assign(by=name, fit=fit))
        print(
            {name: round(100 * (reply == y).mean(), 1) for name, reply in replies.items()},
            flush=True,
        )
        store("rules", pd.concat(rows), artist)


def store(name: str, table: pd.DataFrame, artist: str) -> None:
    """Write the rows of an artist into a table, whose other rows stay as they are."""
    path, table = RESULTS / f"scenes_{name}.csv", table.assign(artist=artist)
    if path.exists():
        old = pd.read_csv(path)
        table = pd.concat([old[old["artist"] != artist], table], ignore_index=True)
    table.to_csv(path, index=False)


def summary() -> None:
    """Print the stored tables."""
    fits = pd.read_csv(RESULTS / "scenes_fits.csv")
    keys = ["model", "variant"]
    table = fits.pivot_table(index=keys, columns="artist", values="reply")
    print(table.assign(mean=table.mean(axis=1)).round(1).to_string())
    numbers = ["seconds", "start", "valid", "intent", "kind", "colour"]
    print(fits.groupby(keys)[numbers].mean().round(1).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=[*SPLITS, "rules", "summary"])
    parser.add_argument("artist", nargs="?", choices=[*SPLITS], help="of rules")
    asked = parser.parse_args()
    if asked.what == "summary":
        summary()
    elif asked.what == "rules":
        mm.start(seed=0)
        run_rules(asked.artist)
    else:
        mm.start(seed=0)
        run(asked.what)
