"""The decoder of Whisper tiny.en: speech → English text.

The decoder is a language model that looks at the features of the encoder (cross-attention). It
writes one token after the other, and each time the likeliest one (greedy decoding). What its
attention has computed for earlier tokens and for the speech is kept, so that a step costs a step.

Source: Radford et al. 2022, arXiv:2212.04356, sections 2.2, 2.3 and 4.5. The tokens are GPT-2's
(Radford et al. 2019, "Language Models are Unsupervised Multitask Learners").
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from .. import assets
from ..attention import MultiHeadAttention, PositionEmbedding, scaled_dot_product_attention
from ..composite import Tensor
from .ctranslate2_file import Tensors, load_ctranslate2
from .whisper import ASSET, EPSILON, LONGEST, RATE, TINY, Sizes, assign_encoder, encoder

END, START, NO_SPEECH, NO_TIMES = 50_256, 50_257, 50_361, 50_362  # of tiny.en
MOST = 224  # tokens for one window, as in the original
WINDOW = RATE * LONGEST


def transcribe(wave: np.ndarray, *, no_speech: float = 0.6) -> str:
    """Return what is said in a recording, in English, by Whisper tiny.en (Radford et al. 2022).

    Greedy decoding, without timestamps. The recording is filled with silence to 30 s, as all that
    Whisper was trained on. A longer one is cut into windows of 25 to 30 s where it is quietest.
    The model understands read English well, single words and other languages hardly: there it
    writes something all the same. It is loaded at the first call (38 million weights, 150 MB) and
    kept for the next ones.

    Args:
        wave: floats (samples,), at least one, in [-1, 1], 16,000 per second, one channel.
        no_speech: where the model's own probability that nobody speaks is above this, the text of
            a window is empty. Without it, silence is transcribed as "you". 1 switches it off.

    Returns:
        The text; "" for silence.

    Raises:
        ValueError: a wave of another shape, without a sample, or with values that are not finite.
        mmkeras.assets.AssetError: the weights are not in the cache and cannot be fetched.
    """
    wave = np.asarray(wave)
    if wave.ndim != 1 or not wave.size or wave.dtype.kind != "f":
        raise ValueError(
            f"wave has the shape {wave.shape} and the type {wave.dtype}: expected floats in [-1, 1]"
            " of shape (samples,), at least one. Average the channels of a stereo recording; "
            "divide integers of 16 bits by 32,768."
        )
    if not np.isfinite(wave).all():
        raise ValueError(f"wave has {(~np.isfinite(wave)).sum():,} values that are not finite")
    ear, writer, step, rules, vocabulary = _loaded()
    texts = []
    for window in windows(wave.astype("float32")):
        heard = ear(np.pad(window, (0, WINDOW - len(window)))[None], training=False)
        numbers, silence = greedy(step, all_told(writer, heard), rules)
        texts.append("" if silence > no_speech else text_of(numbers, vocabulary))
    return " ".join(filter(None, (text.strip() for text in texts)))


def windows(wave: np.ndarray) -> list[np.ndarray]:
    """Cut a recording into pieces of at most 30 s, in the quietest 0.1 s of the last five."""
    pieces, step = [], RATE // 10
    while len(wave) > WINDOW:
        power = np.square(wave[WINDOW - 50 * step : WINDOW]).reshape(50, step).sum(axis=1)
        end = WINDOW - (50 - int(power.argmin())) * step + step // 2
        pieces.append(wave[:end])
        wave = wave[end:]
    return [*pieces, wave]


# ---- the network ----------------------------------------------------------------------------


def decoder(sizes: Sizes = TINY, name: str = "whisper_decoder") -> keras.Model:
    """The network with random weights.

    Returns:
        A functional model from tokens, int32 (batch, length), and the features of the encoder,
        (batch, frames, units), to states (batch, length, units). A state times the table of
        embeddings gives the logits of the next token. No state sees later tokens.
    """
    tokens = keras.Input((sizes.length,), dtype="int32", name="tokens")
    heard = keras.Input((sizes.frames, sizes.units), name="heard")
    x = layers.Embedding(sizes.words, sizes.units, name="words")(tokens)
    x = PositionEmbedding(name="positions")(x)
    for i in range(1, sizes.blocks + 1):
        norms = [_norm(f"block_{i}_norm{j}") for j in (1, 2, 3)]
        own = MultiHeadAttention(sizes.heads, True, causal=True, name=f"block_{i}_own")
        speech = MultiHeadAttention(sizes.heads, True, name=f"block_{i}_speech")
        wide = layers.Dense(4 * sizes.units, activation="gelu", name=f"block_{i}_wide")
        narrow = layers.Dense(sizes.units, name=f"block_{i}_narrow")
        asks = norms[0](x)
        x = layers.Add()([x, own(asks, asks)])
        x = layers.Add()([x, speech(norms[1](x), heard)])
        x = layers.Add()([x, narrow(wide(norms[2](x)))])
    return keras.Model([tokens, heard], _norm("norm")(x), name=name)


def _norm(name: str) -> layers.LayerNormalization:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)


def assign_decoder(model: keras.Model, tensors: Tensors) -> None:
    """Give each layer of a decoder its part of the weight file."""
    get = model.get_layer
    get("words").set_weights([tensors["decoder/embeddings/weight"]])
    get("positions").set_weights([tensors["decoder/position_encodings/encodings"]])
    tensors.norm("decoder/layer_norm", get("norm"))
    for i in range(1, _blocks(model) + 1):
        name = f"decoder/layer_{i - 1}"
        for j, part in enumerate(("self_attention", "attention", "ffn"), start=1):
            tensors.norm(f"{name}/{part}/layer_norm", get(f"block_{i}_norm{j}"))
        own, speech = get(f"block_{i}_own"), get(f"block_{i}_speech")
        asked = (own.query_dense, own.key_dense, own.value_dense)
        tensors.dense(f"{name}/self_attention/linear_0", *asked)
        tensors.dense(f"{name}/self_attention/linear_1", own.output_dense)
        tensors.dense(f"{name}/attention/linear_0", speech.query_dense)
        tensors.dense(f"{name}/attention/linear_1", speech.key_dense, speech.value_dense)
        tensors.dense(f"{name}/attention/linear_2", speech.output_dense)
        tensors.dense(f"{name}/ffn/linear_0", get(f"block_{i}_wide"))
        tensors.dense(f"{name}/ffn/linear_1", get(f"block_{i}_narrow"))


def _blocks(model: keras.Model) -> int:
    return sum(layer.name.endswith("_own") for layer in model.layers)


# ---- greedy decoding ------------------------------------------------------------------------


Step = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]


class Rules(NamedTuple):
    """Tokens that are never written, or not at the beginning (of the model's config.json)."""

    never: Sequence[int]
    not_first: Sequence[int]


def stepper(model: keras.Model) -> Step:
    """Compile one step of a `decoder`: it reads a token and says what could follow.

    The numbers are those of the whole model, which would compute all that came before anew.

    Returns:
        A function from a token, int, what the tokens before it have told (an empty memory at first)
        and what the speech tells (`all_told`), to the logits of the next token, (words,), and what
        all tokens so far have told.
    """
    get, blocks = model.get_layer, range(1, _blocks(model) + 1)
    table, positions = get("words").embeddings, get("positions").positions
    heads = get("block_1_own").heads
    memory = tf.TensorSpec((len(blocks), 2, 1, heads, None, table.shape[1] // heads), "float32")

    @tf.function(input_signature=[tf.TensorSpec((), "int32"), memory, memory])
    def step(token: Tensor, before: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        x = ops.reshape(table[token] + positions[ops.shape(before)[4]], (1, 1, -1))
        after = []
        for i, old, heard in zip(blocks, ops.unstack(before), ops.unstack(speech), strict=True):
            own, asks = get(f"block_{i}_own"), get(f"block_{i}_norm1")(x)
            after.append(ops.concatenate([old, _told(own, asks)], axis=3))
            x += _answer(own, asks, after[-1])
            x += _answer(get(f"block_{i}_speech"), get(f"block_{i}_norm2")(x), heard)
            x += get(f"block_{i}_narrow")(get(f"block_{i}_wide")(get(f"block_{i}_norm3")(x)))
        return ops.matmul(table, get("norm")(x)[0, 0]), ops.stack(after)

    return step


def _told(attention: MultiHeadAttention, memory: Tensor) -> Tensor:
    """Keys and values of a memory (1, s, units): (2, 1, heads, s, units / heads)."""
    both = (attention.key_dense(memory), attention.value_dense(memory))
    return ops.stack([attention._heads_apart(x) for x in both])


def all_told(model: keras.Model, heard: Tensor) -> Tensor:
    """Keys and values of the speech, (1, frames, units), in every block."""
    speech = [model.get_layer(f"block_{i}_speech") for i in range(1, _blocks(model) + 1)]
    return ops.stack([_told(attention, heard) for attention in speech])


def _answer(attention: MultiHeadAttention, x: Tensor, told: Tensor) -> Tensor:
    """What one place, x (1, 1, units), is told."""
    query = attention._heads_apart(attention.query_dense(x))
    answers, _ = scaled_dot_product_attention(query, told[0], told[1])
    return attention.output_dense(attention._heads_together(answers))


def greedy(step: Step, speech: Tensor, rules: Rules, most: int = MOST) -> tuple[list[int], float]:
    """The likeliest token, time after time: the numbers, and the probability that nobody speaks."""
    logits, told = step(START, speech[..., :0, :], speech)  # no token has told anything
    silence = float(ops.softmax(logits)[NO_SPEECH])
    logits, told = step(NO_TIMES, told, speech)
    numbers: list[int] = []
    forbidden = [*rules.never, *rules.not_first]
    while len(numbers) < most:
        scores = np.array(logits)
        scores[forbidden] = -np.inf
        if (number := int(scores.argmax())) == END:
            break
        numbers.append(number)
        logits, told = step(number, told, speech)
        forbidden = [*rules.never]
    return numbers, silence


def text_of(numbers: Sequence[int], vocabulary: Sequence[str]) -> str:
    """The words of tokens: GPT-2 writes each byte as a letter, so that none is a space or a sign.

    Special tokens are left out, and bytes that are no UTF-8 become "�".
    """
    letters = "".join(vocabulary[number] for number in numbers if number < END)
    return bytes(_bytes()[letter] for letter in letters).decode("utf-8", "replace")


@functools.cache
def _bytes() -> dict[str, int]:
    """Letter → byte: printable Latin-1 stands for itself, the other 68 for U+0100 and on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = [byte for byte in range(256) if byte not in plain]
    return {chr(b): b for b in plain} | {chr(0x100 + i): b for i, b in enumerate(other)}


@functools.lru_cache(maxsize=1)
def _loaded() -> tuple[Any, keras.Model, Step, Rules, list[str]]:
    """Encoder, decoder, its step, rules and vocabulary; in float32; kept, as they take seconds."""
    folder: Path = assets.fetch(ASSET)
    tensors = load_ctranslate2(folder / "model.bin", "WhisperSpec")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        ear, writer = encoder(WINDOW, TINY.blocks, TINY, tokens=True), decoder(TINY)
    finally:
        keras.config.set_dtype_policy(policy)
    assign_encoder(ear, tensors)
    assign_decoder(writer, tensors)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    rules = Rules(config["suppress_ids"], config["suppress_ids_begin"])
    vocabulary = (folder / "vocabulary.txt").read_text("utf-8").split("\n")
    return ear, writer, stepper(writer), rules, vocabulary
