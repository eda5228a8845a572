"""The emoji set: rows that belong together, pictures that repeat, splits that do not leak."""

import itertools
import json
import threading

import numpy as np
import pandas as pd
import pytest

from mmkeras import assets
from mmkeras.datasets import emoji, emoji_drawings, emoji_families, load_emoji
from mmkeras.datasets.emoji import ARTISTS, DEFAULT_GROUPS

SEEDS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def full():
    return load_emoji()


def toy(groups=("a", "b"), concepts=12, artists=("noto", "fluent")):
    """A made-up set: every concept its own family, every picture its own colour."""
    table = pd.DataFrame(
        [
            {"artist": artist, "hexcode": f"{group}{i}", "group": group, "family": g * concepts + i}
            for artist in artists
            for g, group in enumerate(groups)
            for i in range(concepts)
        ]
    )
    images = np.zeros((len(table), 16, 16, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(table))
    return emoji.Emoji(table, images, tuple(groups))


# ---- what is loaded -----------------------------------------------------------------------------


def test_counts_shapes_and_types(full):
    assert full.images.shape == (4084, 48, 48, 3)
    assert full.images.dtype == np.uint8
    assert len(full) == len(full.table) == 4084
    assert full.table["hexcode"].nunique() == 1021
    assert set(full.groups) == set(DEFAULT_GROUPS) == set(full.table["group"])
    assert full.y.dtype == np.int32
    assert [full.groups[i] for i in full.y] == list(full.table["group"])
    assert full.table.index.tolist() == list(range(4084))
    assert not full.table.isna().any().any()
    sizes = full.table.drop_duplicates("hexcode")["group"].value_counts().to_dict()
    assert sizes == {
        "objects": 262,
        "travel-places": 218,
        "smileys-emotion": 168,
        "animals-nature": 158,
        "food-drink": 130,
        "activities": 85,
    }


def test_texts_are_plain_strings_in_two_languages(full):
    cat = full.table[full.table["hexcode"] == "1F408"].iloc[0]
    assert (cat["character"].rstrip("\ufe0f"), cat["label_en"], cat["label_zh"]) == (
        "🐈",
        "cat",
        "猫",
    )
    assert cat["subgroup"] == "animal-mammal"
    texts = full.table[["label_en", "tags_en", "label_zh", "tags_zh"]]
    assert texts.map(lambda text: type(text) is str and text.strip() == text != "").all().all()
    assert "cat" in cat["tags_en"].split(" ") or "pet" in cat["tags_en"].split(" ")


def test_each_artist_draws_each_concept_once_in_the_same_order(full):
    by_artist = [full.table.loc[full.table["artist"] == a, "hexcode"].tolist() for a in ARTISTS]
    assert all(codes == by_artist[0] for codes in by_artist)
    assert len(set(by_artist[0])) == len(by_artist[0])


def test_no_skin_tones_and_no_components(full):
    tones = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
    parts = full.table["hexcode"].str.split("-")
    assert not parts.map(tones.intersection).map(bool).any()


def test_the_picture_of_a_row_is_the_drawing_of_its_code_point(full):
    """Drawn again from icons.json through chars.json, one at a time, in another order."""
    rows = full.table.iloc[np.random.RandomState(0).permutation(len(full))[:60]]
    for artist, own in rows.groupby("artist", sort=False):
        folder = assets.fetch(f"emoji-{artist}")
        icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        chars = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
        for row, hexcode in own["hexcode"].items():
            name = chars[hexcode.lower().replace("-fe0f", "")]
            assert np.array_equal(emoji_drawings._render(icons, name, 48), full.images[row]), (
                hexcode
            )


@pytest.mark.parametrize("artist", ARTISTS)
def test_known_colours(full, artist):
    """An oracle from outside: the middle of a red heart is red, of a green one green."""
    for label, channel in (("red heart", 0), ("green heart", 1), ("blue heart", 2)):
        row = full.table.index[(full.table.artist == artist) & (full.table.label_en == label)]
        assert full.images[row[0], 24, 24].argmax() == channel


def test_pictures_stand_on_white_and_are_not_blank(full):
    # A corner may hold ink (a picture frame, a tram), but rarely; and no picture is all one colour.
    white = (full.images[:, 0, 0] == 255).all(-1)
    assert white.mean() > 0.95
    assert (full.images.reshape(len(full), -1).std(1) > 5).all()


def test_other_sizes_are_the_same_drawings(full):
    small = load_emoji(16)
    assert small.images.shape == (4084, 16, 16, 3)
    assert small.table.equals(full.table)
    shrunk = full.images.reshape(-1, 16, 3, 16, 3, 3).mean((2, 4))
    assert np.abs(shrunk - small.images).mean() < 8  # of 255; another picture is 60 away


def test_one_artist_and_one_group():
    activities = load_emoji(16, artists=["openmoji"], groups=["activities"])
    assert set(activities.table["artist"]) == {"openmoji"}
    assert activities.groups == ("activities",)
    assert not activities.y.any()


def test_class_numbers_do_not_depend_on_the_order_of_the_argument():
    one = load_emoji(16, groups=("activities", "food-drink"))
    two = load_emoji(16, groups=("food-drink", "activities"))
    assert one.groups == two.groups == ("food-drink", "activities")
    assert np.array_equal(one.y, two.y)


# ---- rendering and its cache ----------------------------------------------------------------


@pytest.fixture
def fresh_pictures(monkeypatch, tmp_path):
    """The real assets, but an empty place for rendered pictures."""
    folders = {name: assets.fetch(name) for name in assets.catalogue() if "emoji" in name}
    monkeypatch.setattr(assets, "fetch", folders.__getitem__)
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path))
    return tmp_path / "rendered"


