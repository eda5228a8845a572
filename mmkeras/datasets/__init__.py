"""The course's data sets, one module each; the loaders are here for short imports."""

from .emoji import Emoji, load_emoji
from .heart import Heart, load_heart, simulate_heart
from .heart_notes import note_words

__all__ = ["Emoji", "Heart", "load_emoji", "load_heart", "note_words", "simulate_heart"]
