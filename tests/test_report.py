"""The page and the model card: what they show, and that data never becomes markup."""

import re

import numpy as np
import pandas as pd
from test_measure import answers_of, certain, fake

from mmkeras.table import examples, measure, report

# One of each kind of thing that a page, a plot or a table of Markdown could take for markup.
HOSTILE = ["<script>alert(1)</script>", 'a"><img src=x onerror=alert(1)>', "$\\frac{$ | `b` [c](d)"]


# ------------------------------------------------------------------------------ the page


def hostile_run():
    """A run in which every text that comes from the data or the user is hostile."""
    table = fake({"train": [9, 9, 9], "valid": [9, 9, 9], "test": [5, 5, 5]})
    table.classes = HOSTILE
    table.rows["label"] = np.repeat(HOSTILE * 3, [9, 9, 9, 9, 9, 9, 5, 5, 5])
    y = np.repeat([0, 1, 2], 5)
    p = certain((y + 1) % 3, 3)
    metrics = measure.measure(table, y, {(): p, ("text",): p}, seed=0)
    history = {"loss": [2.0, 1.0], "accuracy": [0.1, 0.2]}
    history |= {f"val_{name}": values for name, values in history.items()}
    metrics["training"] = {
        "epochs": 2, "best_epoch": 2, "class_weight": dict.fromkeys(HOSTILE, 1.0),
        "history": history,
    }  # fmt: skip
    bad = HOSTILE[1]
    settings = {
        "label": bad, "data": bad, "split": None, "group": None, "columns": {"text": bad},
        "columns_chosen": {"text": [bad, bad]}, "how_split": bad, "fusion": "concatenate",
        "seed": 0, "weights": 1, "training": "1 s", "day": "2024-01-01", "device": "CPU",
        "command": f"python {bad} `x`", "versions": {"keras": "3"},
        "parameters": {"words": 32, "tokens": bad},
    }  # fmt: skip
    example = examples.Example(5, HOSTILE[0], HOSTILE[1], 0.9, text=HOSTILE[0] * 99)
    skipped = pd.DataFrame([[7, bad, bad, bad]], columns=["row", "column", "value", "reason"])
    return report.Run(settings, metrics, y, p, [example], skipped)


def test_hostile_text_stays_text():
    run = hostile_run()
    html = report.page(run)
    assert "<script" not in html and "<img src=x" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    tags = set(re.findall(r"<(\w+)", html))
    assert "img" in tags and not tags & {"script", "iframe", "object", "a", "link", "form", "b"}
    assert not re.search(r"<[^>]*\son\w+=", html), "an event handler"
    card = report.card(run)
    assert "<script" not in card and "<img" not in card
    bars = re.compile(r"(?<!\\)\|")
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    assert len(tables) == 4
    for lines in map(str.splitlines, tables):
        assert len(lines) > 2 and len({len(bars.findall(line)) for line in lines}) == 1, lines


def test_a_page_with_many_classes_lists_the_confusions_and_hides_rows_on_request():
    n = 25
    table = fake({part: [4] * n for part in ("train", "valid", "test")})
    y = np.repeat(np.arange(n), 4)
    said = np.where(np.arange(len(y)) == 3, 17, y)
    metrics = measure.measure(table, y, answers_of(y, said, n), seed=0)
    run = hostile_run()
    run.metrics = {**metrics, "training": run.metrics["training"]}
    run.y, run.probabilities, run.examples = y, certain(said, n), None
    html = report.page(run)
    assert '<th scope="row">c0</th><td class="left">c17</td><td>1</td>' in html
    assert "Rows of the data are not shown" in html
