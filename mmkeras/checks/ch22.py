"""Checks of chapter 22, fairness."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close, refuse_slips

VERDICTS = {"a": False, "b": True, "c": False, "d": False, "e": False, "f": True}
LOOK = {
    "a": "section 1 has a measure that differs although the AUC does not",
    "b": "section 1: is the gap settled after the correction for six?",
    "c": "section 1, last row of the table: is the mean probability of the women too low?",
    "d": "section 2: how many ill women are there at the VA, and what may be shown of so few?",
    "e": "section 5: by how much does the exact probability move when the sex is exchanged?",
    "f": "section 4: the model that learned wrong records, judged by these records",
}
HALF_WIDTH, RECALL, ILL = 0.1, 0.7, 0.25


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
    hint="look up each sentence's number: b in section 1, d in section 2, f in section 4",
)
def sentences(answer: dict) -> str | None:
    """Decide for each of the six sentences whether it follows: True or False."""
    if not isinstance(answer, Mapping) or set(answer) != set(VERDICTS):
        raise NotYet(f"give True or False for each of {', '.join(VERDICTS)}")
    for name, verdict in answer.items():
        if verdict is None or verdict is ...:
            raise NotYet(f"sentence {name} has no verdict yet")
        if not isinstance(verdict, (bool, np.bool_)):
            raise NotYet(f"sentence {name}: {verdict!r} is neither True nor False")
    for name, right in VERDICTS.items():
        if bool(answer[name]) != right:
            raise NotYet(f"sentence {name} does not deserve {answer[name]}: {LOOK[name]}")
    return "two of six: equal AUC, calibration and use of the sex settle less than they seem to"


@exercise(
    "22.5",
    "a plan for one study",
    hint="n ill people give ± 1.96 · √(0.7 · 0.3 / n); solve for n, then divide by the share of "
    "the ill; a threshold follows from the costs of a miss and of an alarm",
)
def review(plan: dict) -> str | None:
    """Plan the study: group, measure, threshold, people, labels and stops, none of them empty."""
    asked = ("group", "measure", "threshold", "people", "labels", "stops")
    if not isinstance(plan, Mapping) or set(plan) != set(asked):
        raise NotYet(f"the plan needs exactly {', '.join(asked)}")
    for name in asked:
        least = 1 if name in ("group", "measure") else 2
        if name != "people" and (
            not isinstance(plan[name], str) or len(plan[name].split()) < least
        ):
            raise NotYet(f"say in a few words what {name!r} is: yours is {plan[name]!r}")
    measure = plan["measure"].lower()
    if re.search(r"\bauc\b", measure):
        raise NotYet("an AUC knows no threshold: section 1 shows what it hides")
    if not any(
        word in measure for word in ("recall", "true positive", "sensitiv", "found", "miss")
    ):
        raise NotYet(
            "an ill person who gets no early appointment is the harm: which measure counts these?"
        )
    if not any(word in plan["threshold"].lower() for word in ("cost", "miss", "alarm", "harm")):
        raise NotYet("say which costs the threshold follows from: a miss against an alarm")
    weak = ("our record", "the record", "recorded diagnos", "existing label")
    words = plan["labels"].lower()
    if any(w in words for w in weak) and "independent" not in words and "exam" not in words:
        raise NotYet("section 4: the records may hold the bias; who looks again, and at whom?")
    if not any(c.isdigit() for c in plan["stops"]):
        raise NotYet("name the number at which the project stops, before anybody has seen it")
    ill = 1.96**2 * RECALL * (1 - RECALL) / HALF_WIDTH**2
    got = plan["people"]
    slips = {
        "these are the ill people: only one in four of the group is ill": ill,
        "± 10 points is the half width: this makes the whole interval 10 points wide": 4
        * ill
        / ILL,
        "this gives an interval twice as wide: ± 10 points is the half width": ill / 4 / ILL,
        "this is for a share of 0.5; the assumed recall is 0.7": 0.25 * 1.96**2 / 0.01 / ILL,
        "divide by the share of the ill, do not multiply": ill * ILL,
    }
    refuse_slips(got, slips, np.float64(ill / ILL), atol=2.0)
    expect_close(got, np.float64(ill / ILL), "the people", atol=30.0)
    return "a plan that can fail; ask the people of the group what else it needs"


def _numbers(pair: Any, count: int, what: str) -> list[float]:
    """The answer as so many floats."""
    try:
        values = [float(x) for x in pair]
    except (TypeError, ValueError):
        values = []
    if len(values) != count:
        raise NotYet(f"{what} should be {count} numbers, yours is {pair!r:.60}")
    return values
