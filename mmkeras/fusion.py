"""Fusion: several feature vectors become one."""

from collections.abc import Callable, Mapping, Sequence

import keras

METHODS: dict[str, Callable[[], keras.layers.Layer]] = {
    "concatenate": lambda: keras.layers.Concatenate(name="fusion"),
}


def fuse(
    features: Mapping[str, keras.KerasTensor] | Sequence[keras.KerasTensor],
    method: str | keras.layers.Layer = "concatenate",
) -> keras.KerasTensor:
    """Join the features of several modalities into one vector.

    Args:
        features: the branches' outputs, (batch, d_m) each, as a list or a dict by modality; one is
            enough.
        method: "concatenate": all features side by side, (batch, d_1 + … + d_M), no weights; or any
            Keras layer that takes the list of features and gives one tensor.

    Returns:
        The joint representation, (batch, d).

    Raises:
        ValueError: no features, an unknown method, or features that are not (batch, d).
    """
    if not isinstance(features, Mapping):
        features = {f"feature {i}": x for i, x in enumerate(features)}
    if not features:
        raise ValueError("there is nothing to fuse: give at least one feature tensor")
    for name, x in features.items():
        if len(x.shape) != 2 or x.shape[-1] is None:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}; fusion needs (batch, d) with a known d: "
                "end the branch with pooling such as keras.layers.GlobalAveragePooling2D"
            )
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(
                f"unknown fusion {method!r}; choose {', '.join(map(repr, METHODS))}, "
                "or pass a layer"
            )
        method = METHODS[method]()
    tensors = list(features.values())
    if isinstance(method, keras.layers.Concatenate) and len(tensors) == 1:
        return tensors[0]  # Keras refuses to concatenate one tensor
    return method(tensors)
