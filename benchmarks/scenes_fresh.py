"""The assistant on fresh splits: with and without the auxiliary loss, each way at its own rate.

    python benchmarks/scenes_fresh.py run      # 26 minutes of one (slow) processor
    python benchmarks/scenes_fresh.py one-rate # 5 minutes more, after `run`
    python benchmarks/scenes_fresh.py summary  # only print what the stored tables say

Written down before a test scene of `SPLITS` was looked at: each of `WAYS` is a model, trained with
or without the loss on what each cell holds, for so many batches; 1,000 batches of concatenation
take about the time of 500 of cross-attention, and 500 of self-attention take as long. The rate of a
way is the one of `TRIED` with the most right replies to the validation scenes of the split
`CHOICE`; where it is the smallest or the largest that was tried, the next one, three times as far,
is tried, too. On each of the six `SPLITS` each way is trained once (eight were planned, and cut
to six for time while the first was trained). The unit is the split: `COMPARISONS` lists all
differences that are looked at, and their intervals are Student's t with Bonferroni for their
number.

Of the fits with the auxiliary loss the programs of `scenes.py` read replies off the outputs, too.
Two of their rules had been added after their gain was seen on the splits 71 to 74; the splits here
were first looked at with these rules in place.

Of concatenation after 500 batches the rates that were chosen differ: 0.009 with the auxiliary loss,
0.003 without. `one-rate` was added after that, with the results of `run` known: it trains the four
combinations of loss and rate on the six splits (all four anew, since the last digits depend on the
processor), and `ONE_RATE` lists the differences that are looked at in them, with the fits of `run`
for cross-attention. With the thirteen above they are eighteen, for which their intervals are.

It writes, to benchmarks/results, scenes_fresh_rates.csv, scenes_fresh.csv and
scenes_fresh_one_rate.csv, one row per fit, with right replies in percent, processor seconds
(`start` is what building the graph costs), and a digest of the test scenes. Fits that a table has
are not done again.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scene_models import MODELS, Data, Trainer
from scenes import accuracies, answers, by_rule, not_typed
from scipy import stats

import mmkeras as mm

RESULTS = Path(__file__).parent / "results"
CHOICE = {149: "noto"}
SPLITS = {141: "twemoji", 142: "noto", 143: "openmoji", 144: "fluent", 145: "twemoji", 146: "noto"}
BATCHES = {MODELS[0]: (500, 1000), MODELS[1]: (500,), MODELS[2]: (500,)}
WAYS = [(m, aux, steps) for m in MODELS[::-1] for aux in (True, False) for steps in BATCHES[m]]
WAY = ["model", "auxiliary", "steps"]
TRIED = (1e-3, 3e-3, 9e-3)
FITS, RATES = RESULTS / "scenes_fresh.csv", RESULTS / "scenes_fresh_rates.csv"
EXTRA = RESULTS / "scenes_fresh_one_rate.csv"
_CROSS, _SELF, _SHORT, _LONG = (
    (MODELS[2], 500),
    (MODELS[1], 500),
    (MODELS[0], 500),
    (MODELS[0], 1000),
)
# (model, batches, auxiliary loss, whose reply) minus the same
COMPARISONS = {
    **{
        f"auxiliary loss: {model}, {steps}": ((model, steps, True, "reply"),
                                              (model, steps, False, "reply"))
        for model, steps in (_CROSS, _SELF, _SHORT, _LONG)
    },
    **{
        f"cross - {model}, {steps}, {'with' if aux else 'without'}": ((*_CROSS, aux, "reply"),
                                                                    (model, steps, aux, "reply"))
        for aux in (True, False)
        for model, steps in (_SELF, _SHORT, _LONG)
    },
    "simple program - cross": ((*_CROSS, True, "rule"), (*_CROSS, True, "reply")),
    "all rules - cross": ((*_CROSS, True, "all_rules"), (*_CROSS, True, "reply")),
    "all rules - 70": ((*_CROSS, True, "all_rules"), None),
}  # fmt: skip
NUMBERS = ["mean", "low", "high", "worst split", "best split"]
# after 500 batches, of concatenation unless it is named: (auxiliary loss, rate) minus the same
ONE_RATE = {
    "auxiliary loss, both at 0.003": ((True, 3e-3), (False, 3e-3)),
    "auxiliary loss, both at 0.009": ((True, 9e-3), (False, 9e-3)),
    "0.009 - 0.003, both with the loss": ((True, 9e-3), (True, 3e-3)),
    "0.009 - 0.003, both without the loss": ((False, 9e-3), (False, 3e-3)),
    "cross - concatenation at 0.009, without": (_CROSS, (False, 9e-3)),
}


def digest(scenes: Any) -> str:
    """Eight signs that tell these scenes from others."""
    table = scenes.table[["text", "reply", "clip", *(f"cell_{i}" for i in range(4))]]
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()[:8]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows that are stored."""
    return pd.read_csv(path).to_dict("records") if path.exists() else []


