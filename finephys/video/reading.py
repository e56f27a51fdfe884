"""Frames of a span of a file, as a VideoClip at their true times."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from scipy.optimize import linear_sum_assignment

from finephys.errors import ClipError
from finephys.skeleton import FRAMES
from finephys.types import Bytes, VideoClip
from finephys.video.file import VideoFile
from finephys.video.info import LONGEST_SPAN, MAX_SIDE, VideoInfo
from finephys.video.repeats import LONGEST_HOLD, ChangeMeter, capture_times, repeated

_LONG_SPAN_NOTE = (
    f"The span of {{span:.1f}} s is longer than {LONGEST_SPAN} s: {{count}} frames are then too "
    "far apart for fast movements and the physics is less certain."
)


def read_span(
    source: Path | VideoFile,
    start: float,
    span: float,
    count: int = FRAMES,
    max_side: int = MAX_SIDE,
    stop: Callable[[], bool] | None = None,
    keep_repeats: bool = False,
) -> VideoClip:
    """Take frames evenly from a span of a file, decoding little more than that span.

    Design choice: where a whole number of the file's frames fits (giving up at most a tenth of the
    span) that spacing is used, so that the frames are exactly even in time, as physics wants it.
    Elsewhere each frame is the one nearest to its even time and `frame_times` gives the true times.
    No picture is taken twice, neither the same frame nor a repeat of it under another time stamp
    (see `repeats`): a span with fewer than `count` different frames gives those it has.

    Args:
        source: a video file.
        start: seconds from the first frame of the file.
        span: seconds from the first to the last frame taken; cut where the file ends.
        count: frames wanted, at least 2.
        max_side: longer side in pixels; larger frames are scaled down (see `VideoClip.to_file`).
        stop: called for every frame; True ends the reading.
        keep_repeats: take repeated frames like any other.

    Raises:
        ClipError: unreadable file, start outside it, or fewer than 2 frames in the span.
        StoppedError: `stop` returned True.
    """
    with _opened(source) as file:
        info = file.info
        if not (math.isfinite(start) and 0 <= start < info.duration):
            raise ClipError(
                f"start is {start:g} s but {file.name} lasts {info.duration:.2f} s; "
                f"choose a start from 0 to {info.last:.2f} s."
            )
        if not (math.isfinite(span) and span > 0):
            raise ClipError(
                f"span is {span:g} s; choose more than 0 s, at most {LONGEST_SPAN} s is best."
            )
        end = start + span
        damaged_before = len(file.damage)
        wanted = even_times(file.times(start, end), count)
        repeats = 0
        # Frames further apart than a hold are different whatever lies between them.
        if keep_repeats or span / max(count - 1, 1) > LONGEST_HOLD:
            times, frames = read_frames(file, wanted, max_side, stop)
        else:
            times, frames, repeats = _different(file, (start, end), wanted, count, max_side, stop)
    if len(frames) < 2:
        raise ClipError(
            f"{file.name} has {len(frames)} different frames that can be decoded from {start:.2f} "
            f"to {end:.2f} s and 2 are needed; choose another start or a longer span."
        )
    notes = list(info.notes)
    if span > LONGEST_SPAN * 1.01:
        notes.append(_LONG_SPAN_NOTE.format(span=span, count=count))
    if end > info.duration + 0.05:
        notes.append(
            f"The clip ends {info.duration - start:.2f} s after the start; the span ends there."
        )
    if len(file.damage) > damaged_before:
        notes.append("Part of the file is damaged; frames that cannot be decoded were left out.")
    if repeats:
        notes.append(
            f"{repeats} of the span's frames only repeat the picture before them and were left out."
        )
    if len(frames) < count:
        notes.append(
            f"There are only {len(frames)} different frames in these {times[-1] - times[0]:.2f} s; "
            "poses between them are interpolated and marked."
        )
    even = np.linspace(times[0], times[-1], len(times))
    uneven = bool(np.abs(even - times).max() > 0.02 * (even[1] - even[0]))
    height, width = frames[0].shape[:2]
    return VideoClip(
        frames=np.stack(frames),
        fps=(len(times) - 1) / (times[-1] - times[0]),
        start=times[0],
        notes=tuple(notes),
        frame_times=np.array(times, np.float32) if uneven else None,
        to_file=(info.width / width, info.height / height),
        real_speed=info.real_speed,
    )


def read_frames(
    file: VideoFile,
    wanted: Sequence[float],
    max_side: int = MAX_SIDE,
    stop: Callable[[], bool] | None = None,
) -> tuple[list[float], list[Bytes]]:
    """Decode the frames nearest to some times, each at most once.

    Seeks wherever a key frame lies between the last frame decoded and the next one wanted.

    Args:
        file: the video.
        wanted: rising times in seconds.
        max_side: longer side in pixels.
        stop: called for every decoded frame; True ends the reading.

    Returns:
        Their times in seconds, and the frames as uint8 (H, W, 3) RGB as shown.

    Raises:
        StoppedError: `stop` returned True.
    """
    nearest = _Nearest(file.info, wanted, max_side)
    reached = -math.inf
    while nearest.left:
        for time, frame in file.frames(nearest.left[0], stop):
            nearest.offer(time, frame)
            # A seek that led no further than the last one is not tried again.
            if not nearest.left or (time > reached and file.skips(time, nearest.left[0])):
                reached = max(reached, time)
                nearest.forget()
                break
        else:
            break
    return nearest.finish()


def even_times(times: list[float], count: int) -> list[float]:
    """`count` of some frame times, as even as can be (see `read_span`); all if there are fewer."""
    if len(times) <= count:
        return times
    stride = (len(times) - 1) // (count - 1)
    gaps = np.diff(times)
    if stride * (count - 1) >= 0.9 * (len(times) - 1) and gaps.max() < 1.5 * gaps.min():
        return times[: stride * (count - 1) + 1 : stride]
    targets = np.linspace(times[0], times[-1], count)
    away = (targets[:, None] - np.array(times)) ** 2
    _, chosen = linear_sum_assignment(away)  # the nearest, but none for two
    return [times[index] for index in np.sort(chosen)]


def _different(
    file: VideoFile,
    span: tuple[float, float],
    wanted: list[float],
    count: int,
    max_side: int,
    stop: Callable[[], bool] | None,
) -> tuple[list[float], list[Bytes], int]:
    """Take frames of a span that do not repeat each other.

    All frames of the span are decoded and compared, and those at `wanted` kept on the way; only if
    repeats, or times that the packets did not tell, change the choice is the span decoded again.

    Returns:
        As `read_frames`, and the number of repeats in the span.
    """
    half = min(0.5 / file.info.fps, 0.05)
    begin, end = span[0] - half, span[1] + half
    nearest = _Nearest(file.info, wanted, max_side)
    meter = ChangeMeter()
    times, changes = [], []
    # From a little before the span: its first frame may repeat a picture shown there.
    for time, frame in file.frames(max(span[0] - LONGEST_HOLD, 0.0), stop):
        nearest.offer(time, frame)
        if begin - LONGEST_HOLD <= time <= end:
            times.append(time)
            changes.append(meter.change(frame))
        elif time > span[1] and not nearest.left:
            break
    inside = np.array(times) >= begin
    repeats = repeated(np.array(times), np.array(changes)) & inside
    different = [times[index] for index in np.flatnonzero(inside & ~repeats)]
    captured = capture_times(different, 1 / file.info.fps) if repeats.any() else different
    shown_at = dict(zip(captured, different, strict=True))
    chosen = even_times(captured, count)
    taken, frames = nearest.finish()
    if [shown_at[time] for time in chosen] != taken:
        taken, frames = read_frames(file, [shown_at[time] for time in chosen], max_side, stop)
    captured_at = dict(zip(different, captured, strict=True))
    return [captured_at.get(time, time) for time in taken], frames, int(repeats.sum())


class _Nearest:
    """Keeps the frames nearest to some times, each once, from frames offered in order.

    Attributes:
        left: times not yet served.

    Args:
        info: of the file.
        wanted: rising times in seconds.
        max_side: longer side in pixels.
    """

    def __init__(self, info: VideoInfo, wanted: Sequence[float], max_side: int) -> None:
        self.left = deque(wanted)
        self._info, self._max_side = info, max_side
        self._before: tuple[float, VideoFrame] | None = None
        self._times: list[float] = []
        self._frames: list[Bytes] = []

    def offer(self, time: float, frame: VideoFrame) -> None:
        """Look at the next frame."""
        while self.left and time >= self.left[0]:
            before = self._before
            if before is not None and self.left[0] - before[0] < time - self.left[0]:
                self._take(*before)
            else:
                self._take(time, frame)
            self.left.popleft()
        self._before = time, frame

    def forget(self) -> None:
        """Forget the last frame: the next one offered is not its neighbour."""
        self._before = None

    def finish(self) -> tuple[list[float], list[Bytes]]:
        """Give what was kept; times past the last frame are served by the last frame."""
        if self.left and self._before is not None:
            self._take(*self._before)
        return self._times, self._frames

    def _take(self, time: float, frame: VideoFrame) -> None:
        if not self._times or time > self._times[-1] + 1e-6:
            self._times.append(time)
            self._frames.append(_pixels(frame, self._info, self._max_side))


@contextmanager
def _opened(source: Path | VideoFile) -> Iterator[VideoFile]:
    """Give the video itself, or open it for as long as it is needed."""
    if isinstance(source, VideoFile):
        yield source
    else:
        with VideoFile(source) as file:
            yield file


def _pixels(frame: VideoFrame, info: VideoInfo, max_side: int) -> Bytes:
    """RGB with square pixels as shown: scaled while converting, then oriented.

    The size is the file's even where a frame has another one, so that all frames fit together.
    """
    height, width = info.height, info.width
    if info.orientation.transposed:
        height, width = width, height
    shrink = min(1.0, max_side / max(width * info.aspect, height))
    pixels: Bytes = frame.to_ndarray(  # type: ignore[assignment]  # rgb24 is uint8
        format="rgb24",
        width=max(1, round(width * info.aspect * shrink)),
        height=max(1, round(height * shrink)),
    )
    return info.orientation.apply(pixels)
