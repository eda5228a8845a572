"""Chapter 15: right answers pass, and a student with a likely slip is told which one."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from check_cases import accepted, refused

from mmkeras.checks import ch15, languages


def rows(texts: Any, start: int, end: int, length: int, fill: int = -1) -> Any:
    reads = np.array([([start] + t + [0] * length)[:length] for t in texts])
    writes = np.array([(t + [end] + [fill] * length)[:length] for t in texts])
    return reads, writes


def unmoved(texts: Any, start: int, end: int, length: int) -> Any:
    writes = rows(texts, start, end, length)[1]
    return np.maximum(writes, 0), writes


def endless(texts: Any, start: int, end: int, length: int) -> Any:
    reads = rows(texts, start, end, length)[0]
    return reads, np.array([(t + [-1] * length)[:length] for t in texts])


def keep(p: np.ndarray, top: float) -> np.ndarray:
    out, total = np.zeros_like(p), 0.0
    for i in np.argsort(p)[::-1]:
        if total >= top - 1e-12:
            break
        out[i], total = p[i], total + p[i]
    return out / out.sum()


def whole(p: np.ndarray, top: float) -> np.ndarray:
    return np.where(keep(p, top) > 0, p, 0)


def without_the_last(p: np.ndarray, top: float) -> np.ndarray:
    order = np.argsort(-p)
    out = np.zeros_like(p)
    some = order[np.cumsum(p[order]) <= top]
    out[some] = p[some]
    with np.errstate(all="ignore"):
        return out / out.sum()


def rising(p: np.ndarray, top: float) -> np.ndarray:
    order = np.argsort(p)
    some = order[np.cumsum(p[order]) - p[order] < top - 1e-12]
    out = np.zeros_like(p)
    out[some] = p[some]
    return out / out.sum()


def one_too_many(p: np.ndarray, top: float) -> np.ndarray:
    order = np.argsort(-p)
    some = order[: np.searchsorted(np.cumsum(p[order]), top, side="right") + 1]
    out = np.zeros_like(p)
    out[some] = p[some]
    return out / out.sum()


def end_read(texts: Any, start: int, end: int, length: int) -> Any:
    read = np.array([([start, *t, end] + [0] * length)[:length] for t in texts])
    return read, rows(texts, start, end, length)[1]


def as_sets(written: Any, wanted: Any, n: int) -> float:
    count = sum(max(len(a) - n + 1, 0) for a in written)
    both = zip(written, wanted, strict=True)
    return sum(len({*grams(a, n)} & {*grams(b, n)}) for a, b in both) / max(count, 1)


def in_order(p: np.ndarray, top: float) -> np.ndarray:
    return np.sort(keep(p, top))[::-1]


def grams(text: Any, n: int) -> Counter:
    return Counter(zip(*(text[i:] for i in range(n)), strict=False))


def share(written: Any, wanted: Any, n: int, clip: bool = True, recall: bool = False) -> float:
    above = below = 0
    for a, b in zip(written, wanted, strict=True):
        mine, own = grams(a, n), grams(b, n)
        above += sum(min(c, own[g]) if clip else c * (g in own) for g, c in mine.items())
        below += sum((own if recall else mine).values())
    return above / below if below else 0.0


def by_sentence(written: Any, wanted: Any, n: int) -> float:
    each = [share([a], [b], n) for a, b in zip(written, wanted, strict=True) if len(a) >= n]
    return float(np.mean(each)) if each else 0.0


def dividing(written: Any, wanted: Any, n: int) -> float:
    count = sum(max(len(a) - n + 1, 0) for a in written)
    return share(written, wanted, n) * count / count


def judged(**changed: Any) -> dict[str, Any]:
    return {**ch15.VERDICTS, **changed}


def keeping(width: int) -> Callable:
    """A beam of this width; 1 is greedy."""

    def search(step: Callable, length: int) -> list[int]:
        live: list[tuple[float, list[int]]] = [(0.0, [])]
        for _ in range(length):
            grown = [
                (v + p, [*text, word]) for v, text in live for word, p in enumerate(step(text))
            ]
            live = sorted(grown, reverse=True)[:width]
        return live[0][1]

    return search


def each_first_word(step: Callable, length: int) -> np.ndarray:
    """Greedy from each first word: too little of a search."""
    found = []
    for word, value in enumerate(step([])):
        text = [word]
        while len(text) < length:
            p = step(text)
            text, value = [*text, int(p.argmax())], value + p.max()
        found.append((value, text))
    return np.array(max(found)[1])


def unlikeliest(step: Callable, length: int) -> list[int]:
    text: list[int] = []
    while len(text) < length:
        text.append(int(step(text).argmin()))
    return text


def test_the_likeliest_text_of_a_language_is_that_of_trying_all():
    table = languages.draw(3)[2]
    texts = np.indices((languages.WORDS,) * languages.LENGTH).reshape(languages.LENGTH, -1)
    padded = np.vstack([np.zeros((3, texts.shape[1]), int), texts])
    steps = [table[tuple(padded[i : i + 4])] for i in range(languages.LENGTH)]
    np.testing.assert_allclose(languages.likeliest(table), np.sum(steps, axis=0).max())


RIGHT = {
    ch15.teacher: [
        ("arrays", lambda: (rows,)),
        ("lists", lambda: (lambda *a: [part.tolist() for part in rows(*a)],)),
    ],
    ch15.nucleus: [
        ("a loop", lambda: (keep,)),
        ("a list", lambda: (lambda p, top: list(keep(p, top)),)),
    ],
    ch15.precision: [
        ("zip", lambda: (share,)),
        ("NumPy", lambda: (lambda *a: np.float64(share(*a)),)),
    ],
    ch15.verdicts: [("as they are", lambda: (judged(),))],
    ch15.search: [
        ("a beam of two", lambda: (keeping(2),)),
        ("a beam of six, an array", lambda: (lambda *a: np.array(keeping(6)(*a)),)),
    ],
}
WRONG = {
    ch15.teacher: [
        ("not moved", lambda: (unmoved,), "learns to copy"),
        ("no end", lambda: (endless,), "never stop"),
        ("end read", lambda: (end_read,), "after it nothing"),
        ("padding trained", lambda: (lambda *a: rows(*a, fill=0),), "would be trained"),
        ("filled with the end", lambda: (lambda *a: rows(*a, fill=a[2]),), "would be trained"),
        ("exchanged", lambda: (lambda *a: rows(*a)[::-1],), "exchanged"),
        ("one array", lambda: (lambda *a: rows(*a)[0],), "two arrays"),
        ("too short", lambda: (lambda *a: rows(*a[:3], 4),), "should have shape"),
    ],
    ch15.nucleus: [
        ("not scaled", lambda: (whole,), "do not sum to 1"),
        ("one too few", lambda: (without_the_last,), "crosses top_p"),
        ("one too many", lambda: (one_too_many,), "a word too many"),
        ("unlikeliest", lambda: (rising,), "begin with the likeliest"),
        ("sorted", lambda: (in_order,), "its own place"),
        ("each by itself", lambda: (lambda p, top: np.where(p >= top, p, 0),), "add them up"),
        ("a mask", lambda: (lambda p, top: (keep(p, top) > 0)[:2],), "should have shape"),
    ],
    ch15.precision: [
        ("not clipped", lambda: (lambda *a: share(*a, clip=False),), "at most as often"),
        ("sets", lambda: (as_sets,), "counts once here"),
        ("recall", lambda: (lambda *a: share(*a, recall=True),), "a recall"),
        ("mean of sentences", lambda: (by_sentence,), "mean over sentences"),
        ("single words", lambda: (lambda a, b, n: share(a, b, 1),), "n of them in a row"),
        ("0 of 0", lambda: (dividing,), "ZeroDivisionError"),
        ("per sentence", lambda: (lambda *a: [1.0, 0.5],), "should have shape ()"),
    ],
    ch15.verdicts: [
        ("seen", lambda: (judged(A="holds"),), "in the training set"),
        ("BLEU-4", lambda: (judged(B="holds"),), "four words in a row"),
        ("alone", lambda: (judged(C="not settled"),), "nearest drawing"),
        ("zero inside", lambda: (judged(D="holds"),), "exclude 0"),
        ("too strict", lambda: (judged(E="no rival"),), "more claimed"),
        ("open", lambda: (judged(B=...),), "claim B has no verdict"),
        ("a word", lambda: (judged(B="wrong"),), "'wrong' is no verdict"),
        ("one missing", lambda: ({"A": "holds"},), "a verdict for each claim"),
    ],
    ch15.search: [
        ("greedy", lambda: (keeping(1),), "texts of greedy"),
        ("too many questions", lambda: (keeping(8),), "46 times for one text"),
        ("first word only", lambda: (each_first_word,), "close half of it"),
        ("the wrong end", lambda: (unlikeliest,), "less likely than those of greedy"),
        (
            "too short",
            lambda: (lambda step, length: keeping(3)(step, 4),),
            "should have shape (7,)",
        ),
        ("no word", lambda: (lambda step, length: [5] * length,), "word numbers, 0 to 4"),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
