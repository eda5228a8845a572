"""The shares of the time that the kinds of operations take."""

import numpy as np
import pytest
import tensorflow as tf

from mmkeras.profiling import shares_of_time


@tf.function
def products(a: tf.Tensor) -> tf.Tensor:
    for _ in range(5):
        a = tf.linalg.matmul(a, a) / 1000.0
    return tf.nn.relu(a)


def test_the_largest_share_is_that_of_the_costly_operation():
    a = tf.ones((300, 300))
    products(a)
    shares = shares_of_time(lambda: products(a))
    assert shares.index[0] == "MatMul"  # 5 x 27 million products beside 5 x 90,000 divisions
    assert "Relu" in shares.index
    assert shares["Relu"] < 0.5
    assert np.isclose(shares.sum(), 1)
    assert shares.is_monotonic_decreasing


def test_convolutions_of_onednn_have_their_plain_name():
    image, kernel = tf.ones((8, 32, 32, 3)), tf.ones((3, 3, 3, 8))
    step = tf.function(lambda: tf.nn.conv2d(image, kernel, 1, "SAME"))
    step()
    assert "Conv2D" in shares_of_time(step).index


def test_a_run_without_operations_is_refused():
    with pytest.raises(ValueError, match="no operation of TensorFlow ran"):
        shares_of_time(lambda: None)
