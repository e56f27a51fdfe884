"""Several methods' videos in one grid: each in its own place, under its own name."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from finephys.drawing import PANEL, comparison_video, panels_2d
from finephys.skeleton import FRAMES
from finephys.types import Pose2D, VideoClip


def plain(level: int, size: tuple[int, int] = (64, 64)) -> VideoClip:
    levels = np.arange(FRAMES, dtype=np.uint8) + np.uint8(level)
    frames = np.broadcast_to(levels[:, None, None, None], (FRAMES, size[1], size[0], 3))
    return VideoClip(np.ascontiguousarray(frames), fps=7.5)


@pytest.mark.parametrize(("count", "clip"), [(2, None), (3, (90, 60)), (7, (60, 90))])
def test_every_video_is_in_its_place_and_moves(count: int, clip: tuple[int, int] | None) -> None:
    """Catches one frame for ever, a wrong order, and a clip stretched into the square."""
    videos = {f"method {index}": plain(20 + 30 * index) for index in range(count)}
    poses = SimpleNamespace(clip=None if clip is None else plain(5, clip))
    made = comparison_video(poses, videos)  # type: ignore[arg-type]
    shown = ([] if clip is None else [poses.clip]) + list(videos.values())
    columns = min(4, len(shown))
    height = made.frames.shape[1] // -(-len(shown) // columns)
    assert made.frames.shape[2] == columns * PANEL
    assert made.fps == 7.5
    for index, video in enumerate(shown):
        row, column = divmod(index, columns)
        panel = made.frames[:, row * height : (row + 1) * height, column * PANEL :][:, :, :PANEL]
        middle = (height - PANEL) + PANEL // 2
        assert np.array_equal(panel[:, middle, PANEL // 2], video.frames[:, 0, 0])
        assert panel[0, : height - PANEL].min() < 120  # its name is written
        if video.size[0] < video.size[1]:
            assert panel[0, middle, 2].min() == 255


def test_the_frame_under_a_pose_is_the_one_at_its_time() -> None:
    """Catches frames counted instead of timed: the last ten frames fill a sixth of this clip."""
    times = np.r_[np.arange(6) * 0.4, 2.0 + np.arange(1, 11) * 0.04].astype(np.float32)
    clip = replace(plain(20), frame_times=times)
    levels = clip.frames[np.abs(times[None] - clip.pose_times[:, None]).argmin(1), 0, 0, 0]
    nobody = Pose2D(np.zeros((FRAMES, 17, 2), np.float32), np.zeros((FRAMES, 17), np.float32))
    panels = panels_2d(nobody, clip.size, clip)
    np.testing.assert_array_equal([panel[PANEL // 2, PANEL // 2, 0] for panel in panels], levels)
    assert len(set(levels.tolist())) < 12
    grid = comparison_video(SimpleNamespace(clip=clip), {"a": plain(90)})  # type: ignore[arg-type]
    shown = grid.frames[:, -PANEL // 2, PANEL // 2, 0]
    np.testing.assert_array_equal(shown, levels)
