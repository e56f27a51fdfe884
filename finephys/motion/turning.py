"""Turns on one foot: the toe stays, the centre of mass stays over it, the body spins."""

import numpy as np

from finephys.motion import classes, contact
from finephys.motion.body import Body, forward_kinematics, rotation
from finephys.motion.classes import Supported
from finephys.motion.curves import Array, through
from finephys.motion.flight import center_of_mass
from finephys.motion.performance import Bool, Performance

_READY, _RISE, _LEAVE = 0.5, 0.22, 0.3
_LAST = 0.5
_LIFT = 0.08
"""Metres by which the moving foot clears the floor."""


def turn(described: Supported, body: Body, rng: np.random.Generator) -> Performance:
    """Simulate a turn to the left on the left foot, without flight.

    The turn begins at time 0, after a lunge with both feet down; the free leg rises while the body
    turns, and afterwards its foot is put down behind.
    """
    spin = described.turns * float(rng.uniform(*described.seconds))
    end = spin + _LEAVE
    held = described.held + np.radians(3) * rng.standard_normal(len(described.held))
    wind = np.radians(rng.uniform(10, 22))
    whole = 2 * np.pi * described.turns
    yaw = through(
        [-_READY, -0.12, 0.16, spin - 0.1, spin + 0.12, end + _LAST],
        np.array([0.0, -wind, 0.05 * spin, whole - 0.35, whole, whole])[:, None],
    )
    lunge = classes.pose(
        classes.ARMS_OUT, right_hip_flex=-18, right_knee=25, left_hip_flex=40, left_knee=45,
        right_arm_side=10, spine_flex=4,
    )  # fmt: skip
    settle = classes.pose(lunge, arm_raise=95, right_arm_side=75)
    angles = through(
        [-_READY, -0.1, described.rise, spin - 0.6 * described.rise, end, end + _LAST],
        [classes.pose(classes.ARMS_OUT), lunge, held, held, settle, settle],
    )
    flat, toe = body.ankle_height, body.toe_height
    raised = through(
        [-_READY, -0.08, _RISE * 0.6, spin, end, end + _LAST],
        np.array([flat, flat, toe, toe, flat, flat])[:, None],
    )
    stand = 0.995 * body.leg
    deep = 0.45 * body.leg if described.low > 90 else stand
    hip = through(
        [-_READY, -0.1, 0.2, spin - 0.05, end, end + _LAST],
        np.array([0.97 * stand, 0.88 * stand, deep, deep, 0.9 * stand, 0.93 * stand])[:, None],
    )
    on_one = through(
        [-_READY, -0.1, 0.12, spin, end, end + _LAST],
        np.array([0.5, 0.55, 1.0, 1.0, 0.6, 0.6])[:, None],
    )
    free = through(
        [-_READY, -0.06, 0.16, spin - 0.02, end, end + _LAST],
        np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])[:, None],
    )
    behind = np.array([-0.30, -0.10, 0.0]) * body.height / 1.6
    behind[2] = flat

    def at(times: Array) -> tuple[Array, Bool]:
        local, thighs = forward_kinematics(angles(times), body)
        rotations = rotation("z", yaw(times)[:, 0])
        stance = np.zeros((len(times), 3))
        stance[:, 2] = raised(times)[:, 0]
        alone, lifted = on_one(times), free(times)
        place = np.zeros((len(times), 3))
        place[:, 2] = hip(times)[:, 0] + stance[:, 2]
        turned = joints = np.einsum("tij,tkj->tki", rotations, local)
        for _ in range(3):  # the legs shift the centre of mass, which shifts the hips
            mass = center_of_mass(joints) - joints[:, 0]
            support = alone * stance + (1 - alone) * (stance + behind) / 2
            place[:, :2] = support[:, :2] - mass[:, :2]
            world = turned + place[:, None]
            ankles = lifted * world[:, contact.ANKLES[1]] + (1 - lifted) * behind
            ankles[:, 2] += _LIFT * 4 * (lifted * (1 - lifted))[:, 0]
            feet = (stance, contact.above_floor(ankles, body))
            joints = contact.place_legs(world, thighs, rotations, feet, body)
        return joints, np.zeros(len(times), np.bool_)

    return Performance(-_READY, end + _LAST, at)
