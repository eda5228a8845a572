"""Ready features: a vector → features.

Derived in chapter 06.
"""

import keras
from keras import layers

from ..arguments import check_name, check_positive


def vector_branch(size: int, *, units: int = 64, name: str = "vector") -> keras.Model:
    """Ready features → features; for pretrained embeddings and for rows of a table.

    Input: float (batch, size). Bring the columns of a table to a similar scale first, for example
    with `keras.layers.Normalization`.
    Output: float (batch, units), from one Dense layer with ReLU.

    Args:
        size: number of input features.
        units: width of the output.
        name: name of the model and of its input.

    Raises:
        ValueError: a size that is not a positive integer, or a name that TensorFlow cannot use.
    """
    size, units = check_positive("size", size), check_positive("units", units)
    vector = keras.Input((size,), dtype="float32", name=check_name("name", name))
    features = layers.Dense(units, activation="relu", name="features")(vector)
    return keras.Model(vector, features, name=name)