def add(rows: list[dict[str, Any]], row: dict[str, Any], path: Path) -> None:
    """Keep a row, and store all."""
    rows.append(row)
    pd.DataFrame(rows).to_csv(path, index=False)
    print(row, flush=True)


class Lab:
    """The three models, built when they are first trained, and the split that is at hand."""

    def __init__(self) -> None:
        self.trainers: dict[tuple[str, bool], Trainer] = {}
        self.seed = -1

    def split(self, seed: int, artist: str) -> None:
        if seed != self.seed:
            self.scenes = mm.datasets.load_scenes(held_out_artist=artist, seed=seed)
            self.data, self.seed = Data(self.scenes), seed

    def fit(self, way: tuple[str, bool, int], rate: float) -> tuple[Trainer, dict[str, Any]]:
        """Train, and give the row of what it took and of the validation scenes."""
        model, auxiliary, steps = way
        if (model, auxiliary) not in self.trainers:
            self.trainers[model, auxiliary] = Trainer(model, auxiliary)
        trainer, data = self.trainers[model, auxiliary], self.data
        seconds = trainer.fit(data.x("train"), data.y("train"), steps, self.seed, rate=rate)
        valid = accuracies(answers(trainer.model, data.x("valid")), data.y("valid"))
        row = dict(zip(WAY, way, strict=True)) | {"seed": self.seed, "rate": rate}
        row |= {"seconds": round(seconds, 1), "start": round(trainer.start, 1)}
        return trainer, row | {"valid": valid["reply"]}


def chosen(rows: list[dict[str, Any]], way: tuple[str, bool, int]) -> tuple[float, list[float]]:
    """The best rate of a way by the mean of its validation replies, and all that were tried."""
    table = pd.DataFrame(rows)
    mean = table[(table[WAY] == list(way)).all(axis=1)].groupby("rate")["valid"].mean()
    return float(mean.idxmax()), sorted(mean.index)


def choose(lab: Lab) -> None:
    """All rates of all ways on the split of `CHOICE`, then those beyond a best one at an end."""
    rows = rows_of(RATES)

    def try_(way: tuple[str, bool, int], rate: float) -> None:
        done = {(*(row[name] for name in WAY), row["rate"], row["seed"]) for row in rows}
        if (*way, rate, lab.seed) not in done:
            add(rows, lab.fit(way, rate)[1], RATES)

    wanted = [(way, rate) for way in WAYS for rate in TRIED]
    while wanted:
        for seed, artist in CHOICE.items():
            lab.split(seed, artist)
            for way, rate in wanted:
                try_(way, rate)
        wanted = []
        for way in WAYS:
            best, tried = chosen(rows, way)
            if best in (tried[0], tried[-1]):
                wanted.append((way, float(f"{best * (3 if best == tried[-1] else 1 / 3):.2g}")))


def run(lab: Lab) -> None:
    """Each way once on each split, at its rate."""
    rows, rates = rows_of(FITS), rows_of(RATES)
    done = {(*(row[name] for name in WAY), row["seed"]) for row in rows}
    for seed, artist in SPLITS.items():
        for way in WAYS:
            if (*way, seed) in done:
                continue
            lab.split(seed, artist)
            trainer, row = lab.fit(way, chosen(rates, way)[0])
            row = {"artist": artist, **row, "scenes": digest(lab.scenes.split()[2])}
            given, test = answers(trainer.model, lab.data.x("test")), lab.data.parts["test"]
            row |= accuracies(given, lab.data.y("test"))
            if way[1]:
                row |= programs(given, test)
            add(rows, row, FITS)


