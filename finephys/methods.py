"""Seven methods to guide one trained generator, for comparison.

A method is a function from a clip's poses to the 2D pose that is drawn for the generator, or none
for text alone. Everything else (weights, prompt, seed, noise, canvas) is equal, so that two videos
of the same seed differ only by their guidance.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from finephys.errors import RequestError
from finephys.generator.systems import SYSTEMS
from finephys.types import Float, Pose2D, Pose3D, Poses, Request

Reproject = Callable[[Poses, Pose3D], Pose2D]
"""Projects a 3D body of a clip's poses onto that clip."""

PoseSource = Callable[[Poses, Reproject], Pose2D]

SMOOTHING_FRAMES = 5
"""Window of the smoothing filter in frames, odd. Design choice: 16 frames cover up to 2.5 s, so
five cover at most 0.6 s; the usual eleven frames of a 30 fps clip cover 0.4 s."""

SMOOTHING_DEGREE = 2
"""Degree of the filter's polynomial, which preserves constant acceleration such as free fall."""


@dataclass(frozen=True)
class Method:
    """One way to guide the generator.

    Attributes:
        name: its key in `METHODS`; also its folder in a batch.
        line: description for people.
        guide: from the poses of a clip to the pose that is drawn; None: text alone.
        motion: whether the motion modules run; without them every frame is generated alone.
        system: key of `generator.systems.SYSTEMS` that generates the video; empty: the tier's own
            generator.
    """

    name: str
    line: str
    guide: PoseSource | None = None
    motion: bool = True
    system: str = ""


def smooth(pose: Pose2D) -> Pose2D:
    """Smooth detections by a Savitzky-Golay filter weighted by their scores.

    A polynomial is fitted by weighted least squares in a window around each frame and evaluated at
    that frame (Savitzky and Golay 1964; the first and last frames use the nearest full window).
    With equal scores it is exactly their filter. Design choice: where a window has too few
    detections for the polynomial, its degree is lower; scores are kept, so an undetected joint
    stays one.

    Args:
        pose: S_detect.

    Returns:
        The same joints and scores with smoothed positions.
    """
    frames = len(pose.xy)
    out = pose.xy.copy()
    for frame in range(frames):
        begin = min(max(frame - SMOOTHING_FRAMES // 2, 0), frames - SMOOTHING_FRAMES)
        window = slice(begin, begin + SMOOTHING_FRAMES)
        times = np.arange(begin, begin + SMOOTHING_FRAMES, dtype=np.float64) - frame
        for joint in range(pose.xy.shape[1]):
            weight = pose.score[window, joint]
            if pose.score[frame, joint] > 0:
                out[frame, joint] = _fitted(times, pose.xy[window, joint], weight)
    return replace(pose, xy=out, source=f"{pose.source}, smoothed")


def _fitted(times: npt.NDArray[np.float64], xy: Float, weight: Float) -> npt.NDArray[np.float64]:
    """Evaluate at time 0 the polynomial fitted to weighted points (N, 2)."""
    degree = min(SMOOTHING_DEGREE, int((weight > 0).sum()) - 1)
    root = np.sqrt(weight.astype(np.float64))[:, None]
    powers = times[:, None] ** np.arange(degree + 1)
    value: npt.NDArray[np.float64] = np.linalg.lstsq(
        root * powers, root * xy.astype(np.float64), rcond=None
    )[0][0].astype(np.float64)
    return value


def _detected(poses: Poses, _: Reproject) -> Pose2D:
    return poses.detected


def _smoothed(poses: Poses, _: Reproject) -> Pose2D:
    return smooth(poses.detected)


def _lifted(poses: Poses, reproject: Reproject) -> Pose2D:
    return reproject(poses, poses.data_driven)


def _physics(poses: Poses, reproject: Reproject) -> Pose2D:
    return reproject(poses, poses.motion.combined)


def _ours(poses: Poses, _: Reproject) -> Pose2D:
    return poses.reprojected


_TABLE = (
    Method("text", "the prompt alone; no skeleton guides the video"),
    Method(
        "text-still", "the prompt alone, every frame by itself (no motion modules)", motion=False
    ),
    Method("detected", "the body as it is found in the frames (S_detect)", _detected),
    Method("smoothed", "the found body, smoothed over time", _smoothed),
    Method("lifted", "the body lifted to 3D by data alone (S_dd)", _lifted),
    Method("physics", "the 3D body as mechanics predicts it (S_pp)", _physics),
    Method("ours", "FinePhys whole: data and mechanics fused (S_re-proj)", _ours),
)

METHODS = {method.name: method for method in _TABLE}
"""The methods by name, from least to most guidance; a new one is a line of the table."""

DEFAULT_METHOD = Request.method


OTHERS = {name: Method(name, system.line, system=name) for name, system in SYSTEMS.items()}
"""The paper's other systems as methods; they share prompt and seed with the seven."""


def method_by_name(name: str) -> Method:
    """Return the method or other system of this name; RequestError if there is none."""
    known = METHODS | OTHERS
    if name not in known:
        raise RequestError(f"method {name!r} does not exist; choose {', '.join(known)}.")
    return known[name]
