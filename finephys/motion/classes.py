"""Definitions of the 35 classes: take-off, shapes over time, somersaults and twists.

Design choice: the supplement's Table 3 gives labels only; shapes, times and speeds follow the
Code of Points' descriptions of the elements and published kinematics of floor exercise.
"""

from dataclasses import dataclass

import numpy as np

from finephys.errors import RequestError
from finephys.motion.body import ANGLE, ANGLES
from finephys.motion.curves import Array
from finephys.motion.take_off import Steering

Pose = Array
"""Joint angles, (len(ANGLES),) radians."""

Key = tuple[float, Pose]
"""Time and pose. Time is a fraction of the flight from 0 to 1; below 0 it is seconds before
take-off, above 1 seconds after landing plus one."""


def pose(base: Pose | None = None, **degrees: float) -> Pose:
    """Give `base` with named angles replaced; a name without a side sets both sides."""
    result = np.zeros(len(ANGLES)) if base is None else base.copy()
    for name, value in degrees.items():
        for full in (name,) if name in ANGLE else (f"left_{name}", f"right_{name}"):
            result[ANGLE[full]] = np.radians(value)
    return result


ARMS_OUT = pose(arm_raise=88, arm_side=80, elbow=8)
ARMS_UP = pose(arm_raise=165, arm_side=35, elbow=10)
LOW = pose(arm_raise=-45, arm_side=15, elbow=10, hip_flex=75, knee=80, spine_flex=20)
REACH = pose(arm_raise=168, arm_side=15, elbow=8, spine_flex=-6, knee=10, hip_flex=-6, hip_side=3)
REACH_BACK = pose(REACH, hip_flex=8, spine_flex=-8)
RUNNING = pose(ARMS_OUT, arm_raise=45, arm_side=50, elbow=45, spine_flex=2)
HURDLE_OFF = pose(
    ARMS_UP, left_hip_flex=-14, left_knee=10, right_hip_flex=62, right_knee=75, arm_raise=95,
)  # fmt: skip
HURDLE = pose(ARMS_UP, hip_flex=22, knee=28, hip_side=2, arm_raise=150, spine_flex=2)
HURDLE_LAND = pose(ARMS_UP, hip_flex=32, knee=24, hip_side=2, arm_raise=135, spine_flex=6)
SNAP = pose(ARMS_UP, arm_raise=150, hip_flex=58, knee=8, spine_flex=8, hip_side=2)
SNAPPING = pose(ARMS_UP, arm_raise=140, hip_flex=60, knee=16, spine_flex=24, hip_side=2)
SNAP_LAND = pose(ARMS_UP, arm_raise=128, hip_flex=42, knee=26, spine_flex=16, hip_side=3)
TUCK = pose(
    hip_flex=122, knee=132, hip_side=8, spine_flex=38, head_flex=22, arm_raise=62, arm_side=12,
    elbow=38,
)  # fmt: skip
PIKE = pose(
    hip_flex=112, knee=4, hip_side=3, spine_flex=38, head_flex=15, arm_raise=78, arm_side=12,
    elbow=22,
)  # fmt: skip
STRETCHED = pose(
    hip_flex=-6, knee=3, hip_side=2, spine_flex=-8, arm_raise=20, arm_side=55, elbow=15
)
WRAP = pose(STRETCHED, hip_flex=2, spine_flex=2, arm_raise=22, arm_side=72, arm_roll=110, elbow=112)
SPIN = pose(WRAP, arm_raise=22, arm_roll=100, elbow=75)
ONE_ARM = pose(STRETCHED, arm_raise=100, arm_side=60, elbow=30, hip_flex=20, knee=30)
HALF_TUCK = pose(WRAP, hip_flex=28, knee=48, spine_flex=8, elbow=45, arm_roll=25, arm_side=50)
PUCK = pose(WRAP, hip_flex=42, knee=72, spine_flex=14)
HALF_PIKE = pose(WRAP, hip_flex=15, spine_flex=5, arm_raise=55, elbow=45, arm_roll=60)
OPEN = pose(REACH, arm_raise=130, arm_side=50, hip_flex=12, knee=12, spine_flex=4)
TOUCH_BACK = pose(
    hip_flex=46, knee=72, hip_side=6, spine_flex=22, arm_raise=85, arm_side=40, elbow=20
)
TOUCH_FRONT = pose(
    hip_flex=52, knee=58, hip_side=6, spine_flex=18, arm_raise=80, arm_side=50, elbow=20
)
SQUAT = pose(hip_flex=95, knee=95, hip_side=8, spine_flex=30, arm_raise=80, arm_side=45, elbow=15)
SOFT_SQUAT = pose(SQUAT, spine_flex=8)
PRESENT = pose(arm_raise=150, arm_side=50, elbow=8, hip_side=2, spine_flex=-4)


