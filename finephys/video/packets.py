"""What the packets and the index of a container say, without decoding a frame."""

from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream


@dataclass
class Walk:
    """What the packets from one point of a file to its end say.

    Attributes:
        end: seconds of the container's clock at which the last video packet ends; None without
            time stamps.
        last: as `end`, over all streams.
        count: packets of the video stream.
        stamped: whether every video packet has a time stamp and decoding times never fall.
    """

    end: float | None = None
    last: float = 0.0
    count: int = 0
    stamped: bool = True


def walk(container: InputContainer, stream: VideoStream, interval: float) -> Walk:
    """Read the packets of all streams from where the container stands to its end.

    Args:
        container: any; it must be rewound afterwards.
        stream: the video stream.
        interval: seconds that a packet without a duration lasts.
    """
    found, decoded_at = Walk(), None
    try:
        for packet in container.demux():
            if not packet.size:  # the empty packet with which PyAV ends a stream
                continue
            base = float(packet.time_base or 0)
            stamp = packet.pts if packet.pts is not None else packet.dts
            video = packet.stream_index == stream.index
            if video:
                found.count += 1
                found.stamped &= packet.pts is not None
                if packet.dts is not None:
                    found.stamped &= decoded_at is None or packet.dts >= decoded_at
                    decoded_at = packet.dts
            if stamp is None:
                continue
            end = stamp * base + (packet.duration * base if packet.duration else interval)
            found.last = max(found.last, end)
            if video:
                found.end = end if found.end is None else max(found.end, end)
    except av.FFmpegError:
        return found  # damage that cannot be passed: the file ends here
    return found


def stated_seconds(stream: VideoStream) -> float | None:
    """Length of a stream by its header or, in Matroska, its tag; None where neither tells."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def stated_frames(stream: VideoStream) -> int | None:
    """Number of frames of a stream by its header, its tag, or its length; None if unknown."""
    if stream.frames:
        return stream.frames
    if tag := stream.metadata.get("NUMBER_OF_FRAMES", ""):
        return int(tag) if tag.isdigit() else None
    seconds, rate = stated_seconds(stream), stream.average_rate or stream.guessed_rate
    return round(seconds * rate) if seconds is not None and rate else None


def has_full_index(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the container lists every packet with its place in the file (mp4 and mov do).

    A fragmented mp4 lists only the fragments read so far.
    """
    entries = stream.index_entries
    if "mp4" not in container.format.name.split(",") or not len(entries) or not stream.duration:
        return False
    covered = entries[len(entries) - 1].timestamp - entries[0].timestamp
    step = stream.duration / len(entries)
    return covered + 2 * step >= stream.duration


def packets_inside(stream: VideoStream, size: int) -> int:
    """How many of the packets that a full index lists lie inside the first `size` bytes."""
    entries = stream.index_entries
    last = entries[len(entries) - 1]
    if last.pos + last.size <= size:
        return len(entries)
    return next(index for index, each in enumerate(entries) if each.pos + each.size > size)
