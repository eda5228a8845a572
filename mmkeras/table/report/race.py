"""The section of the report on the race of encoders and heads."""

from markupsafe import Markup

from ..encoders.board import AGAIN, FUSIONS
from ..wording import number, with_interval
from .markup import table, tag
from .outcome import Run


def board(run: Run) -> list[Markup]:
    """The leader board; nothing for a network from scratch, and for an evaluation."""
    if not (of := (run.metrics.get("training") or {}).get("race")):
        return []
    rows = [
        [
            f"{line['fusion']}{' (taken)' if line['fusion'] == of['winner'] else ''}",
            ", ".join(f"{m}: {name}" for m, name in line["encoders"].items()),
            with_interval(line["accuracy"], digits=2),
            number(line["log_loss"]),
            f"{line['seconds']:.1f}",
            line["note"],
        ]
        for line in of["board"]
    ]
    header = ["head", "encoders", "accuracy (95% interval)", "log loss (nats)", "seconds", ""]
    shown = {line["fusion"] for line in of["board"]}
    heads = [[name, words] for name, words in FUSIONS.items() if name in shown]
    words = (
        "In the race, encoders stay as they are, and what is learned is the head. The encoder of "
        "each modality is the one with the lowest log loss alone, then the heads compete on the "
        "same rows. Who wins a race looks a little better on the rows of the race than on new "
        "ones: the results above are on the test part, which took no part in it."
    )
    if of["winner"] in AGAIN:
        words += " The head that was taken has then learned from the validation rows, too."
    advice = [tag("p", text) for text in of.get("advice", ())]
    return [
        tag("h2", "The candidates on the validation part"),
        tag("p", of["why"]),
        table(header, rows, left=(1, 5)),
        table(["head", "what it is"], heads, left=(1,)),
        tag("p", words),
        *([tag("h3", "What else could be taken"), *advice] if advice else []),
    ]
