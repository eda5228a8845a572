"""The stored tables of the scenes belong to the data of today, and agree with each other."""

import importlib
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmkeras.datasets import load_scenes
from mmkeras.datasets.scene_questions import questions

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
CHAPTER = FOLDER.parent / "notebooks" / "14_cross_modal_transformer.ipynb"


def imported(name: str):
    sys.path.insert(0, str(FOLDER))  # its files import each other, as when it is run
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def bench():
    return imported("scenes")


@pytest.fixture(scope="module")
def fresh():
    return imported("scenes_fresh")


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "results" / f"scenes_{name}.csv")


@pytest.mark.slow
def test_the_stored_replies_are_those_of_todays_test_scenes(bench):
    table = read("replies")
    assert set(table["artist"]) == set(bench.SPLITS)
    keys = ["model", "variant", "fit", "by"]
    for artist, block in table.groupby("artist"):
        test = load_scenes(held_out_artist=artist, seed=bench.SPLITS[artist]).split()[2]
        want = bench.groups(test).value_counts().rename("count").sort_index()
        for _, of in block.groupby(keys):
            got = of.set_index(bench.UNIT)["count"].sort_index()
            assert got.to_dict() == want.to_dict()


def test_each_fit_has_its_replies_and_its_accuracy_is_theirs():
    fits, replies = read("fits"), read("replies")
    keys = ["artist", "model", "variant", "fit"]
    sums = replies[replies["by"] == "model"].groupby(keys)[["sum", "count"]].sum()
    share = 100 * sums["sum"] / sums["count"]
    stored = fits.set_index(keys)["reply"]
    assert stored.index.is_unique and len(stored) == len(share)
    assert (share.loc[stored.index] - stored).abs().max() < 0.01


def test_cross_attention_uses_all_three_modalities(bench):
    fits = read("fits")
    full = fits[fits["variant"] == "full"]
    cross = full[full["model"] == "cross-attention"]
    assert (cross.groupby("artist")["reply"].mean() > 52).all()
    assert (full.groupby(["artist", "model"]).size() == bench.FITS).all()


def test_the_rule_reads_the_right_cell(bench):
    from mmkeras.datasets.scenes import COLOURS, KINDS, PLACES

    rng = np.random.default_rng(0)
    kind, colour = rng.permutation(5)[:4], rng.permutation(7)[:4]
    given = {"kind": 9.0 * np.eye(5)[kind][None], "colour": 9.0 * np.eye(7)[colour][None]}
    for cell in range(4):
        names = KINDS[kind[cell]], f"{COLOURS[colour[cell]]} one", f"{PLACES[cell]} one"
        replies = colour[cell], 7 + kind[cell], 12 + cell
        for text in names:
            for asked, reply in enumerate(replies):
                assert bench.by_rule(given, [f"that {text}"], np.array([asked])) == [reply]
    assert bench.by_rule(given, ["the red one"], np.array([-1])) == [-1]


def test_training_batches_are_changed_where_they_should_be(bench):
    models, rng = sys.modules["scene_models"], np.random.default_rng(0)
    x = {"image": rng.normal(size=(400, 4, 496)), "audio": np.ones((400, 50, 40), "float32")}
    x["text"] = np.tile(np.array([2, 3, 4, 0, 0, 0, 0], "int32"), (400, 1))
    kept = {name: values.copy() for name, values in x.items()}
    got = models.augment(x, rng)
    for name in x:
        np.testing.assert_array_equal(x[name], kept[name])  # the batch itself stays
    np.testing.assert_array_equal(got["image"], x["image"])
    hidden = got["audio"] == 0
    assert 0.1 < hidden.mean() < 0.4 and set(np.unique(got["audio"])) == {0.0, 1.0}
    assert hidden.all(axis=2).sum(axis=1).max() <= 20 and hidden.all(axis=1).sum(axis=1).max() <= 8
    unknown = (got["text"] == 1).sum(axis=1)
    assert set(unknown) >= {0, 1, 2} and got["text"].dtype == np.int32
    assert ((got["text"] > 0).sum(axis=1) - 3 <= 2).all()


