"""Scenes: no leak between the parts, replies that follow from the scene, ceilings by counting."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from mmkeras import assets
from mmkeras.datasets import colours, load_scenes, scene_ceilings, scenes, speech
from mmkeras.datasets.scene_questions import INTENTS, VOICES, WORDINGS
from mmkeras.datasets.scenes import COLOURS, FORMS, KINDS, PARTS, PLACES, REPLIES


@pytest.fixture(scope="module")
def many():
    pytest.importorskip("espeakng_loader", reason=f"to run this: {speech.INSTALL}")
    try:
        return load_scenes(1500, valid=600, test=900, size=48, rate=8000, held_out_artist="fluent")
    except assets.AssetError as error:
        pytest.skip(f"the data cannot be had here: {error}")


# ---- no leak --------------------------------------------------------------------------------


def test_the_parts_share_nothing_that_is_held_out(many):
    parts = many.split()
    assert [len(part) for part in parts] == [1500, 600, 900]
    assert [set(part.table["part"]) for part in parts] == [{name} for name in PARTS]
    seen = []
    for part in parts:
        drawn = many.drawings.table.iloc[np.unique(part.cells)]
        asked = part.spoken.iloc[np.unique(part.clip)]
        form = {text.replace(_name(text), "{}") for text in part.text}
        assert form <= set(FORMS)
        seen.append(
            {
                "family": set(drawn["family"]),
                "concept": set(drawn["hexcode"]),
                "drawing": set(np.unique(part.cells)),
                "voice": set(asked["voice"]),
                "wording": set(asked["wording"]),
                "form": form,
                "artist": set(drawn["artist"]),
            }
        )
    for name in seen[0]:
        first, second, third = (of[name] for of in seen)
        assert not third & (first | second), name
        assert name == "artist" or not first & second, name
    assert seen[2]["artist"] == {"fluent"}
    sizes = [[len(of[name]) for of in seen] for name in ("voice", "wording", "form")]
    assert sizes == [[7, 2, 3], [5, 1, 2], [5, 1, 2]]


def _name(text):
    """The longest of the names that the text contains."""
    words = [f"{r} one" for r in (*COLOURS, *PLACES)] + list(KINDS)
    return max((word for word in words if word in text), key=len)


@pytest.mark.slow
def test_another_seed_holds_out_something_else(many, monkeypatch):
    again = load_scenes(5, valid=5, test=5, size=48, rate=8000, held_out_artist="fluent")
    other = load_scenes(5, valid=5, test=5, size=48, rate=8000, held_out_artist="noto", seed=1)
    families = [
        set(of.drawings.table.query("part == 'test'")["family"]) for of in (many, again, other)
    ]
    assert families[0] == families[1] != families[2]
    assert np.array_equal(again.clips, other.clips)  # rendered once for all seeds


# ---- the replies ----------------------------------------------------------------------------


def test_a_reply_is_what_the_three_modalities_say_together(many):
    """Read each scene as a person would: the question, the typed words, the four drawings."""
    drawn = many.drawings.table
    for row in many.table.sample(300, random_state=0).itertuples():
        four = drawn.iloc[[row.cell_0, row.cell_1, row.cell_2, row.cell_3]]
        four = four.assign(place=PLACES)
        assert four["kind"].is_unique and four["colour"].is_unique
        name = _name(row.text).removesuffix(" one")
        by = next(of for of in INTENTS if name in set(four[of]))
        chosen = four[four[by] == name]
        assert len(chosen) == 1
        (asked,) = set(
            many.spoken["sentence"][row.clip].strip(".?").replace(",", "").split()
        ) & set(INTENTS)
        assert asked != by
        assert chosen[asked].item() == row.reply
    assert np.array_equal(np.array(REPLIES)[many.y], many.table["reply"])
    assert np.array_equal(np.array(INTENTS)[many.intent], many.spoken["intent"].iloc[many.clip])
    rows = np.arange(len(many))
    assert (np.array(KINDS)[many.kinds] == drawn["kind"].to_numpy()[many.cells]).all()
    meant = np.array(COLOURS)[many.colours[rows, many.meant]]
    told = many.table["intent"] == "colour"
    assert (meant[told] == many.table["reply"][told]).all()


def test_scenes_show_their_drawings_and_play_their_clips(many):
    few = many.take([3, 700])
    picture = few.images[1]
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
    for place, (top, left) in enumerate(itertools.product((0, 48), (0, 48))):
        want = many.drawings.images[many.table[f"cell_{place}"][700]]
        assert np.array_equal(picture[top : top + 48, left : left + 48], want)
    assert few.waves.shape == (2, 16_000) and few.waves.dtype == np.float32
    assert np.array_equal(few.waves[0] * 32_768, many.clips[many.table["clip"][3]])
    assert list(few.table.index) == [3, 700]


def test_every_clip_has_its_words_in_order(many):
    words = many.words
    said = words.groupby("clip")["word"].agg(" ".join)
    want = many.spoken["sentence"].str.lower().str.replace("[.,?]", "", regex=True)
    assert list(said) == list(want) and len(said) == len(VOICES) * len(WORDINGS) * 3 * 2
    assert (words["end"] > words["start"]).all() and words["end"].max() <= 2
    after = words.groupby("clip")["start"].shift(-1)
    assert (after.isna() | (after == words["end"])).all()
    loud = np.abs(many.clips.astype(int)).max(axis=1)
    assert (loud > 3000).all()
    silent = [
        np.abs(many.clips[clip, round(end * 8000) + 1 :].astype(int)).max(initial=0)
        for clip, end in words.groupby("clip")["end"].max().items()
    ]
    assert max(silent) == 0  # after the last word only padding


# ---- the ceilings ---------------------------------------------------------------------------


def test_ceilings_are_those_of_an_enumeration_in_fractions():
    """Four kinds and five colours, by plain loops."""
    counts = np.zeros((5, 7), int)
    counts[0, :3], counts[1, 1:4], counts[3, [0, 4]], counts[4, [2, 4, 5]] = (
        (3, 1, 2),
        1,
        2,
        (1, 1, 4),
    )
    weight, total = {}, Fraction(0)
    for colour in itertools.permutations(range(7), 4):
        p = Fraction(1)
        for kind, c in zip((0, 1, 3, 4), colour, strict=True):
            p *= Fraction(int(counts[kind, c]), int(counts[kind].sum()))
        if p:
            weight[colour] = p
            total += p
    tables = {
        names: Counter() for size in range(4) for names in itertools.combinations(range(3), size)
    }
    for colour, p in weight.items():
        for order in itertools.permutations(range(4)):  # order[place] is the drawing there
            for place, drawing in enumerate(order):
                value = COLOURS[colour[drawing]], KINDS[(0, 1, 3, 4)[drawing]], PLACES[place]
                for asked, by in itertools.permutations(range(3), 2):
                    shown = (colour, order), asked, value[by]
                    for names, table in tables.items():
                        key = tuple(shown[n] for n in names), value[asked]
                        table[key] += p / total / 24 / 4 / 6
    got = scene_ceilings.exact_ceilings(*scene_ceilings.worlds(counts))
    assert len(got) == 8
    for names, table in tables.items():
        best = {}
        for (seen, _), p in table.items():
            best[seen] = max(best.get(seen, 0), p)
        name = "+".join(("image", "audio", "text")[n] for n in names)
        assert got[name] == pytest.approx(float(sum(best.values()))), name


def test_no_two_modalities_suffice(many):
    for part in many.split():
        ceilings = part.ceilings
        assert ceilings["image+audio+text"] == pytest.approx(1)
        assert ceilings["image+text"] == pytest.approx(1 / 2)
        assert ceilings["image+audio"] == pytest.approx(1 / 4)
        assert ceilings["image"] == pytest.approx(1 / 12)
        assert max(ceilings["audio+text"], ceilings["audio"], ceilings["text"]) < 0.5
    with pytest.raises(ValueError, match="one part, here are .*train.*split first"):
        many.ceilings  # noqa: B018


def test_drawn_scenes_agree_with_the_probabilities(many):
    """Always replying what is likeliest given the voice and the text comes close to the ceiling."""
    train = many.split()[0].table
    seen = train.groupby(["intent", train["text"].map(_name)])["reply"]
    right = seen.agg(lambda replies: replies.value_counts().iloc[0]).sum() / len(train)
    ceiling = many.exact["train"]["audio+text"]
    assert ceiling - 0.04 < right < ceiling + 0.08  # it has seen the answers: a little above


def test_too_few_drawings_are_refused():
    with pytest.raises(ValueError, match="3 drawings make no scene"):
        scene_ceilings.worlds(np.eye(3, 7, dtype=int))


# ---- colours --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((220, 20, 30), "red"),
        ((255, 120, 0), "orange"),
        ((255, 220, 40), "yellow"),
        ((60, 180, 60), "green"),
        ((40, 90, 220), "blue"),
        ((110, 60, 20), "brown"),
        ((130, 130, 135), "grey"),
        ((150, 40, 200), ""),  # purple
        ((255, 150, 160), ""),  # pink
        ((255, 255, 255), ""),
        ((10, 10, 10), ""),
    ],
)
def test_a_disc_has_the_name_of_its_colour(rgb, name):
    side = np.arange(48) - 24
    disc = np.where((side[:, None] ** 2 + side**2 < 300)[..., None], rgb, 255).astype(np.uint8)
    assert list(colours.name_drawings(disc[None])) == [name]
    if rgb in ((255, 255, 255), (10, 10, 10)):
        return  # background and outline: there is nothing to halve
    two = disc.copy()
    two[:, :24][(two[:, :24] != 255).any(axis=-1)] = (0, 200, 0) if name != "green" else (200, 0, 0)
    two[:26, 24:][(two[:26, 24:] != 255).any(axis=-1)] = (
        (20, 20, 250) if name != "blue" else (255, 220, 40)
    )
    assert colours.name_drawings(two[None])[0] == ""  # no colour has more than half


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenes": 0}, "scenes"),
        ({"test": 1.5}, "test"),
        ({"rate": 4000}, "rate"),
        ({"held_out_artist": "picasso"}, "held_out_artist='picasso'"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_scenes(**arguments)


def test_a_sentence_longer_than_a_clip_is_refused(many, monkeypatch):
    monkeypatch.setattr("mmkeras.datasets.scene_questions.SECONDS", 0.4)
    with pytest.raises(ValueError, match=r"lasts .* s, over 0.4"):
        scenes.clips(many.spoken.iloc[:1].copy(), 8000)


def test_a_voice_that_does_not_exist_is_refused(many):
    """By itself eSpeak NG would go on in the voice before, which may be one that is held out."""
    table = many.spoken.iloc[:1].assign(voice="en-gb+f3")
    with pytest.raises(assets.AssetError, match="SetVoiceByName gave 2 for 'en-gb.f3'"):
        scenes.clips(table, 8000)


def test_all_kinds_and_places_are_replies():
    assert len(REPLIES) == len(set(REPLIES)) == 16 and len(INTENTS) == 3
