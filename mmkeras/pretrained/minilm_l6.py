"""MiniLM-L6: sentences -> 384 features, by six transformer blocks in the form of BERT.

The network and its tokenizer are written out here and in `wordpiece`, and not taken from KerasHub,
which has the same architecture: KerasHub needs tensorflow-text, tokenizers, sentencepiece and a
download client (over 200 MB installed).

Sources: W. Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of
Pre-Trained Transformers", NeurIPS 2020, arXiv:2002.10957. N. Reimers, I. Gurevych, "Sentence-BERT",
EMNLP 2019, arXiv:1908.10084 (the mean over the pieces, trained so that the cosine of two sentences
tells how alike they are). J. Devlin et al., "BERT", NAACL 2019, arXiv:1810.04805 (the form).
The weights: all-MiniLM-L6-v2 of the sentence-transformers project, 2021.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from .. import assets
from ..arguments import check_integer, check_name, check_positive
from ..attention import AttentionBlock, PositionEmbedding
from ..branches.parts import UnitLength
from ..branches.text import MaskedAverage, MaskedTokens
from .weights import load_safetensors
from .wordpiece import WordPiece

ASSET, WEIGHTS, VOCABULARY = "minilm-l6", "model.safetensors", "vocab.txt"
VOCABULARY_SIZE, PLACES, BLOCKS = 30_522, 512, 6
EPSILON = 1e-12  # of BERT's layer normalisation


def minilm_l6(
    length: int,
    layer: int = BLOCKS,
    trainable: bool = False,
    *,
    after: int = 0,
    tokens: bool = False,
    normalize: bool = False,
    weights: str | None = "all-MiniLM-L6-v2",
    name: str = "text",
) -> keras.Model:
    """Build the encoder of English sentences all-MiniLM-L6-v2 (Wang et al. 2020).

    Input: int32 (batch, length), what `minilm_tokenizer()(texts, length)` gives; 0 is padding.
    Output: float (batch, 384), the mean over the pieces that are there; with tokens (batch, length,
    384), zeros where padding is. A row of nothing but 0 gives zeros.

    Of the 384 features of the sixth block, three (127, 223, 319) are all but constant, below 1e-7:
    to standardise them, divide by their deviation only where it is above 1e-3, say.

    It goes into `multimodal_model` as `text_branch` does. The weights have learned sentences of up
    to 128 pieces; they know places up to 512. There is no dropout inside. Weights: 11,721,216
    + 384 for each place + 1,774,464 for each block, 22,368,000 + 384 length in all.

    Args:
        length: pieces of a text, [CLS] and [SEP] included, 2 to 512.
        layer: the block whose output is given, 1 to 6; 0 for the embeddings. Those above it are
            not built.
        trainable: False freezes every weight; True trains them all. See `unfreeze` for the last
            few blocks.
        after: begin behind this block. The input is then float (batch, length, 384), what
            `minilm_l6(length, layer=after, tokens=True)` gives: compute it once with
            `cached_features`, and train the blocks behind it.
        tokens: keep one vector per piece, for a fusion that attends to them.
        normalize: divide the mean by its Euclidean length, as the original does, so that the dot
            product of two is their cosine. Not for tokens.
        weights: "all-MiniLM-L6-v2" (the asset "minilm-l6", fetched if it is not in the cache) or
            None for a random start.
        name: name of the model and of its input.

    Raises:
        ValueError: an argument that cannot work, tokens and normalize together.
        mmkeras.assets.AssetError: the weights are not in the cache and cannot be fetched.
    """
    layer = check_integer("layer", layer, least=0, most=BLOCKS)
    after = check_integer("after", after, least=0, most=layer)
    if weights not in ("all-MiniLM-L6-v2", None):
        raise ValueError(f'weights={weights!r}: expected "all-MiniLM-L6-v2" or None')
    check_integer("length", length, least=2, most=PLACES)
    model = bert_encoder(
        length, blocks=layer, after=after, tokens=tokens, normalize=normalize, name=name
    )
    if weights is not None:
        _assign(model, load_safetensors(assets.fetch(ASSET) / WEIGHTS))
    model.trainable = trainable
    return model


def minilm_tokenizer() -> WordPiece:
    """Return the tokenizer of `minilm_l6`: its 30,522 pieces are lower case, mostly English.

    `ids = minilm_tokenizer()(texts, length)`. Accents are dropped. Of another language little is
    left: letters, or "[UNK]", as `pieces(text)` shows.

    Raises:
        mmkeras.assets.AssetError: the asset "minilm-l6" is not in the cache and cannot be fetched.
    """
    text = (assets.fetch(ASSET) / VOCABULARY).read_text(encoding="utf-8")
    return WordPiece(text.removesuffix("\n").split("\n"))


def bert_encoder(
    length: int,
    *,
    vocabulary_size: int = VOCABULARY_SIZE,
    units: int = 384,
    heads: int = 12,
    blocks: int = BLOCKS,
    after: int = 0,
    tokens: bool = False,
    normalize: bool = False,
    name: str = "text",
) -> keras.Model:
    """Build the network of `minilm_l6` in any size, with random weights, all trainable.

    Args:
        length, after, tokens, normalize, name: as for `minilm_l6`.
        vocabulary_size: number of ids, padding included.
        units: width of a vector; within a block the network is four times as wide.
        heads: of each attention.
        blocks: their number, 0 or more.
    """
    length, units = check_positive("length", length), check_positive("units", units)
    blocks, heads = check_integer("blocks", blocks, least=0), check_positive("heads", heads)
    after = check_integer("after", after, least=0, most=blocks)
    vocabulary_size = check_integer("vocabulary_size", vocabulary_size, least=2)
    check_name("name", name)
    if tokens and normalize:
        raise ValueError("normalize is for the mean of a text; it does not go with tokens")
    if after:  # the zeros of the padding say where it is
        inputs = keras.Input((length, units), name=name)
        x = layers.Masking(name="padding")(inputs)
    else:
        inputs = keras.Input((length,), dtype="int32", name=name)
        x = layers.Embedding(vocabulary_size, units, mask_zero=True, name="embedding")(inputs)
        x = PositionEmbedding(name="position")(x)
        x = layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
    for number in range(after + 1, blocks + 1):
        block = AttentionBlock(
            heads, "gelu", True, post_norm=True, hidden=4 * units, epsilon=EPSILON,
            name=f"block_{number}",
        )  # fmt: skip
        x = block(x)
    x = MaskedTokens(name="tokens")(x) if tokens else MaskedAverage(name="average")(x)
    if normalize:
        x = UnitLength(name="unit_length")(x)
    return keras.Model(inputs, x, name=name)


def _kernels(block: AttentionBlock) -> dict[str, layers.Layer]:
    """The layers of a block by their names in the weight file."""
    attention = block.attention
    return {
        "attention.self.query": attention.query_dense,
        "attention.self.key": attention.key_dense,
        "attention.self.value": attention.value_dense,
        "attention.output.dense": attention.output_dense,
        "attention.output.LayerNorm": block.norms[0],
        "intermediate.dense": block.wide,
        "output.dense": block.narrow,
        "output.LayerNorm": block.norms[1],
    }


def _assign(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Give each layer its tensors; a weight or a tensor without a partner is an error.

    Without one are the pooler, which the mean has replaced, the numbers of the places, and the
    blocks that were not built.
    """
    left = dict(tensors)

    def take(name: str) -> Any:
        if name not in left:
            raise ValueError(f"the weight file lacks {name!r}")
        return left.pop(name)

    parts = {}
    for part in model.layers:
        if part.name == "embedding":
            part.set_weights([take("embeddings.word_embeddings.weight")])
        elif part.name == "position":  # BERT tells a first text from a second; here all is first
            places = take("embeddings.position_embeddings.weight")[: part.input.shape[1]]
            part.set_weights([places + take("embeddings.token_type_embeddings.weight")[0]])
        elif part.name == "norm":
            parts["embeddings.LayerNorm"] = part
        elif isinstance(part, AttentionBlock):
            number = int(part.name.removeprefix("block_")) - 1
            parts |= {f"encoder.layer.{number}.{k}": own for k, own in _kernels(part).items()}
    for name, part in parts.items():
        kernel = take(f"{name}.weight")  # of a Dense layer: (out, in); of a norm: (units,)
        part.set_weights([kernel.T, take(f"{name}.bias")])
    others = (f"encoder.layer.{n}." for n in range(BLOCKS))
    spare = (
        "pooler.",
        "embeddings.position_ids",
        *(o for o in others if f"{o}output.dense" not in parts),
    )
    if "embeddings.LayerNorm" not in parts:
        spare += ("embeddings.",)
    if unused := [name for name in left if not name.startswith(spare)]:
        raise ValueError(f"the weight file has {len(unused)} tensors no layer takes: {unused[:5]}")
