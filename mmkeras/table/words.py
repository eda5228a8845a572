"""Text of a table as numbers of words: what counts as a word, and which are known.

Derived in chapter 02, but for what is done with punctuation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

UNKNOWN = "[UNK]"
# What to replace, in this order, in text that is lower case already (in RE2's notation). Emoji are
# words, and stay; so do the joiners U+200C and U+200D, which belong to emoji and to letters.
RULES = (
    (r"[^\P{Cf}\x{200c}\x{200d}]", ""),  # invisible: soft hyphen, zero-width space, byte-order mark
    (r"['’]+([^\pL'’]|$)", r" \1"),  # an apostrophe stays where letters are on both sides, …
    (r"(^|[^\pL'’])['’]+", r"\1 "),
    (r"(\pL)['’](\pL)", r"\1\2"),  # … and is left out there: don't is the word dont
    (r"(\pL)['’](\pL)", r"\1\2"),
    (r"[.,]+([^\p{Nd}.,]|$)", r" \1"),  # point and comma stay between digits: 12.50 is one word
    (r"(^|[^\p{Nd}.,])[.,]+", r"\1 "),
    (r"[.,][.,]+", " "),
    (r"[^\PP.,]|[$+<=>^`|~]", " "),  # other punctuation parts words: red/green are two
)
SPACE = r"[\s\p{Z}\p{Cc}]+"  # of all scripts: RE2's \s is ASCII


def standardize(text: Any, tokens: str = "word") -> Any:
    """String tensor → lower case (in all scripts), invisible characters and punctuation gone.

    Punctuation becomes a space, but for a point or comma between digits, which stays, and an
    apostrophe between letters, which is left out as Keras does. Words are parted by one space,
    whatever space it was; as characters, there is none.
    """
    import tensorflow as tf

    text = tf.strings.lower(text, "utf-8")
    for pattern, by in RULES:
        text = tf.strings.regex_replace(text, pattern, by)
    return tf.strings.regex_replace(text, SPACE, "" if tokens == "character" else " ")


def vectorizer(
    texts: np.ndarray,
    words: int,
    tokens: str,
    vocabulary: Sequence[str] | None,
    vocabulary_size: int,
) -> Any:
    """A `keras.layers.TextVectorization`: string (batch,) → int64 ids (batch, words).

    It standardizes as `standardize` says. The words are those of ``vocabulary``, or the most
    frequent of ``texts``; if these hold none, the layer knows none, and answers nothing.
    """
    import keras

    layer = keras.layers.TextVectorization(
        max_tokens=None if vocabulary else vocabulary_size,
        standardize=lambda text: standardize(text, tokens),
        split="whitespace" if tokens == "word" else "character",
        output_sequence_length=words,
        vocabulary=list(vocabulary) if vocabulary else None,
        name="text_ids",
    )
    if not vocabulary:
        layer.adapt(texts[i : i + 1024] for i in range(0, len(texts), 1024))
    return layer


def words_of(layer: Any) -> list[str]:
    """By id: "" (padding), "[UNK]" (unknown), then the most frequent first."""
    return [] if layer is None else [str(word) for word in layer.get_vocabulary()]
