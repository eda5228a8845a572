"""Retrieval: two towers that embed what belongs together close together, and what to measure.

`two_tower` joins two branches to a model that is trained with one of three losses; `tower` takes
one side out of it, which gives the embeddings. The rest is NumPy. It works on a matrix of scores,
float (queries, candidates), larger for what fits better, whatever made them; for embeddings of
length 1, `queries @ candidates.T` is the cosine.
"""

from .losses import InfoNCE, SigmoidLoss, TripletLoss
from .ranking import average_precision, median_rank, ranks, recall_at
from .space import Hubness, csls, hubness, modality_gap, search
from .towers import Pairs, tower, two_tower

__all__ = [
    "Hubness",
    "InfoNCE",
    "Pairs",
    "SigmoidLoss",
    "TripletLoss",
    "average_precision",
    "csls",
    "hubness",
    "median_rank",
    "modality_gap",
    "ranks",
    "recall_at",
    "search",
    "tower",
    "two_tower",
]
