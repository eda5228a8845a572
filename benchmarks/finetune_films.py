"""Fine-tuning on film reviews: six ways, few examples, and what is forgotten. See finetune.py."""

import functools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from finetune_runs import (
    RESULTS,
    SEEDS,
    SPLIT,
    Gradual,
    Rows,
    Table,
    Task,
    Tuned,
    draw,
    drawn,
    probe,
    read,
    run_probe,
    run_tuned,
)
from keras import layers
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mmkeras.attention import AttentionBlock
from mmkeras.datasets import load_emoji_scores, load_reviews
from mmkeras.pretrained import cached_features, minilm_l6, minilm_tokenizer, unfreeze

LENGTH, BEGIN, EPOCHS = 32, 4, 3  # pieces of a sentence; blocks whose output is stored
SIZES = (10, 30, 100, 300, 1000)
MORE_SEEDS = (*SEEDS, 14, 15, 16)  # the gains are small beside the draw of the sentences
ALL = ("all blocks", "rates x 0.8", "rates / 2.6", "gradual")  # train the six blocks whole
RATES = {
    "top two": (3e-5, 1e-4, 3e-4),
    **{f"LoRA {rank}": (3e-4, 1e-3, 3e-3) for rank in (4, 1, 16, 2, 8)},
    "BitFit": (3e-4, 1e-3, 3e-3),
    "adapter": (3e-4, 1e-3, 3e-3),
    "LoRA 4 in all blocks": (3e-4, 1e-3, 3e-3),
    **dict.fromkeys(ALL, (3e-5, 1e-4, 3e-4)),
}


def tunable(method: str) -> keras.Model:
    """MiniLM, or its top two blocks, with the weights of a method trainable."""
    if method == "adapter":
        return with_adapters()
    encoder = minilm_l6(LENGTH, after=0 if whole(method) else BEGIN, trainable=True)
    if method in ALL:
        unfreeze(encoder, 6)
    if method == "BitFit":  # Ben Zaken et al. 2022: nothing but the biases
        for weight in encoder.trainable_weights:
            weight.trainable = weight.name in ("bias", "beta")
    if method.startswith("LoRA"):  # Hu et al. 2022: on the queries and values
        for weight in encoder.trainable_weights:
            weight.trainable = False
        for block in (x for x in encoder.layers if isinstance(x, AttentionBlock)):
            for dense in (block.attention.query_dense, block.attention.value_dense):
                dense.enable_lora(int(method.split()[1]))
    return encoder


def whole(method: str) -> bool:
    """Whether a method trains in all six blocks, so that it reads pieces and not stored states."""
    return method in ALL or method.endswith("all blocks")


def tuned_by(method: str) -> Tuned:
    """The model of a method, ready to be trained."""
    encoder, factors = tunable(method), {}
    if method.startswith("rates"):  # Howard and Ruder 2018: block 6 has this share, 5 its square …
        share = 0.8 if method.endswith("0.8") else 1 / 2.6
        for number in range(1, 7):
            for weight in encoder.get_layer(f"block_{number}").weights:
                factors[id(weight)] = share ** (7 - number)
    return (Gradual if method == "gradual" else Tuned)(encoder, 2, EPOCHS, factors)


def with_adapters(width: int = 16) -> keras.Model:
    """A bottleneck behind each of the two frozen blocks.

    One a block, as in Pfeiffer et al. 2021; Houlsby et al. 2019 have two. It has no biases, so that
    the zeros of the padding stay zeros, and begins as the identity.
    """
    parts = [minilm_l6(LENGTH, BEGIN + 1, after=BEGIN, tokens=True, name="first")]
    parts.append(minilm_l6(LENGTH, after=BEGIN + 1, tokens=True, name="second"))
    x = inputs = keras.Input(parts[0].input_shape[1:])
    for part in parts:
        x = part(x)
        narrow = layers.Dense(width, "gelu", use_bias=False)(x)
        wide = layers.Dense(x.shape[-1], use_bias=False, kernel_initializer="zeros")
        x = layers.Add()([x, wide(narrow)])
    return keras.Model(inputs, minilm_l6(LENGTH, after=6, name="mean")(x))


@functools.cache
def films() -> list[Any]:
    """1,500 rows to draw from, 200 to choose by, 500 for the test; no document in two of them."""
    parts = load_reviews().of("films").clear().split(seed=SPLIT)
    rng = np.random.default_rng(SPLIT)
    sizes = (1500, 200, 500)
    return [p.take(rng.permutation(len(p))[:n]) for p, n in zip(parts, sizes, strict=True)]


