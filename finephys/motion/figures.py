"""What a motion's joint positions say of its mechanics: turns, gravity, momentum, floor, jumps.

Nothing here is shared with the solver, so that its mistakes show.
"""

import numpy as np
import numpy.typing as npt

from finephys.anthropometry import GRAVITY, POINT_MASSES, SEGMENTS, center_of_mass_weights
from finephys.skeleton import JOINT
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


def velocities(joints: Array, fps: float, order: int) -> Array:
    """Velocities (T - 4, 17, 3) by central differences of order 2 or 4."""
    near: Array = (joints[3:-1] - joints[1:-3]) * fps / 2
    if order == 2:
        return near
    far: Array = (joints[4:] - joints[:-4]) * fps / 4
    fourth: Array = (4 * near - far) / 3
    return fourth


def angular_momentum(joints: Array, fps: float, order: int = 4) -> Array:
    """Angular momentum (T - 4, 3) about the centre of mass, from rods cut into point masses."""
    velocity = velocities(joints, fps, order)
    place = joints[2:-2]
    center = np.einsum("j,tjd->td", center_of_mass_weights(), place)
    drift = np.einsum("j,tjd->td", center_of_mass_weights(), velocity)
    total: Array = np.zeros_like(center)

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


def longest_flight(motion: WorldMotion) -> slice:
    """Frames of the longest flight, or of the whole motion where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], motion.flight.astype(int), [0]])))
    if not len(edges):
        return slice(0, len(motion.joints))
    begins, ends = edges[::2], edges[1::2]
    longest = int((ends - begins).argmax())
    return slice(int(begins[longest]), int(ends[longest]))


def counted_frames(motion: WorldMotion) -> slice:
    """Frames over which the turns of a class are counted.

    The longest flight with its take-off and touch-down, or the whole motion without a flight. An
    aerial (class 26) leaves the floor bent over and is counted from stand to stand.
    """
    if motion.action == 26:
        return slice(0, len(motion.joints))
    flight = longest_flight(motion)
    return slice(max(flight.start - 1, 0), flight.stop + 1)


def drift(momentum: Array) -> tuple[float, float]:
    """Largest and root-mean-square distance of momenta (T, 3) from their mean."""
    off = np.linalg.norm(momentum - momentum.mean(0), axis=1)
    return float(off.max()), float(np.sqrt((off**2).mean()))


def flight_figures(motion: WorldMotion) -> dict[str, float]:
    """Gravity and momentum over the longest flight; empty without one.

    Velocities of frames are differences. Those of order four show the motion's own drift; those of
    order two show mostly their own error, which must fall fourfold when the step halves
    (`halving`: from half the frame rate to the whole).
    """
    if not motion.flight.any():
        return {}
    joints = motion.joints[longest_flight(motion)].astype(np.float64)
    times = np.arange(len(joints)) / motion.fps
    height = np.einsum("j,tj->t", center_of_mass_weights(), joints[..., 2])
    momentum = angular_momentum(joints, motion.fps)
    size = float(np.linalg.norm(momentum.mean(0)))
    plain = drift(angular_momentum(joints, motion.fps, 2))
    coarse = drift(angular_momentum(joints[::2], motion.fps / 2, 2))
    return {
        "gravity_error": abs(-2 * float(np.polyfit(times, height, 2)[0]) - GRAVITY),
        "momentum_drift": drift(momentum)[0] / size,
        "momentum_drift_order_2": plain[0] / size,
        "halving_off": abs(coarse[1] / plain[1] / 4 - 1),
        "momentum": size,
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
