"""Real motion capture, and windows of 16 frames taken from any motion."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finephys.errors import RequestError
from finephys.skeleton import FRAMES
from finephys.types import Bool, Float, WorldMotion

SHIPPABLE = ("cmu_", "cmue_")
"""Beginnings of the names of files whose licence lets weights trained on them be shipped: CMU
Graphics Lab motion capture (mocap.cs.cmu.edu, NSF EIA-0196217)."""

_CONTACT_HEIGHT = 0.20
"""Metres. Design choice: no ankle of a body that stands, even on its toes, is higher."""


def read_capture(folder: Path, shippable_only: bool = True) -> list[WorldMotion]:
    """Read every motion of a folder of npz files (`joints` (T,17,3) metres, z up, `fps`, `source`).

    Args:
        folder: holds the npz files.
        shippable_only: leave out files whose names do not begin with one of SHIPPABLE.

    Returns:
        Motions ordered by file name, floor at z = 0; `flight` is True where every joint is more
        than 0.20 m above the floor (an estimate: captures carry no contact).

    Raises:
        RequestError: the folder holds no such file, or one lacks an array.
    """
    files = sorted(Path(folder).glob("*.npz"))
    if shippable_only:
        files = [file for file in files if file.name.startswith(SHIPPABLE)]
    if not files:
        raise RequestError(
            f"{folder} holds no motion capture (npz files); give a folder that does."
        )
    return [_read(file) for file in files]


def _read(file: Path) -> WorldMotion:
    with np.load(file, allow_pickle=False) as data:
        missing = {"joints", "fps", "source"} - set(data.files)
        if missing:
            raise RequestError(
                f"{file.name} lacks {', '.join(sorted(missing))}; a capture holds joints, fps and "
                "source."
            )
        joints = data["joints"].astype(np.float32)
        fps, source = float(data["fps"]), str(data["source"])
    flight = joints[..., 2].min(1) > _CONTACT_HEIGHT
    return WorldMotion(joints, fps, flight, None, f"{file.stem}: {source}")


@dataclass(frozen=True)
class Window:
    """Sixteen evenly spaced frames of a motion.

    Attributes:
        joints: float32 (16, 17, 3) metres, world axes, floor at z = 0.
        flight: bool (16,).
        dt: seconds between frames.
        action: FineGym class, or None.
    """

    joints: Float
    flight: Bool
    dt: float
    action: int | None


def duration(motion: WorldMotion) -> float:
    """Seconds from the first frame to the last."""
    return (len(motion.joints) - 1) / motion.fps


def sample_window(motion: WorldMotion, start: float, span: float) -> Window:
    """Sixteen evenly spaced frames, interpolated between the motion's own by cubic Hermite.

    Args:
        motion: at least two frames.
        start: seconds from the first frame of the motion to the first of the window.
        span: seconds from the first to the last frame of the window.

    Returns:
        The window; `flight` is that of the nearest frame.

    Raises:
        RequestError: the window is not inside the motion.
    """
    whole = duration(motion)
    if not (start >= 0 and span > 0 and start + span <= whole + 1e-6):
        raise RequestError(
            f"a window of {span:.3g} s from {start:.3g} s does not fit a motion of {whole:.3g} s."
        )
    last = len(motion.joints) - 1
    at = np.clip((start + span * np.linspace(0, 1, FRAMES)) * motion.fps, 0, last)
    low = np.minimum(at.astype(int), last - 1)
    s = (at - low)[:, None, None]
    around = [motion.joints[np.clip(low + k, 0, last)].astype(np.float64) for k in (-1, 0, 1, 2)]
    before, first, second, after = around
    slope0 = np.where((low > 0)[:, None, None], (second - before) / 2, second - first)
    slope1 = np.where((low + 2 <= last)[:, None, None], (after - first) / 2, second - first)
    joints = (
        (1 + 2 * s) * (1 - s) ** 2 * first
        + s**2 * (3 - 2 * s) * second
        + s * (1 - s) ** 2 * slope0
        - s**2 * (1 - s) * slope1
    )
    flight = motion.flight[np.round(at).astype(int)]
    dt = span / (FRAMES - 1)
    return Window(joints.astype(np.float32), flight, dt, motion.action)


def random_window(motion: WorldMotion, span: float, rng: np.random.Generator) -> Window:
    """A window of at most `span` seconds from a random place of a motion; shorter where it is."""
    whole = duration(motion)
    span = min(span, whole)
    return sample_window(motion, float(rng.uniform(0, max(whole - span, 0.0))), span)
