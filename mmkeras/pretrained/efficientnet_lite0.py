"""EfficientNet-Lite0 with ImageNet weights.

The network is written out here, in about fifty lines, and not taken from KerasHub, which has the
same architecture: KerasHub needs tensorflow-text, tokenizers, sentencepiece and a download client
(over 200 MB installed) for one backbone; its preset comes from a model hub instead of a package;
and it pads a stride of 2 as PyTorch does, where these weights, trained in TensorFlow, expect
TensorFlow's "same".

Sources: M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", ICML 2019, arXiv:1905.11946. The Lite variant (no squeeze-and-excite, ReLU6, stem and
head of fixed width): "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog,
March 2020.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
from keras import layers

from .. import assets
from ..arguments import check_integer
from .weights import load_torch

WEIGHTS = "efficientnet-lite0-57934424.pth"
# repeats, kernel, stride of the first block, expansion, filters
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(
    shape: tuple[int, int, int] = (224, 224, 3),
    trainable: bool = False,
    *,
    include_top: bool = False,
    weights: str | None = "imagenet",
    name: str = "efficientnet_lite0",
) -> keras.Model:
    """Build EfficientNet-Lite0 (Tan & Le 2019; the Lite variant of 2020) with ImageNet weights.

    Args:
        shape: (height, width, 3), height and width at least 32. The weights were trained at 224.
        trainable: False freezes every weight and the BatchNorm statistics; True fine-tunes both.
        include_top: True adds the classifier of the 1,000 ImageNet classes.
        weights: "imagenet" (the asset "efficientnet-lite0", fetched if it is not in the cache) or
            None for a random start.
        name: name of the model.

    Returns:
        A functional model from pixels 0..255, uint8 or float, (batch, height, width, 3), to
        features (batch, 1280) in 0..6; with `include_top` to class probabilities (batch, 1000).
        The scaling to (pixel - 127) / 128 is inside. Features of an inner layer, and the network
        behind it, are models of their own: `keras.Model(model.input, inner)` and
        `keras.Model(inner, model.output)` with `inner = model.get_layer("block5c_add").output`.

    Raises:
        ValueError: a shape or a `weights` that cannot work.
        mmkeras.assets.AssetError: the weights are not in the cache and cannot be fetched.
    """
    inputs = keras.Input(_checked(shape), name="pixels")
    if weights not in ("imagenet", None):
        raise ValueError(f'weights={weights!r}: expected "imagenet" or None')
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale")(inputs)
    conv = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem_conv")
    x = _conv_bn(x, "stem", conv)
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES, 1):
        for repeat in range(repeats):
            block = f"block{stage}{'abcd'[repeat]}_"
            x = _block(x, block, kernel, stride if repeat == 0 else 1, expansion, filters)
    x = _conv_bn(x, "top", layers.Conv2D(1280, 1, use_bias=False, name="top_conv"))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if include_top:
        x = layers.Dense(1000, activation="softmax", dtype="float32", name="predictions")(x)
    model = keras.Model(inputs, x, name=name)
    if weights == "imagenet":
        _assign(model, load_torch(assets.fetch("efficientnet-lite0") / WEIGHTS))
    model.trainable = trainable
    return model


def _checked(shape: Any) -> tuple[int, int, int]:
    sizes: list[int] = []
    with contextlib.suppress(TypeError, ValueError):
        sizes = [check_integer("shape", size) for size in shape]
    match sizes:
        case height, width, 3 if min(height, width) >= 32:
            return height, width, 3
    raise ValueError(
        f"shape={shape!r}: expected (height, width, 3), whole numbers, height and width at least "
        "32, for example (96, 96, 3). Enlarge a smaller picture; give a grey one three equal "
        "channels: numpy.repeat(grey, 3, axis=-1)."
    )


def _conv_bn(x: Any, prefix: str, conv: layers.Layer, activation: bool = True) -> Any:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{prefix}_bn")(conv(x))
    return layers.ReLU(max_value=6.0, name=f"{prefix}_relu6")(x) if activation else x


def _block(x: Any, prefix: str, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    """Inverted bottleneck (Sandler et al. 2018, MobileNetV2, arXiv:1801.04381).

    Widen 1x1, filter each channel k x k, narrow 1x1 without activation, add where shapes agree.
    """
    start, width = x, x.shape[-1]
    if expansion > 1:
        conv = layers.Conv2D(width * expansion, 1, use_bias=False, name=f"{prefix}expand_conv")
        x = _conv_bn(x, f"{prefix}expand", conv)
    conv = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{prefix}depthwise_conv"
    )
    x = _conv_bn(x, f"{prefix}depthwise", conv)
    conv = layers.Conv2D(filters, 1, use_bias=False, name=f"{prefix}project_conv")
    x = _conv_bn(x, f"{prefix}project", conv, activation=False)
    same_shape = stride == 1 and width == filters
    return layers.Add(name=f"{prefix}add")([start, x]) if same_shape else x


def _torch_names() -> dict[str, str]:
    """Keras layer -> prefix of its tensors in the weight file."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    blocks = [
        f"block{stage}{'abcd'[repeat]}_"
        for stage, (repeats, *_) in enumerate(STAGES, 1)
        for repeat in range(repeats)
    ]
    for number, block in enumerate(blocks):
        for bn, part in enumerate(("expand", "depthwise", "project")):
            names[f"{block}{part}_conv"] = f"_blocks.{number}._{part}_conv"
            names[f"{block}{part}_bn"] = f"_blocks.{number}._bn{bn}"
    return names | {"top_conv": "_conv_head", "top_bn": "_bn1", "predictions": "_fc"}


def _parts(layer: layers.Layer) -> list[tuple[str, tuple[int, ...]]]:
    """The tensors of a layer in Keras' order, each with the axes that bring it into Keras' form."""
    if isinstance(layer, layers.BatchNormalization):
        return [(part, (0,)) for part in ("weight", "bias", "running_mean", "running_var")]
    if isinstance(layer, layers.Dense):
        return [("weight", (1, 0)), ("bias", (0,))]
    if isinstance(layer, layers.DepthwiseConv2D):  # (channels, 1, h, w) -> (h, w, channels, 1)
        return [("weight", (2, 3, 0, 1))]
    return [("weight", (2, 3, 1, 0))]  # (out, in, h, w) -> (h, w, in, out)


def _assign(model: keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Give each layer its tensors; a weight or a tensor without a partner is an error."""
    names = _torch_names()
    left = {key: x for key, x in tensors.items() if not key.endswith(".num_batches_tracked")}
    for layer in (layer for layer in model.layers if layer.weights):
        keys = {f"{names[layer.name]}.{part}": axes for part, axes in _parts(layer)}
        if missing := sorted(keys.keys() - left.keys()):
            raise ValueError(f"the weight file lacks {missing}, which {layer.name!r} needs")
        layer.set_weights([left.pop(key).transpose(axes) for key, axes in keys.items()])
    if unused := sorted(key for key in left if not key.startswith("_fc.")):
        raise ValueError(f"the weight file has {len(unused)} tensors no layer takes: {unused[:5]}")