@pytest.mark.slow
def test_a_model_that_is_trained_again_starts_anew(bench):
    models, rng = sys.modules["scene_models"], np.random.default_rng(0)
    x = {"image": rng.normal(size=(80, 4, 496)), "audio": rng.normal(size=(80, 50, 40))}
    x["text"] = rng.integers(2, 9, size=(80, 7))
    y = {"reply": rng.integers(16, size=80), "intent": rng.integers(3, size=80)}
    y |= {"kind": rng.integers(5, size=(80, 4)), "colour": rng.integers(7, size=(80, 4))}
    trainer, found = models.Trainer("concatenation"), []
    for seed in (1, 2, 1):
        trainer.fit(x, y, 20, seed)
        found.append(trainer.model.get_layer("reply").kernel.numpy())
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_the_rate_rises_and_falls_and_unknown_words_are_told_from_padding(bench):
    models = sys.modules["scene_models"]
    rates = [models.rate_at(step, 100) for step in range(100)]
    assert int(np.argmax(rates)) in (9, 10) and rates[0] > 0 and rates[-1] < 1e-5
    words = models.Vocabulary(["the red one", "that animal"])
    ids = words(["the green animal", "red"])
    assert ids[0, 1] == 1 and (ids[0, 3:] == 0).all() and ids[1, 0] > 1


@pytest.mark.parametrize("kind", ["concatenation", "self-attention", "cross-attention"])
def test_padding_changes_no_reply(bench, kind):
    models, rng = sys.modules["scene_models"], np.random.default_rng(0)
    model = models.build(kind, 9)
    x = {"image": rng.normal(size=(2, 4, 496)), "audio": rng.normal(size=(2, 50, 40))}
    x["text"] = np.array([[2, 3, 0, 0, 0, 0, 0]] * 2)
    before = model.predict_on_batch(x)["reply"]
    padding = model.get_layer("words").embeddings
    padding.assign(np.concatenate([[np.full(64, 9.0)], padding.numpy()[1:]]))
    np.testing.assert_allclose(model.predict_on_batch(x)["reply"], before, atol=1e-5)
    x["text"][:, 1] = 4
    assert np.abs(model.predict_on_batch(x)["reply"] - before).max() > 1e-3


def test_a_program_with_all_rules_is_ahead_in_every_fit():
    table = read("rules")
    sums = table.groupby(["artist", "fit", "by"])[["sum", "count"]].sum()
    share = (100 * sums["sum"] / sums["count"]).unstack()
    assert share.shape == (12, 4) and (sums["count"] == sums["count"].iloc[0]).all()
    assert (share["all rules"] > share["model"]).all()
    text = (FOLDER.parent / "docs" / "results.md").read_text("utf-8")
    mean = share.groupby("artist").mean().mean()
    assert f"**{mean['all rules']:.1f}%**" in text and f"{mean['model']:.1f}%" in text


def test_four_cells_that_differ_share_each_value_at_most_once(bench):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 5))
    given = bench.shares(logits, differ=True)
    np.testing.assert_allclose(given.sum(axis=2), 1)
    assert (given.sum(axis=1) <= 1 + 1e-9).all()  # a value lies in one cell at most
    sure = np.full((1, 4, 4), -20.0)
    sure[0, np.arange(4), [2, 0, 3, 1]] = 20
    np.testing.assert_allclose(bench.shares(sure, True), bench.shares(sure, False), atol=1e-6)
    tie = np.zeros((1, 4, 4))
    tie[0, 0, 0] = tie[0, 1, 0] = 5.0  # both cells look like value 0: only one of them can be it
    assert bench.shares(tie, True)[0, :2, 0].sum() == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_the_fresh_fits_are_each_way_once_on_scenes_of_today(bench, fresh):
    table, rates = read("fresh"), read("fresh_rates")
    assert len(table) == len(fresh.SPLITS) * len(fresh.WAYS)
    assert not table.duplicated([*fresh.WAY, "seed"]).any()
    assert not {*fresh.SPLITS, *fresh.CHOICE} & {*bench.SPLITS.values()}
    assert not {*fresh.SPLITS} & {*fresh.CHOICE} and set(rates["seed"]) == {*fresh.CHOICE}
    assert table.groupby("seed")["scenes"].nunique().eq(1).all()
    for seed in (min(fresh.SPLITS), max(fresh.SPLITS)):
        test = load_scenes(held_out_artist=fresh.SPLITS[seed], seed=seed).split()[2]
        assert set(table.loc[table["seed"] == seed, "scenes"]) == {fresh.digest(test)}