@dataclass(frozen=True)
class Airborne:
    """A class with a flight.

    Attributes:
        keys: shapes; the first at 0 (take-off) and the last at 1 (touch-down).
        seconds: range of flight times.
        speed: range of horizontal speeds, m/s, forward positive.
        somersaults: turns about the lateral axis, forward positive.
        twists: turns about the long axis, to the left positive.
        entry: "run" (off the left foot), "stand" (off both), "hurdle" (run, hop, off both) or
            "snap" (end of a round-off, off both).
        lands_on: "both", "left" or "right".
        lean: degrees of trunk lean at take-off, forward positive.
        final_lean: change of that lean at landing, degrees.
        steered: fraction of the flight at which arms and trunk stop steering the twist.
        crouch: how far the pelvis sinks before the push of a run-up, metres.
    """

    keys: tuple[Key, ...]
    seconds: tuple[float, float]
    speed: tuple[float, float]
    somersaults: float = 0.0
    twists: float = 0.0
    entry: str = "stand"
    lands_on: str = "both"
    lean: float = 0.0
    final_lean: float = 0.0
    steered: float = 0.97
    crouch: float = 0.10

    @property
    def one_foot(self) -> bool:
        """Whether it takes off from the left foot and lands on one."""
        return self.entry == "run"


@dataclass(frozen=True)
class Supported:
    """A turn on the toes of the left foot.

    Attributes:
        turns: to the left.
        held: pose throughout the turn.
        low: stance knee in degrees; over 90 the turn is done in a crouch.
        seconds: range of seconds for one turn.
        rise: seconds from the start of the turn until the free leg is in position.
    """

    turns: float
    held: Pose
    low: float = 2.0
    seconds: tuple[float, float] = (0.62, 0.85)
    rise: float = 0.2


def _salto(
    middle: tuple[Key, ...],
    touch: Pose,
    somersaults: float,
    twists: float = 0.0,
    seconds: tuple[float, float] = (0.74, 0.86),
    speed: tuple[float, float] = (-1.6, -0.8),
    steered: float = 0.97,
) -> Airborne:
    """A salto; backward ones follow a round-off, forward ones a hurdle."""
    back = somersaults < 0
    return Airborne(
        ((0.0, REACH_BACK if back else REACH), *middle, (1.0, touch)), seconds, speed,
        somersaults, twists, "snap" if back else "hurdle", lean=-3 if back else -4,
        final_lean=4 if back else 0, steered=steered,
    )  # fmt: skip


def _shaped(shape: Pose, enter: float = 0.25, leave: float = 0.72) -> tuple[Key, ...]:
    return ((enter, shape), ((enter + leave) / 2, shape), (leave, shape), (0.88, OPEN))


def _twist_then(puck: Pose, until: float, shape: Pose) -> tuple[Key, ...]:
    """Shapes of a double salto that twists while open, then closes to `shape`."""
    return ((0.16, puck), (until, puck), (until + 0.17, shape), (0.8, shape), (0.92, OPEN))


def _spinning(shape: Pose, enter: float = 0.2, leave: float = 0.68) -> tuple[Key, ...]:
    """Shapes of a salto that twists throughout."""
    return ((enter, shape), (leave, shape), (leave + 0.18, OPEN))


_BACK, _FRONT = (-1.6, -0.7), (1.2, 2.2)
_DOUBLE = (0.95, 1.06)

_LEAP_OFF = pose(
    ARMS_OUT, left_hip_flex=-22, left_knee=11, right_hip_flex=55, right_knee=12, spine_flex=-4,
)  # fmt: skip
_SPLIT = pose(
    ARMS_OUT, right_hip_flex=88, right_knee=3, left_hip_flex=-66, left_knee=4, left_hip_roll=20,
    spine_flex=-14,
)  # fmt: skip
_SWITCHED = pose(
    ARMS_OUT, left_hip_flex=88, left_knee=3, right_hip_flex=-66, right_knee=4, right_hip_roll=20,
    spine_flex=-14,
)  # fmt: skip
_LAND_RIGHT = pose(
    ARMS_OUT, right_hip_flex=28, right_knee=22, left_hip_flex=-28, left_knee=25, spine_flex=2
)
_LAND_LEFT = pose(
    ARMS_OUT, left_hip_flex=28, left_knee=22, right_hip_flex=-28, right_knee=25, spine_flex=2
)
_BACK_ON_RIGHT = pose(
    ARMS_OUT, right_hip_flex=-14, right_knee=18, left_hip_flex=38, left_knee=72, spine_flex=4
)
_BACK_ON_LEFT = pose(
    ARMS_OUT, left_hip_flex=-14, left_knee=18, right_hip_flex=38, right_knee=72, spine_flex=4
)
_SWING = pose(ARMS_OUT, right_hip_flex=75, right_knee=6, left_hip_flex=-35, left_knee=10)
_SIDE_SPLIT = pose(
    ARMS_OUT, hip_flex=25, hip_side=82, knee=2, hip_roll=35, spine_flex=4, arm_raise=80
)
_STRADDLE = pose(ARMS_OUT, hip_flex=82, hip_side=62, knee=2, spine_flex=26, arm_side=55)
_RING = pose(
    ARMS_UP, left_hip_flex=84, left_knee=3, right_hip_flex=-53, right_knee=104, spine_flex=-46,
    head_flex=-45,
)  # fmt: skip
_STAG = pose(
    ARMS_OUT, right_hip_flex=88, right_knee=118, left_hip_flex=-60, left_knee=4, spine_flex=-10
)
_JUMP_OFF = pose(ARMS_OUT, knee=10, hip_flex=-4, hip_side=3, arm_raise=110)
_JUMP_LAND = pose(ARMS_OUT, knee=28, hip_flex=24, hip_side=4, spine_flex=6)


