"""Bodies on the floor: paths of pelvis, trunk and feet before a take-off and after a landing.

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


@dataclass(frozen=True)
class Edge:
    """State of the body where flight meets floor.

    Attributes:
        time: seconds from take-off.
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


@dataclass(frozen=True)
class Contact:
    """Paths over one phase on the floor.

    Attributes:
        base: (3, 3) rotation the turning is measured from.
        turning: curve of rotation vectors (3,), pelvis axes, on top of `base`.
        pelvis: curve of (3,) metres.
        ankles: curves of (3,) metres, left and right.
    """

    base: Array
    turning: Curve
    pelvis: Curve
    ankles: tuple[Curve, Curve]

    def rotations(self, times: Array) -> Array:
        """Pelvis to world (T, 3, 3)."""
        turned: Array = self.base @ Rotation.from_rotvec(self.turning(times)).as_matrix()
        return turned


def place_legs(
    joints: Array, thighs: Array, rotations: Array, ankles: tuple[Array, Array], body: Body
) -> Array:
    """Bend both legs of world joints (T, 17, 3) so that they end at `ankles` (T, 3) each."""
    out = joints.copy()
    for index, side in enumerate(_SIDES):
        knee, ankle = JOINT[f"{side}_knee"], JOINT[f"{side}_ankle"]
        forward = rotations @ thighs[:, index, :, 0:1]
        out[:, knee], out[:, ankle] = reach(
            joints[:, JOINT[f"{side}_hip"]], ankles[index], forward[..., 0],
            body.lengths[knee], body.lengths[ankle],
        )  # fmt: skip
    return out


def posture(angles: Curve, times: Array, body: Body) -> tuple[Array, Array]:
    """Joints in pelvis axes and thigh frames at `times`."""
    return forward_kinematics(angles(times), body)


def rotvec(base: Array, target: Array) -> Array:
    """Rotation vector from `base` to `target`, in base's axes."""
    vector: Array = Rotation.from_matrix(base.T @ target).as_rotvec()
    return vector


def heading_frame(yaw: float, pitch: float = 0.0) -> Array:
    """Rotation (3, 3) of a body that faces `yaw` and leans forward by `pitch` radians."""
    matrix: Array = Rotation.from_euler("ZY", [yaw, pitch]).as_matrix()
    return matrix


def yaw_of(rotation: Array) -> float:
    """Heading of a body that is more or less upright, radians."""
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def _plant(edge: Edge, index: int, body: Body, roll: float, sign: float) -> Array:
    """Where a foot stands that leaves (sign -1) or meets (sign 1) the floor at an edge."""
    spot: Array = edge.ankles[index] + sign * 0.3 * roll * edge.ankle_velocities[index]
    spot[2] = body.ankle_height
    return spot


def _roll_seconds(edge: Edge, body: Body) -> float:
    rise = body.toe_height - body.ankle_height
    return float(np.clip(2.2 * rise / max(abs(edge.velocity[2]), 0.5), 0.04, 0.10))


def jump_off(edge: Edge, body: Body, crouch: float, lead: float, pitch: float) -> Contact:
    """Stand, crouch and push off both feet.

    Args:
        edge: state at take-off.
        body: limb lengths.
        crouch: how far the pelvis sinks, metres.
        lead: seconds from standing to take-off.
        pitch: forward lean in the crouch, radians.
    """
    roll = _roll_seconds(edge, body)
    feet = [_plant(edge, index, body, roll, -1.0) for index in (0, 1)]
    middle = (feet[0] + feet[1]) / 2
    push = float(np.clip(2 * crouch / max(edge.velocity[2], 1.0), 0.12, 0.3))
    low = edge.pelvis - 0.5 * push * edge.velocity
    low[0] = 0.5 * low[0] + 0.5 * (middle[0] - 0.05)
    low[1] = middle[1]
    tall = np.array([middle[0], middle[1], body.standing])
    start = edge.time - lead
    pelvis = through(
        [start, start + 0.15 * lead, edge.time - push, edge.time],
        [tall, tall, low, edge.pelvis],
        end_velocity=edge.velocity,
    )
    upright = rotvec(edge.rotation, heading_frame(yaw_of(edge.rotation)))
    bent = rotvec(edge.rotation, heading_frame(yaw_of(edge.rotation), pitch))
    turning = through(
        [start, edge.time - push, edge.time], [upright, bent, np.zeros(3)], end_velocity=edge.spin
    )
    ankles = tuple(
        through(
            [start, edge.time - roll, edge.time],
            [feet[index], feet[index], edge.ankles[index]],
            end_velocity=edge.ankle_velocities[index],
        )
        for index in (0, 1)
    )
    return Contact(edge.rotation, turning, pelvis, (ankles[0], ankles[1]))


