"""What a training step of TensorFlow needs beside the model: where variables and gradients belong.

Other backends of Keras need none of it. Derived in chapter 20 (the weights n / N).
"""

import contextlib
from collections.abc import Callable
from typing import Any

import keras


def beside_the_trace() -> Any:
    """A scope in which the variables of losses and metrics are created outside of the step.

    Keras creates them in the first step, and TensorFlow traces a step that creates variables twice.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    def make(create: Callable[..., Any], **how: Any) -> Any:
        with tf.init_scope():
            return create(**how | {"experimental_enable_variable_lifting": False})

    return tf.variable_creator_scope(make)


def as_in_the_whole_batch(loss: Any, answers: Any) -> Any:
    """The loss of one replica's rows, with the gradient that these rows have in the whole batch.

    Keras averages the gradients of R replicas, so that each has the weight 1 / R. Where the rows of
    a batch cannot be divided evenly, as in the last batch of most epochs, that is wrong: a replica
    with n of the N rows must have the weight n / N. So its gradient is multiplied by R n / N here,
    and its value, which Keras weighs rightly, is kept. Without replicas nothing changes.

    Args:
        loss: scalar tensor, the mean loss of the rows of this replica, divided by R.
        answers: what the model gave, a tensor (n, …), or a structure of such.
    """
    if keras.backend.backend() != "tensorflow":
        return loss
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return loss
    rows = tf.cast(tf.shape(keras.tree.flatten(answers)[0])[0], loss.dtype)
    share = rows / replica.all_reduce(tf.distribute.ReduceOp.SUM, rows)
    weighed = loss * share * float(replica.num_replicas_in_sync)
    return tf.stop_gradient(loss - weighed) + weighed
