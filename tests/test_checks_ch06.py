"""Chapter 6: answers that a student would give, right ones in several styles and likely slips."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from check_cases import accepted, refused, verdict

import mmkeras as mm
from mmkeras.checks import ch06


def votes(h_text: Any, h_image: Any, kernel: Any, bias: Any) -> tuple:
    cut = h_text.shape[1]
    text, image = h_text @ kernel[:cut], h_image @ kernel[cut:]
    return text, image, text + image + bias


def product(p_text: Any, p_image: Any, prior: Any) -> Any:
    p = p_text * p_image / prior
    return p / p.sum(axis=1, keepdims=True)


def product_in_logs(p_text: Any, p_image: Any, prior: Any) -> Any:
    logits = np.log(p_text) + np.log(p_image) - np.log(prior)
    return keras.ops.softmax(logits, axis=-1)


def unnormalised(p_text: Any, p_image: Any, prior: Any) -> Any:
    return p_text * p_image / prior


def twice(p_text: Any, p_image: Any, prior: Any) -> Any:
    return product(p_text, p_image, np.ones_like(prior))


def model(
    modalities: Sequence[str] = ("text", "image", "name_zh"),
    *,
    trained: bool = True,
    classes: int = 6,
) -> keras.Model:
    branches = {
        "text": lambda: mm.text_branch(1000, 8, units=4),
        "image": lambda: mm.vector_branch(1280, units=4, name="image"),
        "name_zh": lambda: mm.text_branch(800, 8, units=4, name="name_zh"),
    }
    keras.utils.set_random_seed(0)
    made = mm.multimodal_model([branches[name]() for name in modalities], {"group": classes})
    for layer in made._flatten_layers():
        if trained and isinstance(layer, keras.layers.Dense):
            layer.bias.assign(np.full(layer.bias.shape, 0.3))
    return made


def half_trained() -> keras.Model:
    made = model()
    for layer in made.get_layer("name_zh_encoder").layers:
        if isinstance(layer, keras.layers.Dense):
            layer.bias.assign(np.zeros(layer.bias.shape))
    return made


def unjoined() -> keras.Model:
    """Takes the Chinese name, and never looks at it."""
    made = model(["text", "image"])
    name = keras.Input((8,), dtype="int32", name="name_zh")
    return keras.Model([*made.inputs, name], made.output)


def gains(truth: Any, text: Any, image: Any, both: Any, classes: int) -> Any:
    right = [
        [np.mean(said[truth == k] == k) for k in range(classes)] for said in (text, image, both)
    ]
    return np.array(right[2]) - np.maximum(right[0], right[1])


def gains_by_table(truth: Any, text: Any, image: Any, both: Any, classes: int) -> list:
    right = np.array([text == truth, image == truth, both == truth], float)
    out = []
    for k in range(classes):
        of_text, of_image, of_both = right[:, truth == k].mean(axis=1)
        out.append(of_both - max(of_text, of_image))
    return out


def one_baseline(truth: Any, text: Any, image: Any, both: Any, classes: int) -> Any:
    better = max((text, image), key=lambda said: (said == truth).mean())
    return gains(truth, better, better, both, classes)


def over_all(truth: Any, text: Any, image: Any, both: Any, classes: int) -> Any:
    best = max((said == truth).mean() for said in (text, image))
    return np.array([np.mean(both[truth == k] == k) for k in range(classes)]) - best


def by_answer(truth: Any, text: Any, image: Any, both: Any, classes: int) -> Any:
    hits = [
        [np.mean(truth[said == k] == k) for k in range(classes)] for said in (text, image, both)
    ]
    return np.array(hits[2]) - np.maximum(hits[0], hits[1])


RIGHT = {
    ch06.votes_of: [
        ("by slices", lambda: (votes,)),
        ("by np.split, as a list", lambda: (
            lambda t, i, k, b: [*(p := [t @ k[: t.shape[1]], i @ k[-i.shape[1] :]]), sum(p) + b],
        )),
    ],
    ch06.product_fusion: [
        ("in probabilities", lambda: (product,)),
        ("in logarithms, by Keras", lambda: (product_in_logs,)),
    ],
    ch06.three_branches: [
        ("by the package", lambda: (model(),)),
        ("another order", lambda: (model(["name_zh", "image", "text"]),)),
    ],
    ch06.gain_by_class: [
        ("an array", lambda: (gains,)),
        ("a list", lambda: (gains_by_table,)),
    ],
    ch06.unsupported: [
        ("a set", lambda: ({"B", "C", "D", "E"},)),
        ("a list of small letters", lambda: (["e", "d", "c", "b"],)),
    ],
}  # fmt: skip

WRONG = {
    ch06.votes_of: [
        ("swapped", lambda: (lambda *a: (votes(*a)[1], votes(*a)[0], votes(*a)[2]),), "swapped"),
        ("no bias", lambda: (lambda t, i, k, b: votes(t, i, k, 0 * b),), "lack the bias"),
        ("bias given to the text", lambda: (
            lambda *a: (votes(*a)[0] + a[3], *votes(*a)[1:]),
        ), "belongs to neither modality"),
        ("the logits alone", lambda: (lambda *a: votes(*a)[2],), "return three arrays"),
        ("cut in the middle", lambda: (
            lambda t, i, k, b: (
                t @ k[: t.shape[1]], i @ k[: i.shape[1]], np.concatenate([t, i], 1) @ k + b
            ),
        ), "the votes of the image"),
    ],
    ch06.product_fusion: [
        ("the average", lambda: (lambda t, i, prior: (t + i) / 2,), "average of the two"),
        ("no prior", lambda: (twice,), "still counted twice"),
        ("not normalised", lambda: (unnormalised,), "must sum to 1"),
        ("prior twice", lambda: (lambda t, i, p: product(t, i, p**2),), "by the prior twice"),
        ("times the prior", lambda: (lambda t, i, p: product(t, i, 1 / p),), "multiplies by"),
        ("normalised too early", lambda: (
            lambda t, i, p: twice(t, i, p) / p,
        ), "after the division"),
        ("a square root", lambda: (
            lambda t, i, p: product(np.sqrt(t), np.sqrt(i), p),
        ), "square root"),
    ],
    ch06.three_branches: [
        ("never trained", lambda: (model(trained=False),), "still 0"),
        ("the new branch frozen", lambda: (half_trained(),), "still 0"),
        ("two branches", lambda: (model(["text", "image"]),), "the inputs should be"),
        ("the third branch not joined", lambda: (unjoined(),), "does not depend on 'name_zh'"),
        ("five classes", lambda: (model(classes=5),), "the head should be"),
        ("its predictions", lambda: (np.ones((4, 6)) / 6,), "expected a keras.Model"),
    ],
    ch06.gain_by_class: [
        ("one baseline for all classes", lambda: (one_baseline,), "another one in each class"),
        ("over all rows", lambda: (over_all,), "not over all rows"),
        ("rows by the answer", lambda: (by_answer,), "whose truth is the class"),
        ("single minus fused", lambda: (lambda *a: -gains(*a),), "wrong way round"),
    ],
    ch06.unsupported: [
        ("all of them", lambda: (set("ABCDE"),), "A is supported"),
        ("a bound is doubted", lambda: ({"B", "C", "D", "E", "F"},), "F is supported"),
        ("the empty set", lambda: (set(),), "4 of the 6 letters"),
        ("equality is believed", lambda: ({"C", "D", "E"},), "loss of 3 points"),
        ("a leaning interval is believed", lambda: ({"B", "D", "E"},), "settles nothing"),
        ("a fifth artist", lambda: ({"B", "C", "E"},), "no fifth artist"),
        ("the training draw", lambda: ("BCD",), "training draw"),
        ("a number", lambda: (4,), "a set of letters"),
        ("another letter", lambda: ({"G"},), "none of the letters"),
    ],
}  # fmt: skip

test_wrong, test_right = refused(WRONG), accepted(RIGHT)


@pytest.fixture(autouse=True)
def second_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases above are those of a reader who has been wrong before."""
    monkeypatch.setattr(ch06, "REFUSED", [{"A"}])


def test_reasons_come_with_the_second_wrong_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ch06, "REFUSED", [])
    first, second = (verdict(capsys, ch06.unsupported, (set("ABCD"),)) for _ in range(2))
    assert "2 of the 6 letters are" in first
    assert not any(reason in first for reason in ch06.REASONS.values())
    assert "A is supported" in second and ch06.REASONS["A"] in second
