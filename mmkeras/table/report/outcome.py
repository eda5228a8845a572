"""All that is known of a run when it is told: settings, numbers, rows to look at."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..caveats import ALL, MAJORITY
from ..wording import percent
from .examples import Example


@dataclass
class Run:
    """Everything the page and the card tell.

    Attributes:
        settings: what settings.json holds; "parameters" is a flat dict of all that was set.
        metrics: what metrics.json holds; "training" and "seeds" may be absent.
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
