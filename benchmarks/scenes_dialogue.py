"""A second turn: which slots of a small dialogue are filled rightly, and what the state carries.

    python benchmarks/scenes_dialogue.py    # 5 minutes of one (slow) processor

On each of the six splits of `scenes_fresh.py`, cross-attention is trained as there (auxiliary loss,
500 batches, its rate), and the program with all rules reads its outputs. A dialogue has two slots:
what is `asked` (an attribute) and which cell is `meant`. The first turn is a test scene. The second
turn fills one slot, and the state carries the other:

- "question": another clip, nothing typed; the cell that was meant stays. The clip asks for one of
  the two attributes that the text of the first turn did not name, at random, so in half of the
  dialogues for the same as before (these are left out of "wrong after wrong").
- "drawing": another cell is typed, by an attribute that is not asked; nothing is said. What was
  asked stays, as the decision of the first turn ("decided") or as its three logits, of which
  each typed attribute rules out one ("belief").

The control gives the program the state of another dialogue. The dialogues were drawn with the seed
of the split before a number of this table was seen. It writes
benchmarks/results/scenes_dialogue.csv: one row per split and turn, shares in percent.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scene_models import MODELS, RATE, Data, Trainer
from scenes import answers, by_rule, shares, typed
from scenes_fresh import SPLITS

import mmkeras as mm
from mmkeras.datasets.scenes import COLOURS, KINDS, PLACES

RESULTS = Path(__file__).parent / "results"
VALUES = (COLOURS, KINDS, PLACES)  # along INTENTS
STEPS = 500


def second_turns(test: Any, seed: int) -> pd.DataFrame:
    """One row per test scene: `clip` of a second question and its `intent`; `cell`, `by` and `text`
    of a second drawing."""
    rng = np.random.default_rng(seed)
    clips, forms = np.unique(test.clip), sorted({form_of(text) for text in test.text})
    intent_of = dict(zip(test.clip, test.intent, strict=True))
    rows = []
    for text, asked, meant, kinds, colours in zip(
        test.text, test.intent, test.meant, test.kinds, test.colours, strict=True
    ):
        clip = rng.choice([c for c in clips if intent_of[c] != typed(text)])
        cell = rng.choice([c for c in range(4) if c != meant])
        by = rng.choice([i for i in range(3) if i != asked])
        value = (COLOURS[colours[cell]], KINDS[kinds[cell]], PLACES[cell])[by]
        said = rng.choice(forms).format(value + ("" if by == 1 else " one"))
        rows.append((clip, intent_of[clip], cell, by, said))
    return pd.DataFrame(rows, columns=["clip", "intent", "cell", "by", "text"])


def form_of(text: str) -> str:
    """The form in which a text is typed, with a place for the name."""
    for names in VALUES:
        for name in names:
            for word in (f"{name} one", name):
                if f" {word} " in f" {text} ":
                    return f" {text} ".replace(f" {word} ", " {} ").strip()
    raise ValueError(f"{text!r} names no colour, kind or place")


def cells_of(share: dict[str, np.ndarray], texts: Any) -> np.ndarray:
    """The cell that fits each text best, int (n,)."""
    found = np.empty(len(texts), int)
    for row, text in enumerate(texts):
        by = typed(text)
        value = next(i for i, name in enumerate(VALUES[by]) if name in text)
        found[row] = value if by == 2 else share[("colour", "kind")[by]][row, :, value].argmax()
    return found


def read_off(share: dict[str, np.ndarray], cell: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """What the cells hold of the attribute that is asked: replies, int (n,), along REPLIES."""
    rows = np.arange(len(cell))
    colour, kind = (share[name][rows, cell].argmax(-1) for name in ("colour", "kind"))
    at = [colour, len(COLOURS) + kind, len(COLOURS) + len(KINDS) + cell]
    return np.choose(asked, at)


def likeliest(belief: np.ndarray, *ruled_out: np.ndarray) -> np.ndarray:
    """The likeliest intent that none of these names, int (n,)."""
    left = np.array(belief, float)
    for names in ruled_out:
        left[np.arange(len(left)), names] = -np.inf
    return left.argmax(-1)


def percent(right: np.ndarray) -> float:
    return round(100 * float(right.mean()), 2)


def turn(asked: np.ndarray, meant: np.ndarray, reply: np.ndarray) -> dict[str, float]:
    """Whether each slot, both, and the reply are right (bool arrays), as shares."""
    row = {"asked": percent(asked), "meant": percent(meant), "both": percent(asked & meant)}
    return row | {"reply": percent(reply)}


def after(right: np.ndarray, before: np.ndarray, new: np.ndarray) -> dict[str, float]:
    """How often the second reply is wrong after a wrong first one, and after a right one."""
    names = {"wrong after wrong": ~before & new, "wrong after right": before & new}
    return {name: percent(~right[rows]) for name, rows in names.items()}


def dialogues(model: Any, data: Data, seed: int) -> list[dict[str, Any]]:
    """The rows of one split."""
    test = data.parts["test"]
    given = answers(model, data.x("test"))
    share = {name: shares(given[name], True) for name in ("colour", "kind")}
    truth = np.stack([test.colours, test.kinds, np.tile(np.arange(4), (len(test.y), 1))], axis=2)
    rows, first = np.arange(len(test.y)), np.array([typed(text) for text in test.text])

    def right_reply(cell: np.ndarray, intent: np.ndarray) -> np.ndarray:
        return (
            truth[rows, cell, intent]
            + np.array([0, len(COLOURS), len(COLOURS) + len(KINDS)])[intent]
        )

    asked, meant = likeliest(given["intent"], first), cells_of(share, test.text)
    reply = read_off(share, meant, asked)
    assert (right_reply(test.meant, test.intent) == test.y).all()
    assert (reply == by_rule(given, test.text, asked, differ=True)).all()
    table = [{"turn": "first", "way": "", **turn(asked == test.intent, meant == test.meant,
                                                   reply == test.y)}]  # fmt: skip
    before, other = reply == test.y, np.random.default_rng(seed).permutation(len(rows))
    second = second_turns(test, seed)

    # another question, nothing typed: the state has the cell and the attribute that was typed
    x = data.x("test") | {"audio": data.sounds[second["clip"]]}
    heard, intent = answers(model, x)["intent"], second["intent"].to_numpy()
    for way, state in {"state": rows, "state of another": other}.items():
        now, cell = likeliest(heard, first[state]), meant[state]
        right = read_off(share, cell, now) == right_reply(test.meant, intent)
        slots = turn(now == intent, cell == test.meant, right)
        errors = after(right, before, intent != test.intent)  # the other half asks the same again
        table.append({"turn": "question", "way": way, **slots, **errors})

    # another drawing, nothing said: the state has what was asked
    cell, by = cells_of(share, second["text"]), second["by"].to_numpy()
    goal, belief = second["cell"].to_numpy(), given["intent"]
    carried = {
        "decided": asked,
        "belief": likeliest(belief, first, by),
        "belief of another": likeliest(belief[other], first[other], by),
    }
    for way, now in carried.items():
        right = read_off(share, cell, now) == right_reply(goal, test.intent)
        slots = turn(now == test.intent, cell == goal, right)
        errors = after(right, before, np.ones(len(rows), bool))
        table.append({"turn": "drawing", "way": way, **slots, **errors})
    return table


def main() -> None:
    mm.start(seed=0)
    trainer, found = Trainer(MODELS[2]), []
    for seed, artist in SPLITS.items():
        data = Data(mm.datasets.load_scenes(held_out_artist=artist, seed=seed))
        trainer.fit(data.x("train"), data.y("train"), STEPS, seed, rate=RATE)
        for row in dialogues(trainer.model, data, seed):
            found.append({"artist": artist, "seed": seed, **row})
            print(found[-1], flush=True)
        pd.DataFrame(found).to_csv(RESULTS / "scenes_dialogue.csv", index=False)
    print(pd.DataFrame(found).groupby(["turn", "way"], sort=False).mean(numeric_only=True).round(1))


if __name__ == "__main__":
    main()
