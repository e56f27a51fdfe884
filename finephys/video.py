"""Files <-> VideoClip: what a file holds, 16 frames of a span, and mp4 that browsers play.

Every fact about a file comes from decoding it, never from its name. Time zero is the first frame.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from scipy.optimize import linear_sum_assignment

from finephys.errors import ClipError, StoppedError
from finephys.files import whole_file
from finephys.skeleton import FRAMES
from finephys.types import Bytes, VideoClip

LONGEST_SPAN = 2.5
"""Seconds that 16 frames cover without a warning: beyond it a somersault falls between frames."""

MAX_SIDE = 1280
"""Pixels of the longer side kept when reading; larger frames are scaled down, 8K included."""

_LONG_SPAN_NOTE = (
    f"The span of {{span:.1f}} s is longer than {LONGEST_SPAN} s: {{count}} frames are then too "
    "far apart for fast movements and the physics is less certain."
)
_ACCEPTED = "give an mp4, mov, mkv, webm or gif with at least 2 frames"
_LARGE_FRAME = 3840 * 2160  # above this frames are decoded one by one, which bounds memory
_BLIND_SEEK = 5.0  # seconds ahead worth a seek in files without an index of key frames


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds, found by decoding its first frames.

    Attributes:
        path: the file.
        duration: seconds from the first frame to the end of the last.
        fps: frames per second on average.
        width: stored pixels after rotation.
        height: as `width`.
        rotation: degrees counter-clockwise that a player turns the stored frames: 0, 90, 180, 270.
        frames: number of frames; an estimate where the file does not say.
        offset: the file's own time stamp of the first frame, seconds.
        aspect: width of a stored pixel over its height, before rotation; 1 for square pixels.
    """

    path: Path
    duration: float
    fps: float
    width: int
    height: int
    rotation: int
    frames: int
    offset: float = 0.0
    aspect: float = 1.0

    @property
    def last(self) -> float:
        """Seconds at which the last frame begins."""
        return max(self.duration - 1 / self.fps, 0.0)


def probe(path: Path) -> VideoInfo:
    """Say what a video file holds; decodes two frames, whatever the length of the file.

    Args:
        path: any file.

    Raises:
        ClipError: the file is missing, empty, not a video, damaged from the start or one picture.
    """
    path = Path(path)
    if not path.is_file():
        raise ClipError(f"{path} is not a file; {_ACCEPTED}.")
    if path.stat().st_size == 0:
        raise ClipError(f"{path.name} is empty (0 bytes); {_ACCEPTED}.")
    with _open(path) as (container, stream):
        first: list[VideoFrame] = []
        for frame in _decode(container, stream):
            first.append(frame)
            if len(first) == 2:
                break
        if not first:
            raise ClipError(f"no frame of {path.name} can be decoded, it is damaged; {_ACCEPTED}.")
        if len(first) == 1:
            raise ClipError(
                f"{path.name} has only one frame, a body in motion needs more; {_ACCEPTED}."
            )
        begin = first[0].time or 0.0
        rate = stream.average_rate or stream.guessed_rate
        gap = (first[1].time or 0.0) - begin
        fps = float(rate) if rate else 1 / gap if gap > 0 else 25.0
        duration = _duration(container, stream, fps)
        turn = round(first[0].rotation / 90) * 90 % 360
        width, height = first[0].width, first[0].height
    return VideoInfo(
        path=path,
        duration=duration,
        fps=fps,
        width=height if turn % 180 else width,
        height=width if turn % 180 else height,
        rotation=turn,
        frames=stream.frames or max(2, round(duration * fps)),
        offset=begin,
        aspect=float(stream.sample_aspect_ratio or 1) or 1.0,
    )


