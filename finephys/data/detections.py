"""Random cameras and degraded 2D detections, for training and measuring the pose stages.

Design choice: the constants imitate detectors on gymnasts: jitter that grows towards the limbs'
ends, slow drift, left/right swaps over several frames, outliers, missing joints and frames.
`level` 0 is a clean detector, 0.15 mild, 0.5 medium, 1 severe.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from finephys.skeleton import JOINT, JOINTS, MIRROR

Array = npt.NDArray[np.float64]

IMAGE_SIZE = (640, 480)
"""Width and height in pixels of every training image."""

NOISE_LEVELS = {"mild": 0.15, "medium": 0.5, "severe": 1.0}
"""Names of the levels at which figures are given."""

_J = len(JOINTS)
_LEGS = [JOINT[f"{side}_{part}"] for side in ("right", "left") for part in ("hip", "knee", "ankle")]
_ARMS = [
    JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")
]

_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From world axes (z up) to those of a level camera: x right, y down, z away."""


def _jitter_of(joint: str) -> float:
    """Jitter of a joint as a multiple of the mean."""
    if joint in ("pelvis", "right_hip", "left_hip", "spine", "thorax"):
        return 0.8
    if joint.endswith(("ankle", "wrist")):
        return 1.5
    return 1.15 if joint.endswith(("knee", "elbow")) else 1.0


_JITTER = np.array([_jitter_of(joint) for joint in JOINTS])

# Chances that runs of frames go on, of Markov chains over frames.
_SWAP_LASTS, _MISSING_LASTS = 0.75, 0.5


@dataclass(frozen=True)
class Views:
    """Windows, each seen by one static perspective camera.

    Attributes:
        points: (N, F, J, 3) metres in camera axes, the camera at the origin.
        focal: (N,) pixels.
        size: (width, height) of the image in pixels, the same for all.
    """

    points: Array
    focal: Array
    size: tuple[int, int]

    def project(self, points: Array | None = None) -> Array:
        """Pixels (N, F, J, 2) of `points` (N, F, J, 3), by default the joints."""
        points = self.points if points is None else points
        center = np.asarray(self.size, np.float64) / 2
        pixels: Array = self.focal[:, None, None, None] * points[..., :2] / points[..., 2:] + center
        return pixels

    @property
    def pixels_per_metre(self) -> Array:
        """(N,) at the mean depth of the pelvis."""
        out: Array = self.focal / self.points[:, :, 0, 2].mean(1)
        return out


def random_views(joints: Array, height: Array, rng: np.random.Generator) -> Views:
    """View each window from a random camera.

    Design choice: any yaw, pitch -5 to 25 degrees, roll of 3 degrees standard deviation, 2.5 to 20
    body heights away; the body is up to 15 degrees off the optical axis, and the focal length makes
    it 80 to 420 pixels tall in an image of IMAGE_SIZE (joints may be outside it).

    Args:
        joints: (N, F, J, 3) metres, z up.
        height: (N,) metres, body heights.
        rng: draws the cameras.
    """
    count = len(joints)
    yaw = rng.uniform(0, 2 * np.pi, count)
    pitch = np.deg2rad(rng.uniform(-5, 25, count))
    roll = np.deg2rad(rng.normal(0, 3, count))
    distance = np.exp(rng.uniform(np.log(2.5), np.log(20), count)) * height
    off_axis = np.tan(np.deg2rad(rng.uniform(-1, 1, (count, 2)) * [15, 8]))
    pixels = rng.uniform(80, 420, count)
    return views(joints, height, (yaw, pitch, roll), distance, off_axis, pixels)


