"""Which layers of a pretrained encoder are trained: the last few, all, or none.

The last blocks have learned most of what the encoder was made for, the first ones what any task
needs (J. Yosinski et al., "How transferable are features in deep neural networks?", NeurIPS 2014,
arXiv:1411.1792). So one begins behind the encoder, and goes on with its top at a smaller rate
(J. Howard, S. Ruder, "Universal Language Model Fine-tuning", ACL 2018, arXiv:1801.06146).
"""

from __future__ import annotations

import math
import re

import keras
from keras import layers

from ..arguments import check_integer
from ..attention import PositionEmbedding

BLOCK = re.compile(r"block_?\d+[a-z]?(?=_|$)")  # block_2; block6d_expand_conv
NEVER = (layers.Embedding, PositionEmbedding, layers.BatchNormalization)


def unfreeze(model: keras.Model, top: int | None = None) -> int:
    """Train the last blocks of each pretrained encoder in a model, and freeze what is before them.

    What stands behind the last block is trained with it. Embeddings stay frozen, since few of the
    words are in the data; and so does BatchNormalization, with the statistics it has learned, since
    those of small batches are poor. Layers outside the encoders (fusion, heads) stay as they are.

    **Compile anew before you go on.** A compiled model goes on training what it trained before,
    without a word. So if `model` was compiled, and something else is to be trained now, `fit` asks
    for `compile`. That works for the very model given here: give the one that you fit, not only the
    branch in it.

    Args:
        model: an encoder of `mmkeras.pretrained`, or a model that contains some, at any depth.
        top: how many blocks, counted from the end; 0 freezes the encoders, None trains all
            blocks and what stands before them.

    Returns:
        How many numbers will be trained in `model`.

    Raises:
        ValueError: there is no encoder, one has fewer blocks, or a layer has LoRA, whose frozen
            kernel `trainable` would set free: first unfreeze, then `enable_lora`.
    """
    before = _trained(model)
    parts = [part for part in model._flatten_layers() if isinstance(part, keras.Model)]
    encoders = [(part, places) for part in parts if (places := _blocks(part))]
    if not encoders:
        raise ValueError(f"{model.name!r} has no layers called block_1, block_2, …: no encoder")
    for encoder, places in encoders:
        check_integer("top", len(places) if top is None else top, least=0, most=len(places))
        if lora := [x.name for x in encoder._flatten_layers() if getattr(x, "lora_enabled", False)]:
            raise ValueError(f"{lora[0]!r} has LoRA: call unfreeze before enable_lora")
    for encoder, places in encoders:
        starts = [*places, len(encoder.layers)]
        first = 0 if top is None else starts[len(places) - top]
        encoder.trainable = True
        for place, layer in enumerate(encoder.layers):
            layer.trainable = first <= place and not isinstance(layer, NEVER)
    if model.compiled and _trained(model) != before:
        model.compiled = False
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _blocks(model: keras.Model) -> list[int]:
    """Where each block begins in `model.layers`."""
    names = [BLOCK.match(layer.name) for layer in model.layers]
    blocks = [found and found[0] for found in names]
    return [i for i, block in enumerate(blocks) if block and block not in blocks[:i]]


def _trained(model: keras.Model) -> set[int]:
    return {id(weight) for weight in model.trainable_weights}
