"""Evaluation: tables of metrics with intervals, comparisons, calibration, thresholds, folds.

Everything works on arrays of labels and probabilities, whatever model they come from. Labels `y`
are ints (n,). Probabilities are floats from 0 to 1: (n,) or (n, 1) of class 1 for a binary problem,
(n, classes) with rows that sum to 1 for a multi-class one; or a dict model name → such an array.
"""

from .calibration import apply_temperature, calibration_line, fit_temperature, recalibrate
from .comparisons import delong, holm, mcnemar, paired_difference
from .costs import best_threshold, cost_threshold, expected_cost, net_benefit
from .folds import folds
from .importance import ablation, permutation_importance, shapley, subsets
from .interaction import emap
from .metrics import METRICS, answers, expected_calibration_error
from .tables import compare, report

__all__ = [
    "METRICS",
    "ablation",
    "answers",
    "apply_temperature",
    "best_threshold",
    "calibration_line",
    "compare",
    "cost_threshold",
    "delong",
    "emap",
    "expected_calibration_error",
    "expected_cost",
    "fit_temperature",
    "folds",
    "holm",
    "mcnemar",
    "net_benefit",
    "paired_difference",
    "permutation_importance",
    "recalibrate",
    "report",
    "shapley",
    "subsets",
]
