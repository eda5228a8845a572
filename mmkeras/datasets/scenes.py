"""Scenes: four drawings, a rendered question about one of them, a typed word on which is meant.

The drawings are real, the voice is rendered, and we put them together. The picture says what is
where, the voice says what is asked, the text says of which drawing: no two of the three suffice,
and how far they reach is computed exactly (`ceilings`). data/README.md has the card. Used in
chapter 14.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..arguments import check_integer, check_seed
from .colours import name_drawings
from .emoji import Emoji, load_emoji
from .scene_ceilings import (
    COLOURS,
    COMBINATIONS,
    KINDS,
    MODALITIES,
    PLACES,
    REPLIES,
    exact_ceilings,
    replies,
    worlds,
)
from .scene_questions import INTENTS, VOICES, WORDINGS, clips, questions
from .splits import hold_out, positions

__all__ = [
    "COLOURS",
    "INTENTS",
    "KINDS",
    "MODALITIES",
    "PLACES",
    "REPLIES",
    "Scenes",
    "load_scenes",
]
PARTS = ("train", "valid", "test")
FORMS = (
    "the {}",
    "that {}",
    "the {} please",
    "i mean the {}",
    "look at the {}",
    "this {} here",
    "about the {}",
    "now the {}",
)
VALID, TEST = 0.12, 0.3  # shares of the families of concepts
_HELD = {"voice": (len(VOICES), 2, 3), "wording": (len(WORDINGS), 1, 2), "form": (len(FORMS), 1, 2)}
_NO_VEHICLE = (
    "station|bus stop|motorway|railway track|oil drum|fuel pump|wheel|police car light|"
    "horizontal traffic light|vertical traffic light|stop sign|construction|anchor|ring buoy|seat"
)
_NO_CLOTHING = "gem stone|hair pick|folding hand fan|lipstick|prayer beads"


@dataclass(frozen=True, eq=False)
class Scenes:
    """Scenes, row by row, as numbers of drawings and of clips: thousands of them cost little.

    Attributes:
        table: one row per scene. `part` is "train", "valid" or "test"; `intent` what is asked and
            `refers` by what the drawing is named, both "colour", "kind" or "place", never the same;
            `meant` the place of this drawing, 0 to 3, along `PLACES`; `text` as typed; `reply` one
            of `REPLIES`; `clip` a row of `spoken`; `cell_0` to `cell_3` rows of `drawings`. The
            index is the row number in the full set, and `take` and `split` keep it.
        drawings: an `Emoji` with the columns `kind`, `colour` and `part` besides.
        spoken: one row per clip: `sentence`, `intent`, `wording`, `voice`, `pitch`, `speed`.
        words: one row per spoken word: `clip`, `word`, `start`, `end` (seconds).
        clips: int16 (clips, 2 s * rate).
        exact: for each part, the ceiling of each subset of modalities, see `ceilings`.
        rate: samples per second.
    """

    table: pd.DataFrame
    drawings: Emoji
    spoken: pd.DataFrame
    words: pd.DataFrame
    clips: np.ndarray
    exact: dict[str, dict[str, float]]
    rate: int

    @property
    def cells(self) -> np.ndarray:
        """Rows of `drawings`, int64 `(rows, 4)`: `features[scenes.cells]` are a scene's tokens."""
        return self.table[[f"cell_{place}" for place in range(4)]].to_numpy(np.int64)

    @property
    def clip(self) -> np.ndarray:
        """Rows of `spoken`, int64 `(rows,)`."""
        return self.table["clip"].to_numpy(np.int64)

    @property
    def text(self) -> np.ndarray:
        """What is typed, object `(rows,)`, as Keras takes it."""
        return self.table["text"].to_numpy(object)

    @property
    def images(self) -> np.ndarray:
        """The scenes, uint8 `(rows, 2 * size, 2 * size, 3)`, RGB on white: 110 kB each at 96."""
        four = self.drawings.images[self.cells]
        top, bottom = (np.concatenate([four[:, i], four[:, i + 1]], axis=2) for i in (0, 2))
        return np.concatenate([top, bottom], axis=1)

    @property
    def waves(self) -> np.ndarray:
        """float32 `(rows, 2 s * rate)` in [-1, 1], padded with zeros at the end."""
        return self.clips[self.clip] / np.float32(32_768)

    @property
    def y(self) -> np.ndarray:
        """The replies, int32 `(rows,)`, numbered along `REPLIES`."""
        return _numbers(self.table["reply"], REPLIES)

    @property
    def intent(self) -> np.ndarray:
        """What is asked, int32 `(rows,)`: 0 the colour, 1 the kind, 2 the place."""
        return _numbers(self.table["intent"], INTENTS)

    @property
    def meant(self) -> np.ndarray:
        """The place of the drawing that is meant, int32 `(rows,)`, along `PLACES`."""
        return self.table["meant"].to_numpy(np.int32)

    @property
    def kinds(self) -> np.ndarray:
        """What is in each cell, int32 `(rows, 4)`, along `KINDS`."""
        return _numbers(self.drawings.table["kind"], KINDS)[self.cells]

    @property
    def colours(self) -> np.ndarray:
        """The colour in each cell, int32 `(rows, 4)`, along `COLOURS`."""
        return _numbers(self.drawings.table["colour"], COLOURS)[self.cells]

    @property
    def ceilings(self) -> dict[str, float]:
        """For each subset of the modalities, how often the best reply can be right, 0..1.

        The keys are "", "image", "audio", "text", "image+audio" and so on. A subset that shows
        the same in several scenes must reply the same to all of them, and can do no better than
        take the most frequent reply. We know how the scenes of a part are drawn, so that summing
        over all that there can be is exact (`scene_ceilings`). The best reply knows the drawings of
        this part (which colours a food can have here), which a model cannot.

        Raises:
            ValueError: there are scenes of several parts here.
        """
        parts = list(self.table["part"].unique())
        if len(parts) != 1:
            raise ValueError(f"ceilings belong to one part, here are {parts}: split first")
        return self.exact[parts[0]]

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{(self.table['part'] == part).sum()} {part}" for part in PARTS)
        return f"Scenes({sizes}; {len(self.drawings)} drawings, {len(self.spoken)} clips)"

    def take(self, rows: Sequence[int] | np.ndarray) -> "Scenes":
        """The rows at these positions (counted from 0 in this object), or where a mask is True."""
        return replace(self, table=self.table.iloc[positions(rows)])

    def split(self) -> tuple["Scenes", "Scenes", "Scenes"]:
        """Training, validation and test scenes, as they were dealt out when they were drawn.

        They share no concept and no near-duplicate, no voice, no spoken wording and no typed form;
        the test scenes are drawn by an artist who drew none of the others.
        """
        of = self.table["part"].to_numpy()
        training, validation, testing = (self.take(of == part) for part in PARTS)
        return training, validation, testing


