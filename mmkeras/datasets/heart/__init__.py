"""The heart cohort: real patients with rendered signals, and simulated ones with a known truth."""

from .cohort import MODALITIES, Heart
from .notes import note_words
from .sources import HOSPITALS, load_heart, simulate_heart

__all__ = ["HOSPITALS", "MODALITIES", "Heart", "load_heart", "note_words", "simulate_heart"]
