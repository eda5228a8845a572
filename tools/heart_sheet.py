"""Draw docs/heart.png: four patients of the heart cohort, as in the card of data/README.md.

    python tools/heart_sheet.py

Rendered signals of real table values; not for clinical use.
"""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mmkeras.datasets import load_heart
from mmkeras.datasets.heart.signals import RATE, REST, SAMPLES

OUT = Path(__file__).resolve().parent.parent / "docs" / "heart.png"
INK = "#1f2d3d"


def main() -> None:
    heart = load_heart()
    full = heart.table[["thal", "ca", "slope"]].notna().all(axis=1).to_numpy()
    normal = heart.take(full & (heart.grade == 0) & (heart.table["thal"] == "normal").to_numpy())
    defect = heart.table["thal"].isin(["reversible defect", "fixed defect"]).to_numpy()
    ill = heart.take(full & (heart.grade >= 2) & defect)
    rows = [(normal, 2), (normal, 11), (ill, 4), (ill, 20)]
    figure, axes = plt.subplots(
        4, 3, figsize=(11, 8.2), width_ratios=[2.3, 5, 1.25], layout="constrained"
    )
    for (note, strip, picture), (part, i) in zip(axes, rows, strict=True):
        draw_patient(note, strip, picture, part.take([i]))
    axes[-1, 1].set_xlabel("seconds: at rest, then (after the line) at peak exercise")
    figure.suptitle(
        "Real table values, rendered signals: not for clinical use", fontsize=10, color=INK
    )
    figure.savefig(OUT, dpi=110)
    print(OUT)


def draw_patient(note, strip, picture, patient) -> None:
    row = patient.table.iloc[0]
    title = "healthy" if row["grade"] == 0 else f"ill, grade {row['grade']}"
    note.text(0, 1, "\n".join(textwrap.wrap(patient.note[0], 38)), va="top", fontsize=8, color=INK)
    note.set_title(title, loc="left", fontsize=9, fontweight="bold")
    note.axis("off")
    strip.plot(np.arange(SAMPLES) / RATE, patient.ecg[0], color=INK, lw=0.7)
    strip.axvline(REST, color="0.5", ls=":", lw=1)
    strip.set(ylim=(-0.9, 2.1), xlim=(0, SAMPLES / RATE), ylabel="mV")
    strip.set_title(
        f"rest: {row['restecg']}; exercise: {row['thalch']:.0f} per minute, ST down by "
        f"{row['oldpeak']:.1f} mm, {row['slope']}",
        fontsize=8,
    )
    picture.imshow(patient.scan[0, ..., 0], cmap="gray", vmin=0, vmax=255)
    picture.set(xticks=[], yticks=[])
    picture.set_title(f"{row['thal']}\n{row['ca']:.0f} arteries bright", fontsize=8)


if __name__ == "__main__":
    main()
