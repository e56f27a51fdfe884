"""Fusing S_dd and S_pp into the body that is re-projected."""

from collections.abc import Callable

import numpy as np

from finephys.pose3d.windows import BodyWindows, MotionWindows
from finephys.types import Float, Request

Fusion = Callable[[BodyWindows, MotionWindows], BodyWindows]


def average(lifted: BodyWindows, motion: MotionWindows) -> BodyWindows:
    """The paper's fusion (supplement C.2): the mean of S_dd and S_pp."""
    half = np.float32(0.5)
    other = motion.combined
    xyz: Float = half * (lifted.xyz + other.xyz)
    root: Float = half * (lifted.root + other.root)
    return BodyWindows(xyz, root)


def physics(_: BodyWindows, motion: MotionWindows) -> BodyWindows:
    """S_pp alone.

    Design choice: it already holds S_dd and the detections, each as far as it can be trusted;
    averaging brings the jitter of S_dd back.
    """
    return motion.combined


def data_driven(lifted: BodyWindows, _: MotionWindows) -> BodyWindows:
    """S_dd alone, to see what PhysNet changes."""
    return lifted


FUSIONS: dict[str, Fusion] = {
    "average": average,
    "physics": physics,
    "data-driven": data_driven,
}
"""Fusions by name."""

DEFAULT_FUSION = Request.fusion
"""The one with the least errors on held-out motions (benchmarks/motion)."""
