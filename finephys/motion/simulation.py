"""The simulated motions: one physically correct 3D motion for a class and a seed."""

import numpy as np

from finephys.errors import RequestError
from finephys.motion.airborne import airborne
from finephys.motion.body import random_body
from finephys.motion.classes import Supported, description
from finephys.motion.turning import turn
from finephys.skeleton import mirror
from finephys.types import WorldMotion


def simulate(action: int, seed: int, fps: float = 60.0) -> WorldMotion:
    """Simulate one gymnast doing one action.

    In flight the centre of mass falls with g = 9.81 m/s^2 and angular momentum is constant; on the
    floor planted feet stay where they are. About half of the seeds are mirrored.

    Args:
        action: FineGym class, 6 to 40.
        seed: 0 or more; chooses body, speed, amplitudes, arms, small faults and side.
        fps: frames per second of the result, 10 to 1000.

    Returns:
        World axes: x forward (direction faced at the start), y left, z up, floor at z = 0; metres.

    Raises:
        RequestError: action, seed or fps is outside what is accepted.
    """
    described = description(action)
    if seed < 0:
        raise RequestError(f"seed is {seed}; give an integer of 0 or more.")
    if not 10 <= fps <= 1000:
        raise RequestError(f"fps is {fps}; give a frame rate between 10 and 1000.")
    rng = np.random.default_rng([action, seed])
    body = random_body(rng)
    mirrored = bool(rng.integers(2))
    make = turn if isinstance(described, Supported) else airborne
    joints, flight = make(described, body, rng, fps)  # type: ignore[arg-type]
    if mirrored:
        joints = mirror(joints, axis=1).astype(np.float64)
    source = f"simulation of class {action}, seed {seed}"
    return WorldMotion(joints.astype(np.float32), float(fps), flight, action, source)
