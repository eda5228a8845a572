"""What each value does to the ECG and to the scan, and that nothing else is drawn."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from mmkeras.datasets.heart import signals as heart_signals
from mmkeras.datasets.heart.signals import EXERCISE, RATE, REST, SAMPLES, draw_ecg, draw_scan

N = 60
NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "12_heart_disease.ipynb"
NORMAL = {
    "restecg": "normal",
    "thalch": 140.0,
    "oldpeak": 0.0,
    "slope": "flat",
    "thal": "normal",
    "ca": 0.0,
}
EXERCISING = slice(RATE * REST, None)


def rows(n=N, **changes):
    return pd.DataFrame([{**NORMAL, **changes}] * n)


def ecg(n=N, recording=0, **changes):
    return draw_ecg(rows(n, **changes), np.arange(n), np.full(n, recording))


def scan(n=N, recording=0, **changes):
    return draw_scan(rows(n, **changes), np.arange(n), np.full(n, recording))[..., 0].astype(float)


def rate(strip):
    """Beats a minute from the intervals between R peaks, found without knowing the renderer."""
    from scipy.signal import find_peaks

    peaks = find_peaks(strip, height=0.5, distance=RATE * 0.22)[0]
    return 60 * RATE / np.median(np.diff(peaks))


def st_level(strip, beats):
    """Mean of the strip 60 to 80 ms after each S wave, less the level before the P wave, in mV."""
    from scipy.signal import find_peaks

    peaks = find_peaks(strip, height=0.5, distance=RATE * 0.22)[0]
    inner = [p for p in peaks if RATE * 0.25 < p < len(strip) - RATE * 0.2]
    cycle = 60 / beats
    after = [
        strip[p + round(RATE * 0.16 * cycle) : p + round(RATE * 0.21 * cycle) + 1] for p in inner
    ]
    before = [strip[p - round(RATE * 0.40 * cycle) : p - round(RATE * 0.36 * cycle)] for p in inner]
    return np.mean([a.mean() for a in after]) - np.mean([b.mean() for b in before])


def test_chapter_12_writes_out_the_wave_model_of_the_package():
    cells = nbformat.read(NOTEBOOK, 4).cells
    source = next(c.source for c in cells if c.source.startswith("WAVES = {"))
    inline = {"np": np}
    exec(source.split("x, (angle")[0], inline)
    assert inline["WAVES"] == heart_signals._WAVES
    one, still = np.ones((1, 1)), np.zeros((1, 30))
    phase = heart_signals._phase(60 * one, still, 0 * one, 1)
    for depth in (0.0, 3.0):
        options = still, 0 * one, 1, 0.1 * depth * one, 0 * one
        packaged = heart_signals._beats(rows(1), 60 * one, *options)
        np.testing.assert_allclose(packaged, inline["beat"](phase, depth), atol=2e-3)


def test_shapes_and_ranges():
    strips, sheets = ecg(3), draw_scan(rows(3), np.arange(3), np.zeros(3, int))
    assert strips.shape == (3, SAMPLES) == (3, 1250) and strips.dtype == np.float32
    assert sheets.shape == (3, 64, 64, 1) and sheets.dtype == np.uint8
    assert np.abs(strips).max() < 3 and np.isfinite(strips).all()
    assert SAMPLES == RATE * (REST + EXERCISE)
    assert draw_ecg(rows(1).iloc[:0], np.arange(0), np.arange(0)).shape == (0, SAMPLES)


@pytest.mark.parametrize("thalch", [70.0, 110.0, 150.0, 202.0])
def test_the_heart_rate_can_be_counted(thalch):
    seen = [rate(strip[EXERCISING]) for strip in ecg(20, thalch=thalch)]
    assert np.median(seen) == pytest.approx(thalch, rel=0.03)


def test_the_rate_at_rest_tells_nothing_of_the_values():
    slow, fast = ecg(thalch=80.0, oldpeak=4.0), ecg(thalch=190.0)
    np.testing.assert_array_equal(slow[:, : RATE * REST], fast[:, : RATE * REST])


def test_st_depression_lowers_the_segment_by_a_tenth_of_a_millivolt_a_unit():
    seen = {
        d: np.mean([st_level(s[EXERCISING], 140) for s in ecg(oldpeak=d)]) for d in (0.0, 2.0, 4.0)
    }
    assert seen[0.0] - seen[2.0] == pytest.approx(0.2, abs=0.05)
    assert seen[2.0] - seen[4.0] == pytest.approx(0.2, abs=0.05)


def test_the_slope_tilts_it():
    up, down = ecg(slope="upsloping"), ecg(slope="downsloping")
    flat, unknown = ecg(slope="flat"), ecg(slope=np.nan)
    assert np.abs(up - down)[:, EXERCISING].max(1).min() > 0.1
    np.testing.assert_array_equal(up[:, : RATE * REST], down[:, : RATE * REST])
    halfway = (ecg(slope="upsloping") + flat) / 2
    np.testing.assert_allclose(unknown, halfway, atol=1e-5)


def test_the_rest_ecg_shapes_both_strips():
    normal, large, abnormal = (
        ecg(restecg=r) for r in ("normal", "lv hypertrophy", "st-t abnormality")
    )
    for part in (slice(0, RATE * REST), EXERCISING):
        assert np.median(large[:, part].max(1)) > 1.4 * np.median(normal[:, part].max(1))
        assert np.median(large[:, part].min(1)) < np.median(normal[:, part].min(1)) - 0.05
        low = np.quantile(abnormal[:, part], 0.05, axis=1).mean()
        assert low < np.quantile(normal[:, part], 0.05, axis=1).mean() - 0.05


@pytest.mark.parametrize(
    ("gap", "silent", "drawn"),
    [
        ({"restecg": None}, slice(0, RATE * REST), EXERCISING),
        ({"thalch": np.nan, "oldpeak": np.nan}, EXERCISING, slice(0, RATE * REST)),
    ],
)
def test_a_strip_without_values_is_flat(gap, silent, drawn):
    strips = ecg(5, **gap)
    assert (strips[:, silent] == 0).all() and (strips[:, drawn].std(1) > 0.05).all()


def test_one_known_value_of_the_exercise_strip_is_enough():
    middle = ecg(5, oldpeak=0.5)
    np.testing.assert_array_equal(ecg(5, oldpeak=np.nan), middle)
    np.testing.assert_array_equal(ecg(5, thalch=np.nan), ecg(5, thalch=138.0))


def test_the_ecg_shows_no_scan_value_and_the_scan_no_ecg_value():
    np.testing.assert_array_equal(ecg(5, thal="fixed defect", ca=3.0), ecg(5))
    np.testing.assert_array_equal(scan(5, thalch=90.0, restecg="lv hypertrophy"), scan(5))


def test_a_reversible_defect_is_dark_at_stress_only_a_fixed_one_in_both():
    normal, reversible, fixed = (
        scan(thal=t) for t in ("normal", "reversible defect", "fixed defect")
    )
    stress, rest = np.s_[:, :32, :32], np.s_[:, :32, 32:]

    def lost(part, pictures):
        return 1 - pictures[part].sum((1, 2)) / normal[part].sum((1, 2))

    assert lost(stress, reversible).min() > 0.05 and np.abs(lost(rest, reversible)).max() < 1e-9
    assert lost(stress, fixed).min() > 0.05 and lost(rest, fixed).min() > 0.05
    np.testing.assert_array_equal(reversible[stress], fixed[stress])
    np.testing.assert_array_equal(normal[:, 32:], fixed[:, 32:])


def test_ca_counts_the_bright_arteries():
    below = [scan(ca=float(ca))[:, 32:] for ca in range(4)]
    light = np.array([(b > 110).sum((1, 2)).mean() for b in below])
    assert light[0] < 5 and (np.diff(light) > 25).all()
    place = below[1].mean(0)[20:].mean(0)  # over many patients each of the three is bright at times
    thirds = [place[9:17].max(), place[28:37].max(), place[48:57].max()]
    assert min(thirds) > 0.4 * max(thirds)


@pytest.mark.parametrize(("gap", "black"), [("thal", np.s_[:, :32]), ("ca", np.s_[:, 32:])])
def test_half_a_scan_is_black_without_its_value(gap, black):
    sheets = scan(5, **{gap: np.nan})
    assert (sheets[black] == 0).all() and (sheets > 0).any()


def test_one_recording_is_bit_for_bit_the_same_alone_and_among_others():
    patients, recordings = np.arange(400) % 37, np.arange(400) // 37
    values = rows(400, oldpeak=1.5, thal="fixed defect", ca=2.0)
    for draw in (draw_ecg, draw_scan):
        together = draw(values, patients, recordings)
        for i in (0, 5, 257, 399):
            alone = draw(values.iloc[[i]], patients[[i]], recordings[[i]])[0]
            np.testing.assert_array_equal(alone, together[i])


def test_another_recording_or_patient_is_another_picture():
    for draw in (ecg, scan):
        first, second = draw(8), draw(8, recording=1)
        assert (np.abs(first - second).mean(tuple(range(1, first.ndim))) > 0).all()
        assert len({picture.tobytes() for picture in first}) == 8
