"""The syllables: counts, lengths, broken files that are named, splits that do not leak."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from mmkeras import assets
from mmkeras.datasets import load_syllables, syllables
from mmkeras.datasets.syllables import SECONDS, Syllables, decode, syllable_and_tone


@pytest.fixture(scope="module")
def recorded() -> Syllables:
    try:
        return load_syllables()
    except assets.AssetError as error:
        pytest.skip(f"the recordings cannot be had here: {error}")


@pytest.fixture(scope="module")
def rendered() -> Syllables:
    return load_syllables(rendered=True)


# ---- what is loaded -------------------------------------------------------------------------


def test_the_recordings(recorded: Syllables) -> None:
    table = recorded.table
    assert table.groupby("voice").size().to_dict() == {"high": 1158, "low": 1200}
    counts = table.groupby(["voice", "tone"]).size().unstack().loc[["low", "high"]]
    assert counts.to_numpy().tolist() == [[322, 243, 294, 328, 13], [303, 236, 288, 320, 11]]
    assert table["syllable"].nunique() == 415
    assert not table["syllable"].str.contains(r"\d").any()
    assert recorded.waves.shape == (2358, 5120)
    assert recorded.waves.dtype == np.float32
    assert np.isfinite(recorded.waves).all()
    assert table["seconds"].between(0.13, 0.63).all()
    assert table["peak"].max() < 1.1
    assert list(table.loc[table["peak"] < 0.02, "syllable"]) == ["ㄏㄡ"] * 3
    assert not recorded.rendered
    assert repr(recorded).startswith("Syllables(2358 recorded clips of 415 syllables, low voice")


def test_the_padding_is_silent(recorded: Syllables, rendered: Syllables) -> None:
    for data in (recorded, rendered):
        for i in range(0, len(data), 97):
            length = round(data.table["seconds"].iloc[i] * data.rate)
            assert not data.waves[i, length:].any()
            assert data.waves[i, :length].any()


def test_the_high_voice_is_higher(rendered: Syllables) -> None:
    """By the centre of the spectrum below 500 Hz, which holds the lowest harmonics."""
    power = np.abs(np.fft.rfft(rendered.waves, axis=1)) ** 2
    hertz = np.fft.rfftfreq(rendered.waves.shape[1], 1 / rendered.rate)
    low = hertz < 500
    centre = (power[:, low] * hertz[low]).sum(1) / power[:, low].sum(1)
    voice = rendered.table["voice"].to_numpy()
    assert np.median(centre[voice == "high"]) > 1.2 * np.median(centre[voice == "low"])


def test_the_rendered_set(rendered: Syllables) -> None:
    assert len(rendered) == 960
    assert rendered.table.groupby(["voice", "tone"]).size().tolist() == [120] * 8
    assert rendered.table["seconds"].between(0.3, 0.5).all()
    assert rendered.table["peak"].between(0.19, 0.51).all()
    assert rendered.rendered
    assert "rendered" in repr(rendered)
    assert np.array_equal(rendered.waves, load_syllables(rendered=True).waves)
    assert rendered.y.dtype == np.int32
    assert rendered.y.tolist() == (rendered.table["tone"] - 1).tolist()


def test_another_rate(rendered: Syllables) -> None:
    other = load_syllables(6000, rendered=True)
    assert other.waves.shape == (960, 3840)
    assert np.allclose(other.table["seconds"], rendered.table["seconds"], atol=2e-4)


@pytest.mark.parametrize("rate", [8000.0, True, "8000", 0, 5999, 48_001])
def test_a_rate_that_cannot_be(rate: object) -> None:
    with pytest.raises(ValueError, match="rate must be an integer from 6000 to 48000"):
        load_syllables(rate, rendered=True)  # type: ignore[arg-type]


def test_folder_names() -> None:
    names = {"ㄅㄚ": ("ㄅㄚ", 1), "ㄅㄚ1": ("ㄅㄚ", 5), "ㄅㄚ2": ("ㄅㄚ", 2), "ㄚ4": ("ㄚ", 4)}
    assert {name: syllable_and_tone(name) for name in names} == names


# ---- files ----------------------------------------------------------------------------------


def write(path: Path, wave: np.ndarray, rate: int = 44_100) -> Path:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, wave, rate, format="WAV", subtype="FLOAT")
    return path


def test_a_file_is_resampled_and_its_channels_averaged(tmp_path: Path) -> None:
    n = np.arange(22_050)
    tone = 0.5 * np.sin(2 * np.pi * 440 * n / 44_100)
    wave = decode(write(tmp_path / "ㄚ" / "3.ogg", np.stack([tone, 0 * tone], axis=1)), 8000)
    want = 0.25 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    assert wave.shape == (4000,)
    assert np.abs(wave - want)[100:-100].max() < 0.01


@pytest.mark.parametrize(
    ("wave", "fault"),
    [
        (np.zeros(0), "has no samples"),
        (np.array([0.1, np.nan]), "holds NaN"),
        (np.zeros(44_100), "lasts 1.00 s, expected at most 0.64 s"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, wave: np.ndarray, fault: str) -> None:
    path = write(tmp_path / "ㄅㄚ3" / "5.ogg", wave)
    with pytest.raises(assets.AssetError, match=rf"ㄅㄚ3/5\.ogg {fault}"):
        decode(path, 8000)


def test_a_broken_file_is_named_by_the_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "gcin-voice" / "ogg"
    root.mkdir(parents=True)
    write(root / "ㄚ2" / "3.ogg", np.zeros(9000) + 0.1)
    (root / "ㄚ2" / "5.ogg").write_bytes(b"OggS and then nothing")
    monkeypatch.setattr(assets, "fetch", lambda name: tmp_path)
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path / "cache")
    with pytest.raises(
        assets.AssetError,
        match=r"ㄚ2/5\.ogg cannot be decoded.*mmkeras data fetch mandarin-syllables",
    ):
        load_syllables()
    assert not list(tmp_path.glob("cache/rendered/*.npz")), "half a set must not be kept"
    write(root / "ㄚ2" / "5.ogg", np.zeros(9000) + 0.2)
    first = load_syllables()
    assert first.table["voice"].tolist() == ["low", "high"]
    kept = next(tmp_path.glob("cache/rendered/*.npz"))
    monkeypatch.setattr(syllables, "decode", None)  # a second run decodes nothing
    assert np.array_equal(load_syllables().waves, first.waves)
    monkeypatch.undo()
    monkeypatch.setattr(assets, "fetch", lambda name: tmp_path)
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path / "cache")
    kept.write_bytes(kept.read_bytes()[:100])  # cut short: decoded again
    assert np.array_equal(load_syllables().waves, first.waves)


# ---- splits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", [None, "low", "high"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["recorded", "rendered"])
def test_no_syllable_and_no_voice_leaks(
    request: pytest.FixtureRequest, kind: str, voice: str | None, seed: int
) -> None:
    data = request.getfixturevalue(kind)
    train, valid, test = data.split(voice, seed=seed)
    said = [set(part.table["syllable"]) for part in (train, valid, test)]
    assert not (said[0] & said[1] or said[0] & said[2] or said[1] & said[2])
    voices = [set(part.table["voice"]) for part in (train, valid, test)]
    if voice is None:
        assert voices == [{"low", "high"}] * 3
        assert len(train) + len(valid) + len(test) == len(data)
    else:
        assert voices == [{"low", "high"} - {voice}] * 2 + [{voice}]
    assert 0.2 < len(said[2]) / data.table["syllable"].nunique() < 0.3
    whole = data.split(None, seed=seed)[2]
    assert said[2] <= set(whole.table["syllable"]), "the same seed holds out the same syllables"
    assert np.array_equal(test.waves, data.waves[data.table.index.get_indexer(test.table.index)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"held_out_voice": "middle"}, "'middle' is not in this set"),
        ({"test": 0.0}, "must both be above 0"),
        ({"test": 0.9, "valid": 0.1}, "together below 1"),
    ],
)
def test_splits_that_cannot_be(rendered: Syllables, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rendered.split(**arguments)


def test_one_voice_cannot_be_held_out_and_few_syllables_not_split(rendered: Syllables) -> None:
    low = rendered.take((rendered.table["voice"] == "low").to_numpy())
    with pytest.raises(ValueError, match="the only voice here"):
        low.split("low")
    with pytest.raises(ValueError, match="at least 10 different syllables, but here are 2"):
        low.take(range(8)).split()


def test_take(rendered: Syllables) -> None:
    part = rendered.take([5, 3]).take([1])
    assert part.table.index.tolist() == [3]
    assert np.array_equal(part.waves[0], rendered.waves[3])
    assert isinstance(part.table, pd.DataFrame)
    assert part.waves.shape[1] == round(SECONDS * part.rate)
