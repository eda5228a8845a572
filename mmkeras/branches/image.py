"""Pictures: pixels → features.

Derived in chapter 03.
"""

import keras
from keras import layers

from ..arguments import check_name, check_positive, choose
from .parts import FEW_STEPS, Tensor, features_of

PATCH = 4  # side of one patch in pixels


def picture_features(x: Tensor, units: int, tokens: bool) -> Tensor:
    """(batch, rows, columns, d) → features of the average over all places, or of each place."""
    if tokens:
        x = layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]), name="places")(x)
    return features_of(x, layers.GlobalAveragePooling2D(name="average"), units, tokens)


def _image_conv(x: Tensor, units: int, tokens: bool) -> Tensor:
    """The first convolution halves the picture, so that no map is large; the rest is as in VGG."""
    for i, (filters, stride) in enumerate(((32, 2), (64, 1), (128, 1)), start=1):
        x = x if i == 1 else layers.MaxPooling2D(2, name=f"pool{i - 1}")(x)
        x = layers.Conv2D(
            filters, 3, strides=stride, padding="same", use_bias=False, name=f"convolution{i}"
        )(x)
        x = _settled(x, i)
    return picture_features(x, units, tokens)


def _image_small(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = strided(x, (8, 16, 32), (5, 3, 3))
    return picture_features(x, units, tokens)


def strided(x: Tensor, filters: tuple[int, ...], kernels: tuple[int, ...]) -> Tensor:
    """Convolutions of which each halves the picture, so that no map is large."""
    for i, (n, kernel) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = layers.Conv2D(
            n, kernel, strides=2, padding="same", use_bias=False, name=f"convolution{i}"
        )(x)
        x = _settled(x, i)
    return x


def _settled(x: Tensor, i: int) -> Tensor:
    x = layers.BatchNormalization(momentum=FEW_STEPS, name=f"norm{i}")(x)
    return layers.ReLU(name=f"relu{i}")(x)


def _image_stack(x: Tensor, units: int, tokens: bool) -> Tensor:
    for i, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"convolution{i}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{i}")(_settled(x, i))
    return picture_features(x, units, tokens)


def _image_patch(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = layers.Conv2D(64, PATCH, strides=PATCH, padding="same", name="patches")(x)
    x = _mix(x, 64, "mix1")
    x = layers.Conv2D(128, 2, strides=2, padding="same", name="merge")(x)
    x = _mix(x, 128, "mix2")
    return picture_features(x, units, tokens)


def _mix(x: Tensor, filters: int, name: str) -> Tensor:
    """Mix neighbours first, then channels: a cheap form of ConvMixer (Trockman & Kolter 2022)."""
    h = layers.DepthwiseConv2D(5, padding="same", name=f"{name}_neighbours")(x)
    h = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(h)
    return layers.Dense(filters, activation="gelu", name=f"{name}_channels")(h)


IMAGE_ENCODERS = {
    "conv": _image_conv,
    "small": _image_small,
    "stack": _image_stack,
    "patch": _image_patch,
}
SMALLEST = {"conv": 8, "small": 8, "stack": 8, "patch": PATCH}  # pixels per side


def image_branch(
    shape: tuple[int, int, int],
    *,
    encoder: str = "conv",
    units: int = 64,
    tokens: bool = False,
    name: str = "image",
) -> keras.Model:
    """Pixels → features.

    Input: (batch, height, width, channels), 0 to 255, uint8 or float; scaled to [-1, 1] inside.
    Output: float (batch, units); with tokens (batch, places, units), row by row.

    Args:
        shape: (height, width, channels) of one picture.
        encoder: "conv" (three 3×3 convolutions of 32, 64 and 128 filters, each with batch
            normalisation; the first has stride 2, and 2×2 max pooling halves the next two maps),
            "small" (8, 16 and 32 filters, the first of 5×5, all with stride 2), "stack" (as "conv",
            but all three at full resolution with a pooling after each, as in VGG, Simonyan &
            Zisserman 2015; it takes five times as long) or "patch" (4×4 patches, then depthwise 5×5
            and pointwise mixing; as cheap as "conv", and less accurate on emoji).
        units: width of the output.
        tokens: keep one vector per place of the last feature map, for a fusion that attends to
            them.
        name: name of the model and of its input.

    Raises:
        ValueError: an unknown encoder, a shape that is not three positive integers, a picture that
            is too small for the encoder, or a name that TensorFlow cannot use.
    """
    build = choose("encoder", encoder, IMAGE_ENCODERS)
    units = check_positive("units", units)
    check_name("name", name)
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(
            f"shape must be (height, width, channels), such as (48, 48, 3); got {shape!r}"
        )
    height, width, channels = (check_positive("each part of shape", n) for n in shape)
    if min(height, width) < SMALLEST[encoder]:
        raise ValueError(
            f"a picture of {height}×{width} is too small for encoder {encoder!r}, "
            f"which needs at least {SMALLEST[encoder]}×{SMALLEST[encoder]} pixels"
        )
    pixels = keras.Input((height, width, channels), dtype="float32", name=name)
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)
    return keras.Model(pixels, build(scaled, units, tokens), name=name)
