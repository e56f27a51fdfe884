"""Cameras that film a moving body: exact perspective, in one place, still or panning.

Camera axes are x right, y down, z away; world axes x forward, y left, z up, floor at z = 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from finephys.errors import RequestError
from finephys.types import Float

Real = npt.NDArray[np.floating[Any]]

DISTANCE = (4.0, 15.0)
"""Metres from the camera to the middle of the motion."""

PITCH = (-5.0, 4.0, 25.0)
"""Degrees the camera looks down on the middle of the motion: least, most likely, most."""

ROLL = 2.0
"""Degrees, standard deviation of the camera's roll."""

FILL = (0.55, 0.90)
"""Share of the canvas that the longer side of the joints' box over all frames takes.

Design choice: at inference a clip is framed the same way, its box filling 0.75.
"""

EDGE = 0.03
"""Share of the canvas at each border that is kept free of joints by sampled cameras."""

STAYS_LARGE = 0.72
"""Share of its box over all frames below which a body's own box makes the camera pan."""

PAN_SHARE = 0.9
"""Share of windows with such a long path in which the camera follows."""

LEAST_FOLLOWED = 0.30
"""Least share of the canvas that a followed body's own box takes, median over frames."""

IDLE_PAN_SHARE = 0.12
"""Share of the other windows in which the camera follows anyway."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in one place that may turn.

    Attributes:
        rotation: float64 (F, 3, 3), world to camera axes, rows right, down and away; F = 1 when the
            camera does not turn.
        position: float64 (3,) world metres.
        focal: pixels.
        size: side of the square canvas in pixels; the principal point is its centre.
    """

    rotation: npt.NDArray[np.float64]
    position: npt.NDArray[np.float64]
    focal: float
    size: int

    def __post_init__(self) -> None:
        if self.rotation.ndim != 3 or self.rotation.shape[1:] != (3, 3):
            raise RequestError(
                f"rotation has shape {self.rotation.shape}; expected (frames, 3, 3), one frame for "
                "a camera that does not turn."
            )
        if self.position.shape != (3,):
            raise RequestError(f"position has shape {self.position.shape}; expected (3,) metres.")
        if not (np.isfinite(self.focal) and self.focal > 0 and self.size > 0):
            raise RequestError(
                f"focal is {self.focal} and size {self.size}; both must be positive pixels."
            )

    @property
    def still(self) -> bool:
        """Whether the camera keeps one rotation for every frame."""
        return len(self.rotation) == 1

    def to_camera(self, world: Real) -> Float:
        """Transform points to camera axes.

        Args:
            world: (F, N, 3) world metres; F is free when the camera is still.

        Returns:
            float32 (F, N, 3) metres: x right, y down, z away from the camera.
        """
        turned: Float = np.einsum(
            "fij,fnj->fni", self._rotations(len(world)), world - self.position
        ).astype(np.float32)
        return turned

    def project(self, world: Real) -> tuple[Float, Float]:
        """Project points to pixels.

        Args:
            world: (F, N, 3) world metres.

        Returns:
            xy float32 (F, N, 2) pixels, (0, 0) the canvas's top left corner, y down; depth float32
            (F, N) metres along the optical axis. Points at depth <= 0 have no image; their xy is
            that of a point 1 mm in front of the camera.
        """
        turned = np.einsum("fij,fnj->fni", self._rotations(len(world)), world - self.position)
        depth = turned[..., 2]
        xy = self.size / 2 + self.focal * turned[..., :2] / np.maximum(depth, 1e-3)[..., None]
        return xy.astype(np.float32), depth.astype(np.float32)

    def resized(self, size: int) -> "Camera":
        """Give the same view on a canvas of another size."""
        return Camera(self.rotation, self.position, self.focal * size / self.size, size)

    def _rotations(self, frames: int) -> npt.NDArray[np.float64]:
        if not self.still and len(self.rotation) != frames:
            raise RequestError(
                f"the camera turns through {len(self.rotation)} frames but the motion has {frames};"
                " they must be equal, or the camera still."
            )
        return np.broadcast_to(self.rotation, (frames, 3, 3))


