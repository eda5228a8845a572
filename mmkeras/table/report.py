"""What `mmkeras train` writes about a run: one HTML page, and a model card.

The page is one file without scripts: pictures, sounds and styles are inside. Text from the data is
escaped by construction: `tag` escapes every child that is not itself made by `tag`, and user text
is never handed to the plotting library, which would read a `$` as a formula.
"""

import base64
import html
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from .. import plots
from .caveats import ALL, MAJORITY
from .examples import Example
from .wording import number, percent, with_interval

SHOWN = 200  # skipped rows in the page
CROWDED = 20  # classes from which on confusions are listed instead of drawn as a table
TEXT = 400  # characters of a cell in the page
COLUMNS = {
    "accuracy": "accuracy",
    "recall": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "brier": "Brier score (0 is best)",
    "ece": "calibration error (0 is best)",
}


@dataclass
class Run:
    """Everything the page and the card tell.

    Attributes:
        settings, metrics: what settings.json and metrics.json hold.
        y: int (n,), the classes of the test rows.
        probabilities: float (n, classes) of the whole model.
        examples: rows of the test part, mistakes and right ones; None if rows of the data may not
            be shown.
        skipped: columns row, column, value, reason.
    """

    settings: dict[str, Any]
    metrics: dict[str, Any]
    y: np.ndarray
    probabilities: np.ndarray
    examples: list[Example] | None = None
    skipped: pd.DataFrame = field(default_factory=pd.DataFrame)


# ------------------------------------------------------------------------------ HTML


class Markup(str):
    """HTML that is finished; any other string still is text."""


def tag(name: str, *children: Any, **attributes: str) -> Markup:
    """An element. Children that are not `Markup` are escaped, and so are attribute values."""
    inside = "".join(c if isinstance(c, Markup) else html.escape(str(c)) for c in children)
    given = "".join(f' {key.rstrip("_")}="{html.escape(v)}"' for key, v in attributes.items())
    return Markup(f"<{name}{given}>{inside}</{name}>")


def join(parts: Iterable[Markup]) -> Markup:
    return Markup("\n".join(parts))


def table(
    header: Sequence[Any], rows: Iterable[Sequence[Any]], left: Collection[int] = ()
) -> Markup:
    """Rows of text, or of finished <td>; the first column heads its row. left: columns of words."""
    kinds = [{"class_": "left"} if i in left else {} for i in range(len(header))]
    heads = (tag("th", c, scope="col", **k) for c, k in zip(header, kinds, strict=True))
    body = (_line(row, kinds) for row in rows)
    return tag(
        "div",
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body)),
        class_="wide",
    )


def _line(row: Sequence[Any], kinds: Sequence[dict[str, str]]) -> Markup:
    first, *rest = row
    cells = (
        c if isinstance(c, Markup) and c.startswith("<td") else tag("td", c, **kind)
        for c, kind in zip(rest, kinds[1:], strict=True)
    )
    return tag("tr", tag("th", first, scope="row"), *cells)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(pixels: np.ndarray, alt: str) -> Markup:
    """uint8 or float (height, width, 3), 0 to 255 → an <img> that holds it."""
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return tag("img", src=_uri("image/png", file.getvalue()), alt=alt, class_="pixels")


