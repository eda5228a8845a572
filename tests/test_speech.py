"""Rendered speech: it says what is asked, and neither an error nor silence passes for speech."""

import sys

import numpy as np
import pytest

from mmkeras import assets
from mmkeras.datasets import speech
from mmkeras.datasets.speech import Utterance, speak

pytest.importorskip("espeakng_loader", reason=f"to run this: {speech.INSTALL}")
RATE = 16_000


def say(pitch=50, speed=175, voice="en-us+m3"):
    return Utterance("The shop is on the corner.", voice, pitch, speed, 7)


def hertz(wave):
    """The median pitch of the frames, by autocorrelation, from 60 to 500 Hz."""
    found = []
    for start in range(0, len(wave) - 1024, 512):
        frame = wave[start : start + 1024]
        likeness = np.correlate(frame, frame, "full")[1023:]
        lag = RATE // 500 + likeness[RATE // 500 : RATE // 60].argmax()
        if likeness[lag] > 0.5 * likeness[0] > 0.5:
            found.append(RATE / lag)
    return np.median(found)


def test_pitch_and_speed_are_heard():
    waves = speak([say(20), say(80), say(50, 120), say(50, 230), say(voice="en-us+f2")], RATE)
    assert all(wave.dtype == np.float32 and 0.1 < np.abs(wave).max() <= 1 for wave in waves)
    low, high, slow, fast, other = waves
    assert hertz(high) > 1.3 * hertz(low)
    assert len(slow) > 1.6 * len(fast)
    assert hertz(other) > 1.5 * hertz(slow)


def test_the_same_list_sounds_the_same_at_any_rate():
    once, again = (speak([say(), say(70)], RATE) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    half = speak([say(), say(70)], RATE // 2)
    assert abs(len(half[0]) - len(once[0]) / 2) <= 1
    smooth = (once[0][:-1:2] + once[0][1::2]) / 2
    assert np.corrcoef(half[0][: len(smooth)], smooth)[0, 1] > 0.7


@pytest.mark.parametrize("samples", [np.zeros(0, np.int16), np.full(900, 300, np.int16)])
def test_silence_is_refused(monkeypatch, samples):
    loud = np.full(900, 9000, np.int16)
    monkeypatch.setattr(speech, "_synthesize", lambda asked: ([loud, samples], 22_050))
    with pytest.raises(assets.AssetError, match=r"gave silence for .*pitch=61.*pip install"):
        speak([say(), say(61)], RATE)


@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        ("xx-none+m3", "espeak_SetVoiceByName gave 2 for 'xx-none.m3'"),
        ("en-us+nobody", "no file .*nobody"),  # eSpeak NG itself would use another, silently
    ],
)
def test_what_the_library_refuses_is_told(voice, reason):
    with pytest.raises(assets.AssetError, match=f"failed with status 1: {reason}"):
        speak([say(voice=voice)], RATE)


def test_a_library_without_its_data_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("espeakng_loader.get_data_path", lambda: str(tmp_path / "gone"))
    with pytest.raises(assets.AssetError, match=r"espeak_Initialize gave (0|-1) in"):
        speak([say()], RATE)


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(assets.AssetError, match="python -m pip install espeakng-loader"):
        speak([say()], RATE)


def test_words_begin_where_they_are_heard():
    """A word said last is cut off where it begins: what is left is the sentence without it."""
    told = say()._replace(sentence="Tell me the colour.")
    asked = [told, told._replace(sentence="Tell me the."), told]
    waves, starts = speech.speak_words(asked, RATE)
    assert all(np.array_equal(a, b) for a, b in zip(waves, speak(asked, RATE), strict=True))
    assert [len(begun) for begun in starts] == [4, 3, 4]
    for wave, begun in zip(waves, starts, strict=True):
        assert begun[0] == 0 and (np.diff(begun) > 0.03).all()
        assert begun[-1] < len(wave) / RATE - 0.1
    whole, short = len(waves[0]) / RATE - starts[0][-1], len(waves[1]) / RATE - starts[1][-1]
    assert whole > 1.5 * short  # "colour." and "the."


def test_words_said_as_one_are_refused():
    with pytest.raises(assets.AssetError, match="announced 5 words in 'The shop.*which has 6"):
        speech.speak_words([say()], RATE)  # "on the" is said as one
