"""Lift the 2D poses of an npz file to 3D and back: windows of 16 frames, or one long sequence."""

from pathlib import Path

import numpy as np

from finephys.errors import RequestError
from finephys.pipeline import Pipeline
from finephys.pose3d.windows import PoseWindows
from finephys.pose_files import LARGEST_SIDE, LARGEST_XY, check_range, read_arrays
from finephys.sequence import PoseSequence, lift_sequence
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import Float

_J = len(JOINTS)

SLOWEST_FPS, FASTEST_FPS = 0.1, 2000.0
"""Frames per second of windows, of real time: high-speed cameras and slowed-down clips included."""


def lift_file(
    pipeline: Pipeline, path: Path, body_height: float, fusion: str, dynamics: str | None
) -> tuple[str, dict[str, Float]]:
    """Lift the poses of a file. It is read and checked before any model is loaded.

    Args:
        pipeline: lifts.
        path: npz with xy (N, 16, 17, 2) or (T, 17, 2) pixels, score of the same shape without the
            last axis in [0, 1], size (2,) width and height in pixels, and fps: one number, or one
            for each window.
        body_height: metres, 0.3 to 3.
        fusion: key of `fusion.FUSIONS`.
        dynamics: PhysNet's; None: the weights' own default.

    Returns:
        How much was lifted, such as "3 windows", and float32 arrays by name: data_driven, physics
        and fused (..., 17, 3) metres, root-relative, camera axes; reprojected_xy (..., 17, 2)
        pixels; of a sequence also root (T, 3) metres.

    Raises:
        RequestError: an array is missing, or has another shape or values out of range, or the poses
            are so far from any body that the result is not finite.
    """
    poses = _read_poses(path, body_height)
    lifted: dict[str, Float]
    if isinstance(poses, PoseSequence):
        lifted = vars(lift_sequence(pipeline, poses, body_height, fusion, dynamics=dynamics))
    else:
        staged = pipeline.lift(poses, fusion, dynamics=dynamics)
        lifted = {
            "data_driven": staged.data_driven.xyz,
            "physics": staged.motion.combined.xyz,
            "fused": staged.fused.xyz,
            "reprojected_xy": staged.reprojected_xy,
        }
    for name, values in lifted.items():
        if not np.isfinite(values).all():
            raise RequestError(
                f"{path} cannot be lifted: {name} would not be finite; check that xy is in pixels "
                "of an image of the given size."
            )
    kind = "frames" if isinstance(poses, PoseSequence) else "windows"
    return f"{len(poses.xy)} {kind}", lifted


def _read_poses(path: Path, body_height: float) -> PoseWindows | PoseSequence:
    """Read windows, or a sequence if xy has three axes; see `lift_file`."""
    arrays = read_arrays(path, ("xy", "score", "size", "fps"))
    xy, score, size, fps = (arrays[name] for name in ("xy", "score", "size", "fps"))
    sequence = xy.ndim == 3
    count = len(xy) if xy.ndim else 0
    frames = (count,) if sequence else (count, FRAMES)
    if xy.shape != (*frames, _J, 2):
        raise RequestError(
            f"xy in {path} is {xy.shape}; expected ('N', {FRAMES}, {_J}, 2) for windows, or "
            f"('T', {_J}, 2) for a sequence."
        )
    if not count:
        raise RequestError(f"xy in {path} is empty; give at least one window, or one frame.")
    if score.shape != (*frames, _J):
        raise RequestError(f"score in {path} is {score.shape}; expected {(*frames, _J)}.")
    if size.shape != (2,):
        raise RequestError(
            f"size in {path} is {size.shape}; expected (2,), width and height in pixels."
        )
    if fps.shape not in ({(), (1,)} if sequence else {(), (1,), (count,)}):
        wanted = "one number" if sequence else "one number, or one for each window"
        raise RequestError(f"fps in {path} is {fps.shape}; give {wanted}.")
    check_range(xy, -LARGEST_XY, LARGEST_XY, f"xy in {path}", "pixels")
    check_range(score, 0, 1, f"score in {path}", "")
    check_range(size, 1, LARGEST_SIDE, f"size in {path}", "pixels")
    width, height = (round(float(side)) for side in size)
    xy, score = xy.astype(np.float32), score.astype(np.float32)
    if sequence:
        return PoseSequence(xy, score, float(fps.reshape(())), (width, height))
    check_range(fps, SLOWEST_FPS, FASTEST_FPS, f"fps in {path}", "frames a second")
    return PoseWindows(
        xy=xy,
        score=score,
        size=(width, height),
        dt=np.broadcast_to(1 / fps, (count,)).astype(np.float32),
        body_height=body_height,
        ballistic=np.ones(count, np.float32),
    )
