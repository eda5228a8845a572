"""The model card of a run, in Markdown."""

import html
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..columns import MODALITIES
from ..encoders.board import AGAIN, TUNED
from ..encoders.choice import AS_THEY_ARE
from ..wording import number, with_interval
from .facts import SMALL, hidden
from .outcome import Run
from .scores import COLUMNS, OF_CLASS

MOST = 50  # largest number of classes in the card


def plain(text: Any) -> str:
    """Escape text for a line of Markdown: no markup, table cell or line break is left in it."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return "".join(f"\\{c}" if c in "\\`*_[]#|~$" else c for c in escaped)


CARD = """# Model card: {label} of {data}

The headings are those of Mitchell et al., *Model Cards for Model Reporting* (2019,
doi:10.1145/3287560.3287596). Lines in italics are questions that only the owner of the model can
answer.

## Model details
- Predicts `label` = {label}, one of {count} classes: {classes}.
- Reads: {columns}. A modality may be absent; {stand_in} replaces its features.
- Keras model: encoders of {modalities}, {fusion} fusion, {weights:,} weights.{behind}
- Trained on {day} with {versions}.
- Made by: {command}
- *Who is responsible for it, and how can they be reached? Under which licence may it be used?*

## Intended use
- *Which decision is it meant to support, and who takes the decision in the end?*
- *Who are its users, and what must they know?*
- *Which uses are out of scope?* Any data that does not come from the same source in the same way
  as the training data is out of scope until it has been tested on it.

## Factors
- *Which groups of people, instruments, places or periods are in the data, and for which may the
  model do worse?* {examined}

## Metrics
- Accuracy, balanced accuracy (mean recall of the classes), ROC AUC (mean of each class against the
  rest), Brier score, expected calibration error. {interval}
- The most probable class is predicted; the costs of mistakes were not taken into account.

## Evaluation data
- {test} rows of {data} that took no part in training, {how}.

## Training data
- {train} rows to learn from, {valid} {validating} {weighted}
- Counts, gaps and what is not known about the data: data_card.md.

| class | train | valid | test |
|---|---|---|---|
{class_rows}

## Quantitative analyses
| | accuracy | balanced accuracy | ROC AUC | Brier score | calibration error |
|---|---|---|---|---|---|
{result_rows}

| modality | adds to accuracy (Shapley 1953) | lowers log loss by (nats) |
|---|---|---|
{importance_rows}

| class | test rows | precision | recall |
|---|---|---|---|
{per_class_rows}
{groups}
## Ethical considerations
- *Does the data hold personal or otherwise sensitive content? Who could be harmed by a wrong
  answer, and how would they notice and object?*

