"""`mmkeras train --fine-tune`, with tiny encoders in the place of the large."""

import json
import math
import signal

import keras
import numpy as np
import pytest
from command_line import call, orders, read, write
from tiny_encoders import untrained

from mmkeras import pretrained
from mmkeras.table import fit, weather
from mmkeras.table.encoders import board, choice, networks, tuning
from mmkeras.table.run import load

pytestmark = pytest.mark.usefixtures("own_cache", "short_page", "tiny")


@pytest.fixture
def data(tmp_path, monkeypatch):
    keras.utils.set_random_seed(0)  # of the tiny encoders
    monkeypatch.setattr(networks, "trained", untrained)  # what wins the race does not matter here
    monkeypatch.setattr(tuning, "TOP", 1)
    monkeypatch.setattr(tuning, "EPOCHS", 2)
    monkeypatch.setattr(tuning, "RATE", 1e-2)
    return weather.write(tmp_path / "set", rows=40, new=1)


ARGUMENTS = ("--encoders", "pretrained", "--without", "audio", "--without", "image")


def train(data, *more):
    status, said, err = call("train", data, *ARGUMENTS, "--fine-tune", *more)
    return status, said, err, data.parent / "run"


def contents(made):
    return [json.loads((made / f"{name}.json").read_text("utf-8")) for name in ("metrics",
            "settings")]  # fmt: skip


def answers_again(made, data, tmp_path):
    """The predictions of the test rows by the saved model differ from the report's by at most …"""
    assert call("predict", made, data, "--out", tmp_path / "p.csv")[0] == 0
    test = read(made / "test_predictions.csv")
    again = read(tmp_path / "p.csv").iloc[test["row"].astype(int) - 2]
    columns = [name for name in test if name.startswith("probability_")]
    return np.abs(again[columns].astype(float).to_numpy() - test[columns].astype(float).to_numpy())


def say(monkeypatch, worse):
    """As if the fine-tuned model had a log loss that is higher by so much, with error 0.1."""
    real = board.Board.worse

    def told(self, p, than):
        return (worse, 0.1) if self.entries[-1].fusion == board.TUNED else real(self, p, than)

    monkeypatch.setattr(board.Board, "worse", told)


def encoder_weights(made):
    model, _ = load(made)
    return model.get_layer("text_encoder").get_weights()


def encoder_before(monkeypatch):
    """A list that gets the encoder's weights as they were before the fine-tuning."""
    found, real = [], pretrained.unfreeze

    def unfreeze(encoder, top):
        found[:] = encoder.get_weights()
        return real(encoder, top)

    monkeypatch.setattr(pretrained, "unfreeze", unfreeze)
    return found


def any_epoch_is_better(monkeypatch):
    """Than the start, by the validation loss."""
    real = fit._Best
    monkeypatch.setattr(fit, "_Best", lambda *given: real(*given[:3], math.inf))


@pytest.mark.slow
def test_what_is_better_is_kept(data, tmp_path, monkeypatch):
    before = encoder_before(monkeypatch)
    say(monkeypatch, -0.3)
    any_epoch_is_better(monkeypatch)
    status, said, err, made = train(data)
    assert status == 0, err
    metrics, settings = contents(made)
    race = metrics["training"]["race"]
    assert "the fine-tuned model is taken" in said and "is taken" in race["why"]
    assert race["winner"] == "fine-tuned"
    assert [line["fusion"] for line in race["board"]].count("fine-tuned") == 1
    assert settings["parameters"]["fine-tuning"] == "kept"
    assert answers_again(made, data, tmp_path).max() < 2e-5
    after = encoder_weights(made)
    moved = [np.abs(a - b).max() for a, b in zip(after, before, strict=True)]
    assert max(moved) > 1e-3 and min(moved) == 0, "blocks move, embeddings never do"
    assert not (made / "training").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_what_is_not_shown_to_be_better_leaves_everything_as_it_was(data, monkeypatch):
    frozen = data.parent / "frozen"
    assert call("train", data, *ARGUMENTS, "--out", frozen)[0] == 0
    keras.utils.set_random_seed(0)
    before = encoder_before(monkeypatch)
    say(monkeypatch, -0.1)
    any_epoch_is_better(monkeypatch)
    status, said, err, made = train(data)
    assert status == 0, err
    (metrics, settings), (_, theirs) = contents(made), contents(frozen)
    race = metrics["training"]["race"]
    assert "stay as they were" in said and "stay as they were" in race["why"]
    assert race["winner"] == theirs["fusion"]
    assert settings["parameters"]["fine-tuning"] == "tried, not kept"
    for a, b in zip(encoder_weights(made), before, strict=True):
        np.testing.assert_array_equal(a, b)
    same = [read(folder / "test_predictions.csv") for folder in (made, frozen)]
    assert same[0].equals(same[1])


