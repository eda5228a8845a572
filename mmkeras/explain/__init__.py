"""Explanations: what a word, a pixel, a second of sound or a whole modality did to one answer."""

from .answers import Answer
from .gradients import Attribution, gradients, integrated_gradients
from .regions import Regions, regions
from .removal import deletion_curve, occlusion, shapley
from .subsets import mean_gain, without_each

__all__ = [
    "Answer",
    "Attribution",
    "Regions",
    "deletion_curve",
    "gradients",
    "integrated_gradients",
    "mean_gain",
    "occlusion",
    "regions",
    "shapley",
    "without_each",
]
