"""S_detect of a clip: detect, refine in crops and mirrored crops, score, resample to 16 poses."""

from collections.abc import Callable

import numpy as np

from finephys.errors import NoPersonError
from finephys.pose2d import plausibility
from finephys.pose2d.protocol import Detector
from finephys.pose2d.zoom import detect_crops, find_person, person_boxes, same_person_frames
from finephys.skeleton import JOINTS
from finephys.types import CONFIDENT_SCORE, Bool, Float, Pose2D, VideoClip

INTERPOLATED = 0.7
"""Factor on the score of a pose half-way between two detected ones. Design choice."""

_LARGE_BODY = 0.28  # share of the frame's longer side above which a crop shows no more
_FEWEST_JOINTS = 4  # confident joints in a frame that shows a person

NOBODY = (
    "no person was detected in these {count} frames; choose a clip, or a start in it, that shows "
    "one whole person, or continue with the pose prior of an action (--prior, or its tick box)."
)


def detect_clip(
    clip: VideoClip, detector: Detector, stop: Callable[[], bool] | None = None
) -> Pose2D:
    """Detect one person in a clip, with scores that reflect how reliable each joint is.

    Source: S_detect of supplement C.2; a frame without a person, of which its Fig. 15 shows some,
    has score 0. Design choice: the person is located in the whole frame, then detected
    in a crop and in the mirrored crop; both are averaged, and their disagreement lowers the scores
    (see `zoom` and `plausibility`).

    Args:
        clip: N <= 16 frames, N >= 2.
        detector: any entry of `DETECTORS`.
        stop: called before every frame; True ends the work.

    Returns:
        16 poses in pixels of `clip`, at `clip.pose_times`; poses that lie between two frames are
        marked in `interpolated`.

    Raises:
        NoPersonError: no frame shows a person.
        StoppedError: `stop` returned True.
    """
    xy, score = detect_twice(clip, detector, stop)
    if (score >= CONFIDENT_SCORE).sum(-1).max() < _FEWEST_JOINTS:
        raise NoPersonError(NOBODY.format(count=len(clip.frames)))
    xy, score, interpolated = _to_times(clip.times, xy, score, clip.pose_times)
    return Pose2D(xy, score, interpolated, source=detector.name)


def detect_twice(
    clip: VideoClip, detector: Detector, stop: Callable[[], bool] | None = None
) -> tuple[Float, Float]:
    """Detect every frame, in a crop and mirrored, and scale the scores by plausibility.

    Args:
        clip: N frames.
        detector: any entry of `DETECTORS`.
        stop: called before every frame.

    Returns:
        xy (N, 17, 2) pixels and score (N, 17), both 0 in frames without a person.

    Raises:
        StoppedError: `stop` returned True.
    """
    dt = 1 / clip.fps
    xy, score = find_person(clip.frames, detector, dt, stop)
    found = same_person_frames(xy, score, dt)
    if not found.any():
        return np.zeros_like(xy), np.zeros_like(score)
    boxes = person_boxes(xy, found)
    if np.median(boxes[found, 2]) < _LARGE_BODY * max(clip.size) or not found.all():
        closer, closer_score = detect_crops(clip.frames, boxes, detector, False, stop)
        better = closer_score.max(-1) > 0
        xy[better], score[better] = closer[better], closer_score[better]
        boxes = person_boxes(xy, score.max(-1) > 0)
    first = score.max(-1) > 0
    back, back_score = detect_crops(clip.frames, boxes, detector, True, stop)
    second = back_score.max(-1) > 0
    factor = plausibility.agreement(xy, back, first & second)
    share = (score / np.maximum(score + back_score, 1e-6))[..., None]
    xy = (share * xy + (1 - share) * back).astype(np.float32)
    score = np.maximum(score, back_score) * factor
    score = score * plausibility.bone_lengths(xy, score)
    score = score * plausibility.left_right(xy, score)
    score = score * plausibility.inside(xy, clip.size)
    score = score * plausibility.same_person(xy, score, dt)
    xy[~(first | second)] = 0
    return xy, np.clip(score, 0, 1).astype(np.float32)


def _to_times(have: Float, xy: Float, score: Float, want: Float) -> tuple[Float, Float, Bool]:
    """Poses at even times from poses at the times of the frames.

    Joints go along a straight line between the two frames around; a pose further than a quarter of
    the wanted spacing from any frame counts as interpolated and its score is lowered.
    """
    step = want[1] - want[0]
    out_xy = np.zeros((len(want), len(JOINTS), 2), np.float32)
    out_score = np.zeros((len(want), len(JOINTS)), np.float32)
    interpolated = np.zeros(len(want), np.bool_)
    for index, time in enumerate(want):
        after = int(np.clip(np.searchsorted(have, time), 1, len(have) - 1))
        before = after - 1
        part = float(np.clip((time - have[before]) / (have[after] - have[before]), 0, 1))
        gap = min(part, 1 - part) * (have[after] - have[before])
        nearest = before if part < 0.5 else after
        if gap < 0.02 * step:
            out_xy[index], out_score[index] = xy[nearest], score[nearest]
            continue
        weight = np.array([1 - part, part])[:, None] * score[[before, after]]
        total = weight.sum(0)
        line = (1 - part) * xy[before] + part * xy[after]
        known = (score[before] > 0) & (score[after] > 0)
        out_xy[index] = np.where(known[:, None], line, xy[nearest])
        interpolated[index] = gap > 0.25 * step
        lowered = np.where(known, total, score[nearest] * (1 - 2 * min(part, 1 - part)))
        out_score[index] = lowered * (INTERPOLATED if interpolated[index] else 1.0)
    return out_xy, np.clip(out_score, 0, 1), interpolated
