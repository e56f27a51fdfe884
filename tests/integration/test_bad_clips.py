"""Files that are no clips, or hard ones: each gets one sentence a person can act on."""

import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from finephys.errors import ClipError, NoPersonError
from finephys.pose2d import load_detector
from finephys.pose2d.detection import detect_clip
from finephys.pose2d.protocol import Detector
from finephys.pose2d.span import choose_span
from finephys.types import VideoClip
from finephys.video import VideoFile, probe, read_span, write_video

ACCEPTED = "give an mp4, mov, mkv, webm or gif with at least 2 frames."


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector()


def encode(path: Path, frames: list[np.ndarray], seconds: list[float]) -> Path:
    """Write frames at given times, tiny."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"crf": "35", "preset": "ultrafast"}
        for picture, time in zip(frames, seconds, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(level: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.full((size[1], size[0], 3), level, np.uint8)


def sentence(path: Path) -> str:
    with pytest.raises(ClipError) as caught:
        probe(path)
    return str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    assert sentence(path) == f"{path} is not a file; {ACCEPTED}"


def test_a_folder(tmp_path: Path) -> None:
    assert sentence(tmp_path) == f"{tmp_path} is not a file; {ACCEPTED}"


def test_a_zero_byte_file(tmp_path: Path) -> None:
    path = tmp_path / "zero.mp4"
    path.touch()
    assert sentence(path) == f"zero.mp4 is empty (0 bytes); {ACCEPTED}"


@pytest.mark.parametrize("content", [b"This is a text.\n" * 50, bytes(5000), b"\x00\x01\xff" * 999])
def test_a_text_file_named_mp4(tmp_path: Path, content: bytes) -> None:
    """Catches trust in the name, and FFmpeg's own error text reaching a person."""
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    assert sentence(path) == f"text.mp4 is not a video or is damaged; {ACCEPTED}"


def test_a_song(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert sentence(path) == f"song.mp4 holds no video stream; {ACCEPTED}"


def test_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "one.mp4", [grey(90)], [0.0])
    assert sentence(path) == (
        f"one.mp4 has only one frame, a body in motion needs more; {ACCEPTED}"
    )


def test_a_photograph(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), grey(90))
    assert "photo.jpg has only one frame" in sentence(path)


def test_a_file_cut_off_before_its_index(tmp_path: Path) -> None:
    """An upload that broke off: an mp4 whose header, at the end, is missing."""
    whole = encode(
        tmp_path / "a.mp4", [grey(level) for level in range(40)], [k / 30 for k in range(40)]
    )
    path = tmp_path / "half.mp4"
    data = whole.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    assert sentence(path) == f"half.mp4 is not a video or is damaged; {ACCEPTED}"


@pytest.mark.parametrize("byte", [0x00, 0xFF, None])
def test_damage_in_the_middle_is_passed_over(tmp_path: Path, byte: int | None) -> None:
    """Catches a whole clip refused, or a crash, for some broken packets."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(60)]
    whole = encode(tmp_path / "a.mp4", frames, [k / 30 for k in range(60)])
    data = bytearray(whole.read_bytes())
    begin = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    length = len(data) // 10
    data[begin : begin + length] = rng.bytes(length) if byte is None else bytes([byte]) * length
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    clip = read_span(path, 0, 1.9)
    assert 8 <= len(clip.frames) <= 16
    assert clip.times[-1] > 1.7
    assert "Part of the file is damaged; frames that cannot be decoded were left out." in clip.notes


def two_hours(path: Path) -> Path:
    """Two hours in 10 s steps, but 30 frames a second around the end of the first hour."""
    seconds = sorted({*range(0, 7200, 10), *(3600 + k / 30 for k in range(90))})
    return encode(path, [grey(k % 200) for k in range(len(seconds))], seconds)


def test_two_hours_need_a_start_and_then_only_that_is_decoded(
    tmp_path: Path, detector: Detector
) -> None:
    """Catches a whole film being decoded, and the fps of the whole used for the span."""
    path = two_hours(tmp_path / "film.mp4")
    with VideoFile(path) as file, pytest.raises(ClipError) as caught:
        choose_span(file, detector)
    assert str(caught.value) == (
        "film.mp4 lasts 120 min; up to 10 min are searched for the moment of most motion, so give "
        "a start in seconds (--start, or the field beside the clip); only that part is read."
    )
    decoded = []
    clip = read_span(path, 3600.0, 2.5, stop=lambda: bool(decoded.append(1)))
    assert len(clip.frames) == 16
    assert clip.fps == pytest.approx(6, rel=0.01)
    assert clip.start == pytest.approx(3600, abs=0.02)
    assert len(decoded) < 400


def test_8k_is_scaled_down_while_reading(tmp_path: Path) -> None:
    """Catches 16 frames of 8K kept whole, which are 1.6 GB."""
    frames = [grey(level, (7680, 4320)) for level in (60, 120, 180)]
    path = encode(tmp_path / "8k.mp4", frames, [0.0, 0.1, 0.2])
    tracemalloc.start()
    clip = read_span(path, 0, 0.2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.size == (1280, 720)
    assert clip.to_file == (6.0, 6.0)
    assert peak < 100e6


def test_a_vertical_clip_keeps_its_shape(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "v.mp4", [grey(k, (108, 192)) for k in range(20)], [k / 30 for k in range(20)]
    )
    info = probe(path)
    assert (info.width, info.height) == (108, 192)
    assert read_span(path, 0, 0.5).size == (108, 192)


def test_odd_sizes_are_read(tmp_path: Path) -> None:
    frames = [grey(k, (101, 67)) for k in range(20)]
    path = tmp_path / "odd.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=20)
        stream.width, stream.height, stream.pix_fmt = 101, 67, "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    assert read_span(path, 0, 0.5).size == (101, 67)


def test_nobody_in_the_clip(tmp_path: Path, detector: Detector) -> None:
    """Catches a skeleton made up where there is nobody (the paper's Fig. 15)."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    path = tmp_path / "nobody.mp4"
    write_video(path, VideoClip(np.tile(scene, (24, 1, 1, 1)), fps=12))
    with VideoFile(path) as file:
        start, span, _ = choose_span(file, detector)
    with pytest.raises(NoPersonError) as caught:
        detect_clip(read_span(path, start, span), detector)
    assert str(caught.value) == (
        "no person was detected in these 16 frames; choose a clip, or a start in it, that shows "
        "one whole person, or continue with the pose prior of an action (--prior, or its tick box)."
    )
