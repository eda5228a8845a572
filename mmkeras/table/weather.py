"""The rendered data set of `mmkeras sample`: three kinds of weather in four modalities.

This script makes the notes, pictures, sounds and temperatures; nobody wrote, photographed, recorded
or measured them. Each modality shows the weather in about half of the rows and is vague, or blank,
in the others, but in every row at least one modality shows it. So each modality knows a part of the
answer, and all together know the whole answer.
"""

import csv
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw

CLASSES = ("rain", "snow", "sun")
INPUTS = ["text", "image", "audio", "degrees", "station"]
RATE = 8000  # samples per second
SECONDS = 1.0
BLANK = 0.35  # share of the vague cells that are left blank

BEGIN = ("Monday.", "On the way home.", "Early shift.", "With the children.", "After lunch.")
END = ("Slept well.", "Late again.", "Call Anna.", "Bus was full.", "")
HINTS = {
    "rain": (
        "Umbrella, and still wet shoes.",
        "The gutter is dripping, wet coat.",
        "Puddles everywhere, umbrella broken.",
        "Wet socks again, water in the cellar.",
    ),
    "snow": (
        "Shovelled the drive, cold hands.",
        "Sledge and frozen gloves.",
        "Ice on the road, gloves and shovel.",
        "Cold and white, the sledge is out.",
    ),
    "sun": (
        "Ice cream in the shade.",
        "Sunglasses, and warm until late.",
        "Swam in the lake, warm water.",
        "Sunglasses lost at the lake.",
    ),
}
STATIONS = {"harbour": 0.0, "valley": 3.0, "summit": -9.0}  # degrees warmer than in the harbour
DEGREES = {"rain": 8.0, "snow": -6.0, "sun": 22.0}  # in the harbour; in between it may be anything
BETWEEN = (1.0, 15.0)
VAGUE = ("Nothing special.", "Stayed indoors.", "Meetings all day.", "Read the paper.")
ABOUT = """Rendered data, made by mmkeras sample with seed {seed}: no real notes, photographs,
recordings or measurements. The thermometers (degrees Celsius) hang at three stations, of which the
summit is the coldest. data.csv has {rows} rows with the weather as label, new.csv {new} rows
without. It is good for trying the commands; results on it say nothing about any real task.
"""


