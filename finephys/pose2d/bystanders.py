"""Whether a clip shows another person, or a reflection, besides the one that is detected."""

from collections.abc import Callable

import numpy as np

from finephys.errors import StoppedError
from finephys.pose2d.protocol import Detector
from finephys.pose2d.zoom import person_boxes
from finephys.types import CONFIDENT_SCORE, Bytes, Float, Pose2D

_FRAMES = 4  # frames in which others are looked for
_FEWEST = 2  # of them that must show another person: one detection may be a mistake
_COVERED = 1.15  # side of what is painted over, in sides of the person's box
_LEAST_SHARE = 0.6  # of the joints that must be confident: furniture gives fewer
_LEAST_SIZE = 0.4  # of the person's height: a distant audience disturbs nothing


def shows_others(
    frames: Bytes, pose: Pose2D, detector: Detector, stop: Callable[[], bool] | None = None
) -> bool:
    """Detect once more in a few frames, with the detected person painted over.

    Design choice: a detector of one person finds the most conspicuous body. With that one gone it
    finds another, be it a second person or a reflection in a mirror.

    Args:
        frames: uint8 (16, H, W, 3) RGB, the frame of each pose.
        pose: the person, in pixels of `frames`.
        detector: any entry of `DETECTORS`.
        stop: called before every frame; True ends the search.

    Raises:
        StoppedError: `stop` returned True.
    """
    xy, score = pose.xy, pose.score
    found = np.flatnonzero((score >= CONFIDENT_SCORE).mean(-1) > _LEAST_SHARE)
    if len(found) < _FEWEST:
        return False
    boxes = person_boxes(xy, score.max(-1) > 0)
    seen = 0
    for frame in found[np.unique(np.linspace(0, len(found) - 1, _FRAMES).round().astype(int))]:
        if stop is not None and stop():
            raise StoppedError("Stopped while looking for the person; nothing was written.")
        low, high = xy[frame].min(0), xy[frame].max(0)
        margin = (_COVERED - 1) / 2 * boxes[frame, 2]
        picture = _painted_over(frames[frame], low - margin, high + margin)
        other, other_score = detector.detect(picture[None])
        middle = other[0].mean(0)
        apart = bool(((middle < low) | (middle > high)).any())
        tall = float(np.ptp(other[0], axis=0).max())
        sure = (other_score[0] >= CONFIDENT_SCORE).mean() > _LEAST_SHARE
        seen += bool(sure and apart and tall > _LEAST_SIZE * float((high - low).max()))
    return seen >= _FEWEST


def _painted_over(picture: Bytes, low: Float, high: Float) -> Bytes:
    """A copy of a picture in which a box has the mean colour of the picture."""
    left, top = np.maximum(np.floor(low), 0).astype(int)
    right, bottom = np.maximum(np.ceil(high), 0).astype(int)
    covered = picture.copy()
    covered[top:bottom, left:right] = picture.mean((0, 1)).astype(np.uint8)
    return covered