def _leap(
    middle: tuple[Key, ...], touch: Pose, lands_on: str, twists: float = 0.0,
    seconds: tuple[float, float] = (0.54, 0.64),
) -> Airborne:  # fmt: skip
    return Airborne(
        ((0.0, _LEAP_OFF), *middle, (1.0, touch)), seconds, (2.0, 2.8), 0.0, twists, entry="run",
        lands_on=lands_on, lean=4.0,
    )  # fmt: skip


def _jump(middle: tuple[Key, ...], twists: float = 0.0) -> Airborne:
    return Airborne(
        ((0.0, _JUMP_OFF), *middle, (1.0, _JUMP_LAND)), (0.54, 0.64), (0.2, 0.7), 0.0, twists,
        lean=2.0,
    )  # fmt: skip


_SWITCH_LEAP = ((0.14, _SWING), (0.62, _SWITCHED), (0.74, _SWITCHED))
_PASSE = pose(ARMS_OUT, right_hip_flex=62, right_knee=112, right_hip_side=25, right_hip_roll=40,
              arm_raise=75, arm_side=35, elbow=35)  # fmt: skip
_HEEL = pose(ARMS_OUT, right_hip_flex=90, right_knee=3, spine_flex=-4, arm_side=75)
_STANDING_SPLIT = pose(
    right_hip_flex=168, right_knee=3, right_hip_side=10, spine_flex=-4, left_arm_raise=90,
    left_arm_side=85, right_arm_raise=165, right_arm_side=25, elbow=10,
)  # fmt: skip
_TUCK_STAND = pose(
    right_hip_flex=98, right_knee=3, left_hip_flex=112, left_knee=128, spine_flex=32,
    arm_raise=80, arm_side=25, elbow=10,
)  # fmt: skip
_WALKOVER_OFF = pose(
    ARMS_UP, left_hip_flex=52, left_knee=10, right_hip_flex=-48, right_knee=6, spine_flex=10,
    arm_raise=95, arm_side=45,
)  # fmt: skip
_WALKOVER_SPLIT = pose(
    ARMS_OUT, right_hip_flex=-55, right_knee=4, left_hip_flex=58, left_knee=4, spine_flex=-18
)
_WALKOVER_LAND = pose(
    ARMS_UP, right_hip_flex=-32, right_knee=14, left_hip_flex=48, left_knee=8, spine_flex=-30,
    head_flex=-25, arm_raise=140,
)  # fmt: skip

ARM_RANGE = (np.radians(4), np.radians(182))
SIDE_RANGE = (np.radians(-28), np.radians(28))
"""Ranges of an arm and of the trunk when steering; no arm passes through the body."""


def steering(until: float) -> tuple[Steering, ...]:
    """Movements that tilt a twisting gymnast: drop or raise one arm, bend the trunk sideways.

    The first of each kind starts the twist; the second, from half-way on, removes the tilt.

    Args:
        until: fraction of the flight at which steering ends.
    """
    until = 0.97 * until
    half = 0.42 * until
    left, right, side = "left_arm_raise", "right_arm_raise", "spine_side"
    return (
        Steering(left, 0.02, until, np.radians(100), ARM_RANGE),
        Steering(side, 0.02, until, np.radians(15), SIDE_RANGE),
        Steering(right, 0.02, until, np.radians(125), ARM_RANGE),
        Steering(left, half, until, np.radians(100), ARM_RANGE),
        Steering(right, half, until, np.radians(100), ARM_RANGE),
        Steering(side, half, until, np.radians(15), SIDE_RANGE),
    )


