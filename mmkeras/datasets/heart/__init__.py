"""The heart cohort: real patients with rendered signals, and simulated ones with a known truth."""

from .cohort import HOSPITALS, MODALITIES, Heart, load_heart, simulate_heart
from .notes import note_words

__all__ = ["HOSPITALS", "MODALITIES", "Heart", "load_heart", "note_words", "simulate_heart"]