def pictures_in(folder):
    """Everything there but lock files."""
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


CODES = ["1F408", "1F34E", "1F680", "2764-FE0F-200D-1F525"]


def test_rendering_does_not_depend_on_the_order_of_calls(fresh_pictures):
    forward = emoji_drawings.drawings_of("noto", CODES, 32)
    emoji_drawings.drawings_of("fluent", CODES, 24)
    backward = emoji_drawings.drawings_of("noto", CODES[::-1], 32)
    assert np.array_equal(forward, backward[::-1])
    again = emoji_drawings.drawings_of("noto", CODES, 32)
    assert np.array_equal(forward, again)


def test_the_second_call_reads_what_the_first_wrote(fresh_pictures, monkeypatch):
    first = emoji_drawings.drawings_of("twemoji", CODES, 16)
    monkeypatch.setattr(emoji_drawings, "_render_all", None)  # calling it would fail
    assert np.array_equal(emoji_drawings.drawings_of("twemoji", CODES, 16), first)
    assert [path.suffix for path in pictures_in(fresh_pictures)] == [".npy"]


@pytest.mark.parametrize("damage", [b"", b"not an array", "cut", "other shape"])
def test_a_damaged_picture_file_is_drawn_again(fresh_pictures, damage):
    first = np.array(emoji_drawings.drawings_of("twemoji", CODES, 16))
    (path,) = pictures_in(fresh_pictures)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "other shape":
        np.save(path, np.zeros((1, 16, 16, 3), np.uint8))
    else:
        path.write_bytes(damage)
    assert np.array_equal(emoji_drawings.drawings_of("twemoji", CODES, 16), first)
    assert np.load(path).shape == first.shape


def test_threads_that_draw_the_same_do_not_clash(fresh_pictures):
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(emoji_drawings.drawings_of("noto", CODES, 20))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, results[0]) for result in results)
    assert [path.suffix for path in pictures_in(fresh_pictures)] == [".npy"]


def test_pictures_that_cannot_be_cached_are_drawn_with_a_warning(fresh_pictures):
    fresh_pictures.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be cached"):
        assert emoji_drawings.drawings_of("noto", CODES, 16).shape == (4, 16, 16, 3)


