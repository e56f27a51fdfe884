"""Writing mp4 files that browsers play."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from finephys.files import whole_file
from finephys.types import VideoClip


def write_video(path: Path, clip: VideoClip) -> None:
    """Write a clip atomically as H.264 mp4 (yuv420p, header first), which browsers play.

    Args:
        path: the file to write; its directory is created. Odd sizes grow by one pixel, because
            H.264 takes even ones only.
        clip: frames at any rate.

    Raises:
        OutputError: the directory cannot be written or the disk is full.
    """
    path = Path(path)
    width, height = clip.size
    frames = np.pad(clip.frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with whole_file(path) as partial:
        try:
            # An absolute path: FFmpeg would read the start of "a:b.mp4" as a protocol.
            with av.open(
                str(partial.absolute()), "w", format="mp4", options={"movflags": "+faststart"}
            ) as container:
                stream = container.add_stream(
                    "libx264",
                    rate=Fraction(clip.fps).limit_denominator(10_000),
                    # With mbtree x264 encodes the same frames differently from run to run.
                    options={"crf": "17", "preset": "veryfast", "x264-params": "mbtree=0"},
                )
                stream.width, stream.height = width + width % 2, height + height % 2
                stream.pix_fmt = "yuv420p"
                for pixels in frames:
                    container.mux(stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode())
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error
