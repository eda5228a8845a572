"""Heart patients whose note, ECG and scan are rendered from table values; not for clinical use.

A `Heart` holds the patients, renders their signals when they are first asked for, and divides them.
`sources` has the loaders, data/README.md the card.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...arguments import check_integer
from ...evaluate import folds
from ..splits import positions
from .model import MODALITIES, effects
from .notes import LANGUAGES, word_regions, write_note
from .signals import SAMPLES, SCAN, draw_ecg, draw_scan, generators

_NOTE = "age sex cp trestbps chol fbs exang".split()


@dataclass(frozen=True, eq=False)
class Heart:
    """Patients with their note, ECG and scan, row by row; rendered signals, not for clinical use.

    Attributes:
        table: one row per recording of a patient. Columns: `patient` (int; recordings of one
            patient share it), `recording` (int, the noise seed), `hospital`, the values `age`
            (years), `sex`, `cp` (chest pain), `trestbps` (mm Hg), `chol` (mg/dl), `fbs`
            (1.0: fasting sugar above 120 mg/dl), `restecg` (ECG at rest), `thalch` (highest heart
            rate, beats per minute), `exang` (1.0: angina under exercise), `oldpeak` (ST depression,
            mm), `slope` (of the ST segment), `ca` (number of coloured arteries, 0 to 3) and `thal`
            (thallium scan); NaN where missing. Then `grade` (0 to 4), `disease` (0 or 1: grade
            > 0), and `has_note`, `has_ecg`, `has_scan` (bool). The index is unique, and `take`
            keeps it.
        posterior: for simulated patients, P(disease | values) row by row, with one column for each
            subset of modalities, such as "note+scan"; None for the real cohort.
        effects: for simulated patients, the exact effect of what is recorded on the log-odds.
    """

    table: pd.DataFrame
    posterior: pd.DataFrame | None = None
    _whole: "Heart | None" = field(default=None, repr=False)
    _drawn: tuple[float | None, np.ndarray] | None = field(default=None, repr=False)

    @functools.cached_property
    def effects(self) -> pd.DataFrame | None:
        """What each of nine regions adds to the exact log-odds of the disease, float (rows, 9).

        The regions are `opening` (age and sex), `cp`, `trestbps`, `chol`, `fbs` and `exang` in the
        note, `ecg`, and `thal` and `ca`, the upper and the lower half of the scan. An effect is the
        log-odds given all that is recorded, minus the log-odds given all but this region: what an
        explanation of an ideal model would say. It is 0 where the modality is absent. None for the
        real cohort, whose truth nobody knows.
        """
        return None if self._drawn is None else effects(self.table, *self._drawn)

    @functools.cached_property
    def note(self) -> np.ndarray:
        """English notes, object (rows,), as Keras takes them; "" where absent."""
        return self._rendered("note", functools.partial(_notes, language="en"), (), object)

    @functools.cached_property
    def word_regions(self) -> np.ndarray:
        """What the words of each note speak of, object (rows,): tuples of names of regions.

        In the order of `mmkeras.datasets.note_words`; the names are those of `effects`.
        """
        return self._rendered("word_regions", _regions, (), object)

    @functools.cached_property
    def note_zh(self) -> np.ndarray:
        """The same facts written in Chinese, object (rows,); "" where absent."""
        return self._rendered("note_zh", functools.partial(_notes, language="zh"), (), object)

    @functools.cached_property
    def ecg(self) -> np.ndarray:
        """float32 (rows, 1250), mV, 125 samples per second; zeros where absent. See `draw_ecg`."""
        return self._rendered("ecg", draw_ecg, (SAMPLES,), np.float32)

    @functools.cached_property
    def scan(self) -> np.ndarray:
        """uint8 (rows, 64, 64, 1); black where absent. See `draw_scan`."""
        return self._rendered("scan", draw_scan, (SCAN, SCAN, 1), np.uint8)

    @property
    def present(self) -> np.ndarray:
        """float32 (rows, 3), in the order of `MODALITIES`: 1 where note, ECG or scan is present."""
        return self.table[[f"has_{m}" for m in MODALITIES]].to_numpy(np.float32)

    @property
    def y(self) -> np.ndarray:
        """Disease, int32 (rows,): 1 if a coronary artery is narrowed by more than half."""
        return self.table["disease"].to_numpy(np.int32)

    @property
    def grade(self) -> np.ndarray:
        """int32 (rows,), 0 (healthy) to 4."""
        return self.table["grade"].to_numpy(np.int32)

    @property
    def patient(self) -> np.ndarray:
        """int (rows,); all rows of one patient must stay on one side of every split."""
        return self.table["patient"].to_numpy()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        kind = "real values" if self.posterior is None else "simulated"
        share = 100 * self.y.sum() / max(len(self), 1)
        return (
            f"Heart({len(self)} recordings of {self.table['patient'].nunique()} patients, {kind}, "
            f"{share:.0f}% ill; signals rendered, not for clinical use)"
        )

    def take(self, rows: Sequence[int] | np.ndarray) -> "Heart":
        """The rows at these positions (counted from 0 in this object), or where a mask is True."""
        rows = positions(rows)
        oracle = None if self.posterior is None else self.posterior.iloc[rows]
        return Heart(self.table.iloc[rows], oracle, self._whole or self, self._drawn)

    def record(self, seed: int | Sequence[int]) -> "Heart":
        """New recordings of the same patients: other phrasing, noise and placement, same values.

        With several seeds, every patient has one recording per seed, and the rows are ordered by
        seed. All recordings keep the patient's number, so that no split divides them.

        Args:
            seed: one noise seed, or several different ones; int from 0.

        Raises:
            ValueError: a seed is not a whole number from 0 or is repeated, there is no seed, or
                this object already holds several recordings per patient.
        """
        seeds = [check_integer("seed", s, least=0) for s in np.atleast_1d(np.asarray(seed, object))]
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"seed={seed!r} must be one number or several different ones")
        if self.table["recording"].nunique() > 1:
            raise ValueError("record() needs one recording per patient, but here are several")
        times = range(len(seeds))
        table = pd.concat([self.table.assign(recording=s) for s in seeds])
        table.index = pd.RangeIndex(len(table)) if len(seeds) > 1 else self.table.index
        oracle = None
        if self.posterior is not None:
            oracle = pd.concat([self.posterior for _ in times]).set_axis(table.index)
        return Heart(table, oracle, None, self._drawn)

    def split(
        self, *, test: float = 0.2, valid: float = 0.15, hospital: str | None = None, seed: int = 0
    ) -> tuple["Heart", "Heart", "Heart"]:
        """Training, validation and test set, stratified by grade, that share no patient.

        With a hospital, its patients are the test set, and all others are divided between the other
        two sets.

        Args:
            test: share of the patients in the test set, above 0 and below 1; not used with a
                hospital.
            valid: share of all patients in the validation set, above 0; `test + valid` < 1.
            hospital: one of `HOSPITALS`, or None.
            seed: seed of the draw, int from 0.

        Raises:
            ValueError: a share is out of range, there are too few patients for it, or the hospital
                is unknown.
        """
        if hospital is None:
            if not (0 < test < 1 and 0 < valid < 1 and test + valid < 1):
                raise ValueError(
                    f"test={test} and valid={valid} must both be above 0 and together below 1"
                )
            rest, testing = self._cut(test, seed)
            valid = valid / (1 - test)
        else:
            own = (self.table["hospital"] == hospital).to_numpy()
            self._check_hospitals(hospital)
            rest, testing = self.take(~own), self.take(own)
            if not 0 < valid < 1:
                raise ValueError(f"valid={valid} must be above 0 and below 1")
        training, validation = rest._cut(valid, seed)
        return training, validation, testing

    def fold_rows(
        self, k: int = 5, *, by: str = "patient", seed: int = 0
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """`mmkeras.evaluate.folds` of these rows: every patient is tested once, and never divided.

        Args:
            k: number of folds, stratified by grade (by disease if a grade has fewer than k
                patients); not used with by="hospital".
            by: "patient", or "hospital", with which each hospital in turn is the test set.
            seed: seed of the draw, int from 0.

        Returns:
            List of (training rows, test rows), each int64 positions in this object.

        Raises:
            ValueError: k is too small or too large, `by` is unknown, or there is only one hospital.
        """
        if by not in ("patient", "hospital"):
            raise ValueError(f"by={by!r} must be 'patient' or 'hospital'")
        if by == "patient":
            label = self._strata(check_integer("k", k, least=2))
            return folds(label, k=k, groups=self.patient, seed=seed)
        self._check_hospitals(None)
        return folds(self.y, groups=self.patient, leave_out=self.table["hospital"])

    def _strata(self, k: int) -> np.ndarray:
        """The grade of each row if every grade has k patients, else the disease."""
        counts = self.table.drop_duplicates("patient")["grade"].value_counts()
        return self.grade if counts.min() >= k else self.y

    def _cut(self, share: float, seed: int) -> tuple["Heart", "Heart"]:
        """Divide the patients at random, stratified: (the rest, the share)."""
        patients = self.table.drop_duplicates("patient")
        rng = np.random.default_rng([seed, len(patients)])
        chosen: list[int] = []
        for _, group in patients.groupby("grade"):
            order = rng.permutation(group["patient"].to_numpy())
            chosen += list(order[: round(share * len(group))])
        there = np.isin(self.patient, chosen)
        if there.all() or not there.any():
            raise ValueError(
                f"a share of {share:.2g} of {len(patients)} patients leaves a side empty"
            )
        return self.take(~there), self.take(there)

    def _check_hospitals(self, hospital: str | None) -> None:
        here = sorted(self.table["hospital"].unique())
        if hospital is not None and hospital not in here:
            raise ValueError(f"hospital={hospital!r} is not here; choose one of {', '.join(here)}")
        if len(here) < 2:
            raise ValueError(
                f"{here[0]} is the only hospital here, so no other is left to train on"
            )

    def _rendered(
        self, name: str, draw: Callable, shape: tuple[int, ...], dtype: type
    ) -> np.ndarray:
        """The signals, copied from the full set if they are rendered there, otherwise drawn now."""
        whole = self._whole
        if whole is not None and name in whole.__dict__:
            return getattr(whole, name)[whole.table.index.get_indexer(self.table.index)]
        out: np.ndarray = np.full((len(self), *shape), "" if dtype is object else 0, dtype)
        modality = "note" if name == "word_regions" else name.removesuffix("_zh")
        rows = np.flatnonzero(self.table[f"has_{modality}"])
        there = self.table.iloc[rows]
        if len(rows):
            out[rows] = draw(there, there["patient"].to_numpy(), there["recording"].to_numpy())
        return out


def _regions(table: pd.DataFrame, patients: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    out: np.ndarray = np.empty(len(table), object)
    out[:] = [word_regions(*of) for of in _drawn_values(table, patients, recordings, 3)]
    return out


def _notes(
    table: pd.DataFrame, patients: np.ndarray, recordings: np.ndarray, *, language: str
) -> np.ndarray:
    kind = 3 + LANGUAGES.index(language)
    drawn = _drawn_values(table, patients, recordings, kind)
    return np.array([write_note(row, rng, language) for row, rng in drawn], object)


def _drawn_values(
    table: pd.DataFrame, patients: np.ndarray, recordings: np.ndarray, kind: int
) -> zip:
    """Row by row the values that a note may state, and its random generator."""
    rows = table[_NOTE].astype(object).where(table[_NOTE].notna(), None).to_dict("records")
    return zip(rows, generators(patients, recordings, kind), strict=True)
