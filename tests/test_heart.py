"""The real cohort: its counts, gaps and labels; recordings and splits that leak no patient."""

import numpy as np
import pandas as pd
import pytest

from mmkeras import assets
from mmkeras.datasets import Heart, load_heart, simulate_heart
from mmkeras.datasets.heart import HOSPITALS, MODALITIES

HEART = load_heart()


@pytest.fixture(scope="module")
def raw():
    return pd.read_csv(assets.fetch("heart") / "heart_disease_uci.csv")


def test_the_counts_of_the_file():
    assert len(HEART) == 920 and HEART.table["patient"].nunique() == 918
    counts = {"Cleveland": 304, "Hungary": 293, "VA Long Beach": 200, "Switzerland": 123}
    assert HEART.table["hospital"].value_counts().to_dict() == counts
    assert set(HOSPITALS) == set(counts)
    assert HEART.table["sex"].value_counts().to_dict() == {"male": 726, "female": 194}
    assert HEART.y.sum() == 509 and HEART.y.dtype == np.int32
    assert np.bincount(HEART.grade).tolist() == [411, 265, 109, 107, 28]
    assert ((HEART.grade > 0) == HEART.y).all()
    missing = HEART.table.isna().sum()
    assert missing[["ca", "thal", "slope"]].tolist() == [611, 486, 309]


def test_values_and_labels_are_those_of_the_file(raw):
    table = HEART.table
    for name in ("age", "cp", "restecg", "thalch", "oldpeak", "slope", "ca"):
        pd.testing.assert_series_equal(table[name], raw[name], check_names=False, check_dtype=False)
    assert (table["grade"] == raw["num"]).all()
    assert set(table["thal"].dropna()) == {"normal", "fixed defect", "reversible defect"}
    for name in ("fbs", "exang"):
        assert table[name].isna().equals(raw[name].isna())
        assert (table[name].dropna() == raw[name].dropna().astype(float)).all()


def test_a_cholesterol_or_pressure_of_zero_is_missing(raw):
    assert (raw["chol"] == 0).sum() > 100 and (raw["trestbps"] == 0).sum() == 1
    for name in ("chol", "trestbps"):
        zero = (raw[name] == 0) | raw[name].isna()
        assert HEART.table[name].isna().equals(zero) and HEART.table[name].min() > 0


def test_a_modality_is_absent_where_all_its_values_are_missing():
    groups = [
        ["cp", "trestbps", "chol", "fbs", "exang"],
        ["restecg", "thalch", "oldpeak", "slope"],
        ["ca", "thal"],
    ]
    for column, values in enumerate(groups):
        want = HEART.table[values].notna().any(axis=1)
        assert (HEART.present[:, column] == want).all()
    assert HEART.present.sum(0).tolist() == [920, 920, 444]
    gone = HEART.take(HEART.present[:, 2] == 0).take(range(30))
    assert (gone.scan == 0).all()


def test_identical_rows_are_one_patient():
    table = HEART.table
    twins = table[table["patient"].duplicated(keep=False)]
    assert len(twins) == 4
    for _, pair in twins.groupby("patient"):
        assert len(pair.astype(str).drop_duplicates()) == 1


def test_the_same_seed_gives_the_same_patients_bit_for_bit():
    some = range(0, 920, 90)
    a, b = load_heart().take(some), load_heart().take(some)
    assert list(a.note) == list(b.note) and list(a.note_zh) == list(b.note_zh)
    assert a.ecg.tobytes() == b.ecg.tobytes() and a.scan.tobytes() == b.scan.tobytes()
    pd.testing.assert_frame_equal(a.table, b.table)


def test_another_noise_seed_is_a_new_recording_of_the_same_patients():
    first, second = HEART.take(range(40)), load_heart(recording=7).take(range(40))
    for name in ("note", "note_zh"):
        assert (getattr(first, name) != getattr(second, name)).mean() > 0.9
    for name in ("ecg", "scan"):
        here = first.present[:, MODALITIES.index(name)] == 1
        differs = getattr(first, name) != getattr(second, name)
        assert differs.reshape(40, -1).any(1)[here].all()
    values = first.table.drop(columns="recording")
    pd.testing.assert_frame_equal(values, second.table.drop(columns="recording"))
    assert first.record(7).ecg.tobytes() == second.ecg.tobytes()


def test_the_label_is_not_drawn():
    """Two patients that differ in label, grade and hospital only have the very same signals."""
    part = HEART.take(range(20))
    other = Heart(part.table.assign(disease=1 - part.y, grade=4, hospital="Hungary"))
    assert list(part.note) == list(other.note)
    assert (part.ecg == other.ecg).all() and (part.scan == other.scan).all()


def test_parts_are_cut_from_what_is_rendered_and_rendered_alike():
    fresh = load_heart().take(range(60))
    rows = np.array([50, 3, 3, 17])
    before = fresh.take(rows).ecg  # drawn alone
    assert "ecg" not in fresh.__dict__
    whole = fresh.ecg
    np.testing.assert_array_equal(fresh.take(rows).ecg, whole[rows])
    np.testing.assert_array_equal(before, whole[rows])
    again = fresh.take(range(10, 60)).take([0, 5])
    np.testing.assert_array_equal(again.ecg, whole[[10, 15]])


