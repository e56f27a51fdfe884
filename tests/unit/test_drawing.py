"""Several methods' videos in one grid: each in its own place, under its own name."""

from types import SimpleNamespace

import numpy as np
import pytest

from finephys.drawing import PANEL, comparison_video
from finephys.skeleton import FRAMES
from finephys.types import VideoClip


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
