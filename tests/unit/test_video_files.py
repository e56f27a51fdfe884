"""Files as phones, editors and broken downloads leave them: streams, stamps, lengths, names."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from finephys.errors import ClipError
from finephys.observe import read_clip
from finephys.types import Request
from finephys.video import VideoFile, probe, read_span, speed_note
from finephys.video.repeats import repeated
from tests.unit.test_video import make, number, numbered

RATE = 15


def mux(
    path: Path,
    videos: list[tuple[int, tuple[int, int], bool]],
    seconds_of_sound: float = 0.0,
    metadata: dict[str, str] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Write streams of numbered frames at 15 fps: (frames, size, default) each, and silence."""
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        streams = []
        for count, size, default in videos:
            stream = container.add_stream(codec if count > 1 else "mjpeg", rate=RATE)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p" if count > 1 else "yuvj420p"
            if count > 1:
                stream.options = {"crf": "10", "preset": "ultrafast"}
            stream.disposition = av.stream.Disposition.default if default else 0
            streams.append((stream, count, size))
        sound = container.add_stream("pcm_s16le", rate=8000) if seconds_of_sound else None
        for stream, count, size in streams:
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(numbered(index, size), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        if sound is not None:
            for index in range(round(seconds_of_sound)):
                silence = np.zeros((1, 8000), np.int16)
                frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 8000, 8000 * index
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mov", "webm"])
def test_longer_sound_does_not_lengthen_the_video(tmp_path: Path, suffix: str) -> None:
    """Catches 2 s of video and a minute of sound refused, or searched, as a minute of video."""
    if suffix == "webm":  # takes no plain sound: the container's own length is changed instead
        path = mux(tmp_path / "a.webm", [(30, (64, 48), True)], codec="libvpx")
        data = path.read_bytes()
        at = data.index(b"\x44\x89\x88") + 3  # the element Duration, a float64 of milliseconds
        path.write_bytes(data[:at] + np.array(60_000, ">f8").tobytes() + data[at + 8 :])
    else:
        path = mux(tmp_path / f"a.{suffix}", [(30, (64, 48), True)], seconds_of_sound=60)
    assert probe(path).duration == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize(
    ("videos", "size"),
    [
        ([(1, (80, 48), False), (30, (64, 48), True)], (64, 48)),
        ([(1, (80, 48), True), (30, (64, 48), False)], (64, 48)),
        ([(30, (32, 24), False), (30, (64, 48), True)], (64, 48)),
        ([(8, (80, 48), True), (30, (64, 48), True)], (64, 48)),
        ([(30, (32, 24), True), (30, (64, 48), True)], (64, 48)),
        ([(30, (64, 48), False), (30, (32, 24), True)], (32, 24)),
    ],
)
@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_the_stream_a_player_shows_is_read(
    tmp_path: Path,
    videos: list[tuple[int, tuple[int, int], bool]],
    size: tuple[int, int],
    suffix: str,
) -> None:
    """Catches a thumbnail, a preview or a short intro taken because it is the first stream."""
    info = probe(mux(tmp_path / f"a.{suffix}", videos))
    assert (info.width, info.height) == size


def test_frames_without_time_stamps_are_counted(tmp_path: Path) -> None:
    """Catches a raw stream read as a single frame at time 0, and FFmpeg's default of 25 fps."""
    path = mux(tmp_path / "a.h264", [(40, (64, 48), True)])
    clip = read_span(path, 0.4, 1.0)
    assert [number(frame) for frame in clip.frames] == list(range(6, 22))
    np.testing.assert_allclose(clip.times, 0.4 + np.arange(16) / 15, atol=1e-5)
    assert any("no usable time stamps" in note and "15 a second" in note for note in clip.notes)


@pytest.mark.parametrize(
    ("damage", "noted"),
    [
        (lambda stamps: [*stamps[:10], stamps[9], *stamps[11:]], False),  # one given twice
        (lambda stamps: [*stamps[:20], *(each - 600 for each in stamps[20:])], True),  # set back
        (lambda stamps: [*stamps[:10], stamps[10] + 20_000, *stamps[11:]], True),  # one too late
    ],
)
def test_time_stamps_that_do_not_rise_are_mended(
    tmp_path: Path, damage: Callable[[list[int]], list[int]], noted: bool
) -> None:
    """Catches frames lost, doubled or out of order where one stamp is wrong."""
    stamps = [round(1000 * index / RATE) for index in range(40)]
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options, stream.gop_size = {"crf": "10", "preset": "ultrafast"}, 100
        for index in range(len(stamps)):
            frame = av.VideoFrame.from_ndarray(numbered(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    at = 0
    for stamp, changed in zip(stamps, damage(stamps), strict=True):
        # The head of a block: track 1, milliseconds, whether it is a key frame.
        at = data.index(b"\x81" + stamp.to_bytes(2, "big") + (b"\0" if stamp else b"\x80"), at)
        data[at + 1 : at + 3] = changed.to_bytes(2, "big", signed=True)
        at += 4
    path.write_bytes(data)
    with VideoFile(path) as file:
        read = [(time, number(frame.to_ndarray(format="rgb24"))) for time, frame in file.frames()]
    assert [shown for _, shown in read] == list(range(40))
    np.testing.assert_allclose([time for time, _ in read], np.arange(40) / RATE, atol=0.04)
    info = probe(path)
    assert info.duration == pytest.approx(40 / RATE, abs=0.1)
    assert any("were replaced" in note for note in info.notes) == noted


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.ts", "libx264", {"g": "12"}),  # seeks in it end between key frames
        ("a.ts", "libx264", {"g": "100"}),
        ("a.avi", "libx264", {"preset": "medium"}),  # reordered frames without their times
        ("a.flv", "libx264", {"g": "12"}),
        ("a.mkv", "libx264", {"g": "12", "preset": "medium"}),
    ],
)
def test_a_span_holds_its_frames_in_any_container(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    """Catches frames lost after a seek, and reordered frames given each other's times."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"crf": "10", "preset": "ultrafast", **options}
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(numbered(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = read_span(path, 2.0, 1.0)
    assert [number(frame) for frame in clip.frames] == list(range(30, 46))
    np.testing.assert_allclose(clip.times, 2 + np.arange(16) / RATE, atol=0.002)


def test_a_negative_first_time_stamp_is_time_zero(tmp_path: Path) -> None:
    times = [33 * index - 500 for index in range(40)]
    clip = read_span(make(tmp_path / "a.mkv", 40, times=times), 0, 0.5)
    assert number(clip.frames[0]) == 0
    assert clip.times[0] == 0


@pytest.mark.parametrize("suffix", ["mp4", "fragmented.mp4", "mkv", "webm"])
def test_a_file_that_was_cut_off_is_said_to_be(tmp_path: Path, suffix: str) -> None:
    """Catches a broken download read as a clip that simply ends there."""
    options = {"movflags": "+faststart"} if suffix == "mp4" else {}
    if suffix == "fragmented.mp4":
        options = {"movflags": "empty_moov", "frag_duration": "500000"}
    codec = "libvpx" if suffix == "webm" else "libx264"
    path = mux(tmp_path / f"a.{suffix}", [(60, (64, 48), True)], codec=codec, options=options)
    assert probe(path).notes == ()
    data = path.read_bytes()
    # An mp4's index comes first here and stays whole.
    begin = data.find(b"mdat") if suffix == "mp4" else 0
    path.write_bytes(data[: begin + (len(data) - begin) * 45 // 100])
    clip = read_span(path, 0, 3.9)
    assert clip.times[-1] < 3
    said = "cut off: only" if "fragmented" in suffix else "cut off: of its 4.0 s only"
    assert any(said in note for note in clip.notes)


@pytest.mark.parametrize(
    "name",
    ["12:30:15.mp4", "concat:a|b.mp4", "a%d.gif", "-i.mp4", "体操 ü.mp4", "file:x", "x" * 250],
)
def test_names_that_ffmpeg_would_interpret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Catches a protocol, a pattern or an option read into a file's name."""
    make(tmp_path / "a.mp4", 20).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read_span(Path(name), 0, 0.5).frames) == 16


@pytest.mark.parametrize("name", ["y" * 300 + ".mp4", os.fsdecode(b"\xff\xfe" * 200)])
def test_a_name_too_long_for_a_file_is_one_short_sentence(name: str) -> None:
    with pytest.raises(ClipError, match="cannot be opened") as caught:
        probe(Path(name))
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize(
    "script",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:a.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile a.mp4\n",
    ],
)
def test_a_script_opens_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Catches an upload that makes the server read its own files or call others."""
    make(tmp_path / "a.mp4", 20)
    path = tmp_path / "list.mp4"
    path.write_text(script)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClipError, match="not a video"):
        probe(path)


def test_a_clip_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a file opened and probed again for every step of the reading."""
    path, opened = make(tmp_path / "a.mp4", 60), []
    monkeypatch.setattr(
        av, "open", lambda *a, _open=av.open, **k: opened.append(1) or _open(*a, **k)
    )
    clip = read_clip(path, Request(), None, lambda: False)  # type: ignore[arg-type]
    assert len(clip.frames) == 16
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("key", "value", "speed"),
    [
        ("com.android.capture.fps", "240.000000", 16.0),
        ("COM.ANDROID.CAPTURE.FPS", "120", 8.0),
        ("com.android.capture.fps", "15.0", 1.0),
        ("com.android.capture.fps", "3", 0.2),
        ("capture_frame_rate", "60000/1001", 3.996),
        ("com.android.capture.fps", "fast", 1.0),
        ("com.android.capture.fps", "0", 1.0),
    ],
)
def test_a_mark_of_slow_motion_is_offered_as_real_speed(
    tmp_path: Path, key: str, value: str, speed: float
) -> None:
    """Catches gravity and speeds sixteen times wrong without a word."""
    options = {"movflags": "use_metadata_tags"}
    path = mux(tmp_path / "a.mp4", [(30, (64, 48), True)], metadata={key: value}, options=options)
    assert probe(path).real_speed == pytest.approx(speed, rel=1e-3)
    request = Request(start=0.0, span=1.0)
    clip = read_clip(path, request, None, lambda: False)  # type: ignore[arg-type]
    assert clip.real_speed == pytest.approx(speed, rel=1e-3)
    assert any(f"--real-speed {speed:.3g}" in note for note in clip.notes) == (speed != 1)
    told = replace(request, real_speed=2.0)  # whoever gives a speed needs no advice
    clip = read_clip(path, told, None, lambda: False)  # type: ignore[arg-type]
    assert not any("--real-speed" in note for note in clip.notes)