def look_at(
    position: Real, target: Real, roll: float = 0.0, tilt: tuple[float, float] = (0.0, 0.0)
) -> npt.NDArray[np.float64]:
    """Compute the rotations of a camera that aims at points.

    Args:
        position: (3,) world metres.
        target: (F, 3) world metres, none straight above or below the camera.
        roll: radians, clockwise turn of the image.
        tilt: radians, further turn (right, down) of the optical axis in camera axes.

    Returns:
        float64 (F, 3, 3), world to camera.
    """
    away = target - position
    away = away / np.linalg.norm(away, axis=-1, keepdims=True)
    right = np.cross(away, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    rotation: npt.NDArray[np.float64] = np.stack([right, np.cross(away, right), away], -2)
    yaw, pitch = tilt
    turn_right = np.array(
        [[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]]
    )
    turn_down = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    turn_roll = np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    turned: npt.NDArray[np.float64] = turn_roll @ turn_down @ turn_right @ rotation
    return turned


def sample_camera(
    joints: Float,
    rng: np.random.Generator,
    size: int,
    pan: bool | None = None,
    fill: tuple[float, float] = FILL,
) -> Camera:
    """Draw a camera that keeps every joint of a window on its canvas.

    Design choice: yaw is uniform, the other angles, distance and fill uniform in this module's
    ranges; a smooth pan mostly follows a body that travels far for its size.

    Args:
        joints: (F, 17, 3) world metres.
        rng: source of all randomness.
        size: side of the square canvas in pixels.
        pan: whether the camera follows the body; None: drawn.
        fill: range of the share of the canvas taken by the joints' box over all frames.

    Returns:
        A camera; its `rotation` has F frames when it pans, else one.
    """
    low, high = joints.min((0, 1)).astype(np.float64), joints.max((0, 1)).astype(np.float64)
    middle = (low + high) / 2
    reach = float(np.linalg.norm(high - low)) / 2
    distance = max(rng.uniform(*DISTANCE), 1.25 * reach + 1.5)
    yaw, pitch = rng.uniform(-np.pi, np.pi), np.radians(rng.triangular(*PITCH))
    roll = np.radians(float(np.clip(rng.normal(0, ROLL), -3 * ROLL, 3 * ROLL)))
    back = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    position = middle + distance * back
    position[2] = max(position[2], 0.35)
    share, follow = rng.uniform(*fill), rng.random()
    gain, offset = rng.uniform(0.8, 1.0), rng.uniform(-0.8, 0.8, 2)

    still = np.broadcast_to(middle, (1, 3))
    if pan is None:
        camera = frame_body(joints, position, still, size)
        far = _figure_share(joints, camera) < STAYS_LARGE * 0.75
        pan = follow < (PAN_SHARE if far else IDLE_PAN_SHARE)
    if not pan or len(joints) == 1:
        return frame_body(joints, position, still, size, share, roll, offset)
    path = _steady((joints.min(1) + joints.max(1)).astype(np.float64) / 2)
    camera = frame_body(
        joints, position, middle + gain * (path - middle), size, share, roll, offset
    )
    small = LEAST_FOLLOWED / _figure_share(joints, camera)
    if small > 1:  # the pan lags too far behind: follow exactly, and from closer
        share = min(1.05 * small * share, fill[1])
        camera = frame_body(joints, position, path, size, share, roll, offset)
    return camera


def frame_body(
    joints: Float,
    position: npt.NDArray[np.float64],
    target: npt.NDArray[np.float64],
    size: int,
    share: float = 0.75,
    roll: float = 0.0,
    offset: npt.NDArray[np.float64] | tuple[float, float] = (0.0, 0.0),
) -> Camera:
    """Aim and zoom a camera so that a moving body fills its canvas.

    Args:
        joints: (F, 17, 3) world metres.
        position: (3,) world metres.
        target: (F, 3) or (1, 3) world metres, what the camera follows.
        size: side of the square canvas in pixels.
        share: of the canvas that the longer side of the joints' box over all frames takes.
        roll: radians.
        offset: in [-1, 1], how far off the centre that box lies, of the way to the border.
    """
    tilt = np.zeros(2)
    for _ in range(4):
        rotation = look_at(position, target, roll, (float(tilt[0]), float(tilt[1])))
        turned = np.einsum(
            "fij,fnj->fni", np.broadcast_to(rotation, (len(joints), 3, 3)), joints - position
        )
        flat = turned[..., :2] / np.maximum(turned[..., 2:], 1e-3)
        low, high = flat.min((0, 1)), flat.max((0, 1))
        focal = share / float((high - low).max())
        free = np.maximum(1 - 2 * EDGE - focal * (high - low), 0) / 2
        tilt += np.arctan((low + high) / 2 - np.asarray(offset) * free / focal)
    focal = min(focal, (0.5 - EDGE) / float(np.abs(flat).max()))
    return Camera(rotation, position, focal * size, size)


def _figure_share(joints: Float, camera: Camera) -> float:
    """Longest side of the body's own box, median over frames, as a share of the canvas."""
    xy, _ = camera.project(joints)
    return float(np.median((xy.max(1) - xy.min(1)).max(-1))) / camera.size


def _steady(path: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Smooth a path (F, 3) by local linear regression, a seventh of the window wide.

    Local means would lag behind at both ends, where a running body enters and leaves.
    """
    frames = np.arange(len(path))
    gap = frames - frames[:, None]
    weight = np.exp(-0.5 * (gap / (0.14 * len(path))) ** 2)
    sums = [(weight * gap**power).sum(1)[:, None] for power in range(3)]
    level, slope = weight @ path, (weight * gap) @ path
    steady: npt.NDArray[np.float64] = (sums[2] * level - sums[1] * slope) / (
        sums[0] * sums[2] - sums[1] ** 2
    )
    return steady
