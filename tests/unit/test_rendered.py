"""Rendered training clips: the right moment, the whole truth, the same for the same seed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from finephys.data import rendered
from finephys.data.clips import ClipBatch, RenderedClips
from finephys.data.rendered import (
    CAPTURE_CAPTION,
    RenderedClip,
    capture_captions,
    render_clip,
    render_dataset,
    sample_window,
)
from finephys.errors import RequestError
from finephys.types import WorldMotion


def _motion(action: int | None = 25, frames: int = 90, fps: float = 30.0) -> WorldMotion:
    """A body turning on the spot and leaving the floor from 1.0 s to 1.6 s."""
    rng = np.random.default_rng(3)
    body = rng.uniform([-0.4, -0.3, 0.1], [0.4, 0.3, 1.6], (17, 3))
    angle = np.linspace(0, 3, frames)
    turn = np.zeros((frames, 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 1, 0] = np.sin(angle)
    turn[:, 0, 1] = -np.sin(angle)
    turn[:, 2, 2] = 1
    joints = np.einsum("fij,nj->fni", turn, body).astype(np.float32)
    flight = np.zeros(frames, np.bool_)
    flight[round(fps) : round(1.6 * fps)] = action is not None
    return WorldMotion(joints, fps, flight, action, f"a turning body of class {action}")


def test_windows_hold_the_flight() -> None:
    """Catches a random window that shows the run-up only, under the caption of a salto."""
    motion = _motion()
    for seed in range(40):
        start, span = sample_window(motion, np.random.default_rng(seed))
        assert 1.0 <= span <= 2.5
        assert start <= 1.0 + 1e-9
        assert start + span >= 1.6 - 1e-9
        assert start >= 0
        assert start + span <= 89 / 30 + 1e-9


def test_a_short_motion_is_shown_whole() -> None:
    """Catches a window that runs over the end of the motion."""
    start, span = sample_window(_motion(None, frames=20), np.random.default_rng(0))
    assert (start, span) == pytest.approx((0.0, 19 / 30))


def test_a_clip_carries_its_whole_truth() -> None:
    """Catches frames, silhouette and joints of different views, and a prompt of another look."""
    clip = render_clip(_motion(), np.random.default_rng(5))
    assert clip.frames.shape == (16, 64, 64, 3)
    assert clip.silhouette.shape == (16, 64, 64)
    assert clip.action == 25
    assert 1.0 <= clip.span <= 2.5
    assert clip.prompt.startswith("A person jumps and rotates forward")
    assert " leotard, " in clip.prompt
    same = render_clip(_motion(), np.random.default_rng(5))
    assert (clip.frames == same.frames).all()
    assert clip.prompt == same.prompt
    plain = render_clip(_motion(None), np.random.default_rng(5), caption="A person walks.")
    assert plain.prompt.startswith("A person walks. A")
    assert plain.action is None


def test_captures_get_a_sentence_for_what_they_show(tmp_path: Path) -> None:
    """Catches captures and simulations that swap captions."""
    np.savez(tmp_path / "cmu_1.npz", action=np.array("forward jumps, turn around"))
    np.savez(tmp_path / "cmu_2.npz", action=np.array("something unheard of"))
    motions = [
        WorldMotion(_motion().joints, 30.0, _motion().flight, action, source)
        for action, source in ((None, "cmu_1: CMU"), (25, "simulation"), (None, "cmu_2: CMU"))
    ]
    assert capture_captions(tmp_path, motions) == ["A person jumps.", None, CAPTURE_CAPTION]


def test_a_single_frame_cannot_be_filmed() -> None:
    """Catches an index error instead of a sentence."""
    with pytest.raises(RequestError, match="1 frame"):
        render_clip(_motion(None, frames=1), np.random.default_rng(0))


def clips_of(folder: Path) -> ClipBatch:
    """All clips of a folder, in order."""
    files = list(RenderedClips(folder))
    joined = [np.concatenate(field) for field in zip(*files, strict=True)]
    return ClipBatch(*joined)


def test_a_dataset_resumes_and_does_not_depend_on_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches lost or repeated clips after a stop, and seeds that depend on the process."""
    monkeypatch.setattr(rendered, "SHARD", 3)
    motions = [_motion(25), _motion(None)]
    render_dataset(motions, 7, 1, tmp_path / "one", size=16)
    whole = clips_of(tmp_path / "one")
    assert whole.frames.shape == (7, 16, 16, 16, 3)
    assert len(whole.prompts) == 7
    assert 0 <= whole.canvas.min() < whole.canvas.max() <= 1
    assert set(whole.action) == {0, 25}
    files = sorted((tmp_path / "one").glob("*.npz"))
    assert [len(piece.canvas) for piece in RenderedClips(tmp_path / "one")] == [3, 3, 1]
    kept = files[0].stat().st_mtime_ns
    files[1].unlink()
    assert len(RenderedClips(tmp_path / "one")) == 4
    render_dataset(motions, 7, 1, tmp_path / "one", size=16)
    assert files[0].stat().st_mtime_ns == kept
    assert (clips_of(tmp_path / "one").frames == whole.frames).all()

    render_dataset(motions, 6, 1, tmp_path / "two", size=16, processes=2)
    assert (clips_of(tmp_path / "two").frames == whole.frames[:6]).all()


def test_a_quarter_of_the_clips_show_motion_capture() -> None:
    """Catches captures that drown, or are drowned by, the simulations of 35 classes."""
    motions = [_motion(25), _motion(12), _motion(None)]
    chosen = [rendered._choose(motions, np.random.default_rng([1, n])) for n in range(1000)]
    share = np.bincount(chosen) / 1000
    np.testing.assert_allclose(share, [0.375, 0.375, rendered.CAPTURE_SHARE], atol=0.05)


def test_two_processes_of_a_launch_render_the_clips_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches `accelerate launch`, whose processes wrote all files at once under one name."""
    calls: list[str] = []
    both = threading.Event()

    def counted(*given: object, **named: object) -> RenderedClip:
        calls.append(threading.current_thread().name)
        if len(set(calls)) > 1:
            both.set()
        both.wait(0.3)  # the first gives the second the time to begin too
        return render_clip(*given, **named)

    monkeypatch.setattr(rendered, "render_clip", counted)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(render_dataset, [_motion()], 1, 1, tmp_path, size=16) for _ in "ab"]
        for job in jobs:
            job.result()
    assert len(calls) == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"].count(
        "clips_000000.npz"
    ) == 1
    assert not list(tmp_path.glob("*part*"))


def test_another_recipe_does_not_mix_into_a_dataset(tmp_path: Path) -> None:
    """Catches shards of two seeds in one folder."""
    render_dataset([_motion()], 1, 1, tmp_path, size=16)
    with pytest.raises(RequestError, match="holds rendered clips of other motions"):
        render_dataset([_motion()], 1, 2, tmp_path, size=16)
    with pytest.raises(RequestError, match="0 motions"):
        render_dataset([], 1, 1, tmp_path / "other")
