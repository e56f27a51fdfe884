"""Segment masses and bone lengths of a human body, by published tables.

Source: de Leva (1996), "Adjustments to Zatsiorsky-Seluyanov's segment inertia parameters",
Journal of Biomechanics 29(9), Table 4, mapped to the 17 joints of Human3.6M. Hands and feet, for
which that skeleton has no end joints, are point masses at wrist and ankle; the trunk is split at
the spine joint.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finephys.skeleton import JOINT, JOINTS, PARENTS

GRAVITY = 9.81
"""Standard acceleration of free fall, m/s^2."""

DEFAULT_BODY_HEIGHT = 1.60
"""Metres. Design choice: a senior artistic gymnast. The body height alone sets the metric scale."""


@dataclass(frozen=True)
class Segment:
    """A rigid rod between two joints.

    Attributes:
        start: proximal joint.
        end: distal joint.
        mass: fraction of body mass.
        center: centre of mass, fraction of the length from `start`.
        gyration: transverse radius of gyration about the centre of mass, fraction of the length.
    """

    start: int
    end: int
    mass: float
    center: float
    gyration: float


def _segment(start: str, end: str, mass: float, center: float, gyration: float) -> Segment:
    return Segment(JOINT[start], JOINT[end], mass, center, gyration)


SEGMENTS = (
    _segment("left_shoulder", "left_elbow", 0.0271, 0.5772, 0.269),
    _segment("right_shoulder", "right_elbow", 0.0271, 0.5772, 0.269),
    _segment("left_elbow", "left_wrist", 0.0162, 0.4574, 0.265),
    _segment("right_elbow", "right_wrist", 0.0162, 0.4574, 0.265),
    _segment("left_hip", "left_knee", 0.1416, 0.4095, 0.329),
    _segment("right_hip", "right_knee", 0.1416, 0.4095, 0.329),
    _segment("left_knee", "left_ankle", 0.0433, 0.4459, 0.249),
    _segment("right_knee", "right_ankle", 0.0433, 0.4459, 0.249),
    _segment("thorax", "head", 0.0694, 0.6000, 0.315),
    _segment("thorax", "spine", 0.2412, 0.4000, 0.350),
    _segment("spine", "pelvis", 0.1934, 0.5000, 0.350),
)
"""Rods; with POINT_MASSES they sum to 1."""

POINT_MASSES = {
    JOINT["left_wrist"]: 0.0061,
    JOINT["right_wrist"]: 0.0061,
    JOINT["left_ankle"]: 0.0137,
    JOINT["right_ankle"]: 0.0137,
}
"""Hands and feet: joint -> fraction of body mass."""

_LENGTHS_AT_1_75 = {
    "right_hip": 0.10,
    "left_hip": 0.10,
    "right_knee": 0.43,
    "left_knee": 0.43,
    "right_ankle": 0.43,
    "left_ankle": 0.43,
    "spine": 0.23,
    "thorax": 0.25,
    "neck": 0.12,
    "head": 0.11,
    "left_shoulder": 0.161,
    "right_shoulder": 0.161,
    "left_elbow": 0.28,
    "right_elbow": 0.28,
    "left_wrist": 0.25,
    "right_wrist": 0.25,
}

LIMB_LENGTHS_PER_HEIGHT = np.array(
    [
        _LENGTHS_AT_1_75[JOINTS[child]] / 1.75
        for child in range(len(PARENTS))
        if PARENTS[child] >= 0
    ],
    np.float64,
)
"""(16,) limb lengths of an average body as fractions of its height, ordered as `LIMBS`."""


def center_of_mass_weights() -> npt.NDArray[np.float64]:
    """Weights (17,), summing to 1: their mean of the joints is the body's centre of mass."""
    weights = np.zeros(len(JOINTS))
    for segment in SEGMENTS:
        weights[segment.start] += segment.mass * (1 - segment.center)
        weights[segment.end] += segment.mass * segment.center
    for joint, mass in POINT_MASSES.items():
        weights[joint] += mass
    weights /= weights.sum()
    return weights


def consistent_mass_matrix() -> npt.NDArray[np.float64]:
    """Mass matrix (17, 17), per unit body mass, of the rods on joint coordinates; sums to 1.

    The kinetic energy of every rod is 1/2 v^T M v with v the joint velocities of one axis; M is
    constant in these coordinates, so C(q, qdot) of Eq. 35 vanishes.
    """
    matrix = np.zeros((len(JOINTS), len(JOINTS)))
    for segment in SEGMENTS:
        second = segment.center**2 + segment.gyration**2
        matrix[segment.start, segment.start] += segment.mass * (1 - 2 * segment.center + second)
        matrix[segment.end, segment.end] += segment.mass * second
        matrix[segment.start, segment.end] += segment.mass * (segment.center - second)
        matrix[segment.end, segment.start] += segment.mass * (segment.center - second)
    for joint, mass in POINT_MASSES.items():
        matrix[joint, joint] += mass
    matrix /= matrix.sum()
    return matrix