def test_a_drawing_that_is_not_square_is_centred():
    icons = {"width": 10, "height": 10, "icons": {}}
    body = '<path fill="#000" d="M0 0h10v5H0z"/>'
    icons["icons"]["wide"] = {"body": body, "height": 5}
    picture = emoji_drawings._render(icons, "wide", 20)
    assert picture.shape == (20, 20, 3)
    assert (picture[:5] == 255).all() and (picture[15:] == 255).all()
    assert (picture[5:15] == 0).all()


# ---- families -------------------------------------------------------------------------------


def family_of(full, label):
    concepts = full.table.drop_duplicates("hexcode")
    (number,) = concepts.loc[concepts["label_en"] == label, "family"]
    return set(concepts.loc[concepts["family"] == number, "label_en"])


def test_families_that_a_reader_would_name(full):
    assert len(family_of(full, "one o’clock")) == 24
    assert family_of(full, "green book") == {"green book", "blue book", "orange book"}
    assert {"red heart", "blue heart", "white heart"} < family_of(full, "green heart")
    assert {"new moon", "full moon", "crescent moon"} < family_of(full, "first quarter moon")
    assert family_of(full, "locked") == {"locked", "unlocked"}
    assert family_of(full, "cat face") >= {"grinning cat"}  # one artist uses the same picture
    assert family_of(full, "rocket") == {"rocket"}


def test_families_stay_small_and_their_number_is_the_one_in_the_card(full):
    sizes = full.table.drop_duplicates("hexcode").groupby("family").size()
    assert (sizes > 1).sum() == 29
    assert sizes[sizes > 1].sum() == 129
    assert sizes.max() == 24


def test_families_do_not_change_with_size_or_artists(full):
    other = load_emoji(16, artists=("fluent", "noto"))
    families = full.table.drop_duplicates("hexcode").set_index("hexcode")["family"]
    common = other.table[other.table["hexcode"].isin(families.index)]
    pairs = pd.DataFrame({"a": families.loc[common["hexcode"]].to_numpy(), "b": common["family"]})
    assert pairs.groupby("a")["b"].nunique().max() == pairs.groupby("b")["a"].nunique().max() == 1


def test_pairs_with_unlike_labels_keep_clear_of_both_thresholds(full):
    """So that a rounding difference between machines cannot change a family, hence a split."""
    concepts = full.table.drop_duplicates("hexcode")
    labels = concepts["label_en"].str.replace(emoji_families._VARIANT, " ", regex=True).str.split()
    labels = labels.str.join(" ").to_numpy()
    unlike = np.triu(labels[:, None] != labels[None], 1)
    grey, gap = np.zeros(unlike.shape), []
    for artist in ARTISTS:
        pixels = emoji_families._shrink(full.images[full.table["artist"] == artist], 3)
        grey += emoji_families._distances(pixels.mean(-1)) / len(ARTISTS)
        gap.append(
            np.abs(emoji_families._distances(pixels)[unlike] - emoji_families._ONE_ALIKE).min()
        )
    gap.append(np.abs(grey[unlike] - emoji_families._ALL_ALIKE).min())
    assert min(gap) > 0.0004


def test_distances_are_root_mean_square_differences():
    pixels = np.random.RandomState(0).uniform(size=(5, 4, 4, 3))
    got = emoji_families._distances(pixels)
    for i, j in itertools.product(range(5), repeat=2):
        want = np.sqrt(((pixels[i] - pixels[j]) ** 2).mean())
        assert got[i, j] == pytest.approx(want, abs=1e-7)


def test_shrink_takes_means_of_squares():
    pictures = np.random.RandomState(0).randint(0, 256, (2, 6, 6, 3)).astype(np.uint8)
    want = pictures.reshape(2, 2, 3, 2, 3, 3).mean((2, 4)) / 255
    assert np.allclose(emoji_families._shrink(pictures, 3), want)


