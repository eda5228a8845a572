"""The sections of the report on the data and the settings: each turns a `Run` into HTML."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from ..wording import number, percent
from .examples import Example
from .facts import QUOTED
from .markup import picture, sound, table, tag
from .outcome import Run
from .scores import CROWDED, REST

SHOWN = 200  # largest number of skipped rows in the page
NOT_SHOWN = (
    "This report holds no content of a row. To see the surest mistakes as the model saw them, and "
    "what skipped rows held, add --show-rows, and keep that report to yourself."
)
TEXT = 400  # largest number of characters of a cell in the page


def examples(run: Run) -> list[Markup]:
    """Mistakes and right answers, with what the model saw."""
    title = tag("h2", "Mistakes, and right answers")
    if run.examples is None:
        return [title, tag("p", NOT_SHOWN)]
    wrong = [e for e in run.examples if e.predicted != e.truth]
    right = [e for e in run.examples if e.predicted == e.truth]
    text = (
        "These rows of the test part are shown as the model saw them. Look for wrong labels, "
        "unreadable input, and what the mistakes have in common. This page holds rows of your "
        "data, as --show-rows asked: remember that before you share it."
    )
    none = [tag("p", "There are none in the test part.")]
    return [
        title,
        tag("p", text),
        tag("h3", "Mistakes, the surest first"),
        *(map(_example, wrong) if wrong else none),
        tag("h3", "Right answers, from sure to unsure"),
        *(map(_example, right) if right else none),
    ]


def _example(example: Example) -> Markup:
    said = "found" if example.predicted == example.truth else f"taken for {example.predicted!r}"
    shown: list[Any] = [
        tag("strong", f"Row {example.row}"),
        f": is {example.truth!r}, {said} with probability {number(example.probability, 2)}. ",
    ]
    for text in filter(None, (example.text, example.numbers)):
        shown += [tag("em", _short(text)), " "]
    parts = [tag("p", *shown)]
    if example.picture is not None:
        parts.insert(0, picture(example.picture, f"picture of row {example.row}"))
    if example.sound is not None:
        parts.append(sound(example.sound, example.rate, f"sound of row {example.row}"))
    return tag("div", *parts, class_="example")


def _short(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]}…"


def data(run: Run) -> list[Markup]:
    """The rows by class and part, the gaps, and the equal rows."""
    counts, parts = run.metrics["classes"], list(run.metrics["rows"])
    shown, words = list(counts), f"How the rows were divided: {run.settings['how_split']}."
    if len(counts) > CROWDED:
        by_size = sorted(counts, key=lambda name: -sum(counts[name].values()))
        shown = by_size[: CROWDED // 2] + by_size[-CROWDED // 2 :]
        words += f" Shown are the {CROWDED} largest and smallest of {len(counts)} classes{REST}"
    rows = [[name, *(counts[name][part] for part in parts)] for name in shown]
    rows.append(["all", *run.metrics["rows"].values()])
    used = [[role, column, why] for role, (column, why) in run.settings["columns_chosen"].items()]
    present = run.metrics["present"]
    told = [part for part in parts if all(part in of for of in present.values())]
    there = [[m, *(percent(of[part]) for part in told)] for m, of in present.items()]
    return [
        tag("h2", "The data"),
        table(["role", "column", "why"], used, left=(1, 2)),
        tag("h3", "Rows by class and part"),
        table(["class", *parts], rows),
        tag("p", words),
        tag("h3", "Share of rows that have the modality"),
        table(["modality", *told], there),
        *_duplicates(run),
    ]


def _duplicates(run: Run) -> list[Markup]:
    if (of := run.metrics.get("duplicates")) is None:
        return []
    title = tag("h3", "Equal rows")
    if not of["rows"]:
        return [title, tag("p", "None: no row equals another one.")]
    kinds = ", ".join(f"{kind}: {n}" for kind, n in of["kinds"].items() if n)
    words = f"{of['rows']} rows equal another one ({kinds})."
    if not of["crossing"]:
        return [title, tag("p", words)]
    if run.settings.get("parameters", {}).get("equal rows on both sides"):
        words += (
            f" {of['crossing']} of them are on both sides of the split, as --allow-duplicates "
            "asked: the model has seen the answers to such test rows, and the results are too good."
        )
        return [title, tag("p", words, class_="warning")]
    words += f" {of['crossing']} of them would have been on both sides of the split: each such set "
    return [title, tag("p", f"{words}was put into one part.")]


def problems(run: Run) -> list[Markup]:
    """The rows that were skipped, and why."""
    count = len(run.skipped)
    title = tag("h2", "Problems in the data")
    if not count:
        return [title, tag("p", "No problem was found, and no row was skipped.")]
    found = run.skipped.head(SHOWN)
    if run.examples is None:
        reasons = [QUOTED.sub("…", reason) for reason in found["reason"]]
        found = found.drop(columns="value").assign(reason=reasons)
    rows = [
        ["" if pd.isna(row) else row, *(_short(str(text)) for text in rest)]
        for row, *rest in found.itertuples(index=False)
    ]
    more = [tag("p", f"These are the first {SHOWN} of {count}.")] if count > SHOWN else []
    words = f"{run.metrics['skipped']} rows were skipped, as --skip-bad-rows asked; the reasons:"
    header = list(found)
    return [title, tag("p", words), *more, table(header, rows, left=range(1, len(header)))]


def making(run: Run) -> list[Markup]:
    """The settings, the command and the versions."""
    s = run.settings
    parameters = s.get("parameters") or {"fusion": s["fusion"], "seed": s["seed"]}
    rows = [[name, _plain(value)] for name, value in parameters.items()]
    made = {
        "weights": f"{s['weights']:,}",
        "training took": s["training"],
        "day": s["day"],
        "device": s["device"],
        **s["versions"],
    }
    return [
        tag("h2", "How it was made"),
        tag("pre", s["command"]),
        tag("h3", "All settings"),
        table(["setting", "value"], rows, left=(1,)),
        tag("h3", "Where and when"),
        table(["", "value"], made.items(), left=(1,)),
        tag("p", "Every number of this page is in metrics.json, beside it."),
    ]


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