def load_scenes(
    scenes: int = 8000,
    *,
    held_out_artist: str = "twemoji",
    valid: int = 1000,
    test: int = 2000,
    size: int = 96,
    rate: int = 16_000,
    seed: int = 0,
) -> Scenes:
    """Scenes for training, validation and test, with their exact ceilings.

    - Picture: two by two drawings, of four different kinds and four different colours. The kind
      comes from the emoji's group, the colour from its pixels (`colours`); drawings without a clear
      colour are left out. Four kinds are drawn, then a drawing of each, each equally likely,
      anew until the four colours differ.
    - Voice: eSpeak NG asks for the colour, the kind or the place, in one of eight wordings.
    - Text: which drawing is meant, by one of the two other attributes, in one of eight forms:
      "the animal", "the red one", "the top left one".

    The test scenes hold 30% of the families of concepts, as the held-out artist draws them, and are
    asked by three voices in two wordings with two typed forms that occur nowhere else. The
    validation scenes have 12% of the families, two voices, one wording and one form of their own,
    by the artists of the training. The clips are rendered once (2 s), the same for every seed.

    Args:
        scenes, valid, test: how many for training, validation and test, each at least 1.
        held_out_artist: "noto", "twemoji", "openmoji" or "fluent".
        size: side of a drawing in pixels, 16 to 512; a scene has twice this side.
        rate: samples per second, 8000 to 48000.
        seed: of all draws, int from 0. It decides what is held out, too.

    Raises:
        ValueError: an argument out of range, or an artist who is none.
        mmkeras.assets.AssetError: the data is not in the cache and cannot be fetched; the package
            that speaks is not installed, failed, or refused a voice.
    """
    counts = [
        check_integer(name, n) for name, n in (("scenes", scenes), ("valid", valid), ("test", test))
    ]
    rate = check_integer("rate", rate, 8000, 48_000)
    rng = np.random.default_rng([14, check_seed(seed)])
    drawings = _drawings(size, held_out_artist, seed)
    spoken = questions()
    waves, words = clips(spoken, rate)
    held = {name: _deal(*numbers, rng) for name, numbers in _HELD.items()}
    tables, exact = [], {}
    for part, count in zip(PARTS, counts, strict=True):
        table, exact[part] = _draw(part, count, drawings.table, spoken, held, rng)
        tables.append(table)
    return Scenes(pd.concat(tables, ignore_index=True), drawings, spoken, words, waves, exact, rate)


def _numbers(column: pd.Series, names: Sequence[str]) -> np.ndarray:
    return pd.Categorical(column, categories=names).codes.astype(np.int32)