def write(folder: str | Path, *, rows: int = 108, new: int = 9, seed: int = 0) -> Path:
    """Render the set: data.csv, new.csv (without the label), and the files that they name.

    Columns: text, image, audio, degrees (a number), station (a category), label.

    The same arguments give the same files. Existing files of the same names are replaced, others
    are left alone.

    Args:
        folder: the folder to write, which is created if necessary.
        rows: number of rows of data.csv, at least 9; the three classes take turns.
        new: number of rows of new.csv, at least 1.
        seed: int ≥ 0.

    Returns:
        The path of data.csv.

    Raises:
        ValueError: there are too few rows.
        OSError: the folder cannot be written to.
    """
    if rows < 9 or new < 1:
        raise ValueError(f"rows must be at least 9 and new at least 1, got {rows} and {new}")
    folder = Path(folder)
    for name in ("pictures", "sounds"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    table = [
        [*_row(rng, folder, number, label), label]
        for number in range(rows + new)
        for label in [CLASSES[number % len(CLASSES)]]
    ]
    _write_csv(folder / "data.csv", [*INPUTS, "label"], table[:rows])
    _write_csv(folder / "new.csv", INPUTS, [row[:-1] for row in table[rows:]])
    about = ABOUT.format(seed=seed, rows=rows, new=new)
    (folder / "README.txt").write_text(about, encoding="utf-8")
    return folder / "data.csv"


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _row(rng: np.random.Generator, folder: Path, number: int, label: str) -> list[str]:
    """The cells of a row; the files that two of them name are written, too."""
    vague = rng.permutation(4)[: rng.choice([1, 2, 3], p=[0.3, 0.4, 0.3])]
    cells: list[str] = []
    for modality, render in enumerate((_note, _picture, _sound, _weather_station)):
        blank = modality in vague and rng.random() < BLANK
        kind = "" if modality in vague else label
        cells += render(rng, folder, number, None if blank else kind)
    return cells


def _note(rng: np.random.Generator, folder: Path, number: int, kind: str | None) -> list[str]:
    if kind is None:
        return [""]
    parts = (BEGIN, HINTS.get(kind, VAGUE), END)
    return [" ".join(str(rng.choice(part)) for part in parts).strip()]


def _weather_station(
    rng: np.random.Generator, folder: Path, number: int, kind: str | None
) -> list[str]:
    """Temperature and station; the summit in sunshine is as warm as the valley in rain."""
    station = str(rng.choice(list(STATIONS)))
    if kind is None:
        return ["", station]
    here = DEGREES[kind] if kind else rng.choice(BETWEEN)
    return [f"{here + STATIONS[station] + rng.uniform(-2, 2):.1f}", station]


def _picture(rng: np.random.Generator, folder: Path, number: int, kind: str | None) -> list[str]:
    """A window of 56 to 79 pixels per side; "" is fog. Every other picture is a JPEG."""
    if kind is None:
        return [""]
    width, height = (int(n) for n in rng.integers(56, 80, 2))
    top, bottom = {
        "rain": ((70, 80, 100), (110, 115, 120)),
        "snow": ((150, 160, 175), (245, 245, 250)),
        "sun": ((60, 130, 220), (150, 200, 240)),
    }.get(kind, ((150, 150, 150), (190, 190, 190)))
    shade = np.linspace(top, bottom, height)[:, None] + rng.normal(0, 8, 3)
    pixels = shade + rng.normal(0, 6, (height, width, 3))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    if kind == "sun":
        x, y, r = rng.uniform(15, width - 15), rng.uniform(12, height / 2), rng.uniform(7, 12)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 220, 60))
    for x, y in rng.uniform(0, 1, (40, 2)) * (width, height) if kind in ("rain", "snow") else ():
        if kind == "rain":
            draw.line((x, y, x - 3, y + 9), fill=(180, 200, 225))
        else:
            draw.ellipse((x - 1, y - 1, x + 1.5, y + 1.5), fill=(255, 255, 255))
    name = f"pictures/{number:03d}.{('png', 'jpg')[number % 2]}"
    image.save(folder / name)
    return [name]


def _sound(rng: np.random.Generator, folder: Path, number: int, kind: str | None) -> list[str]:
    """One second: hiss and drops (rain), steps (snow), birds (sun), or a hum (vague)."""
    if kind is None:
        return [""]
    t = np.arange(int(SECONDS * RATE)) / RATE
    noise = rng.normal(0, 1, len(t))
    wave = 0.004 * noise
    if kind == "rain":
        drops = np.convolve(rng.random(len(t)) < 0.01, np.exp(-np.arange(40) / 8))[: len(t)]
        wave += 0.08 * noise + 0.2 * drops * rng.normal(0, 1, len(t))
    elif kind == "snow":
        dull = np.convolve(noise, np.ones(8) / 8, mode="same")
        for start in np.arange(rng.uniform(0, 0.2), SECONDS, rng.uniform(0.35, 0.45)):
            wave += 0.6 * dull * np.exp(-(((t - start - 0.08) / 0.05) ** 2))
    elif kind == "sun":
        for start in rng.uniform(0, SECONDS - 0.15, 5):
            s = np.clip(t - start, 0, 0.12)
            sweep = 2 * np.pi * (rng.uniform(2200, 2800) * s + rng.uniform(-3000, 3000) * s**2)
            wave += 0.3 * np.sin(sweep) * np.sin(np.pi * s / 0.12) ** 2
    else:
        base = rng.uniform(90, 130)
        wave += sum(0.15 / k * np.sin(2 * np.pi * base * k * t) for k in (1, 2, 3))
    name = f"sounds/{number:03d}.wav"
    soundfile.write(folder / name, np.clip(wave, -1, 1), RATE, subtype="PCM_16")
    return [name]
