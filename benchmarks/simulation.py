"""Is every simulated motion what its class says, and does it obey mechanics? One JSON row a class.

Counts are taken from joint positions alone, by a routine that shares nothing with the solver.

    python -m benchmarks.simulation --seeds 20 [--first 100000] [--fps 240] [--classes 24 32]
"""

import argparse
import json
import time

import numpy as np
import numpy.typing as npt

from finephys.actions import ACTIONS
from finephys.anthropometry import (
    GRAVITY,
    POINT_MASSES,
    SEGMENTS,
    center_of_mass_weights,
)
from finephys.motion.simulation import simulate
from finephys.skeleton import JOINT, limb_lengths
from finephys.types import WorldMotion

Array = npt.NDArray[np.float64]

TURNS: dict[int, tuple[float, float]] = {
    6: (0, 0.5), 7: (0, 1), 8: (0, 1), 9: (0, 1.5), 10: (0, 0), 11: (0, 1), 12: (0, 0),
    13: (0, 0.75), 14: (0, 1), 15: (0, 0), 16: (0, 0), 17: (0, 2), 18: (0, 2), 19: (0, 3),
    20: (0, 2), 21: (0, 1), 22: (0, 2), 23: (0, 1), 24: (-2, 0.5), 25: (1, 0), 26: (1, 0),
    27: (1, 2), 28: (1, 1), 29: (1, 1.5), 30: (1, 0), 31: (-2, 0), 32: (-1, 3), 33: (-1, 2),
    34: (-1, 2.5), 35: (-1, 1.5), 36: (-2, 2), 37: (-2, 1), 38: (-2, 0), 39: (-2, 1), 40: (-2, 0),
}  # fmt: skip
"""Class -> somersaults about the lateral axis, forward positive, and twists or turns, unsigned.

A Johnson is itself a quarter turn; its additional half turn makes 0.75.
"""


