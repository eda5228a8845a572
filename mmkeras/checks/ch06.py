"""Checks of chapter 06, concatenate fusion."""

from collections.abc import Callable

import keras
import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "06.1",
    "counted by formula",
    hint="the joint vector has sum(widths) numbers; a Dense layer has inputs × outputs weights "
    "and one bias an output",
)
def joint_parameters(count: Callable) -> str | None:
    """A function of widths (list of int) and classes (int): weights of concatenation and head."""
    for widths, classes in (([64, 64], 6), ([64, 128, 32], 10), ([5], 2)):
        got, want = count(list(widths), classes), sum(widths) * classes + classes
        if np.isscalar(got) and got == sum(widths) * classes:
            raise NotYet(f"widths {widths}, {classes} classes: the biases of the head are missing")
        expect_close(got, want, f"the count for widths {widths} and {classes} classes")
    return "the concatenation adds none: all of them are in the head"


@exercise(
    "06.2",
    "votes of each modality",
    hint="the first h_text.shape[1] rows of kernel belong to the text; cut kernel there, "
    "and multiply each part by its own features",
)
def votes_of(split: Callable) -> str | None:
    """A function of h_text, h_image, kernel, bias: text votes, image votes, logits, each (n, K)."""
    rng = np.random.default_rng(0)
    for text_width, image_width in ((3, 2), (4, 4)):
        h_text, h_image = rng.random((5, text_width)), rng.random((5, image_width))
        kernel, bias = rng.normal(size=(text_width + image_width, 6)), rng.normal(size=6)
        got = split(h_text, h_image, kernel, bias)
        if not isinstance(got, tuple | list) or len(got) != 3:
            raise NotYet("return three arrays: the text's votes, the image's votes, the logits")
        text, image = h_text @ kernel[:text_width], h_image @ kernel[text_width:]
        case = f"for {text_width} text and {image_width} image features"
        expect_close(got[0], text, f"the votes of the text {case}", atol=1e-6)
        expect_close(got[1], image, f"the votes of the image {case}", atol=1e-6)
        if np.shape(got[2]) == text.shape and np.allclose(got[2], text + image):
            raise NotYet("the logits lack the bias, which belongs to neither modality")
        expect_close(got[2], text + image + bias, f"the logits {case}", atol=1e-6)
    return "concatenation with a linear head is a sum of votes"


@exercise(
    "06.3",
    "a product of experts",
    hint="the geometric mean of two numbers is the square root of their product; "
    "then divide each row by its sum",
)
def product_fusion(fuse: Callable) -> str | None:
    """A function of p_text, p_image (n, K): their normalised geometric mean, (n, K)."""
    rng = np.random.default_rng(0)
    p_text, p_image = rng.dirichlet(np.ones(6), 4), rng.dirichlet(np.ones(6), 4)
    got = fuse(p_text.copy(), p_image.copy())
    root = np.sqrt(p_text * p_image)
    want = root / root.sum(axis=1, keepdims=True)
    if np.shape(got) == want.shape:
        square = p_text * p_image
        if np.allclose(got, (p_text + p_image) / 2):
            raise NotYet("this is the average of the two; multiply them and take the square root")
        if np.allclose(got, square / square.sum(axis=1, keepdims=True)):
            raise NotYet("the square root is missing: without it the model is twice as sure")
        if np.allclose(got, root) or np.allclose(got, square):
            raise NotYet("each row must sum to 1: divide by its sum (axis=1, keepdims=True)")
    expect_close(got, want, "the fused probabilities", atol=1e-6)
    return "in logarithms it is an average of votes, as in a concatenation"


@exercise(
    "06.4",
    "three branches",
    hint="mm.multimodal_model takes a list of any number of branches: a mm.text_branch for the "
    'name, a mm.vector_branch(1280, name="image"), and a second mm.text_branch with name="name_zh"',
)
def three_branches(model: keras.Model) -> str | None:
    """A model that takes text (8 ids), image (1280 features), name_zh (8 ids); head group of 6."""
    if not isinstance(model, keras.Model):
        raise NotYet(f"expected a keras.Model, got {type(model).__name__}")
    shapes = {x.name: tuple(x.shape[1:]) for x in model.inputs}
    want = {"text": (8,), "image": (1280,), "name_zh": (8,)}
    if shapes != want:
        raise NotYet(f"the inputs should be {want}, yours are {shapes}")
    if model.output_names != ["group"] or tuple(model.outputs[0].shape) != (None, 6):
        raise NotYet('the head should be {"group": 6}: one softmax over six classes')
    rng = np.random.default_rng(0)
    low, high = np.full((4, 8), 1, "int32"), np.full((4, 8), 799, "int32")
    feed = {"text": low, "image": rng.random((4, 1280)).astype("float32"), "name_zh": low}
    before = model.predict(feed, verbose=0)
    expect_close(before.sum(axis=1), np.ones(4), "the sum of each row of probabilities", atol=1e-4)
    for name, other in {"text": high, "image": feed["image"][::-1] + 1, "name_zh": high}.items():
        if np.allclose(model.predict({**feed, name: other}, verbose=0), before, atol=1e-7):
            raise NotYet(f"the output does not depend on {name!r}: is its branch joined?")
    return "any number of branches is joined in the same way"


@exercise(
    "06.5",
    "the gain, class by class",
    hint="for class k take the rows with truth == k; the mean of (both == k) there is its "
    "accuracy; subtract the larger of the means for text and image",
)
def gain_by_class(gains: Callable) -> str | None:
    """A function of truth, text, image, both (int arrays) and classes: float array (classes,)."""
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(4), (20, 30, 40, 50))
    text, image, both = (
        np.where(rng.random(len(truth)) < right, truth, (truth + 1) % 4)
        for right in (0.5, 0.6, 0.7)
    )
    accuracy = np.array(
        [[(said[truth == k] == k).mean() for k in range(4)] for said in (text, image, both)]
    )
    got = gains(truth, text, image, both, 4)
    want = accuracy[2] - accuracy[:2].max(axis=0)
    over_all = max((text == truth).mean(), (image == truth).mean())
    better = accuracy[0 if (text == truth).mean() > (image == truth).mean() else 1]
    if np.shape(got) == want.shape:
        if np.allclose(got, accuracy[2] - over_all):
            raise NotYet("compare with the single modalities on that class, not over all rows")
        fixed = accuracy[2] - better
        if np.allclose(got, fixed) and not np.allclose(fixed, want):
            raise NotYet("the better single modality may be another one in each class")
    expect_close(got, want, "the gain by class", atol=1e-6)
    return "now look at the rows behind the smallest of your numbers"
