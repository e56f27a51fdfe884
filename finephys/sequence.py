"""Lift a pose sequence of any length: overlapping windows, blended without seams.

Design choice: windows of 16 frames start every 8 frames and are weighted by the square of a sine
over their frames, so that each frame blends two windows and no weight jumps where a window ends.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from finephys.errors import RequestError
from finephys.pipeline import Pipeline
from finephys.pose3d.windows import PoseWindows
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import Float

HOP = FRAMES // 2
"""Frames between the starts of windows."""

FINEST_FPS = 30.0
"""Highest frame rate that is lifted. Design choice: 16 frames then span half a second, the shortest
window in training; denser sequences are subsampled and interpolated back by cubic splines."""

LONGEST = 100_000
"""Frames a sequence may have."""


@dataclass(frozen=True)
class PoseSequence:
    """2D joints of one body.

    Attributes:
        xy: float32 (T, J, 2) pixels, T from 1 to LONGEST.
        score: float32 (T, J) in [0, 1].
        fps: frames per second, 1 to 240.
        size: (width, height) of the image in pixels.
    """

    xy: Float
    score: Float
    fps: float
    size: tuple[int, int]

    def __post_init__(self) -> None:
        count = len(self.xy)
        if not 1 <= count <= LONGEST:
            raise RequestError(f"the sequence has {count} frames; give 1 to {LONGEST}.")
        if self.xy.shape != (count, len(JOINTS), 2) or self.score.shape != self.xy.shape[:-1]:
            raise RequestError(
                f"xy is {self.xy.shape} and score {self.score.shape}; expected (T, {len(JOINTS)}, "
                f"2) and (T, {len(JOINTS)})."
            )
        if not 1 <= self.fps <= 240:
            raise RequestError(f"fps is {self.fps:g}; give 1 to 240 frames a second.")


@dataclass(frozen=True)
class LiftedSequence:
    """A pose sequence after every pose stage.

    Attributes:
        data_driven: S_dd, float32 (T, J, 3) metres, root-relative, camera axes.
        physics: S_pp, the same.
        fused: their fusion, the same.
        root: float32 (T, 3) metres, path of the fused pelvis from the first frame.
        reprojected_xy: float32 (T, J, 2) pixels.
    """

    data_driven: Float
    physics: Float
    fused: Float
    root: Float
    reprojected_xy: Float


def lift_sequence(
    pipeline: Pipeline,
    poses: PoseSequence,
    body_height: float,
    fusion: str,
    action: int | None = None,
    dynamics: str | None = None,
) -> LiftedSequence:
    """Lift a sequence seen by a still camera.

    Args:
        pipeline: holds the stages.
        poses: the 2D joints.
        body_height: metres.
        fusion: key of `fusion.FUSIONS`.
        action: FineGym class, when known.
        dynamics: PhysNet's; None: the weights' own default.
    """
    count = len(poses.xy)
    stride = max(1, round(poses.fps / FINEST_FPS))
    kept = np.unique(np.append(np.arange(0, count, stride), count - 1))
    # The last step may be shorter than the stride; it is lifted as if it were not.
    starts, frames = _windows(len(kept))
    in_window = kept[frames]
    score = poses.score[in_window]
    score[_beyond_end(len(kept), starts)] = 0
    windows = PoseWindows(
        xy=poses.xy[in_window],
        score=score,
        size=poses.size,
        dt=np.full(len(starts), stride / poses.fps, np.float32),
        body_height=body_height,
        ballistic=np.ones(len(starts), np.float32),
    )
    lifted = pipeline.lift(windows, fusion, action, dynamics)

    def whole(values: Float) -> Float:
        return _interpolated(_blended(values, starts, len(kept)), kept, count)

    # Each window's root path begins at zero, so steps are blended, not positions.
    steps = np.diff(lifted.fused.root, axis=1, prepend=lifted.fused.root[:, :1])
    path = np.cumsum(_blended(steps, starts, len(kept), skip=1), 0)
    return LiftedSequence(
        data_driven=whole(lifted.data_driven.xyz),
        physics=whole(lifted.motion.combined.xyz),
        fused=whole(lifted.fused.xyz),
        root=_interpolated(path - path[:1], kept, count),
        reprojected_xy=whole(lifted.reprojected_xy),
    )


def _interpolated(values: Float, kept: npt.NDArray[np.int64], count: int) -> Float:
    """Interpolate values of the kept frames to all frames (count, ...)."""
    if len(kept) < count:  # so at least two are kept, which a spline needs
        values = CubicSpline(kept, values)(np.arange(count))
    return values.astype(np.float32)


def _windows(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each window's first frame (N,) and all its frames (N, F), the last one repeated."""
    last = max(count - FRAMES, 0)
    starts = np.unique(np.append(np.arange(0, last, HOP), last)).astype(np.int64)
    return starts, np.minimum(starts[:, None] + np.arange(FRAMES), count - 1)


def _beyond_end(count: int, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return (N, F), True where a window is longer than the sequence."""
    beyond: npt.NDArray[np.bool_] = starts[:, None] + np.arange(FRAMES) >= count
    return beyond


def _blended(values: Float, starts: npt.NDArray[np.int64], count: int, skip: int = 0) -> Float:
    """Blend windows (N, F, ...) into one sequence (count, ...).

    Args:
        values: of each window.
        starts: first frame of each.
        count: frames of the sequence.
        skip: first frames of a window that carry no information.
    """
    weights = np.sin(np.pi * (np.arange(FRAMES) + 0.5) / FRAMES) ** 2
    weights[:skip] = 1e-9  # counts only where no other window covers the frame
    extra_axes = (1,) * (values.ndim - 2)
    total = np.zeros((count, *values.shape[2:]))
    weight = np.zeros((count, *extra_axes))
    for start, window in zip(starts, values, strict=True):
        inside = min(FRAMES, count - start)
        frames = slice(start, start + inside)
        each = weights[:inside].reshape(-1, *extra_axes)
        total[frames] += each * window[:inside]
        weight[frames] += each
    blended: Float = (total / weight).astype(np.float32)
    return blended
