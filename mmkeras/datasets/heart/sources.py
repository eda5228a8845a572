"""Where the heart patients come from: a real table, or a known model; not for clinical use.

The **real cohort** has the patients of the UCI Heart Disease set (Janosi, Steinbrunn, Pfisterer &
Detrano 1989): 920 rows from four hospitals, with real labels, real values and real gaps. The note,
the ECG and the scan of a patient are rendered from those values. The **simulated cohort** has any
number of patients, whose values are drawn from a known model and rendered in the same way, with the
exact posterior of the disease. data/README.md has the card. Used in chapters 04, 08, 09, 10, 11,
12, 16, 17, 21, 22.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ... import assets
from ...arguments import check_integer
from . import model
from .cohort import Heart
from .model import MODALITIES

HOSPITALS = model.SITES
_VALUES = "age sex cp trestbps chol fbs restecg thalch exang oldpeak slope ca thal".split()


def load_heart(*, recording: int = 0) -> Heart:
    """The real cohort: 920 rows, 4 hospitals; its signals are rendered, and not for clinical use.

    Labels, values and gaps are those of the UCI Heart Disease table (Janosi, Steinbrunn, Pfisterer
    & Detrano 1989; doi:10.24432/C52P4X). A cholesterol or blood pressure of 0 is read as missing. A
    modality is absent if all of its values are missing, which holds for the scan of 476 rows. Two
    pairs of rows agree in every column; the rows of a pair are taken for one patient, hence 918
    patients.

    Args:
        recording: the noise seed, int from 0; another one gives new recordings of the same
            patients.

    Raises:
        ValueError: recording is not a whole number from 0.
        mmkeras.assets.AssetError: the table is not in the cache and cannot be fetched.
    """
    raw = pd.read_csv(assets.fetch("heart") / "heart_disease_uci.csv")
    twins = raw.groupby(list(raw.columns.drop("id")), dropna=False)["id"]
    table = pd.DataFrame({"patient": twins.transform("min") - 1})
    table["recording"] = check_integer("recording", recording, least=0)
    table["hospital"] = raw["dataset"]
    table[_VALUES] = raw[_VALUES]
    table["sex"] = raw["sex"].str.lower()
    table["thal"] = raw["thal"].replace("reversable defect", "reversible defect")
    for name in ("fbs", "exang"):
        table[name] = raw[name].map({True: 1.0, False: 0.0, "TRUE": 1.0, "FALSE": 0.0})
    for name in ("chol", "trestbps"):
        table[name] = raw[name].where(raw[name] != 0)
    table["grade"] = raw["num"]
    table["disease"] = (raw["num"] > 0).astype(int)
    for modality, values in model.OF.items():
        table[f"has_{modality}"] = table[list(values)].notna().any(axis=1)
    return Heart(table)


def simulate_heart(
    n: int,
    seed: int = 0,
    *,
    recording: int = 0,
    prevalence: float | None = None,
    missing: float | Mapping[str, float] = 0.0,
    mechanism: str = "random",
) -> Heart:
    """Simulated patients with the exact posterior of the disease; not for clinical use.

    The model is written out in `mmkeras.datasets.heart.model`. Its parameters are rounded from the
    real cohort, but its patients do not exist. `posterior` holds P(disease | values) for each of
    the 7 subsets of modalities, and in the column "observed" the probability given which modalities
    of the patient are present, and their values. No model can beat it on average, and none that
    sees rendered signals can quite reach it. `effects` says what each recorded value adds to it.

    Args:
        n: number of patients, int from 1.
        seed: int from 0; the same seed gives the same patients, which are the first ones of a
            larger n.
        recording: the noise seed of the signals, int from 0.
        prevalence: expected share of ill patients, between 0 and 1; None for the model's own, 0.55.
        missing: probability that a modality is absent, either one for all, or by name, such as
            `{"scan": 0.5}`; the values stay in the table, and the signals are empty.
        mechanism: "random"; or "severity", with which modalities are absent 1.4 times as often as
            `missing` says for the healthy, and only 0.4 times as often for grade 4, since the ill
            are examined more.

    Returns:
        A `Heart` with the `posterior`.

    Raises:
        ValueError: an argument is out of range, or a modality or the mechanism is unknown.
    """
    n, seed = check_integer("n", n), check_integer("seed", seed, least=0)
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence={prevalence!r} must be between 0 and 1, or None")
    if mechanism not in ("random", "severity"):
        raise ValueError(f"mechanism={mechanism!r} must be 'random' or 'severity'")
    rates = _rates(missing)
    values = model.sample(n, seed, prevalence)
    table = pd.DataFrame({"patient": seed * 1_000_000_000 + np.arange(n)})
    table["recording"] = check_integer("recording", recording, least=0)
    table["hospital"] = values["hospital"]
    table[_VALUES] = values[_VALUES]
    table["grade"] = values["grade"]
    table["disease"] = (values["grade"] > 0).astype(int)
    absent = model.absence(rates, mechanism)
    drawn = np.random.default_rng([seed, 1]).random((n, len(MODALITIES)))
    for column, modality in enumerate(MODALITIES):
        table[f"has_{modality}"] = drawn[:, column] >= absent[values["grade"], column]
    oracle = model.posterior(table, prevalence, absent)
    return Heart(table, oracle, None, (prevalence, absent))


def _rates(missing: float | Mapping[str, float]) -> dict[str, float]:
    rates = dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(MODALITIES, missing)
    if unknown := [name for name in rates if name not in MODALITIES]:
        raise ValueError(
            f"missing={missing!r}: {unknown[0]!r} is not one of {', '.join(MODALITIES)}"
        )
    if bad := [rate for rate in rates.values() if not 0 <= rate <= 1]:
        raise ValueError(f"missing={missing!r}: {bad[0]!r} is not a probability from 0 to 1")
    return rates
