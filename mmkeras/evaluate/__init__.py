"""Evaluation: tables of metrics with intervals, comparisons, calibration, thresholds, folds.

Everything works on arrays of labels and probabilities, from any model. Labels `y` are ints (n,).
Probabilities are floats from 0 to 1: (n,) or (n, 1) with those of class 1 for a binary problem, and
(n, classes) with rows that sum to 1 for a multi-class problem; or a dict model name → such an
array. An argument `groups` holds one label per row, such as the patient.
"""

from .calibration import apply_temperature, calibration_line, fit_temperature, recalibrate
from .comparisons import delong, holm, mcnemar, paired_difference
from .costs import best_threshold, cost_threshold, expected_cost, net_benefit
from .folds import folds
from .groups import by_group, group_gap
from .importance import ablation, permutation_importance, shapley, subsets
from .interaction import emap
from .metrics import METRICS, answers, expected_calibration_error
from .pairs import pair_auc
from .tables import compare, report

__all__ = [
    "METRICS",
    "ablation",
    "answers",
    "apply_temperature",
    "best_threshold",
    "by_group",
    "calibration_line",
    "compare",
    "cost_threshold",
    "delong",
    "emap",
    "expected_calibration_error",
    "expected_cost",
    "fit_temperature",
    "folds",
    "group_gap",
    "holm",
    "mcnemar",
    "net_benefit",
    "pair_auc",
    "paired_difference",
    "permutation_importance",
    "recalibrate",
    "report",
    "shapley",
    "subsets",
]
