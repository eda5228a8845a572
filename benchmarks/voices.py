"""Tones of Mandarin syllables across two voices: five runs of each network of chapter 04.

    python benchmarks/voices.py

A network is trained on one voice, with or without random shifts of its pitch, and asked for new
syllables: in the same voice, in the other one, in the other one with the voice moved to the
beginning, and in that one played at the pitch of the training voice; and in the same voice with all
clips of one length. Chapter 04, section 13, says why, and trains the first of the five runs. Each
run has another split by syllable and another seed.

It writes benchmarks/results/voices.csv, one row per run, network and clip of the test, with 1 where
the answer was right, and -1 where the clip is not in that test. About 2 minutes on two cores.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import scipy.signal
import tensorflow as tf

import mmkeras as mm

RESULTS = Path(__file__).parent / "results"
RATE = 8000
CUT = RATE // 2  # the network gets 0.5 s
EPOCHS, STEPS, BATCH, RUNS = 12, 12, 64, 5
PITCH = {"low": 135.8965, "high": 337.4456}  # median, Hz, as section 11 of the chapter measures it
OTHER = {"low": "high", "high": "low"}
NETWORKS = {("plain", "high"): None, ("plain", "low"): None, ("shifted", "low"): (-1 / 3, 4 / 3)}


def faster(wave: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """One clip (samples,) played faster, (samples / factor,): 2 is an octave up."""
    old = tf.cast(tf.shape(wave)[0], tf.float32)
    new = 32 * tf.round(old / factor / 32)
    return tf.signal.irfft(tf.signal.rfft(wave), [tf.cast(new, tf.int32)]) * new / old


def first_half_second(wave: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.concat([wave, tf.zeros(CUT)], axis=0)[:CUT], [CUT])


def shifted(data: tf.data.Dataset, octaves: tuple[float, float], seed: int) -> tf.data.Dataset:
    """Play each clip at its own speed, and cut; its shift is drawn from the range `octaves`."""
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    shifts = draws.map(lambda draw: tf.random.stateless_uniform((), draw, *octaves))
    return tf.data.Dataset.zip(data, shifts).map(
        lambda pair, shift: (first_half_second(faster(pair[0], 2.0**shift)), pair[1]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def pipeline(
    part: mm.datasets.Syllables, octaves: tuple[float, float] | None, seed: int
) -> tf.data.Dataset:
    """Batches of ({"audio": waves}, tones), in a new order in each epoch."""
    data = tf.data.Dataset.from_tensor_slices((part.waves, part.y)).shuffle(len(part), seed=seed)
    if octaves is not None:
        data = shifted(data, octaves, seed)
    data = data.batch(BATCH).map(lambda waves, tones: ({"audio": waves[:, :CUT]}, tones))
    return data.prefetch(tf.data.AUTOTUNE)


def network() -> keras.Model:
    branch = mm.audio_branch(CUT, RATE, encoder="conv", units=32)
    model = mm.multimodal_model([branch], heads={"tone": 4}, name="tones")
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * STEPS)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss, steps_per_execution=STEPS)
    return model


def from_onset(waves: np.ndarray) -> np.ndarray:
    """The same clips, moved so that the voice begins after 10 ms; zeros at the end."""
    loud = np.abs(waves) > 0.1 * np.abs(waves).max(axis=1, keepdims=True)
    starts = np.maximum(loud.argmax(axis=1) - RATE // 100, 0)
    return np.stack([np.pad(wave[i:], (0, i)) for wave, i in zip(waves, starts, strict=True)])


def higher(waves: np.ndarray, octaves: float) -> np.ndarray:
    """The same clips played so much higher, cut or padded to (clips, CUT)."""
    length = round(waves.shape[1] / 2**octaves)
    waves = scipy.signal.resample(waves, length, axis=1)[:, :CUT]
    return np.pad(waves, ((0, 0), (0, CUT - waves.shape[1])))


def same_length(part: mm.datasets.Syllables) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Waves (clips, CUT) of the part's median length; which were cut to it, and which had it."""
    ends = np.round(part.table["seconds"].to_numpy() * RATE).astype(int)
    most = int(np.median(ends))
    waves = [np.resize(wave[:end], most) for wave, end in zip(part.waves, ends, strict=True)]
    return np.pad(waves, ((0, 0), (0, CUT - most))), ends > most, ends == most


def judged(trainer: mm.training.Trainer, ask: mm.datasets.Syllables, who: str) -> pd.DataFrame:
    """Whether the network knows the tone of each clip, in each test."""

    def right(part: mm.datasets.Syllables, waves: np.ndarray) -> np.ndarray:
        said = trainer.predict({"audio": waves}, batch_size=1000).argmax(axis=1)
        return (said == part.y).astype(int)

    mine = (ask.table["voice"] == who).to_numpy()
    near, far = ask.take(mine), ask.take(~mine)
    moved, equal = from_onset(far.waves), same_length(near)
    octaves = float(np.log2(PITCH[who] / PITCH[OTHER[who]]))
    tests = [
        {"own": 1, "as_it_is": right(near, near.waves[:, :CUT]), "moved": -1, "at_pitch": -1,
         "one_length": right(near, equal[0]), "cut": 1 * equal[1], "usual": 1 * equal[2]},
        {"own": 0, "as_it_is": right(far, far.waves[:, :CUT]), "moved": right(far, moved[:, :CUT]),
         "at_pitch": right(far, higher(moved, octaves)), "one_length": -1, "cut": -1, "usual": -1},
    ]  # fmt: skip
    return pd.concat(
        pd.DataFrame({"syllable": part.table["syllable"].to_numpy(), "tone": part.y + 1, **columns})
        for part, columns in zip((near, far), tests, strict=True)
    )


def main() -> None:
    mm.start(seed=0)
    syllables = mm.datasets.load_syllables(rate=RATE)
    keep = (syllables.table["tone"] <= 4) & (syllables.table["peak"] > 0.05)  # as the chapter
    spoken = syllables.take(keep.to_numpy())
    trainer, tables = mm.training.Trainer(network), []
    for seed in range(RUNS):
        learn, _, ask = spoken.split(seed=seed)
        for (how, who), octaves in NETWORKS.items():
            own = learn.take((learn.table["voice"] == who).to_numpy())
            trainer.fit(pipeline(own, octaves, seed), seed=seed, epochs=EPOCHS)
            table = judged(trainer, ask, who)
            for place, (name, value) in enumerate(
                {"run": seed + 1, "network": how, "trained_on": who}.items()
            ):
                table.insert(place, name, value)
            tables.append(table)
            shares = table[table["own"] == 0][["as_it_is", "moved", "at_pitch"]].mean()
            same = table[table["own"] == 1]["as_it_is"].mean()
            print(seed + 1, how, who, f"same {same:.2f}", shares.round(2).to_dict(), flush=True)
        pd.concat(tables).to_csv(RESULTS / "voices.csv", index=False)


if __name__ == "__main__":
    main()