def test_families_link_through_others(monkeypatch):
    """a-b by label, b-c by one artist's pictures, c-e by another's; d stands alone."""
    noise = {
        code: np.random.RandomState(ord(code)).randint(0, 256, (48, 48, 3)) for code in "abcde"
    }
    same = {"noto": {"c": "b"}, "fluent": {"e": "c"}}
    monkeypatch.setattr(
        emoji_families,
        "drawings_of",
        lambda artist, codes, size: np.array(
            [noise[same.get(artist, {}).get(code, code)] for code in codes], np.uint8
        ),
    )
    # Twemoji draws only d, OpenMoji nothing.
    drawn = {"noto": "abcd", "fluent": "acde", "twemoji": "d", "openmoji": ""}
    drawn = {artist: dict.fromkeys(codes, "") for artist, codes in drawn.items()}
    labels = ["red x", "blue x", "y", "z", "w"]
    concepts = pd.DataFrame({"hexcode": list("abcde"), "label_en": labels})
    assert emoji_families.families(concepts, drawn).tolist() == [0, 0, 0, 3, 0]


# ---- splits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("artist", [*ARTISTS, None])
def test_nothing_leaks(full, artist, seed):
    parts = full.split(artist, seed=seed)
    train, valid, test = parts
    for one, two in itertools.combinations(parts, 2):
        assert not set(one.table["hexcode"]) & set(two.table["hexcode"])
        assert not set(one.table["family"]) & set(two.table["family"])
        assert not set(one.table["label_en"]) & set(two.table["label_en"])
        assert not set(one.table.index) & set(two.table.index)
        pictures = [{image.tobytes() for image in part.images} for part in (one, two)]
        assert not pictures[0] & pictures[1]  # not one identical picture, by any two artists
    if artist is None:
        assert all(set(part.table["artist"]) == set(ARTISTS) for part in parts)
    else:
        assert artist not in set(train.table["artist"]) | set(valid.table["artist"])
        assert set(test.table["artist"]) == {artist}
        assert set(train.table["artist"]) == set(valid.table["artist"]) == set(ARTISTS) - {artist}
    concepts = [part.table["hexcode"].nunique() for part in parts]
    assert sum(concepts) == 1021  # no concept is lost
    assert concepts[2] / 1021 == pytest.approx(0.25, abs=0.05)
    assert concepts[1] / 1021 == pytest.approx(0.10, abs=0.05)
    for part in parts:
        assert set(part.table["group"]) == set(full.groups)


@pytest.mark.parametrize("artist", [*ARTISTS, None])
def test_parts_keep_rows_together(full, artist):
    for part in full.split(artist, seed=5):
        rows = part.table.index
        assert rows.is_monotonic_increasing
        assert np.array_equal(part.images, full.images[rows])
        assert np.array_equal(part.y, full.y[rows])
        assert part.table.equals(full.table.loc[rows])
        assert part.groups == full.groups


def test_near_duplicates_by_eye_are_on_one_side(full):
    """Straight from the labels, without the family column: the 24 clock faces, the hearts."""
    for pattern in ("o’clock$|-thirty$", "^(?:red|blue|green|black|white) heart$", " book$"):
        labels = full.table.loc[full.table["label_en"].str.contains(pattern), "label_en"]
        labels = set(labels) & family_of(full, sorted(labels)[0])
        assert len(labels) >= 3
        for seed in SEEDS:
            sides = [bool(labels & set(p.table["label_en"])) for p in full.split("noto", seed=seed)]
            assert sum(sides) == 1


def test_the_same_seed_is_the_same_split_and_another_is_another(full):
    first, again = full.split("noto", seed=7), full.split("noto", seed=7)
    assert all(a.table.equals(b.table) for a, b in zip(first, again, strict=True))
    other = full.split("noto", seed=8)
    assert set(first[2].table["hexcode"]) != set(other[2].table["hexcode"])


def test_a_split_is_the_same_on_every_machine(full):
    """Pinned: rounding, threads or a new library must not move a concept to another side."""
    _, valid, test = full.split("noto", seed=0)
    assert (len(valid), len(test)) == (408, 256)
    assert test.table["label_en"].head(5).tolist() == [
        "beaming face with smiling eyes",
        "face with tears of joy",
        "slightly smiling face",
        "upside-down face",
        "smiling face with smiling eyes",
    ]


