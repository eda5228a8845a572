"""The course's data sets, one module each; the loaders are here for short imports."""

from .emoji import Emoji, load_emoji

__all__ = ["Emoji", "load_emoji"]
