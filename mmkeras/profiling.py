"""Where the time of a run goes: TensorFlow's profiler, added up per kind of operation.

Derived in chapter 08.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf


def shares_of_time(run: Callable[[], Any]) -> pd.Series:
    """How the time of a run is divided among the kinds of TensorFlow operations in it.

    Where the processor allows it, TensorFlow computes convolutions and matrix products by kernels
    of the library oneDNN, named `_MklNativeConv2D` and the like. They count under the plain name.
    What ran outside TensorFlow, such as Python, is not counted.

    Args:
        run: called once, without arguments. Call it before by yourself, or the time in which
            TensorFlow prepares the computation is counted too.

    Returns:
        kind of operation, such as "Conv2D" → its share, from 0 to 1; the largest first. They sum
        to 1. Operations that run at the same time count one by one.

    Raises:
        ValueError: if no operation of TensorFlow ran.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space, busy = xplane_pb2.XSpace(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:  # operations are named "name:Kind"
                kind = plane.event_metadata[event.metadata_id].name.rpartition(":")[2]
                kind = kind.strip("_").removeprefix("Mkl").removeprefix("Native")
                if hasattr(tf.raw_ops, kind):
                    busy[kind] += event.duration_ps
    if not busy:
        raise ValueError("no operation of TensorFlow ran in this call")
    return pd.Series(dict(busy.most_common())) / sum(busy.values())
