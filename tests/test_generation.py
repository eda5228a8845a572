"""Decoding rules against all texts there are, and the cache against the whole model."""

import itertools
import math
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from mmkeras.generation import (
    CachedStep,
    FullStep,
    beam,
    captioner,
    cut,
    distribution,
    greedy,
    length_penalty,
    sample,
)

END, WORDS, MOST = 0, 4, 4
NEG = -np.inf


def depends_on_all(seed: int):
    """A step whose logits depend on every earlier token: random, but the same for a text."""

    def logits(text: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng([seed, *text]).normal(0, 1.5, WORDS)

    def step(token: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        state = np.hstack([state, token[:, None]])
        return np.array([logits(tuple(row)) for row in state.tolist()]), state

    return logits, step


def every_text(logits: Any, start: int) -> dict[tuple[int, ...], float]:
    """Each text of at most MOST tokens and its log-probability, by enumeration."""
    found = {}
    for length in range(1, MOST + 1):
        for text in itertools.product(range(WORDS), repeat=length):
            if END in text[:-1] or (length < MOST and text[-1] != END):
                continue
            parts = [log_softmax(logits((start, *text[:i])))[w] for i, w in enumerate(text)]
            found[text] = float(sum(parts))
    assert sum(map(math.exp, found.values())) == pytest.approx(1)
    return found


def padded(text: tuple[int, ...], length: int) -> list[int]:
    return [*text, *[END] * (length - len(text))]


def fresh(n: int) -> np.ndarray:
    return np.empty((n, 0), int)


STARTS = np.arange(1, 7)
RULES: dict[str, Any] = {"end": END, "most": MOST}


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_texts_and_greedy_does_not(alpha: float) -> None:
    logits, step = depends_on_all(1)
    wide = beam(step, STARTS, fresh(6), width=40, alpha=alpha, **RULES)
    short = greedy(step, STARTS, fresh(6), **RULES)
    lost = 0
    for row, start in enumerate(STARTS):
        texts = every_text(logits, start)
        score = {t: p / length_penalty(len(t), alpha) for t, p in texts.items()}
        order = sorted(texts, key=lambda t: -score[t])
        for place, text in enumerate(order[:10]):
            assert wide.tokens[row, place].tolist() == padded(text, wide.tokens.shape[2])
            assert wide.log_probability[row, place] == pytest.approx(texts[text])
        mine = next(t for t in texts if padded(t, MOST) == padded(tuple(short.tokens[row]), MOST))
        assert short.log_probability[row] == pytest.approx(texts[mine])
        lost += score[mine] < score[order[0]] - 1e-9
    assert alpha or lost >= 2


def test_a_narrow_beam_is_never_behind_greedy_here_and_returns_texts_in_order() -> None:
    _, step = depends_on_all(2)
    rows = np.arange(100, 140)
    short = greedy(step, rows, fresh(40), **RULES).log_probability
    for width in (1, 2, 3):
        got = beam(step, rows, fresh(40), width=width, **RULES)
        assert got.tokens.shape[:2] == got.log_probability.shape == (40, width)
        assert (np.diff(got.log_probability, axis=1) <= 0).all()
        assert len({tuple(t) for t in got.tokens[0].tolist()}) == width
        if width == 1:  # the same path, but a text that ended earlier may win
            assert (got.log_probability[:, 0] >= short - 1e-12).all()
    assert (got.log_probability[:, 0] >= short - 1e-12).mean() > 0.9


def test_the_trap_of_a_greedy_reader() -> None:
    """a is likelier than b at first, but whatever follows a is unlikely; b leads to a sure end."""
    table = np.array([[1, 0, 0, 0], [0, 0, 0.6, 0.4], [0.3, 0.3, 0.4, 0], [1, 0, 0, 0.0]])

    def step(token: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        with np.errstate(divide="ignore"):
            return np.log(table[token]), state

    assert cut(greedy(step, [1], end=0, most=3).tokens, 0) == [[2, 2, 2]]
    best = beam(step, [1], end=0, most=3, width=2)
    assert cut(best.tokens[0], 0)[0] == [3]
    assert math.exp(best.log_probability[0, 0]) == pytest.approx(0.4)
    long = beam(step, [1], end=0, most=30, width=2, alpha=3.0)
    assert len(cut(long.tokens[0], 0)[0]) > 1  # a penalty on short texts


def test_the_length_penalty_is_the_formula_of_the_paper() -> None:
    assert length_penalty(1, 0.7) == 1
    assert length_penalty(7, 1) == 2 and length_penalty(7, 0) == 1
    assert length_penalty(19, 0.5) == 2


def test_a_batch_is_its_rows_and_a_text_that_ended_stays_as_it_is() -> None:
    _, step = depends_on_all(3)
    whole = {
        "greedy": greedy(step, STARTS, fresh(6), **RULES),
        "beam": beam(step, STARTS, fresh(6), width=3, **RULES),
    }
    lengths = {len(text) for text in cut(whole["greedy"].tokens, END)}
    assert len(lengths) > 1, "no text waits for another"
    for row, start in enumerate(STARTS):
        one = {
            "greedy": greedy(step, [start], fresh(1), **RULES),
            "beam": beam(step, [start], fresh(1), width=3, **RULES),
        }
        for name, got in one.items():
            text = whole[name].tokens[row]
            length = got.tokens.shape[-1]
            np.testing.assert_array_equal(text[..., :length], got.tokens[0])
            assert (text[..., length:] == END).all()
            np.testing.assert_allclose(whole[name].log_probability[row], got.log_probability[0])


def test_states_of_any_form_follow_their_texts() -> None:
    logits, step = depends_on_all(1)

    def nested(token: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        out, before = step(token, np.asarray(state["before"]))
        assert np.array_equal(np.asarray(state["rest"][0])[:, 0], before[:, 0])
        return out, {"before": keras.ops.convert_to_tensor(before), "rest": state["rest"]}

    state = {"before": fresh(6), "rest": (STARTS[:, None], None)}
    got = beam(nested, STARTS, state, width=5, **RULES)
    want = beam(step, STARTS, fresh(6), width=5, **RULES)
    np.testing.assert_array_equal(got.tokens, want.tokens)


# ---- sampling -------------------------------------------------------------------------------


P = np.array([[0.5, 0.25, 0.15, 0.1], [0.1, 0.2, 0.3, 0.4]])


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({}, [0.5, 0.25, 0.15, 0.1]),
        ({"temperature": 0.5}, np.array([0.25, 0.0625, 0.0225, 0.01]) / 0.345),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 9}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_p": 0.75}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_p": 0.76}, [5 / 9, 5 / 18, 3 / 18, 0]),
        ({"top_p": 0.1}, [1, 0, 0, 0]),
        ({"top_p": 1.0}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_k": 3, "top_p": 0.7}, [2 / 3, 1 / 3, 0, 0]),  # of 5/9, 5/18, 3/18
    ],
)
def test_the_distribution_by_hand(settings: dict[str, Any], first: Any) -> None:
    got = distribution(np.log(P) + 7, **settings)
    np.testing.assert_allclose(got[0], first, atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=1), 1)
    mirrored = distribution(np.log(P[:1, ::-1]), **settings)
    np.testing.assert_allclose(mirrored[0, ::-1], first, atol=1e-12)


