"""The simulated body: from joint angles and limb lengths to 17 joints; inverse kinematics of legs.

Pelvis axes: x forward, y left, z along the spine. Angles are anatomical, in radians, 0 when
standing with the arms hanging.
"""

from dataclasses import dataclass

import numpy as np

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.motion.curves import Array
from finephys.skeleton import JOINT, JOINTS, MIRROR

_SIDED = (
    "arm_raise",  # 0 hanging, 90 horizontal, 180 overhead
    "arm_side",  # plane in which the arm is raised: 0 forward, 90 sideways
    "arm_roll",  # about the upper arm; turns the forearm inward
    "elbow",
    "hip_flex",
    "hip_side",  # abduction
    "hip_roll",  # about the thigh; outward
    "knee",
)
ANGLES = (
    "spine_flex",  # forward
    "spine_side",  # to the right; the left shoulder down is negative
    "spine_twist",  # shoulders to the left
    "head_flex",
    *(f"left_{name}" for name in _SIDED),
    *(f"right_{name}" for name in _SIDED),
)
"""Joint angles of a pose, in the order of the columns of an angle array."""

ANGLE = {name: index for index, name in enumerate(ANGLES)}


def swapped_name(name: str) -> str:
    """Name of the other side's angle; a name without a side is its own."""
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


ANKLE_HEIGHT = 0.047
"""Height of the ankle above the sole of a flat foot, fraction of body height."""

_STRAIGHT = 0.996
"""Share of a leg's length beyond which its foot gradually follows the hip."""

TOE_HEIGHT = 0.085
"""Height of the ankle when standing on the toes, fraction of body height."""


@dataclass(frozen=True)
class Body:
    """Limb lengths of one person.

    Attributes:
        height: metres.
        lengths: (17,) metres, length of the limb that ends in each joint; 0 for the pelvis.
    """

    height: float
    lengths: Array

    @property
    def leg(self) -> float:
        """Hip to ankle, straight, metres."""
        return float(self.lengths[JOINT["left_knee"]] + self.lengths[JOINT["left_ankle"]])

    @property
    def ankle_height(self) -> float:
        """Height of the ankle when the foot is flat on the floor, metres."""
        return ANKLE_HEIGHT * self.height

    @property
    def toe_height(self) -> float:
        """Height of the ankle when standing on the toes, metres."""
        return TOE_HEIGHT * self.height

    @property
    def standing(self) -> float:
        """Height of the pelvis when standing, metres."""
        return 0.985 * self.leg + self.ankle_height


def random_body(rng: np.random.Generator) -> Body:
    """Draw a gymnast of 1.45 to 1.70 m with limbs up to about 6 % off the average, symmetric."""
    height = float(rng.uniform(1.45, 1.70))
    factors = np.clip(1 + 0.025 * rng.standard_normal(len(JOINTS)), 0.94, 1.06)
    factors = np.minimum(factors, factors[list(MIRROR)])
    factors[JOINT["left_knee"]] = factors[JOINT["right_knee"]] = factors[JOINT["left_ankle"]]
    lengths = np.concatenate([[0.0], LIMB_LENGTHS_PER_HEIGHT * height]) * factors
    return Body(height, lengths)


