"""Training many times without building anew, and runs that can be killed and resumed."""

from . import distributed, loopback
from .resume import Resume
from .trainer import Trainer

__all__ = ["Resume", "Trainer", "distributed", "loopback"]
