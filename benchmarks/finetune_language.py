"""What an English encoder makes of Chinese: the names of 1,021 emoji. See finetune.py."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from finetune_runs import RESULTS, SEEDS
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmkeras.datasets import load_emoji
from mmkeras.evaluate import paired_difference
from mmkeras.pretrained import cached_features, minilm_l6, minilm_tokenizer

LENGTH, FOLDS = 16, 4
WAYS = ("Chinese name, MiniLM", "Chinese name, counted characters", "English name, MiniLM")


def unit(texts: Sequence[str]) -> np.ndarray:
    """MiniLM's vectors of length 1."""
    ids = minilm_tokenizer()(list(texts), LENGTH)
    return cached_features(minilm_l6(LENGTH, normalize=True), ids)


def keywords(name: str, tags: str) -> str:
    """The keywords of an emoji without the words of its name."""
    return " ".join(word for word in tags.split() if word not in name.lower().split())


def rank(asks: np.ndarray, names: np.ndarray) -> np.ndarray:
    """How many names lie nearer to row i of `asks` than name i does, plus one."""
    alike = asks @ names.T
    return 1 + (alike > np.diag(alike)[:, None]).sum(axis=1)


def features(way: str, table: pd.DataFrame) -> tuple[Any, tuple[float, ...], Any]:
    """What a way reads, three strengths to choose from, and what stands before the regression."""
    if way.endswith("characters"):
        pieces = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
        return table["label_zh"].to_numpy(), (1, 10, 100), [pieces]
    column = "label_zh" if way.startswith("Chinese") else "label_en"
    return unit(table[column]), (0.001, 0.01, 0.1), [VarianceThreshold(1e-8), StandardScaler()]


def out_of_fold(way: str, table: pd.DataFrame, seed: int) -> np.ndarray:
    """For each name, whether its group was found by a probe that saw none of its family."""
    x, strengths, before = features(way, table)
    y, family = table["group"].to_numpy(), table["family"].to_numpy()
    right = np.zeros(len(y), int)
    for rest, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(y, groups=family):
        inner = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
        train, valid = (rest[rows] for rows in next(inner.split(rest, groups=family[rest])))
        fits = [make_pipeline(*before, LogisticRegression(C=c, max_iter=2000)) for c in strengths]
        held = [fit.fit(x[train], y[train]).score(x[valid], y[valid]) for fit in fits]
        right[test] = fits[int(np.argmax(held))].fit(x[rest], y[rest]).predict(x[test]) == y[test]
    return right


def chinese() -> None:
    """One row per emoji: ranks of its English name among all, and whether its group was found."""
    every = load_emoji(48, artists=["noto"]).table
    table = every[["hexcode", "family", "group", "label_en", "label_zh"]].reset_index(drop=True)
    words = [keywords(*row) for row in zip(every["label_en"], every["tags_en"], strict=True)]
    pieces = [minilm_tokenizer().pieces(name) for name in table["label_zh"]]
    table["pieces"] = [len(of) for of in pieces]
    table["unknown"] = [of.count("[UNK]") for of in pieces]
    names = unit(table["label_en"])
    table["rank_chinese"] = rank(unit(table["label_zh"]), names)
    table["rank_keywords"] = np.where([bool(of) for of in words], rank(unit(words), names), 0)
    for way in WAYS:
        for seed in SEEDS:
            table[f"{way}, {seed}"] = out_of_fold(way, table, seed)
    table.to_csv(RESULTS / "finetune_chinese.csv", index=False)


def understood(path: Any) -> pd.DataFrame:
    """Shares with intervals by family; the last lines are differences, Bonferroni for two."""
    table = pd.read_csv(path)
    family, has = table["family"].to_numpy(), table["rank_keywords"] > 0
    zero = np.zeros(len(table))
    lines = []

    def add(what: str, first: np.ndarray, second: np.ndarray, by: np.ndarray, looks: int) -> None:
        gap = paired_difference(first, second, by, comparisons=looks)
        lines.append(dict(zip(("what", "share", "low", "high"), (what, *gap), strict=True)))

    for column, rows in (("chinese", has | True), ("keywords", has)):
        hits = (table.loc[rows, f"rank_{column}"] == 1).to_numpy(float)
        add(f"nearest English name right, from {column}", hits, 0 * hits, family[rows], 1)
    of = {way: table.filter(regex=f"^{way}, ").mean(axis=1).to_numpy() for way in WAYS}
    for way, right in of.items():
        add(f"group right, {way}", right, zero, family, 1)
    for way in WAYS[1:]:
        add(f"{WAYS[0]} - {way}", of[WAYS[0]], of[way], family, 2)
    return pd.DataFrame(lines)