def run_one_rate(lab: Lab) -> None:
    """Concatenation after 500 batches, with and without the loss, at either one's rate."""
    rows = rows_of(EXTRA)
    done = {(row["auxiliary"], row["rate"], row["seed"]) for row in rows}
    wanted = [(auxiliary, rate) for auxiliary in (True, False) for rate in (9e-3, 3e-3)]
    scenes = pd.read_csv(FITS).groupby("seed")["scenes"].first()
    for seed, artist in SPLITS.items():
        for auxiliary, rate in wanted:
            if (auxiliary, rate, seed) in done:
                continue
            lab.split(seed, artist)
            trainer, row = lab.fit((MODELS[0], auxiliary, 500), rate)
            row = {"artist": artist, **row, "scenes": digest(lab.scenes.split()[2])}
            if row["scenes"] != scenes[seed]:
                raise ValueError(f"split {seed} has not the test scenes of {FITS.name}")
            given = answers(trainer.model, lab.data.x("test"))
            add(rows, row | accuracies(given, lab.data.y("test")), EXTRA)


def programs(given: dict[str, np.ndarray], test: Any) -> dict[str, float]:
    """Right replies of the programs, in percent: the simple one, with one rule more, with both."""
    asked, other = given["intent"].argmax(-1), not_typed(given["intent"], test.text)
    replies = {
        "rule": by_rule(given, test.text, asked),
        "typed_is_not_asked": by_rule(given, test.text, other),
        "all_rules": by_rule(given, test.text, other, differ=True),
    }
    return {
        name: round(100 * float((reply == test.y).mean()), 2) for name, reply in replies.items()
    }


def differences(fits: pd.DataFrame) -> pd.DataFrame:
    """`COMPARISONS`, a row each: mean over the splits and interval, in points; worst and best."""
    by = fits.set_index(["model", "steps", "auxiliary", "seed"]).sort_index()
    rows = {}
    for name, (one, other) in COMPARISONS.items():
        gain = by.loc[one[:3], one[3]] - (70.0 if other is None else by.loc[other[:3], other[3]])
        rows[name] = interval(gain, len(COMPARISONS))
    return pd.DataFrame(rows, index=NUMBERS).T


def interval(gain: pd.Series, looked_at: int) -> list[float]:
    """`NUMBERS` of a gain by split, among so many that are looked at."""
    error = gain.std() / np.sqrt(len(gain))
    reach = stats.t.ppf(1 - 0.025 / looked_at, len(gain) - 1) * error
    return [gain.mean(), gain.mean() - reach, gain.mean() + reach, gain.min(), gain.max()]


def one_rate(fits: pd.DataFrame, extra: pd.DataFrame) -> pd.DataFrame:
    """`ONE_RATE`, a row each, as `differences`."""
    ways = extra.set_index("seed").groupby(["auxiliary", "rate"])["reply"]
    by = {way: reply.sort_index() for way, reply in ways}
    cross = fits[(fits["model"] == MODELS[2]) & ~fits["auxiliary"]]
    by[_CROSS] = cross.set_index("seed")["reply"].sort_index()
    among = len(COMPARISONS) + len(ONE_RATE)
    rows = {name: interval(by[one] - by[other], among) for name, (one, other) in ONE_RATE.items()}
    return pd.DataFrame(rows, index=NUMBERS).T


def summary() -> None:
    """Print the stored tables."""
    rates, fits = rows_of(RATES), pd.read_csv(FITS)
    table = pd.DataFrame(rates).pivot_table(index=WAY, columns="rate", values="valid")
    print("right replies to the validation scenes of another split, by rate, %")
    print(table.round(1).assign(chosen=[chosen(rates, way)[0] for way in table.index]).to_string())
    print("\nright replies to the test scenes, %")
    for values in ("reply", "all_rules"):
        table = fits.pivot_table(index=WAY, columns=["artist", "seed"], values=values)
        print(values, table.assign(mean=table.mean(axis=1)).round(1).to_string(), sep="\n")
    numbers = ["seconds", "start", "valid", "intent", "kind", "colour", "rule"]
    print(fits.groupby(WAY)[numbers].mean().round(1).to_string())
    print(differences(fits).round(1).to_string())
    if EXTRA.exists():
        print(one_rate(fits, pd.read_csv(EXTRA)).round(1).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run", "one-rate", "summary"])
    what = parser.parse_args().what
    if what == "summary":
        summary()
    else:
        mm.start(seed=0)
        lab = Lab()
        if what == "one-rate":
            run_one_rate(lab)
        else:
            choose(lab)
            run(lab)
