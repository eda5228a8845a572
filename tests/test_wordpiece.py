"""The WordPiece tokenizer: by hand, against stored ids of `tokenizers`, and against it."""

import hashlib
import unicodedata

import numpy as np
import pytest
from optional import needs

import mmkeras as mm
from mmkeras.pretrained import WordPiece, minilm_tokenizer
from mmkeras.pretrained.wordpiece import words

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PIECES = "the a un ##fr ##friend ##ien ##ly friend , ! x ##x 你".split()
TINY = WordPiece(SPECIAL + PIECES)


def named(ids):
    return " ".join(TINY.vocabulary[i] for i in ids)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \t\n\r\u00a0\u2003\u2028", []),
        ("Hello, World!", ["hello", ",", "world", "!"]),
        ("don't stop—now…", ["don", "'", "t", "stop", "—", "now", "…"]),
        ("a+b=$5", ["a", "+", "b", "=", "$", "5"]),  # ASCII signs part words; others do not
        ("5€ 3×4", ["5€", "3×4"]),
        ("Café NAÏVE Ünïcödé", ["cafe", "naive", "unicode"]),
        ("你好world", ["你", "好", "world"]),
        ("カタカナ", ["カタカナ"]),  # kana are no ideographs
        ("a\x00b\x07c\u200bd\ufeffe\ud800f\ufffdg", ["abcdefg"]),
        ("ΣΑΣ İ", ["σασ", "i"]),
        ("👍🏽", ["👍🏽"]),
    ],
)
def test_words(text, found):
    assert words(text) == found


def test_the_longest_piece_comes_first():
    assert TINY.pieces("Unfriendly, friend!") == "un ##friend ##ly , friend !".split()
    assert TINY.pieces("unfriendy the") == ["[UNK]", "the"]  # one piece is missing: all is unknown
    assert TINY.pieces("x" * 100) == ["x"] + ["##x"] * 99
    assert TINY.pieces("x" * 101) == ["[UNK]"]


def test_ids_are_cut_and_padded():
    ids = TINY(["the friend", "", "a a a a a", "[SEP]"], 5)
    assert ids.dtype == np.int32 and ids.shape == (4, 5)
    assert [named(row) for row in ids] == [
        "[CLS] the friend [SEP] [PAD]",
        "[CLS] [SEP] [PAD] [PAD] [PAD]",
        "[CLS] a a a [SEP]",
        "[CLS] [UNK] [UNK] [UNK] [SEP]",  # text like any other, not the end of the text
    ]
    np.testing.assert_array_equal(TINY(np.array(["unfriendly"], object), 4), [[2, 6, 8, 3]])
    np.testing.assert_array_equal(TINY(["a the"], 2), [[2, 3]])
    assert TINY([], 7).shape == (0, 7)
    long = TINY(["a " * 10_000], 10_002)
    assert (long[0, 1:-1] == TINY.ids["a"]).all()


def test_what_cannot_be_read_is_named():
    with pytest.raises(TypeError, match=r"got one; give \['the friend'\]"):
        TINY("the friend", 5)
    with pytest.raises(TypeError, match="row 1 is nan"):
        TINY(["a", float("nan")], 5)
    with pytest.raises(ValueError, match="length must be an integer from 2, got 1"):
        TINY(["a"], 1)
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\]"):
        WordPiece(["[PAD]", "[UNK]"])
    for wrong in ([*SPECIAL, "a", "a"], ["a", *SPECIAL]):
        with pytest.raises(ValueError, match="must come first, and no piece twice"):
            WordPiece(wrong)


# ---- the vocabulary of MiniLM -----------------------------------------------------------------

# What `tokenizers` 0.23.3 gives, with `encode_special_tokens`.
STORED = {
    "": [],
    "你好，世界 hello": [100, 100, 1989, 1745, 100, 7592],
    "😀 👍🏽 👩‍👩‍👧": [100, 100, 100],
    "Café naïve Ünïcödé": [7668, 15743, 27260],
    "a\x00b\x07c\u200bd\ufeff\te": [5925, 2094, 1041],
    "don't stop—now…": [2123, 1005, 1056, 2644, 1517, 2085, 1529],
    "ΣΑΣ İ ﬁ ẞ": [1173, 14608, 29733, 1045, 1984, 1096],
    "[CLS] hi [SEP]": [1031, 18856, 2015, 1033, 7632, 1031, 19802, 1033],
    "x" * 101: [100],
    "word " * 10_000: [2773] * 10_000,
}
LENGTH = 64
DIGESTS = {"reviews": "2703767367ee29dc", "labels": "2d23304ae86ce0f1"}  # of all ids, SHA-256


@pytest.fixture(scope="module")
def tokenizer():
    return minilm_tokenizer()


@needs("minilm-l6")
def test_the_ids_that_tokenizers_gives(tokenizer):
    assert len(tokenizer.vocabulary) == 30_522 and tokenizer.unknown == 100
    for text, ids in STORED.items():
        want = [101, *ids, 102]
        np.testing.assert_array_equal(tokenizer([text], len(want)), [want], err_msg=text[:20])


def corpus(name):
    if name == "reviews":
        return list(mm.datasets.load_reviews().text)
    return list(mm.datasets.load_emoji(size=48).table["label_zh"].drop_duplicates())


@pytest.mark.slow
@needs("minilm-l6")
@needs("reviews")
@pytest.mark.parametrize("name", DIGESTS)
def test_all_reviews_and_chinese_labels(tokenizer, name):
    ids = tokenizer(corpus(name), LENGTH)
    assert len(ids) == {"reviews": 23_703, "labels": 1_021}[name]
    assert hashlib.sha256(ids.tobytes()).hexdigest()[:16] == DIGESTS[name]
    unknown = np.mean(ids[ids > 0] == tokenizer.unknown)
    assert unknown > 0.4 if name == "labels" else unknown < 0.001


@pytest.mark.slow
@needs("minilm-l6")
@needs("reviews")
def test_the_package_tokenizers_agrees(tokenizer):
    """On whatever version of it is installed, and on each character that is old enough for it."""
    package = pytest.importorskip("tokenizers", reason="it is in the extra `bench`")
    pieces = {piece: i for i, piece in enumerate(tokenizer.vocabulary)}
    theirs = package.BertWordPieceTokenizer(pieces, lowercase=True)
    theirs._tokenizer.encode_special_tokens = True
    for length in (2, 3, LENGTH, 10_002):
        theirs.enable_truncation(length)
        theirs.enable_padding(length=length)
        texts = [*STORED, *corpus("reviews"), *corpus("labels")] if length == LENGTH else [*STORED]
        want = [x.ids for x in theirs.encode_batch(texts)]
        np.testing.assert_array_equal(tokenizer(texts, length), want)
    theirs.no_padding()
    old = unicodedata.ucd_3_2_0
    for code in (*range(0xAC00), *range(0xF900, 0x110000, 7)):
        kind = unicodedata.category(character := chr(code))
        if kind == old.category(character) and kind not in ("Cn", "Cs"):
            text = f"a{character}b C{character}"
            assert theirs.encode(text).tokens[1:-1] == tokenizer.pieces(text), hex(code)
