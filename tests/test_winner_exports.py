"""What wins the race is exported as any Keras model; tiny encoders take the place of the large."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import FORMATS, lean
from command_line import call
from tiny_encoders import untrained

import mmkeras as mm
from mmkeras.table import weather
from mmkeras.table.encoders import board, networks
from mmkeras.table.run import load

pytestmark = pytest.mark.usefixtures("own_cache", "short_page", "tiny")


@pytest.mark.slow
def test_the_file_answers_as_the_model(tmp_path, monkeypatch):
    """Of rows with gaps, with all four modalities."""

    def winner(race, able):
        return next(e for e in race.entries if e.fusion == board.LINEAR), "So it was asked."

    monkeypatch.setattr(networks, "trained", untrained)  # a linear head wins here
    data = weather.write(tmp_path / "set", rows=40, new=6)
    keras.utils.set_random_seed(0)  # of the tiny encoders
    monkeypatch.setattr(board.Board, "winner", winner)
    status, _, err = call("train", data, "--encoders", "auto", "--audio-seconds", ".5",
                          "--image-size", 32)  # fmt: skip
    assert status == 0, err
    model, settings = load(data.parent / "run")
    table = mm.load_table(data.parent / "new.csv", label=None, **settings["table"])
    x = next(iter(table.dataset("all")))
    x = {t.name: tf.cast(x[t.name], t.dtype).numpy() for t in model.inputs}
    assert set(x) == {"text", "image", "audio", "numbers", "present"}
    assert (x["present"] == 0).any() and (x["present"] == 1).any()
    want = np.asarray(model.predict_on_batch(x))
    assert np.ptp(want, axis=0).max() > 1e-3, "the rows differ"
    for format in ("tf_saved_model", "litert"):
        suffix, answers = FORMATS[format]
        target = tmp_path / f"model{suffix}"
        with lean():
            model.export(target, format=format, verbose=False)
        (found,) = answers(target, x, []).values()
        np.testing.assert_allclose(np.asarray(found), want, atol=2e-5)
