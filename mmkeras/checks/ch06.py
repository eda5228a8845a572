"""Checks of chapter 06, concatenate fusion."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "06.1",
    "votes of each modality",
    hint="the first h_text.shape[1] rows of kernel belong to the text; cut kernel there, "
    "and multiply each part by its own features",
)
def votes_of(split: Callable) -> str | None:
    """a function that returns the votes of the text, those of the image and the logits, (n, K).

    It takes h_text, h_image, kernel, bias.
    """
    rng = np.random.default_rng(0)
    for text_width, image_width in ((3, 2), (4, 4)):
        h_text, h_image = rng.random((5, text_width)), rng.random((5, image_width))
        kernel, bias = rng.normal(size=(text_width + image_width, 6)), rng.normal(size=6)
        got = split(h_text, h_image, kernel, bias)
        if not isinstance(got, tuple | list) or len(got) != 3:
            raise NotYet("return three arrays: the text's votes, the image's votes, the logits")
        text, image = h_text @ kernel[:text_width], h_image @ kernel[text_width:]
        case = f"for {text_width} text and {image_width} image features"
        if _close(got[0], image) and _close(got[1], text):
            raise NotYet("the votes are swapped: those of the text come first")
        if _close(got[0], text + bias) or _close(got[1], image + bias):
            raise NotYet("the bias belongs to neither modality: add it to the logits only")
        expect_close(got[0], text, f"the votes of the text {case}", atol=1e-6)
        expect_close(got[1], image, f"the votes of the image {case}", atol=1e-6)
        if _close(got[2], text + image):
            raise NotYet("the logits lack the bias, which belongs to neither modality")
        expect_close(got[2], text + image + bias, f"the logits {case}", atol=1e-6)
    return "concatenation with a linear head is a sum of votes"


@exercise(
    "06.2",
    "a product that counts the prior once",
    hint="multiply the two arrays, divide by prior (it fits along the last axis), and then divide "
    "each row by its sum with keepdims=True",
)
def product_fusion(fuse: Callable) -> str | None:
    """a function of p_text (n, K), p_image (n, K), prior (K,) that returns probabilities (n, K)."""
    rng = np.random.default_rng(0)
    p_text, p_image = rng.dirichlet(np.ones(6), 4), rng.dirichlet(np.ones(6), 4)
    prior = np.array([0.1, 0.3, 0.2, 0.15, 0.05, 0.2])
    got = fuse(p_text.copy(), p_image.copy(), prior.copy())
    product = p_text * p_image
    slips = {
        "this is the average of the two; multiply them": (p_text + p_image) / 2,
        "the prior is still counted twice: divide by it once": _rows(product),
        "this divides by the prior twice; both models know it, and it should count once": _rows(
            product / prior**2
        ),
        "this multiplies by the prior, which then counts three times; divide by it": _rows(
            product * prior
        ),
        "there should be no square root: it halves what both models say": _rows(
            np.sqrt(product) / prior
        ),
        "each row must sum to 1: divide by its sum (axis=1, keepdims=True)": product / prior,
        "normalise after the division by the prior, not before": _rows(product) / prior,
    }
    for problem, slip in slips.items():
        if _close(got, slip):
            raise NotYet(problem)
    expect_close(got, _rows(product / prior), "the fused probabilities", atol=1e-6)
    neutral = fuse(np.tile(prior, (2, 1)), p_image[:2].copy(), prior.copy())
    expect_close(neutral, p_image[:2], "the answer for a text that says no more than the prior")
    return "a modality that says no more than the prior now changes nothing"


@exercise(
    "06.3",
    "three branches",
    hint="mm.multimodal_model takes a list of any number of branches: a mm.text_branch for the "
    'name, a mm.vector_branch(1280, name="image"), and a second mm.text_branch with '
    'name="name_zh"; then compile and fit',
)
def three_branches(model: keras.Model) -> str | None:
    """a trained model of text (8 ids), image (1,280 features) and name_zh (8 ids)."""
    if not isinstance(model, keras.Model):
        raise NotYet(f"expected a keras.Model, got {type(model).__name__}")
    shapes = {x.name: tuple(x.shape[1:]) for x in model.inputs}
    want = {"text": (8,), "image": (1280,), "name_zh": (8,)}
    if shapes != want:
        raise NotYet(f"the inputs should be {want}, yours are {shapes}")
    if list(model.output_names) != ["group"] or tuple(model.outputs[0].shape) != (None, 6):
        raise NotYet('the head should be {"group": 6}: one softmax over six classes')
    rng = np.random.default_rng(0)
    low, high = np.full((4, 8), 1, "int32"), np.full((4, 8), 799, "int32")
    feed = {"text": low, "image": rng.random((4, 1280)).astype("float32"), "name_zh": low}
    before = _ask(model, feed)
    expect_close(before.sum(axis=1), np.ones(4), "the sum of each row of probabilities", atol=1e-4)
    for name, other in {"text": high, "image": feed["image"][::-1] + 1, "name_zh": high}.items():
        if np.allclose(_ask(model, {**feed, name: other}), before, atol=1e-7):
            raise NotYet(f"the output does not depend on {name!r}: is its branch joined?")
    dense = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense) and x.use_bias]
    still = [layer.name for layer in dense if not np.any(keras.ops.convert_to_numpy(layer.bias))]
    if still:
        raise NotYet(
            f"the bias of {', '.join(still)} is still 0, as in a model that was never trained: "
            "compile and fit all three branches together"
        )
    return "any number of branches is joined in the same way"


@exercise(
    "06.4",
    "the gain, class by class",
    hint="for class k take the rows with truth == k; the mean of (both == k) there is its "
    "accuracy; subtract the larger of the means for text and image",
)
def gain_by_class(gains: Callable) -> str | None:
    """a function of truth, text, image, both, classes that returns one gain per class.

    The first four are int arrays (n,), classes is a number; the result is a float array (classes,).
    """
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(4), (20, 30, 40, 50))
    shares = np.array([[0.8, 0.3, 0.5, 0.4], [0.4, 0.6, 0.7, 0.6], [0.7, 0.8, 0.6, 0.7]])
    text, image, both = said = [
        np.where(rng.random(len(truth)) < right[truth], truth, (truth + 1) % 4) for right in shares
    ]
    accuracy = np.array([[(a[truth == k] == k).mean() for k in range(4)] for a in said])
    got = gains(truth, text, image, both, 4)
    want = accuracy[2] - accuracy[:2].max(axis=0)
    overall = [(answer == truth).mean() for answer in said]
    better = accuracy[int(overall[1] > overall[0])]
    precision = np.array([[(truth[a == k] == k).mean() for k in range(4)] for a in said])
    slips = {
        "compare with the single modalities on that class, not over all rows": accuracy[2]
        - max(overall[:2]),
        "the better single modality may be another one in each class": accuracy[2] - better,
        "you chose the rows by what the model said; choose those whose truth is the class": (
            precision[2] - precision[:2].max(axis=0)
        ),
        "subtract the better of the two, not their mean": accuracy[2] - accuracy[:2].mean(axis=0),
        "the sign is the wrong way round: fused minus single": -want,
    }
    for problem, slip in slips.items():
        if _close(got, slip):
            raise NotYet(problem)
    expect_close(got, want, "the gain by class", atol=1e-6)
    return "now look at the rows behind the smallest of your numbers"


# Which conclusions are not supported, and why; A and F are.
REASONS = {
    "A": "the whole interval of that gain is above 0, and its draws are of test concepts",
    "B": "an interval from -3.5 to +0.5 contains 0, but it also contains a loss of 3 points",
    "C": "the interval contains 0; that most of it lies on one side settles nothing",
    "D": "the draws are of families of concepts; no fifth artist was ever drawn",
    "E": "the fitted models are the same in all draws, so the interval does not cover the training "
    "draw",
    "F": "no value above +0.5 is in that interval, and its draws are of test concepts",
}
UNSUPPORTED = frozenset("BCDE")
REFUSED: list[set[str]] = []  # wrong answers so far; from the second on, the reasons are told


@exercise(
    "06.5",
    "claims and what supports them",
    hint="ask of each claim: what was drawn anew 10,000 times, and what stayed the same? And does "
    "an interval that contains 0 show that a difference is 0?",
)
def unsupported(answer: Any) -> str | None:
    """the set of letters of the conclusions that the experiment does not support."""
    try:
        letters = {str(letter).strip().upper() for letter in answer}
    except TypeError:
        raise NotYet(f"hand in a set of letters, yours is {type(answer).__name__}") from None
    if strange := sorted(letters - set(REASONS)):
        raise NotYet(f"{strange[0]!r} is none of the letters {', '.join(REASONS)}")
    if wrong := sorted(letters ^ UNSUPPORTED):
        REFUSED.append(letters)
        count = f"{len(wrong)} of the {len(REASONS)} letters {'is' if len(wrong) == 1 else 'are'}"
        if len(REFUSED) == 1:
            raise NotYet(
                f"{count} handed in wrongly or missing. Ask of each claim what was drawn anew in "
                "the 10,000 draws, and what stayed the same"
            )
        verdict = "goes too far" if wrong[0] in UNSUPPORTED else "is supported"
        raise NotYet(f"{count} wrong. {wrong[0]} {verdict}: {REASONS[wrong[0]]}")
    return "only A and F are supported: new concepts, these artists, these fitted models"


def _ask(model: keras.Model, feed: dict[str, np.ndarray]) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(feed, training=False))


def _rows(values: np.ndarray) -> np.ndarray:
    """Each row divided by its sum."""
    return values / values.sum(axis=1, keepdims=True)


def _close(got: Any, want: np.ndarray) -> bool:
    try:
        given = np.asarray(got, float)
    except (TypeError, ValueError):
        return False
    return given.shape == want.shape and np.allclose(given, want)
