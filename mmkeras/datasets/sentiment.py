"""Posts of three modalities: a rated tweet, an emoji beside it, and a voice that reads something.

The text is real, the picture is drawn by the real counts of how people used emoji, and the voice is
rendered. They belong together only in that they share a class: given the class, a post's tweet,
emoji and voice are independent. So the exact posterior of the class is known for the picture, for
the voice and for both, and shows how much a model could have learned from them. data/README.md has
the card. Used in chapter 16.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .. import assets, files
from ..arguments import check_integer, check_seed, choose
from .emoji_scores import CLASSES, load_emoji_scores
from .reviews import load_reviews
from .speech import Utterance, speak
from .splits import hold_out, positions

PARTS = ("train", "valid", "test")
VALID, TEST = 0.15, 0.25  # shares of the posts, and of the families of emoji
LEAST_RATING = 0.5  # mean rating at which a tweet is positive; negative at its negative
VOICES = {"low": "en-us+m3", "high": "en-us+f2"}
SECONDS = 2.0  # length of every clip; the slowest sentence has 1.93
SENTENCES = (
    "I will be there at three.",
    "They sit in the kitchen.",
    "The shop is on the corner.",
    "He called me on Monday.",
    "The letter is on the table.",
    "We met on the way home.",
)
# The voice's pitch and speed in a class: a normal curve over whole numbers, cut off at both ends
PITCH = np.arange(100)  # of eSpeak NG: 50 is the voice's own; "low" 78 to 176 Hz, "high" 138 to 326
SPEED = np.arange(120, 231)  # words per minute
PITCH_MEANS, PITCH_SPREAD = (30, 50, 70), 20
SPEED_MEANS, SPEED_SPREAD = (150, 175, 200), 25
_INVENTED = 4  # as many near-duplicates, and a tweet was made up to test grammar
_RATES = (8000, 48_000)


@dataclass(frozen=True, eq=False)
class Sentiment:
    """Posts, row by row.

    Attributes:
        table: one row per post. `part` is "train", "valid" or "test"; `label` one of `CLASSES`;
            `text` the tweet, as in the file, and `rating` its mean rating, -4 to 4; `hexcode`,
            `character`, `label_en` and `family` the emoji, as in `load_emoji`, and `artist` who
            drew it; `sentence`, `pitch` (0 to 99) and `speed` (words per minute) what is said and
            how. The index is the row number in the full set and survives `take` and `split`.
        drawings: uint8 (posts of the full set, size, size, 3).
        clips: int16 (posts of the full set, 2 s * rate).
        exact: the posteriors of the full set, see `posterior`.
        voice: who speaks, "low" or "high".
        rate: samples per second.
    """

    table: pd.DataFrame
    drawings: np.ndarray
    clips: np.ndarray
    exact: dict[str, np.ndarray]
    voice: str
    rate: int

    @property
    def text(self) -> np.ndarray:
        """The tweets, object `(rows,)`, as Keras takes them."""
        return self.table["text"].to_numpy(object)

    @property
    def images(self) -> np.ndarray:
        """uint8 `(rows, size, size, 3)`, RGB on white."""
        return self.drawings[self.table.index]

    @property
    def waves(self) -> np.ndarray:
        """float32 `(rows, 2 s * rate)` in [-1, 1], padded with zeros at the end."""
        return self.clips[self.table.index] / np.float32(32_768)

    @property
    def y(self) -> np.ndarray:
        """Class numbers, int32 `(rows,)`, along `CLASSES`: 0 negative, 1 neutral, 2 positive."""
        return pd.Categorical(self.table["label"], categories=CLASSES).codes.astype(np.int32)

    @property
    def posterior(self) -> dict[str, np.ndarray]:
        """What the best model could say, float64 `(rows, 3)`: "image", "audio", "image+audio".

        The classes are equally frequent, so Bayes' rule says, for an emoji e and a class c,

            P(c | e) = P(e | c) / sum over k of P(e | k),    P(e | c) = n(e, c) / sum of n(., c)

        where n(e, c) counts how often e stood in tweets of class c, and the sum runs over the emoji
        of the post's part. For the voice P(pitch, speed | c) = P(pitch | c) P(speed | c), two
        normal curves over whole numbers, takes the place of P(e | c). For both,

            P(c | e, pitch, speed) is proportional to P(c | e) P(c | pitch, speed),

        because they are independent given the class (`combine`). This is exact for who can tell
        which emoji it is and read pitch and speed from the clip; the class shows in nothing else.
        (One artist draws the grinning cat and the cat face alike; they count as two emoji.)
        """
        rows = self.table.index.to_numpy()
        return {name: exact[rows] for name, exact in self.exact.items()}

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{(self.table['part'] == part).sum()} {part}" for part in PARTS)
        emoji = self.table["hexcode"].nunique()
        return f"Sentiment({len(self)} posts with {emoji} emoji, {self.voice} voice: {sizes})"

    def take(self, rows: Sequence[int] | np.ndarray) -> "Sentiment":
        """The rows at these positions (counted from 0 in this object), or where a mask is True."""
        return replace(self, table=self.table.iloc[positions(rows)])

    def split(self) -> tuple["Sentiment", "Sentiment", "Sentiment"]:
        """Training, validation and test posts, which share no tweet and no family of emoji.

        The parts were dealt out when the posts were drawn: ask for another seed of the set.
        """
        of = self.table["part"].to_numpy()
        training, validation, testing = (self.take(of == part) for part in PARTS)
        return training, validation, testing


def load_sentiment(
    posts: int = 1200, *, voice: str = "low", rate: int = 16_000, size: int = 48, seed: int = 0
) -> Sentiment:
    """Posts in three classes of equal size, with their exact posteriors.

    - Text: a tweet that 20 or more people rated (`load_reviews`), negative from a mean rating of
      -0.5 down, positive from 0.5 up, neutral between. Without those that were made up to test
      grammar; of near-duplicates one is kept.
    - Picture: one of 392 emoji that stood in 20 or more places of rated tweets, drawn by
      P(emoji | class) (`load_emoji_scores`), as one of four artists drew it.
    - Voice: a sentence without sentiment; low and slow in the negative class, high and fast in the
      positive one, in distributions that overlap. A rule of ours: real voices do not follow it.

    60% of the posts are for training, 15% for validation, 25% for the test. They share no tweet
    and no family of emoji. The same arguments give the same posts, and another voice says the same:
    `load_sentiment(voice="high")` holds the posts of `load_sentiment()`, so that a model can be
    tested on a voice that it never heard. The clips are rendered once (about 2 ms each).

    Args:
        posts: how many, 60 to 2,304, a multiple of 3.
        voice: "low" (a man's pitch, 78 to 176 Hz) or "high" (a woman's, 138 to 326 Hz).
        rate: samples per second, 8000 to 48000.
        size: side of the pictures in pixels, 16 to 512.
        seed: of all draws.

    Raises:
        ValueError: an argument out of range.
        mmkeras.assets.AssetError: the data is not in the cache and cannot be fetched; the package
            that speaks is not installed, failed, or gave silence.
    """
    rate = check_integer("rate", rate, *_RATES)
    variant = choose("voice", voice, VOICES)
    rng = np.random.default_rng([16, check_seed(seed)])
    tweets = _tweets()
    most = 3 * int(tweets["label"].value_counts().min())
    if check_integer("posts", posts, 60, most) % 3:
        raise ValueError(f"posts must be a multiple of 3, one for each class, got {posts}")
    table = _texts(tweets, posts // 3, rng)
    emoji = load_emoji_scores(size)
    likelihood, pictures = _emoji(emoji.table, table, seed, rng)
    for column in ("hexcode", "character", "label_en", "family", "artist"):
        table[column] = emoji.table[column].to_numpy()[pictures]
    table["sentence"] = rng.choice(SENTENCES, posts)
    of_pitch, of_speed = voice_likelihoods()
    y = pd.Categorical(table["label"], categories=CLASSES).codes
    table["pitch"] = [rng.choice(PITCH, p=of_pitch[c]) for c in y]
    table["speed"] = [rng.choice(SPEED, p=of_speed[c]) for c in y]
    image = combine(likelihood)
    audio = combine(of_pitch.T[table["pitch"]], of_speed.T[table["speed"] - SPEED[0]])
    exact = {"image": image, "audio": audio, "image+audio": combine(image, audio)}
    return Sentiment(
        table, emoji.images[pictures], _clips(table, variant, rate), exact, voice, rate
    )


def combine(*likelihoods: np.ndarray) -> np.ndarray:
    """The posterior from independent sources: the product, each row divided by its sum.

    Exact if the classes are equally frequent and the sources independent given the class. Each is
    `(rows, classes)`: P(source | class) up to a factor per row, such as a posterior. What a model
    says of the text may be one of them, if it is calibrated.
    """
    product = np.prod(likelihoods, axis=0)
    return product / product.sum(axis=1, keepdims=True)


def voice_likelihoods() -> tuple[np.ndarray, np.ndarray]:
    """P(pitch | class) (3, 100) along `PITCH`, and P(speed | class) (3, 111) along `SPEED`."""
    pitch = np.exp(-(((PITCH - np.c_[list(PITCH_MEANS)]) / PITCH_SPREAD) ** 2) / 2)
    speed = np.exp(-(((SPEED - np.c_[list(SPEED_MEANS)]) / SPEED_SPREAD) ** 2) / 2)
    return pitch / pitch.sum(axis=1, keepdims=True), speed / speed.sum(axis=1, keepdims=True)


# ---- the three modalities ---------------------------------------------------------------------


@functools.cache
def _tweets() -> pd.DataFrame:
    """`text`, `rating`, `label` of the tweets that nobody made up, one of each group."""
    table = load_reviews().of("tweets").table
    together = table.groupby("group")["text"].transform("size")
    table = table[together < _INVENTED].drop_duplicates("group")
    side = np.sign(table["rating"]) * (table["rating"].abs() >= LEAST_RATING)
    return table[["text", "rating"]].assign(label=np.array(CLASSES)[side.astype(int) + 1])


def _texts(tweets: pd.DataFrame, per_class: int, rng: np.random.Generator) -> pd.DataFrame:
    """`part`, `label`, `text`, `rating` of the posts, in random order; equal in classes by part."""
    valid, test = round(VALID * per_class), round(TEST * per_class)
    part = np.repeat(PARTS, [per_class - valid - test, valid, test])
    chosen = []
    for label in CLASSES:
        rows = rng.permutation(np.flatnonzero(tweets["label"] == label))[:per_class]
        chosen.append(tweets.iloc[rows].assign(part=part))
    table = pd.concat(chosen)[["part", "label", "text", "rating"]]
    return table.iloc[rng.permutation(len(table))].reset_index(drop=True)


def _emoji(
    drawings: pd.DataFrame, posts: pd.DataFrame, seed: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """For each post P(its emoji | class) (posts, 3), and the position of its drawing."""
    concepts = drawings.drop_duplicates("hexcode").reset_index(drop=True)
    counts = concepts[list(CLASSES)].to_numpy(float)
    leans = (counts / counts.sum(axis=0)).argmax(axis=1)
    sides = hold_out(
        concepts.assign(leans=leans),
        *("family", "artist", None),
        stratify="leans",
        test=TEST,
        valid=VALID,
        seed=seed,
    )
    place = drawings.reset_index(drop=True).groupby("hexcode").groups
    likelihood, pictures = np.empty((len(posts), 3)), np.empty(len(posts), int)
    for part, side in zip(PARTS, sides, strict=True):
        given_class = counts[side] / counts[side].sum(axis=0)
        codes = concepts["hexcode"].to_numpy()[side]
        for number, label in enumerate(CLASSES):
            rows = np.flatnonzero((posts["part"] == part) & (posts["label"] == label))
            drawn = rng.choice(len(codes), len(rows), p=given_class[:, number])
            likelihood[rows] = given_class[drawn]
            pictures[rows] = [rng.choice(place[code]) for code in codes[drawn]]
    return likelihood, pictures


def _clips(table: pd.DataFrame, variant: str, rate: int) -> np.ndarray:
    """int16 (rows, 2 s * rate), from the cache or rendered into it."""
    said = [
        Utterance(row.sentence, variant, row.pitch, row.speed, seed)
        for seed, row in enumerate(table.itertuples())
    ]
    shape = (len(said), round(SECONDS * rate))
    digest = hashlib.sha256(json.dumps([said, shape]).encode()).hexdigest()[:12]

    def read(path: Path) -> np.ndarray | None:
        clips = np.load(path, mmap_mode="r")
        return clips if clips.shape == shape and clips.dtype == np.int16 else None

    def render() -> np.ndarray:
        clips = np.zeros(shape, np.int16)
        for clip, wave in zip(clips, speak(said, rate), strict=True):
            clip[: len(wave)] = np.round(wave[: len(clip)] * 32_767)
        return clips

    return files.cached(
        assets.cache_dir() / "rendered" / f"sentiment-{digest}.npy",
        render,
        read=read,
        write=np.save,
        what="clips",
    )