def sound(wave: np.ndarray, rate: int) -> Markup:
    """float (samples,) in [-1, 1] → a player that holds it."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(wave, -1, 1), rate, format="WAV", subtype="PCM_16")
    return tag("audio", controls="", src=_uri("audio/wav", file.getvalue()))


def plot(figure: Figure, alt: str) -> Markup:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=140)
    width = f"width: {5 * figure.get_figwidth():.0f}rem"
    return tag("img", src=_uri("image/png", file.getvalue()), alt=alt, class_="plot", style=width)


STYLE = """
:root { color-scheme: light dark; --ink: #1f2d3d; --paper: #fff; --line: #c9d3de; --soft: #eef2f7;
  --warn: #fff4d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --paper: #14191f; --line: #3b4653;
  --soft: #1f2730; --warn: #41350f; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 0.92rem; }
small { opacity: 0.8; white-space: nowrap; }
.wide { overflow-x: auto; margin: 1rem 0; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, .left { text-align: left; } thead th { background: var(--soft); }
td.diagonal { outline: 2px solid var(--ink); outline-offset: -3px; }
img.plot { background: #fff; border-radius: 6px; max-width: 100%; }
img.pixels { height: 96px; border-radius: 4px; image-rendering: pixelated; }
audio { height: 2rem; width: 12rem; } pre, code { background: var(--soft); border-radius: 4px; }
pre { padding: 0.7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.warning { background: var(--warn); border-radius: 6px; padding: 0.5rem 1rem; margin: 0.6rem 0; }
.lead { font-size: 1.15rem; } .mistake { display: flex; gap: 1rem; flex-wrap: wrap;
  align-items: center; border-bottom: 1px solid var(--line); padding: 0.6rem 0; }
.mistake p { flex: 1 1 18rem; margin: 0; overflow-wrap: anywhere; }
"""
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def page(run: Run) -> str:
    """The whole HTML page."""
    title = f"Report: {run.settings['label']} of {run.settings['data']}"
    head = Markup(
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    ) + tag("title", title)
    warnings = [tag("p", text, class_="warning") for text in run.metrics["warnings"]]
    sections = [
        tag("h1", title),
        tag("p", headline(run), class_="lead"),
        *warnings,
        *_data(run),
        *_results(run),
        *_classes(run),
        *_calibration(run),
        *_training(run),
        *_mistakes(run),
        *_skipped(run),
        *_making(run),
    ]
    body = tag("body", tag("main", join(sections)))
    style = Markup(f"<style>{STYLE}</style>")
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{style}</head>\n{body}</html>\n'


def headline(run: Run) -> str:
    """The result in two sentences."""
    models = run.metrics["models"]
    ours, base = models[ALL]["accuracy"], models[MAJORITY]["accuracy"]
    sure = ""
    if ours["low"] is not None:
        sure = f" (95% interval: {percent(ours['low'])} to {percent(ours['high'])})"
    return (
        f"On {run.metrics['rows']['test']} test rows the model is right in "
        f"{percent(ours['value'])}{sure}. To always answer {run.metrics['majority']!r} would be "
        f"right in {percent(base['value'])}."
    )


# ------------------------------------------------------------------------------ sections


def _data(run: Run) -> list[Markup]:
    counts, parts = run.metrics["classes"], list(run.metrics["rows"])
    rows = [[name, *(counts[name][part] for part in parts)] for name in counts]
    rows.append(["all", *run.metrics["rows"].values()])
    used = [[role, column, why] for role, (column, why) in run.settings["columns_chosen"].items()]
    there = [
        [name, *(percent(of[part]) for part in parts)]
        for name, of in run.metrics["present"].items()
    ]
    return [
        tag("h2", "The data"),
        table(["role", "column", "why"], used, left=(1, 2)),
        tag("h3", "Rows by class and part"),
        table(["class", *parts], rows),
        tag("p", "The model learned from train, was stopped by valid, and met test only once."),
        tag("h3", "Share of rows that have the modality"),
        table(["modality", *parts], there),
    ]


def _results(run: Run) -> list[Markup]:
    models = run.metrics["models"]
    rows = [[name, *(_two_lines(of[key]) for key in COLUMNS)] for name, of in models.items()]
    gaps = [
        [name, with_interval(of["accuracy"])] for name, of in run.metrics["differences"].items()
    ]
    return [
        tag("h2", "Results on the test part"),
        table(["model", *COLUMNS.values()], rows),
        tag(
            "p",
            "Below each value: its 95% interval, "
            f"{run.metrics['interval']['kind'] or 'where there is one'}. It tells how much the "
            "result depends on which rows were drawn for the test, "
            "not how much on the seed or the split, and say nothing about data of another origin. "
            "Balanced accuracy is the mean recall of the classes. A modality alone: the same model "
            "with all others marked absent, not a model trained on it alone.",
        ),
        plot(_forest(models), "Accuracy of each model with its interval; numbers as in the table"),
        tag("h3", "What the whole model gains in accuracy"),
        table(["against", "difference (95% interval)"], gaps),
    ]


def _two_lines(entry: Mapping[str, float | None]) -> Markup:
    if entry["low"] is None:
        return tag("td", number(entry["value"]))
    interval = tag("small", f"{number(entry['low'])} to {number(entry['high'])}")
    return tag("td", number(entry["value"]), Markup("<br>"), interval)


def _forest(models: Mapping[str, Any]) -> Figure:
    entries = {
        (name, "accuracy"): [np.nan if v is None else v for v in of["accuracy"].values()]
        for name, of in models.items()
    }
    frame = pd.DataFrame.from_dict(entries, orient="index", columns=["value", "low", "high"])
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["model", "metric"])
    figure, ax = _figure(6.4, 1.0 + 0.36 * len(models))
    plots.intervals(frame, "accuracy", ax=ax)
    ax.set(xlim=(-0.02, 1.02), xlabel="accuracy on the test part, with 95% interval")
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _classes(run: Run) -> list[Markup]:
    header = ["class", "test rows", "precision", "recall", "recall, 95% interval", "F1"]
    rows = [
        [
            of["class"],
            of["rows"],
            number(of["precision"]),
            number(of["recall"]),
            f"{number(of['recall_low'])} to {number(of['recall_high'])}",
            number(of["f1"]),
        ]
        for of in run.metrics["per_class"]
    ]
    return [
        tag("h2", "Class by class"),
        table(header, rows),
        tag("p", "Intervals of the recall by Wilson (1927), for independent rows."),
        tag("h3", "Confusion matrix"),
        _confusion(run.metrics),
    ]


def _confusion(metrics: Mapping[str, Any]) -> Markup:
    names, counts = list(metrics["classes"]), metrics["confusion"]
    if len(names) > CROWDED:
        off = [(t, p, n) for t, of in counts.items() for p, n in of.items() if t != p]
        most = sorted(off, key=lambda pair: -pair[2])[:CROWDED]
        return table(["true class", "was taken for", "rows"], most, left=(1,))
    rows = []
    for name in names:
        found = [counts.get(name, {}).get(other, 0) for other in names]
        whole = max(sum(found), 1)
        cells = (_shaded(n, n / whole, o == name) for o, n in zip(names, found, strict=True))
        rows.append([name, *cells])
    return table(["true class ↓   predicted →", *names], rows)


def _shaded(count: int, share: float, diagonal: bool) -> Markup:
    extra = {"class_": "diagonal"} if diagonal else {}
    shade = f"background: rgba(110, 140, 180, {0.65 * share:.2f})"
    return tag("td", f"{count} ({percent(share)})", style=shade, **extra)


def _calibration(run: Run) -> list[Markup]:
    figure, ax = _figure(4.6, 4.6)
    plots.reliability(run.y, {"model": run.probabilities}, ax=ax)
    text = (
        "How often the answer is right (up) against the probability the model gave it (right); "
        "on the dotted line it is calibrated. Few rows make the line ragged."
    )
    if run.metrics["training"]["class_weight"]:
        text += (
            " Classes were weighted in training, so the probabilities are those of data in which "
            "all classes are equally frequent."
        )
    return [tag("h2", "Are the probabilities to be trusted?"), tag("p", text), plot(figure, text)]


def _training(run: Run) -> list[Markup]:
    training = run.metrics["training"]
    history, best = training["history"], training["best_epoch"]
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    for ax, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        plots.curves({"model": history}, metric, ax=ax)
        ax.axvline(best, color="0.5", ls=":", lw=1.2)
    words = f"Epoch {best} of {training['epochs']} had the lowest validation loss and was kept."
    alt = "Loss and accuracy over the epochs, training dashed, validation solid"
    return [
        tag("h2", "Learning curves"),
        tag("p", f"{words} (Dotted line. With modality dropout on, training is the harder task.)"),
        plot(figure, alt),
    ]


def _mistakes(run: Run) -> list[Markup]:
    title = tag("h2", "Mistakes, and right answers")
    if run.examples is None:
        return [title, tag("p", "Rows of the data are not shown (--no-examples).")]
    wrong = [e for e in run.examples if e.predicted != e.truth]
    right = [e for e in run.examples if e.predicted == e.truth]
    text = (
        "Wrong answers of the test part, the surest first, as the model saw them. Look for wrong "
        "labels, unreadable input, and what they share. This page holds rows of your data: think "
        "of that before you pass it on (train with --no-examples to leave them out)."
    )
    return [
        title,
        tag("p", text),
        *(map(_mistake, wrong) if wrong else [tag("p", "There is none in the test part.")]),
        tag("h3", "Right answers"),
        *map(_mistake, right),
    ]


def _mistake(example: Example) -> Markup:
    shown: list[Any] = [
        tag("strong", f"Row {example.row}"),
        f": is {example.truth!r}, "
        + (
            "and was found"
            if example.truth == example.predicted
            else f"taken for {example.predicted!r}"
        )
        + f" with probability {example.probability:.2f}. ",
        tag("em", _short(example.text)) if example.text else "",
    ]
    parts = [tag("p", *shown)]
    if example.picture is not None:
        parts.insert(0, picture(example.picture, f"picture of row {example.row}"))
    if example.sound is not None:
        parts.append(sound(example.sound, example.rate))
    return tag("div", *parts, class_="mistake")


def _short(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]}…"


def _skipped(run: Run) -> list[Markup]:
    count = len(run.skipped)
    title = tag("h2", "Problems in the data")
    if not count:
        return [title, tag("p", "None was found; no row was skipped.")]
    rows = [
        ["" if pd.isna(row) else row, *(_short(str(text)) for text in rest)]
        for row, *rest in run.skipped.head(SHOWN).itertuples(index=False)
    ]
    more = [tag("p", f"The first {SHOWN} of {count}.")] if count > SHOWN else []
    words = f"{run.metrics['skipped']} rows were skipped, as --skip-bad-rows asked; the reasons:"
    return [
        title,
        tag("p", words),
        *more,
        table(["row", "column", "value", "reason"], rows, (1, 2, 3)),
    ]


def _making(run: Run) -> list[Markup]:
    settings = run.settings
    told = {name: settings[name] for name in ("seed", "fusion", "weights", "device", "training")}
    rows = {**settings["versions"], **told}.items()
    return [
        tag("h2", "How it was made"),
        tag("pre", settings["command"]),
        table(["setting", "value"], rows, left=(1,)),
        tag("p", "Files beside this one: model.keras, settings.json (what prediction needs), "
            "metrics.json (every number above), model_card.md."),
    ]  # fmt: skip


# ------------------------------------------------------------------------------ model card


def plain(text: Any) -> str:
    """Text for a line of Markdown: nothing in it is markup, a table cell or a line break."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return "".join(f"\\{c}" if c in "\\`*_[]#|~$" else c for c in escaped)


CARD = """# Model card: {label} of {data}

The headings are those of Mitchell et al., *Model Cards for Model Reporting* (2019,
doi:10.1145/3287560.3287596). Lines in italics are questions that only the owner of the model can
answer.

## Model details
- Predicts `label` = {label}, one of {count} classes: {classes}.
- Reads: {columns}. A modality may be absent; a learned vector stands in for it.
- Keras model: {modalities} encoders, {fusion} fusion, {weights} weights.
- Trained on {day} with {versions}.
- Made by: {command}
- *Who is responsible for it, and how can they be reached? Under which licence may it be used?*

## Intended use
- *Which decision is it meant to support, and who takes the decision in the end?*
- *Who are its users, and what must they know?*
- *Which uses are out of scope?* Any data that does not come from the same source in the same way
  as the training data is out of scope until it has been tested on it.

## Factors
- *Which groups of people, instruments, places or periods are in the data, and on which may it do
  worse?* They were not examined here; only classes and modalities were.

## Metrics
- Accuracy, balanced accuracy (mean recall of the classes), ROC AUC (mean of each class against the
  rest), Brier score, expected calibration error, with 95% bootstrap intervals over {unit} of the
  test part.
- A class is predicted when it is the most probable; no costs of mistakes were taken into account.

## Evaluation data
- {test} rows of {data} that took no part in training, {how}.

## Training data
- {train} rows to learn from, {valid} to stop on. {weighted}
- *Where does the data come from, who made the labels, and did the people in it agree?*

| class | train | valid | test |
|---|---|---|---|
{class_rows}

## Quantitative analyses
| | accuracy | balanced accuracy | ROC AUC | Brier score | calibration error |
|---|---|---|---|---|---|
{result_rows}

| class | test rows | precision | recall (95%, Wilson) |
|---|---|---|---|
{per_class_rows}

## Ethical considerations
- *Does the data hold personal or otherwise sensitive content? Who could be harmed by a wrong
  answer, and how would they notice and object?*

## Caveats and recommendations
{caveats}
"""


def card(run: Run) -> str:
    """The model card, in Markdown."""
    s, m = run.settings, run.metrics
    class_rows = [
        f"| {plain(name)} | {of['train']} | {of['valid']} | {of['test']} |"
        for name, of in m["classes"].items()
    ]
    result_rows = [
        f"| {plain(name)} | {' | '.join(with_interval(of[key]) for key in COLUMNS)} |"
        for name, of in m["models"].items()
    ]
    per_class_rows = [
        f"| {plain(of['class'])} | {of['rows']} | {number(of['precision'])} | "
        f"{number(of['recall'])} ({number(of['recall_low'])} to {number(of['recall_high'])}) |"
        for of in m["per_class"]
    ]
    weighted = m["training"]["class_weight"]
    caveats = [
        *m["warnings"],
        "One split and one seed: other splits and seeds give other numbers.",
        "A modality alone was measured by hiding the others, not by a model trained for it.",
    ]
    return CARD.format(
        label=plain(s["label"]),
        data=plain(s["data"]),
        count=len(m["classes"]),
        classes=", ".join(map(plain, m["classes"])),
        columns=", ".join(f"{k} from {plain(v)}" for k, v in s["columns"].items()),
        modalities=", ".join(s["columns"]),
        fusion=plain(s["fusion"]),
        weights=s["weights"],
        day=s["day"],
        versions=", ".join(f"{k} {v}" for k, v in s["versions"].items()),
        command=plain(s["command"]),
        unit=m["interval"]["unit"] or "no unit",
        how=plain(s["how_split"]),
        weighted="Classes were weighted by their inverse frequency." if weighted else
        "Classes were not weighted.",
        class_rows="\n".join(class_rows),
        result_rows="\n".join(result_rows),
        per_class_rows="\n".join(per_class_rows),
        caveats="\n".join(f"- {plain(text)}" for text in caveats),
        **m["rows"],
    )  # fmt: skip


def write(run: Run, folder: Path) -> None:
    """report.html and model_card.md."""
    (folder / "report.html").write_text(page(run), encoding="utf-8")
    (folder / "model_card.md").write_text(card(run), encoding="utf-8")
