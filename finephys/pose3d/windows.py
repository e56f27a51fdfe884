"""Batches of windows, the input and output of the pose stages; one item is a value of `types`.

N windows of F = 16 frames and J = 17 joints.
"""

from dataclasses import dataclass

import numpy as np

from finephys.errors import RequestError
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import Float, Motion, Pose3D, check_array


@dataclass(frozen=True)
class DetectedWindows:
    """A batch of 2D windows.

    Attributes:
        xy: float32 (N, F, J, 2) pixels, camera motion removed.
        score: float32 (N, F, J) in [0, 1].
        size: (width, height) of the image in pixels.
    """

    xy: Float
    score: Float
    size: tuple[int, int]

    def __post_init__(self) -> None:
        count = len(self.xy)
        check_array("xy", self.xy, (count, FRAMES, len(JOINTS), 2), np.float32)
        check_array("score", self.score, (count, FRAMES, len(JOINTS)), np.float32)
        if min(self.size) < 1:
            raise RequestError(f"size is {self.size}; width and height must be at least 1 pixel.")
        if count and (self.score.min() < 0 or self.score.max() > 1):
            raise RequestError(
                f"score runs from {self.score.min():.3g} to {self.score.max():.3g}; "
                "it must lie in [0, 1]."
            )


@dataclass(frozen=True)
class PoseWindows(DetectedWindows):
    """A batch of 2D windows with what lifting and PhysNet need beside them.

    Attributes:
        dt: float32 (N,) seconds of real time between frames.
        body_height: metres.
        ballistic: float32 (N,), 1 where the root path is that of a still camera, else 0.
    """

    dt: Float
    body_height: float
    ballistic: Float

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.xy)
        check_array("dt", self.dt, (count,), np.float32)
        check_array("ballistic", self.ballistic, (count,), np.float32)
        if count and not (self.dt > 0).all():
            raise RequestError(f"dt has {self.dt.min()} s; time between frames must be positive.")
        if not 0.3 <= self.body_height <= 3.0:
            raise RequestError(
                f"body height is {self.body_height} m; give a height between 0.3 and 3 m."
            )


@dataclass(frozen=True)
class BodyWindows:
    """A batch of 3D windows in camera axes; one item of it is a Pose3D.

    Attributes:
        xyz: float32 (N, F, J, 3) metres, relative to the pelvis of the same frame.
        root: float32 (N, F, 3) metres, path of the pelvis relative to the window's first frame.
    """

    xyz: Float
    root: Float

    def __post_init__(self) -> None:
        check_array("xyz", self.xyz, (len(self.xyz), FRAMES, len(JOINTS), 3), np.float32)
        check_array("root", self.root, (len(self.xyz), FRAMES, 3), np.float32)

    def item(self, index: int, mode: str) -> Pose3D:
        """Window `index` as a Pose3D made by `mode`."""
        return Pose3D(self.xyz[index], self.root[index], mode)


@dataclass(frozen=True)
class MotionWindows:
    """A batch of PhysNet's output; one item of it is a Motion, whose fields these are.

    Attributes:
        forward: see Motion.
        backward: see Motion.
        combined: see Motion.
        arrays: MOTION_ARRAYS by name, each float32 with N in front.
        dynamics: name of the dynamics used.
    """

    forward: BodyWindows
    backward: BodyWindows
    combined: BodyWindows
    arrays: dict[str, Float]
    dynamics: str

    def item(self, index: int) -> Motion:
        """Window `index` as a Motion."""
        return Motion(
            forward=self.forward.item(index, f"{self.dynamics}, forward"),
            backward=self.backward.item(index, f"{self.dynamics}, backward"),
            combined=self.combined.item(index, self.dynamics),
            dynamics=self.dynamics,
            **{name: values[index] for name, values in self.arrays.items()},
        )