## Caveats and recommendations
{caveats}
"""


def card(run: Run) -> str:
    """The model card of a training, in Markdown."""
    s, m = run.settings, run.metrics
    kind = m["interval"]["kind"]
    weighted = m["training"]["class_weight"]
    return CARD.format(
        label=plain(s["label"]),
        data=plain(s["data"]),
        count=len(m["classes"]),
        classes=", ".join(map(plain, most(m["classes"]))) + more_than(m["classes"]),
        columns=", ".join(f"{k} from {plain(v)}" for k, v in _columns(s).items()),
        modalities=", ".join(_columns(s)),
        stand_in="the mean of the training rows" if s.get("encoders") else "a learned vector",
        behind=_behind(s, m),
        validating=_validating(m),
        fusion=plain(s["fusion"]),
        weights=s["weights"],
        day=s["day"],
        versions=", ".join(f"{k} {v}" for k, v in s["versions"].items()),
        command=plain(s["command"]),
        interval=f"95% intervals: {kind}." if kind else "No intervals: all test rows are of one "
        "group.",
        how=plain(s["how_split"]),
        weighted="Classes were weighted by their inverse frequency." if weighted else
        "Classes were not weighted.",
        examined=_examined(m),
        groups=_groups(m),
        **_tables(m),
        caveats="\n".join(f"- {plain(text)}" for text in _caveats(m)),
        **m["rows"],
    )  # fmt: skip


def _examined(metrics: Mapping[str, Any]) -> str:
    """Which groups of people were looked at."""
    if not (found := metrics.get("groups")):
        return "They were not examined here (--groups); only classes and modalities were."
    return f"Examined here: {', '.join(map(plain, found))}; no others."


def _groups(metrics: Mapping[str, Any]) -> str:
    """A table of the groups of people, or nothing."""
    if not (found := metrics.get("groups")):
        return ""
    names = ["accuracy", *(OF_CLASS if len(metrics["classes"]) == 2 else ())]
    head = ["group", "test rows", *(OF_CLASS.get(name, name) for name in names)]
    lines = [line(head), line(["---"] * len(head))]
    for column, groups in found.items():
        counts = hidden(np.array([[of["rows"]] for of in groups.values()]))
        for (name, of), (n,) in zip(groups.items(), counts, strict=True):
            measured = (with_interval(of[key], 2) for key in names)
            told = "·" if n is None else n
            lines.append(line([f"{plain(column)}: {plain(name)}", told, *measured]))
    return "\n" + "\n".join(lines) + (
        f"\n\nA dash stands where fewer than ten rows count, and a · for a number of rows below "
        f"{SMALL} or one that would tell such a number by subtraction.\n"
    )  # fmt: skip


def _behind(settings: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """What a model behind pretrained encoders, or simple features, has learned here."""
    named = settings.get("encoders") or {}
    if not named:
        return ""
    tuned = _race(metrics).get("winner") == TUNED
    learned = "its head and the last blocks of its pretrained encoders" if tuned else "its head"
    read = ", ".join(
        f"{m} {'' if name == AS_THEY_ARE else 'by '}{plain(name)}" for m, name in named.items()
    )
    return f" Trained on this data: {learned}. What the head reads: {read}."


def _validating(metrics: Mapping[str, Any]) -> str:
    """What the validation rows were for."""
    if not (winner := _race(metrics).get("winner")):
        return "to stop on."
    again = " The head that was taken has then learned from both."
    return f"to choose a candidate by.{again if winner in AGAIN else ''}"


def _race(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    return metrics["training"].get("race") or {}


def _columns(settings: Mapping[str, Any]) -> dict[str, str]:
    """Modality → the names of its columns."""
    chosen = settings["columns_chosen"]
    return {m: chosen[m][0] for m in MODALITIES if m in chosen}


def _tables(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The rows of each table."""
    rows = {
        "class_rows": [
            [plain(name), of["train"], of["valid"], of["test"]]
            for name, of in most(metrics["classes"].items())
        ],
        "result_rows": [
            [plain(name), *(with_interval(of[key]) for key in COLUMNS)]
            for name, of in metrics["models"].items()
        ],
        "importance_rows": [
            [m, *(with_interval(_entry(of, name)) for name in ("accuracy", "log_loss"))]
            for m, of in (metrics["importance"] or {}).items()
        ],
        "per_class_rows": [
            [plain(of["class"]), of["rows"], number(of["precision"]),
             with_interval(_entry(of, "recall"))]
            for of in most(metrics["per_class"])
        ],
    }  # fmt: skip
    for name in ("class_rows", "per_class_rows"):
        width = len(rows[name][0])
        if more := more_than(metrics["classes"]):
            rows[name].append([more.strip(), *[""] * (width - 1)])
    return {name: "\n".join(map(line, some)) for name, some in rows.items()}


def line(cells: Iterable[Any]) -> str:
    """A line of a table; the cells must be plain."""
    return f"| {' | '.join(map(str, cells))} |"


def _entry(of: Mapping[str, Any], name: str) -> dict[str, float | None]:
    return {"value": of[name], "low": of[f"{name}_low"], "high": of[f"{name}_high"]}


def most(names: Iterable[Any]) -> Iterator[Any]:
    """The first `MOST`."""
    return itertools.islice(names, MOST)


def more_than(names: Collection[Any]) -> str:
    """How many there are besides, or ""."""
    return f" and {len(names) - MOST} more, in metrics.json" if len(names) > MOST else ""


def _caveats(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield from metrics["warnings"]
    if seeds := metrics.get("seeds"):
        mean, sd = seeds["mean"]["accuracy"], seeds["sd"]["accuracy"]
        yield (
            f"One split; over {len(seeds['seed'])} seeds the accuracy is {number(mean)} in the "
            f"mean, with a standard deviation of {number(sd)}."
        )
    else:
        yield "One split and one seed: other splits and seeds give other numbers."
    yield "A modality alone was measured by hiding the others, not by a model trained for it."
