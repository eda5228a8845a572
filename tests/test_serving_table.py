"""The stored table of `benchmarks/serving.py` and what docs/results.md says of it."""

from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]


def test_the_results_are_those_of_the_stored_table():
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "serving.csv")
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    text = text[text.index("## Answers over HTTP") :].split("\n## ")[0]
    for row in table.itertuples():
        line = f"| {row.what} | {row.connections} | {row.requests_per_second:,.0f} | {row.p50_ms} "
        assert line in text.replace("  ", " "), line
        assert row.answers.endswith("×200") and " " not in row.answers  # every request was answered
    costs = table[table["what"] != "text"].set_index("connections")["cpu_ms"]
    assert f"{costs[16] / costs[1]:.2f} of the processor time" in " ".join(text.split())


def test_the_stored_table_obeys_littles_law():
    """Chapter 19: clients that never pause are all inside, so latency = clients / rate. (The law is
    of the mean, the table has the median, which here lies close to it.)"""
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "serving.csv")
    by_law = 1000 * table["connections"] / table["requests_per_second"]
    assert len(table) == 4 and (abs(table["p50_ms"] / by_law - 1) < 0.1).all()
