"""The race of frozen encoders and small heads, with tiny encoders in the place of the large."""

import json
import signal
import types

import numpy as np
import pandas as pd
import pytest
from command_line import call, orders, read, write
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from tiny_encoders import PIECES

from mmkeras import branches
from mmkeras.table import run, weather
from mmkeras.table.encoders import board, choice, heads, linear, networks, sources

pytestmark = pytest.mark.usefixtures("own_cache", "short_page")

# ------------------------------------------------------------------------------ the command


def test_the_winner_is_one_model_that_answers_raw_tables(frozen, tmp_path, monkeypatch):
    """Text, pictures and sounds with gaps: the answers of the head alone are those of predict."""
    data, made, said = frozen.data, frozen.run, frozen.out
    assert sorted(p.name for p in made.iterdir()) == sorted(run.FILES)
    metrics = json.loads((made / "metrics.json").read_text("utf-8"))
    race = metrics["training"]["race"]
    fusions = [line["fusion"] for line in race["board"]]
    assert sorted(fusions) == ["alone"] * 5 + ["concatenate", "gated", "late", "linear"]
    assert race["winner"] in fusions and race["why"] in said
    settings = json.loads((made / "settings.json").read_text("utf-8"))
    text = settings["encoders"].pop("text")
    assert text in (choice.NAMES["text"], choice.WITH_WORDS)
    large = {name: choice.NAMES[name] for name in ("image", "audio")}
    assert settings["encoders"] == {**large, "numbers": "as they are"}
    assert settings["table"]["vocabulary"] == PIECES, "no asset is needed to predict"
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))  # no encoder is in it
    assert call("predict", made, data, "--out", tmp_path / "p.csv")[0] == 0
    test = read(made / "test_predictions.csv")
    answers = read(tmp_path / "p.csv").iloc[test["row"].astype(int) - 2]
    assert answers["prediction"].tolist() == test["prediction"].tolist()
    for name in settings["classes"]:
        ours, theirs = (of[f"probability_{name}"].astype(float) for of in (answers, test))
        np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), atol=2e-5)


