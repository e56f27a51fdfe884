"""Files <-> VideoClip: what a file holds, 16 frames of a span, and mp4 files that browsers play.

Every fact about a file comes from its contents, never from its name. Time zero is the first frame.

PyAV is used directly rather than through imageio's pyav plugin, which reads the first video stream
whatever it is, gives no time stamps, ignores the display matrix, stops at the first damaged packet,
and cannot set the encoder options that make the same frames give the same file.
"""

from finephys.video.file import VideoFile, probe
from finephys.video.info import LONGEST_SPAN, MAX_SIDE, VideoInfo, speed_note
from finephys.video.reading import read_frames, read_span
from finephys.video.repeats import ChangeMeter
from finephys.video.writing import write_video

__all__ = [
    "LONGEST_SPAN",
    "MAX_SIDE",
    "ChangeMeter",
    "VideoFile",
    "VideoInfo",
    "probe",
    "read_frames",
    "read_span",
    "speed_note",
    "write_video",
]