def test_each_way_has_the_rate_of_its_best_validation_replies(fresh):
    table, rates = read("fresh"), read("fresh_rates")
    for way, block in rates.groupby(fresh.WAY):
        best = block.loc[block["valid"].idxmax(), "rate"]
        assert block["rate"].min() < best < block["rate"].max()  # not at an end of what was tried
        assert fresh.chosen(rates.to_dict("records"), way)[0] == best
        assert set(table[(table[fresh.WAY] == list(way)).all(axis=1)]["rate"]) == {best}


def test_the_intervals_are_paired_and_corrected(fresh):
    table = read("fresh")
    found, by = fresh.differences(table), table.set_index([*fresh.WAY, "seed"]).sort_index()
    assert len(found) == len(fresh.COMPARISONS) == 13
    one, other = (by.loc[("cross-attention", aux, 500), "reply"] for aux in (True, False))
    want = stats.ttest_rel(one, other).confidence_interval(1 - 0.05 / 13)
    row = found.loc["auxiliary loss: cross-attention, 500"]
    assert row["low"] == pytest.approx(want.low) and row["high"] == pytest.approx(want.high)
    rules = by.loc[("cross-attention", True, 500), "all_rules"]
    assert found.loc["all rules - 70", "mean"] == pytest.approx(rules.mean() - 70)


def test_loss_and_rate_are_crossed_on_the_same_splits(fresh):
    table, fits = read("fresh_one_rate"), read("fresh")
    ways = [["auxiliary", "rate", "seed"], {True, False}, {0.003, 0.009}, {*fresh.SPLITS}]
    assert len(table) == 4 * len(fresh.SPLITS) and not table.duplicated(ways[0]).any()
    assert all(set(table[name]) == want for name, want in zip(ways[0], ways[1:], strict=True))
    scenes = fits.groupby("seed")["scenes"].first()
    assert (table["scenes"] == table["seed"].map(scenes)).all()
    found, by = fresh.one_rate(fits, table), table.set_index(ways[0])["reply"].sort_index()
    assert len(found) == len(fresh.ONE_RATE) == 5
    want = stats.ttest_rel(by[True, 0.009], by[False, 0.009]).confidence_interval(1 - 0.05 / 18)
    row = found.loc["auxiliary loss, both at 0.009"]
    assert row["low"] == pytest.approx(want.low) and row["high"] == pytest.approx(want.high)
    cross = fits[(fits["model"] == "cross-attention") & ~fits["auxiliary"]]["reply"].mean()
    lead = found.loc["cross - concatenation at 0.009, without", "mean"]
    assert lead == pytest.approx(cross - by[False, 0.009].mean())


def test_the_program_of_the_chapter_is_that_of_the_benchmark(bench):
    sources = [cell.source for cell in nbformat.read(CHAPTER, 4).cells if cell.cell_type == "code"]
    known: dict = {}
    exec(next(source for source in sources if source.startswith("import mmkeras")), known)
    for name in ("deal", "program"):
        exec(next(source for source in sources if f"def {name}(" in source), known)
    rng = np.random.default_rng(0)
    given = {"kind": rng.normal(size=(90, 4, 5)), "colour": rng.normal(size=(90, 4, 7))}
    given["intent"] = rng.normal(size=(90, 3))
    names = [*known["INTENTS"], *known["REPLIES"]][3:]
    texts = np.array([f"that {names[row % 16]} one" for row in range(90)])
    asked = bench.not_typed(given["intent"], texts)
    want = bench.by_rule(given, texts, asked, differ=True)
    np.testing.assert_array_equal(known["program"](given, texts), want)
    heard = rng.integers(-1, 3, size=90)
    want = bench.by_rule(given, texts, heard, differ=True)
    np.testing.assert_array_equal(known["program"](given, texts, heard), want)


