"""Losses on pairs: the row on the left belongs to the same row on the right, and to no other.

All three take what `two_tower` gives, float (batch, 2, d), whose dot products are the logits, and
return one number per row, so that sample weights work. The target, (batch,) or (batch, 1), numbers
what the rows show: two rows with the same number are no negative pair, and are left out. Under a
distribution strategy each replica compares the rows of its own batch.

Derived in chapter 13.
"""

from typing import Any

import keras
from keras import ops

from ..composite import Tensor

FAR = -1e9  # the logit of a pair that is left out


def logits_of(pairs: Tensor) -> Tensor:
    """(batch, 2, d) → (batch, batch): row i on the left with row j on the right."""
    return ops.matmul(pairs[:, 0], ops.transpose(pairs[:, 1]))


def negatives(target: Tensor) -> Tensor:
    """(batch,) → bool (batch, batch): whether i and j are numbered differently."""
    target = ops.reshape(target, (-1,))
    return ops.not_equal(target[:, None], target[None])


class _PairLoss(keras.losses.Loss):
    """Logits and the mask of the negatives, from which a subclass computes (batch,) losses."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if len(y_pred.shape) != 3 or y_pred.shape[1] != 2:
            raise ValueError(
                f"this loss takes pairs of embeddings, (batch, 2, d), as two_tower gives them; "
                f"got {tuple(y_pred.shape)}"
            )
        logits = logits_of(y_pred)
        return self.of(logits, ops.diagonal(logits), negatives(y_true))

    def of(self, logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
        raise NotImplementedError


@keras.saving.register_keras_serializable("mmkeras")
class InfoNCE(_PairLoss):
    """Cross-entropy of finding the partner among the batch, in both directions (van den Oord 2018).

    For row i, the mean of `-log softmax(logits[i])[i]` and `-log softmax(logits[:, i])[i]`. It is
    log(batch) where all logits are equal. Sources: A. van den Oord et al., "Representation learning
    with contrastive predictive coding", 2018, arXiv:1807.03748; both directions as in CLIP,
    A. Radford et al. 2021, arXiv:2103.00020.
    """

    def __init__(self, name: str = "info_nce", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def of(self, logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
        kept = ops.logical_or(other, ops.cast(ops.eye(ops.shape(logits)[0]), "bool"))
        logits = ops.where(kept, logits, ops.cast(FAR, logits.dtype))
        rows, columns = (ops.logsumexp(logits, axis=axis) for axis in (1, 0))
        return (rows + columns) / 2 - own


@keras.saving.register_keras_serializable("mmkeras")
class SigmoidLoss(_PairLoss):
    """Each pair by itself: does it belong together, yes or no (Zhai 2023)?

    For row i, the sum over j of `-log sigmoid(z * logits[i, j])`, with z = 1 for j = i, else -1. No
    pair needs to know the others. The model needs a bias, since nearly all pairs are negative.
    Source: X. Zhai et al., "Sigmoid loss for language image pre-training", ICCV 2023,
    arXiv:2303.15343.
    """

    def __init__(self, name: str = "sigmoid_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def of(self, logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
        wrong = ops.softplus(logits) * ops.cast(other, logits.dtype)
        return ops.softplus(-own) + ops.sum(wrong, axis=1)


@keras.saving.register_keras_serializable("mmkeras")
class TripletLoss(_PairLoss):
    """The partner must be closer than any other row, by a margin (Schroff 2015).

    For row i, the mean over the negatives j of `max(0, margin - logits[i, i] + logits[i, j])`, and
    the same down column i; the mean of both. With a temperature of 1 the logits are cosines c, and
    this is half of the loss of Schroff on squared distances, 2 - 2c, with twice the margin. A row
    without a negative has the loss 0. Sources: F. Schroff et al., "FaceNet", CVPR 2015,
    arXiv:1503.03832; the hardest negative of the batch as in F. Faghri et al., "VSE++", BMVC 2018,
    arXiv:1707.05612.

    Args:
        margin: above 0.
        hardest: only the negative that is closest counts, not the mean over all.
    """

    def __init__(
        self,
        margin: float = 0.2,
        hardest: bool = False,
        name: str = "triplet_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not margin > 0:
            raise ValueError(f"margin must be above 0, got {margin!r}")
        self.margin, self.hardest = float(margin), bool(hardest)

    def of(self, logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
        counts = ops.cast(other, logits.dtype)
        total = 0
        for axis, partner in ((1, own[:, None]), (0, own[None])):
            short = ops.relu(self.margin - partner + logits) * counts
            if self.hardest:
                total += ops.max(short, axis=axis)
            else:
                total += ops.sum(short, axis) / ops.maximum(ops.sum(counts, axis), 1)
        return total / 2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "hardest": self.hardest}
