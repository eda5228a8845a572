"""The sections of the report on results: each takes a `Run` and returns finished HTML, or none."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ..caveats import ALL
from ..wording import number, percent, with_interval
from . import figures
from .markup import plot, side_by_side, table, tag
from .outcome import Run

CROWDED = 20  # with more classes, not all of them are shown
CURVES = 6  # up to this number of classes each has a ROC curve: the number of line styles
COLUMNS = {
    "accuracy": "accuracy",
    "recall": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "brier": "Brier score (0 is best)",
    "ece": "calibration error (0 is best)",
}
OF_CLASS = {  # of `mmkeras.evaluate.by_group`
    "selection_rate": "selected",
    "recall": "recall",
    "false_positive_rate": "false alarms",
    "precision": "precision",
    "roc_auc": "ROC AUC",
    "overestimate": "too high by",
}
REST = "; metrics.json has all of them."


def results(run: Run) -> list[Markup]:
    """The results of all models on the test part."""
    models, interval = run.metrics["models"], run.metrics["interval"]
    rows = [[name, *(_two_lines(of[key]) for key in COLUMNS)] for name, of in models.items()]
    gaps = [
        [name, with_interval(of["accuracy"])] for name, of in run.metrics["differences"].items()
    ]
    sure = (
        f"Below each value is its 95% interval ({interval['kind']}). It shows how much the result "
        "depends on which rows were drawn for the test, not how much on the seed or the split, and "
        "says nothing about data of another origin. Where all draws are equal there is none. "
        if interval["kind"]
        else "There are no intervals: all test rows are of one group. "
    )
    words = (
        f"{sure}Balanced accuracy is the mean recall of the classes. A modality alone means the "
        "same model with all others marked absent, not a model trained on it alone."
    )
    if all(of["roc_auc"]["value"] is None for of in models.values()):
        words += (
            " ROC AUC, the mean over each class against the rest, is not given, because a class "
            "has no test row, or there are more than 1,000 classes."
        )
    alt = "Accuracy of each model with its interval; the numbers are those of the table above"
    return [
        tag("h2", "Results on the test part"),
        table(["model", *COLUMNS.values()], rows),
        tag("p", words),
        plot(figures.forest(models), alt),
        tag("h3", "What the whole model gains in accuracy"),
        table(["against", "difference (95% interval)"], gaps),
    ]


def _two_lines(entry: Mapping[str, float | None]) -> Markup:
    if entry["low"] is None:
        return tag("td", number(entry["value"]))
    interval = tag("small", f"{number(entry['low'])} to {number(entry['high'])}")
    return tag("td", number(entry["value"]), Markup("<br>"), interval)


def groups(run: Run) -> list[Markup]:
    """The results in each group of people, if --groups asked for them."""
    if not (found := run.metrics.get("groups")):
        return []
    binary = len(run.metrics["classes"]) == 2
    names = {"accuracy": "accuracy"} | (OF_CLASS if binary else {})
    parts: list[Markup] = []
    for column, of in found.items():
        rows = [[name, one["rows"], *(_two_lines(one[key]) for key in names)]
                for name, one in of.items()]  # fmt: skip
        parts += [tag("h3", column), table(["group", "rows", *names.values()], rows)]
    words = (
        "A dash stands where fewer than ten rows would be counted. Each interval is 95%, as if its "
        "number were the only one; of many numbers some differ by chance. Equal accuracy does not "
        "mean equal mistakes, and all of this is measured by the labels of the table: if these are "
        "wrong for one group, no number here can show it (chapter 22)."
    )
    if binary:
        last = list(run.metrics["classes"])[1]
        words += (
            f" Selected, recall, false alarms and precision are those of the class {last!r}; "
            f'"too high by" is the mean probability of this class minus its share.'
        )
    return [tag("h2", "Groups"), *parts, tag("p", words)]


def seeds(run: Run) -> list[Markup]:
    """The results of all seeds, if there are several."""
    if not (of := run.metrics.get("seeds")):
        return []
    lines = zip(of["seed"], of["accuracy"], of["log_loss"], strict=True)
    rows = [[seed, number(accuracy), number(loss)] for seed, accuracy, loss in lines]
    for name, what in (("mean", "mean"), ("sd", "standard deviation")):
        rows.append([what, number(of[name]["accuracy"]), number(of[name]["log_loss"])])
    words = (
        "These runs have the same split and settings, but other first weights and orders of the "
        "rows. This spread comes on top of the intervals above, which hold for one trained model."
    )
    return [
        tag("h2", "Other seeds"),
        table(["seed", "accuracy", "log loss (nats)"], rows),
        tag("p", words),
    ]


def importance(run: Run) -> list[Markup]:
    """The Shapley values of the modalities, and the scores of their subsets."""
    subsets, shares = run.metrics["subsets"], run.metrics["importance"]
    title = tag("h2", "What each modality is worth")
    if shares is None:
        words = "There are too many rows times classes to answer with every subset of modalities."
        return [title, tag("p", words)]
    rows = [[m, _share(of, "accuracy"), _share(of, "log_loss")] for m, of in shares.items()]
    told = [[name, number(of["accuracy"]), number(of["log_loss"])] for name, of in subsets.items()]
    words = (
        "A Shapley value (Shapley 1953) is what a modality adds to the score, averaged over all "
        "orders in which the modalities could be shown to this model. The values add up to the "
        "gain of the model over no modality. For the log loss they say by how much it falls, in "
        "nats. "
        "Modalities that carry the same information share the credit for it."
    )
    seen = "Scores of the model with only these modalities; with none it predicts by frequency:"
    alt = "Shapley value of each modality in accuracy, with its interval; numbers as in the table"
    return [
        title,
        side_by_side(
            table(["modality", "adds to accuracy", "lowers log loss by"], rows),
            plot(figures.importance(shares), alt),
        ),
        tag("p", words),
        tag("p", seen),
        table(["modalities", "accuracy", "log loss (nats)"], told),
    ]


def _share(of: Mapping[str, float | None], name: str) -> Markup:
    return _two_lines({"value": of[name], "low": of[f"{name}_low"], "high": of[f"{name}_high"]})


def classes(run: Run) -> list[Markup]:
    """The results of each class, and the confusion matrix."""
    header = ["class", "test rows", "precision", "recall", "recall, 95% interval", "F1"]
    of_class = run.metrics["per_class"]
    rows = [_class_line(of) for of in of_class]
    words = "The intervals of the recall are of the same kind as those of the accuracy."
    if len(rows) > CROWDED:
        tested = sorted((of for of in of_class if of["rows"]), key=lambda of: of["recall"])
        rows = [_class_line(of) for of in tested[:CROWDED]]
        words += f" These {len(rows)} of {len(of_class)} classes have the lowest recall{REST}"
    return [
        tag("h2", "Class by class"),
        table(header, rows),
        tag("p", words),
        tag("h3", "Confusion matrix"),
        *_confusion(run.metrics),
    ]


def _class_line(of: Mapping[str, Any]) -> list[Any]:
    sure = "–"
    if of["recall_low"] is not None:
        sure = f"{number(of['recall_low'])} to {number(of['recall_high'])}"
    values = number(of["precision"]), number(of["recall"]), sure, number(of["f1"])
    return [of["class"], of["rows"], *values]


def _confusion(metrics: Mapping[str, Any]) -> list[Markup]:
    names, counts = list(metrics["classes"]), metrics["confusion"]
    if len(names) > CROWDED:
        off = [(t, p, n) for t, of in counts.items() for p, n in of.items() if t != p]
        most = sorted(off, key=lambda pair: -pair[2])[:CROWDED]
        rest = "; metrics.json has more of them." if metrics["confusion_left_out"] else REST
        words = f"The most frequent {len(most)} of {len(off)} kinds of mistakes{rest}"
        return [
            tag("p", words),
            table(["true class", "was taken for", "rows"], most, left=(1,)),
        ]
    rows = []
    for name in names:
        found = [counts.get(name, {}).get(other, 0) for other in names]
        whole = max(sum(found), 1)
        cells = (_shaded(n, n / whole, o == name) for o, n in zip(names, found, strict=True))
        rows.append([name, *cells])
    return [
        table(["true class ↓   predicted →", *names], rows),
        tag(
            "p",
            "Rows of the test part, and their share of the true class; right answers are framed.",
        ),
    ]


def _shaded(count: int, share: float, diagonal: bool) -> Markup:
    extra = {"class_": "diagonal"} if diagonal else {}
    shade = f"background: rgba(110, 140, 180, {0.65 * share:.2f})"
    return tag("td", f"{count} ({percent(share)})", style=shade, **extra)


def curves(run: Run) -> list[Markup]:
    """ROC and precision-recall; for two classes also recall and precision over the threshold."""
    names, y, p = list(run.metrics["classes"]), run.y, run.probabilities
    here = [k for k in range(len(names)) if 0 < (y == k).sum() < len(y)]
    title = tag("h2", "How well the model ranks the rows")
    if len(names) > CURVES or not here:
        why = f"more than {CURVES} classes" if here else "test rows of one class only"
        return [title, tag("p", f"ROC and precision-recall curves are not drawn: {why}.")]
    if len(names) == 2:
        drawn = [*figures.ranking(y, p, [1]), figures.thresholds(y, p[:, 1])]
        words = f"Positive is {names[1]!r}. The dotted lines show chance, and the threshold 0.5."
        key = []
    else:
        drawn = figures.ranking(y, p, here)
        words = "Each curve is of one class against the rest."
        key = [table(["curve", "class"], [[f"class {k + 1}", names[k]] for k in here], left=(1,))]
    alts = (
        "ROC curve: true positive rate over false positive rate, with the area under it",
        "Precision over recall, with the average precision",
        "Recall, specificity and precision over the threshold",
    )
    plots = [plot(figure, alt) for figure, alt in zip(drawn, alts, strict=False)]
    return [title, tag("p", words), *key, side_by_side(*plots)]


def calibration(run: Run) -> list[Markup]:
    """The calibration of the probabilities."""
    text = (
        "The picture shows how often the answer is right (vertical) over its predicted probability "
        "(horizontal). A calibrated model lies on the dotted line. Few rows make the line ragged."
    )
    if (run.metrics.get("training") or {}).get("class_weight"):
        text += (
            " Classes were weighted in training, so the probabilities are those for data in which "
            "all classes are equally frequent."
        )
    alt = (
        "Share of right answers over the probability of the answer; calibration error "
        f"{number(run.metrics['models'][ALL]['ece']['value'])}"
    )
    drawn = plot(figures.calibration(run.y, run.probabilities), alt)
    return [tag("h2", "Can the probabilities be trusted?"), tag("p", text), drawn]


def training(run: Run) -> list[Markup]:
    """The learning curves, if there was a training."""
    of = run.metrics.get("training") or {}
    if "history" not in of:
        return []
    best = of["best_epoch"]
    words = f"Epoch {best} of {of['epochs']} had the lowest validation loss and was kept."
    drawn = figures.learning(of["history"], best)
    alts = (f"{name} over the epochs, training dashed" for name in ("Loss", "Accuracy"))
    return [
        tag("h2", "Learning curves"),
        tag("p", f"{words} (Dotted line. Modality dropout makes the training the harder task.)"),
        side_by_side(*(plot(figure, alt) for figure, alt in zip(drawn, alts, strict=True))),
    ]
