"""The cascade's ear: what Whisper writes about the rendered questions, and what a rule finds in it.

    python benchmarks/scenes_whisper.py run      # 5 minutes of one (slow) processor
    python benchmarks/scenes_whisper.py summary  # only print what the stored tables say

Whisper tiny.en transcribes each clip of chapter 14 that asks in a test of `SPLITS`. `heard_in`
looks for the word that says what is asked; it was written for twelve clips of the split 141, before
the others were transcribed. The rival is the intent that cross-attention hears, with the auxiliary
loss, on the six splits of `scenes_fresh.py`.

It writes, to benchmarks/results, scenes_whisper.csv, one row per clip, and scenes_heard.csv, one
row per split: the questions of the test scenes that are understood, in percent.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scenes_fresh import FITS, SPLITS
from scipy import stats

import mmkeras as mm
from mmkeras.datasets.scenes import INTENTS
from mmkeras.pretrained import transcribe

RESULTS = Path(__file__).parent / "results"
CLIPS, HEARD = RESULTS / "scenes_whisper.csv", RESULTS / "scenes_heard.csv"
WORDS = {"colour": "colou?r", "kind": "kind", "place": "place"}


def heard_in(transcript: str) -> str:
    """What a transcript asks for, one of `INTENTS`; "" where none of the three words is in it."""
    return next((name for name in INTENTS if re.search(WORDS[name], transcript.lower())), "")


def run() -> None:
    """Transcribe the clips of each test that the table lacks, then count."""
    rows = pd.read_csv(CLIPS, keep_default_na=False).to_dict("records") if CLIPS.exists() else []
    for seed, artist in SPLITS.items():
        scenes = mm.datasets.load_scenes(held_out_artist=artist, seed=seed)
        clips = scenes.split()[2].clip
        for clip in sorted(set(clips.tolist()) - {row["clip"] for row in rows}):
            said = scenes.spoken.iloc[clip][["sentence", "intent", "wording", "voice"]].to_dict()
            text = transcribe(scenes.clips[clip] / np.float32(32_768))
            rows.append({"clip": clip, **said, "transcript": text})
        table = pd.DataFrame(rows).sort_values("clip")
        table.to_csv(CLIPS, index=False)
        print(f"{len(rows)} clips", flush=True)
        count(seed, artist, table.set_index("clip"), clips)


def count(seed: int, artist: str, table: pd.DataFrame, clips: np.ndarray) -> None:
    """Store the row of a split: `clips` has the clip of each of its test scenes."""
    right = table["transcript"].map(heard_in) == table["intent"]
    fits = pd.read_csv(FITS).query("model == 'cross-attention' and auxiliary")
    network = fits.set_index("seed").loc[seed, "intent"]
    row = {"seed": seed, "artist": artist, "clips": len(np.unique(clips))}
    row |= {"whisper": round(100 * float(right[clips].mean()), 2), "network": network}
    old = pd.read_csv(HEARD).query("seed != @seed") if HEARD.exists() else None
    pd.concat([old, pd.DataFrame([row])], ignore_index=True).to_csv(HEARD, index=False)


def summary() -> None:
    """Print the stored tables."""
    table = pd.read_csv(CLIPS, keep_default_na=False)
    found = table["transcript"].map(heard_in)
    table = table.assign(right=found == table["intent"], none=found == "")
    print("clips, %, by wording")
    print((100 * table.groupby("wording")[["right", "none"]].mean()).round(1).to_string())
    print((100 * table[["right", "none"]].mean()).round(1).to_dict())
    heard = pd.read_csv(HEARD)
    print(heard.to_string(index=False))
    gain = heard["whisper"] - heard["network"]
    reach = stats.t.ppf(0.975, len(gain) - 1) * gain.sem()
    print(f"Whisper - network, points: {gain.mean():.1f} ± {reach:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run", "summary"])
    if parser.parse_args().what == "run":
        mm.start(seed=0)
        run()
    summary()
