"""The base of layers that are made of layers, and the type of what layers take and give."""

from typing import Any

import keras

Tensor = Any  # a symbolic keras.KerasTensor, or a tensor of the backend


class Composite(keras.layers.Layer):
    """A layer that owns layers, and that can be quantized, saved and loaded.

    A subclass makes its sublayers in `build`, each with `dtype=self.policy(name)`. Keras quantizes
    them one by one. The config says by path which ones are quantized, in a `DTypePolicyMap`, as the
    backbones of KerasHub do, so that they are built with the right variables before these are read.
    """

    def policy(self, name: str) -> Any:
        """The dtype policy for a sublayer of this name: its own if it was quantized, else ours."""
        own = self.dtype_policy
        path = f"{self.path}/{name}"
        if not isinstance(own, keras.dtype_policies.DTypePolicyMap):
            return own
        if any(key.startswith(f"{path}/") for key in own):  # the sublayer owns layers itself
            return own
        return own[path]

    def build_from_config(self, config: dict[str, Any]) -> None:
        """As Keras' own; the sublayers of a frozen layer that is loaded are frozen, too."""
        super().build_from_config(config)
        if not self.trainable:  # type: ignore[has-type]
            self.trainable = True  # Keras does nothing where the value is the same
            self.trainable = False

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        own = self.dtype_policy
        if isinstance(own, keras.dtype_policies.DTypePolicyMap):
            own = own.default_policy
        policies = keras.dtype_policies.DTypePolicyMap(default_policy=own.name)
        for layer in self._flatten_layers(include_self=False):
            if layer.quantization_mode is not None:
                policies[layer.path] = layer.dtype_policy
        config["dtype"] = keras.dtype_policies.serialize(policies if len(policies) else own)
        return config
