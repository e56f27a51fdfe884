"""Encode clips so that their files differ in the picture alone.

One size, pixel format and x264 setting for all, one frame rate and number of frames for all clips
of an item; no sound, no metadata. What x264 decides by the content is switched off where a header
would show it (B-frames, scene cuts). Every frame is padded to the size of the largest frame at its
place in any clip, so that sample tables, boxes and files are the same to the byte outside the coded
picture.

Design choice: the padding is an SEI message of user data in each frame, which decoders skip.
A `free` box at the end alone would make files equally long too, but its own length, the table of
sample sizes and the length of `mdat` would still tell a noisy method from a smooth one.
"""

import io
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from study.errors import StimuliError

Frames = NDArray[np.uint8]
"""RGB, (frames, height, width, 3)."""

ACCEPTED = "give an mp4, mov, mkv, webm or gif with at least 2 frames"

_START = re.compile(rb"\x00\x00\x00\x01|\x00\x00\x01")
_SMALLEST_PADDING = 24  # bytes of an SEI unit that holds 16 bytes of user data
_PICTURE = b"\x01\x05"  # types of coded pictures that we write: P slice, IDR slice


@dataclass(frozen=True)
class Form:
    """What all clips of an item have in common.

    Attributes:
        width: pixels, even.
        height: as `width`.
        frames: how many.
        rate: frames per second.
        crf: x264's quality.
    """

    width: int
    height: int
    frames: int
    rate: Fraction
    crf: int = 16

    @property
    def seconds(self) -> float:
        """Duration of a clip."""
        return float(self.frames / self.rate)


@dataclass(frozen=True)
class Measure:
    """Properties of a video file, found by decoding it.

    Attributes:
        seconds: from its first frame to the end of its last.
        fps: frames per second on average.
        frames: how many can be decoded.
        width: pixels as shown (turned, with square pixels).
        height: as `width`.
    """

    seconds: float
    fps: float
    frames: int
    width: int
    height: int


def measure(path: Path) -> Measure:
    """Decode a whole file and measure it.

    Raises:
        StimuliError: it is missing, no video, damaged, or has fewer than 2 frames.
    """
    times = []
    size = (0, 0)
    for time, frame, (width, height) in _decoded(path):
        times.append(time)
        size = (height, width) if frame.rotation % 180 else (width, height)
    if len(times) < 2:
        raise StimuliError([f"{path.name} has {len(times)} frames; {ACCEPTED}."])
    gap = (times[-1] - times[0]) / (len(times) - 1)
    if gap <= 0:
        raise StimuliError([f"{path.name} has frames without times; {ACCEPTED}."])
    return Measure(times[-1] - times[0] + gap, 1 / gap, len(times), *size)


def read_frames(path: Path, form: Form, begin: float = 0.0) -> Frames:
    """The frames of a file at a common frame rate and size.

    Each frame is the one that the file shows in the middle of its interval; after the end of the
    file its last frame is repeated. Pictures of another shape get black bars.

    Args:
        path: a video.
        form: what its frames are to be like.
        begin: seconds from its first frame.

    Raises:
        StimuliError: as in `measure`.
    """
    wanted = [begin + (each + 0.5) / float(form.rate) for each in range(form.frames)]
    taken: list[Frames] = []
    before: tuple[VideoFrame, tuple[int, int]] | None = None
    start = 0.0
    for number, (time, frame, size) in enumerate(_decoded(path)):
        start = time if number == 0 else start
        while before and len(taken) < len(wanted) and time - start > wanted[len(taken)] + 1e-4:
            taken.append(_fitted(*before, form))
        before = (frame, size)
        if len(taken) == len(wanted):
            break
    if before is None:
        raise StimuliError([f"{path.name} has no frame; {ACCEPTED}."])
    while len(taken) < len(wanted):
        taken.append(_fitted(*before, form))
    return np.stack(taken)


def encode(frames: Frames, form: Form) -> tuple[bytes, ...]:
    """H.264 of a clip, one access unit for each frame; the same frames give the same bytes."""
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        stream = _stream(container, form)
        units = []
        for number, picture in enumerate(frames):
            frame = VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, 1 / form.rate
            units += [bytes(packet) for packet in stream.encode(frame)]
        units += [bytes(packet) for packet in stream.encode()]
    return tuple(_pictures(unit) for unit in units)


def common_sizes(clips: Sequence[tuple[bytes, ...]]) -> tuple[int, ...]:
    """For each place, the bytes to which the frames of all clips are padded."""
    return tuple(max(map(len, units)) + _SMALLEST_PADDING for units in zip(*clips, strict=True))


def write_mp4(path: Path, units: Sequence[bytes], sizes: Sequence[int], form: Form) -> None:
    """Write access units of `encode`, padded to `common_sizes`, header first."""
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = _stream(container, form)
        container.start_encoding()
        for number, (unit, size) in enumerate(zip(units, sizes, strict=True)):
            packet = av.Packet(_padding(size - len(unit)) + unit)
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.time_base = 1 / form.rate
            packet.is_keyframe = number == 0
            packet.stream = stream
            container.mux(packet)


