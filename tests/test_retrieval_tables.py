"""The stored tables of the retrieval benchmarks belong to the splits of today, and are complete."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkeras.datasets import load_emoji

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def constant(name: str) -> object:
    """A constant of the script, read without running it."""
    tree = ast.parse((FOLDER / "retrieval.py").read_text(encoding="utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(getattr(target, "id", "") == name for target in targets):
            return ast.literal_eval(node.value)
    raise AssertionError(f"retrieval.py has no constant {name}")


@pytest.fixture(scope="module")
def test_rows() -> dict[str, pd.DataFrame]:
    emoji, splits = load_emoji(48), constant("SPLITS")
    return {artist: emoji.split(artist, seed=seed)[2].table for artist, seed in splits.items()}


MEASURES = ("R@1", "R@5", "R@10", "AP")


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(*(FOLDER / "results").glob(f"retrieval_{name}.csv*"))


def methods(table: pd.DataFrame) -> pd.DataFrame:
    return table[table.columns[table.columns.get_loc("query") + 1 :]]


@pytest.mark.parametrize("name", ["ranks", "emergent", *MEASURES])
def test_the_queries_are_the_test_rows_of_each_split(name, test_rows):
    if name in MEASURES:
        table = read("hits")
        table = table[table["measure"] == name]
    else:
        table = read(name)
    sides = ("English", "Chinese") if name == "emergent" else ("picture", "name")
    assert set(table["artist"]) == set(test_rows)
    new = table if "part" not in table else table[table["part"] == "new"]
    for artist, want in test_rows.items():
        for side in sides:
            block = new[(new["artist"] == artist) & (new["query"] == side)]
            assert block["row"].tolist() == want.index.tolist()
            assert block["family"].tolist() == want["family"].tolist()
            values = methods(block).to_numpy()
            low, high = (1, len(want)) if name == "ranks" else (0, 1)
            assert (values >= low).all() and (values <= high).all()


def test_hits_are_those_of_the_ranks_where_nothing_is_tied_and_shares_where_it_is():
    ranks, hits = read("ranks"), read("hits")
    for name in methods(ranks):
        for k in (1, 5, 10):
            hit = hits.loc[hits["measure"] == f"R@{k}", name].to_numpy()
            sure = np.isin(hit, (0, 1))
            assert (hit[sure] == (ranks[name].to_numpy()[sure] <= k)).mean() > 0.99
    part = hits[(hits["measure"] == "R@10") & (hits["part"] == "new")]
    tied = (part["words"] > 0) & (part["words"] < 1)
    assert tied[~part["known"]].mean() > 2 * tied[part["known"]].mean()
    assert 0.3 < part["known"].mean() < 0.8


def test_seen_queries_are_drawings_of_training_concepts_by_the_artist_held_out(test_rows):
    table = pd.read_csv(FOLDER / "results" / "retrieval_ranks.csv")
    emoji = load_emoji(48)
    for artist, seed in constant("SPLITS").items():
        seen = table[(table["part"] == "seen") & (table["artist"] == artist)]
        rows = emoji.table.loc[seen["row"]]
        assert set(rows["artist"]) == {artist}
        assert set(rows["hexcode"]) <= set(emoji.split(artist, seed=seed)[0].table["hexcode"])
        assert len(seen) == 2 * len(test_rows[artist])


def test_an_untrained_model_is_at_chance_and_every_method_has_one_fit_a_split():
    table = pd.read_csv(FOLDER / "results" / "retrieval_ranks.csv")
    fits = pd.read_csv(FOLDER / "results" / "retrieval_fits.csv")
    sizes = table.groupby(["artist", "part", "query"])["row"].transform("size")
    for name in (column for column in table if column.endswith("untrained")):
        assert np.isclose((table[name] / sizes).mean(), 0.5, atol=0.05)
    counts = fits.groupby("method")["artist"].nunique()
    assert (counts == 4).all() and set(counts.index) <= set(table.columns)
    assert fits["fits"].between(3, 5).all()
    hits = read("hits")
    ten = hits[hits["measure"] == "R@10"]
    for name in (column for column in ten if column.endswith("untrained")):
        assert np.isclose(ten[name].mean(), (10 / sizes).mean(), atol=0.02)


def test_an_index_that_looks_into_more_cells_finds_more_and_is_slower():
    table = pd.read_csv(FOLDER / "results" / "retrieval_search.csv")
    cells = table[table["nprobe"].notna()]
    assert len(cells) >= 3 and cells["recall"].is_monotonic_increasing
    assert cells["queries per second"].is_monotonic_decreasing
    assert (table.loc[table["nprobe"].isna(), "recall"] == 1).all()
