"""The posts of `mmkeras sample --set sentiment`: `datasets.load_sentiment` as a folder of files."""

import csv
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from ..datasets.sentiment import CLASSES, Sentiment, load_sentiment

ROWS = 600
COLUMNS = ["text", "picture", "voice", "label", "split"]
ABOUT = """Posts of three modalities, made by mmkeras sample --set sentiment with seed {seed}.

text     real: tweets that people rated (Hutto & Gilbert 2014)
picture  an emoji, drawn by how often people really used it in negative, neutral and positive
         tweets (Kralj Novak, Smailovic, Sluban & Mozetic 2015; counts under CC-BY-SA-4.0), as
         Noto (Apache-2.0), Twemoji (CC-BY-4.0), OpenMoji (CC-BY-SA-4.0) or Fluent (MIT) has it
voice    rendered: nobody spoke. Pitch and speed depend on the class, by a rule of ours
label    {classes}: the class of the tweet
split    the parts share no tweet and no emoji: mmkeras train data.csv --split split

The three were put together for this set; nobody wrote such a post. {rows} rows, {test} of them
for the test. The best that can be known there: {best}.
Good for comparing models; results on it say nothing about real voices, or about how a person feels.
"""


def write(folder: str | Path, *, rows: int = ROWS, seed: int = 0) -> Path:
    """Write the set: data.csv, pictures/*.png, voices/*.wav (16 kHz, 16 bits) and README.txt.

    Columns: text, picture, voice (paths below the folder), label, split (train, valid, test).

    The same arguments give the same files. Existing files of the same names are replaced, others
    are left alone.

    Args:
        folder: made if need be.
        rows: as `posts` of `load_sentiment`, a multiple of 3.
        seed: int ≥ 0.

    Returns:
        The path of data.csv.

    Raises:
        ValueError: a number of rows that cannot be had.
        mmkeras.assets.AssetError: data that cannot be fetched; what speaks is not installed.
        OSError: the folder cannot be written.
    """
    posts = load_sentiment(rows, size=64, seed=seed)
    folder = Path(folder)
    for name in ("pictures", "voices"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    cells, drawn = [COLUMNS], set[str]()
    pairs = zip(posts.table.itertuples(), posts.images, posts.waves, strict=True)
    for number, (row, image, wave) in enumerate(pairs):
        picture, voice = f"pictures/{row.hexcode}-{row.artist}.png", f"voices/{number:04d}.wav"
        if picture not in drawn:  # several posts may share it
            Image.fromarray(image).save(folder / picture)
            drawn.add(picture)
        heard = wave[: np.flatnonzero(wave)[-1] + 1]
        soundfile.write(folder / voice, heard, posts.rate, subtype="PCM_16")
        cells.append([row.text, picture, voice, row.label, row.part])
    with open(folder / "data.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(cells)
    testing = posts.split()[2]
    about = ABOUT.format(
        seed=seed, rows=rows, test=len(testing), classes=", ".join(CLASSES), best=_best(testing)
    )
    (folder / "README.txt").write_text(about, encoding="utf-8")
    return folder / "data.csv"


def _best(testing: Sentiment) -> str:
    """The accuracy that the exact posteriors reach on these rows."""
    names = {"image": "picture", "audio": "voice", "image+audio": "picture and voice"}
    right = {name: (p.argmax(1) == testing.y).mean() for name, p in testing.posterior.items()}
    return ", ".join(f"{names[name]} {share:.3f}" for name, share in right.items())
