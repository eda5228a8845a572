"""Runs that several tests of the commands look at: each is trained once per session."""

import gc
import json
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

# Both are read when the libraries load. What XLA compiles here is called once: it need not be fast.
# And of two threads for each of two workers on two cores, some only wait, at full speed.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A grammar of web addresses that jsonschema, and so nbformat, compiles for a second where it finds
# it; no notebook is checked with it. (nbval loads it before this file is read: -p no:nbval.)
sys.modules.setdefault("rfc3987_syntax", None)

import pytest  # noqa: E402

# The process that only hands the tests to workers reads this file too: pandas, Matplotlib and the
# package are imported where they are used.
HOSTILE = "<script>alert(1)</script>"
# Files that take longest go first, so that no worker is left alone with one of them at the end.
TOGETHER = "train_command predict_command evaluate_command explain_command encoders".split()
TOGETHER += "export_command serve serve_processes serve_secrets training session".split()
TOGETHER += "predict_blocks owner_alone forget people data_card incident many_classes".split()
SCENES = "scenes scenes_tables explanation_tables".split()
LONGEST = ["battery", *TOGETHER, "distributed", "fine_tune_command", "formats", *SCENES]
LONGEST += "pretrained_whisper wheel pretrained explain winner_exports generation".split()
LONGEST += "fusion models notebook_tool browser retrieval missing finetune_tables table".split()
GROUPS = {f"test_{name}": "together" for name in TOGETHER}
GROUPS |= {f"test_{name}": "scenes" for name in SCENES}  # the colours of drawings are found once


def pytest_collection_modifyitems(items):
    places = {f"test_{name}": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_make_scheduler(config, log):
    """A file to a worker, as `--dist loadfile` has it, and what shares runs or forks together."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return GROUPS.get(Path(file).stem, file)

    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish():
    """Garbage is looked for among what the tests make, not among the libraries, and less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def plain_graphs():
    """TensorFlow runs each graph as it was written down, and does not look for a quicker one.

    The search takes a quarter of the time of a first `fit`, and most graphs here run a few times.
    What runs in processes of its own, and every notebook, has it.
    """
    if tf := sys.modules.get("tensorflow"):  # some test of this process needs it
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture
def eager():
    """`fit` and `predict` without graphs: to write one takes a second, and here few steps follow.

    Not for what compares bits with a run that has graphs, nor for all runs of a kind.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions")
        yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def load_once():
    """`run.load`, each model once: its first prediction takes a second to trace."""
    from mmkeras.table import run

    real, loaded = run.load, {}

    def load(folder):
        file = folder.resolve() / "model.keras"
        key = (file, file.stat().st_mtime_ns) if file.exists() else None
        if key not in loaded:
            loaded[key] = real(folder)[0]
        return loaded[key], run.read_settings(folder)

    return load


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory, load_once):
    """Decoded copies go where they vanish again; a model that was loaded is kept.

    No asset is in this cache, and none may be fetched into it.
    """

    def refuse(asset, folder):
        raise AssertionError(f"{asset.name} would be fetched into an empty cache: see own_cache")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmkeras.assets.cache.download", refuse)
        patch.setenv("MMKERAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("mmkeras.table.run.load", load_once)
        yield


@pytest.fixture
def short_page(monkeypatch):
    """A report of nothing but its title, where a test does not look at it: it takes a second."""
    monkeypatch.setattr("mmkeras.table.report.SECTIONS", ())


@pytest.fixture
def tiny(monkeypatch):
    """See tiny_encoders.py."""
    from tiny_encoders import install

    install(monkeypatch)


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """See forks.py; with the environment of a user who leaves oneDNN to TensorFlow."""
    from forks import Forks

    own = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    root = str(Path(__file__).resolve().parents[1])
    made = Forks(tmp_path_factory.mktemp("forks"), {**own, "PYTHONPATH": root})
    yield made
    made.close()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A sample set with one bad row and one hostile text, trained on for a few epochs."""
    import command_line

    from mmkeras.table import weather

    folder = tmp_path_factory.mktemp("data") / "weather"
    data = weather.write(folder, rows=61, new=9)

    def spoil(rows):
        rows[3][0] = HOSTILE  # row 4
        rows[61][1] = "pictures/gone.png"  # row 62

    command_line.change(data, spoil)
    status, out, err = command_line.call(
        *("train", data, "--label", "label", "--epochs", 6, "--image-encoder", "small"),
        *("--no-cache", "--skip-bad-rows", "--seed", 3, "--show-rows"),
    )
    assert status == 0, err
    made = folder / "run"
    loaded = {
        name: json.loads((made / f"{name}.json").read_text("utf-8"))
        for name in ("settings", "metrics")
    }
    html = (made / "report.html").read_text("utf-8")
    return SimpleNamespace(folder=folder, data=data, run=made, out=out, html=html, **loaded)


@pytest.fixture(scope="session")
def frozen(tmp_path_factory):
    """A sample set with gaps, on which tiny encoders and small heads have competed."""
    import command_line
    import keras
    from tiny_encoders import install

    from mmkeras.table import weather

    data = weather.write(tmp_path_factory.mktemp("frozen") / "set", rows=40, new=6)
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        patch.setattr("mmkeras.table.report.SECTIONS", ())
        keras.utils.set_random_seed(0)  # of the tiny encoders
        status, out, err = command_line.call(
            *("train", data, "--encoders", "pretrained", "--audio-seconds", ".5"),
            *("--image-size", 32),
        )
    assert status == 0, err
    return SimpleNamespace(data=data, run=data.parent / "run", out=out)


@pytest.fixture(scope="session")
def two_seeds(tmp_path_factory):
    """A table of numbers, trained with two seeds for three epochs, never stopped."""
    import command_line

    from mmkeras.table import run

    folder = tmp_path_factory.mktemp("orders")
    data = command_line.write(folder / "data.csv", command_line.orders())
    arguments = ["train", data, "--epochs", 3, "--seeds", 2, "--ignore", "order"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mmkeras.table.report.SECTIONS", ()
        )  # nobody looks at it, and it takes a second
        status, out, err = command_line.call(*arguments)
    assert status == 0, err
    metrics = json.loads((folder / "run" / "metrics.json").read_text("utf-8"))
    return SimpleNamespace(
        folder=folder, data=data, run=folder / "run", out=out, arguments=arguments,
        metrics=metrics, seeds=[run.seed_folder(folder / "run", seed) for seed in (0, 1)],
    )  # fmt: skip
