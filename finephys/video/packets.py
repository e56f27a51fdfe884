"""What the packets and the index of a container say, without decoding a frame."""

from dataclasses import dataclass, field
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream


@dataclass
class Extent:
    """How far a video goes; all times are seconds of the container's own clock.

    Attributes:
        end: end of the last frame; None where it is not known.
        last: end of the last packet of any stream.
        count: frames; 0 where it is not known.
        stamped: whether every frame has a time stamp and decoding times never fall.
        keys: decoding times of the key frames, rising.
    """

    end: float | None = None
    last: float = 0.0
    count: int = 0
    stamped: bool = True
    keys: list[float] = field(default_factory=list)


_FASTEST = 10_000.0  # frames a second; a larger rate in a header is a clock, not a rate


def walk(container: InputContainer, stream: VideoStream, interval: float) -> Extent:
    """Read the packets of all streams from where the container stands to its end.

    Args:
        container: any; it must be rewound afterwards.
        stream: the video stream.
        interval: seconds that a packet without a duration lasts.
    """
    found, decoded_at = Extent(), None
    try:
        for packet in container.demux():
            if not packet.size:  # the empty packet with which PyAV ends a stream
                continue
            base = float(packet.time_base or 0)
            shown = packet.pts if packet.pts is not None else packet.dts
            video = packet.stream_index == stream.index
            if video:
                found.count += 1
                found.stamped &= packet.pts is not None
                if packet.dts is not None:
                    found.stamped &= decoded_at is None or packet.dts >= decoded_at
                    decoded_at = packet.dts
            if shown is None:
                continue
            end = shown * base + (packet.duration * base if packet.duration else interval)
            found.last = max(found.last, end)
            if video:
                found.end = end if found.end is None else max(found.end, end)
                if packet.is_keyframe:
                    found.keys.append((shown if packet.dts is None else packet.dts) * base)
    except av.FFmpegError:
        return found  # damage that cannot be passed: the file ends here
    return found


def from_index(container: InputContainer, stream: VideoStream, size: int) -> Extent | None:
    """Take the extent from an index of all frames with their places in the file.

    Args:
        container: any.
        stream: the video stream.
        size: bytes of the file; what the index places beyond them is missing.

    Returns:
        None where there is no such index; mp4 and mov have one.
    """
    entries = stream.index_entries
    listed = len(entries)
    if not is_mp4(container) or not listed or not stream.duration:
        return None
    inside = [each for each in entries if each.pos + each.size <= size]
    base = float(stream.time_base or 0)
    end = ((stream.start_time or 0) + stream.duration * len(inside) / listed) * base
    keys = [each.timestamp * base for each in inside if each.is_keyframe]
    return Extent(end, end, len(inside), keys=keys)


def seeks_to_key_frames(container: InputContainer) -> bool:
    """Whether a seek ends at a key frame; elsewhere, as in MPEG-TS, it ends at any frame."""
    return bool({"mp4", "matroska"} & set(container.format.name.split(",")))


def is_mp4(container: InputContainer) -> bool:
    """Whether the container is mp4, mov or one of their relatives."""
    return "mp4" in container.format.name.split(",")


def boxes(file: BinaryIO, size: int) -> tuple[bool, bool]:
    """Follow the boxes of an mp4 or mov file (ISO/IEC 14496-12, 4.2).

    Args:
        file: the file's bytes; its position is kept, as an open container relies on it.
        size: how many there are.

    Returns:
        Whether the video comes in fragments, each with an index of its own, and whether the file
        ends before its last box does.
    """
    position = file.tell()
    at, fragmented, cut_off = 0, False, False
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1 and len(head) == 16:  # a large box: its length follows its name
            length = int.from_bytes(head[8:], "big")
        if length < 8 or not name.isalnum():  # the last box, or padding after it
            break
        fragmented |= name == b"moof"
        at += length
        cut_off = at > size
    file.seek(position)
    return fragmented, cut_off


def stated_seconds(stream: VideoStream) -> float | None:
    """Length of a stream by its header or, in Matroska, its tag; None where neither tells."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def stated_rate(stream: VideoStream, gap: float) -> float:
    """Frames per second by the header.

    Args:
        stream: the video stream.
        gap: seconds between two frames, for want of a header; 0 without time stamps.
    """
    rates = [stream.average_rate, stream.guessed_rate]
    if gap <= 0:  # the header is FFmpeg's default; the codec may know better
        rates.insert(0, stream.codec_context.framerate)
    for rate in (*rates, 1 / gap if gap > 0 else None):
        if rate and 0 < rate <= _FASTEST:
            return float(rate)
    return 25.0


def stated_frames(stream: VideoStream) -> int | None:
    """Number of frames of a stream by its header, its tag, or its length; None if unknown."""
    if stream.frames:
        return stream.frames
    if tag := stream.metadata.get("NUMBER_OF_FRAMES", ""):
        return int(tag) if tag.isdigit() else None
    seconds, rate = stated_seconds(stream), stream.average_rate or stream.guessed_rate
    return round(seconds * rate) if seconds is not None and rate else None