def views(
    joints: Array,
    height: Array,
    angles: tuple[Array, Array, Array],
    distance: Array,
    off_axis: Array,
    pixels: Array,
) -> Views:
    """View each window from one given camera.

    Args:
        joints: (N, F, J, 3) metres, z up.
        height: (N,) metres, body heights.
        angles: yaw, pitch (down) and roll of the camera, (N,) radians each.
        distance: (N,) metres to the mean of the window's joints; more where a joint would otherwise
            be nearer than 1.2 body heights.
        off_axis: (N, 2) tangents of the angles between that mean and the optical axis.
        pixels: (N,) pixels of a body height at that distance.
    """
    yaw, pitch, roll = angles
    turned = Rotation.from_euler("ZXY", np.stack([roll, pitch, yaw], -1)).as_matrix() @ _UPRIGHT
    centered = joints - joints.mean((1, 2), keepdims=True)
    seen = np.einsum("nij,nfkj->nfki", turned, centered)
    distance = np.maximum(distance, 1.2 * height - seen[..., 2].min((1, 2)))
    center = np.concatenate([off_axis, np.ones((len(joints), 1))], 1) * distance[:, None]
    return Views(seen + center[:, None, None], pixels * distance / height, IMAGE_SIZE)


def as_detector_sees(points: Array, rng: np.random.Generator) -> Array:
    """Joints as detectors of MediaPipe and COCO define them: nose and eyes for neck and head.

    Thorax, pelvis and spine become midpoints of those detectors' landmarks. Design choice: the face
    points forward of the shoulders, turned by up to 45 degrees; its size varies.

    Args:
        points: (N, F, J, 3) metres.
        rng: draws the variation, once a window.
    """
    out = points.copy()
    count = len(points)
    left, right = points[:, :, JOINT["left_shoulder"]], points[:, :, JOINT["right_shoulder"]]
    base, top = points[:, :, JOINT["thorax"]], points[:, :, JOINT["head"]]
    up = top - base
    length = np.linalg.norm(up, axis=-1, keepdims=True).clip(1e-6)
    across = left - right
    across = across / np.linalg.norm(across, axis=-1, keepdims=True).clip(1e-6)
    forward = np.cross(across, up / length)
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True).clip(1e-6)

    def between(low: float, high: float) -> Array:
        return rng.uniform(low, high, (count, 1, 1))

    turned = np.deg2rad(between(-45, 45))
    face = np.cos(turned) * forward + np.sin(turned) * across
    ahead = length * face
    out[:, :, JOINT["neck"]] = base + between(0.55, 0.8) * up + between(0.3, 0.6) * ahead
    out[:, :, JOINT["head"]] = base + between(0.7, 0.95) * up + between(0.2, 0.5) * ahead
    out[:, :, JOINT["thorax"]] = (left + right) / 2
    hips = points[:, :, JOINT["left_hip"]] + points[:, :, JOINT["right_hip"]]
    out[:, :, JOINT["pelvis"]] = hips / 2
    out[:, :, JOINT["spine"]] = (out[:, :, JOINT["pelvis"]] + out[:, :, JOINT["thorax"]]) / 2
    return out


