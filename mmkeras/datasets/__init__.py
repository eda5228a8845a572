"""The course's data sets, one module each; the loaders are here for short imports."""

from .emoji import Emoji, load_emoji
from .emoji_scores import EmojiScores, load_emoji_scores
from .heart import Heart, load_heart, note_words, simulate_heart
from .reviews import Reviews, load_reviews
from .scenes import Scenes, load_scenes
from .sentiment import Sentiment, load_sentiment
from .syllables import Syllables, load_syllables

__all__ = [
    "Emoji",
    "EmojiScores",
    "Heart",
    "Reviews",
    "Scenes",
    "Sentiment",
    "Syllables",
    "load_emoji",
    "load_emoji_scores",
    "load_heart",
    "load_reviews",
    "load_scenes",
    "load_sentiment",
    "load_syllables",
    "note_words",
    "simulate_heart",
]
