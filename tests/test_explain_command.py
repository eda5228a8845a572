"""What an answer came from: a model whose effects are known, and the pages."""

import html.parser
import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import soundfile
from command_line import call, change, read, write
from keras import layers
from PIL import Image

from conftest import HOSTILE
from mmkeras.explain import mean_gain, without_each
from mmkeras.missing import BlankAbsent
from mmkeras.table import cuts, load_table, run
from mmkeras.table.explained import Explainer
from mmkeras.table.report import drawn
from mmkeras.table.report import explained as html_of

pytestmark = pytest.mark.usefixtures("own_cache")

# ------------------------------------------------------------------------------ a game by hand


def test_a_sum_is_divided_into_its_terms_by_both_methods():
    weights = np.array([1.5, -2, 0, 3, 0.25, -1, 7])

    def value(keep):
        return 4 + keep @ weights

    np.testing.assert_allclose(without_each(value, 7), weights, atol=1e-12)
    np.testing.assert_allclose(mean_gain(value, 7, 3), weights, atol=1e-12)
    np.testing.assert_allclose(mean_gain(lambda keep: keep @ weights[:4], 4), weights[:4])


def test_two_that_say_the_same_share_it_and_what_counts_only_together_is_shared_too():
    either = np.array([0, 1, 1, 0, 0, 0], bool)

    def alarm(keep):
        return (keep & either).any(axis=1).astype(float)

    def both(keep):
        return keep[:, :2].all(axis=1).astype(float)

    np.testing.assert_array_equal(without_each(alarm, 6), np.zeros(6))
    np.testing.assert_allclose(mean_gain(alarm, 6, 20), either / 2, atol=1e-12)
    np.testing.assert_allclose(mean_gain(both, 4), [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(without_each(both, 4), [1, 1, 0, 0])


def test_few_parts_get_the_values_of_the_formula_and_many_still_sum_to_the_whole():
    rng = np.random.default_rng(3)
    told = rng.normal(size=2**5)

    def value(keep):
        return told[keep @ 2 ** np.arange(keep.shape[1])]

    wanted = np.zeros(5)
    for order in itertools.permutations(range(5)):
        subset = 0
        for r in order:
            wanted[r] += (told[subset | 1 << r] - told[subset]) / math.factorial(5)
            subset |= 1 << r
    np.testing.assert_allclose(mean_gain(value, 5), wanted)
    told = rng.normal(size=2**9)
    for seed in (0, 1):
        assert np.isclose(mean_gain(value, 9, 2, seed).sum(), told[-1] - told[0])
    assert not np.allclose(mean_gain(value, 9, 2, 0), mean_gain(value, 9, 2, 1))


@pytest.mark.parametrize("size, permutations, seed", [(0, 1, 0), (3, 0, 0), (3, 1, -1)])
def test_a_game_without_parts_or_orders_is_refused(size, permutations, seed):
    with pytest.raises(ValueError):
        mean_gain(lambda keep: keep.sum(1), size, permutations, seed)


# ------------------------------------------------------------------------------ a model by hand

WORDS = {"cold": -2.0, "warm": 1.5, "very": 0.0, "sunny": 3.0}
DEGREES, TOWN, LOUD, BRIGHT, BIAS = 0.8, {"bergen": -1.0, "porto": 0.5}, 2.0, 0.01, -0.3


def hand_made(table):
    """A model whose log-odds are a sum over words, pixels, samples and columns."""
    s = table.settings
    present = keras.Input((4,), name="present")
    shapes = {"text": (s["words"],), "image": (*s["image_size"], 3), "audio": (8000,),
              "numbers": (len(table.number_names),)}  # fmt: skip
    inputs, read = {}, []
    for column, (name, shape) in enumerate(shapes.items()):
        inputs[name] = keras.Input(shape, name=name, dtype="int32" if name == "text" else "float32")
        x = BlankAbsent(column, name=f"{name}_or_blank")(inputs[name], present)
        if name == "text":
            x = layers.Embedding(len(table.vocabulary), 1, name="weights")(x)
        if name == "audio":
            x = layers.ReLU(name="loud")(x)
        read.append(layers.Flatten(name=f"{name}_flat")(x))
    head = layers.Dense(1, "sigmoid", name="answer")
    model = keras.Model([*inputs.values(), present], head(layers.Concatenate()(read)))
    of_words = [WORDS.get(word, 0) for word in table.vocabulary]
    model.get_layer("weights").set_weights([np.array(of_words)[:, None]])
    of_numbers = [
        DEGREES if name == "degrees" else TOWN.get(name.removeprefix("town = "), 0)
        for name in table.number_names
    ]
    pixels = BRIGHT / math.prod(shapes["image"])
    kernel = [np.ones(shapes["text"]), np.full(math.prod(shapes["image"]), pixels)]
    kernel += [np.full(8000, LOUD / 8000), np.array(of_numbers)]
    head.set_weights([np.concatenate(kernel)[:, None], np.array([BIAS])])
    return model


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """(table, model, pixels, wave): a table of three rows, the last of which has numbers only."""
    folder = tmp_path_factory.mktemp("known")
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 255, (8, 4, 3), np.uint8)
    pixels[6] = 0  # a black line in the middle belongs to the picture
    wave = (rng.uniform(-0.9, 0.9, 8000) * np.repeat([1, 0.1, 0, 0.5], 2000)).astype(np.float32)
    Image.fromarray(pixels).save(folder / "a.png")
    soundfile.write(folder / "a.wav", wave, 8000, subtype="FLOAT")
    body = [
        ["very cold, WARM very", "a.png", "a.wav", "12", "porto", "no", "train"],
        ["sunny", "", "", "18", "porto", "yes", "train"],
        ["", "", "", "15", "bergen", "no", "train"],
        *([word, "", "", "15", "bergen", label, part] for word in ("cold", "warm")
          for label in ("no", "yes") for part in ("train", "valid", "test")),
    ]  # fmt: skip
    header = ["text", "image", "audio", "degrees", "town", "label", "split"]
    path = write(folder / "data.csv", [header, *body])
    learned = load_table(
        path, text="text", image="image", audio="audio", numbers=["degrees"], categories=["town"],
        split="split", words=6, image_size=(8, 8), audio_seconds=1, cache=False,
    )  # fmt: skip
    table = load_table(path, label=None, cache=False, **learned.settings)
    cells = dict(zip(header, body[0], strict=True))
    return table, hand_made(table), table.inputs(np.array([0])), cells


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_effects_of_an_additive_model_are_its_terms(known, method):
    table, model, x, cells = known
    explain = Explainer(model, table, ["no", "yes"], method=method, grid=2, stretches=4)
    one = explain(0, cells, 1)
    p = float(model.predict_on_batch(x)[0, 0])
    assert one.odds == pytest.approx(np.log(p / (1 - p)), abs=1e-4) and one.row == 2
    assert one.nothing == pytest.approx(BIAS, abs=1e-5)
    assert sum(one.shares.values()) == pytest.approx(one.odds - one.nothing, abs=1e-4)
    found = {cut.modality: (cut.names, effects) for cut, effects, _ in one.parts}
    names, effects = found["text"]
    assert names == ["very", "cold,", "WARM", "very"]
    np.testing.assert_allclose(effects, [0, -2, 1.5, 0], atol=1e-4)
    assert one.shares["text"] == pytest.approx(-0.5, abs=1e-4)
    names, effects = found["numbers"]
    z = x["numbers"][0, table.number_names.index("degrees")]
    assert names == ["degrees = 12", "town = porto"]
    usual = TOWN[cuts.first_level(table.settings["numbers"], "town")]
    np.testing.assert_allclose(effects, [DEGREES * z, TOWN["porto"] - usual], atol=1e-4)
    names, effects = found["audio"]
    loud = np.maximum(x["audio"][0], 0).reshape(4, 2000).sum(1) * LOUD / 8000
    assert names[0] == "0.00 to 0.25 s"
    np.testing.assert_allclose(effects, loud, atol=1e-4)
    inside = x["image"][0][:, 2:6].astype(float)  # 8 × 4, with black margins at both sides
    over = (inside - inside.mean(axis=(0, 1)).round()).sum(axis=2) * BRIGHT / 192
    quarters = [over[a : a + 4, b : b + 2].sum() for a in (0, 4) for b in (0, 2)]
    np.testing.assert_allclose(found["image"][1], quarters, atol=1e-4)


def test_the_other_class_has_the_opposite_effects(known):
    table, model, _, cells = known
    explain = Explainer(model, table, ["no", "yes"], method="occlusion", grid=2)
    yes, no = (explain(0, cells, target) for target in (1, 0))
    assert yes.odds == pytest.approx(-no.odds, abs=1e-5)
    for (_, a, _), (_, b, _) in zip(yes.parts, no.parts, strict=True):
        np.testing.assert_allclose(a, -b, atol=1e-4)


def test_what_a_row_lacks_has_neither_share_nor_part(known):
    table, model, _, _ = known
    one = Explainer(model, table, ["no", "yes"])(2, {"degrees": "15", "town": "bergen"}, 1)
    assert one.shares["text"] is None and one.shares["image"] is None
    assert [cut.modality for cut, *_ in one.parts] == ["numbers"]
    page = html_of.page(one, ["no", "yes"], ABOUT, html_of.links([4], 0))
    for what in ("text", "picture", "sound"):
        assert f"This row has no {what}." in page
    assert "<h2>The text</h2>" not in page and "<h2>Numbers and categories</h2>" in page


ABOUT = {"data": "d", "run": "r", "method": "shapley", "permutations": 4, "command": "mmkeras"}

# ------------------------------------------------------------------------------ the cuts


def test_words_are_cut_out_of_the_cell_itself():
    text = "  Sunny,  warm\nday"
    spans = cuts.spans_of(text)
    assert [text[a:b] for a, b in spans] == ["Sunny,", "warm", "day"]
    assert cuts.rest(text, spans, np.array([True, False, True])).split() == ["Sunny,", "day"]
    assert cuts.rest(text, spans, np.array([False] * 3)) == ""
    assert cuts.rest(text, spans, np.array([True] * 3)) == text.strip()
    assert cuts.spans_of("") == cuts.spans_of(" \n") == ()


def test_scripts_without_spaces_are_cut_by_character_and_long_texts_into_stretches():
    text = "今日は sunny です"
    assert [text[a:b] for a, b in cuts.spans_of(text)] == ["今", "日", "は", "sunny", "で", "す"]
    assert len(cuts.spans_of("ab c", characters=True)) == 3
    text = " ".join(f"w{i}" for i in range(130))
    spans = cuts.spans_of(text, most=60)
    assert len(spans) == 44 and text[slice(*spans[0])] == "w0 w1 w2"
    assert text[slice(*spans[-1])] == "w129"


def test_black_margins_belong_to_no_patch_and_a_small_picture_has_few():
    pixels = np.zeros((10, 6, 3), np.uint8)
    pixels[2:8, 1:4] = 200
    cut = cuts.of_picture(pixels, 8)
    assert len(cut.names) == 18 and (cut.labels >= 0).sum() == 18
    gone = cut.without(np.zeros((1, 18), bool))["image"]
    np.testing.assert_array_equal(gone[0], pixels)  # its mean colour is its only colour
    assert len(cuts.of_picture(np.zeros((3, 3, 3), np.uint8), 2).names) == 4
    wave = cuts.of_sound(np.ones(3, np.float32), 10, 16)
    np.testing.assert_array_equal(wave.without(np.eye(3, dtype=bool))["audio"], np.eye(3))


def test_a_blank_number_is_a_part_with_the_effect_of_its_gap(known):
    learned = {
        "numbers": {"age": {"mean": 50.0, "spread": 10.0, "gaps": True, "decimal": "", "sign": ""}},
        "categories": {"ward": {"levels": ["B", "A"], "other": True}},
    }
    cut = cuts.of_numbers(np.array([0, 1, 0, 0, 1], "float32"), learned, {"age": ""})
    assert cut.names == ["age = (blank)", "ward = (blank)"]
    keeps = np.array([[False, True], [True, False]])
    np.testing.assert_array_equal(cut.without(keeps)["numbers"], [[0, 0, 0, 0, 1], [0, 1, 1, 0, 0]])


# ------------------------------------------------------------------------------ the pages


class Balanced(html.parser.HTMLParser):
    """Reads a page; fails if a tag is not closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.names, self.links = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.links += [value for key, value in attrs if key in ("href", "src")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def explained(trained, tmp_path_factory, own_cache):
    out = tmp_path_factory.mktemp("pages") / "out"
    new = trained.folder / "new.csv"
    status, said, err = call("explain", trained.run, new, "--out", out, "--method", "occlusion")
    assert status == 0, err
    return out, said


def test_each_row_has_a_page_that_says_what_predict_says(trained, explained, tmp_path):
    out, said = explained
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["index.html", *(f"row-{row}.html" for row in range(2, 11))]
    )
    assert f"Wrote {out}: 9 pages, and index.html" in said
    call("predict", trained.run, trained.folder / "new.csv", "--out", tmp_path / "p.csv")
    answers, index = read(tmp_path / "p.csv"), (out / "index.html").read_text("utf-8")
    for i, row in answers.iterrows():
        page = (out / f"row-{i + 2}.html").read_text("utf-8")
        p = float(row[f"probability_{row['prediction']}"])
        said = html_of.number(p, 2).replace(">", "&gt;")
        assert f"<h1>Row {i + 2}: &#39;{row['prediction']}&#39; with probability {said}" in page
        for column, what in (("text", "text"), ("image", "picture"), ("audio", "sound")):
            assert (f"This row has no {what}." in page) == (row[column] == "")
            assert (f"<h2>The {what}</h2>" in page) == (row[column] != "")
        assert f'<a href="row-{i + 2}.html">row {i + 2}</a>' in index


def test_a_page_is_whole_holds_everything_and_asks_for_nothing(explained):
    out, _ = explained
    for path in out.iterdir():
        page = Balanced(path.read_text("utf-8"))
        assert "script" not in page.names and "link" not in page.names
        for link in page.links:
            assert link.startswith("data:") or (out / link).is_file(), link[:40]
    text = (out / "row-4.html").read_text("utf-8")
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_text_and_names_of_the_data_are_never_markup(trained, tmp_path):
    out = tmp_path / "out"
    status, _, err = call("explain", trained.run, trained.data, "--rows", "4", "--out", out,
                          "--skip-bad-rows", "--method", "occlusion")  # fmt: skip
    assert status == 0, err
    page = (out / "row-4.html").read_text("utf-8")
    assert HOSTILE not in page and "&lt;script&gt;" in page
    assert "script" not in Balanced(page).names
    assert HOSTILE not in (out / "index.html").read_text("utf-8")


def test_rows_class_and_force(trained, tmp_path):
    out, new = tmp_path / "out", trained.folder / "new.csv"
    asked = ["explain", trained.run, new, "--out", out, "--method", "occlusion", "--grid", "2"]
    assert call(*asked, "--rows", "3,9-10,3")[0] == 0
    assert sorted(p.name for p in out.glob("row-*")) == ["row-10.html", "row-3.html", "row-9.html"]
    (out / "mine.txt").write_text("kept")
    status, _, err = call(*asked, "--rows", "2")
    assert status == 1 and "holds files already" in err and "--force" in err
    name = trained.settings["classes"][1]
    assert call(*asked, "--rows", "2", "--class", name, "--force")[0] == 0
    assert sorted(p.name for p in out.iterdir()) == ["index.html", "mine.txt", "row-2.html"]
    assert f"Explained are the log-odds of &#39;{name}&#39;" in (out / "row-2.html").read_text()


@pytest.mark.parametrize(
    "options, says",
    [
        (["--rows", "12"], "--rows: there is no row 12; new.csv has rows 2 to 10"),
        (["--class", "sunn"], "--class sunn: there is no such class; did you mean 'sun'?"),
    ],
)
def test_a_row_or_class_that_is_not_there_is_named(trained, tmp_path, options, says):
    out = tmp_path / "out"
    status, _, err = call("explain", trained.run, trained.folder / "new.csv", *options,
                          "--out", out)  # fmt: skip
    assert status == 1 and says in err and not out.exists()


def test_bad_tables_are_told_in_the_flags_of_the_command(trained, tmp_path):
    new, out = trained.folder / "new.csv", tmp_path / "out"

    def spoil(rows):
        rows[2][1] = "pictures/none.png"

    def drop(rows):
        for row in rows:
            del row[2]

    bad = change(new, spoil, trained.folder / "spoilt.csv")
    status, _, err = call("explain", trained.run, bad, "--out", out)
    assert status == 1 and "row 3, column 'image'" in err and "--skip-bad-rows" in err
    status, _, err = call("explain", trained.run, bad, "--out", out, "--skip-bad-rows",
                          "--rows", "3")  # fmt: skip
    assert status == 1 and "row 3 was left out" in err
    gone = change(new, drop, trained.folder / "no_audio.csv")
    status, _, err = call("explain", trained.run, gone, "--out", out)
    assert status == 1 and "no such column" in err and "--allow-missing-columns" in err
    status, said, err = call("explain", trained.run, gone, "--out", out, "--rows", "4",
                             "--allow-missing-columns", "--method", "occlusion")  # fmt: skip
    assert status == 0 and "no column 'audio'" in said, err
    assert "This row has no sound." in (out / "row-4.html").read_text("utf-8")
    empty = change(new, lambda rows: rows.__delitem__(slice(1, None)), trained.folder / "none.csv")
    status, _, err = call("explain", trained.run, empty, "--out", tmp_path / "e")
    assert status == 1 and "Traceback" not in err and not (tmp_path / "e").exists()
    assert call("explain", trained.run, tmp_path / "no.csv")[0] == 1
    assert call("explain", tmp_path, new)[0] == 1


def test_a_run_of_numbers_and_one_of_version_0_1_0_are_explained(two_seeds, tmp_path):
    rows = [["degrees", "cup"], ["71.5", "mug"], ["97", ""]]
    status, _, err = call("explain", two_seeds.run, write(tmp_path / "new.csv", rows))
    assert status == 0, err
    page = (tmp_path / "new.explained" / "row-2.html").read_text("utf-8")
    assert "degrees = 71.5" in page and "cup = mug" in page
    old = Path(__file__).parent / "data" / "run_of_0_1_0"
    out = tmp_path / "old"
    status, _, err = call("explain", old, old / "new.csv", "--out", out, "--rows", "2")
    assert status == 0, err
    assert 'class="words"' in (out / "row-2.html").read_text("utf-8")


def test_frozen_encoders_are_explained_without_their_files(frozen, tmp_path, monkeypatch):
    """Log-odds that are read inside of the head agree with the probabilities of predict."""
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))  # no encoder is in it
    data, made, out = frozen.data, frozen.run, tmp_path / "out"
    new = ("explain", made, data.parent / "new.csv", "--rows", "2-4")
    status, _, err = call(*new, "--out", out, "--grid", "2")
    assert status == 0 and len(list(out.glob("row-*.html"))) == 3, err
    model, settings = run.load(made)
    table = load_table(data.parent / "new.csv", label=None, cache=False, **settings["table"])
    one = Explainer(model, table, settings["classes"], method="occlusion", grid=2)(1, {}, 2)
    assert 1 / (1 + np.exp(-one.odds)) == pytest.approx(one.p[2], abs=1e-4)
    shares = [share for share in one.shares.values() if share is not None]
    assert sum(shares) == pytest.approx(one.odds - one.nothing, abs=1e-3)


# ------------------------------------------------------------------------------ the drawings


def test_marks_show_sign_and_size_without_colour_too():
    cut = cuts.Cut("text", ["a", "b", "c"], lambda keep: {}, ((0, 1), (2, 3), (4, 5)))
    drawn_words = str(drawn.words("a b c <", cut, np.array([2.0, -1.0, 0.001])))
    marks = re.findall(r'<mark title="(.*?)" style="background: rgba\((.*?)\)"(.*?)>', drawn_words)
    assert [title for title, *_ in marks] == ["+2.00", "−1.00", "0.00"]
    assert [kind.strip() for *_, kind in marks] == ['class="for"', 'class="against"', ""]
    assert marks[0][1].endswith("0.75") and marks[1][1].endswith("0.38")
    assert drawn_words.endswith(" &lt;</p>")
    assert drawn.signed(-0.001) == "0.00" and drawn.signed(-0.5) == "−0.50"
    left, right = (str(drawn.bar(effect, 2.0)) for effect in (-1.0, 2.0))
    assert "left: 25.0%; width: 25.0%" in left and "left: 50.0%; width: 50.0%" in right


def test_faint_effects_are_drawn_faint():
    assert drawn.scale_of(np.array([0.001, -0.002])) == drawn.FAINT
    assert drawn.scale_of(np.array([0.5, -3.0])) == 3.0
    assert drawn.scale_of(np.zeros(0)) == drawn.FAINT


def test_patches_and_stretches_tell_their_effect():
    pixels = np.full((4, 4, 3), 100, np.uint8)
    cut = cuts.of_picture(pixels, 2)
    svg = str(drawn.over_picture(pixels, cut, np.array([1.0, -1.0, 0.1, 0.0]), 'a "map"'))
    assert svg.count("<rect") == 4 and svg.count(">+</text>") == svg.count(">−</text>") == 1
    assert "row 1, column 2: −1.00" in svg and "a &#34;map&#34;" in svg
    svg = str(drawn.over_time(np.zeros(100, np.float32), 100, np.array([1.0, -2.0]), ["a", "b"]))
    assert svg.count("<rect") == 2 and "b: −2.00" in svg and ">0.5 s<" in svg
    assert "nan" not in svg


def test_the_index_names_the_strongest_and_a_row_without_anything(known):
    table, model, _, cells = known
    one = Explainer(model, table, ["no", "yes"], method="occlusion", grid=2)(0, cells, 1)
    page = html_of.index([one], ["no", "yes"], ABOUT)
    assert "text: cold, −2.00" in page
    frame = pd.DataFrame([one.shares])
    assert set(frame.columns) == set(table.modalities)


def test_a_page_says_what_the_parts_sum_to_and_warns_where_single_ones_mislead(known):
    table, model, _, cells = known
    one = Explainer(model, table, ["no", "yes"], grid=2)(0, cells, 1)
    text = next(effects for cut, effects, _ in one.parts if cut.modality == "text")
    page = html_of.page(one, ["no", "yes"], ABOUT, html_of.links([2], 0))
    assert f"They sum to {drawn.signed(float(text.sum()))}: what the log-odds lose" in page
    cut, effects, _ = one.parts[0]
    odd = replace(one, parts=[(cut, effects, 5.0)])
    page = html_of.page(odd, ["no", "yes"], {**ABOUT, "method": "occlusion"}, "")
    assert "removing all of them at once changes the log-odds by +5.00" in page
    assert "read single effects with care" in page
    fine = replace(one, parts=[(cut, effects, float(effects.sum()))])
    page = html_of.page(fine, ["no", "yes"], {**ABOUT, "method": "occlusion"}, "")
    assert "read single effects with care" not in page
