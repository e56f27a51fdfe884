"""Simulated motions that several test files read, each solved once."""

from functools import cache

from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.simulation import simulate
from finephys.types import WorldMotion

SEED = HELD_OUT_SEED
"""The seed of every motion that is only looked at; no training sees it."""


@cache
def motion(action: int) -> WorldMotion:
    """A class's motion at 240 frames per second; do not change its arrays."""
    return simulate(action, SEED, 240.0)