def make_equally_long(paths: Sequence[Path]) -> None:
    """Bring files to one length with a `free` box at the end of each.

    Clips of one item are equally long already; between items the length of the box may differ.
    """
    longest = max(path.stat().st_size for path in paths) + 8
    for path in paths:
        box = longest - path.stat().st_size
        with path.open("ab") as file:
            file.write(box.to_bytes(4, "big") + b"free" + bytes(box - 8))


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write one RGB picture (height, width, 3) as a JPEG without metadata."""
    codec = av.CodecContext.create("mjpeg", "w")
    codec.height, codec.width = picture.shape[:2]
    codec.pix_fmt, codec.time_base = "yuvj420p", Fraction(1)
    codec.flags |= av.codec.context.Flags.bitexact | av.codec.context.Flags.qscale
    codec.options = {"qmin": "2", "qmax": "2"}
    frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
    path.write_bytes(b"".join(bytes(each) for each in [*codec.encode(frame), *codec.encode()]))


def _stream(container: av.container.OutputContainer, form: Form) -> VideoStream:
    stream = container.add_stream(
        "libx264",
        rate=form.rate,
        options={
            "crf": str(form.crf),
            "preset": "medium",
            # With mbtree x264 encodes the same frames differently from run to run; B-frames and
            # scene cuts would show in the tables of frame times and key frames.
            "x264-params": "mbtree=0:bframes=0:scenecut=0:keyint=infinite:threads=1",
        },
    )
    assert isinstance(stream, VideoStream)  # noqa: S101  (for the type checker)
    stream.width, stream.height, stream.pix_fmt = form.width, form.height, "yuv420p"
    return stream


def _pictures(unit: bytes) -> bytes:
    """An access unit's coded picture alone, each part with a start code of four bytes.

    The encoder's own remarks (x264 writes its settings into the first frame) are left out.
    """
    parts = [part for part in _START.split(unit) if part and part[0] & 31 in _PICTURE]
    return b"".join(b"\x00\x00\x00\x01" + part.rstrip(b"\x00") for part in parts)


def _padding(size: int) -> bytes:
    """A unit of user data of an exact size, random so that it does not compress either.

    H.264 Annex D, user_data_unregistered: type 5, length in steps of 255, 16 bytes of identifier.
    Byte counts do not tell how much is padding: the random part omits 255, and the length field
    contains as many as a random part of its size would. No two bytes of 0 follow each other, so
    that no start code can occur.
    """
    for data in (size - 8 - size // 256, size - 7 - size // 256):
        if 8 + data + data // 255 == size:
            break
    else:  # a length that needs one more byte of length than it has: take two units
        return _padding(_SMALLEST_PADDING) + _padding(size - _SMALLEST_PADDING)
    content = secrets.token_bytes(2 * data + 64).replace(b"\xff", b"")[:data]
    content = content.replace(b"\x00\x00", b"\x00\x01")
    length = b"\xff" * (data // 255) + bytes([data % 255])
    return b"\x00\x00\x00\x01\x06\x05" + length + content + b"\x80"


def _decoded(path: Path) -> Iterator[tuple[float, VideoFrame, tuple[int, int]]]:
    """Time in seconds, frame, and its width and height with square pixels, before turning."""
    if not path.is_file():
        raise StimuliError([f"{path} does not exist; {ACCEPTED}."])
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise StimuliError([f"{path.name} holds no video; {ACCEPTED}."])
            stream = container.streams.video[0]
            aspect = float(stream.sample_aspect_ratio or 1) or 1.0
            rate = float(stream.average_rate or 25)
            for number, frame in enumerate(container.decode(stream)):
                time = frame.time if frame.time is not None else number / rate
                yield time, frame, (max(1, round(frame.width * aspect)), frame.height)
    except (av.FFmpegError, OSError) as error:
        raise StimuliError(
            [f"{path.name} cannot be decoded, it is damaged; {ACCEPTED}."]
        ) from error


def _fitted(frame: VideoFrame, size: tuple[int, int], form: Form) -> Frames:
    """One frame in the middle of the common picture, as large as fits."""
    turned = frame.rotation % 180 != 0
    width, height = reversed(size) if turned else size
    scale = min(form.width / width, form.height / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    stored = inner[::-1] if turned else inner
    pixels = frame.to_ndarray(
        format="rgb24", width=stored[0], height=stored[1], interpolation="BICUBIC"
    )
    picture = np.zeros((form.height, form.width, 3), np.uint8)
    top, left = (form.height - inner[1]) // 2, (form.width - inner[0]) // 2
    picture[top : top + inner[1], left : left + inner[0]] = np.rot90(
        pixels, round(frame.rotation / 90) % 4
    )
    return picture