def test_the_cascade_heard_the_clips_and_the_test_scenes_of_today():
    whisper = imported("scenes_whisper")
    table = pd.read_csv(whisper.CLIPS, keep_default_na=False).set_index("clip")
    names = ["sentence", "intent", "wording", "voice"]
    pd.testing.assert_frame_equal(
        table[names], questions().loc[table.index, names], check_dtype=False, check_names=False
    )
    right, shares = table["transcript"].map(whisper.heard_in) == table["intent"], read("heard")
    assert list(shares["seed"]) == list(whisper.SPLITS)
    first = shares.iloc[0]
    test = load_scenes(held_out_artist=first["artist"], seed=int(first["seed"])).split()[2]
    assert first["whisper"] == pytest.approx(100 * right[test.clip].mean(), abs=0.01)
    assert first["clips"] == len(set(test.clip))


@pytest.mark.parametrize(
    ("transcript", "want"),
    [("What is my place?", "place"), ("I want to know this color.", "colour"), ("The kine.", "")],
)
def test_the_rule_of_the_cascade_looks_for_three_words(transcript, want):
    assert imported("scenes_whisper").heard_in(transcript) == want


@pytest.fixture(scope="module")
def dialogue():
    return imported("scenes_dialogue")


def test_a_second_turn_fills_one_slot_and_never_types_what_is_asked(bench, dialogue):
    test = load_scenes(held_out_artist="twemoji", seed=141).split()[2].take(range(200))
    second = dialogue.second_turns(test, 141)
    intent = dict(zip(test.clip, test.intent, strict=True))
    first = np.array([bench.typed(text) for text in test.text])
    assert (second["intent"] == [intent[clip] for clip in second["clip"]]).all()
    assert (second["intent"] != first).all()  # what was typed is not asked
    assert 60 < (second["intent"] == test.intent).sum() < 140  # in half of them asked again
    assert (second["cell"] != test.meant).all() and (second["by"] != test.intent).all()
    assert [bench.typed(text) for text in second["text"]] == second["by"].tolist()
    truth = {"colour": test.colours, "kind": test.kinds}
    share = {name: np.eye(7 if name == "colour" else 5)[of] for name, of in truth.items()}
    assert (dialogue.cells_of(share, second["text"]) == second["cell"]).all()
    reply = dialogue.read_off(share, test.meant, test.intent)
    assert (reply == test.y).all()  # the truth in all slots gives the right replies
    assert {dialogue.form_of(text) for text in test.text} == {"i mean the {}", "the {} please"}


def test_a_belief_is_chosen_among_what_is_not_ruled_out(dialogue):
    belief = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 5.0, 1.0]])
    assert dialogue.likeliest(belief).tolist() == [0, 0, 1]
    assert dialogue.likeliest(belief, np.array([0, 1, 1])).tolist() == [1, 0, 2]
    ruled_out = np.array([0, 1, 1]), np.array([1, 0, 1])
    assert dialogue.likeliest(belief, *ruled_out).tolist() == [2, 2, 2]


def test_the_stored_dialogues_agree_with_the_stored_replies(dialogue, fresh):
    table = read("dialogue").fillna({"way": ""}).set_index(["seed", "turn", "way"])
    assert table.index.is_unique and len(table) == 6 * len(fresh.SPLITS)
    assert (table["both"] <= table[["asked", "meant"]].min(axis=1)).all()
    assert (table["both"] >= table["asked"] + table["meant"] - 100.1).all()
    fits = read("fresh").query("model == 'cross-attention' and auxiliary").set_index("seed")
    first = table.xs(("first", ""), level=("turn", "way"))
    assert (first["reply"] - fits["all_rules"]).abs().max() < 6  # another training
    wide = table.xs("drawing", level="turn")["asked"].unstack("way")
    assert (wide["belief"] >= wide["decided"]).all()  # where it differs, the decision was wrong