def test_an_apple_recording_at_a_high_rate_keeps_its_speed(tmp_path: Path) -> None:
    """Catches 240 frames a second with true time stamps taken for eightfold slow motion."""
    mark = {"com.apple.quicktime.make": "Apple"}
    options = {"movflags": "use_metadata_tags"}
    path = mux(tmp_path / "a.mp4", [(30, (64, 48), True)], metadata=mark, options=options)
    info = replace(probe(path), fps=239.9)
    assert info.real_speed == 1
    assert "--real-speed 1" in (speed_note(info) or "")
    assert speed_note(replace(info, fps=30.0)) is None


def held(path: Path, holds: list[int], fps: int) -> Path:
    """A dot that moves, each of its places shown for some frames; encoded small, so not exactly."""
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 120, (12, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.options = {"crf": "30", "preset": "veryfast"}
        for place, hold in enumerate(holds):
            picture = scene.copy()
            picture[50:70, 5 * (place % 28) : 5 * (place % 28) + 20] = (250, 240, 30)
            for _ in range(hold):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("holds", "fps", "rate"),
    [
        ([8] * 20, 60, 7.5),
        ([2] * 40, 30, 15.0),
        ([1, 1, 1, 2] * 14, 30, 24.0),
        ([2, 3] * 30, 60, 24.0),  # film's pulldown
        ([1, 1, 4, 1, 1, 1, 7, 2, 1, 1] * 4, 30, None),  # a camera that lost frames
    ],
)
def test_repeated_frames_are_recognised(
    tmp_path: Path, holds: list[int], fps: int, rate: float | None
) -> None:
    """Catches repeats of a picture taken for frames in which the body stands still."""
    path = held(tmp_path / "a.mp4", holds, fps)
    shown = np.cumsum([0, *holds])[:-1] / fps  # when each picture first appears
    true = shown if rate is None else np.arange(len(holds)) / rate
    clip = read_span(path, 0.31, 2.0)
    assert len(clip.frames) >= 15
    assert np.abs(clip.times[:, None] - true).min(1).max() < (0.035 if rate else 1e-3)
    if rate:
        steps = np.diff(clip.times) * rate
        np.testing.assert_allclose(steps, steps.round(), atol=0.03)
    # The dot's place is the picture's number modulo 28: each frame at its own picture's time.
    numbers = np.abs(clip.times[:, None] - true).argmin(1)
    yellow = clip.frames[:, 60, :, 0].astype(int) - clip.frames[:, 60, :, 2] > 90
    places = [round((np.flatnonzero(row).mean() - 9.5) / 5) for row in yellow]
    np.testing.assert_array_equal(places, numbers % 28)
    assert any("only repeat the picture before them" in note for note in clip.notes)


def test_a_body_that_stands_still_is_no_repeat(tmp_path: Path) -> None:
    """Catches a pause, a slow start and noise taken for a file's repeated frames."""
    times = np.arange(75) / 30
    pause = 30.0 * np.abs(np.tanh((times - 1.2) / 0.3)) ** 2  # comes to rest and sets off again
    swing = 30.0 * np.abs(np.cos(times * 2 * np.pi * 1.4))
    still = np.full(75, 1.0)
    onset = np.where(times < 1, 0.2, np.minimum(40, 200 * (times - 1)))
    for changes in (pause, swing, still, onset):
        assert not repeated(times, changes).any()
