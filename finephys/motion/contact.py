"""Bodies on the floor: phases in contact, and legs that reach planted feet.

Design choice: in contact the body is moved by smooth curves that meet the flight in position and
velocity; the legs bend so that planted feet stay where they are.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from finephys.motion.body import Body, forward_kinematics, reach
from finephys.motion.curves import Array, Curve, through
from finephys.skeleton import JOINT

_SIDES = ("left", "right")
ANKLES = (JOINT["left_ankle"], JOINT["right_ankle"])

_SOLE = 0.004
"""Metres over which a foot that would sink into the floor is gradually lifted."""


@dataclass(frozen=True)
class Edge:
    """State of the body where flight meets floor.

    Attributes:
        time: seconds on the motion's clock.
        pelvis: (3,) metres.
        velocity: (3,) of the pelvis, m/s.
        rotation: (3, 3) pelvis to world.
        spin: (3,) angular velocity in pelvis axes, rad/s.
        ankles: (2, 3) left and right, metres.
        ankle_velocities: (2, 3) m/s.
    """

    time: float
    pelvis: Array
    velocity: Array
    rotation: Array
    spin: Array
    ankles: Array
    ankle_velocities: Array

    @property
    def yaw(self) -> float:
        """Heading, radians."""
        return yaw_of(self.rotation)


@dataclass(frozen=True)
class Contact:
    """Paths over one phase on the floor.

    Attributes:
        begin: seconds on the motion's clock.
        end: seconds.
        base: (3, 3) rotation from which `turning` is measured.
        turning: curve of rotation vectors (3,), pelvis axes, on top of `base`.
        pelvis: curve of (3,) metres.
        feet: curves of the ankles (3,) metres, left and right.
    """

    begin: float
    end: float
    base: Array
    turning: Curve
    pelvis: Curve
    feet: tuple[Curve, Curve]

    def joints(self, times: Array, angles: Array, body: Body) -> Array:
        """Joints (T, 17, 3) in the world; legs bend to the feet, the rest follows `angles`."""
        local, thighs = forward_kinematics(angles, body)
        rotations = self.base @ Rotation.from_rotvec(self.turning(times)).as_matrix()
        world = np.einsum("tij,tkj->tki", rotations, local) + self.pelvis(times)[:, None]
        left, right = (above_floor(foot(times), body) for foot in self.feet)
        return place_legs(world, thighs, rotations, (left, right), body)


def above_floor(ankles: Array, body: Body) -> Array:
    """Keep ankles (T, 3) at or above the height of a flat foot, with a smooth transition."""
    out = ankles.copy()
    over = (ankles[:, 2] - body.ankle_height) / _SOLE
    out[:, 2] = body.ankle_height + _SOLE * np.logaddexp(0.0, over)
    return out


def place_legs(
    joints: Array, thighs: Array, rotations: Array, ankles: tuple[Array, Array], body: Body
) -> Array:
    """Bend both legs of world joints (T, 17, 3) so that they end at `ankles` (T, 3) each."""
    out = joints.copy()
    for index, side in enumerate(_SIDES):
        knee, ankle = JOINT[f"{side}_knee"], JOINT[f"{side}_ankle"]
        hinge = (rotations @ thighs[:, index, :, 1:2])[..., 0]
        hip = joints[:, JOINT[f"{side}_hip"]]
        out[:, knee], out[:, ankle] = reach(
            hip, ankles[index], hinge, body.lengths[knee], body.lengths[ankle]
        )
    return out


def rotvec(base: Array, target: Array) -> Array:
    """Rotation vector from `base` to `target`, in base's axes."""
    vector: Array = Rotation.from_matrix(base.T @ target).as_rotvec()
    return vector


def rotvec_rate(vector: Array, spin: Array) -> Array:
    """Rate of a rotation vector whose body turns with `spin` (body axes)."""
    crossed = np.cross(vector, spin)
    angle = float(np.linalg.norm(vector))
    factor = 1 / 12 if angle < 1e-3 else (1 - 0.5 * angle / np.tan(0.5 * angle)) / angle**2
    rate: Array = spin + 0.5 * crossed + factor * np.cross(vector, crossed)
    return rate


def heading_frame(yaw: float, pitch: float = 0.0) -> Array:
    """Rotation (3, 3) of a body that faces `yaw` and leans forward by `pitch` radians."""
    matrix: Array = Rotation.from_euler("ZY", [yaw, pitch]).as_matrix()
    return matrix


def yaw_of(rotation: Array) -> float:
    """Heading of a body that is not upside down, radians, from its left side."""
    return float(np.arctan2(-rotation[0, 1], rotation[1, 1]))


def plant(edge: Edge, foot: int, body: Body, sign: float) -> Array:
    """Position at which a foot is planted before take-off (sign -1) or after touch-down (1)."""
    going = edge.ankle_velocities[foot] * np.array([1.0, 1.0, 0.0])
    spot: Array = edge.ankles[foot] + sign * 0.3 * roll_seconds(edge, body) * going
    spot[2] = body.ankle_height
    return spot


def roll_seconds(edge: Edge, body: Body) -> float:
    """Seconds between a flat foot and the tips of its toes at an edge."""
    rise = body.toe_height - body.ankle_height
    return float(np.clip(2.2 * rise / max(abs(edge.velocity[2]), 0.5), 0.04, 0.10))


def standing_foot(
    spot: Array, body: Body, begin: float, end: float, after: Edge | None, before: Edge | None,
    foot: int,
) -> Curve:  # fmt: skip
    """Path of a foot planted at `spot`, from edge `before` to edge `after` where there are any."""
    times, places = [begin, end], [spot, spot]
    first = last = np.zeros(3)
    if before is not None:
        times[0] = begin + roll_seconds(before, body)
        times.insert(0, begin)
        places.insert(0, before.ankles[foot])
        first = before.ankle_velocities[foot]
    if after is not None:
        times[-1] = end - roll_seconds(after, body)
        times.append(end)
        places.append(after.ankles[foot])
        last = after.ankle_velocities[foot]
    return through(times, places, first, last)
