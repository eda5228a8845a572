"""Whisper: the stored answers of the original, the speed, and which layers know tones.

    python benchmarks/whisper.py answers    make tests/data/whisper/answers.npz by the original
    python benchmarks/whisper.py speed      measure clips per second, and the seconds to load
    python benchmarks/whisper.py tones      measure which layer knows the tone of a syllable

All need the asset "whisper-tiny-en"; `tones` also needs "mandarin-syllables", and `answers` the
extra `bench`. The sentence of the tests is rendered by eSpeak NG 1.51 (and resampled to 16 kHz):

    espeak-ng -v en-us -s 160 -w s.wav "Please close the window before you leave the room."
"""

import functools
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmkeras import assets
from mmkeras.datasets import load_syllables
from mmkeras.pretrained import transcribe, whisper_tiny

ROOT = Path(__file__).resolve().parent.parent
DATA, RESULTS = ROOT / "tests" / "data" / "whisper", ROOT / "benchmarks" / "results"
LAYERS = ["positions", "block_1", "block_2", "block_3", "norm"]  # what `layer` 0 to 4 gives


@functools.cache
def original():
    """Whisper tiny.en in CTranslate2, in float32."""
    import ctranslate2

    folder = str(assets.fetch("whisper-tiny-en"))
    return ctranslate2.models.Whisper(folder, compute_type="float32", intra_threads=1)


def original_features(wave):
    """The log-mel spectrogram of faster-whisper, (frames, 80), and CTranslate2's features of it."""
    from ctranslate2 import StorageView
    from faster_whisper.feature_extractor import FeatureExtractor

    mel = FeatureExtractor()(wave, padding=0)
    features = original().encode(StorageView.from_array(mel[None].copy()), to_cpu=True)
    return mel.T, np.asarray(features)[0]


def original_text(wave):
    """The tokens of a wave padded to 30 s, and the probability of no speech."""
    from ctranslate2 import StorageView

    _, heard = original_features(np.pad(wave, (0, 480_000 - len(wave))))
    prompt = [[50_257, 50_362]]  # start of transcript, no timestamps
    view = StorageView.from_array(heard[None].copy())
    (said,) = original().generate(view, prompt, beam_size=1, return_no_speech_prob=True)
    return np.array(said.sequences_ids[0]), np.array(said.no_speech_prob)


def waves():
    """The three clips whose answers are stored: a sentence, noise, silence."""
    noise = np.random.default_rng(0).normal(0, 0.01, 8000).astype("float32")
    sentence, _ = soundfile.read(DATA / "sentence.flac", dtype="float32")
    return {"sentence": sentence, "noise": noise, "silence": np.zeros(8000, "float32")}


def answers():
    """Store every eighth frame of the spectrograms and every sixteenth of the features."""
    kept = {}
    for name, wave in waves().items():
        mel, features = original_features(wave)
        kept[f"{name}_mel"], kept[f"{name}_features"] = mel[::8], features[::16]
        kept[f"{name}_tokens"], kept[f"{name}_silence"] = original_text(wave)
    np.savez_compressed(DATA / "answers.npz", **kept)
    print({key: value.shape for key, value in kept.items()})


def speed():
    rows = []
    for seconds in (0.64, 5, 30):
        for layer in (2, 4):
            start = time.process_time()
            model = whisper_tiny(seconds, layer)
            load = time.process_time() - start
            clips = np.random.default_rng(0).normal(0, 0.1, (64, model.input_shape[1]))
            clips = clips[: 64 if seconds < 1 else 8].astype("float32")
            model.predict(clips, batch_size=16, verbose=0)
            start = time.process_time()
            model.predict(clips, batch_size=16, verbose=0)
            rows.append((seconds, layer, load, len(clips) / (time.process_time() - start)))
    table = pd.DataFrame(rows, columns=["seconds", "layer", "cpu_s_to_load", "clips_per_cpu_s"])
    print(table.round(2).to_string(index=False))
    for call in ("first", "second"):
        start = time.process_time()
        text = transcribe(waves()["sentence"])
        print(f"transcribe, {call} call: {time.process_time() - start:.2f} CPU s: {text}")


def tones(seeds=3):
    """Logistic regression on the mean of each layer, tested on held-out syllables."""
    syllables = load_syllables(16_000)
    syllables = syllables.take(syllables.table["tone"].to_numpy() < 5)
    model = whisper_tiny(0.64)
    places = [model.get_layer(name).output for name in LAYERS]
    means = [keras.layers.GlobalAveragePooling1D()(place) for place in places]
    features = keras.Model(model.input, means).predict(syllables.waves, verbose=0)
    rows = {row: place for place, row in enumerate(syllables.table.index)}
    scores = []
    for layer, x in enumerate(features):
        for voice in (None, "high", "low"):
            for seed in range(seeds):
                train, _, test = syllables.split(voice, seed=seed)
                probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
                sides = [
                    (x[[rows[row] for row in part.table.index]], part.y) for part in (train, test)
                ]
                probe.fit(*sides[0])
                scores.append((layer, voice or "none", seed, probe.score(*sides[1])))
    table = pd.DataFrame(scores, columns=["layer", "held_out_voice", "seed", "accuracy"])
    table.to_csv(RESULTS / "whisper_tones.csv", index=False, float_format="%.4f")
    print(table.pivot_table("accuracy", "layer", "held_out_voice").round(3))


if __name__ == "__main__":
    {"answers": answers, "speed": speed, "tones": tones}[sys.argv[1]]()
