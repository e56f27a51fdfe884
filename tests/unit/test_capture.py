"""Motion capture is read as it is, libraries hold no held-out seed."""

from pathlib import Path

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.motion import library
from finephys.motion.capture import read_capture
from finephys.motion.library import HELD_OUT_SEED, build_library, load_library
from finephys.motion.simulation import simulate
from finephys.types import WorldMotion

MOCAP = Path(__file__).resolve().parents[3] / "shared" / "data" / "mocap"


def falling(frames: int = 31, fps: float = 30.0) -> WorldMotion:
    """All joints rise together by 0.1 m a frame; the last third is in flight."""
    joints = np.zeros((frames, 17, 3), np.float32)
    joints[..., 2] = 0.1 * np.arange(frames)[:, None]
    return WorldMotion(joints, fps, np.arange(frames) > 20, 25, "made up")


def write(folder: Path, name: str, motion: WorldMotion) -> None:
    np.savez(folder / name, joints=motion.joints, fps=np.float32(motion.fps), source="made up")


def test_only_files_whose_licence_allows_shipping_are_read(tmp_path: Path) -> None:
    """Catches weights trained on clips that must not be shipped."""
    for name in ("cmu_1.npz", "cmue_2.npz", "dm_3.npz", "mass_4.npz"):
        write(tmp_path, name, falling())
    assert [one.source.split(":")[0] for one in read_capture(tmp_path)] == ["cmu_1", "cmue_2"]
    assert len(read_capture(tmp_path, shippable_only=False)) == 4


def test_a_folder_without_captures_and_a_file_without_joints_are_clear_errors(
    tmp_path: Path,
) -> None:
    """Catches training on nothing without a word."""
    with pytest.raises(RequestError, match="contains no motion capture"):
        read_capture(tmp_path)
    np.savez(tmp_path / "cmu_1.npz", fps=30.0)
    with pytest.raises(RequestError, match="lacks joints, source"):
        read_capture(tmp_path)


def test_a_library_comes_back_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches motions cut in the wrong place and flags of another motion."""
    monkeypatch.setattr(library, "ACTIONS", [a for a in library.ACTIONS if a.id in (10, 21)])
    path = tmp_path / "deep" / "library.npz"
    build_library(path, per_class=2, first_seed=5, processes=1)
    motions = load_library(path)
    assert [one.action for one in motions] == [10, 10, 21, 21]
    again = simulate(10, 6)
    assert np.array_equal(motions[1].joints, again.joints)
    assert np.array_equal(motions[1].flight, again.flight)
    assert list(tmp_path.rglob("*.partial*")) == []


@pytest.mark.parametrize("first", [-1, HELD_OUT_SEED - 1, HELD_OUT_SEED])
def test_held_out_seeds_cannot_enter_a_library(tmp_path: Path, first: int) -> None:
    """Catches training on the motions that benchmarks judge by."""
    with pytest.raises(RequestError, match="held out"):
        build_library(tmp_path / "library.npz", per_class=2, first_seed=first)


def test_a_missing_library_names_the_command_that_makes_it(tmp_path: Path) -> None:
    """Catches a bare FileNotFoundError."""
    with pytest.raises(RequestError, match=r"python -m finephys\.motion\.library"):
        load_library(tmp_path / "none.npz")


@pytest.mark.skipif(not MOCAP.is_dir(), reason="no motion capture beside the repository")
def test_real_captures_are_rigid_bodies_above_the_floor() -> None:
    """Catches a wrong unit or axis order."""
    motions = read_capture(MOCAP)
    assert len(motions) >= 40
    for one in motions:
        assert one.action is None
        height = float(np.median(one.joints[..., 2].max(1)))
        assert 0.2 < height < 4.0
