"""2D poses of an npz file to 3D and back: windows of 16 frames, or one long sequence."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finephys.errors import RequestError
from finephys.outputs import read_arrays
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import Float

if TYPE_CHECKING:
    from finephys.pipeline import Pipeline


def lift_file(
    pipeline: "Pipeline", path: Path, body_height: float, fusion: str, dynamics: str | None
) -> tuple[str, dict[str, Float]]:
    """Lift what a file holds.

    Args:
        pipeline: lifts.
        path: npz with xy (N, 16, 17, 2) or (T, 17, 2) pixels, score, size (2,) and fps.
        body_height: metres.
        fusion: key of `fusion.FUSIONS`.
        dynamics: PhysNet's; None: the weights' own default.

    Returns:
        How much was lifted, for people, and the arrays by name.

    Raises:
        RequestError: an array is missing or of another shape.
    """
    arrays = read_arrays(path, ("xy", "score", "size", "fps"))
    if arrays["size"].shape != (2,):
        raise RequestError(
            f"size in {path} is {arrays['size'].shape}; expected (2,), width and height in pixels."
        )
    sequence = arrays["xy"].ndim == 3
    run = _lift_sequence if sequence else _lift_windows
    lifted = run(pipeline, arrays, path, body_height, fusion, dynamics)
    return f"{len(arrays['xy'])} {'frames' if sequence else 'windows'}", lifted


def _image_size(arrays: dict[str, np.ndarray]) -> tuple[int, int]:
    width, height = arrays["size"].tolist()
    return round(float(width)), round(float(height))


def _lift_sequence(
    pipeline: "Pipeline",
    arrays: dict[str, np.ndarray],
    path: Path,
    body_height: float,
    fusion: str,
    dynamics: str | None,
) -> dict[str, Float]:
    from finephys.sequence import PoseSequence, lift_sequence

    if arrays["fps"].size != 1:
        raise RequestError(f"fps has shape {arrays['fps'].shape}; give one number for a sequence.")
    poses = PoseSequence(
        arrays["xy"].astype(np.float32),
        arrays["score"].astype(np.float32),
        float(arrays["fps"].reshape(())),
        _image_size(arrays),
    )
    lifted = lift_sequence(pipeline, poses, body_height, fusion, dynamics=dynamics)
    return vars(lifted)


def _lift_windows(
    pipeline: "Pipeline",
    arrays: dict[str, np.ndarray],
    path: Path,
    body_height: float,
    fusion: str,
    dynamics: str | None,
) -> dict[str, Float]:
    from finephys.pose3d.windows import PoseWindows

    count = len(arrays["xy"]) if arrays["xy"].ndim else 0
    wanted = {"xy": (count, FRAMES, len(JOINTS), 2), "score": (count, FRAMES, len(JOINTS))}
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise RequestError(
                f"{name} in {path} is {arrays[name].shape}; expected "
                f"{('N', *shape[1:])}, or {('T', *shape[2:])} for a sequence."
            )
    fps = arrays["fps"].astype(np.float32)
    if fps.shape not in {(), (1,), (count,)} or not (fps > 0).all():
        raise RequestError(
            f"fps in {path} is {fps.shape}; give one positive number, or one a window."
        )
    windows = PoseWindows(
        xy=arrays["xy"].astype(np.float32),
        score=arrays["score"].astype(np.float32),
        size=_image_size(arrays),
        dt=np.broadcast_to(1 / fps, (count,)).astype(np.float32),
        body_height=body_height,
        ballistic=np.ones(count, np.float32),
    )
    lifted = pipeline.lift(windows, fusion, dynamics=dynamics)
    return {
        "data_driven": lifted.data_driven.xyz,
        "physics": lifted.motion.combined.xyz,
        "fused": lifted.fused.xyz,
        "reprojected_xy": lifted.reprojected_xy,
    }
