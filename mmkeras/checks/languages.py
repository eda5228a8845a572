"""Little languages whose likeliest text is known, for the search of chapter 15's exercise 5."""

import numpy as np

WORDS, LENGTH = 5, 7


def draw(n: int) -> np.ndarray:
    """n little languages: log-probabilities of a word after three others, (n, 5, 5, 5, 5)."""
    p = np.random.default_rng(0).dirichlet(np.full(WORDS, 0.6), (n, WORDS, WORDS, WORDS)) + 0.01
    return np.log(p / p.sum(axis=-1, keepdims=True))


def context(text: list[int]) -> tuple[int, ...]:
    return tuple(([0] * 3 + list(text))[-3:])  # a text begins as if 0 had been written before


def value(table: np.ndarray, text: list[int]) -> float:
    return float(sum(table[context(text[:i])][word] for i, word in enumerate(text)))


def likeliest(table: np.ndarray) -> float:
    """The largest log-probability of a text: the best continuation, from the last word back."""
    best = np.zeros((WORDS,) * 3)
    for _ in range(LENGTH):
        best = (table + best[None]).max(axis=-1)
    return float(best[0, 0, 0])


def greedy(table: np.ndarray) -> list[int]:
    text: list[int] = []
    for _ in range(LENGTH):
        text.append(int(table[context(text)].argmax()))
    return text
