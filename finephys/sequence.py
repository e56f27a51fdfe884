"""A pose sequence of any length through the pose stages: overlapping windows without seams.

Design choice: windows of 16 frames begin every 8 and count with the square of a sine over their
frames, so that each frame is a blend of two windows and none is where one window ends.
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
"""Frames between the beginnings of windows."""

FINEST_FPS = 30.0
"""Frames a second that are lifted at most. Design choice: 16 frames then span half a second, the
shortest window trained on; denser sequences are thinned and put back by cubic splines."""

LONGEST = 100_000
"""Frames that a sequence may have."""


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
    """A pose sequence through every pose stage.

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
    """Lift a sequence of a still camera.

    Args:
        pipeline: holds the stages.
        poses: the 2D joints.
        body_height: metres.
        fusion: key of `fusion.FUSIONS`.
        action: FineGym class, when known.
        dynamics: PhysNet's, None: the weights' own default.
    """
    count = len(poses.xy)
    stride = max(1, round(poses.fps / FINEST_FPS))
    taken = np.unique(np.append(np.arange(0, count, stride), count - 1))
    # The last step may be shorter than the others; it is lifted as if it were not.
    starts, places = _places(len(taken))
    seen = taken[places]
    score = poses.score[seen]
    score[_outside(len(taken), starts)] = 0
    windows = PoseWindows(
        xy=poses.xy[seen],
        score=score,
        size=poses.size,
        dt=np.full(len(starts), stride / poses.fps, np.float32),
        body_height=body_height,
        ballistic=np.ones(len(starts), np.float32),
    )
    lifted = pipeline.lift(windows, fusion, action, dynamics)

    def whole(values: Float) -> Float:
        joined = _joined(values, starts, len(taken))
        if stride == 1:
            return joined
        out: Float = CubicSpline(taken, joined)(np.arange(count)).astype(np.float32)
        return out

    moved = np.diff(lifted.fused.root, axis=1, prepend=lifted.fused.root[:, :1])
    path = np.cumsum(_joined(moved, starts, len(taken), skip=1), 0)
    path = path - path[:1]
    root = path if stride == 1 else CubicSpline(taken, path)(np.arange(count))
    return LiftedSequence(
        data_driven=whole(lifted.data_driven.xyz),
        physics=whole(lifted.motion.combined.xyz),
        fused=whole(lifted.fused.xyz),
        root=root.astype(np.float32),
        reprojected_xy=whole(lifted.reprojected_xy),
    )


def _places(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First frame of each window (N,), and the frames of each (N, F), held at the ends."""
    last = max(count - FRAMES, 0)
    starts = np.unique(np.append(np.arange(0, last, HOP), last)).astype(np.int64)
    return starts, np.minimum(starts[:, None] + np.arange(FRAMES), count - 1)


def _outside(count: int, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(N, F), True where a window reaches beyond a sequence shorter than itself."""
    outside: npt.NDArray[np.bool_] = starts[:, None] + np.arange(FRAMES) >= count
    return outside


def _joined(values: Float, starts: npt.NDArray[np.int64], count: int, skip: int = 0) -> Float:
    """Blend windows (N, F, ...) into one sequence (count, ...).

    Args:
        values: of each window.
        starts: first frame of each.
        count: frames of the sequence.
        skip: first frames of a window that say nothing.
    """
    share = np.sin(np.pi * (np.arange(FRAMES) + 0.5) / FRAMES) ** 2
    share[:skip] = 1e-9
    total = np.zeros((count, *values.shape[2:]))
    weight = np.zeros(count)
    for start, window in zip(starts, values, strict=True):
        inside = min(FRAMES, count - start)
        part = slice(start, start + inside)
        lift = share[:inside].reshape(-1, *([1] * (window.ndim - 1)))
        total[part] += lift * window[:inside]
        weight[part] += share[:inside]
    out: Float = (total / weight.reshape(-1, *([1] * (total.ndim - 1)))).astype(np.float32)
    return out
