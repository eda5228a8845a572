"""The content of a report: settings, results, rows to look at."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..caveats import ALL, MAJORITY
from ..wording import percent
from .examples import Example


@dataclass
class Run:
    """The content of the page and the card.

    Attributes:
        settings: the content of settings.json; "parameters" is a flat dict of all settings.
        metrics: the content of metrics.json; "training" and "seeds" may be absent.
        y: int (n,), the classes of the test rows.
        probabilities: float (n, classes), those of the whole model.
        examples: rows of the test part, mistakes and right answers; None if no content of a row may
            be shown.
        skipped: the skipped rows, with columns row, column, value, reason.
    """

    settings: dict[str, Any]
    metrics: dict[str, Any]
    y: np.ndarray
    probabilities: np.ndarray
    examples: list[Example] | None = None
    skipped: pd.DataFrame = field(default_factory=pd.DataFrame)


def headline(run: Run) -> str:
    """The result in two sentences."""
    models = run.metrics["models"]
    ours, base = models[ALL]["accuracy"], models[MAJORITY]["accuracy"]
    sure = ""
    if ours["low"] is not None:
        by = f", by {run.metrics['interval']['unit']}"
        sure = f" (95% interval{by}: {percent(ours['low'])} to {percent(ours['high'])})"
    return (
        f"On {run.metrics['rows']['test']} test rows the model is right in "
        f"{percent(ours['value'])}{sure}. To always answer {run.metrics['majority']!r} would be "
        f"right in {percent(base['value'])}."
    )
