"""Files <-> VideoClip, on small videos made here."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from finephys.errors import ClipError, StoppedError
from finephys.files import OutputError
from finephys.types import VideoClip
from finephys.video import VideoFile, probe, read_frames, read_span, write_video
from finephys.video.info import Orientation

SIZE = (64, 48)


def numbered(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A frame that says its number in 8 black and white columns; its top left corner is white."""
    width, height = size
    frame = np.full((height, width, 3), 90, np.uint8)
    frame[: height // 4, : width // 4] = 255
    for bit in range(8):
        column = slice(bit * width // 8, (bit + 1) * width // 8)
        frame[height // 2 :, column] = 255 * (index >> bit & 1)
    return frame


def number(frame: np.ndarray) -> int:
    """What `numbered` wrote, read at any size."""
    height, width = frame.shape[:2]
    row = frame[height * 3 // 4].mean(-1)
    return sum(int(row[(2 * bit + 1) * width // 16] > 127) << bit for bit in range(8))


def make(
    path: Path,
    count: int,
    fps: float = 30,
    size: tuple[int, int] = SIZE,
    times: list[int] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    aspect: Fraction | None = None,
    gop: int = 12,
) -> Path:
    """Write `count` numbered frames; `times` are time stamps in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size = gop
        stream.options = {"crf": "10", "preset": "ultrafast"}
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(index, size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_probe_says_what_the_file_holds(tmp_path: Path) -> None:
    info = probe(make(tmp_path / "a.mp4", 60, fps=24))
    assert (info.width, info.height, info.frames) == (64, 48, 60)
    assert info.orientation == Orientation()
    assert info.fps == pytest.approx(24)
    assert info.duration == pytest.approx(2.5)


def test_a_name_without_a_suffix_is_no_matter(tmp_path: Path) -> None:
    """Catches trust in file names."""
    made = make(tmp_path / "a.mp4", 20)
    assert probe(made.rename(tmp_path / "a.txt")).frames == 20


def test_16_frames_are_even_and_at_their_true_times(tmp_path: Path) -> None:
    """Catches off-by-one spacing: 2.5 s at 30 fps are every fifth frame, the last one included."""
    clip = read_span(make(tmp_path / "a.mp4", 100), 0.5, 2.5)
    assert [number(frame) for frame in clip.frames] == list(range(15, 91, 5))
    assert clip.fps == pytest.approx(6)
    assert clip.frame_times is None
    np.testing.assert_allclose(clip.times, 0.5 + np.arange(16) / 6, atol=1e-5)
    assert clip.notes == ()


def test_ntsc_rate_is_even_too(tmp_path: Path) -> None:
    """Catches floor(4.995) = 4, which would lose a fifth of the span at 29.97 fps."""
    clip = read_span(make(tmp_path / "a.mp4", 90, fps=30000 / 1001), 0, 2.5)
    assert [number(frame) for frame in clip.frames] == list(range(0, 76, 5))


def test_a_span_that_frames_do_not_divide_keeps_true_times(tmp_path: Path) -> None:
    """Catches times made up as even while the frames are not."""
    clip = read_span(make(tmp_path / "a.mp4", 60), 0, 23 / 30)
    shown = [number(frame) for frame in clip.frames]
    assert len(set(shown)) == 16
    assert (shown[0], shown[-1]) == (0, 23)
    assert clip.frame_times is not None
    np.testing.assert_allclose(clip.times, np.array(shown) / 30, atol=1e-5)


def test_fewer_frames_than_16_are_given_once_each(tmp_path: Path) -> None:
    """Catches repeated frames, which physics would read as a body frozen in mid-air."""
    clip = read_span(make(tmp_path / "a.mp4", 9, fps=10), 0, 2.0)
    assert [number(frame) for frame in clip.frames] == list(range(9))
    assert any("only 9 different frames" in note for note in clip.notes)


def test_a_variable_frame_rate_goes_by_time_stamps(tmp_path: Path) -> None:
    """Catches counting frames: the second half of this clip has a third of the frames."""
    times = [33 * index for index in range(30)] + [990 + 99 * index for index in range(16)]
    path = make(tmp_path / "a.mkv", len(times), times=times)
    clip = read_span(path, 0, 2.4)
    shown = [number(frame) for frame in clip.frames]
    np.testing.assert_allclose(clip.times, [times[index] / 1000 for index in shown], atol=0.002)
    even = np.linspace(clip.times[0], clip.times[-1], len(shown))
    assert np.abs(clip.times - even).max() < 0.06


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_display_matrix_is_applied(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    """Catches a sideways phone video, and a front camera's mirror image shown upside down."""
    path = make(tmp_path / "a.mp4", 20, rotation=rotation, mirrored=mirrored)
    info = probe(path)
    frame = read_span(path, 0, 0.5).frames[0]
    assert (frame.shape[1], frame.shape[0]) == (info.width, info.height)
    assert (info.width, info.height) == ((64, 48) if rotation % 180 == 0 else (48, 64))
    shown = np.rot90(numbered(0), rotation // 90)
    shown = shown[:, ::-1] if mirrored else shown
    assert np.abs(frame.astype(int) - shown).mean() < 8


@pytest.mark.parametrize(
    ("degrees", "scale", "rotation"), [(8, 1.0, 0), (80, 1.0, 90), (185, 0.5, 180), (0, 2.0, 0)]
)
def test_an_odd_display_matrix_counts_as_the_nearest(
    degrees: float, scale: float, rotation: int
) -> None:
    turn = np.deg2rad(degrees)
    matrix = [np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 0]
    orientation = Orientation.from_matrix([round(scale * 65536 * value) for value in matrix])
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(orientation.apply(picture), np.rot90(picture, rotation // 90))


def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path) -> None:
    """Catches bodies squeezed by a third in anamorphic files."""
    clip = read_span(make(tmp_path / "a.mp4", 20, aspect=Fraction(4, 3)), 0, 0.5)
    assert clip.size == (85, 48)
    assert clip.to_file == (64 / 85, 1.0)


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    clip = read_span(make(tmp_path / "a.mp4", 18, size=(400, 200)), 0, 0.5, max_side=100)
    assert clip.size == (100, 50)
    assert clip.to_file == (4.0, 4.0)


def test_the_span_is_cut_where_the_clip_ends(tmp_path: Path) -> None:
    clip = read_span(make(tmp_path / "a.mp4", 60), 1.0, 2.0)
    assert clip.times[-1] <= 59 / 30 + 1e-4
    assert any("ends" in note for note in clip.notes)


def test_a_long_span_warns(tmp_path: Path) -> None:
    clip = read_span(make(tmp_path / "a.mp4", 120), 0, 3.5)
    assert any("longer than 2.5 s" in note for note in clip.notes)


@pytest.mark.parametrize("start", [-0.1, 2.0, 99, float("nan"), float("inf")])
def test_a_start_outside_the_clip(tmp_path: Path, start: float) -> None:
    with pytest.raises(ClipError, match=r"lasts 2.00 s; choose a start from 0 to 1.97 s"):
        read_span(make(tmp_path / "a.mp4", 60), start, 1)


@pytest.mark.parametrize("span", [0, -1, float("nan"), float("inf")])
def test_a_span_that_is_none(tmp_path: Path, span: float) -> None:
    with pytest.raises(ClipError, match="choose more than 0 s"):
        read_span(make(tmp_path / "a.mp4", 60), 0, span)


def test_seeking_gives_the_same_frames_as_decoding_on(tmp_path: Path) -> None:
    """Catches a seek that lands after the frame wanted."""
    path = make(tmp_path / "a.mp4", 110, gop=7)
    wanted = [0.0, 0.1, 1.3, 1.36, 2.9, 3.6]
    with VideoFile(path) as file:
        times, frames = read_frames(file, wanted)
        assert not file.damage
    assert [number(frame) for frame in frames] == [round(time * 30) for time in times]
    np.testing.assert_allclose(times, np.round(np.array(wanted) * 30) / 30, atol=0.018)


def test_one_frame_wanted_twice_is_given_once(tmp_path: Path) -> None:
    """Catches a repeated frame where two wanted times lie nearest to the same one."""
    with VideoFile(make(tmp_path / "a.mp4", 20)) as file:
        times, frames = read_frames(file, [0.1, 0.101, 0.2])
    assert [number(frame) for frame in frames] == [3, 6]
    assert len(times) == 2


def test_stop_ends_reading(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        read_span(make(tmp_path / "a.mp4", 60), 0, 1, stop=lambda: True)


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (1, 1)])
def test_what_is_written_is_read_back(tmp_path: Path, size: tuple[int, int]) -> None:
    """Catches odd sizes, which H.264 in yuv420p refuses, and a wrong frame rate."""
    path = tmp_path / "new" / "a.mp4"
    frames = np.stack([numbered(index, size) for index in range(16)])
    write_video(path, VideoClip(frames, fps=6.4))
    info = probe(path)
    assert info.fps == pytest.approx(6.4)
    assert (info.width, info.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    back = read_span(path, 0, 15 / 6.4)
    assert len(back.frames) == 16
    shown = back.frames[:, : size[1], : size[0]].astype(int)
    assert np.abs(shown - frames).mean() < 6


def test_browsers_can_play_what_is_written(tmp_path: Path) -> None:
    """Catches yuv444p and a header at the end of the file."""
    path = tmp_path / "a.mp4"
    write_video(path, VideoClip(np.stack([numbered(index) for index in range(16)]), fps=8))
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches half-written files and libraries' own error texts; /dev/full is always full."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which Linux has")
    monkeypatch.setattr("finephys.files.secrets.token_hex", lambda _: "a")
    (tmp_path / ".a.partial.mp4").symlink_to("/dev/full")
    clip = VideoClip(np.stack([numbered(index) for index in range(16)]), fps=8)
    with pytest.raises(OutputError, match="the disk is full; free some space and try again"):
        write_video(tmp_path / "a.mp4", clip)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    clip = VideoClip(np.stack([numbered(index) for index in range(4)]), fps=8)
    with pytest.raises(OutputError, match="was not written"):
        write_video(tmp_path / "file" / "a.mp4", clip)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    """x264's macroblock tree varies from run to run; a seed must give one video."""
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 255, (16, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    files = set()
    for index in range(6):
        path = tmp_path / f"{index}.mp4"
        write_video(path, VideoClip(smooth, fps=8))
        files.add(path.read_bytes())
    assert len(files) == 1
