"""A video file opened once: the stream a player would show, its facts, its frames with times."""

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Self

import av
from av.format import Flags
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from finephys.errors import ClipError, StoppedError
from finephys.video import packets
from finephys.video.info import Orientation, VideoInfo, recorded_rate

_ACCEPTED = "give an mp4, mov, mkv, webm or gif with at least 2 frames"
_LARGE_FRAME = 3840 * 2160  # above this frames are decoded one by one, which bounds memory
_BLIND_SEEK = 5.0  # seconds ahead worth a seek in files without an index of key frames
_WALKED = 500_000_000  # bytes up to which all packets are read where a file has no full index
_TAIL = 2.0  # seconds before its stated end from which a larger file's packets are read
_KEY_MARGIN = 0.1  # seconds; key frames are listed by decoding times, a little early
_FIRST_FRAMES = 6  # frames decoded to see whether their time stamps rise
_SAME_RATE = 0.02  # share by which a header's rate may differ from the measured one
_CUT_OFF = 0.3  # seconds that must be missing at the end before a file counts as cut off
_STILL = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
_APPLE = "com.apple.quicktime"  # part of what Apple's cameras write
_LONGEST_NAME = 200  # characters of a file's name in a message

# Playlists and other scripts must not make FFmpeg open further files or addresses.
_OPTIONS = {"protocol_whitelist": "none"}