def test_every_artist_is_tested_on_the_same_concepts(full):
    tests = [full.split(artist, seed=1)[2].table["hexcode"].tolist() for artist in ARTISTS]
    assert all(codes == tests[0] for codes in tests)


def test_splitting_does_not_depend_on_the_picture_size(full):
    small = load_emoji(16)
    for a, b in zip(full.split("noto"), small.split("noto"), strict=True):
        assert a.table.index.equals(b.table.index)


def test_all_groups_split_without_leaks_too():
    everything = load_emoji(16, groups=None)
    assert everything.table["hexcode"].nunique() == 1594
    assert {"people-body", "symbols", "flags"} < set(everything.groups)
    train, valid, test = everything.split("openmoji")
    seen = {image.tobytes() for part in (train, valid) for image in part.images}
    assert not seen & {image.tobytes() for image in test.images}


# ---- take, and wrong arguments --------------------------------------------------------------


def test_only_some_concepts_with_or_without_selectors(full):
    some = load_emoji(16, only=["2764-FE0F", "1F602", "2615", "not one"])
    assert some.table["hexcode"].unique().tolist() == ["1F602", "2764", "2615"]
    assert len(some) == 12


def test_take_by_position_mask_and_in_any_order(full):
    part = full.take([7, 3, 3])
    assert part.table.index.tolist() == [7, 3, 3]
    assert np.array_equal(part.images, full.images[[7, 3, 3]])
    again = part.take([0])
    assert again.table.index.tolist() == [7]
    mask = full.y == 2
    assert len(full.take(mask)) == mask.sum()
    assert set(full.take(mask).table["group"]) == {full.groups[2]}
    assert len(full.take([])) == 0


def test_index_picks_rows_of_any_array_in_the_order_of_the_full_set(full):
    features = np.arange(len(full)) * 10
    train, _, _ = full.split("fluent")
    assert np.array_equal(features[train.table.index], train.table.index.to_numpy() * 10)


def test_repr_says_what_it_is(full):
    assert "4084 pictures 48x48 of 1021 concepts" in repr(full)


@pytest.mark.parametrize("size", [0, -1, 15, 513, 48.0, "48", None])
def test_wrong_sizes(size):
    with pytest.raises(ValueError, match=r"size must be an integer from 16 to 512"):
        load_emoji(size)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"artists": ("apple",)}, "apple.*noto, twemoji, openmoji, fluent"),
        ({"artists": "noto"}, r"\('noto',\)"),
        ({"artists": ()}, "one or more"),
        ({"artists": ("noto", "noto")}, "each once"),
        ({"groups": ("animals",)}, "animals.*animals-nature"),
        ({"groups": ()}, "one or more"),
        ({"groups": "objects"}, r"\('objects',\)"),
        ({"groups": ("component",)}, "no concept in common"),
    ],
)
def test_wrong_choices(argument, words):
    with pytest.raises(ValueError, match=words):
        load_emoji(16, **argument)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"held_out_artist": "apple"}, "apple.*noto, fluent"),
        ({"held_out_artist": "noto", "test": 1.5}, "test=1.5.*below 1"),
        ({"held_out_artist": "noto", "test": 0}, "test=0.*above 0"),
        ({"held_out_artist": "noto", "valid": 0}, "valid=0"),
        ({"held_out_artist": "noto", "test": 0.6, "valid": 0.4}, "together below 1"),
        (
            {"held_out_artist": "noto", "test": 0.001},
            "24 different values of family.*larger shares",
        ),
        (
            {"held_out_artist": "noto", "valid": 0.001},
            "24 different values of family.*larger shares",
        ),
        ({"held_out_artist": "noto", "test": 0.9, "valid": 0.099}, "24 different values of family"),
    ],
)
def test_splits_that_cannot_be(arguments, words):
    with pytest.raises(ValueError, match=words):
        toy().split(**arguments)


def test_one_artist_cannot_be_held_out():
    with pytest.raises(ValueError, match="only artist.*held_out_artist=None"):
        toy(artists=("noto",)).split("noto")
    assert len(toy(artists=("noto",)).split(None)) == 3
