"""Writing: how to choose the next token, and a small decoder that looks at a memory.

`decoding` has the rules, which work with any model: `greedy`, `beam`, `sample`. `decoder` has a
network that writes about what it sees, `captioner`, and two ways to ask it for the next token,
`CachedStep` and `FullStep`.
"""

from .decoder import CachedStep, FullStep, captioner
from .decoding import Written, beam, cut, distribution, greedy, length_penalty, sample

__all__ = [
    "CachedStep", "FullStep", "Written", "beam", "captioner", "cut", "distribution", "greedy",
    "length_penalty", "sample",
]  # fmt: skip
