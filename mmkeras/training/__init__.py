"""Training many times without building anew, and runs that can be killed and resumed."""

from . import distributed, loopback
from .resume import Resume
from .trainer import Trainer, prepare

__all__ = ["Resume", "Trainer", "distributed", "loopback", "prepare"]
