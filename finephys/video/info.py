"""What a video file says about itself: size, orientation, frame rates."""

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

from finephys.types import Bytes

LONGEST_SPAN = 2.5
"""Seconds that 16 frames cover without a warning: beyond it a somersault falls between frames."""

MAX_SIDE = 1280
"""Pixels of the longer side kept when reading; larger frames are scaled down, 8K included."""

_CAPTURE_RATE = re.compile(r"capture[ ._-]?(fps|(frame)?[ ._-]?rate)$", re.IGNORECASE)
_FASTEST_CAPTURE = 100_000.0  # frames a second; a larger number in the metadata is not a rate
_SAME_RATE = 0.05  # share by which capture and playback rate may differ at real speed
_HIGH_RATE = 90.0  # frames a second from which phones call a recording slow motion


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which a player may show the stored pixels upright.

    Attributes:
        transposed: rows become columns; applied before the flips.
        flip_x: left and right are exchanged.
        flip_y: top and bottom are exchanged.
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """Read the orientation that comes with a decoded frame."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if not isinstance(data, SideData):
            return cls()
        matrix = array("i")
        matrix.frombytes(bytes(data))
        return cls.from_matrix(matrix)

    @classmethod
    def from_matrix(cls, matrix: Sequence[int]) -> "Orientation":
        """Take the orientation nearest to a display matrix.

        Args:
            matrix: FFmpeg's nine numbers a b u c d v x y w: a stored pixel (p, q) is shown at
                (a p + c q, b p + d q) up to scale and shift, y down.
        """
        a, b, _, c, d, *_ = matrix
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, flip_x=c < 0, flip_y=b < 0)
        return cls(False, flip_x=a < 0, flip_y=d < 0)

    def apply(self, pixels: Bytes) -> Bytes:
        """Turn stored pixels (H, W, 3) into pixels as shown."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        step_y, step_x = (-1 if flip else 1 for flip in (self.flip_y, self.flip_x))
        return np.ascontiguousarray(pixels[::step_y, ::step_x])


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds, from its packets and first frames.

    Attributes:
        path: the file.
        duration: seconds from the first frame to the end of the last one that is in the file.
        fps: frames per second on average.
        width: stored pixels, as oriented for display.
        height: as `width`.
        frames: number of frames; an estimate where the file does not say.
        orientation: how the stored pixels are shown.
        offset: the file's own time stamp of the first frame, seconds.
        aspect: width of a stored pixel over its height, before orientation; 1 for square pixels.
        stamped: whether frames have time stamps; if not, their times are counted at `fps`.
        recorded_fps: frames per second when recording, where the file's metadata says so.
        from_apple: whether an Apple device or program wrote the metadata.
        notes: sentences for the user about the file as a whole.
    """

    path: Path
    duration: float
    fps: float
    width: int
    height: int
    frames: int
    orientation: Orientation = Orientation()
    offset: float = 0.0
    aspect: float = 1.0
    stamped: bool = True
    recorded_fps: float | None = None
    from_apple: bool = False
    notes: tuple[str, ...] = ()

    @property
    def last(self) -> float:
        """Seconds at which the last frame begins."""
        return max(self.duration - 1 / self.fps, 0.0)

    @property
    def real_speed(self) -> float:
        """How many times faster than the file the motion was, by the file's mark; 1 without one."""
        if self.recorded_fps is None or abs(self.recorded_fps / self.fps - 1) < _SAME_RATE:
            return 1.0
        return self.recorded_fps / self.fps


def recorded_rate(metadata: Mapping[str, str]) -> float | None:
    """Frames per second when recording, from metadata such as com.android.capture.fps.

    Args:
        metadata: of the container or the video stream; Matroska writes its keys in capitals.
    """
    for key, value in metadata.items():
        if _CAPTURE_RATE.search(key):
            try:
                rate = float(Fraction(value.split()[0]))
            except (ValueError, IndexError, ZeroDivisionError):
                continue  # not a number: no statement about the rate
            if 0 < rate <= _FASTEST_CAPTURE:
                return rate
    return None


def speed_note(info: VideoInfo) -> str | None:
    """Name the real speed of a recording that is slowed down or may seem so; None for others."""
    speed = info.real_speed
    if speed != 1:
        kind = "in slow motion" if speed > 1 else "as a time lapse"
        return (
            f"The file says it was recorded {kind}, at {info.recorded_fps:g} frames a second, and "
            f"plays at {info.fps:.4g}: give the real speed {speed:.3g} (--real-speed {speed:.3g}, "
            "or the page's field Real speed), or falls and speeds come out wrong."
        )
    if info.from_apple and info.fps >= _HIGH_RATE:
        # Photos shows such a file slowed down by an edit kept outside it; its stamps are real.
        return (
            f"The file was recorded in slow motion at {info.fps:.4g} frames a second, and its time "
            "stamps are real: keep the real speed 1 (--real-speed 1) though a phone may show it "
            "slowed down."
        )
    return None
