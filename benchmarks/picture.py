"""The moving picture of README: a clip, its poses and the generated video in step.

python -m benchmarks.picture assets/finephys.gif
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from finephys.drawing import comparison_video, panels_2d, panels_3d
from finephys.pipeline import Pipeline
from finephys.types import Request, Result, VideoClip

CLIP = Path("assets/examples/double_back_tucked.mp4")
SIDE = 240


def main(out: Path) -> None:
    """Run the clip through the pipeline and write its panels as a GIF."""
    (result,) = (
        update.value
        for update in Pipeline("tiny").stream(CLIP, Request(action=38, seed=7))
        if isinstance(update.value, Result)
    )
    poses = result.poses
    fps = result.video.fps

    def panel(frames: list[np.ndarray]) -> VideoClip:
        return VideoClip(np.stack(frames), fps)

    grid = comparison_video(
        poses,
        {
            "found in the clip": panel(panels_2d(poses.detected, poses.size, poses.clip)),
            "corrected by mechanics": panel(panels_3d(poses.motion.combined)),
            "generated": result.video,
        },
    )
    height, width = grid.frames.shape[1:3]
    size = (4 * SIDE, round(4 * SIDE * height / width))
    frames = [
        Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in grid.frames
    ]
    first, *rest = [frame.quantize(128, dither=Image.Dither.NONE) for frame in frames]
    spacing = round(1000 / fps)
    first.save(out, save_all=True, append_images=rest, duration=spacing, loop=0, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
