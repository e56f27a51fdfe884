"""The canvas: the square of a clip's image plane that is generated."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finephys.errors import RequestError
from finephys.types import CONFIDENT_SCORE, Pose2D

_FARTHEST = 6.0
"""Design choice: a joint further than this many times the body's median spread is a glitch; the
ankle of a stretched body is at about three times."""


@dataclass(frozen=True)
class Framing:
    """A square of the image plane, in pixels of the clip (x right, y down).

    Attributes:
        x: left edge.
        y: upper edge.
        side: length of an edge, positive.
    """

    x: float
    y: float
    side: float

    def __post_init__(self) -> None:
        if not (np.isfinite((self.x, self.y, self.side)).all() and self.side > 0):
            raise RequestError(
                f"a framing at ({self.x}, {self.y}) with side {self.side} px is not a "
                "square; give finite values and a positive side."
            )

    def to_canvas(self, xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Convert pixels (..., 2) to canvas coordinates, [0, 1] inside the square."""
        canvas = (np.asarray(xy, np.float64) - (self.x, self.y)) / self.side
        return canvas.astype(np.float32)

    def to_pixels(self, canvas: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Convert canvas coordinates (..., 2) to pixels; the inverse of `to_canvas`."""
        pixels = np.asarray(canvas, np.float64) * self.side + (self.x, self.y)
        return pixels.astype(np.float32)


def frame_body(pose: Pose2D, fill: float = 0.75) -> Framing:
    """Return the square around all confident joints of all frames.

    Design choice: one square for the whole clip, so that the body's path stays visible and the
    background still; the training cameras have a fill of 0.55 to 0.9.

    Args:
        pose: 2D joints in pixels. Joints below `CONFIDENT_SCORE` and joints far outside the body
            (glitches of a detector) are ignored.
        fill: longer side of the joints' bounding box over the side of the square, (0, 1].

    Raises:
        RequestError: `fill` is outside (0, 1] or no joint is confident.
    """
    if not 0 < fill <= 1:
        raise RequestError(f"fill is {fill}; choose a share above 0 and up to 1.")
    trusted = pose.score >= CONFIDENT_SCORE
    if not trusted.any():
        raise RequestError(
            f"no joint reaches a score of {CONFIDENT_SCORE} in any frame (the best has "
            f"{pose.score.max():.2f}), so there is no body to frame; choose another clip or use "
            "the pose prior."
        )
    trusted &= ~_glitches(pose.xy, trusted)
    points = pose.xy[trusted].astype(np.float64)
    low, high = points.min(0), points.max(0)
    side = max(float((high - low).max()), 1.0) / fill
    x, y = (low + high) / 2 - side / 2
    return Framing(float(x), float(y), side)


def _glitches(xy: npt.NDArray[np.float32], trusted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mark confident joints (F, J) far from their frame's body or in frames far from its path."""
    masked = np.where(trusted[..., None], xy, np.nan).astype(np.float64)
    seen = trusted.any(1)
    center = np.full((len(xy), 2), np.nan)
    center[seen] = np.nanmedian(masked[seen], axis=1)
    distance = np.linalg.norm(masked - center[:, None], axis=-1)
    limit = _FARTHEST * float(np.nanmedian(distance[seen])) + 1.0
    path = np.full_like(center, np.nan)
    for frame in np.flatnonzero(seen):
        near = center[max(0, frame - 2) : frame + 3]
        path[frame] = np.nanmedian(near, axis=0)
    astray = np.linalg.norm(center - path, axis=-1) > limit
    far: npt.NDArray[np.bool_] = trusted & ((distance > limit) | astray[:, None])
    # If every joint looks like a glitch, none is one.
    return far if (trusted & ~far).any() else np.zeros_like(trusted)
