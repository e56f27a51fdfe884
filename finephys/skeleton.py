"""The Human3.6M-17 skeleton: joints, limbs, mirroring, conversion. All joint indices stand here.

Source: supplement A.2 (skeletons are converted to the 17 joints of Human3.6M); the conversion
itself follows the public MMPose and MotionBERT tables.
"""

import numpy as np
import numpy.typing as npt

FRAMES = 16
"""F, frames in every window and every generated video (supplement A.4, Fig. 8)."""

JOINTS = (
    "pelvis",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine",
    "thorax",
    "neck",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)
"""J = 17 joint names in Human3.6M order."""

JOINT = {name: index for index, name in enumerate(JOINTS)}
"""Joint name -> index."""

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
"""Parent joint of each joint; -1 for the pelvis."""

LIMBS = tuple((parent, child) for child, parent in enumerate(PARENTS) if parent >= 0)
"""L = 16 limbs as (parent, child), in the order of the child joint."""

LIMB_PARENTS = tuple(parent for parent, _ in LIMBS)
"""Parent joint of each limb, an index into joint axes."""

LIMB_CHILDREN = tuple(child for _, child in LIMBS)
"""Child joint of each limb."""

MIRROR = (0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13)
"""Index of each joint's left/right counterpart."""

# Each Human3.6M joint as the mean of detector landmarks; the spine is derived afterwards.
_BLAZEPOSE_SOURCES: dict[str, tuple[int, ...]] = {
    "pelvis": (23, 24),
    "right_hip": (24,),
    "right_knee": (26,),
    "right_ankle": (28,),
    "left_hip": (23,),
    "left_knee": (25,),
    "left_ankle": (27,),
    "thorax": (11, 12),
    "neck": (0,),
    "head": (2, 5),
    "left_shoulder": (11,),
    "left_elbow": (13,),
    "left_wrist": (15,),
    "right_shoulder": (12,),
    "right_elbow": (14,),
    "right_wrist": (16,),
}


def from_blazepose(
    xy: npt.NDArray[np.float32], score: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Convert BlazePose-33 landmarks to Human3.6M-17 (supplement A.2 converts COCO-17 to it).

    Args:
        xy: (..., 33, 2) pixels, BlazePose order.
        score: (..., 33) in [0, 1].

    Returns:
        xy (..., 17, 2) and score (..., 17) in Human3.6M order; a derived joint has the least score
        of its sources.
    """
    out_xy = np.zeros((*xy.shape[:-2], len(JOINTS), 2), np.float32)
    out_score = np.zeros((*score.shape[:-1], len(JOINTS)), np.float32)
    for name, landmarks in _BLAZEPOSE_SOURCES.items():
        out_xy[..., JOINT[name], :] = xy[..., landmarks, :].mean(-2)
        out_score[..., JOINT[name]] = score[..., landmarks].min(-1)
    pelvis, thorax, spine = JOINT["pelvis"], JOINT["thorax"], JOINT["spine"]
    out_xy[..., spine, :] = (out_xy[..., pelvis, :] + out_xy[..., thorax, :]) / 2
    out_score[..., spine] = np.minimum(out_score[..., pelvis], out_score[..., thorax])
    return out_xy, out_score


def mirror(
    points: npt.NDArray[np.floating], axis: int = 0, width: float = 0.0
) -> npt.NDArray[np.floating]:
    """Mirror a pose left to right: swap left and right joints and negate one axis.

    Args:
        points: (..., 17, D) positions in any unit.
        axis: the coordinate that changes sign.
        width: the mirrored coordinate becomes `width - value` (a frame's width in pixels; 0 for
            root-relative metres).

    Returns:
        (..., 17, D), a new array; applying it twice gives the input back.
    """
    out = points[..., MIRROR, :].copy()
    out[..., axis] = width - out[..., axis]
    return out


def limb_lengths(points: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Length of each of the 16 limbs: (..., 17, D) -> (..., 16), in the unit of `points`."""
    lengths: npt.NDArray[np.floating] = np.linalg.norm(
        points[..., LIMB_CHILDREN, :] - points[..., LIMB_PARENTS, :], axis=-1
    )
    return lengths
