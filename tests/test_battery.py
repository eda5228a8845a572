"""Every class and builder of the package in the battery: one line each."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import battery
import keras
import numpy as np
import pytest
from battery import Case
from keras import layers

import mmkeras as mm
from mmkeras.attention import AttentionBlock, MultiHeadAttention, PositionEmbedding
from mmkeras.branches import MeanAndSpread, Standardise, TfIdfSum
from mmkeras.fusion import METHODS, DecisionFusion
from mmkeras.generation import captioner
from mmkeras.missing import BlankAbsent, ModalityDropout
from mmkeras.pretrained.whisper import Sizes, encoder
from mmkeras.retrieval import two_tower

RNG = np.random.default_rng(0)
N, U = 4, 8
IDS = np.array([[3, 7, 2, 0, 0, 0], [0] * 6, [5, 1, 9, 4, 2, 8], [0, 0, 6, 0, 3, 0]], "int32")
PIXELS = (
    RNG.integers(0, 256, (N, 8, 8, 3)).astype("uint8")
    * np.array([1, 0, 1, 1], "uint8")[:, None, None, None]
)
CLIPS = (RNG.uniform(-1, 1, (N, 800)) * [[1], [0], [0.1], [1]]).astype("float32")
VECTORS = RNG.normal(size=(N, 5)).astype("float32")
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0]], "float32")

# ------------------------------------------------------------------------------ branches

NO_FLEX = {"litert": "TensorFlow inside"}
KEYS = ("key/bias",)  # it shifts all scores of a query alike, and softmax does not see that


def branch(kind: str, x: np.ndarray, *args: Any, **settings: Any) -> Any:
    """A line of a branch: how it is built, on which input, and what else the battery must know."""
    own = {key: settings.pop(key) for key in ("encoder", "tokens") if key in settings}
    builder = getattr(mm, f"{kind}_branch")
    return Case(lambda: builder(*args, units=U, **own), {kind: x}, **settings)


def text(encoder: str, **settings: Any) -> Case:
    return branch("text", IDS, 12, 6, encoder=encoder, **settings)


def image(encoder: str, **settings: Any) -> Case:
    return branch("image", PIXELS, (8, 8, 3), encoder=encoder, **settings)


def audio(encoder: str, **settings: Any) -> Case:
    return branch("audio", CLIPS, 800, 8000, encoder=encoder, **settings)


# Of tokens only what has layers of its own: the others share the last layer, see test_branches.py.
BRANCHES = {
    "text_average": text("average"),
    "text_lstm": text("lstm", refused=NO_FLEX),
    "text_lstm_tokens": text("lstm", tokens=True, refused=NO_FLEX),
    "text_conv": text("conv"),
    "text_transformer": text("transformer", idle=KEYS),
    "image_conv": image("conv"),
    "image_conv_tokens": image("conv", tokens=True),
    "image_small": image("small"),
    "image_stack": image("stack"),
    "image_patch": image("patch"),
    "audio_conv": audio("conv"),
    "audio_gru": audio("gru", refused=NO_FLEX, int8=False),
    "audio_transformer": audio("transformer", idle=KEYS),
    "signal": branch("signal", CLIPS, 800),
    "vector": branch("vector", VECTORS, 5),
}

# ------------------------------------------------------------------------------ fusions

FLAT = {f"x{m}": RNG.normal(size=(N, d)).astype("float32") for m, d in enumerate((3, 5, 4))}
LONG = {
    f"x{m}": RNG.normal(size=(N, t, d)).astype("float32")
    for m, (t, d) in enumerate(((4, 3), (2, 5)))
}
LONG["x0"][:, 2:] = 0  # padding
LONG["x1"][2] = 0  # nothing but padding
CHANCES = {f"x{m}": RNG.dirichlet(np.ones(4), N).astype("float32") for m in range(3)}

ODDS = {name: p[:, :1] for name, p in CHANCES.items()}


def fused(layer: Callable[[], Any], x: dict[str, np.ndarray], **more: Any) -> Case:
    """A fusion, as `fuse` calls it, with a mask."""

    def build() -> keras.Model:
        inputs = [keras.Input(v.shape[1:], name=name) for name, v in x.items()]
        present = keras.Input((len(x),), name="present")
        return keras.Model([*inputs, present], mm.fuse(inputs, layer(), present))

    return Case(build, {**x, "present": PRESENT[:, : len(x)]}, **more)


FUSIONS = {
    "concatenate": fused(METHODS["concatenate"], FLAT, int8=False),
    "weighted_sum": fused(lambda: METHODS["weighted_sum"](U), FLAT),
    "product": fused(lambda: METHODS["product"](U), FLAT),
    "gated": fused(lambda: METHODS["gated"](U), FLAT),
    "attention": fused(lambda: METHODS["attention"](U), FLAT),
    "tensor": fused(lambda: METHODS["tensor"](4), FLAT),
    "low_rank": fused(lambda: METHODS["low_rank"](U, rank=3), FLAT),
    "cross_attention": fused(lambda: METHODS["cross_attention"](U), LONG),
    "bottleneck": fused(lambda: METHODS["bottleneck"](U), LONG),
    "decision_average": fused(DecisionFusion, CHANCES, int8=False),
    "decision_product": fused(lambda: DecisionFusion("product"), CHANCES, int8=False),
    "decision_product_binary": fused(lambda: DecisionFusion("product"), ODDS, int8=False),
    "decision_learned": fused(lambda: DecisionFusion("learned"), CHANCES, int8=False),
}

# ------------------------------------------------------------------------------ other layers

X, MEMORY = (RNG.normal(size=shape).astype("float32") for shape in ((N, 5, U), (N, 3, 6)))
SEEN = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0]], "float32")


def called(layer: Callable[[], Any], *arrays: np.ndarray, mask: Any = None, **more: Any) -> Case:
    """A layer on its inputs."""
    x = {f"x{i}": value for i, value in enumerate(arrays)}
    if mask is not None:
        x["mask"] = mask

    def build() -> keras.Model:
        inputs = [keras.Input(v.shape[1:], dtype=v.dtype, name=name) for name, v in x.items()]
        return keras.Model(inputs, layer()(*inputs))

    return Case(build, x, **more)


def hidden() -> Callable[..., Any]:
    """Modality dropout on two features and a mask, with a dense layer behind what it gives."""

    def call(a: Any, b: Any, present: Any) -> Any:
        filled, mask = ModalityDropout(0.3, seed=1)([a, b], present=present)
        return layers.Concatenate()([*filled, mask])

    return call


def whole(**settings: Any) -> Callable[[], keras.Model]:
    """A model of three branches and three heads, whose answers stand side by side."""

    def build() -> keras.Model:
        branches = [mm.text_branch(12, 6, units=U), mm.vector_branch(5, units=U)]
        head = layers.Dense(3, dtype="float32", name="logits")
        heads = {"ill": "binary", "group": np.int64(4), "logits": head}
        m = mm.multimodal_model(branches, heads, **settings)
        return keras.Model(m.inputs, layers.Concatenate()(list(m.outputs)))

    return build


def towers(**settings: Any) -> Callable[[], keras.Model]:
    """Two branches as towers."""
    return lambda: two_tower([mm.text_branch(12, 6), mm.vector_branch(5)], **settings)


FED = {"text": IDS, "vector": VECTORS}
PARTS = {
    "attention_block": called(lambda: AttentionBlock(4), X),
    "causal_block": called(lambda: AttentionBlock(2, "silu", True, causal=True), X, idle=KEYS),
    "cross_block": called(lambda: AttentionBlock(4), X, MEMORY, mask=SEEN),
    "multi_head_attention": called(lambda: MultiHeadAttention(3), X, MEMORY, mask=SEEN),
    "position_embedding": called(PositionEmbedding, X, int8=False),
    "blank_absent": called(lambda: BlankAbsent(1), VECTORS, mask=PRESENT, int8=False),
    "modality_dropout": called(hidden, VECTORS, VECTORS, mask=PRESENT[:, :2], int8=False),
    "standardise": called(Standardise, VECTORS, int8=False),
    "tf_idf_sum": called(lambda: TfIdfSum(12, U), IDS, int8=False),
    "mean_and_spread": called(MeanAndSpread, X, int8=False),
    "heads": Case(whole(), FED),
    "gaps": Case(whole(fusion="gated", missing=True), {**FED, "present": PRESENT[:, :2]}),
    "towers": Case(towers(units=U, temperature=0.5), FED),
    "towers_bias": Case(towers(units=None, temperature=0.5, bias=-2), FED),
    "captioner": Case(
        lambda: captioner(12, 6, MEMORY.shape[1:], units=U, heads=2, blocks=1),
        {"tokens": IDS, "memory": MEMORY},
    ),
    "votes": Case(whole(fusion="decision", missing="zero"), {**FED, "present": PRESENT[:, :2]}),
}

LARGE = RNG.integers(0, 256, (N, 32, 32, 3)).astype("float32")  # the least that it takes
SIZES = Sizes(U, heads=2, blocks=1, bands=10, frames=3)  # of a Whisper
STATES = RNG.normal(size=(N, 6, U)).astype("float32") * (IDS > 0)[..., None]


def minilm(x: np.ndarray, case: dict[str, Any], **settings: Any) -> Case:
    """The network of `minilm_l6`, small, with other weights."""
    size = {"vocabulary_size": 12, "units": U, "heads": 2, "blocks": 1}
    build = functools.partial(mm.pretrained.bert_encoder, 6, **size, **settings)
    return Case(build, {"text": x}, **case)


PRETRAINED = {
    "efficientnet_lite0": Case(
        lambda: mm.pretrained.efficientnet_lite0((32, 32, 3), trainable=True),
        {"pixels": LARGE},
        idle=("project_bn/beta",),  # the next BatchNorm takes the mean away
        int8=False,
        noise=0,
    ),
    "whisper": Case(lambda: encoder(800, 1, SIZES), {"audio": CLIPS}, idle=KEYS),
    "minilm_l6": minilm(IDS, {"idle": KEYS}, normalize=True),
    "minilm_l6_after": minilm(STATES, {"int8": False}, after=1, tokens=True),  # no block is left
}

# What LiteRT refuses stands apart: of the rest one SavedModel is written for both formats.
RECURRENT = {name: case for name, case in BRANCHES.items() if "litert" in case.refused}
REST = {name: case for name, case in BRANCHES.items() if name not in RECURRENT}
GROUPS = {
    "branches": REST,
    "recurrent": RECURRENT,
    "fusions": FUSIONS,
    "parts": PARTS,
    "pretrained": PRETRAINED,
}
CASES = {name: battery.Cases(group) for name, group in GROUPS.items()}
each_group = pytest.mark.parametrize("cases", CASES.values(), ids=CASES)


@pytest.fixture(scope="module", autouse=True)
def shapes_remembered() -> Iterator[None]:
    with battery.shapes_remembered():
        yield


@each_group
def test_copied(cases: battery.Cases) -> None:
    battery.check_copies(cases)


@pytest.mark.slow
@each_group
@pytest.mark.parametrize("check", [battery.check_int8, battery.check_lora])
def test_saved(cases: battery.Cases, check: Callable[..., None], tmp_path: Path) -> None:
    check(cases, tmp_path)


def test_every_registered_class_is_in_the_battery() -> None:
    """What is loaded by its name from a file must have been through one here."""
    for module in pkgutil.walk_packages(mm.__path__, "mmkeras."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    registered = {
        kind
        for name, kind in keras.saving.get_custom_objects().items()
        if name.startswith("mmkeras>") and kind.__module__.startswith("mmkeras.")
    }
    losses = {kind for kind in registered if issubclass(kind, keras.Loss)}  # in test_retrieval.py
    models = [cases.model for cases in CASES.values()]
    here = {type(layer) for model in models for layer in [model, *model._flatten_layers()]}
    assert registered and registered - losses <= here


@each_group
@pytest.mark.parametrize("check", [battery.check_half, battery.check_rows, battery.check_gradients])
def test_computed(cases: battery.Cases, check: Callable[..., None]) -> None:
    check(cases)


@pytest.mark.slow
@each_group
def test_compiled(cases: battery.Cases) -> None:
    battery.check_xla(cases)


@pytest.mark.slow
@each_group
@pytest.mark.parametrize("format", battery.FORMATS)
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.filterwarnings("ignore:In the future `np.object`")
def test_exported(cases: battery.Cases, format: str, tmp_path: Path) -> None:
    battery.check_export(cases, format, tmp_path)
