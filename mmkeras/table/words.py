"""From the texts of a table to word ids: what counts as a word, and which words are known.

Derived in chapter 02, except for the treatment of punctuation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

UNKNOWN = "[UNK]"
TOKENS = ("word", "character", "wordpiece")
# The replacements, in this order, in text in lower case (in RE2's notation). Emoji are words, and
# are kept; so are the joiners U+200C and U+200D, which belong to emoji and to letters.
RULES = (
    (r"[^\P{Cf}\x{200c}\x{200d}]", ""),  # invisible: soft hyphen, zero-width space, byte-order mark
    (r"['’]+([^\pL'’]|$)", r" \1"),  # an apostrophe is kept between two letters, …
    (r"(^|[^\pL'’])['’]+", r"\1 "),
    (r"(\pL)['’](\pL)", r"\1\2"),  # … and then removed: don't becomes the word dont
    (r"(\pL)['’](\pL)", r"\1\2"),
    (r"[.,]+([^\p{Nd}.,]|$)", r" \1"),  # point and comma are kept between digits: 12.50 is one word
    (r"(^|[^\p{Nd}.,])[.,]+", r"\1 "),
    (r"[.,][.,]+", " "),
    (r"[^\PP.,]|[$+<=>^`|~]", " "),  # other punctuation separates words: red/green are two
)
SPACE = r"[\s\p{Z}\p{Cc}]+"  # of all scripts, while RE2's \s is only ASCII


def standardize(text: Any, tokens: str = "word") -> Any:
    """String tensor → lower case (in all scripts), without invisible characters and punctuation.

    Punctuation becomes a space, except for a point or comma between digits, which is kept, and an
    apostrophe between letters, which is removed, as in Keras. Words are separated by one space,
    whatever the space was; with tokens="character" there are no spaces.
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
    ngrams: int = 1,
) -> Any:
    """A `keras.layers.TextVectorization`: string (batch,) → int64 ids (batch, words).

    It standardizes by `standardize`. The words are those of ``vocabulary``, or the most frequent
    words of ``texts``; if these have no words, the layer knows none, and cannot be used. For
    "wordpiece" it is `Pieces`.
    """
    if tokens == "wordpiece":
        return Pieces(words, vocabulary)
    import keras

    layer = keras.layers.TextVectorization(
        max_tokens=None if vocabulary else vocabulary_size,
        standardize=lambda text: standardize(text, tokens),
        split="whitespace" if tokens == "word" else "character",
        ngrams=ngrams if ngrams > 1 else None,
        output_sequence_length=words,
        vocabulary=list(vocabulary) if vocabulary else None,
        name="text_ids",
    )
    if not vocabulary:
        layer.adapt(texts[i : i + 1024] for i in range(0, len(texts), 1024))
    return layer


def words_of(layer: Any) -> list[str]:
    """The words by id: "" (padding), "[UNK]" (unknown), then the most frequent first."""
    return [] if layer is None else [str(word) for word in layer.get_vocabulary()]


class Pieces:
    """What stands in the place of the layer for "wordpiece", and runs before the graph does.

    Args:
        length: pieces of a text, [CLS] and [SEP] included.
        vocabulary: of another table, or None for that of `mmkeras.pretrained.minilm_tokenizer`.
    """

    def __init__(self, length: int, vocabulary: Sequence[str] | None = None) -> None:
        from ..pretrained import WordPiece, minilm_tokenizer

        self.length = length
        self.tokenizer = WordPiece(vocabulary) if vocabulary else minilm_tokenizer()

    def ids(self, texts: Sequence[str]) -> np.ndarray:
        """int32 (n, length); nothing but 0 where the text is blank."""
        found = self.tokenizer(texts, self.length)
        return found * np.array([bool(text) for text in texts], np.int32)[:, None]

    def get_vocabulary(self) -> list[str]:
        """The pieces by id; the first is "[PAD]"."""
        return self.tokenizer.vocabulary