def _deal(count: int, valid: int, test: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Which of `count` things belong to which part."""
    order = rng.permutation(count)
    ends = {
        "test": order[:test],
        "valid": order[test : test + valid],
        "train": order[test + valid :],
    }
    return {part: np.sort(of) for part, of in ends.items()}


# ---- drawings -------------------------------------------------------------------------------


def _drawings(size: int, held_out_artist: str, seed: int) -> Emoji:
    """The drawings that have a kind and a colour, with `kind`, `colour` and `part`."""
    emoji = load_emoji(size)
    kind, colour = _named()
    table = emoji.table.assign(kind=kind, colour=colour)
    rows = np.flatnonzero(table["colour"] != "")
    table = table.iloc[rows].reset_index(drop=True)
    sides = hold_out(
        table,
        *("family", "artist", held_out_artist),
        stratify="kind",
        test=TEST,
        valid=VALID,
        seed=seed,
    )
    table["part"] = np.select(sides, PARTS, "")
    rows, table = rows[table["part"] != ""], table[table["part"] != ""]
    return Emoji(table.reset_index(drop=True), emoji.images[rows], emoji.groups)


@functools.cache  # to look at all pixels takes seconds, and the colour does not depend on the size
def _named() -> tuple[np.ndarray, np.ndarray]:
    """The kind and the colour of each drawing, str (drawings,) each; "" where it has none."""
    small = load_emoji(48)
    kind = _kinds(small.table)
    colour = np.full(len(kind), "", object)
    colour[kind != ""] = name_drawings(small.images[kind != ""])
    return kind, colour


def _kinds(table: pd.DataFrame) -> np.ndarray:
    """One of `KINDS` or "" for each row, by emojibase's subgroup."""
    subgroup, label = table["subgroup"], table["label_en"]
    of = [
        subgroup.str.startswith("face-") | (subgroup == "cat-face"),
        subgroup.str.startswith("animal-") & ~label.isin(["paw prints", "feather"]),
        subgroup.str.startswith("food-"),
        subgroup.str.startswith("transport-") & ~label.str.fullmatch(_NO_VEHICLE),
        (subgroup == "clothing") & ~label.str.fullmatch(_NO_CLOTHING),
    ]
    return np.select(of, KINDS, "")


# ---- scenes ---------------------------------------------------------------------------------


def _draw(
    part: str,
    count: int,
    drawings: pd.DataFrame,
    spoken: pd.DataFrame,
    held: dict[str, dict[str, np.ndarray]],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The scenes of a part, and its ceilings."""
    kind, colour = _numbers(drawings["kind"], KINDS), _numbers(drawings["colour"], COLOURS)
    here = (drawings["part"] == part).to_numpy()
    bins = {
        (k, c): np.flatnonzero(here & (kind == k) & (colour == c))
        for k in range(len(KINDS))
        for c in range(len(COLOURS))
    }
    sizes = np.array([len(of) for of in bins.values()]).reshape(len(KINDS), len(COLOURS))
    found, likely = worlds(sizes)
    rows, four = np.arange(count)[:, None], rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    chosen = found[rng.choice(len(found), count, p=likely)][rows, four]  # (count, 4, 2)
    cells = np.empty((count, 4), np.int64)
    for (k, c), of in bins.items():
        at = (chosen == (k, c)).all(axis=2)
        cells[at] = rng.choice(of, at.sum()) if at.any() else 0
    asked, by = np.array(COMBINATIONS)[rng.integers(len(COMBINATIONS), size=count)].T
    meant = rng.integers(4, size=count)
    value = replies(chosen[rows[:, 0], meant], meant)  # (count, 3)
    table = pd.DataFrame(
        {
            "part": part,
            "intent": np.array(INTENTS)[asked],
            "refers": np.array(INTENTS)[by],
            "meant": meant,
            "reply": np.array(REPLIES)[value[rows[:, 0], asked]],
        }
    )
    table["text"] = _typed(value[rows[:, 0], by], rng.choice(held["form"][part], count))
    mine = np.isin(spoken["voice"], np.array(VOICES)[held["voice"][part]])
    mine &= np.isin(spoken["wording"], held["wording"][part])
    table["clip"] = 0
    for number, intent in enumerate(INTENTS):
        can = np.flatnonzero(mine & (spoken["intent"] == intent))
        table.loc[asked == number, "clip"] = rng.choice(can, (asked == number).sum())
    for place in range(4):
        table[f"cell_{place}"] = cells[:, place]
    return table, exact_ceilings(found, likely)


def _typed(value: np.ndarray, form: np.ndarray) -> list[str]:
    """A form with the word of each value: "the animal", but "the red one", "the top left one"."""
    names = [f"{REPLIES[v]}{'' if REPLIES[v] in KINDS else ' one'}" for v in value]
    return [FORMS[f].format(name) for f, name in zip(form, names, strict=True)]