def test_take_by_mask_and_by_position():
    ill = HEART.take(HEART.y == 1)
    assert len(ill) == 509 and ill.y.all()
    assert HEART.take([5, 2]).patient.tolist() == HEART.patient[[5, 2]].tolist()


def test_several_recordings():
    part = HEART.take([1, 4, 8])
    many = part.record([0, 3])
    assert len(many) == 6 and many.table.index.is_unique
    np.testing.assert_array_equal(many.ecg[:3], part.ecg)
    np.testing.assert_array_equal(many.ecg[3:], part.record(3).ecg)
    assert many.patient.tolist() == part.patient.tolist() * 2
    simulated = simulate_heart(4, seed=0).record([1, 2])
    assert len(simulated.posterior) == 8
    assert (simulated.posterior["ecg"].to_numpy()[:4] == simulated.posterior["ecg"][4:]).all()


@pytest.mark.parametrize("seed", [[], [1, 1], -1, 0.5, "new"])
def test_bad_recordings(seed):
    with pytest.raises(ValueError, match="seed(=| must be )"):
        HEART.record(seed)


def test_recordings_of_recordings_are_refused():
    with pytest.raises(ValueError, match="one recording per patient"):
        HEART.take([0]).record([0, 1]).record(2)


# ---- splits


def patients(part):
    return set(part.patient)


@pytest.mark.parametrize("cohort", [HEART, HEART.record([0, 1, 2])], ids=["one", "three"])
@pytest.mark.parametrize("seed", [0, 1])
def test_split_shares_no_patient(cohort, seed):
    parts = cohort.split(test=0.2, valid=0.15, seed=seed)
    assert sum(len(part) for part in parts) == len(cohort)
    for i, first in enumerate(parts):
        for second in parts[i + 1 :]:
            assert not patients(first) & patients(second)
    shares = [len(part) / len(cohort) for part in parts]
    assert shares == pytest.approx([0.65, 0.15, 0.2], abs=0.01)
    for part in parts:
        assert part.y.mean() == pytest.approx(cohort.y.mean(), abs=0.02)


def test_split_by_hospital():
    train, valid, test = HEART.split(hospital="Switzerland", valid=0.2)
    assert set(test.table["hospital"]) == {"Switzerland"} and len(test) == 123
    assert "Switzerland" not in set(train.table["hospital"]) | set(valid.table["hospital"])
    assert not patients(train) & patients(valid)
    assert len(valid) / (len(train) + len(valid)) == pytest.approx(0.2, abs=0.01)


def test_split_depends_on_the_seed_alone():
    a, b, c = (HEART.split(seed=s)[2].patient.tolist() for s in (0, 0, 1))
    assert a == b and a != c
    noisy = load_heart(recording=5).split(seed=0)[2]
    assert noisy.patient.tolist() == a


@pytest.mark.parametrize("cohort", [HEART, HEART.record([4, 9])], ids=["one", "two"])
def test_folds_test_everyone_once_and_share_no_patient(cohort):
    tested = []
    for rows in cohort.fold_rows(5, seed=3):
        train, test = map(cohort.take, rows)
        assert not patients(train) & patients(test)
        assert len(train) + len(test) == len(cohort)
        assert test.y.mean() == pytest.approx(cohort.y.mean(), abs=0.03)
        tested += list(test.table.index)
    assert sorted(tested) == sorted(cohort.table.index)


def test_folds_by_hospital():
    folds = [tuple(map(HEART.take, rows)) for rows in HEART.fold_rows(by="hospital")]
    assert [set(test.table["hospital"]) for _, test in folds] == [{name} for name in HOSPITALS]
    for train, test in folds:
        assert not set(train.table["hospital"]) & set(test.table["hospital"])
        assert not patients(train) & patients(test)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: HEART.split(test=0), "test=0 and valid=0.15"),
        (lambda: HEART.split(test=0.9, valid=0.1), "together below 1"),
        (lambda: HEART.split(hospital="Zurich"), "'Zurich' is not here"),
        (lambda: HEART.split(hospital="Hungary", valid=1.0), "valid=1.0"),
        (lambda: HEART.take(range(304)).split(hospital="Cleveland"), "only hospital"),
        (lambda: HEART.take(range(3)).split(test=0.01), "leaves a side empty"),
        (lambda: HEART.fold_rows(1), "k must be an integer from 2, got 1"),
        (lambda: HEART.fold_rows(1000), "at most 410, the number of groups of class 0"),
        (lambda: HEART.fold_rows(2.5), "k must be an integer from 2, got 2.5"),
        (lambda: HEART.fold_rows(by="sex"), "by='sex'"),
        (lambda: load_heart(recording=-1), "recording must be an integer from 0, got -1"),
        (lambda: load_heart(recording=None), "recording must be an integer from 0, got None"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_it_says_of_itself():
    assert "real values" in repr(HEART) and "not for clinical use" in repr(HEART)
    assert "920 recordings of 918 patients" in repr(HEART) and "55% ill" in repr(HEART)
    assert "simulated" in repr(simulate_heart(3)) and "0 recordings" in repr(HEART.take([]))
    for thing in (Heart, load_heart, simulate_heart):
        first = thing.__doc__.split("\n\n")[0].lower()
        assert "not for clinical use" in first
