"""Chapter 5: answers that a student would give, right ones in several styles and likely slips."""

from typing import Any

import keras
import numpy as np
import pytest
from check_cases import accepted, refused, verdict
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from mmkeras.checks import ch05
from mmkeras.datasets.emoji import Emoji


def shares(y: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(y, minlength=classes) / len(y)


def proportional(train: np.ndarray, test: np.ndarray) -> float:
    classes = max(train.max(), test.max()) + 1
    return shares(train, classes) @ shares(test, classes)


def by_rows(train: np.ndarray, test: np.ndarray) -> float:
    return float(np.mean([(train == k).mean() for k in test]))


def majority(train: np.ndarray, test: np.ndarray) -> float:
    return float((test == np.bincount(train).argmax()).mean())


def known_tokens(train: Any, split: str) -> tuple[set, Any]:
    strip = str.maketrans("", "", r"""!"#$%&()*+,-./:;<=>?@[\]^_`{|}~'""")

    def cut(text: str) -> list[str]:
        plain = text.lower().translate(strip)
        return plain.split() if split == "whitespace" else [c for c in plain if c != " "]

    return {token for text in train for token in cut(text)}, cut


def blind(train: Any, test: Any, split: str) -> float:
    known, cut = known_tokens(train, split)
    return float(np.mean([not known & set(cut(text)) for text in test]))


def by_keras(train: Any, test: Any, split: str) -> Any:
    reader = keras.layers.TextVectorization(split=split)
    reader.adapt(train)
    return ((reader(test).numpy() > 1).sum(axis=1) == 0).mean()


def words_share(train: Any, test: Any, split: str) -> float:
    known, cut = known_tokens(train, split)
    return float(np.mean([token not in known for text in test for token in cut(text)]))


def any_unknown(train: Any, test: Any, split: str) -> float:
    known, cut = known_tokens(train, split)
    return float(np.mean([not known >= set(cut(text)) for text in test]))


def referee(text: Any, picture: Any, known: Any) -> Any:
    return np.where(known > 0, text.argmax(axis=1), picture.argmax(axis=1))


def column(name: str) -> Any:
    """A text model of one column: counted words and naive Bayes."""

    def answer(train: Emoji, valid: Emoji, test: Emoji) -> np.ndarray:
        rows = train.table.drop_duplicates("hexcode")
        y = rows["group"].map(train.groups.index)
        model = make_pipeline(CountVectorizer(), MultinomialNB(alpha=0.3)).fit(rows[name], y)
        return model.predict(test.table.drop_duplicates("hexcode")[name])

    return answer


def groups_as_words(train: Emoji, valid: Emoji, test: Emoji) -> np.ndarray:
    return np.array(train.groups)[column("tags_en")(train, valid, test)]


def peeks(train: Emoji, valid: Emoji, test: Emoji) -> np.ndarray:
    return test.table["group"].map(test.groups.index).to_numpy()


def out_of_order(train: Emoji, valid: Emoji, test: Emoji) -> np.ndarray:
    return column("tags_en")(train, valid, test)[::-1]


PLANS = {"A": "both", "B": "concepts", "C": "neither", "D": "artist", "E": "artist"}

RIGHT = {
    ch05.proportional_floor: [
        ("a product of shares", lambda: (proportional,)),
        ("row by row", lambda: (by_rows,)),
    ],
    ch05.unknown_share: [("sets", lambda: (blind,)), ("by Keras", lambda: (by_keras,))],
    ch05.new_in_test: [
        ("a dict", lambda: (PLANS,)),
        ("small letters, in another order", lambda: (
            {plan.lower(): word for plan, word in reversed(PLANS.items())},
        )),
    ],
    ch05.referee: [
        ("np.where", lambda: (referee,)),
        ("a loop, as a list", lambda: (
            lambda t, p, n: [int(np.argmax(t[i] if n[i] else p[i])) for i in range(len(n))],
        )),
    ],
    ch05.better_text: [("tags", lambda: (column("tags_en"),))],
}  # fmt: skip

WRONG = {
    ch05.proportional_floor: [
        ("the majority", lambda: (majority,), "always giving the commonest group"),
        ("training shares twice", lambda: (lambda a, b: proportional(a, a),), "by themselves"),
        ("test shares twice", lambda: (lambda a, b: proportional(b, b),), "expected 0.5"),
        ("a sixth", lambda: (lambda a, b: 1 / 6,), "expected 0.5"),
        ("its result", lambda: (0.21,), "hand in the function itself"),
    ],
    ch05.unknown_share: [
        ("unknown words", lambda: (words_share,), "share of unknown words"),
        ("vocabulary of both parts", lambda: (
            lambda a, b, split: blind([*a, *b], b, split),
        ), "training texts only"),
        ("any unknown word", lambda: (any_unknown,), "expected 0.5"),
        ("the known ones", lambda: (lambda *a: 1 - words_share(*a),), "expected 0.5"),
        ("always by words", lambda: (
            lambda a, b, split: blind(a, b, "whitespace"),
        ), "the share for label_zh"),
    ],
    ch05.new_in_test: [
        ("a hexcode is a concept", lambda: ({**PLANS, "E": "both"},), "not as new as you say"),
        ("no artist held out", lambda: ({**PLANS, "B": "both"},), "not as new as you say"),
        ("rows dealt out", lambda: ({**PLANS, "C": "concepts"},), "not as new as you say"),
        ("too strict", lambda: ({**PLANS, "A": "artist"},), "stricter than you think"),
        ("a plan is missing", lambda: ({"A": "both"},), "the plans are"),
        ("a list", lambda: (["both"],), "hand in a dict"),
        ("another word", lambda: ({**PLANS, "D": "style"},), "none of concepts"),
    ],
    ch05.referee: [
        ("the wrong way round", lambda: (lambda t, p, n: referee(p, t, n),), "wrong way round"),
        ("two words needed", lambda: (lambda t, p, n: referee(t, p, n - 1),), "one known word"),
        ("the surer one", lambda: (
            lambda t, p, n: referee(t, p, t.max(axis=1) > p.max(axis=1)),
        ), "surer modality"),
        ("an average", lambda: (lambda t, p, n: (t + p).argmax(axis=1),), "an average"),
        ("probabilities", lambda: (
            lambda t, p, n: np.where(n[:, None] > 0, t, p),
        ), "should have shape"),
    ],
    ch05.better_text: [
        ("the names", lambda: (column("label_en"),), "the goal is 8 points more"),
        ("out of order", lambda: (out_of_order,), "the goal is 8 points more"),
        ("the groups' names", lambda: (groups_as_words,), "whole numbers"),
        ("reads the truth", lambda: (peeks,), "raised KeyError"),
        ("stored answers", lambda: ([np.zeros(256, int)] * 3,), "hand in the function"),
        ("always objects", lambda: (lambda a, v, t: np.full(len(t), 5),), "8 points more"),
    ],
}  # fmt: skip

test_wrong, test_right = refused(WRONG), accepted(RIGHT)


@pytest.mark.parametrize(
    ("slip", "shared"),
    [
        ({"E": "both"}, "of its test pictures have a near-duplicate"),
        ({"B": "both"}, "100% of its test pictures have an artist"),
        ({"C": "concepts"}, "of its test pictures have a concept"),
    ],
)
def test_the_audit_is_left_to_the_student_at_first(
    slip: dict[str, str],
    shared: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ch05, "_told", set())
    first, second = (verdict(capsys, ch05.new_in_test, ({**PLANS, **slip},)) for _ in range(2))
    assert "compare the columns" in first and "%" not in first
    assert shared in second