def pieces(texts: Any) -> np.ndarray:
    return minilm_tokenizer()(list(texts), LENGTH)


def states(texts: Any) -> np.ndarray:
    """What the top two blocks read: the output of block 4."""
    encoder = minilm_l6(LENGTH, BEGIN, tokens=True)
    return cached_features(encoder, pieces(texts)).astype("float32")


def task_of(n: int, name: str = "films", read: Callable = states) -> Task:
    pool, valid, test = (Rows(read(p.text), p.y.astype(int)) for p in films())
    frozen = minilm_l6(LENGTH, after=BEGIN if read is states else 0)
    return Task(name, n, pool, valid, {name: test}, lambda x: cached_features(frozen, x))


def reviews() -> None:
    """Sentences from reviews of films: for or against; ratings within 0.5 of neutral left out."""
    table, task = Table("reviews"), task_of(300)
    run_probe(table, task)
    for method, rates in RATES.items():
        if whole(method):
            task = task_of(300, read=pieces)
        run_tuned(table, task, method, tuned_by(method), rates)


def one_rate(rate: float = 3e-3) -> None:
    """Ranks and an adapter at one rate, the largest of their search: nothing else differs."""
    table, task = Table("one_rate"), task_of(300)
    run_probe(table, task)
    for method in (*(f"LoRA {rank}" for rank in (1, 2, 4, 8, 16)), "adapter"):
        run_tuned(table, task, method, tuned_by(method), (rate,))


def chosen(method: str) -> float:
    """The rate that a method chose in `reviews`."""
    rows = read(RESULTS / "finetune_reviews.csv").query("part == 'test' and method == @method")
    return float(rows["rate"].iloc[0])


def forgetting(
    methods: tuple[str, ...] = ("top two", "LoRA 4", "all blocks", "LoRA 4 in all blocks"),
) -> None:
    """Emoji names, judged by models of film reviews that never saw one.

    A column per method and seed: the logit for "for" minus that for "against".
    """
    emoji = load_emoji_scores().table.drop_duplicates("hexcode")
    table = emoji[["hexcode", "label_en", "score"]].reset_index(drop=True)
    names, task = states(table["label_en"]), task_of(300)
    for seed in SEEDS:
        kernel, bias, _ = probe(task, draw(task, seed))
        logits = task.features(names) @ kernel + bias
        table[f"probe, {seed}"] = logits[:, 1] - logits[:, 0]
    for method in methods:
        tuned, rate = tuned_by(method), chosen(method)
        if whole(method):
            names, task = pieces(table["label_en"]), task_of(300, read=pieces)
        for seed in SEEDS:
            train = draw(task, seed)
            tuned.fit(train, probe(task, train)[:2], rate, seed)
            logits = tuned.model.predict(names, verbose=0, batch_size=100)
            table[f"{method}, {seed}"] = logits[:, 1] - logits[:, 0]
    table.to_csv(RESULTS / "finetune_forgetting.csv", index=False, float_format="%.4f")


def words(table: Table, task: Task) -> None:
    """The simple rival: counted words. As many strengths to choose from as the probe has."""
    pool, valid, test = films()
    (name,) = task.tests
    for seed in MORE_SEEDS:
        if table.has(name, key := "words", "test", 0.0, seed):
            continue
        start, rows = time.process_time(), drawn(task, seed)
        fits = [
            make_pipeline(
                TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
                LogisticRegression(C=strength, max_iter=2000),
            ).fit(pool.text[rows], pool.y[rows])
            for strength in (1, 10, 100)
        ]
        best = max(fits, key=lambda fit: fit.score(valid.text, valid.y))
        seconds, right = time.process_time() - start, best.predict(test.text) == test.y
        table.add((name, key, "test", 0.0, seed), task.n, right, seconds, best[-1].coef_.size + 1)


def fewshot(methods: tuple[str, ...] = ("top two", "LoRA 4", "all blocks")) -> None:
    """From 10 to 1,000 sentences. At least 30 steps; the rate is the one chosen for 300."""
    table, tuned = Table("fewshot"), {method: tuned_by(method) for method in methods}
    for n in SIZES:
        name = f"films, n = {n}"
        task = task_of(n, name)
        words(table, task)
        run_probe(table, task, MORE_SEEDS)
        for method in methods:
            if whole(method):
                task = task_of(n, name, pieces)
            tuned[method].epochs = max(EPOCHS, -(-30 // -(-n // 32)))
            seeds = SEEDS if whole(method) else MORE_SEEDS
            run_tuned(table, task, method, tuned[method], (chosen(method),), seeds=seeds)