def run_up(edge: Edge, body: Body, dip: float, lead: float, pitch: float) -> Contact:
    """Run three steps and push off the left foot, the right leg already swinging.

    Args:
        edge: state at take-off.
        body: limb lengths.
        dip: how far the pelvis sinks before the push, metres.
        lead: seconds of running.
        pitch: forward lean while running, radians.
    """
    roll = _roll_seconds(edge, body)
    speed = edge.velocity[:2] * 1.05
    t = edge.time
    lowest = t - 0.11
    tall = 0.95 * body.leg + body.ankle_height

    def ground(at: float) -> Array:
        return edge.pelvis[:2] + speed * (at - t)

    starts = [t - lead, t - 0.62, t - 0.42, lowest]
    heights = [tall, tall - 0.02, tall, min(tall - dip, edge.pelvis[2] - 0.5 * dip)]
    pelvis = through(
        [*starts, t],
        [*(np.array([*ground(at), z]) for at, z in zip(starts, heights, strict=True)), edge.pelvis],
        start_velocity=np.array([*speed, 0.0]),
        end_velocity=edge.velocity,
    )
    leaning = rotvec(edge.rotation, heading_frame(yaw_of(edge.rotation), pitch))
    turning = through(
        [t - lead, t - 0.2, t], [leaning, leaning, np.zeros(3)], end_velocity=edge.spin
    )
    side = np.array([0.0, 0.06])
    flat = body.ankle_height
    left_now = _plant(edge, 0, body, roll, -1.0)
    left_before = np.array([*(ground(t - 0.66) + side), flat])
    right_before = np.array([*(ground(t - 0.34) - side), flat])
    right_first = np.array([*(ground(t - 0.98) - side), flat])
    lift = np.array([0.0, 0.0, 0.22])
    left = through(
        [t - lead, t - 0.52, t - 0.34, t - 0.18, t - roll, t],
        [left_before, left_before, (left_before + left_now) / 2 + lift, left_now, left_now,
         edge.ankles[0]],
        end_velocity=edge.ankle_velocities[0],
    )  # fmt: skip
    right = through(
        [t - lead, t - 0.82, t - 0.64, t - 0.46, t - 0.2, t],
        [right_first, right_first, (right_first + right_before) / 2 + lift, right_before,
         right_before, edge.ankles[1]],
        end_velocity=edge.ankle_velocities[1],
    )  # fmt: skip
    return Contact(edge.rotation, turning, pelvis, (left, right))


def land_both(edge: Edge, body: Body, sink: float, tail: float, pitch: float) -> Contact:
    """Land on both feet, absorb in a squat and stand up."""
    roll = _roll_seconds(edge, body)
    t = edge.time
    feet = [_plant(edge, index, body, roll, 1.0) for index in (0, 1)]
    middle = (feet[0] + feet[1]) / 2
    yaw = yaw_of(edge.rotation)
    facing = np.array([np.cos(yaw), np.sin(yaw)])
    soak = float(np.clip(2 * sink / max(abs(edge.velocity[2]), 1.0), 0.12, 0.3))
    low = edge.pelvis + 0.5 * soak * edge.velocity
    low[:2] = 0.35 * low[:2] + 0.65 * (middle[:2] - 0.08 * facing)
    low[2] = max(low[2], body.ankle_height + 0.42 * body.leg)
    tall = np.array([middle[0], middle[1], body.standing])
    pelvis = through(
        [t, t + soak, t + soak + 0.5, t + tail], [edge.pelvis, low, tall, tall],
        start_velocity=edge.velocity,
    )  # fmt: skip
    bent = rotvec(edge.rotation, heading_frame(yaw, pitch))
    upright = rotvec(edge.rotation, heading_frame(yaw))
    turning = through(
        [t, t + 1.3 * soak, t + soak + 0.45, t + tail], [np.zeros(3), bent, upright, upright],
        start_velocity=edge.spin,
    )  # fmt: skip
    ankles = tuple(
        through(
            [t, t + roll, t + tail],
            [edge.ankles[index], feet[index], feet[index]],
            start_velocity=edge.ankle_velocities[index],
        )
        for index in (0, 1)
    )
    return Contact(edge.rotation, turning, pelvis, (ankles[0], ankles[1]))


def land_stepping(edge: Edge, body: Body, foot: int, sink: float, tail: float) -> Contact:
    """Land on one foot (0 left, 1 right), step through with the other and stand."""
    roll = _roll_seconds(edge, body)
    t = edge.time
    other = 1 - foot
    speed = edge.velocity[:2]
    stop = 0.62
    yaw = yaw_of(edge.rotation)
    left = np.array([-np.sin(yaw), np.cos(yaw)])
    end = edge.pelvis[:2] + 0.42 * stop * speed
    soak = float(np.clip(2 * sink / max(abs(edge.velocity[2]), 1.0), 0.08, 0.2))
    low = np.array([*(edge.pelvis[:2] + soak * speed * 0.85), edge.pelvis[2] - sink])
    low[2] = min(low[2], 0.93 * body.leg + body.ankle_height)
    tall = np.array([*end, body.standing])
    pelvis = through(
        [t, t + soak, t + stop, t + tail], [edge.pelvis, low, tall, tall],
        start_velocity=edge.velocity,
    )  # fmt: skip
    upright = rotvec(edge.rotation, heading_frame(yaw))
    turning = through(
        [t, t + 0.4, t + tail], [np.zeros(3), upright, upright], start_velocity=edge.spin
    )
    flat = body.ankle_height
    down = _plant(edge, foot, body, roll, 1.0)
    width = 0.07 if foot == 0 else -0.07
    ahead = speed / max(float(np.linalg.norm(speed)), 0.3) * 0.12
    stepped = np.array([*(end + ahead - width * left), flat])
    closed = np.array([*(end - 0.3 * ahead + width * left), flat])
    lift = np.array([0.0, 0.0, 0.09])
    standing_foot = through(
        [t, t + roll, t + 0.36, t + 0.5, t + 0.66, t + tail],
        [edge.ankles[foot], down, down, (down + closed) / 2 + lift, closed, closed],
        start_velocity=edge.ankle_velocities[foot],
    )
    stepping_foot = through(
        [t, t + 0.32, t + tail],
        [edge.ankles[other], stepped, stepped],
        start_velocity=edge.ankle_velocities[other],
    )
    feet = (standing_foot, stepping_foot) if foot == 0 else (stepping_foot, standing_foot)
    return Contact(edge.rotation, turning, pelvis, feet)
