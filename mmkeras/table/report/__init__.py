"""The report on a run: one HTML page, a model card and a data card."""

from pathlib import Path

from ... import files
from . import race, scores, sections
from .card import card
from .data_card import data_card
from .markup import document, tag
from .outcome import Run, headline
from .scores import COLUMNS

__all__ = ["COLUMNS", "Run", "card", "data_card", "headline", "page", "write"]
SECTIONS = (
    scores.results, race.board, scores.importance, scores.seeds, scores.classes, scores.groups,
    scores.curves, scores.calibration, scores.training, sections.examples, sections.data,
    sections.problems, sections.making,
)  # fmt: skip


def page(run: Run) -> str:
    """The whole HTML page, in one file, on a training or on an evaluation with other rows."""
    title = f"Report: {run.settings['label']} of {run.settings['data']}"
    warnings = [tag("p", text, class_="warning") for text in run.metrics["warnings"]]
    parts = [tag("h1", title), tag("p", headline(run), class_="lead"), *warnings]
    for section in SECTIONS:
        parts += section(run)
    return document(title, parts)


def write(run: Run, folder: Path) -> None:
    """Write report.html, model_card.md and data_card.md."""
    cards = {"model_card.md": card(run), "data_card.md": data_card(run)}
    for name, text in ({"report.html": page(run)} | cards).items():
        with files.whole(folder / name, "w", encoding="utf-8") as file:
            file.write(text)
