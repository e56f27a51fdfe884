"""A video file opened once: the stream a player would show, its facts, its frames with times."""

import math
import os
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Self

import av
from av.sidedata.sidedata import SideData
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
_CUT_OFF = 0.3  # seconds that must be missing at the end before a file counts as cut off
_FASTEST = 10_000.0  # frames a second; a larger rate in a header is a clock, not a rate
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
                raise ClipError(
                    f"{str(path).encode('utf-8', 'replace').decode()} is not a file; {_ACCEPTED}."
                )
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
        few = key_frames_only and self.info.stamped
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

        Args:
            start: seconds from the first frame.
            end: as `start`.
        """
        info = self.info
        if not info.stamped:
            last = min(round(end * info.fps), info.frames - 1)
            return [index / info.fps for index in range(round(start * info.fps), last + 1)]
        half = min(0.5 / info.fps, 0.05)
        found = set()
        self._go_to(start)
        for packet in self._packets():
            if packet.pts is None or packet.dts is None or packet.is_discard:
                continue
            time = float(packet.pts * packet.time_base) - info.offset
            if max(start - half, -1e-3) <= time <= end + half:
                found.add(time)
            if float(packet.dts * packet.time_base) - info.offset > end + 1:
                break
        return sorted(found)

    def skips(self, now: float, wanted: float) -> bool:
        """Whether starting again at `wanted` skips frames, against decoding on from `now`.

        Args:
            now: seconds of the last frame decoded.
            wanted: seconds of the next frame needed.
        """
        if not self.info.stamped:
            return False
        if not self._keys:
            return wanted - now > _BLIND_SEEK
        margin = 0.1  # index times are decoding times, a little before the times shown
        return any(now + margin < key < wanted - margin for key in self._keys)

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
        """Decode two frames of the best stream that has two, then measure the rest."""
        if self._size == 0:
            raise ClipError(f"{self.name} is empty (0 bytes); {_ACCEPTED}.")
        self._open()
        for index in self._candidates():
            if index != self._stream.index:
                self._open(index)
            first = list(islice(self._decoded(), 2))
            if len(first) == 2:
                break
        if not first:
            raise ClipError(f"no frame of {self.name} can be decoded, it is damaged; {_ACCEPTED}.")
        if len(first) == 1:
            raise ClipError(
                f"{self.name} has only one frame, a body in motion needs more; {_ACCEPTED}."
            )
        self.damage.clear()
        return self._measured(*first)

    def _measured(self, first: VideoFrame, second: VideoFrame) -> VideoInfo:
        stream, container = self._stream, self._container
        begin = first.time
        stamped = begin is not None and second.time is not None and second.time > begin
        fps = _rate(stream, second.time - begin if stamped else 0.0)
        stated = float(container.duration) / av.time_base if container.duration else None
        end = (container.start_time or 0) / av.time_base + (stated or 0.0)
        metadata = {**container.metadata, **stream.metadata}
        orientation = _orientation(first)
        size = first.width, first.height
        aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        if packets.has_full_index(container, stream):
            listed = len(stream.index_entries)
            frames = packets.packets_inside(stream, self._size)
            duration = (packets.stated_seconds(stream) or 0.0) * frames / listed
            cut_off = frames < listed
        else:
            found = self._walked(fps)
            stamped = stamped and found.stamped and found.end is not None
            duration = (found.end or 0.0) - begin if stamped else found.count / fps
            frames = found.count or round(duration * fps)
            cut_off = stamped and stated is not None and end - found.last > _CUT_OFF
        notes = []
        if cut_off:
            notes.append(
                f"The file is damaged or was cut off: of its {stated:.1f} s only about the first "
                f"{duration:.1f} s can be read."
            )
        if not stamped:
            notes.append(
                "The file has no usable time stamps: its frames are taken as evenly spaced, "
                f"{fps:.4g} a second."
            )
        info = VideoInfo(
            path=self.path,
            duration=duration,
            fps=fps,
            width=size[1] if orientation.transposed else size[0],
            height=size[0] if orientation.transposed else size[1],
            frames=max(2, frames),
            orientation=orientation,
            offset=begin if stamped else 0.0,
            aspect=aspect,
            stamped=stamped,
            recorded_fps=recorded_rate(metadata),
            from_apple=any(_APPLE in f"{key} {value}".lower() for key, value in metadata.items()),
            notes=tuple(notes),
        )
        base = float(self._stream.time_base or 0)
        entries = self._stream.index_entries if stamped else []
        self._keys = [each.timestamp * base - info.offset for each in entries if each.is_keyframe]
        return info

    def _walked(self, fps: float) -> packets.Walk:
        """Read all packets, or those near the end of a large file."""
        index = self._stream.index
        if self._size > _WALKED and self._container.duration:
            end = (self._container.start_time or 0) + self._container.duration
            try:
                self._container.seek(end - int(_TAIL * av.time_base), backward=True)
                found = packets.walk(self._container, self._stream, 1 / fps)
            except av.FFmpegError:
                found = packets.Walk()
            if found.end is not None:
                found.count = 0  # of the whole stream: not known
                return found
        self._open(index)
        return packets.walk(self._container, self._stream, 1 / fps)

    # -- decoding ----------------------------------------------------------------------------

    def _go_to(self, seconds: float) -> None:
        """Go to the last key frame at or before a time; without time stamps, to the first frame."""
        stream = self._stream
        if self.info.stamped and stream.time_base:
            target = (seconds + self.info.offset) / float(stream.time_base)
            try:
                # The small part of a tick keeps rounding from missing the first key frame.
                self._container.seek(math.floor(target + 1e-3), stream=stream, backward=True)
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
        return None if frame.time is None else float(frame.time) - self.info.offset


def probe(path: Path) -> VideoInfo:
    """Say what a video file holds; decodes two frames, whatever the length of the file.

    Args:
        path: any file.

    Raises:
        ClipError: the file is missing, empty, not a video, damaged from the start or one picture.
    """
    with VideoFile(path) as file:
        return file.info


def _rate(stream: VideoStream, gap: float) -> float:
    """Frames per second, from the header or else the gap in seconds between two frames."""
    rates = [stream.average_rate, stream.guessed_rate]
    if gap <= 0:  # no time stamps: the header is FFmpeg's default, the codec may know better
        rates.insert(0, stream.codec_context.framerate)
    for rate in (*rates, 1 / gap if gap > 0 else None):
        if rate and 0 < rate <= _FASTEST:
            return float(rate)
    return 25.0


def _orientation(frame: VideoFrame) -> Orientation:
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return Orientation()
    matrix = array("i")
    matrix.frombytes(bytes(data))
    return Orientation.from_matrix(matrix)


def _printable(name: str) -> str:
    """A file's name as messages give it: without bytes that are no text, and not endless."""
    shown = name.encode("utf-8", "replace").decode()
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}..."
