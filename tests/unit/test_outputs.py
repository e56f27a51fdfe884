"""Exports say what the stages said, in the pixels of the file."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finephys.drawing import PANEL, poses_video
from finephys.files import OutputError
from finephys.outputs import write_marked_video, write_poses, write_request
from finephys.pose_files import read_reprojected
from finephys.types import (
    MOTION_ARRAYS,
    CameraMotion,
    LimbHeatmaps,
    Motion,
    Pose2D,
    Pose3D,
    Poses,
    Request,
    Result,
    VideoClip,
)


def poses(seed: int, to_file: tuple[float, float] = (1.0, 1.0)) -> Poses:
    rng = np.random.default_rng(seed)

    def body(mode: str) -> Pose3D:
        xyz = rng.normal(0, 0.5, (16, 17, 3)).astype(np.float32)
        return Pose3D(xyz - xyz[:, :1], np.zeros((16, 3), np.float32), mode)

    def flat() -> Pose2D:
        xy = rng.uniform(10, 60, (16, 17, 2)).astype(np.float32)
        return Pose2D(xy, rng.uniform(0.2, 1, (16, 17)).astype(np.float32))

    arrays = {name: np.ones(shape, np.float32) for name, shape in MOTION_ARRAYS.items()}
    frames = rng.integers(0, 255, (16, 72, 96, 3), np.uint8)
    return Poses(
        clip=VideoClip(frames, fps=8, to_file=to_file),
        size=(96, 72),
        frame_times=np.arange(16, dtype=np.float32) / 8,
        dt=1 / 8,
        camera=CameraMotion(np.tile(np.eye(3), (16, 1, 1)), True, "still"),
        detected=flat(),
        data_driven=body("lifted"),
        motion=Motion(body("f"), body("b"), body("c"), **arrays, dynamics="euler-lagrange"),
        fused=body("average"),
        reprojected=flat(),
        notes=("one", "two"),
    )


@given(seed=st.integers(0, 1000), x=st.floats(0.5, 8), y=st.floats(0.5, 8))
@settings(max_examples=10, deadline=None)
def test_npz_round_trip(
    tmp_path_factory: pytest.TempPathFactory, seed: int, x: float, y: float
) -> None:
    """Pixels of a scaled or squeezed file must come back as they were worked in."""
    path = tmp_path_factory.mktemp("out") / "poses.npz"
    made = poses(seed, (x, y))
    write_poses(path, made)
    back, times = read_reprojected(path)
    np.testing.assert_allclose(back.xy, made.reprojected.xy, rtol=1e-5)
    np.testing.assert_array_equal(times, made.frame_times)
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_allclose(file["detected_xy"][..., 0], made.detected.xy[..., 0] * x)
        np.testing.assert_array_equal(file["physics"], made.motion.combined.xyz)
        np.testing.assert_array_equal(file["data_driven"], made.data_driven.xyz)
        assert str(file["fusion"]) == "average"
        assert str(file["notes"]).split("\n") == ["one", "two"]


def test_a_video_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    """Catches a message about the temporary file, which nobody knows."""
    (tmp_path / "file").touch()
    clip = poses(0).clip
    assert clip is not None
    with pytest.raises(OutputError, match=r"file/a\.mp4 was not written"):
        write_marked_video(tmp_path / "file" / "a.mp4", clip)


def test_request_json_is_whole(tmp_path: Path) -> None:
    made = poses(0)
    heatmaps = LimbHeatmaps((np.zeros((16, 16, 4, 4), np.float32),))
    result = Result(
        Request(prompt="größe 🤸", action=24, seed=7),
        made,
        heatmaps,
        made.clip or pytest.fail("no clip"),
        {"video": 1.5},
        {"tier": "tiny"},
    )
    path = tmp_path / "run.json"
    write_request(path, result)
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["request"]["prompt"] == "größe 🤸"
    assert record["request"]["action"] == 24
    assert record["seconds"] == {"video": 1.5}
    assert record["notes"] == ["one", "two"]


def test_four_panels_show_four_different_things() -> None:
    video = poses_video(poses(3))
    assert video.frames.shape == (16, PANEL, 4 * PANEL, 3)
    panels = np.split(video.frames, 4, axis=2)
    for first in range(4):
        for second in range(first):
            assert not np.array_equal(panels[first], panels[second])
    assert video.fps == pytest.approx(8)


def test_a_joint_nobody_saw_is_not_drawn() -> None:
    from finephys.drawing import draw_skeleton

    picture = np.full((72, 96, 3), 250, np.uint8)
    made = poses(1)
    draw_skeleton(picture, made.detected.xy[0], np.zeros(17, np.float32))
    assert (picture == 250).all()
    draw_skeleton(picture, made.detected.xy[0])
    assert (picture != 250).any()
