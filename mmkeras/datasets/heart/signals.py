"""ECG and scan of a heart patient, rendered from table values; not for clinical use.

Each scan and each ECG strip is drawn from the values of one patient and from the random numbers of
one recording, so that a new recording of the same patient shows the same values again. A value that
is not known is not drawn.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

RATE = 125  # samples per second
REST, EXERCISE = 4, 6  # seconds of the strip: first at rest, then at peak exercise
SAMPLES = RATE * (REST + EXERCISE)
SCAN = 64  # pixels per side
_AT_ONCE = 256  # patients drawn together; more would leave the processor's cache

# Waves of one heartbeat after McSharry, Clifford, Tarassenko & Smith (2003),
# doi:10.1109/TBME.2003.808805: angle from the R peak and width, in radians at 60 beats per minute,
# and height in mV. T is later and narrower than theirs, so that the ST segment can be read at 200
# beats per minute too.
_WAVES = {
    "P": (-1.22, 0.25, 0.15),
    "Q": (-0.26, 0.10, -0.10),
    "R": (0.0, 0.10, 1.00),
    "S": (0.26, 0.10, -0.20),
    "T": (1.80, 0.28, 0.30),
}
_ST_EDGES = (0.06, 0.20)  # how softly the ST segment begins and ends, in radians
_MV_PER_MM = 0.1  # standard gain of ECG paper: 10 mm per millivolt; `oldpeak` is in mm
_TILT = 0.15  # mV by which a sloping ST segment rises, or falls, to either side of its middle
_SLOPES = {"upsloping": 1.0, "flat": 0.0, "downsloping": -1.0}


def draw_ecg(values: pd.DataFrame, patients: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    """One-lead ECG strips: 4 s at rest, then 6 s at peak exercise; float32 (n, 1250), in mV.

    The wave model is that of McSharry et al. (2003), whose bumps are functions of the phase of the
    beat, made periodic. The values have these effects: `restecg` shapes both strips (left
    ventricular hypertrophy gives a tall R, a deep S and a lowered T; an ST-T abnormality turns T
    upside down), `thalch` is the rate under exercise (beats per minute), `oldpeak` lowers the ST
    segment by 0.1 mV per unit, and `slope` tilts it. The rate at rest, which is not in the table,
    belongs to the recording, as do baseline wander, mains hum (50 Hz), muscle noise, and a gain
    within 10%.

    A strip whose values are missing is flat: the rest strip without `restecg`, the exercise strip
    if neither `thalch` nor `oldpeak` is known. If only one of these two is known, the other is
    drawn at a fixed middle value (138 beats per minute, 0.5 mm). An unknown slope is drawn half-way
    between flat and up.

    Args:
        values: n rows with columns restecg, thalch, oldpeak, slope; NaN where missing.
        patients: int (n,), from 0: the number of the patient.
        recordings: int (n,), from 0: the number of the recording of this patient.
    """
    return _in_batches(_ecg_batch, values, patients, recordings, (SAMPLES,), np.float32)


def draw_scan(values: pd.DataFrame, patients: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    """Scan sheets, uint8 (n, 64, 64, 1), with perfusion in the upper half and arteries below.

    The upper half shows two slices of the heart muscle as rings, at stress (left) and at rest
    (right): a normal `thal` gives no gap, a reversible defect is dark only at stress, and a fixed
    defect is dark in both. The lower half shows the three coronary arteries under fluoroscopy, of
    which `ca` are bright. The place, size and depth of a defect, the choice of the bright arteries,
    shape, attenuation and noise belong to the recording. A half whose value is missing is black.

    Args: as for `draw_ecg`, with the columns thal and ca.
    """
    return _in_batches(_scan_batch, values, patients, recordings, (SCAN, SCAN, 1), np.uint8)


def _in_batches(
    draw: Callable[..., np.ndarray],
    values: pd.DataFrame,
    patients: np.ndarray,
    recordings: np.ndarray,
    shape: tuple[int, ...],
    dtype: type,
) -> np.ndarray:
    out: np.ndarray = np.empty((len(values), *shape), dtype)
    for start in range(0, len(values), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        out[part] = draw(values.iloc[part], patients[part], recordings[part])
    return out


def generators(patients: np.ndarray, recordings: np.ndarray, kind: int) -> list:
    """One random generator per row, so that a row does not depend on the other rows."""
    pairs = zip(recordings.tolist(), patients.tolist(), strict=True)
    return [np.random.default_rng([recording, patient, kind]) for recording, patient in pairs]


# ------------------------------------------------------------------------------ ECG


def _ecg_batch(values: pd.DataFrame, patients: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    draws = generators(patients, recordings, 1)
    u = np.stack([rng.random(16) for rng in draws])[:, :, None]  # (n, 16, 1)
    jitter = np.stack([rng.standard_normal((2, 30)) for rng in draws])
    noise = np.stack([rng.standard_normal(SAMPLES) for rng in draws])

    rest_rate = 60 + 25 * u[:, 0]
    known = values["thalch"].notna() | values["oldpeak"].notna()
    rate = values["thalch"].fillna(138.0).to_numpy(float)[:, None]
    depth = values["oldpeak"].fillna(0.5).to_numpy(float)[:, None] * _MV_PER_MM
    tilt = values["slope"].map(_SLOPES).fillna(0.5).to_numpy(float)[:, None] * _TILT
    abnormal = (values["restecg"] == "st-t abnormality").to_numpy()[:, None]

    rest = _beats(values, rest_rate, jitter[:, 0], u[:, 1], REST, 0.05 * abnormal, 0.0 * tilt)
    exercise = _beats(values, rate, jitter[:, 1], u[:, 2], EXERCISE, depth, tilt)
    strip = np.concatenate([rest, exercise], axis=1) * (0.9 + 0.2 * u[:, 3])
    strip += _disturbance(u, noise)
    strip[:, : RATE * REST] *= values["restecg"].notna().to_numpy()[:, None]
    strip[:, RATE * REST :] *= known.to_numpy()[:, None]
    return strip.astype(np.float32)


def _beats(
    values: pd.DataFrame,
    rate: np.ndarray,
    jitter: np.ndarray,
    start: np.ndarray,
    seconds: int,
    depth: np.ndarray,
    tilt: np.ndarray,
) -> np.ndarray:
    """The clean signal (n, seconds * RATE) in mV; all arguments but `seconds` are (n, 1)."""
    phase = _phase(rate, jitter, start, seconds)
    stretch = (rate / 60) ** 0.25  # a fast beat spends more of its cycle on each wave
    large = (values["restecg"] == "lv hypertrophy").to_numpy()[:, None]
    abnormal = (values["restecg"] == "st-t abnormality").to_numpy()[:, None]
    shape = {
        "R": np.where(large, 1.7, 1.0),
        "S": np.where(large, 2.0, 1.0),
        "T": np.where(abnormal, -0.7, np.where(large, 0.5, 1.0)),
    }
    signal = np.zeros_like(phase)
    for wave, (angle, width, height) in _WAVES.items():
        around = np.cos(phase - angle * stretch) - 1
        bump = np.exp(around / (width * stretch) ** 2)  # a Gaussian made periodic
        signal += height * shape.get(wave, 1.0) * bump
    (s, s_width, _), (t, t_width, _) = _WAVES["S"], _WAVES["T"]
    first, last = (s + 2.2 * s_width) * stretch, (t - 1.4 * t_width) * stretch
    inside = _step((phase - first) / _ST_EDGES[0]) * _step((last - phase) / _ST_EDGES[1])
    place = np.clip(2 * (phase - first) / (last - first) - 1, -1, 1)
    return signal + inside * (tilt * place - depth)


def _phase(rate: np.ndarray, jitter: np.ndarray, start: np.ndarray, seconds: int) -> np.ndarray:
    """Angle in the cycle of each sample, from -pi/2 to 3 pi/2, 0 at the R peak."""
    lengths = 60 / rate * (1 + 0.02 * jitter)
    onsets = np.cumsum(lengths, axis=1) - lengths * (1 + start)  # the first one lies before 0
    time = np.arange(seconds * RATE) / RATE
    since = np.empty((len(rate), len(time)))
    for i, onset in enumerate(onsets):
        beat = np.searchsorted(onset, time, side="right") - 1
        since[i] = (time - onset[beat]) / lengths[i, beat]
    return 2 * np.pi * np.minimum(since, 1) - np.pi / 2


def _step(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def _disturbance(u: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Baseline wander (breathing), mains hum and muscle noise of each recording, in mV."""
    time = np.arange(SAMPLES) / RATE
    wander = 0.10 * u[:, 4] * np.sin(2 * np.pi * ((0.15 + 0.2 * u[:, 5]) * time + u[:, 6]))
    drift = 0.05 * u[:, 7] * np.sin(2 * np.pi * (0.05 * time + u[:, 8]))
    hum = 0.02 * u[:, 9] * np.sin(2 * np.pi * (50 * time + u[:, 10]))
    return wander + drift + hum + (0.01 + 0.03 * u[:, 11]) * noise