def read_span(
    path: Path,
    start: float,
    span: float,
    count: int = FRAMES,
    max_side: int = MAX_SIDE,
    stop: Callable[[], bool] | None = None,
) -> VideoClip:
    """Take frames evenly from a span of a file, decoding little more than that span.

    Design choice: where a whole number of the file's frames fits (giving up at most a tenth of the
    span) that spacing is used, so that the frames are exactly even in time, as physics wants it.
    Elsewhere each frame is the one nearest to its even time and `frame_times` says the true times.
    No frame is taken twice: a span with fewer than `count` frames gives those it has.

    Args:
        path: a video file.
        start: seconds from the first frame of the file.
        span: seconds from the first to the last frame taken; cut where the file ends.
        count: frames wanted, at least 2.
        max_side: longer side in pixels; larger frames are scaled down (see `VideoClip.to_file`).
        stop: asked between frames; True ends the reading.

    Raises:
        ClipError: unreadable file, start outside it, or fewer than 2 frames in the span.
        StoppedError: `stop` said so.
    """
    info = probe(path)
    if not (math.isfinite(start) and 0 <= start < info.duration):
        raise ClipError(
            f"start is {start:g} s but {info.path.name} lasts {info.duration:.2f} s; "
            f"choose a start from 0 to {info.last:.2f} s."
        )
    if not (math.isfinite(span) and span > 0):
        raise ClipError(
            f"span is {span:g} s; choose more than 0 s, at most {LONGEST_SPAN} s is best."
        )
    notes = [_LONG_SPAN_NOTE.format(span=span, count=count)] if span > LONGEST_SPAN * 1.01 else []
    if start + span > info.duration + 0.05:
        notes.append(
            f"The clip ends {info.duration - start:.2f} s after the start; the span ends there."
        )
    wanted = _even(_frame_times(info, start, start + span), count)
    times, frames, damaged = read_frames(info, wanted, max_side, stop)
    if len(frames) < 2:
        raise ClipError(
            f"{info.path.name} has {len(frames)} frames that can be decoded from {start:.2f} to "
            f"{start + span:.2f} s and 2 are needed; choose another start or a longer span."
        )
    if damaged:
        notes.append("Part of the file is damaged; frames that cannot be decoded were left out.")
    if len(frames) < count:
        notes.append(
            f"Only {len(frames)} different frames lie in these {times[-1] - times[0]:.2f} s; poses "
            "between them are interpolated and marked."
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
    )


def read_frames(
    info: VideoInfo,
    wanted: Sequence[float],
    max_side: int = MAX_SIDE,
    stop: Callable[[], bool] | None = None,
) -> tuple[list[float], list[Bytes], bool]:
    """Decode the frames nearest to some times, each at most once.

    Seeks wherever a key frame lies between the last frame decoded and the next one wanted.

    Args:
        info: of the file, from `probe`.
        wanted: rising times in seconds.
        max_side: longer side in pixels.
        stop: asked for every decoded frame; True ends the reading.

    Returns:
        Their times in seconds, the frames as uint8 (H, W, 3) RGB as shown, and whether something
        could not be decoded.

    Raises:
        ClipError, StoppedError: the file cannot be opened; `stop` said so.
    """
    times: list[float] = []
    pictures: list[Bytes] = []
    damage: list[str] = []

    def take(time: float, frame: VideoFrame) -> None:
        if not times or time > times[-1] + 1e-6:
            times.append(time)
            pictures.append(_picture(frame, info, max_side))

    with _open(info.path) as (container, stream):
        keys = _key_times(stream, info.offset)
        before: tuple[float, VideoFrame] | None = None
        left = list(wanted)
        while left:
            if _worth_seeking(keys, before[0] if before else 0.0, left[0]):
                _seek(container, stream, left[0] + info.offset)
                before = None
            jumped = False
            for frame in _decode(container, stream, damage):
                if stop is not None and stop():
                    raise StoppedError("Stopped while reading the clip; nothing was written.")
                time = (frame.time or 0.0) - info.offset
                while left and time >= left[0]:
                    near = before is not None and left[0] - before[0] < time - left[0]
                    take(*(before if before is not None and near else (time, frame)))
                    left.pop(0)
                before = (time, frame)
                if not left or _worth_seeking(keys, time, left[0]):
                    jumped = bool(left)
                    break
            if not jumped:
                break
        if left and before is not None:
            take(*before)
    return times, pictures, bool(damage)


