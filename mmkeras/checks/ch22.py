"""Checks of chapter 22, fairness."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import binom

from ..evaluate.intervals import wilson
from . import NotYet, exercise, expect_close, expect_plan, expect_truths, refuse_slips

VERDICTS = dict.fromkeys("abcdefgh", False) | dict.fromkeys("bfg", True)
LOOK = {
    "a": "section 1 has a measure that differs although the AUC does not",
    "b": "section 1: is the gap settled after the correction for six?",
    "c": "section 1, last row of the table: is the mean probability of the women too low?",
    "d": "section 2: how many ill women are there at the VA, and what may be shown of so few?",
    "e": "section 5: by how much does the exact probability move when the sex is exchanged?",
    "f": "section 4: the model that learned wrong records, judged by these records",
    "g": "section 12: from which moment does a period run?",
    "h": "section 12: what may not be altered before the authority is informed?",
}
HALF_WIDTH, RECALL, HARM, ILL = 0.1, 0.7, 0.5, 0.25
NOT_MEASURES = {
    "roc_auc": "an AUC knows no threshold: section 1 shows what it hides",
    "selection_rate": "this counts who is selected, ill or not: the harm is done to the ill",
    "false_positive_rate": "this is the harm of the healthy: whom does a late appointment hurt?",
    "precision": "this looks at those who are selected: the ill who are not are the harm",
    "overestimate": "the perfect reader of section 3 has right probabilities and unequal recall",
}
NOT_LABELS = {
    "record": "section 4: the records may hold the bias, and no measure by them can show it",
    "selected": "whoever is not selected is never looked at: then no missed ill person is counted",
    "model": "the model would judge itself: its confident answers may be the wrong ones",
}


@exercise(
    "22.1",
    "recall and false positive rate of each group",
    hint="for each name in np.unique(members) take the rows of the group; the recall is the mean "
    "of `said` over those with y == 1, the false positive rate over those with y == 0",
)
def rates(function: Callable) -> str | None:
    """Return a dict: group → (recall, false positive rate), NaN where nobody is counted."""
    rng = np.random.default_rng(0)
    members = np.array(["north"] * 40 + ["south"] * 25 + ["west"] * 6)
    y = np.concatenate([(rng.random(65) < 0.4).astype(int), np.zeros(6, int)])
    said = (rng.random(71) < 0.3 + 0.4 * y).astype(int)
    got = function(y.copy(), said.copy(), members.copy())
    if not isinstance(got, Mapping) or set(got) != {"north", "south", "west"}:
        raise NotYet(
            f"return a dict with the groups north, south and west as keys; got {got!r:.80}"
        )
    for name in ("north", "south", "west"):
        here = members == name
        t, s = y[here], said[here]
        want = [s[t == k].mean() if (t == k).any() else np.nan for k in (1, 0)]
        pair = np.asarray(_numbers(got[name], 2, f"the entry of {name!r}"))
        if np.isnan(want[0]):
            if not np.isnan(pair[0]):
                raise NotYet(f"nobody in {name!r} is ill: the recall is NaN, not {pair[0]:.3g}")
            expect_close(pair[1], want[1], f"the false positive rate of {name!r}")
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            slips = {
                "this is the precision: divide by the ill, not by those who are selected": [
                    t[s == 1].mean(), want[1]],
                "the second rate counts the alarms among the healthy": [want[0], t[s == 1].mean()],
                "the two rates are in the wrong order: recall first": want[::-1],
                "the second is 1 - specificity: this is the specificity": [want[0], 1 - want[1]],
                "this is the miss rate: count those who are found": [1 - want[0], want[1]],
                "divide by the ill (or the healthy) of the group, not by all its people": [
                    (s * t).mean(), (s * (1 - t)).mean()],
                "count within the group, not over everybody": [
                    said[y == 1].mean(), said[y == 0].mean()],
            }  # fmt: skip
        refuse_slips(pair, slips, np.array(want))
        expect_close(pair, want, f"recall and false positive rate of {name!r}")
    return "the west has no ill person, so nothing can be said about its recall"


@exercise(
    "22.2",
    "what equal precision and recall force",
    hint="of n people n·π are ill and n·π·TPR are found; the precision then says how many are "
    "selected in all, and so how many healthy ones; divide these by n·(1 - π)",
)
def forced_fpr(function: Callable) -> str | None:
    """Return the false positive rate that prevalence, precision and recall leave."""
    for prevalence, ppv, tpr in ((0.26, 0.8, 0.7), (0.63, 0.8, 0.7), (0.1, 0.5, 0.9)):
        odds = prevalence / (1 - prevalence)
        want = odds * (1 - ppv) / ppv * tpr
        got = function(prevalence, ppv, tpr)
        slips = {
            "the odds of the disease are π / (1 - π), not the inverse": (1 - ppv)
            / ppv
            * tpr
            / odds,
            "of those selected, 1 - PPV are healthy for PPV ill ones: turn this ratio round": odds
            * ppv
            / (1 - ppv)
            * tpr,
            "divide by the healthy, 1 - π": prevalence * (1 - ppv) / ppv * tpr,
            "the recall is missing: only those who are found bring false alarms with them": odds
            * (1 - ppv)
            / ppv,
            "this is the share of healthy people among those selected, 1 - PPV": 1 - ppv,
            "the false alarms are (1 - PPV) / PPV for each found patient": odds * (1 - ppv) * tpr,
        }
        refuse_slips(got, {k: v for k, v in slips.items() if not np.isclose(v, want)}, want)
        expect_close(got, want, f"the rate for π = {prevalence}, PPV = {ppv}, TPR = {tpr}")
    return (
        "with 26% ill it is 0.06, with 63% ill 0.30: five times as many healthy people get an alarm"
    )


@exercise(
    "22.3",
    "a correction for searching",
    hint="chance.max(axis=1) is the largest score of each shuffle; count for each group how many "
    "of these reach its own score, and add one to both counts",
)
def corrected(function: Callable) -> str | None:
    """Return the corrected P of each group, float (k,)."""
    rng = np.random.default_rng(3)
    chance = np.round(rng.normal(size=(199, 12)), 2)
    mine = np.array([*np.round(rng.normal(size=9), 2), 2.2, 3.1, 9.0])
    top = chance.max(axis=1)
    want = (1 + (top[:, None] >= mine).sum(axis=0)) / 200
    got = function(mine.copy(), chance.copy())
    slips = {
        "this compares each group with its own shuffles only: take the largest of all groups": (
            1 + (chance >= mine).sum(axis=0)
        )
        / 200,
        "add one to both counts, so that P is never 0": (top[:, None] >= mine).mean(axis=0),
        "count the shuffles that reach the score, not those that stay below it": (
            1 + (top[:, None] < mine).sum(axis=0)
        )
        / 200,
        "a shuffle that ties counts as well: use >=": (1 + (top[:, None] > mine).sum(axis=0)) / 200,
        "this is Bonferroni's factor: the largest score corrects already": np.minimum(
            1, 12 * (1 + (chance >= mine).sum(axis=0)) / 200
        ),
        "this takes the largest shuffle of each group: take the largest group of each shuffle": (
            1 + (chance.max(axis=0)[:, None] >= mine).sum(axis=0)
        )
        / 13,
    }
    refuse_slips(got, slips, want)
    expect_close(got, want, "the corrected P")
    return "only what beats the luckiest of all groups counts"


@exercise(
    "22.4",
    "which sentences may be printed",
    hint="look up each sentence's number: b in section 1, d in section 2, f in section 4, g and h "
    "in section 12",
)
def sentences(answer: dict) -> str | None:
    """Decide for each of the eight sentences whether it follows: True or False."""
    expect_truths(answer, VERDICTS, LOOK)
    return "three of eight: equal AUC, calibration and use of the sex settle less than they seem to"


@exercise(
    "22.5",
    "a plan for one study",
    hint="n ill people give ± 1.96 · √(0.7 · 0.3 / n): solve for n, then divide by the share of "
    "the ill; at probability p an alarm costs (1 - p) · 1 and silence p · miss_costs",
)
def review(plan: dict) -> str | None:
    """Plan the study as a dict: group, measure, costs, threshold, people, labels, stops and why."""
    asked = ("group", "measure", "miss_costs", "threshold", "people", "labels", "stops", "why")
    expect_plan(plan, asked, {"group": 1, "measure": 1, "labels": 1, "why": 5})
    if re.match(r"(all|every\w*|any\w*)\b", plan["group"].strip().lower()):
        raise NotYet("an average over everybody is what hides a group: name whom you protect")
    for name, right, wrong in (
        ("measure", "recall", NOT_MEASURES),
        ("labels", "random", NOT_LABELS),
    ):
        if plan[name] != right:
            choice = ", ".join(sorted((right, *wrong)))
            raise NotYet(wrong.get(plan[name], f"{name} is one of {choice}, not {plan[name]!r}"))
    _threshold(plan["miss_costs"], plan["threshold"])
    ill = 1.96**2 * RECALL * (1 - RECALL) / HALF_WIDTH**2
    slips = {
        "these are the ill people: only one in four of the group is ill": ill,
        "± 10 points is the half width: this makes the whole interval 10 points wide": 4
        * ill
        / ILL,
        "this gives an interval twice as wide: ± 10 points is the half width": ill / 4 / ILL,
        "this is for a share of 0.5; the assumed recall is 0.7": 0.25 * 1.96**2 / 0.01 / ILL,
        "divide by the share of the ill, do not multiply": ill * ILL,
    }
    refuse_slips(plan["people"], slips, np.float64(ill / ILL), atol=2.0)
    expect_close(plan["people"], np.float64(ill / ILL), "the people", atol=30.0)
    good, bad = _stopped(plan["stops"], round(ill))
    return (
        f"it stops a recall of {RECALL} with probability {good:.2f}, one of {HARM} with {bad:.2f}; "
        "ask the people of the group what else the plan needs"
    )


def _threshold(miss_costs: Any, threshold: Any) -> None:
    """Refuse a threshold that does not follow from the costs."""
    number = isinstance(miss_costs, (int, float, np.number)) and not isinstance(miss_costs, bool)
    if not number or not 0 < miss_costs < np.inf:
        raise NotYet(f"miss_costs is a number above 0, in false alarms; yours is {miss_costs!r}")
    want = np.float64(1 / (1 + miss_costs))
    slips = {
        "0.5 is right only if a miss and a false alarm cost the same": 0.5,
        "the alarm is worth it from p · miss_costs = 1 - p on, not from p · miss_costs = 1": 1
        / miss_costs,
        "this is the other way round: the more a miss costs, the lower the threshold": 1 - want,
    }
    slips = {k: v for k, v in slips.items() if abs(v - want) > 0.006}
    refuse_slips(threshold, slips, want, atol=0.005)
    expect_close(threshold, want, "the threshold for these costs", atol=0.005)


def _stopped(stops: Any, ill: int) -> tuple[float, float]:
    """The probabilities that the project stops, at the assumed recall and at the harmful one."""
    if not isinstance(stops, (tuple, list)) or len(stops) != 2:
        raise NotYet(f'stops is (end, limit), such as ("value", 0.5); yours is {stops!r}')
    end, limit = stops
    if end not in ("low", "value", "high"):
        raise NotYet(f"the end is low, value or high, not {end!r}")
    if not isinstance(limit, (int, float, np.number)) or not 0 < limit < 1:
        raise NotYet(f"the limit is a recall between 0 and 1; yours is {limit!r}")
    if end == "value":
        raise NotYet(
            f"of {ill} ill people the value alone moves by ten points by chance: name the end of "
            "the interval, and with it who has to prove something"
        )
    found = np.arange(ill + 1)
    ends = np.array([wilson(int(k), ill)[end == "high"] for k in found])
    good, bad = (float(binom.pmf(found, ill, r)[ends < limit].sum()) for r in (RECALL, HARM))
    if bad < 0.8:
        raise NotYet(
            f"with a recall of {HARM}, where every second ill person is missed, this rule stops "
            f"the project with a probability of only {bad:.2f}"
        )
    if good > 0.6:
        raise NotYet(
            f"a model as good as you assume, with a recall of {RECALL}, is stopped with a "
            f"probability of {good:.2f}: then there is no need to try it"
        )
    return good, bad


def _numbers(pair: Any, count: int, what: str) -> list[float]:
    """The answer as so many floats."""
    try:
        values = [float(x) for x in pair]
    except (TypeError, ValueError):
        values = []
    if len(values) != count:
        raise NotYet(f"{what} should be {count} numbers, yours is {pair!r:.60}")
    return values
