"""Which layers are trained, and that a compiled model is not trained as before without a word."""

import keras
import numpy as np
import pytest

import mmkeras as mm
from mmkeras.pretrained import bert_encoder, unfreeze

IDS = np.array([[3, 7, 2, 0], [5, 1, 9, 4]], "int32")
X = {"text": IDS, "vector": np.eye(2, dtype="float32")}
Y = np.array([0, 1])


def text():
    model = bert_encoder(4, vocabulary_size=12, units=4, heads=2, blocks=2)
    model.trainable = False  # as the pretrained ones come
    return model


def joint(branch):
    return mm.multimodal_model([branch, mm.vector_branch(2, units=3)], {"y": 2})


def compiled(model):
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=True)
    return model


def trained(encoder):
    """The layers of which something is trained."""
    return [layer.name for layer in encoder.layers if layer.trainable_weights]


@pytest.fixture(scope="module")
def encoder():
    return text()


@pytest.mark.parametrize(
    ("top", "names"),
    [
        (0, []),
        (1, ["block_2"]),
        (2, ["block_1", "block_2"]),
        (None, ["norm", "block_1", "block_2"]),
    ],
)
def test_the_last_blocks_of_an_encoder(encoder, top, names):
    unfreeze(encoder, top=2 if top == 1 else 1)
    numbers = unfreeze(encoder, top)
    assert trained(encoder) == names
    assert numbers == sum(encoder.get_layer(name).count_params() for name in names)


def weights_moved(model, encoder):
    before = encoder.get_weights()
    model.fit(X, Y, verbose=0)
    pairs = zip(encoder.weights, before, encoder.get_weights(), strict=True)
    return {weight.path.split("/")[0] for weight, a, b in pairs if not np.array_equal(a, b)}


def test_a_compiled_model_asks_to_be_compiled_anew():
    """In the branch or in the whole: what is trained moves, what is frozen does not at all."""
    branch = text()
    model = compiled(joint(branch))
    heads = sum(w.numpy().size for w in model.trainable_weights)
    assert weights_moved(model, branch) == set()
    numbers = unfreeze(model, top=1)
    assert numbers == heads + branch.get_layer("block_2").count_params()
    with pytest.raises(ValueError, match="You must call `compile"):
        model.fit(X, Y, verbose=0)
    assert weights_moved(compiled(model), branch) == {"block_2"}
    unfreeze(model, top=1)  # nothing has changed
    model.fit(X, Y, verbose=0)
    unfreeze(model, top=0)
    assert weights_moved(compiled(model), branch) == set()
    unfreeze(branch, top=2)  # the branch alone: the joint model cannot know
    assert weights_moved(compiled(model), branch) == {"block_1", "block_2"}


def test_what_is_frozen_is_still_frozen_in_a_loaded_model(tmp_path):
    model = compiled(joint(text()))
    unfreeze(model, top=1)
    model.save(tmp_path / "joint.keras")
    again = keras.saving.load_model(tmp_path / "joint.keras")
    assert trained(again.get_layer("text_encoder")) == ["block_2"]
    assert len(again.trainable_weights) == len(model.trainable_weights)
    assert unfreeze(again, top=2) > unfreeze(again, top=1)
    assert trained(again.get_layer("text_encoder")) == ["block_2"]


def test_lora_and_models_without_blocks_are_refused(encoder):
    for top in (-1, 3, 1.5, True):
        with pytest.raises(ValueError, match="top must be an integer from 0 to 2"):
            unfreeze(encoder, top)
    with pytest.raises(ValueError, match="no encoder"):
        unfreeze(mm.text_branch(12, 4))
    unfreeze(encoder, top=1)
    encoder.get_layer("block_2").attention.query_dense.enable_lora(rank=1)
    with pytest.raises(ValueError, match="'query' has LoRA: call unfreeze before enable_lora"):
        unfreeze(encoder, top=2)
