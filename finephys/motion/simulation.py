"""Simulation: one physically correct 3D motion for a class and a seed."""

from functools import lru_cache

import numpy as np

from finephys.errors import RequestError
from finephys.motion.airborne import airborne
from finephys.motion.body import random_body
from finephys.motion.classes import Supported, description
from finephys.motion.performance import Performance
from finephys.motion.turning import turn
from finephys.skeleton import mirror
from finephys.types import WorldMotion


def simulate(action: int, seed: int, fps: float = 60.0) -> WorldMotion:
    """Simulate one gymnast doing one action.

    In flight the centre of mass falls with g = 9.81 m/s^2 and angular momentum is constant; on the
    floor planted feet stay where they are. About half of the seeds are mirrored. Solved
    motions are cached, so that a class and seed is solved once, whatever the frame rate.

    Args:
        action: FineGym class, 6 to 40.
        seed: 0 or more; chooses body, speed, amplitudes, arms, small faults and side.
        fps: frames per second of the result, 10 to 1000.

    Returns:
        World axes: x forward (direction faced at the start), y left, z up, floor at z = 0; metres.
        Where `flight` is True the body falls freely; the instants between two steps of a run-up
        are not marked.

    Raises:
        RequestError: action, seed or fps is outside what is accepted.
    """
    description(action)  # raises for an unknown class
    if seed < 0:
        raise RequestError(f"seed is {seed}; give an integer of 0 or more.")
    if not 10 <= fps <= 1000:
        raise RequestError(f"fps is {fps}; give a frame rate between 10 and 1000.")
    performance, mirrored = _performed(action, seed)
    first = int(np.ceil(performance.begin * fps - 1e-6))
    last = int(np.floor(performance.end * fps + 1e-6))
    joints, flight = performance.at(np.arange(first, last + 1) / fps)
    if mirrored:
        joints = mirror(joints, axis=1).astype(np.float64)
    source = f"simulation of class {action}, seed {seed}"
    return WorldMotion(joints.astype(np.float32), float(fps), flight, action, source)


@lru_cache(maxsize=512)
def _performed(action: int, seed: int) -> tuple[Performance, bool]:
    """The solved motion of a class and seed, and whether to mirror it; solved once."""
    described = description(action)
    rng = np.random.default_rng([action, seed])
    body = random_body(rng)
    mirrored = bool(rng.integers(2))
    if isinstance(described, Supported):
        return turn(described, body, rng), mirrored
    return airborne(described, body, rng), mirrored
