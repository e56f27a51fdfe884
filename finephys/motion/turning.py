"""Turns on one foot: the toe stays, the centre of mass stays over it, the body spins."""

import numpy as np
import numpy.typing as npt

from finephys.motion import classes, contact
from finephys.motion.body import Body, forward_kinematics
from finephys.motion.classes import Supported
from finephys.motion.curves import Array, through
from finephys.motion.flight import center_of_mass

_READY, _RISE, _LEAVE = 0.5, 0.22, 0.3
_LAST = 0.5
_LIFT = 0.08
"""Metres by which the free foot clears the floor on its way."""


def turn(
    described: Supported, body: Body, rng: np.random.Generator, fps: float
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Joints (T, 17, 3) of a turn to the left on the left foot, and flight flags (all False).

    The turn begins at time 0: before it a lunge with both feet down, then the free leg rises while
    the body turns; after it the free foot is put down behind.
    """
    spin = described.turns * float(rng.uniform(*described.seconds))
    end = spin + _LEAVE
    low = described.low > 90
    held = described.held + np.radians(3) * rng.standard_normal(len(described.held))
    wind = np.radians(rng.uniform(10, 22))
    yaw = through(
        [-_READY, -0.12, 0.16, spin - 0.1, spin + 0.12, end + _LAST],
        np.array([[0.0], [-wind], [0.05 * spin],
                  [2 * np.pi * described.turns - 0.35], [2 * np.pi * described.turns],
                  [2 * np.pi * described.turns]]),
    )  # fmt: skip
    lunge = classes.pose(
        classes.ARMS_OUT, right_hip_flex=-18, right_knee=25, left_hip_flex=40, left_knee=45,
        right_arm_side=10, spine_flex=4,
    )  # fmt: skip
    settle = classes.pose(lunge, arm_raise=95, right_arm_side=75)
    angles = through(
        [-_READY, -0.1, described.rise, spin - 0.6 * described.rise, end, end + _LAST],
        [classes.pose(classes.ARMS_OUT), lunge, held, held, settle, settle],
    )
    times = np.arange(-round(_READY * fps), round((end + _LAST) * fps) + 1) / fps
    local, thighs = forward_kinematics(angles(times), body)
    heading = yaw(times)[:, 0]
    rotations = np.stack([contact.heading_frame(value) for value in heading])
    flat, toe = body.ankle_height, body.toe_height
    raised = through(
        [-_READY, -0.08, _RISE * 0.6, spin, end, end + _LAST],
        np.array([[flat], [flat], [toe], [toe], [flat], [flat]]),
    )
    stance = np.zeros((len(times), 3))
    stance[:, 2] = raised(times)[:, 0]
    stand = 0.995 * body.leg
    deep = 0.45 * body.leg if low else stand
    hip = through(
        [-_READY, -0.1, 0.2, spin - 0.05, end, end + _LAST],
        np.array([[0.97 * stand], [0.88 * stand], [deep], [deep], [0.9 * stand], [0.93 * stand]]),
    )
    on_one = through(
        [-_READY, -0.1, 0.12, spin, end, end + _LAST],
        np.array([[0.5], [0.55], [1.0], [1.0], [0.6], [0.6]]),
    )(times)
    behind = np.array([-0.30, -0.10, 0.0]) * body.height / 1.6
    first, last = behind.copy(), behind.copy()
    first[2] = last[2] = flat
    place = np.zeros((len(times), 3))
    joints = np.zeros_like(local)
    ankles = np.zeros((len(times), 3))
    free = through(
        [-_READY, -0.06, 0.16, spin - 0.02, end, end + _LAST],
        np.array([[0.0], [0.0], [1.0], [1.0], [0.0], [0.0]]),
    )(times)
    joints = np.einsum("tij,tkj->tki", rotations, local)
    target = np.where(times[:, None] < spin / 2, first, last)
    for _ in range(3):
        mass = center_of_mass(joints) - joints[:, 0]
        support = on_one * stance + (1 - on_one) * (stance + target) / 2
        place[:, :2] = support[:, :2] - mass[:, :2]
        place[:, 2] = hip(times)[:, 0] + stance[:, 2]
        world = np.einsum("tij,tkj->tki", rotations, local) + place[:, None]
        ankles = free * world[:, contact.ANKLES[1]] + (1 - free) * target
        ankles[:, 2] += _LIFT * 4 * (free * (1 - free))[:, 0]
        feet = (stance, contact.above_floor(ankles, body))
        joints = contact.place_legs(world, thighs, rotations, feet, body)
    return joints, np.zeros(len(times), np.bool_)
