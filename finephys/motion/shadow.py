"""The soft shadow of a body on the floor, sharper and darker near contact."""

import numpy as np
import numpy.typing as npt

from finephys.skeleton import JOINT, JOINTS, LIMBS
from finephys.types import Float

_POINTS: tuple[tuple[str, str, float], ...] = tuple(
    (JOINTS[parent], JOINTS[child], share)
    for parent, child in LIMBS
    if JOINTS[child] not in ("right_hip", "left_hip", "left_shoulder", "right_shoulder", "neck")
    for share in (0.5, 1.0)
)

_CONTACT = 0.13
"""Width of the shadow of a point on the floor, metres."""

_SPREAD = 0.22
"""Additional width per metre above the floor, metres."""

_DARKNESS = 0.16
_DARKEST = 0.45


def shade_floor(
    joints: Float,
    rays: Float,
    position: npt.NDArray[np.float64],
    light: tuple[float, float, float],
) -> Float:
    """Compute the share of the light that reaches the floor around a body.

    Design choice: a hall has many lamps, so every point of the body casts a soft spot that widens
    with its height and leans away from the main lamp by half of that lamp's slant.

    Args:
        joints: (F, 17, 3) world metres.
        rays: (3, F, h, w) world directions of the pixels, F = 1 when the camera stands still.
        position: (3,) world metres of the camera.
        light: unit vector towards the main lamp.

    Returns:
        float32 (F, h, w) in (0, 1], 1 off the floor.
    """
    points = np.stack(
        [
            joints[:, JOINT[parent]] * (1 - share) + joints[:, JOINT[child]] * share
            for parent, child, share in _POINTS
        ],
        1,
    )
    height = np.maximum(points[..., 2], 0)
    lean = np.asarray(light[:2], np.float32) / np.float32(2 * light[2])
    fall = points[..., :2] - height[..., None] * lean
    width = _CONTACT + _SPREAD * height
    strength = _DARKNESS * (_CONTACT / width) ** 1.3

    out = np.ones((len(joints), *rays.shape[2:]), np.float32)
    for frame in range(len(joints)):
        if frame < rays.shape[1]:
            ahead, left, up = rays[:, frame]
            below = up < -1e-3
            far = np.float32(-position[2]) / np.where(below, up, np.float32(-1))
            x = np.float32(position[0]) + far * ahead
            y = np.float32(position[1]) + far * left
        low = (fall[frame] - 2.5 * width[frame, :, None]).min(0)
        high = (fall[frame] + 2.5 * width[frame, :, None]).max(0)
        near = below & (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
        gap = (x[near][:, None] - fall[frame, :, 0]) ** 2
        gap += (y[near][:, None] - fall[frame, :, 1]) ** 2
        dark = strength[frame] * np.exp(-gap / (2 * width[frame] ** 2))
        out[frame][near] = np.maximum(np.exp(-dark.sum(1)), _DARKEST)
    return out