class VideoFile:
    """A video file, opened at the stream a player would show; close it or use `with`.

    Attributes:
        path: the file.
        name: its name, fit for a message.
        info: what the file holds.
        damage: what could not be decoded since the file was opened.

    Args:
        path: any file.

    Raises:
        ClipError: the file is missing, empty, not a video, damaged from the start or one picture.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.name = _printable(self.path.name)
        self.damage: list[str] = []
        self._opened = ExitStack()
        try:
            if not self.path.is_file():
                raise ClipError(f"{_printable(str(path))} is not a file; {_ACCEPTED}.")
            self._bytes = self.path.open("rb")
            self._size = os.fstat(self._bytes.fileno()).st_size
        except OSError as error:
            raise ClipError(
                f"{self.name} cannot be opened ({error.strerror}); {_ACCEPTED}."
            ) from error
        try:
            self.info = self._probed()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._opened.close()
        self._bytes.close()

    # -- reading -----------------------------------------------------------------------------

    def frames(
        self,
        start: float = 0.0,
        stop: Callable[[], bool] | None = None,
        key_frames_only: bool = False,
    ) -> Iterator[tuple[float, VideoFrame]]:
        """Decode from the last key frame at or before a time, passing over damaged packets.

        A frame whose time stamp is missing, or not later than that of the frame before, is given a
        time one frame interval later; so is a frame stamped later than its successor.

        Args:
            start: seconds from the first frame.
            stop: called for every frame; True ends the reading.
            key_frames_only: decode key frames alone, which is fast; not without time stamps, as
                frames must then be counted.

        Yields:
            Seconds from the first frame, rising, and the frame.

        Raises:
            StoppedError: `stop` returned True.
        """
        self._go_to(start)
        few = key_frames_only and self._seekable
        self._stream.codec_context.skip_frame = "NONKEY" if few else "DEFAULT"
        before: float | None = None
        held: VideoFrame | None = None  # one frame back: to judge a stamp takes the next one too
        for frame in self._decoded():
            if stop is not None and stop():
                raise StoppedError("Stopped while reading the clip; nothing was written.")
            if held is not None:
                before = self._time(held, before, frame)
                yield before, held
            held = frame
        if held is not None:
            yield self._time(held, before, None), held

    def times(self, start: float, end: float) -> list[float]:
        """Give the times of a span's frames, half a frame more at either end, without decoding.

        Where stamps are missing or wrong they are those of evenly spaced frames.

        Args:
            start: seconds from the first frame.
            end: as `start`.
        """
        info = self.info
        if not self._seekable:
            last = min(round(end * info.fps), info.frames - 1)
            return [index / info.fps for index in range(round(start * info.fps), last + 1)]
        half = min(0.5 / info.fps, 0.05)
        found = set()
        self._go_to(start)
        for packet in self._packets():
            if packet.pts is None or packet.is_discard:
                continue
            time = float(packet.pts * packet.time_base) - info.offset
            if max(start - half, -1e-3) <= time <= end + half:
                found.add(time)
            # Packets come in the order of decoding, so that later ones may be shown earlier.
            if packet.dts is not None and packet.dts * packet.time_base - info.offset > end + 1:
                break
        return sorted(found)

    def skips(self, now: float, wanted: float) -> bool:
        """Whether starting again at `wanted` skips frames, against decoding on from `now`.

        Args:
            now: seconds of the last frame decoded.
            wanted: seconds of the next frame needed.
        """
        if not self._seekable:
            return False
        if not self._keys:
            return wanted - now > _BLIND_SEEK
        return any(now + _KEY_MARGIN < key < wanted - _KEY_MARGIN for key in self._keys)

    # -- opening -----------------------------------------------------------------------------

    def _open(self, index: int | None = None) -> None:
        """Open the container at its first packet, at a stream of moving pictures."""
        self._opened.close()
        self._bytes.seek(0)
        # The bytes without their name: FFmpeg reads protocols and patterns into names.
        source = SimpleNamespace(
            read=self._bytes.read, seek=self._bytes.seek, tell=self._bytes.tell
        )
        try:
            self._container = self._opened.enter_context(
                av.open(source, metadata_errors="replace", options=dict(_OPTIONS))
            )
        except (av.FFmpegError, OSError) as error:
            raise ClipError(f"{self.name} is not a video or is damaged; {_ACCEPTED}.") from error
        if index is None:
            index = self._candidates()[0]
        self._stream = next(each for each in self._container.streams.video if each.index == index)
        codec = self._stream.codec_context
        large = codec.width * codec.height > _LARGE_FRAME
        self._stream.thread_type = "SLICE" if large else "AUTO"

    def _candidates(self) -> list[int]:
        """Indices of the video streams, best first: the default, the longest, the largest.

        Thumbnails and streams of a single frame come last; a cover picture is left out.
        """
        streams = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic
            and stream.codec_context is not None  # None: FFmpeg does not know the codec
        ]
        if not streams:
            raise ClipError(f"{self.name} holds no video stream; {_ACCEPTED}.")

        def rank(stream: VideoStream) -> tuple[bool, bool, float, int]:
            single = packets.stated_frames(stream) == 1 or bool(stream.disposition & _STILL)
            area = stream.codec_context.width * stream.codec_context.height
            is_default = bool(stream.disposition & Disposition.default)
            return single, not is_default, -(packets.stated_seconds(stream) or 0.0), -area

        return [stream.index for stream in sorted(streams, key=rank)]

    def _probed(self) -> VideoInfo:
        """Decode the first frames of the best stream that has two, then measure the rest."""
        if self._size == 0:
            raise ClipError(f"{self.name} is empty (0 bytes); {_ACCEPTED}.")
        self._open()
        for index in self._candidates():
            if index != self._stream.index:
                self._open(index)
            first = list(islice(self._decoded(), _FIRST_FRAMES))
            if len(first) > 1:
                break
        if not first:
            raise ClipError(f"no frame of {self.name} can be decoded, it is damaged; {_ACCEPTED}.")
        if len(first) == 1:
            raise ClipError(
                f"{self.name} has only one frame, a body in motion needs more; {_ACCEPTED}."
            )
        self.damage.clear()
        return self._measured(first)

    def _measured(self, first: list[VideoFrame]) -> VideoInfo:
        stream, container = self._stream, self._container
        metadata = {**container.metadata, **stream.metadata}
        stated = float(container.duration) / av.time_base if container.duration else None
        end = (container.start_time or 0) / av.time_base + (stated or 0.0)
        times = [frame.time for frame in first if frame.time is not None]
        rising = len(times) == len(first) and all(a < b for a, b in pairwise(times))
        # Formats without time stamps, and some files with them, get invented ones from FFmpeg.
        stamped = rising and not container.format.flags & Flags.no_timestamps.value
        fps = packets.stated_rate(stream, times[1] - times[0] if stamped else 0.0)
        fragmented = cut_off = False
        if packets.is_mp4(container):
            fragmented, cut_off = packets.boxes(self._bytes, self._size)
        # What FFmpeg knows of a fragmented file is the first fragments alone.
        extent = None if fragmented else packets.from_index(container, stream, self._size)
        if extent is not None:
            cut_off |= extent.count < len(stream.index_entries)
        else:
            stated = None if fragmented else stated
            extent = self._walked(fps)
            complete = stated is None or not extent.stamped or end - extent.last <= _CUT_OFF
            cut_off |= not complete
        stamped = stamped and extent.end is not None
        self._seekable = stamped and extent.stamped
        duration = extent.count / fps
        if self._seekable:
            duration = (extent.end or 0.0) - times[0]
            measured = extent.count / duration if duration > 0 else fps
            fps = fps if abs(fps / measured - 1) < _SAME_RATE or not extent.count else measured
        notes = []
        if cut_off:
            of_all = f"of its {stated:.1f} s " if stated and stated - duration > _CUT_OFF else ""
            notes.append(
                f"The file is damaged or was cut off: {of_all}only about the first "
                f"{duration:.1f} s can be read."
            )
        if not stamped:
            notes.append(
                "The file has no usable time stamps: its frames are taken as evenly spaced, "
                f"{fps:.4g} a second."
            )
        elif not self._seekable:
            notes.append("Some time stamps in the file are missing or wrong and were replaced.")
        offset = times[0] if stamped else 0.0
        self._keys = [time - offset for time in extent.keys]
        orientation = Orientation.of(first[0])
        width, height = first[0].width, first[0].height
        return VideoInfo(
            path=self.path,
            duration=duration,
            fps=fps,
            width=height if orientation.transposed else width,
            height=width if orientation.transposed else height,
            frames=max(2, extent.count or round(duration * fps)),
            orientation=orientation,
            offset=offset,
            aspect=float(self._stream.sample_aspect_ratio or 1) or 1.0,
            stamped=stamped,
            recorded_fps=recorded_rate(metadata),
            from_apple=any(_APPLE in f"{key} {value}".lower() for key, value in metadata.items()),
            notes=tuple(notes),
        )

    def _walked(self, fps: float) -> packets.Extent:
        """Read all packets, or those near the end of a large file."""
        if self._size > _WALKED and self._container.duration:
            end = (self._container.start_time or 0) + self._container.duration
            stream = self._stream
            base = float(stream.time_base or 0)
            keys = [each.timestamp * base for each in stream.index_entries if each.is_keyframe]
            try:
                self._container.seek(end - int(_TAIL * av.time_base), backward=True)
                found = packets.walk(self._container, stream, 1 / fps)
            except av.FFmpegError:
                found = packets.Extent()
            if found.end is not None:
                return replace(found, count=0, keys=keys)
        self._open(self._stream.index)
        return packets.walk(self._container, self._stream, 1 / fps)

    # -- decoding ----------------------------------------------------------------------------

    def _go_to(self, seconds: float) -> None:
        """Go to the last key frame at or before a time; if stamps are wrong, to the first frame."""
        stream = self._stream
        if self._seekable and stream.time_base:
            target = seconds
            if self._keys and not packets.seeks_to_key_frames(self._container):
                before = bisect_right(self._keys, seconds - _KEY_MARGIN)
                target = self._keys[max(before - 1, 0)]
            # The small part of a tick keeps rounding from missing the key frame.
            ticks = math.floor((target + self.info.offset) / float(stream.time_base) + 1e-3)
            try:
                self._container.seek(ticks, stream=stream, backward=True)
            except av.FFmpegError:
                pass  # not seekable: read from the first packet instead
            else:
                return
        self._open(stream.index)

    def _packets(self) -> Iterator[av.Packet]:
        """Packets of the stream from where it stands, up to damage that cannot be passed."""
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError as error:
            self.damage.append(str(error))

    def _decoded(self) -> Iterator[VideoFrame]:
        """Frames from where the stream stands, going on after packets that cannot be decoded."""
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self.damage.append(str(error))
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damage.append("corrupt frame")
                else:
                    yield frame

    def _time(self, frame: VideoFrame, before: float | None, after: VideoFrame | None) -> float:
        """Seconds of a frame, from its stamp unless its neighbours contradict it (see `frames`).

        Args:
            frame: the frame.
            before: seconds of the frame before it; None for the first one decoded.
            after: the next frame; None for the last one.
        """
        stamp = self._stamp(frame)
        if before is None:
            return 0.0 if stamp is None else stamp
        following = None if after is None else self._stamp(after)
        if following is not None and following <= before:
            following = None
        late = stamp is not None and following is not None and stamp > following
        if stamp is not None and stamp > before and not late:
            return stamp
        next_time = before + 1 / self.info.fps
        return next_time if following is None else min(next_time, (before + following) / 2)

    def _stamp(self, frame: VideoFrame) -> float | None:
        if frame.time is None or not self.info.stamped:
            return None
        return float(frame.time) - self.info.offset


def probe(path: Path) -> VideoInfo:
    """Say what a video file holds; decodes two frames, whatever the length of the file.

    Args:
        path: any file.

    Raises:
        ClipError: the file is missing, empty, not a video, damaged from the start or one picture.
    """
    with VideoFile(path) as file:
        return file.info


def _printable(name: str) -> str:
    """A file's name as messages give it: without bytes that are no text, and not endless."""
    shown = name.encode("utf-8", "replace").decode()
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}..."
