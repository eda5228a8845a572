"""Does a table hold English? How well the share of whole words tells, in 80 languages and more.

    npm pack emojibase-data@17.0.0 && tar xzf emojibase-data-*.tgz        # names of emoji
    pip download --no-deps Django==5.2 && unzip Django-*.whl -d django     # messages to users
    python benchmarks/languages.py run package django
    python benchmarks/languages.py gains package       # three processor minutes
    python benchmarks/languages.py show

`run` writes results/languages.csv: a line for each language and kind of text, with the number of
texts, the share of words that MiniLM's vocabulary has whole, and how often a table of 10 or 20 such
texts is taken for what it is not (`language.FOREIGN`), of 400 drawn with replacement. English has
more kinds: reviews, tweets, notes on patients, and what packages say of themselves. The limit
lies in the gap between the two, and all these languages had been seen when it was set.

`gains` asks whether MiniLM helps where the texts are not English, and writes languages_gains.csv:
the group of an emoji (flags and people's skin left out) by its name, told by a logistic regression
over counted words, over MiniLM, and over both: accuracy in the mean of five splits of 1,000 names
(600 to learn, 150 to choose the penalty, 250 to test), and what both have more in each split.
"""

import importlib.metadata
import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from mmkeras import datasets, pretrained
from mmkeras.table.encoders.language import FOREIGN, counted

RESULTS = Path(__file__).resolve().parent / "results" / "languages.csv"
GAINS = RESULTS.with_name("languages_gains.csv")
LANGUAGES, LEFT_OUT = ("de", "fr", "es", "pl", "it", "en", "nl", "fi"), (2, 9)
SIZES, DRAWS = (10, 20), 400
LEAST = 100  # texts


def names(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    for path in sorted(folder.glob("*/data.json")):
        found = json.loads(path.read_text("utf-8"))
        if path.parent.name != "en-gb":
            yield path.parent.name, "names", [entry["label"] for entry in found]


def messages(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Of at least four words, without what is filled in later."""
    codes = {path.parts[-3] for path in folder.rglob("LC_MESSAGES/django.po")}
    for code in sorted(code for code in codes if not code.startswith("en_")):
        key, found = "msgid" if code == "en" else "msgstr", set()
        for path in folder.rglob(f"{code}/LC_MESSAGES/django.po"):
            for text in re.findall(
                rf'^{key}(?:\[0\])? ((?:".*"\n)+)', path.read_text("utf-8"), re.MULTILINE
            ):
                text = "".join(re.findall(r'"(.*)"', text)).replace("\\n", " ").replace('\\"', '"')
                text = re.sub(r"%\(\w+\)\w|%\w|\{\w*\}|<[^>]+>", " ", text)
                if len(text.split()) > 3 and "Content-Type" not in text:
                    found.add(text)
        if len(found) >= LEAST:
            yield code, "messages", sorted(found)


def english() -> Iterator[tuple[str, str, list[str]]]:
    yield "en", "reviews", list(datasets.load_reviews().text)
    yield "en", "tweets", list(datasets.load_sentiment().text)
    yield "en", "notes", list(datasets.load_heart().note)
    packages = {each.metadata["Summary"] for each in importlib.metadata.distributions()}
    yield "en", "packages", sorted(filter(None, packages))


def letters(text: str) -> str:
    """Of which script most are, such as "LATIN"."""
    names = [unicodedata.name(c, "?").split()[0] for c in text if c.isalpha()]
    return max(set(names), key=names.count)


def run(package: Path, django: Path) -> None:
    tokenizer, rng, lines = pretrained.minilm_tokenizer(), np.random.default_rng(0), []
    for code, kind, texts in (*names(package), *messages(django), *english()):
        counts = np.array([counted(tokenizer, text) for text in texts], float)  # known, all
        known, words = counts.sum(axis=0)
        line = {"language": code, "kind": kind, "letters": letters("".join(texts[:200]))}
        line |= {"texts": len(texts), "share": known / words}
        for size in SIZES:
            drawn = counts[rng.integers(len(counts), size=(DRAWS, size))].sum(axis=1)
            as_english = drawn[:, 0] / np.maximum(drawn[:, 1], 1) >= FOREIGN
            line[f"wrong_by_{size}"] = (as_english != (code == "en")).mean()
        lines.append(line)
    pd.DataFrame(lines).round(4).to_csv(RESULTS, index=False)
    show()


def gains(package: Path) -> None:
    tokenizer, encoder = pretrained.minilm_tokenizer(), pretrained.minilm_l6(24)
    lines = []
    for code in LANGUAGES:
        entries = json.loads((package / code / "data.json").read_text("utf-8"))
        entries = [e for e in entries if e.get("group") not in (None, *LEFT_OUT)]
        some = np.random.default_rng(0).permutation(len(entries))[:1000]
        text = np.array([entries[i]["label"] for i in some])
        y = np.array([entries[i]["group"] for i in some])
        x = encoder.predict(tokenizer(list(text), 24), verbose=0, batch_size=64)
        found = np.array([accuracies(text, x, y, seed) for seed in range(5)])
        words, minilm, both = found.mean(axis=0)
        line = {"language": code, "words": words, "minilm": minilm, "both": both}
        line |= {f"gain_{seed}": gain for seed, gain in enumerate(found[:, 2] - found[:, 0])}
        lines.append(line)
        pd.DataFrame(lines).round(3).to_csv(GAINS, index=False)
    print(pd.DataFrame(lines).round(3).to_string(index=False))


def accuracies(text: np.ndarray, x: np.ndarray, y: np.ndarray, seed: int) -> list[float]:
    """On the test rows of a split: counted words, MiniLM, both."""
    train, valid, test = np.split(np.random.default_rng(seed).permutation(len(y)), [600, 750])
    counts = TfidfVectorizer(ngram_range=(1, 2)).fit(text[train]).transform(text).toarray()
    spread = np.maximum(x[train].std(axis=0), 1e-3)
    features = (x - x[train].mean(axis=0)) / spread / x.shape[1] ** 0.5
    right = []
    for block in (counts, features, np.hstack([counts, features])):
        fits = [
            LogisticRegression(C=strength, max_iter=300).fit(block[train], y[train])
            for strength in (1, 3, 10, 30)
        ]
        answers = [(fit.predict_proba(block[valid]), fit.classes_) for fit in fits]
        losses = [log_loss(y[valid], p, labels=classes) for p, classes in answers]
        right.append(float(fits[int(np.argmin(losses))].score(block[test], y[test])))
    return right


def show() -> None:
    """The extremes of each group."""
    table = pd.read_csv(RESULTS)
    latin = np.where(table["letters"] == "LATIN", "Latin letters", "other letters")
    table["group"] = np.where(table["language"] == "en", "English", latin)
    for name, some in table.groupby("group"):
        some = some.sort_values("share")
        print(f"\n{name}: {some['language'].nunique()} languages")
        print(some.drop(columns="group").iloc[[0, 1, -2, -1]].to_string(index=False))
        print(some.filter(like="wrong").max().to_dict())


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(*map(Path, sys.argv[2:4]))
    elif sys.argv[1:2] == ["gains"]:
        gains(Path(sys.argv[2]))
    else:
        show()
