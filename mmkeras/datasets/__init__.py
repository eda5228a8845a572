"""The course's data sets, one module each; the loaders are here for short imports."""

from .emoji import Emoji, load_emoji
from .heart import Heart, load_heart, simulate_heart
from .heart_notes import note_words
from .reviews import Reviews, load_reviews
from .syllables import Syllables, load_syllables
from .table import Table, load_table
from .table_checks import TableError

__all__ = [
    "Emoji",
    "Heart",
    "Reviews",
    "Syllables",
    "Table",
    "TableError",
    "load_emoji",
    "load_heart",
    "load_reviews",
    "load_syllables",
    "load_table",
    "note_words",
    "simulate_heart",
]