def test_the_rule_needs_two_standard_errors():
    y = np.arange(400) % 2
    rng = np.random.default_rng(0)

    def p(gain):
        right = np.clip(0.6 + gain + rng.normal(0, 0.1, 400), 0.01, 0.99)
        return np.stack([np.where(y == k, right, 1 - right) for k in (0, 1)], axis=1)

    race = board.Board(y, None, 0)
    for gain, better in ((0.2, True), (0.0, False), (-0.2, False)):
        worse, error = race.worse(p(gain), p(0))
        assert (worse < -board.SURE * error) == better


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_training_that_gets_worse_ends_as_it_began(data, tmp_path, monkeypatch):
    """The best model is then the frozen one, and the report says that nothing was won."""
    monkeypatch.setattr(tuning, "RATE", 50.0)
    monkeypatch.setattr(tuning, "NORM", 1e9)
    status, said, err, made = train(data)
    if status:  # the loss was not finite, and the frozen model is there for predict
        assert "no finite number" in err and "Nothing trained is lost" in err
        return
    assert "No epoch of the fine-tuning had a lower loss" in said and "stay as they were" in said
    assert answers_again(made, data, tmp_path).max() < 2e-5


@pytest.mark.usefixtures("eager")
@pytest.mark.slow
def test_a_killed_run_goes_on_and_its_best_model_can_predict(data, tmp_path, monkeypatch):
    whole = data.parent / "whole"
    say(monkeypatch, -0.3)
    assert train(data, "--out", whole)[0] == 0
    keras.utils.set_random_seed(0)
    real = fit.Resume.on_epoch_end

    def killed(self, epoch, logs=None):
        real(self, epoch, logs)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(fit.Resume, "on_epoch_end", killed)
    status, _, err, made = train(data)
    assert status == 143 and "Nothing trained is lost" in err, err
    best = made / "training" / "seed-0"
    assert call("predict", best, data, "--out", tmp_path / "early.csv")[0] == 0
    monkeypatch.setattr(fit.Resume, "on_epoch_end", real)
    keras.utils.set_random_seed(0)
    status, said, err, _ = train(data, "--resume")
    assert status == 0 and "epoch   2/2" in said and "epoch   1/2" not in said, err
    for one, other in zip(encoder_weights(made), encoder_weights(whole), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_time_limit_holds(data, monkeypatch):
    monkeypatch.setattr(tuning, "EPOCHS", 500)
    status, said, err, _ = train(data, "--time-limit", "2s")
    assert status == 0 and "epoch" in said and "epoch 500/500" not in said, err


@pytest.mark.usefixtures("eager")
def test_nothing_pretrained_nothing_to_tune(tmp_path, monkeypatch):
    data = write(tmp_path / "data.csv", orders(60))
    status, said, err = call("train", data, "--ignore", "order", "--fine-tune")
    assert status == 0 and "Nothing is fine-tuned: none of the encoders" in said, err
    assert "fine-tuning" not in contents(data.parent / "run")[1]["parameters"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--encoders", "scratch"], 2, "--encoders scratch is for networks that are trained from"),
        (["--epochs", 3], 2, "--epochs is for networks that are trained from scratch"),
        (["--seeds", 3], 2, "--fine-tune goes on from one model: leave it out, or --seeds"),
    ],
)
def test_what_does_not_go_together_is_refused(data, arguments, status, says):
    found, _, err = call("train", data, "--fine-tune", *arguments)
    assert found == status and says in err and not (data.parent / "run").exists(), err


def test_without_an_encoder_for_pictures_it_is_refused_before_anything_is_written(
    data, monkeypatch
):
    monkeypatch.setattr(choice, "here", lambda modality: modality == "text")
    found, _, err = call("train", data, "--fine-tune", "--without", "audio")
    assert found == 1 and "needs a pretrained encoder" in err and "mmkeras data fetch" in err
    assert not (data.parent / "run").exists()
