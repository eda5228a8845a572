"""The rendered questions of the scenes: who says which sentence, and when each word begins.

Nobody spoke: eSpeak NG says them (`speech`). Every sentence is a wording with a place for one word,
which says what is asked. All three words fit all wordings, so that nothing but this word tells the
questions apart. To be read with `scenes`.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from .. import assets, files
from .speech import Utterance, speak_words

INTENTS = ("colour", "kind", "place")
WORDINGS = (
    "What {} is it?",
    "Which {} is that?",
    "Tell me the {}.",
    "I want to know its {}.",
    "And the {}?",
    "Name its {}, please.",
    "Do you see its {}?",
    "What is the {}?",
)
# A language and a variant of eSpeak NG; no variant twice. The process that speaks refuses a name
# that eSpeak NG does not know: by itself it would go on in the voice before (chapter 14).
VOICES = (
    "en-us+m1",
    "en-us+f1",
    "en-gb-scotland+m2",
    "en-us+f2",
    "en-us+m3",
    "en-gb-x-rp+f3",
    "en-029+m4",
    "en-gb-scotland+f4",
    "en-us-nyc+m7",
    "en-us+f5",
    "en-gb-x-rp+m8",
    "en-029+m6",
)
TAKES = 2  # how often a voice says each sentence, with another pitch and speed
PITCH, SPEED = (35, 65), (150, 200)  # of eSpeak NG; words per minute
SECONDS = 2.0  # length of every clip; the longest sentence has 1.9


def questions() -> pd.DataFrame:
    """One row per clip, 576 of them: `sentence`, `intent`, `wording`, `voice`, `pitch`, `speed`.

    `wording` is a place in `WORDINGS`. Pitch and speed are drawn, always the same.
    """
    rng = np.random.default_rng(14)
    rows = [
        (text.format(intent), intent, number, voice, *_manner(rng))
        for voice in VOICES
        for number, text in enumerate(WORDINGS)
        for intent in INTENTS
        for _ in range(TAKES)
    ]
    return pd.DataFrame(rows, columns=["sentence", "intent", "wording", "voice", "pitch", "speed"])


def _manner(rng: np.random.Generator) -> tuple[int, int]:
    pitch, speed = (int(rng.integers(low, high + 1)) for low, high in (PITCH, SPEED))
    return pitch, speed


def clips(table: pd.DataFrame, rate: int) -> tuple[np.ndarray, pd.DataFrame]:
    """What `questions` lists, said: from the cache, or rendered into it (2 s).

    Returns:
        int16 `(clips, 2 s * rate)`, padded with zeros at the end; and one row per word, `clip`,
        `word` (in lower case, without signs), `start` and `end` (seconds). A word ends where the
        next one begins, the last one with the sentence.

    Raises:
        ValueError: a sentence lasts longer than a clip.
        mmkeras.assets.AssetError: as `speech.speak_words`.
    """
    said = [
        Utterance(row.sentence, row.voice, row.pitch, row.speed, seed)
        for seed, row in enumerate(table.itertuples())
    ]
    shape = (len(said), round(SECONDS * rate))
    digest = hashlib.sha256(json.dumps([said, shape]).encode()).hexdigest()[:12]

    def read(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
        with np.load(path) as stored:
            waves, times = stored["clips"], stored["times"]
        return (waves, times) if waves.shape == shape and waves.dtype == np.int16 else None

    def render() -> tuple[np.ndarray, np.ndarray]:
        waves, starts = speak_words(said, rate)
        out, times = np.zeros(shape, np.int16), []
        for number, (clip, wave, begun) in enumerate(zip(out, waves, starts, strict=True)):
            if len(wave) > len(clip):
                raise ValueError(f"{said[number]} lasts {len(wave) / rate:.2f} s, over {SECONDS}")
            clip[: len(wave)] = np.round(wave * 32_767)
            ends = np.append(begun[1:], len(wave) / rate)
            times += [(number, *pair) for pair in zip(begun, ends, strict=True)]
        return out, np.array(times)

    waves, times = files.cached(
        assets.cache_dir() / "rendered" / f"questions-{digest}.npz",
        render,
        read=read,
        write=lambda file, made: np.savez(file, clips=made[0], times=made[1]),
        what="clips",
    )
    spoken = [word.strip(".,?").lower() for row in said for word in row.sentence.split()]
    words = pd.DataFrame(times, columns=["clip", "start", "end"]).astype({"clip": int})
    words.insert(1, "word", spoken)
    return waves, words
