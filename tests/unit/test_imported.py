"""Videos of systems that run elsewhere: checked on import, looked up by class and seed."""

from pathlib import Path

import numpy as np
import pytest

from finephys.errors import RequestError, StoppedError, WeightsError, WeightsMissingError
from finephys.generator.imported import ImportedVideos, ImportRefusedError, import_videos
from finephys.generator.protocol import Sampling
from finephys.generator.registry import load_generator, weights_file
from finephys.generator.systems import INDEX, SYSTEMS, import_folder
from finephys.skeleton import FRAMES
from finephys.types import VideoClip
from finephys.video import write_video
from finephys.weights.checkpoints import ROOT_VARIABLE

NAME = "follow-your-pose"


def write(path: Path, level: int, frames: int = FRAMES, fps: float = 8.0) -> None:
    """A video that brightens, so that its frames are told apart."""
    ramp = np.linspace(0, 60, frames)[:, None, None, None] + level
    picture = np.broadcast_to(ramp, (frames, 48, 64, 3)).astype(np.uint8)
    write_video(path, VideoClip(np.ascontiguousarray(picture), fps))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "checkpoints"))
    folder = tmp_path / "theirs"
    for name, level in (("12_0.mp4", 40), ("12_3.mp4", 90), ("38_0.mp4", 140)):
        write(folder / name, level)
    return folder


def taken(action: int | None, seed: int) -> VideoClip:
    videos = load_generator(NAME)
    assert isinstance(videos, ImportedVideos)
    return next(iter(videos.denoise(Sampling(None, "", seed, 1, 1.0, 30.0, action=action))))


def test_class_and_seed_choose_the_video(source: Path) -> None:
    assert set(import_videos(NAME, source)) == {"12_0.mp4", "12_3.mp4", "38_0.mp4"}
    for action, seed, level in ((12, 0, 40), (12, 3, 90), (38, 0, 140)):
        clip = taken(action, seed)
        assert clip.frames.shape == (FRAMES, 48, 64, 3)
        assert abs(float(clip.frames[0].mean()) - level) < 6
        assert clip.fps == pytest.approx(8.0, rel=0.01)  # its own, not the one asked for
    for action, seed in ((12, 1), (6, 0)):
        with pytest.raises(RequestError, match=rf"class {action} and seed {seed}.*3 others"):
            taken(action, seed)
    with pytest.raises(RequestError, match="no class was given; choose an action"):
        taken(None, 0)  # and not: add None_0.mp4


def test_a_longer_video_gives_16_frames_of_all_of_it(source: Path) -> None:
    """Catches the first second taken for the whole."""
    write(source / "20_0.mp4", 40, frames=33, fps=16.0)
    import_videos(NAME, source)
    clip = taken(20, 0)
    assert len(clip.frames) == FRAMES
    assert abs(float(clip.frames[-1].mean()) - 100) < 8
    assert clip.fps < 9


def test_all_faults_are_said_at_once_and_nothing_is_taken(source: Path) -> None:
    write(source / "12_7.mp4", 40, frames=10)
    write(source / "41_0.mp4", 40)
    write(source / "clip.mp4", 40)
    (source / "13_0.mp4").write_bytes(b"not a video at all")
    whole = (source / "12_0.mp4").read_bytes()
    (source / "14_0.mp4").write_bytes(whole[: len(whole) // 3])
    (source / "12_99999999999.mp4").write_bytes(whole)
    (source / "12_0.MKV").write_bytes(whole)
    (source / "06_0.mp4").write_bytes(whole)  # would be taken, and never found as class 6, seed 0
    (source / "6_00.mp4").write_bytes(whole)
    with pytest.raises(ImportRefusedError) as refused:
        import_videos(NAME, source)
    said = str(refused.value)
    for words in (
        "12_7.mp4 has 10 frames",
        "41_0.mp4: class 41 is not one of 6 to 40",
        "clip.mp4 is not named",
        "13_0.mp4 cannot be read",
        "14_0.mp4",
        "12_99999999999.mp4 is not named",
        "12_0 appears 2 times",
        "06_0.mp4 is not named",
        "6_00.mp4 is not named",
        "9 of 12 files",
    ):
        assert words in said, words
    assert not import_folder(NAME).exists()
    with pytest.raises(WeightsMissingError):
        weights_file(NAME)


def test_an_empty_folder_and_wrong_names_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportRefusedError, match="empty holds no video; give"):
        import_videos(NAME, tmp_path / "empty")
    with pytest.raises(RequestError, match="is not a directory"):
        import_videos(NAME, tmp_path / "nowhere")
    for name in ("latte", "sora"):
        with pytest.raises(RequestError, match="follow-your-pose, videocrafter"):
            import_videos(name, source)


def test_a_second_import_adds_and_replaces(source: Path, tmp_path: Path) -> None:
    import_videos(NAME, source)
    write(tmp_path / "more" / "12_0.mp4", 150)
    write(tmp_path / "more" / "9_1.mp4", 20)
    found = import_videos(NAME, tmp_path / "more")
    assert set(found) == {"12_0.mp4", "12_3.mp4", "38_0.mp4", "9_1.mp4"}
    assert abs(float(taken(12, 0).frames[0].mean()) - 150) < 6


def test_nothing_steps_in_for_what_is_missing_or_changed(source: Path) -> None:
    with pytest.raises(WeightsMissingError, match=f"python -m finephys import {NAME} FOLDER"):
        load_generator(NAME)
    import_videos(NAME, source)
    with pytest.raises(WeightsMissingError, match="import videocrafter"):
        load_generator("videocrafter")
    write(import_folder(NAME) / "12_0.mp4", 10)
    with pytest.raises(WeightsError, match=r"12_0\.mp4 is not what was imported"):
        taken(12, 0)
    (import_folder(NAME) / INDEX).write_text("[")
    with pytest.raises(WeightsError, match="damaged"):
        load_generator(NAME)


def test_stop_comes_before_reading(source: Path) -> None:
    import_videos(NAME, source)
    with pytest.raises(StoppedError):
        next(load_generator(NAME).denoise(Sampling(None, "", 0, 1, 1.0, 8.0, stop=lambda: True)))


def test_every_imported_system_loads_its_own_videos(source: Path) -> None:
    for name in (system.name for system in SYSTEMS.values() if not system.fetched):
        import_videos(name, source)
        assert load_generator(name).size == 48
        assert weights_file(name) == import_folder(name) / INDEX
