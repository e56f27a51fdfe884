"""Repeated frames: a file stored at a higher rate than its pictures were taken at."""

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from finephys.types import Bool

LONGEST_HOLD = 0.6
"""Seconds that one picture may be repeated; a longer hold is a scene in which nothing moves."""

_SIDE = 192  # pixels of the longer side when frames are compared: noise averages out
_SHARE = 0.005  # of the pixels, those that change most: a small person moves few of them
_FLOOR = 6.0  # grey levels of change below which nothing is known to move
_JUMP = 4.0  # times by which a change exceeds the repeats beside it; see `repeated`
_CERTAIN = 3  # frames in a run, or runs, that no limb turning back between two frames explains


class ChangeMeter:
    """Measures how much each frame differs from the one shown to it before."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._before: npt.NDArray[np.int16] | None = None

    def change(self, frame: VideoFrame) -> float:
        """Mean change, in grey levels, of the 0.5 % of the pixels that change most.

        The first frame's change is infinite.
        """
        shrink = min(1.0, _SIDE / max(frame.width, frame.height))
        small = self._reformatter.reformat(
            frame,
            width=max(1, round(frame.width * shrink)),
            height=max(1, round(frame.height * shrink)),
            format="gray",
            interpolation="AREA",
        )
        now = small.to_ndarray().astype(np.int16)
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return float("inf")
        away = np.abs(now - before).ravel()
        count = max(1, round(_SHARE * len(away)))
        return float(np.partition(away, -count)[-count:].mean())


def repeated(times: npt.NDArray[np.float64], changes: npt.NDArray[np.float64]) -> Bool:
    """Tell repeats of the frame before from frames of their own.

    Design choice: encoding makes repeats almost but not exactly equal, and a body that stands still
    gives almost equal frames too. But a body comes to rest and sets off gradually, over several
    frames, whereas repeats lie directly between large changes. A run of frames counts as repeats
    where the changes on both sides are at least 4 times any change inside it and it lasts at most
    0.6 s. A limb that swings back may be in one place in two frames: a run of one or two frames
    counts only if there are three runs. A run at either end of the frames, which shows one side
    only, counts if others do.

    Args:
        times: (n,) seconds, rising.
        changes: (n,) of each frame against the one before, from `ChangeMeter`.

    Returns:
        (n,), True for repeats.
    """
    runs, first = [], 1
    while first < len(times):
        last = _run(times, changes, first)
        if last is not None:
            runs.append((first, last))
        first = first + 1 if last is None else last + 1
    inside = [run for run in runs if run[0] > 1 and run[1] < len(times) - 1]
    found = np.zeros(len(times), np.bool_)
    if len(inside) >= _CERTAIN or any(last - first + 1 >= _CERTAIN for first, last in inside):
        for first, last in runs:
            found[first : last + 1] = True
    return found


def capture_times(times: list[float], interval: float) -> list[float]:
    """Times at which pictures were taken, from those at which they are first shown.

    Design choice: film at 24 pictures a second, stored at 30, shows each picture up to 33 ms late.
    Where the pictures come at a regular rate, but for that rounding to stored frames, they are
    taken as evenly spaced; elsewhere the times are kept.

    Args:
        times: seconds at which each picture is first shown, rising.
        interval: seconds between stored frames.
    """
    if len(times) < 2:
        return times
    numbers = np.arange(len(times))
    rate, first = np.polyfit(numbers, times, 1)
    even = first + rate * numbers
    if np.abs(even - times).max() > interval:
        return times
    return [float(time) for time in even - even[0] + times[0]]


def _run(
    times: npt.NDArray[np.float64], changes: npt.NDArray[np.float64], first: int
) -> int | None:
    """Last frame of the run of repeats that begins at `first`; None where none begins."""
    before = changes[first - 1]
    largest, longest = 0.0, None
    for last in range(first, len(times)):
        largest = max(largest, changes[last])
        if before < max(_JUMP * largest, _FLOOR) or times[last] - times[first - 1] > LONGEST_HOLD:
            break
        after = changes[last + 1] if last + 1 < len(times) else np.inf
        if after >= max(_JUMP * largest, _FLOOR):
            longest = last
    return longest