# ------------------------------------------------------------------------------ scan

_HALF = SCAN // 2
_ROWS, _COLUMNS = np.mgrid[:_HALF, :_HALF].astype(float)
_LOW_ROWS, _LOW_COLUMNS = np.mgrid[:_HALF, :SCAN].astype(float)


def _scan_batch(values: pd.DataFrame, patients: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    draws = generators(patients, recordings, 2)
    u = np.stack([rng.random(24) for rng in draws])[:, :, None, None]
    order = np.stack([rng.permutation(3) for rng in draws])
    noise = np.stack([rng.standard_normal((SCAN, SCAN)) for rng in draws])
    rings = _rings(values["thal"].to_numpy(object), u)
    arteries = _arteries(values["ca"].fillna(0).to_numpy(), order, u)
    stress, rest, below = (gaussian_filter(part, (0, 0.7, 0.7)) for part in (*rings, arteries))
    sheet = np.concatenate([np.concatenate([stress, rest], axis=2), below], axis=1)
    sheet += (4 + 0.08 * sheet) * noise
    sheet[:, :_HALF] *= values["thal"].notna().to_numpy()[:, None, None]
    sheet[:, _HALF:] *= values["ca"].notna().to_numpy()[:, None, None]
    return np.clip(np.round(sheet), 0, 255).astype(np.uint8)[..., None]


def _rings(thal: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slices at stress and at rest, each (n, 32, 32), 0 to 255."""
    radius, thick = 9.5 + 2 * u[:, 0], 2.0 + 0.6 * u[:, 1]
    # The centre of the defect and half of its width, in radians.
    centre, width = 2 * np.pi * u[:, 2], 0.6 + 0.5 * u[:, 3]
    loss = 0.5 + 0.3 * u[:, 4]
    shade, brightness = 0.2 * u[:, 5], 170 + 50 * u[:, 6]
    slices = []
    for side, ill in ((0, ("reversible defect", "fixed defect")), (1, ("fixed defect",))):
        dy = _ROWS - 15.5 - 2 * (u[:, 8 + side] - 0.5)
        dx = _COLUMNS - 15.5 - 2 * (u[:, 10 + side] - 0.5)
        ring = np.exp(-(((np.hypot(dy, dx) - radius) / thick) ** 2))
        angle = np.arctan2(dy, dx)
        away = np.abs((angle - centre + np.pi) % (2 * np.pi) - np.pi)
        gap = np.isin(thal, ill)[:, None, None] * loss * _step((width - away) / 0.1)
        tissue = 1 - shade * (1 + np.cos(angle - np.pi / 2)) / 2  # the diaphragm absorbs a part
        slices.append(12 + brightness * ring * tissue * (1 - gap))
    return slices[0], slices[1]


def _arteries(ca: np.ndarray, order: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Three arteries of which `ca` are bright, (n, 32, 64), 0 to 255."""
    below = np.full((len(ca), _HALF, SCAN), 14.0)
    depth = _LOW_ROWS / _HALF
    for artery in range(3):
        bright = (order[:, artery] < ca)[:, None, None]
        end = 12 + 20 * artery + 6 * (u[:, 12 + artery] - 0.5)
        bend = 8 * (u[:, 15 + artery] - 0.5) * np.sin(np.pi * depth)
        path = 32 + (end - 32) * depth**0.7 + bend
        line = np.exp(-(((_LOW_COLUMNS - path) / 1.3) ** 2)) * _step((depth - 0.12) / 0.03)
        below = np.maximum(below, 14 + np.where(bright, 190, 55) * line)
    return below