CLASSES: dict[int, Airborne | Supported] = {
    6: _leap(_SWITCH_LEAP, _BACK_ON_RIGHT, "right", 0.5),
    7: _leap(_SWITCH_LEAP, _LAND_LEFT, "left", 1.0, (0.58, 0.66)),
    8: _leap(((0.45, _SPLIT), (0.62, _SPLIT)), _LAND_RIGHT, "right", 1.0, (0.58, 0.66)),
    9: _leap(((0.4, _SPLIT), (0.58, _SPLIT)), _BACK_ON_LEFT, "left", 1.5, (0.6, 0.68)),
    10: _leap(_SWITCH_LEAP, _LAND_LEFT, "left"),
    11: _jump(((0.42, _SPLIT), (0.6, _SPLIT)), 1.0),
    12: _jump(((0.42, _SPLIT), (0.6, _SPLIT))),
    13: _leap(((0.16, _SWING), (0.56, _SIDE_SPLIT), (0.68, _SIDE_SPLIT)), _LAND_LEFT, "left", 0.75),
    14: _jump(((0.42, _STRADDLE), (0.6, _STRADDLE)), 1.0),
    15: _leap(((0.14, _SWING), (0.62, _RING), (0.74, _RING)), _LAND_LEFT, "left"),
    16: _jump(((0.42, _STAG), (0.6, _STAG))),
    17: Supported(2, _STANDING_SPLIT, rise=0.36),
    18: Supported(2, _TUCK_STAND, low=128),
    19: Supported(3, _PASSE, seconds=(0.5, 0.62)),
    20: Supported(2, _PASSE),
    21: Supported(1, _PASSE, seconds=(0.7, 0.9)),
    22: Supported(2, _HEEL, rise=0.26),
    23: Supported(1, _HEEL, rise=0.26, seconds=(0.75, 0.9)),
    24: _salto(_twist_then(ONE_ARM, 0.3, TUCK), TOUCH_FRONT, -2, 0.5, _DOUBLE, _BACK, 0.42),
    25: _salto(_shaped(TUCK), TOUCH_FRONT, 1, 0, (0.68, 0.8), _FRONT),
    26: Airborne(
        ((0.0, _WALKOVER_OFF), (0.45, _WALKOVER_SPLIT), (1.0, _WALKOVER_LAND)), (0.46, 0.54),
        (1.3, 1.8), 0.72, entry="run", lands_on="right", lean=48,
    ),
    27: _salto(_spinning(SPIN), TOUCH_FRONT, 1, 2, (0.8, 0.9), _FRONT),
    28: _salto(_spinning(SPIN), TOUCH_FRONT, 1, 1, (0.76, 0.86), _FRONT),
    29: _salto(_spinning(SPIN), TOUCH_FRONT, 1, 1.5, (0.78, 0.88), _FRONT),
    30: _salto(_shaped(STRETCHED), TOUCH_FRONT, 1, 0, (0.74, 0.84), _FRONT),
    31: _salto(_shaped(STRETCHED, 0.2, 0.8), TOUCH_BACK, -2, 0, (1.0, 1.1), _BACK),
    32: _salto(_spinning(WRAP, 0.16, 0.74), TOUCH_BACK, -1, 3, (0.9, 1.0), _BACK),
    33: _salto(_spinning(SPIN), TOUCH_BACK, -1, 2, (0.82, 0.92), _BACK),
    34: _salto(_spinning(WRAP, 0.18, 0.7), TOUCH_FRONT, -1, 2.5, (0.84, 0.94), _BACK),
    35: _salto(_spinning(SPIN), TOUCH_FRONT, -1, 1.5, (0.78, 0.88), _BACK),
    36: _salto(_spinning(PUCK, 0.18, 0.76), TOUCH_BACK, -2, 2, _DOUBLE, _BACK),
    37: _salto(_twist_then(HALF_TUCK, 0.4, TUCK), TOUCH_BACK, -2, 1, _DOUBLE, _BACK, 0.5),
    38: _salto(_shaped(TUCK), TOUCH_BACK, -2, 0, _DOUBLE, _BACK),
    39: _salto(_twist_then(HALF_PIKE, 0.4, PIKE), TOUCH_BACK, -2, 1, (1.0, 1.1), _BACK, 0.5),
    40: _salto(_shaped(PIKE), TOUCH_BACK, -2, 0, (1.0, 1.1), _BACK),
}  # fmt: skip
"""Class id -> description. Left-footed and left-twisting; the other side is a mirror image."""


def description(action: int) -> Airborne | Supported:
    """Look up the definition of a class.

    Raises:
        RequestError: there is no such class.
    """
    if action not in CLASSES:
        raise RequestError(
            f"action {action} does not exist; choose a class id from 6 to 40 "
            "(`python -m finephys actions` lists them).",
            "python -m finephys actions",
        )
    return CLASSES[action]
