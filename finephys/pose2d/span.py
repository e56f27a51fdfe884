"""Which seconds of a clip the 16 frames come from: by default those with most body motion."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from finephys.errors import ClipError
from finephys.pose2d.protocol import Detector
from finephys.pose2d.zoom import find_person
from finephys.types import CONFIDENT_SCORE, Float
from finephys.video import LONGEST_SPAN, ChangeMeter, VideoFile, read_frames

LONGEST_SEARCHED = 600.0
"""Seconds of a clip that are searched for motion; a longer clip needs a start."""

Seconds = npt.NDArray[np.float64]

_LOOKS = 36  # frames detected in clips that are looked at evenly
_EVEN_UP_TO = _LOOKS * 0.25  # seconds; longer clips are first searched for changes in the picture
_PAIR = 0.125  # seconds between the two frames of a look at motion
_COMPARED = 0.1  # seconds between the frames compared in that search
_EVERY = 0.5  # seconds; with pictures further apart a short action may be missed
_MOST_PIXELS = 4e10  # decoded in that search: 10 min of 1920 x 1080 at 30 a second, about a minute
_PASSAGES = 12  # passages in which the detector looks, at a time
_ROUNDS = 3  # times that many passages, when the first show no person
_PAIRS = 3  # looks at motion in a passage
_SEARCH_SIDE = 480  # pixels of the longer side in the search
_TIE = 0.05  # share of the most motion that a span preferred for another reason may lack


def choose_span(
    file: VideoFile, detector: Detector, stop: Callable[[], bool] | None = None
) -> tuple[float, float, tuple[str, ...]]:
    """Choose at most 2.5 s of a clip, those in which the body moves most.

    Design choice: in clips of up to 9 s the detector looks at 36 small frames, evenly spread.
    Longer ones are decoded whole to compare pictures 0.1 s apart; the detector then looks at the 12
    passages in which the picture changes most, three times each, and at the next 12 where none of
    those shows a person. Motion is the mean speed of the limbs relative to the pelvis plus a part
    of the pelvis's own, in body sizes a second; a frame without a person is left out. Spans within
    5 % of the most motion are ties, won by the most central in short clips, by that with most
    change in long ones.

    Args:
        file: the clip.
        detector: any entry of `DETECTORS`.
        stop: called for every frame; True ends the search.

    Returns:
        start and span in seconds, and sentences for the user.

    Raises:
        ClipError: the clip is too long to search; the text asks for a start.
        StoppedError: `stop` returned True.
    """
    info = file.info
    if info.last <= LONGEST_SPAN:
        return 0.0, info.last, ()
    if info.duration > LONGEST_SEARCHED:
        raise ClipError(
            f"{file.name} lasts {info.duration / 60:.0f} min; up to "
            f"{LONGEST_SEARCHED / 60:.0f} min are searched for the moment of most motion, so give "
            "a start in seconds (--start, or the field beside the clip); only that part is read."
        )
    if info.last <= _EVEN_UP_TO:
        return _of_short_clip(file, detector, stop)
    return _of_long_clip(file, detector, stop)


def _of_short_clip(
    file: VideoFile, detector: Detector, stop: Callable[[], bool] | None
) -> tuple[float, float, tuple[str, ...]]:
    last = file.info.last
    looks = np.linspace(0, last, min(_LOOKS, max(2, file.info.frames)))
    middles, speeds = _speeds(file, looks.tolist(), detector, stop)
    if not len(speeds):
        start = (last - LONGEST_SPAN) / 2
        return (
            start,
            LONGEST_SPAN,
            ("No moving person was detected; the middle of the clip is used.",),
        )
    start = _most(middles, speeds, last)
    note = (
        f"The {LONGEST_SPAN} s with most body motion were chosen, from {start:.2f} s; "
        "another start can be given."
    )
    return start, LONGEST_SPAN, (note,)


def _of_long_clip(
    file: VideoFile, detector: Detector, stop: Callable[[], bool] | None
) -> tuple[float, float, tuple[str, ...]]:
    last = file.info.last
    times, changes = _changes(file, stop)
    gap = float(np.diff(times).max())
    passages = _passages(times, changes, last)
    searched = f"The whole clip was searched, comparing pictures at most {gap:.2g} s apart"
    if gap > _EVERY:
        searched = f"Only pictures up to {gap:.2g} s apart were compared, as the clip is very large"
    looked_at = 0
    for _ in range(_ROUNDS):
        starts = passages[looked_at : looked_at + _PASSAGES]
        if not len(starts):
            break
        looked_at += len(starts)
        looks = [time for start in np.sort(starts) for time in _looks(start, times, changes)]
        middles, speeds = _speeds(file, looks, detector, stop)
        # The median of a passage's looks: one wrong detection must not win.
        motion = [_in_span(middles, speeds, start) for start in starts]
        medians = np.array([np.median(each) if len(each) else -1.0 for each in motion])
        if medians.max() >= 0:
            # Of ties the one with most change: another may hold the action's beginning only.
            start = float(starts[np.argmax(medians >= (1 - _TIE) * medians.max())])
            note = (
                f"{searched}: of the {looked_at} passages in which the picture changes most, the "
                f"{LONGEST_SPAN} s with most body motion were chosen, from {start:.2f} s; another "
                "start can be given."
            )
            return start, LONGEST_SPAN, (note,)
    start = float(passages[0])
    note = (
        f"{searched}: no moving person was detected in the {looked_at} passages in which the "
        f"picture changes most, so that with most change was chosen, from {start:.2f} s; another "
        "start can be given."
    )
    return start, LONGEST_SPAN, (note,)


def _changes(file: VideoFile, stop: Callable[[], bool] | None) -> tuple[Seconds, Seconds]:
    """Times of compared frames, the whole clip over, and how much the picture changed before each.

    Of clips that would take minutes to decode, key frames alone are compared. Single large changes
    are cuts and left out.
    """
    info, meter = file.info, ChangeMeter()
    pixels = info.width * info.height * info.fps * info.duration
    times: list[float] = []
    changes: list[float] = []
    for time, frame in file.frames(0.0, stop, key_frames_only=pixels > _MOST_PIXELS):
        if not times or time - times[-1] >= _COMPARED - 1e-3:
            times.append(time)
            changes.append(meter.change(frame))
    changes[0] = 0.0
    if max(np.diff(times), default=0.0) > _EVERY:  # too far apart to tell a cut from an action
        return np.array(times), np.array(changes)
    padded = np.pad(changes, 1, mode="edge")
    around = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    return np.array(times), around


def _passages(times: Seconds, changes: Seconds, last: float) -> Seconds:
    """Starts of spans that do not overlap, that with most change first, to the whole clip's end."""
    grid = np.arange(0, last - LONGEST_SPAN + 1e-6, _COMPARED)
    total = np.r_[0, np.cumsum(changes)]
    first, behind = np.searchsorted(times, grid), np.searchsorted(times, grid + LONGEST_SPAN)
    inside = total[behind] - total[first]
    starts = []
    free = np.ones(len(grid), np.bool_)
    while free.any():
        most = inside[free].max()
        # Where an action is shorter than the span, the starts that hold all of it are as good:
        # the middle one has the action in its middle.
        best = np.flatnonzero(free & (inside >= 0.98 * most))
        run = best[: np.argmax(np.diff(np.r_[best, len(grid) + 2]) > 1) + 1]
        start = run[len(run) // 2]
        starts.append(grid[start])
        free &= np.abs(grid - grid[start]) >= LONGEST_SPAN
    return np.array(starts)


def _looks(start: float, times: Seconds, changes: Seconds) -> list[float]:
    """Times to look at in a passage: pairs of frames, around the largest changes in it."""
    left = np.flatnonzero((times >= start + _PAIR) & (times <= start + LONGEST_SPAN))
    ends = [] if len(left) else [start + LONGEST_SPAN / 2]
    while len(left) and len(ends) < _PAIRS:
        ends.append(float(times[left[changes[left].argmax()]]))
        left = left[np.abs(times[left] - ends[-1]) >= 2 * _PAIR]
    return [time for end in sorted(ends) for time in (end - _PAIR, end)]


def _speeds(
    file: VideoFile, looks: list[float], detector: Detector, stop: Callable[[], bool] | None
) -> tuple[Seconds, Seconds]:
    """Detect the frames nearest to some times: when the body moved, and how fast.

    Raises:
        ClipError: fewer than 2 frames can be decoded.
    """
    times, frames = read_frames(file, looks, _SEARCH_SIDE, stop)
    if len(frames) < 2:
        raise ClipError(
            f"{file.name} has only {len(frames)} frame that can be decoded; give a clip that "
            "plays throughout."
        )
    spacing = (times[-1] - times[0]) / (len(times) - 1)
    return _motion(np.array(times), *find_person(np.stack(frames), detector, spacing, stop))


def _motion(times: Seconds, xy: Float, score: Float) -> tuple[Seconds, Seconds]:
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
    return np.array(middles), np.array(speeds)


def _in_span(middles: Seconds, speeds: Seconds, start: float) -> Seconds:
    return speeds[(middles >= start) & (middles <= start + LONGEST_SPAN)]


def _most(middles: Seconds, speeds: Seconds, last: float) -> float:
    """Start of the span with most motion; ties go to the middle of the clip."""
    starts = np.linspace(0, last - LONGEST_SPAN, 101)
    speeds = np.minimum(speeds, np.quantile(speeds, 0.9))  # one wrong detection must not win
    motion = [_in_span(middles, speeds, start) for start in starts]
    # A single look counts half: it says little about a whole span.
    means = np.array(
        [each.mean() * min(1.0, len(each) / 2) if len(each) else -1.0 for each in motion]
    )
    ties = np.flatnonzero(means >= (1 - _TIE) * means.max())
    return float(starts[ties[np.argmin(np.abs(starts[ties] - (last - LONGEST_SPAN) / 2))]])
