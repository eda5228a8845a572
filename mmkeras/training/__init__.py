"""Training many times without building anew, and runs that can be killed and resumed."""

from .resume import Resume
from .trainer import Trainer

__all__ = ["Resume", "Trainer"]
