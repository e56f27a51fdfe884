"""Which seconds of a clip the 16 frames come from: by default those with most body motion."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from finephys.errors import ClipError
from finephys.pose2d.protocol import Detector
from finephys.pose2d.zoom import find_person
from finephys.types import CONFIDENT_SCORE, Float
from finephys.video import LONGEST_SPAN, VideoInfo, read_frames

LONGEST_SEARCHED = 600.0
"""Seconds of a clip that are searched for motion; a longer clip needs a start."""

_LOOKS = 36  # frames detected in the search
_PAIR = 0.125  # seconds between the two frames of a look at motion
_EVEN_UP_TO = _LOOKS * 0.25  # clips up to here are looked at evenly, longer ones in pairs
_SEARCH_SIDE = 480  # pixels of the longer side in the search
_TIE = 0.05  # share of the most motion that a more central span may lack


def choose_span(
    path: Path, info: VideoInfo, detector: Detector, stop: Callable[[], bool] | None = None
) -> tuple[float, float, tuple[str, ...]]:
    """Choose at most 2.5 s of a clip, those in which the body moves most.

    Design choice: the detector looks at no more than 36 small frames, evenly spread over clips of
    up to 9 s and in pairs 1/8 s apart in longer ones. Motion is the mean speed of the limbs
    relative to the pelvis plus a part of the pelvis's own, in body sizes a second; a frame without
    a person is left out. Spans within 5 % of the most motion are ties, won by the most central.

    Args:
        path: the file.
        info: of it, from `probe`.
        detector: any entry of `DETECTORS`.
        stop: asked before every frame; True ends the search.

    Returns:
        start and span in seconds, and sentences for the person.

    Raises:
        ClipError: the clip is too long to search; the text asks for a start.
        StoppedError: `stop` said so.
    """
    if info.last <= LONGEST_SPAN:
        return 0.0, info.last, ()
    if info.duration > LONGEST_SEARCHED:
        raise ClipError(
            f"{Path(path).name} lasts {info.duration / 60:.0f} min; up to "
            f"{LONGEST_SEARCHED / 60:.0f} min are searched for the moment of most motion, so give "
            "a start in seconds (--start, or the field beside the clip); only that part is read."
        )
    times, frames, _ = read_frames(info, _looks(info), _SEARCH_SIDE, stop)
    if len(frames) < 2:
        raise ClipError(
            f"{Path(path).name} has only {len(frames)} frame that can be decoded; give a clip that "
            "plays throughout."
        )
    spacing = (times[-1] - times[0]) / (len(times) - 1)
    found = find_person(np.stack(frames), detector, spacing, stop)
    middles, speeds = _motion(np.array(times), *found)
    if not len(speeds):
        start = (info.last - LONGEST_SPAN) / 2
        return start, LONGEST_SPAN, ("No motion of a body was found; the middle is taken.",)
    start = _most(middles, speeds, info.last)
    note = (
        f"The {LONGEST_SPAN} s with most body motion were chosen, from {start:.2f} s; "
        "another start can be given."
    )
    return start, LONGEST_SPAN, (note,)


def _looks(info: VideoInfo) -> list[float]:
    """Times to look at, rising."""
    if info.last <= _EVEN_UP_TO:
        count = min(_LOOKS, max(2, info.frames))
        return [float(time) for time in np.linspace(0, info.last, count)]
    firsts = np.linspace(0, info.last - _PAIR, _LOOKS // 2)
    return [float(time) for first in firsts for time in (first, first + _PAIR)]


def _motion(times: np.ndarray, xy: Float, score: Float) -> tuple[np.ndarray, np.ndarray]:
    """Speed of the body between neighbouring looks at most 0.3 s apart, and when."""
    trusted = score >= CONFIDENT_SCORE
    size = np.linalg.norm(xy.max(1) - xy.min(1), axis=-1)
    middles, speeds = [], []
    for index in range(len(times) - 1):
        gap = times[index + 1] - times[index]
        both = trusted[index] & trusted[index + 1]
        if gap > 0.3 or both.sum() < 6 or not both[0]:
            continue
        scale = max(size[index], size[index + 1]) * gap
        moved = xy[index + 1] - xy[index]
        limbs = np.linalg.norm(moved - moved[0], axis=-1)[both].mean()
        speeds.append((limbs + 0.3 * np.linalg.norm(moved[0])) / scale)
        middles.append((times[index] + times[index + 1]) / 2)
    cap = np.quantile(speeds, 0.9) if speeds else 0.0  # one wrong detection must not win
    return np.array(middles), np.minimum(speeds, cap)


def _most(middles: np.ndarray, speeds: np.ndarray, last: float) -> float:
    """Start of the span with most motion; ties go to the middle of the clip."""
    starts = np.linspace(0, last - LONGEST_SPAN, 101)
    means = np.full(len(starts), -1.0)
    for index, start in enumerate(starts):
        inside = (middles >= start) & (middles <= start + LONGEST_SPAN)
        if inside.any():
            means[index] = speeds[inside].mean() * min(1.0, inside.sum() / 2)
    ties = np.flatnonzero(means >= (1 - _TIE) * means.max())
    return float(starts[ties[np.argmin(np.abs(starts[ties] - (last - LONGEST_SPAN) / 2))]])