def rotation(axis: str, angle: Array) -> Array:
    """Rotation matrices (T, 3, 3) about "x", "y" or "z" by `angle` (T,) radians."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., "xyz".index(axis), "xyz".index(axis)] = 1.0
    matrix[..., i, i] = matrix[..., j, j] = c
    matrix[..., i, j], matrix[..., j, i] = -s, s
    return matrix


def forward_kinematics(angles: Array, body: Body) -> tuple[Array, Array]:
    """Compute the joints of poses in pelvis axes, pelvis at the origin.

    Args:
        angles: (T, len(ANGLES)) radians.
        body: limb lengths.

    Returns:
        Joints (T, 17, 3) in metres and thigh frames (T, 2, 3, 3), left then right; the knee bends
        in the x-z plane of its thigh frame.
    """
    count = len(angles)
    joints = np.zeros((count, len(JOINTS), 3))
    thighs = np.zeros((count, 2, 3, 3))
    length = body.lengths

    def angle(name: str) -> Array:
        return angles[:, ANGLE[name]]

    def spine(part: float) -> Array:
        bent = rotation("y", part * angle("spine_flex")) @ rotation("x", part * angle("spine_side"))
        return bent @ rotation("z", part * angle("spine_twist"))

    def place(child: str, parent: str, frame: Array, direction: tuple[float, float, float]) -> None:
        unit = np.asarray(direction) / np.linalg.norm(direction)
        offset = frame @ (unit * length[JOINT[child]])
        joints[:, JOINT[child]] = joints[:, JOINT[parent]] + offset

    chest = spine(1.0)
    place("spine", "pelvis", spine(0.5), (0, 0, 1))
    place("thorax", "spine", chest, (0, 0, 1))
    place("neck", "thorax", chest @ rotation("y", 0.15 + angle("head_flex")), (0, 0, 1))
    place("head", "neck", chest @ rotation("y", angle("head_flex")), (0, 0, 1))
    level = np.broadcast_to(np.eye(3), (count, 3, 3))
    for index, (side, sign) in enumerate((("left", 1.0), ("right", -1.0))):
        place(f"{side}_shoulder", "thorax", chest, (0, sign * 0.16, -0.02))
        arm = chest @ rotation("z", sign * angle(f"{side}_arm_side"))
        arm = arm @ rotation("y", -angle(f"{side}_arm_raise"))
        arm = arm @ rotation("z", -sign * angle(f"{side}_arm_roll"))
        place(f"{side}_elbow", f"{side}_shoulder", arm, (0, 0, -1))
        forearm = arm @ rotation("y", -angle(f"{side}_elbow"))
        place(f"{side}_wrist", f"{side}_elbow", forearm, (0, 0, -1))
        place(f"{side}_hip", "pelvis", level, (0, sign, 0))
        thigh = rotation("y", -angle(f"{side}_hip_flex"))
        thigh = thigh @ rotation("x", sign * angle(f"{side}_hip_side"))
        thigh = thigh @ rotation("z", sign * angle(f"{side}_hip_roll"))
        thighs[:, index] = thigh
        place(f"{side}_knee", f"{side}_hip", thigh, (0, 0, -1))
        shank = thigh @ rotation("y", angle(f"{side}_knee"))
        place(f"{side}_ankle", f"{side}_knee", shank, (0, 0, -1))
    return joints, thighs


def trunk_frames(joints: Array) -> Array:
    """Frames (..., 3, 3) of the trunk: columns forward, left, up (pelvis to thorax)."""
    up = joints[..., JOINT["thorax"], :] - joints[..., JOINT["pelvis"], :]
    left = joints[..., JOINT["left_hip"], :] - joints[..., JOINT["right_hip"], :]
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    left = left - up * (left * up).sum(-1, keepdims=True)
    left = left / np.linalg.norm(left, axis=-1, keepdims=True)
    return np.stack([np.cross(left, up), left, up], axis=-1)


def reach(
    hip: Array, ankle: Array, hinge: Array, thigh: float, shank: float
) -> tuple[Array, Array]:
    """Bend a leg so that it ends at `ankle` (inverse kinematics of two bones).

    Args:
        hip: (T, 3) metres.
        ankle: (T, 3) metres; out of reach, the foot is pulled towards the hip.
        hinge: (T, 3) unit, the knee's axis, to the left (the thigh frame's y axis).
        thigh: metres.
        shank: metres.

    Returns:
        Knee (T, 3) and ankle (T, 3).
    """
    line = ankle - hip
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
    line = line / distance
    whole = thigh + shank
    over = np.maximum(distance / whole - _STRAIGHT, 0.0) / (1 - _STRAIGHT)
    soft = whole * (1 - (1 - _STRAIGHT) * np.exp(-over))
    distance = np.maximum(np.where(over > 0, soft, distance), 0.3 * whole)
    side = np.cross(line, hinge)
    side = side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    along = (distance**2 + thigh**2 - shank**2) / (2 * distance)
    out = np.sqrt(np.maximum(thigh**2 - along**2, 0.0))
    return hip + line * along + side * out, hip + line * distance