def count_turns(joints: Array) -> tuple[float, float, float]:
    """Somersaults, twists and the largest sideways tilt (degrees) from joint positions (T, 17, 3).

    The trunk's axis is followed by the angle it sweeps in the vertical plane of the first frame's
    heading; the twist is how far the hips turn about that axis against a reference carried by it.
    """
    axis = joints[:, JOINT["thorax"]] - joints[:, JOINT["pelvis"]]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    hips = joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]
    lateral = hips[0] * np.array([1.0, 1.0, 0.0])
    lateral /= np.linalg.norm(lateral)
    ahead = np.cross(lateral, [0.0, 0.0, 1.0])
    sweep = np.diff(np.angle(axis[:, 2] + 1j * (axis @ ahead)))
    somersault = ((sweep + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi)
    across = lateral - axis * (axis @ lateral)[:, None]
    front = np.cross(across, axis)
    turned = np.angle((hips * across).sum(1) - 1j * (hips * front).sum(1))
    steps = np.diff(turned)
    twist = ((steps + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi)
    return (
        float(somersault),
        float(twist),
        float(np.degrees(np.abs(np.arcsin(axis @ lateral)).max())),
    )


def angular_momentum(joints: Array, fps: float) -> Array:
    """Angular momentum (T - 2, 3) about the centre of mass, from rods cut into point masses."""
    velocity = (joints[2:] - joints[:-2]) * fps / 2
    place = joints[1:-1]
    center = np.einsum("j,tjd->td", center_of_mass_weights(), place)
    drift = np.einsum("j,tjd->td", center_of_mass_weights(), velocity)
    total = np.zeros_like(center)

    def add(mass: float, at: Array, going: Array) -> None:
        nonlocal total
        total = total + mass * np.cross(at - center, going - drift)

    for segment in SEGMENTS:
        for side in (-1.0, 1.0):
            part = segment.center + side * segment.gyration
            add(
                segment.mass / 2,
                place[:, segment.start] * (1 - part) + place[:, segment.end] * part,
                velocity[:, segment.start] * (1 - part) + velocity[:, segment.end] * part,
            )
    for joint, mass in POINT_MASSES.items():
        add(mass, place[:, joint], velocity[:, joint])
    return total


def core(motion: WorldMotion) -> slice:
    """The longest flight, or the whole motion where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], motion.flight.astype(int), [0]])))
    if not len(edges):
        return slice(0, len(motion.joints))
    begins, ends = edges[::2], edges[1::2]
    longest = int((ends - begins).argmax())
    return slice(int(begins[longest]), int(ends[longest]))


def around(part: slice) -> slice:
    """The same with the frames of take-off and touch-down."""
    return slice(max(part.start - 1, 0), part.stop + 1)


def flight_figures(motion: WorldMotion) -> dict[str, float]:
    """Gravity and drift of the momentum over the longest flight; empty without one."""
    if not motion.flight.any():
        return {}
    joints = motion.joints[core(motion)].astype(np.float64)
    times = np.arange(len(joints)) / motion.fps
    height = np.einsum("j,tj->t", center_of_mass_weights(), joints[..., 2])
    momentum = angular_momentum(joints, motion.fps)
    mean = momentum.mean(0)
    off = np.linalg.norm(momentum - mean, axis=1)
    return {
        "gravity_error": abs(-2 * float(np.polyfit(times, height, 2)[0]) - GRAVITY),
        "momentum_drift": float(off.max() / np.linalg.norm(mean)),
        "momentum": float(np.linalg.norm(mean)),
    }


def floor_figures(motion: WorldMotion) -> dict[str, float]:
    """How far joints go below the floor, and how far ankles that rest on it slide, mm.

    An ankle rests while it stays below a tenth of the body's height and moves up or down slower
    than 2 cm/s, for 80 ms or more.
    """
    ankles = motion.joints[:, [JOINT["left_ankle"], JOINT["right_ankle"]]].astype(np.float64)
    rising = np.abs(np.gradient(ankles[..., 2], axis=0)) * motion.fps
    resting = (rising < 0.02) & (ankles[..., 2] < 0.15) & ~motion.flight[:, None]
    slip = 0.0
    for foot in (0, 1):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], resting[:, foot].astype(int), [0]])))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            if end - begin >= 0.08 * motion.fps:
                spots = ankles[begin:end, foot, :2]
                slip = max(slip, float(np.linalg.norm(spots - np.median(spots, 0), axis=1).max()))
    return {
        "penetration_mm": 1e3 * max(0.0, -float(motion.joints[..., 2].min())),
        "slip_mm": 1e3 * slip,
    }


def jumps(motion: WorldMotion) -> float:
    """Largest change of a joint's velocity from one frame to the next, m/s."""
    velocity = np.diff(motion.joints.astype(np.float64), axis=0) * motion.fps
    return float(np.linalg.norm(np.diff(velocity, axis=0), axis=-1).max())


def row(action: int, seeds: range, fps: float) -> dict[str, object]:
    """Worst figures of one class over its seeds."""
    rows: list[dict[str, float]] = []
    for seed in seeds:
        begun = time.process_time()
        motion = simulate(action, seed, fps)
        seconds = time.process_time() - begun
        joints = motion.joints.astype(np.float64)
        part = (
            slice(None) if action == 26 else around(core(motion))
        )  # an aerial leaves the floor bent over
        somersault, twist, tilt = count_turns(joints[part])
        wanted = TURNS[action]
        rows.append(
            {
                "somersault_error": abs(somersault - wanted[0]),
                "twist_error": abs(abs(twist) - wanted[1]),
                "tilt_degrees": tilt,
                "bone_std_mm": 1e3 * float(limb_lengths(joints).std(0).max()),
                "velocity_jump": jumps(motion),
                "seconds": seconds,
                **flight_figures(motion),
                **floor_figures(motion),
            }
        )
    names = list(dict.fromkeys(name for one in rows for name in one))
    worst = {name: round(max(one.get(name, 0.0) for one in rows), 4) for name in names}
    middle = round(float(np.median([one["seconds"] for one in rows])), 3)
    return {"class": action, "seeds": len(rows), **worst, "median_seconds": middle}


def main() -> None:
    """Print one JSON row a class."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=100_000)
    parser.add_argument("--fps", type=float, default=240.0)
    parser.add_argument("--classes", type=int, nargs="*", default=[one.id for one in ACTIONS])
    options = parser.parse_args()
    for action in options.classes:
        seeds = range(options.first, options.first + options.seeds)
        print(json.dumps(row(action, seeds, options.fps)), flush=True)


if __name__ == "__main__":
    main()