@pytest.mark.usefixtures("eager")
def test_numbers_alone_race_too_and_a_stopped_race_is_run_again(tmp_path, monkeypatch):
    """A killed race has kept its features only, and ends as one that was not killed."""
    data = write(tmp_path / "data.csv", orders(60))
    real, arguments = networks.trained, ["train", data, "--ignore", "order", "--out"]

    def killed(*_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(networks, "EPOCHS", 2)
    monkeypatch.setattr(networks, "trained", killed)
    status, _, err = call(*arguments, tmp_path / "a")
    assert status == 143 and "nothing was written" in err and not (tmp_path / "a").exists()
    monkeypatch.setattr(networks, "trained", real)
    status, said, err = call(*arguments, tmp_path / "a", "--resume")
    assert status == 0 and "no pretrained ones" in said, err
    status, _, err = call(*arguments, tmp_path / "b", "--time-limit", ".001s")
    assert status == 0, err
    a, b = (json.loads((tmp_path / name / "metrics.json").read_text("utf-8")) for name in "ab")
    boards = [metrics["training"]["race"]["board"] for metrics in (a, b)]
    assert [line["note"] for line in boards[0]] == ["", "", ""]
    assert [line["note"] for line in boards[1]] == ["", "", "no time was left"]
    linear_only = [next(x for x in board if x["fusion"] == "linear") for board in boards]
    assert linear_only[0]["log_loss"] == linear_only[1]["log_loss"], "the same at every start"
    assert a["models"]["whole model"]["accuracy"]["value"] > 0.6
    status, _, err = call(*arguments, tmp_path / "a", "--resume")
    assert status == 1 and "is finished" in err


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("fusion", ["concatenate", "linear"])
def test_seeds_train_the_head_again_unless_it_is_a_regression(tmp_path, monkeypatch, fusion):
    def winner(race, able):
        return next(e for e in race.entries if e.fusion == fusion), "So it was asked."

    data = write(tmp_path / "data.csv", orders(60))
    monkeypatch.setattr(networks, "EPOCHS", 2)
    monkeypatch.setattr(board.Board, "winner", winner)
    arguments = ["train", data, "--ignore", "order", "--encoders", "auto", "--seeds", 3]
    status, said, err = call(*arguments)
    assert status == 0, err
    made = data.parent / "run"
    metrics, settings = (
        json.loads((made / f"{name}.json").read_text("utf-8")) for name in ("metrics", "settings")
    )
    if fusion == "linear":
        assert "no random numbers" in said and "seeds" not in metrics
        assert "no random numbers" in settings["parameters"]["seeds"] and settings["seed"] == 0
        return
    seeds = metrics["seeds"]
    assert seeds["seed"] == [0, 1, 2] and "Seed 2, 3 of 3" in said and "3 seeds: mean" in said
    assert len(set(seeds["log_loss"])) == 3, "each has other first weights"
    kept = seeds["accuracy"][settings["seed"]]
    assert kept == metrics["models"]["whole model"]["accuracy"]["value"]
    assert settings["parameters"]["seeds"] == 3
    assert call("predict", made, data, "--out", tmp_path / "p.csv")[0] == 0
    test = read(made / "test_predictions.csv")
    answers = read(tmp_path / "p.csv").iloc[test["row"].astype(int) - 2]
    assert answers["prediction"].tolist() == test["prediction"].tolist()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--encoders", "pretrained"], 1, "mmkeras data fetch minilm-l6 efficientnet-lite0 whisp"),
        (["--encoders", "auto", "--fusion", "gated"], 2, "--fusion is for networks that are trai"),
        (["--encoders", "pretrained", "--epochs", 2], 2, "leave it out, or --encoders pretrained"),
        (["--encoders", "auto", "--image-size", 16], 1, "--image-size 16 is too small"),
        (["--encoders", "all"], 2, "invalid choice: 'all'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path, arguments, status, says):
    data = weather.write(tmp_path / "set", rows=12, new=1)
    found, _, err = call("train", data, *arguments)
    assert found == status and says in err and not (data.parent / "run").exists(), err


def test_what_would_be_added_is_said_and_nothing_is_fetched(monkeypatch):
    def options(**given):
        return types.SimpleNamespace(
            **{"encoders": None, "network": [], "image_size": None} | given
        )

    monkeypatch.setattr(choice, "here", lambda modality: modality == "image")
    for given, modalities, expected, says in (
        (
            {},
            ("text", "image"),
            "auto",
            ("Net-Lite0 for image", "fetch minilm-l6 (84 MB)"),
        ),
        ({}, ("text",), "auto", ("simple features", "would add MiniLM-L6 (reads English)")),
        ({}, ("numbers",), "auto", ("no pretrained ones", "small heads")),
        ({"image_size": 16}, ("image",), "scratch", ("--image-size 16 is too small for Eff",)),
        ({"encoders": "scratch"}, ("text",), "scratch", ()),
        ({"network": ["--epochs"]}, ("text", "audio"), "scratch", ()),
    ):
        o = options(**given)
        o.encoders = choice.resolved(o, modalities)
        assert o.encoders == expected
        said = "\n".join(choice.told(o, given.get("encoders"), modalities))
        assert all(words in said for words in says) and bool(said) == bool(says), said
    monkeypatch.setattr(choice, "here", lambda modality: modality == "text")
    o = options()
    o.encoders = choice.resolved(o, ("text", "image"))
    assert o.encoders == "scratch", "pictures have no features without a pretrained encoder"
    assert "fetch efficientnet-lite0" in "\n".join(choice.told(o, None, ("text", "image")))


# ------------------------------------------------------------------------------ parts


def some_ids():
    rng = np.random.default_rng(0)
    ids = rng.integers(2, 30, (12, 7)).astype(np.int32)
    ids[3, 2:], ids[5] = 0, 0
    ids[4, :3] = 9  # a word three times
    return ids


def test_tf_idf_is_that_of_scikit_learn():
    ids = some_ids()
    idf = branches.inverse_frequency(ids, 30)
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    counts = sparse.coo_matrix((np.ones(ids.size), (rows, ids.reshape(-1))), (len(ids), 30))
    counts = counts.toarray()
    counts[:, :2] = 0
    theirs = TfidfTransformer().fit(counts)
    seen = counts.sum(axis=0) > 0
    np.testing.assert_allclose(idf[seen], theirs.idf_[seen], rtol=1e-6)
    vectors = theirs.transform(counts).toarray()
    np.testing.assert_allclose(sources.tf_idf_rows(ids, idf).toarray(), vectors, atol=1e-6)
    layer = branches.TfIdfSum(30, 4)
    layer.build(ids.shape)
    table = np.random.default_rng(1).normal(size=(30, 4))
    layer.idf.assign(idf)
    layer.table.assign(table)
    np.testing.assert_allclose(layer(ids), vectors @ table, atol=1e-5)


def source(modality, features, there, idf=None, view=""):
    """As `sources` makes one."""
    n = len(features)
    rows = pd.DataFrame({"part": ["train"] * n})
    table = types.SimpleNamespace(rows=rows, vocabulary=[""] * 30)
    if idf is not None:
        blocks = sources.tf_idf_rows(features, idf)
        blocks = sources.tf_idf_rows(features * there[:, None], idf)
        return sources.Source(
            modality, "", table, None, features, there, blocks, idf=idf, view=view
        )
    mean, scale = features.mean(axis=0), 1 / features.std(axis=0) / features.shape[1] ** 0.5
    blocks = (features - mean) * scale * there[:, None]
    return sources.Source(
        modality, "", table, None, features, there, blocks, mean, scale, view=view
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_heads_are_the_regressions_they_were_made_from(classes):
    rng, ids = np.random.default_rng(0), some_ids()
    there = np.ones((2, 12), bool)
    there[0, 5] = there[1, 1] = there[1, 7] = False
    both = [
        source("text", rng.normal(1, 3, (12, 4)).astype("float32"), there[0]),
        source("text", ids, there[0], branches.inverse_frequency(ids, 30), view="counted"),
        source("numbers", rng.normal(3, 2, (12, 5)).astype("float32"), there[1]),
    ]
    y = np.arange(12) % classes
    x = linear.beside([s.blocks for s in both], there)
    scale = np.where(np.arange(x.shape[1]) % 2, 1.0, 0.5)
    found, _ = linear.fit(x, y, None, classes, 3.0, scale=scale)
    names = ["text", "text_counted", "numbers"]
    assert [s.key for s in both] == names
    inputs = {s.key: s.features for s in both} | {"present": there.T.astype("float32")}
    inputs["numbers"] = np.where(there[1][:, None], inputs["numbers"], np.nan)  # it may be anything

    def answered(head):
        p = np.asarray(head(inputs))
        return np.concatenate([1 - p, p], axis=1) if classes == 2 else p

    np.testing.assert_allclose(
        answered(heads.linear_head(both, found)), found.probabilities(x), atol=1e-5
    )
    blocks = [linear.beside([s.blocks for s in both[:2]]), both[2].blocks]
    each = [linear.fit(block, y, None, classes, 1.0)[0] for block in blocks]
    p = np.stack([one.probabilities(block) for block, one in zip(blocks, each, strict=True)])
    mean = (p * there[:, :, None]).sum(axis=0) / there.sum(axis=0)[:, None]
    np.testing.assert_allclose(answered(heads.late_head(both, each)), mean, atol=1e-5)
    for fusion in ("concatenate", "gated"):
        head = heads.network(both, fusion, 1 if classes == 2 else classes)
        assert np.isfinite(answered(head)).all()


def test_a_regression_knows_classes_without_rows():
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = np.where(x[:, 0] > 0, 2, 0)
    found, _ = linear.fit(x, y, None, 3, 10.0)
    p = found.probabilities(x)
    assert p.shape == (40, 3) and p[:, 1].max() < 1e-6 and (p.argmax(axis=1) == y).mean() > 0.9
    same, _ = linear.fit(x, np.zeros(40, int), None, 2, 10.0)
    assert (same.probabilities(x)[:, 0] > 0.999).all()


def test_the_penalty_is_the_one_that_the_validation_rows_like_best():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 40)) / 40**0.5
    y = (x[:, 0] + rng.normal(size=60) * 0.3 > 0).astype(int)
    found = linear.chosen((x[:30], y[:30]), (x[30:], y[30:]), None, 2)
    loss = {
        c: linear.losses(linear.fit(x[:30], y[:30], None, 2, c)[0].probabilities(x[30:]), y[30:])
        for c in linear.STRENGTHS
    }
    found_loss = linear.losses(found.probabilities(x[30:]), y[30:]).mean()
    least, most = (pick(of.mean() for of in loss.values()) for pick in (min, max))
    assert abs(found_loss - least) < 2e-3 < 0.02 < most - least


def test_a_modality_that_is_mostly_noise_is_made_smaller():
    """Its penalty, and no other; a kernel for the columns as they are; never worse than equal."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 64)) / 8
    y = (x[:, 0] + x[:, 1] + rng.normal(size=240) * 0.05 > 0).astype(int)
    modality = np.repeat([0, 1, -1], [2, 61, 1])
    train, valid = (x[:120], y[:120]), (x[120:], y[120:])
    found = linear.weighed(train, valid, None, 2, modality)
    equal = linear.chosen(train, valid, None, 2)
    assert found.scale is not None and (found.scale[modality != 1] == 1).all()
    assert set(found.scale[modality == 1]) <= set(linear.SHARES)
    least, most = (
        linear.losses(one.probabilities(valid[0]), valid[1]).mean() for one in (found, equal)
    )
    assert least < most - 0.02
    direct = linear.fit(x[:120] * found.scale, y[:120], None, 2, found.strength)[0]
    np.testing.assert_allclose(
        direct.kernel * found.scale[:, None], found.kernel, atol=0.02 * abs(found.kernel).max()
    )
    alone = linear.weighed(train, valid, None, 2, np.repeat([0, -1], [63, 1]))
    assert alone.scale is None and alone.strength == equal.strength


def test_layers_of_an_encoder_weigh_the_same():
    """Whatever their widths; and the mean square length of a training row stays 1."""
    rng = np.random.default_rng(0)
    features = rng.normal(2, 5, (40, 12)).astype("float32")
    features[:, 3] = 7  # constant: taken out
    there, part = np.ones(40, bool), np.where(np.arange(40) < 30, "train", "test")
    table = types.SimpleNamespace(rows=pd.DataFrame({"part": part}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "encoded", lambda *_, **__: (features, there))
        found = sources.dense(table, "image", "", None, (4, 8))
    squares = (found.blocks[:30] ** 2).mean(axis=0)
    np.testing.assert_allclose([squares[:4].sum(), squares[4:].sum()], [0.5, 0.5], rtol=1e-5)
    assert not found.scale[3] and found.scale[[0, 1, 2, *range(4, 12)]].all()


def test_a_network_must_earn_its_place():
    """The simplest is taken of those within two standard errors of the best."""
    y = np.arange(200) % 2
    rng = np.random.default_rng(0)

    def answers(right):
        return np.stack([np.where(y == 0, right, 1 - right), np.where(y == 1, right, 1 - right)], 1)

    sure = np.full(200, 0.6)
    noisy = sure + rng.normal(0, 0.05, 200)  # no better, by and large
    better = np.full(200, 0.8)
    for p, expected in ((noisy, "linear"), (better, "concatenate")):
        race = board.Board(y, None, 0)
        race.entries = [
            board.Entry({"text": "a"}, "alone", answers(np.full(200, 0.9))),  # only to compare
            board.Entry({}, "linear", answers(sure)),
            board.Entry({}, "concatenate", answers(p)),
            board.Entry({}, "gated", note="no time was left"),
        ]
        winner, why = race.winner(["linear", "concatenate", "gated"])
        assert winner.fusion == expected and "lowest log loss" in why
    lines = race.lines()
    assert [line["fusion"] for line in lines][-1] == "gated" and lines[0]["fusion"] == "alone"
    json.dumps(lines, allow_nan=False)


def test_advice_names_a_cheaper_tie_and_what_is_better():
    y = np.arange(300) % 2
    rng = np.random.default_rng(0)

    def entry(fusion, right, *names, seconds=1.0):
        sure = np.clip(right + rng.normal(0, 0.05, 300), 0.01, 0.99)
        p = np.stack([np.where(y == k, sure, 1 - sure) for k in (0, 1)], axis=1)
        modalities = ("text", "image") if len(names) == 2 else ("text",)
        return board.Entry(dict(zip(modalities, names, strict=True)), fusion, p, seconds)

    def advice(winner, *others):
        race = board.Board(y, None, 0)
        race.entries = [*others, winner]
        return " ".join(race.advice(winner))

    both = entry("linear", 0.7, "MiniLM", "Net")
    assert advice(both, entry("alone", 0.6, "MiniLM")) == ""
    tied = advice(both, entry("alone", 0.7, "MiniLM"))
    assert "text alone, by MiniLM, ties" in tied and "--without image" in tied
    assert "Take text alone (MiniLM)" in advice(both, entry("alone", 0.8, "MiniLM"))
    one = entry("linear", 0.7, "MiniLM")
    dear = entry("alone", 0.7, "MiniLM", seconds=9)
    cheap, poor = entry("alone", 0.7, "TF-IDF"), entry("alone", 0.6, "TF-IDF")
    assert "by TF-IDF, ties" in advice(one, dear, cheap) and advice(one, dear, poor) == ""
    assert "shown to be of use" in advice(entry("linear", 0.4, "MiniLM"))