def test_of_equal_tokens_the_first_is_kept_and_impossible_ones_stay_so() -> None:
    assert distribution([[0, 1, 1, 1]], top_k=2)[0].tolist() == [0, 0.5, 0.5, 0]
    assert distribution([[0, NEG, 0, NEG]], 5.0)[0].tolist() == [0.5, 0, 0.5, 0]


def test_samples_come_as_often_as_the_model_says() -> None:
    """Each text's share among 40,000 draws against its probability by enumeration."""
    logits, step = depends_on_all(4)
    n = 40_000
    cache: dict[tuple[int, ...], np.ndarray] = {}

    def fast(token: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        state = np.hstack([state, token[:, None]])
        kinds, which = np.unique(state, axis=0, return_inverse=True)
        for kind in map(tuple, kinds.tolist()):
            cache.setdefault(kind, logits(kind))
        return np.stack([cache[tuple(k)] for k in kinds.tolist()])[which.reshape(-1)], state

    got = sample(fast, np.full(n, 1), fresh(n), seed=0, **RULES)
    texts = every_text(logits, 1)
    counts = {tuple(padded(t, MOST)): 0 for t in texts}
    for text in map(tuple, got.tokens.tolist()):
        counts[text] += 1
    share = np.array([counts[tuple(padded(t, MOST))] for t in texts]) / n
    p = np.exp(list(texts.values()))
    assert np.abs(share - p).max() < 5 * math.sqrt(0.25 / n)
    np.testing.assert_allclose(share[p > 0.05], p[p > 0.05], rtol=0.1)
    again = sample(fast, np.full(n, 1), fresh(n), seed=0, **RULES)
    other = sample(fast, np.full(n, 1), fresh(n), seed=1, **RULES)
    assert (again.tokens == got.tokens).all() and (other.tokens != got.tokens).any()
    cold = sample(fast, np.full(9, 1), fresh(9), seed=1, temperature=1e-3, **RULES)
    short = greedy(fast, [1], fresh(1), **RULES)
    assert (cold.tokens == short.tokens).all()
    np.testing.assert_allclose(cold.log_probability, short.log_probability[0])


# ---- repetition, ends, faults ---------------------------------------------------------------


def stutter(token: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Likes token 1 best, then 2, then 3; never ends unless it must."""
    return np.tile([[-9.0, 3.0, 2.0, 1.0]], (len(token), 1)), state


@pytest.mark.parametrize(
    ("no_repeat", "text"),
    [(0, [1, 1, 1, 1, 1, 1]), (1, [1, 2, 3]), (2, [1, 1, 2, 1, 3, 1]), (3, [1, 1, 1, 2, 1, 1])],
)
def test_no_tokens_in_a_row_are_repeated(no_repeat: int, text: list[int]) -> None:
    got = greedy(stutter, [1], end=0, most=6, no_repeat=no_repeat)
    assert cut(got.tokens, 0) == [text]
    drawn = sample(stutter, np.ones(50, int), end=0, most=6, no_repeat=no_repeat)
    beams = beam(stutter, [1], end=0, most=6, no_repeat=no_repeat, width=9)
    if no_repeat:
        for one in cut(drawn.tokens, 0) + cut(beams.tokens[0], 0):
            runs = [tuple(one[i : i + no_repeat]) for i in range(len(one) - no_repeat + 1)]
            assert len(set(runs)) == len(runs)


def test_a_text_without_an_end_has_the_most_tokens_and_fewer_texts_than_the_width_are_marked() -> (
    None
):
    got = greedy(stutter, [1, 1], end=0, most=5)
    assert got.tokens.shape == (2, 5) and cut(got.tokens, 0) == [[1] * 5] * 2
    few = beam(stutter, [1], end=0, most=1, width=9)
    assert np.isinf(few.log_probability[0]).sum() == 5 and (few.tokens[0, 4:] == 0).all()
    assert cut(few.tokens[0, :4], 0) == [[1], [2], [3], []]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: greedy(stutter, 1, end=0, most=3), "start has the shape"),
        (lambda: greedy(stutter, [1.0], end=0, most=3), "float64"),
        (lambda: greedy(stutter, [1], end=4, most=3), "more words than end=4"),
        (lambda: greedy(stutter, [1], end=-1, most=3), "end must be"),
        (lambda: greedy(stutter, [1], end=0, most=0), "most must be"),
        (lambda: greedy(stutter, [1], end=0, most=3, no_repeat=-1), "no_repeat must be"),
        (lambda: greedy(lambda t, s: ([[0, np.nan]], s), [1], end=0, most=3), "row 0 are NaN"),
        (lambda: greedy(lambda t, s: ([[NEG, NEG]], s), [1], end=0, most=3), "all -inf"),
        (lambda: greedy(lambda t, s: ([0.0, 1.0], s), [1], end=0, most=3), r"shape \(2,\)"),
        (lambda: beam(stutter, [1], end=0, most=3, width=0), "width must be"),
        (lambda: beam(stutter, [1], end=0, most=3, alpha=-1), "alpha=-1"),
        (lambda: sample(stutter, [1], end=0, most=3, temperature=0), "call greedy"),
        (lambda: sample(stutter, [1], end=0, most=3, top_k=0), "top_k must be"),
        (lambda: sample(stutter, [1], end=0, most=3, top_p=0), "top_p=0"),
        (lambda: sample(stutter, [1], end=0, most=3, top_p=1.1), "top_p=1.1"),
        (lambda: sample(stutter, [1], end=0, most=3, seed=-1), "seed must be"),
        (lambda: length_penalty(0, 1.0), "length must be"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


# ---- the decoder ----------------------------------------------------------------------------

N, S, D, LENGTH, VOCABULARY = 3, 5, 6, 7, 11
RNG = np.random.default_rng(0)
MEMORY = RNG.normal(size=(N, S, D)).astype("float32")
TOKENS = RNG.integers(0, VOCABULARY, (N, LENGTH)).astype("int32")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    made = captioner(VOCABULARY, LENGTH, (S, D), units=16, heads=2)
    for weight in made.trainable_weights:
        weight.assign(weight + RNG.normal(0, 0.2, weight.shape))
    return made


def test_no_place_sees_later_tokens_and_each_sees_the_memory(model: keras.Model) -> None:
    want = np.asarray(model({"tokens": TOKENS, "memory": MEMORY}))
    assert want.shape == (N, LENGTH, VOCABULARY) and want.dtype == "float32"
    for place in range(1, LENGTH):
        other = TOKENS.copy()
        other[:, place:] = (other[:, place:] + 1) % VOCABULARY
        got = np.asarray(model({"tokens": other, "memory": MEMORY}))
        np.testing.assert_allclose(got[:, :place], want[:, :place], atol=1e-6)
        assert np.abs(got[:, place] - want[:, place]).max() > 1e-3
    got = np.asarray(model({"tokens": TOKENS, "memory": MEMORY[::-1]}))
    assert (np.abs(got - want)[[0, 2]].max(axis=-1) > 1e-3).all()


def test_the_cache_gives_the_numbers_of_the_whole_model(model: keras.Model) -> None:
    want = np.asarray(model({"tokens": TOKENS, "memory": MEMORY}))
    for step in (CachedStep(model), FullStep(model)):
        state = step.begin(MEMORY)
        for place in range(LENGTH):
            logits, state = step(TOKENS[:, place], state)
            np.testing.assert_allclose(logits, want[:, place], atol=1e-4)
        with pytest.raises(ValueError, match="positions for 7 tokens"):
            step(TOKENS[:, 0], state)


@pytest.mark.parametrize("rule", [greedy, sample, beam])
def test_texts_are_the_same_with_the_cache_as_without(rule: Any, model: keras.Model) -> None:
    settings = {"end": 0, "most": LENGTH}
    got, want = (
        rule(step, np.full(N, 1), step.begin(MEMORY), **settings)
        for step in (CachedStep(model), FullStep(model))
    )
    np.testing.assert_array_equal(got.tokens, want.tokens)
    np.testing.assert_allclose(got.log_probability, want.log_probability, atol=1e-4)


def test_the_table_of_words_is_one_and_the_first_logits_have_a_spread_near_one() -> None:
    keras.utils.set_random_seed(0)
    made = captioner(500, LENGTH, (S, D))
    tables = [w for w in made.trainable_weights if w.shape == (500, 128)]
    assert len(tables) == 1 and abs(np.std(np.asarray(tables[0])) - 1) < 0.05
    logits = np.asarray(made({"tokens": TOKENS, "memory": MEMORY}))
    assert 0.7 < logits.std() < 1.5


@pytest.mark.parametrize(("blocks", "encoder_blocks"), [(1, 0), (3, 2)])
def test_other_depths_and_half_precision(blocks: int, encoder_blocks: int) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = captioner(
            VOCABULARY, LENGTH, (S, D), units=8, heads=2, blocks=blocks,
            encoder_blocks=encoder_blocks,
        )  # fmt: skip
        step = CachedStep(made)
        logits, _ = step(TOKENS[:, 0], step.begin(MEMORY))
    finally:
        keras.config.set_dtype_policy("float32")
    want = np.asarray(made({"tokens": TOKENS, "memory": MEMORY}))[:, 0]
    np.testing.assert_allclose(logits, want, atol=0.1)


@pytest.mark.parametrize("wrong", [{"words": 0}, {"length": 0}, {"units": 0}, {"blocks": 0}])
def test_sizes_that_cannot_be(wrong: dict[str, int]) -> None:
    sizes = {"words": 5, "length": 3, "memory_shape": (2, 4)} | wrong
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a positive integer"):
        captioner(**sizes)