def degrade(
    xy: Array, unit: Array, level: Array, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Degrade true 2D joints to detections of a given level of noise.

    Args:
        xy: (N, F, J, 2) pixels.
        unit: (N,) pixels of one metre at a body 1.7 m tall.
        level: (N,) in [0, 1].
        rng: draws the noise.

    Returns:
        xy (N, F, J, 2) pixels and score (N, F, J); missing joints have scores below 0.05 and
        arbitrary positions, missing frames have score 0 and position 0.
    """
    count, frames, joints, _ = xy.shape
    scale = unit[:, None, None, None]
    lev = level[:, None, None]
    jitter = (0.004 + 0.056 * lev) * _JITTER
    # Log-normal of mean 1: minus half the variance.
    jitter = jitter * np.exp(rng.normal(0, 0.5, (count, frames, joints)) - 0.125)
    error = rng.normal(0, 1, xy.shape) * jitter[..., None]
    error += _drift(count, frames, joints, rng) * (
        (0.002 + 0.04 * lev**2) * _JITTER
    )[..., None]  # fmt: skip
    out = _swap_sides(xy + error * scale, level, rng)
    score = np.exp(-jitter / 0.05) * np.exp(rng.normal(0, 0.25, jitter.shape))
    score = score.clip(0.02, 1)
    outlier = rng.random(jitter.shape) < 0.05 * lev**2
    out = np.where(outlier[..., None], out + rng.normal(0, 0.35, xy.shape) * scale, out)
    score = np.where(outlier, score * rng.uniform(0.3, 1, score.shape), score)
    missing = rng.random(jitter.shape) < 0.01 + 0.19 * lev**2
    for frame in range(1, frames):
        goes_on = missing[:, frame - 1] & (rng.random((count, joints)) < _MISSING_LASTS)
        begins = missing[:, frame] & (rng.random((count, joints)) < 0.6)
        missing[:, frame] = goes_on | begins
    no_frame = rng.random((count, frames)) < 0.1 * level[:, None] ** 2
    missing |= no_frame[..., None]
    junk = rng.random(jitter.shape) < 0.5
    center = xy.mean(2, keepdims=True)
    lost = center + np.where(junk[..., None], rng.normal(0, 0.3, xy.shape), 0) * scale
    out = np.where(missing[..., None], lost, out)
    score = np.where(missing, rng.uniform(0, 0.05, score.shape), score)
    out[no_frame] = 0
    score[no_frame] = 0
    return out.astype(np.float32), score.astype(np.float32)


def _drift(count: int, frames: int, joints: int, rng: np.random.Generator) -> Array:
    """First-order autoregressive noise of unit variance, (N, F, J, 2)."""
    keep = 0.8
    fresh = rng.normal(0, 1, (count, frames, joints, 2))
    out = np.empty_like(fresh)
    out[:, 0] = fresh[:, 0]
    for frame in range(1, frames):
        out[:, frame] = keep * out[:, frame - 1] + np.sqrt(1 - keep**2) * fresh[:, frame]
    return out


def _swap_sides(xy: Array, level: Array, rng: np.random.Generator) -> Array:
    """Exchange left and right of legs, arms or both for runs of frames."""
    count, frames = xy.shape[:2]
    share = 0.15 * level**2
    # The chance to begin that keeps the share of swapped frames the same in every frame.
    chance = share * (1 - _SWAP_LASTS) / (1 - share)
    swapped = np.zeros((count, frames), np.bool_)
    swapped[:, 0] = rng.random(count) < share
    for frame in range(1, frames):
        goes_on = rng.random(count) < _SWAP_LASTS
        begins = rng.random(count) < chance
        swapped[:, frame] = np.where(swapped[:, frame - 1], goes_on, begins)
    kind = rng.integers(0, 3, count)
    members = np.zeros((3, _J), np.bool_)
    members[0, _LEGS] = members[1, _ARMS] = members[2, _LEGS + _ARMS] = True
    where = swapped[:, :, None] & members[kind][:, None]
    return np.where(where[..., None], xy[:, :, MIRROR], xy)


def mask(score: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Hide a run of frames, a limb for the whole window, random joints, or nothing.

    Design choice: 20 % of windows lose 2 to 7 successive frames, 10 % lose the joints of an arm or
    a leg throughout, 10 % keep a random half of their joints.

    Args:
        score: (N, F, J).
        rng: draws what is hidden.

    Returns:
        (N, F, J), a new array with score 0 where joints are hidden.
    """
    out = score.copy()
    count, frames, joints = score.shape
    limbs = (_LEGS[:3], _LEGS[3:], _ARMS[:3], _ARMS[3:], _LEGS)
    for index in range(count):
        draw = rng.random()
        if draw < 0.20:
            length = int(rng.integers(2, 8))
            begin = int(rng.integers(0, frames - length + 1))
            out[index, begin : begin + length] = 0
        elif draw < 0.30:
            out[index][:, limbs[int(rng.integers(len(limbs)))]] = 0
        elif draw < 0.40:
            out[index][:, rng.random(joints) < 0.5] = 0
    return out
