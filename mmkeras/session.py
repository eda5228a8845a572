"""One call at the top of every notebook: it sets seeds, determinism and precision."""

import contextlib
import gc
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

_deterministic = False  # whether start() has switched it on: TensorFlow has no way back
_frozen = False  # whether what start() imports is exempt from garbage collection


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what C++ code writes to file descriptor 2, and print it if the block fails.

    While TensorFlow is being imported, it prints a few lines before its log level takes effect,
    such as that oneDNN is on, or that there is no GPU.
    """
    if sys.stderr is not None:  # it is None under pythonw
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no file descriptor 2 (pythonw on Windows): nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # not Ctrl-C, which these lines do not explain
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage in this block, and never in what was alive at its end.

    The half million objects that TensorFlow and Keras create during their import stay alive until
    the process ends. Python's garbage collector would go through all of them several times during
    the import and again while models are traced, which takes a second or more of a notebook.
    """
    global _frozen
    if _frozen or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
        _frozen = True
    finally:
        gc.enable()


def start(
    seed: int = 0,
    *,
    precision: str = "float32",
    deterministic: bool = True,
    blas_threads: int | None = 1,
) -> None:
    """Prepare a notebook or script: the same run gives the same numbers on the same machine.

    That holds in every new process, as long as the number of cores stays the same. Another number
    of cores, another processor or GPU, or `TF_ENABLE_ONEDNN_OPTS=0` in the environment, which
    replaces TensorFlow's oneDNN kernels by older and slower ones, changes the order in which
    numbers are added, so that the last digits differ.

    The call seeds Python, NumPy and TensorFlow, switches on deterministic operations, sets the
    dtype policy of layers built afterwards, registers the classes of this package with Keras, so
    that `keras.saving.load_model` knows them, and prints one line with versions, device and seed.

    Args:
        seed: int in [0, 2**32), for Python's `random`, NumPy and TensorFlow.
        precision: a Keras dtype policy: "float32", or on a GPU "mixed_float16" or "mixed_bfloat16".
        deterministic: whether every TensorFlow operation gives the same bits in every run, which
            makes some GPU kernels slower. Once on, it stays on for this process, because
            TensorFlow cannot switch it off.
        blas_threads: on how many cores the matrix products of NumPy and SciPy may compute; None
            leaves that as it is. In products as small as those of the course more threads mostly
            wait for each other, at full speed, and take the cores from TensorFlow, whose own
            threads this does not concern.

    Raises:
        ValueError: a seed out of range, an unknown precision, or `blas_threads` below 1.
        RuntimeError: Keras was already imported with a backend other than TensorFlow.
    """
    global _deterministic
    from .arguments import check_positive, check_seed

    seed = check_seed(seed)
    if blas_threads is not None:
        check_positive("blas_threads", blas_threads)
    known = ("float32", "mixed_float16", "mixed_bfloat16")
    if precision not in known:
        raise ValueError(f"precision must be one of {', '.join(known)}, got {precision!r}")
    require_tensorflow()
    with _quiet_stderr(), _without_collection():
        import keras
        import tensorflow as tf

        from . import models, retrieval  # noqa: F401  registers our classes: saved models load
    require_tensorflow()
    tf.get_logger().addFilter(_no_fault)
    if blas_threads is not None:
        _limit_blas(blas_threads)
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
        _deterministic = True
    elif _deterministic:
        warnings.warn(
            "operations stay deterministic: an earlier start() in this process switched that on, "
            "and TensorFlow cannot switch it off; restart Python for deterministic=False",
            stacklevel=2,
        )
    print(_banner(keras.__version__, tf.__version__, seed, precision))


def _limit_blas(threads: int) -> None:
    import scipy.linalg  # noqa: F401  SciPy has a BLAS of its own, which must be loaded by then
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")  # holds until somebody sets another limit


def _no_fault(record: logging.LogRecord) -> bool:
    """False for TensorFlow's warning that functions are traced often, which says little here.

    It counts the predictions of all models of a process together, so that five models that answer
    once each look to it like one that is traced five times. How many were counted also depends on
    which features were in the cache, so that a notebook would print it in one run, not in another.
    """
    return "triggered tf.function retracing" not in record.getMessage()


def require_tensorflow() -> None:
    """Raise RuntimeError if Keras runs, or would run, on a backend other than TensorFlow."""
    loaded = sys.modules.get("keras")
    backend = loaded.backend.backend() if loaded else os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise RuntimeError(
            f"mmkeras needs Keras on TensorFlow, but Keras is set to {backend!r}. "
            "Unset KERAS_BACKEND, restart Python, and import mmkeras before keras."
        )


def _banner(keras_version: str, tensorflow_version: str, seed: int, precision: str) -> str:
    from . import __version__

    line = (
        f"mmkeras {__version__} | TensorFlow {tensorflow_version}, Keras {keras_version} "
        f"| {device()} | seed {seed}"
    )
    return line if precision == "float32" else f"{line} | {precision}"


def device() -> str:
    """The device on which TensorFlow computes, such as "CPU, 2 cores" or "NVIDIA A100"."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [
            tf.config.experimental.get_device_details(g).get("device_name", g.name) for g in gpus
        ]
        return ", ".join(names)
    number = cores()
    return f"CPU, {number} core{'' if number == 1 else 's'}"


def cores() -> int | None:
    """The number of cores that this process may use; None if the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
