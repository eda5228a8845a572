"""The language of texts is told by MiniLM's vocabulary, and its blocks are read: the true files.

These tests take what is in the cache; where each test has an empty one, it would be fetched anew.
"""

import numpy as np
import pytest
from optional import needs

from mmkeras import datasets, pretrained
from mmkeras.pretrained import WordPiece
from mmkeras.table.encoders import language, sources

SAID = {
    "German": (
        "Das Essen war kalt, aber die Bedienung hat sich mehrmals entschuldigt.",
        "Wir haben das Hotel erst spät am Abend gefunden.",
        "Der Akku hält kaum einen halben Tag, das ist enttäuschend.",
        "Morgen regnet es im Norden, im Süden bleibt es freundlich.",
    ),
    "French": (
        "Le repas était froid, mais le serveur s'est excusé plusieurs fois.",
        "Nous avons trouvé l'hôtel très tard dans la soirée.",
        "La batterie tient à peine une demi-journée, c'est décevant.",
        "Demain il pleuvra dans le nord, le sud restera ensoleillé.",
    ),
    "Spanish": (
        "La comida estaba fría, pero el camarero pidió disculpas varias veces.",
        "Encontramos el hotel muy tarde por la noche.",
        "La batería apenas dura medio día, es una decepción.",
        "Mañana lloverá en el norte y en el sur seguirá haciendo sol.",
    ),
    "Polish": (
        "Jedzenie było zimne, ale kelner kilka razy nas przeprosił.",
        "Znaleźliśmy hotel dopiero późnym wieczorem.",
        "Bateria ledwo wystarcza na pół dnia, to rozczarowanie.",
        "Jutro na północy będzie padać, na południu zostanie słonecznie.",
    ),
    "Chinese": ("菜是冷的，不过服务员道歉了好几次。", "明天北方下雨，南方晴天。"),
    "English": (
        "The food was cold, but the waiter apologised several times.",
        "We found the hotel late in the evening.",
        "The battery hardly lasts half a day, which is disappointing.",
        "Tomorrow it rains in the north, while the south stays sunny.",
    ),
}


@needs("minilm-l6")
def test_a_language_is_told_by_the_words_that_the_vocabulary_has_whole():
    tokenizer = pretrained.minilm_tokenizer()
    share = {name: language.whole_words(tokenizer, texts) for name, texts in SAID.items()}
    foreign = [share[name] for name in ("German", "French", "Spanish", "Polish")]
    assert max(foreign) < language.FOREIGN - 0.1 and share["English"] > language.FOREIGN + 0.1
    judged = {name: language.judged(tokenizer, texts) for name, texts in SAID.items()}
    assert judged["English"] == (True, "")
    reads, said = judged["French"]
    assert reads and "do not look like it" in said and f"{share['French']:.0%}" in said
    reads, said = judged["Chinese"]
    assert not reads and "does not read this language" in said


@needs("minilm-l6")
@pytest.mark.parametrize("kind", ["names", "notes", "reviews"])
def test_english_tables_pass_whichever_twenty_texts_are_drawn(kind):
    """A hundred small tables of names, of notes with words of medicine, of rated sentences."""
    if kind == "names":
        texts = datasets.load_emoji(32).table["label_en"].to_numpy()
    elif kind == "notes":
        texts = datasets.load_heart().note
    else:
        texts = datasets.load_reviews().text
    tokenizer, rng = pretrained.minilm_tokenizer(), np.random.default_rng(0)
    for _ in range(100):
        assert language.judged(tokenizer, rng.choice(texts, 20)) == (True, "")


def test_words_count_as_whole_if_they_are_one_piece():
    tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "a", "play", "##ing", "天"])
    for text, share in (
        ("the play", 1),
        ("the playing", 0.5),
        ("a", 1),
        ("天 天", 0),  # known, but a character is no word of English
        ("a 天 zebra the", 0.5),
        ("12 :-) ...", 0),
        ("", 0),
    ):
        assert language.whole_words(tokenizer, [text]) == share
    assert language.whole_words(tokenizer, ["the the the", "playing"]) == 0.75, "words, not texts"
    assert not language.judged(tokenizer, [])[0]


@needs("minilm-l6")
@pytest.mark.slow
def test_the_text_is_read_by_the_fourth_block_and_the_last():
    texts = ["The food was cold, but the waiter apologised.", "red apple", ""]
    ids = pretrained.minilm_tokenizer()(texts, 16)
    ids[2] = 0  # a text that is absent
    found = sources.two_blocks(16)(ids).numpy()
    for columns, block in ((slice(384), 4), (slice(384, None), 6)):
        expected = pretrained.minilm_l6(16, block)(ids).numpy()
        np.testing.assert_allclose(found[:, columns], expected, atol=1e-5)
        assert expected[:2].any() and not expected[2].any()
