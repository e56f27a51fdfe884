"""Detecting one person in every frame: in the whole picture first, then in crops.

Detectors scale a picture down before they search it (BlazePose to 224 pixels), so that a body under
a fifth of its side is missed or misread; in a crop around it, it is as large as in a close-up.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from finephys.errors import StoppedError
from finephys.pose2d.plausibility import same_person
from finephys.pose2d.protocol import Detector
from finephys.skeleton import MIRROR, mirror
from finephys.types import Bool, Bytes, Float

Boxes = npt.NDArray[np.float64]

_CROP = 2.2  # side of a crop, in sides of the body's box
_SMALLEST_CROP = 32  # pixels
_TILED_FRAMES = 3  # frames searched tile by tile when no person is found at first
_FEW = 0.25  # share of frames with a person below which the clip is searched tile by tile
_ROUNDS = 2  # times that frames still without a person are searched in crops


def find_person(
    frames: Bytes, detector: Detector, dt: float, stop: Callable[[], bool] | None = None
) -> tuple[Float, Float]:
    """Find one person, the same in all frames.

    Every frame is searched whole; when nearly none shows a person, a few are searched tile by tile;
    frames without the person are then searched again where it is in their neighbours.

    Args:
        frames: uint8 (N, H, W, 3) RGB.
        detector: any entry of `DETECTORS`.
        dt: seconds between frames.
        stop: called before every frame; True ends the search.

    Returns:
        xy (N, 17, 2) pixels and score (N, 17), both 0 in frames without the person.

    Raises:
        StoppedError: `stop` returned True.
    """
    xy, score = _detect_each(frames, detector, stop)
    if (score.max(-1) > 0).mean() < _FEW:
        _search_tiles(frames, detector, xy, score, stop)
    for _ in range(_ROUNDS):
        found = same_person_frames(xy, score, dt)
        missing = np.flatnonzero(~found)
        if not found.any() or not len(missing):
            break
        boxes = person_boxes(xy, found)[missing]
        seen, seen_score = detect_crops(frames[missing], boxes, detector, False, stop)
        new = seen_score.max(-1) > 0
        xy[missing[new]], score[missing[new]] = seen[new], seen_score[new]
    return xy, score


def same_person_frames(xy: Float, score: Float, dt: float) -> Bool:
    """Mask (N,) of the frames that show the same person as most frames."""
    same: Bool = (score.max(-1) > 0) & (same_person(xy, score, dt).min(-1) == 1)
    return same


def person_boxes(xy: Float, found: Bool) -> Boxes:
    """Locate the person in each frame, from its pose or from the frames around.

    Args:
        xy: (N, 17, 2) pixels.
        found: (N,), True where `xy` holds; at least one.

    Returns:
        (N, 3): centre x, centre y and side of a square, pixels.
    """
    low, high = xy.min(1), xy.max(1)
    center, side = (low + high) / 2, (high - low).max(-1)
    frames = np.flatnonzero(found)
    boxes = np.zeros((len(xy), 3))
    for frame in range(len(xy)):
        near = frames[np.argsort(np.abs(frames - frame), kind="stable")[:5]]
        usual = float(np.median(side[near]))
        if found[frame] and 0.6 * usual < side[frame] < 1.8 * usual:
            boxes[frame] = *center[frame], max(usual, side[frame])
        else:
            x, y = (np.interp(frame, frames, center[frames, axis]) for axis in (0, 1))
            boxes[frame] = x, y, 1.3 * usual
    return boxes


def detect_crops(
    frames: Bytes,
    boxes: Boxes,
    detector: Detector,
    mirrored: bool,
    stop: Callable[[], bool] | None = None,
) -> tuple[Float, Float]:
    """Detect in a crop around each box.

    Args:
        frames: uint8 (N, H, W, 3) RGB.
        boxes: (N, 3) from `person_boxes`.
        detector: any entry of `DETECTORS`.
        mirrored: detect in the mirrored crop and mirror the result back.
        stop: called before every frame; True ends the work.

    Returns:
        xy (N, 17, 2) pixels of `frames` and score (N, 17), both 0 where no person is found.

    Raises:
        StoppedError: `stop` returned True.
    """
    height, width = frames.shape[1:3]
    parts = []
    for frame, (x, y, side) in zip(frames, boxes, strict=True):
        half = max(_CROP * side, _SMALLEST_CROP) / 2
        left, right = _within(x - half, x + half, width)
        top, bottom = _within(y - half, y + half, height)
        crop = frame[top:bottom, left:right]
        if mirrored:
            crop = crop[:, ::-1]
        xy, score = _detect_each(crop[None], detector, stop)
        if mirrored:
            score = score[:, MIRROR]
            xy = mirror(xy, 0, right - left).astype(np.float32)
        xy += np.array([left, top], np.float32)
        parts.append((np.where(score.max() > 0, xy, np.float32(0)), score))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _within(low: float, high: float, size: int) -> tuple[int, int]:
    """Clip an interval to [0, size), keeping it at least `_SMALLEST_CROP` long where possible."""
    begin = int(np.clip(round(low), 0, max(size - _SMALLEST_CROP, 0)))
    end = int(np.clip(round(high), min(begin + _SMALLEST_CROP, size), size))
    return begin, end


def _detect_each(
    frames: Bytes, detector: Detector, stop: Callable[[], bool] | None
) -> tuple[Float, Float]:
    parts = []
    for frame in frames:
        if stop is not None and stop():
            raise StoppedError("Stopped while looking for the person; nothing was written.")
        parts.append(detector.detect(frame[None]))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _search_tiles(
    frames: Bytes,
    detector: Detector,
    xy: Float,
    score: Float,
    stop: Callable[[], bool] | None,
) -> None:
    """Search some frames in overlapping tiles of a half, then a third of the side, in place."""
    height, width = frames.shape[1:3]
    chosen = np.unique(np.linspace(0, len(frames) - 1, _TILED_FRAMES + 2).round()[1:-1].astype(int))
    for parts in (2, 3):
        for frame in chosen[score[chosen].max(-1) == 0]:
            for row in range(2 * parts - 1):
                for column in range(2 * parts - 1):
                    top, left = row * height // (2 * parts), column * width // (2 * parts)
                    tile = frames[frame, top : top + height // parts, left : left + width // parts]
                    seen, seen_score = _detect_each(tile[None], detector, stop)
                    if seen_score.mean() > score[frame].mean():
                        xy[frame] = seen[0] + np.array([left, top], np.float32)
                        score[frame] = seen_score[0]
        if (score[chosen].max(-1) > 0).any():
            return