def write_video(path: Path, clip: VideoClip) -> None:
    """Write a clip as H.264 mp4 (yuv420p, header first) that browsers play, whole or not at all.

    Args:
        path: where; the folder is made. Odd sizes grow by one pixel, as H.264 wants even ones.
        clip: at any frame rate.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    width, height = clip.size
    frames = np.pad(clip.frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with whole_file(path) as partial:
        try:
            with av.open(
                str(partial), "w", format="mp4", options={"movflags": "+faststart"}
            ) as container:
                stream = container.add_stream(
                    "libx264",
                    rate=Fraction(clip.fps).limit_denominator(10_000),
                    # With mbtree x264 encodes the same frames differently from run to run.
                    options={"crf": "17", "preset": "veryfast", "x264-params": "mbtree=0"},
                )
                stream.width, stream.height, stream.pix_fmt = (
                    width + width % 2,
                    len(frames[0]),
                    "yuv420p",
                )
                for picture in frames:
                    container.mux(stream.encode(VideoFrame.from_ndarray(picture, format="rgb24")))
                container.mux(stream.encode())
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


def _frame_times(info: VideoInfo, start: float, end: float) -> list[float]:
    """Times of all frames of a span, half a frame more at either end, without decoding any."""
    half = min(0.5 / info.fps, 0.05)
    times = set()
    with _open(info.path) as (container, stream):
        if start > 0:
            _seek(container, stream, start + info.offset)
        for packet in _packets(container, stream, []):
            if packet.pts is None or packet.dts is None:
                continue
            time = float(packet.pts * packet.time_base) - info.offset
            if max(start - half, -1e-3) <= time <= end + half:
                times.add(time)
            if float(packet.dts * packet.time_base) - info.offset > end + 1:
                break
    if times:
        return sorted(times)
    first, last = (math.ceil(edge * info.fps - 0.5) for edge in (start, end))  # no time stamps
    return [index / info.fps for index in range(first, last + 1)]


def _even(times: list[float], count: int) -> list[float]:
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


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file at its first real video stream (a cover picture of a song is none)."""
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise ClipError(f"{path.name} is not a video or is damaged; {_ACCEPTED}.") from error
    with container:
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & stream.disposition.attached_pic
            and stream.codec_context is not None  # a codec that nobody knows
        ]
        if not streams:
            raise ClipError(f"{path.name} holds no video stream; {_ACCEPTED}.")
        stream = streams[0]
        large = stream.codec_context.width * stream.codec_context.height > _LARGE_FRAME
        stream.thread_type = "SLICE" if large else "AUTO"
        yield container, stream


def _decode(
    container: InputContainer, stream: VideoStream, damage: list[str] | None = None
) -> Iterator[VideoFrame]:
    """Frames of a stream from where it stands, going on after packets that cannot be decoded."""
    damage = [] if damage is None else damage
    for packet in _packets(container, stream, damage):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            damage.append(str(error))
            continue
        for frame in frames:
            if frame.is_corrupt:
                damage.append("corrupt frame")
            else:
                yield frame


def _packets(
    container: InputContainer, stream: VideoStream, damage: list[str]
) -> Iterator[av.Packet]:
    """Packets of a stream from where it stands up to its end or damage that cannot be passed."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError as error:
        damage.append(str(error))


def _duration(container: InputContainer, stream: VideoStream, fps: float) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return float(container.duration) / 1_000_000
    last = 0.0  # files written live say no duration: walk over the packets without decoding
    for packet in container.demux(stream):
        if packet.pts is not None and packet.time_base is not None:
            last = max(last, float(packet.pts * packet.time_base))
    return last + 1 / fps


def _picture(frame: VideoFrame, info: VideoInfo, max_side: int) -> Bytes:
    """RGB with square pixels as shown: scaled while converting, then turned."""
    width = frame.width * info.aspect
    shrink = min(1.0, max_side / max(width, frame.height))
    size = max(1, round(width * shrink)), max(1, round(frame.height * shrink))
    pixels = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    return np.ascontiguousarray(np.rot90(pixels, info.rotation // 90))


def _key_times(stream: VideoStream, offset: float) -> list[float]:
    base = float(stream.time_base or 0)
    return [entry.timestamp * base - offset for entry in stream.index_entries if entry.is_keyframe]


def _worth_seeking(keys: list[float], now: float, wanted: float) -> bool:
    """Whether a seek skips frames that nobody wants."""
    if not keys:
        return wanted - now > _BLIND_SEEK
    margin = 0.1  # index times are decoding times, a little before the times shown
    return any(now + margin < key < wanted - margin for key in keys)


def _seek(container: InputContainer, stream: VideoStream, seconds: float) -> None:
    base = stream.time_base or Fraction(1, 1000)
    container.seek(int(seconds / base), stream=stream, backward=True)
