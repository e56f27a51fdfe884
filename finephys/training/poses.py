"""Data of the pose stages' training: captured and simulated motions, what is held out.

Design choice: where the paper takes Human3.6M and AMASS (supplement A.3), shipped weights take CMU
motion capture and our own simulated gymnastics, seen by random cameras and degraded detections.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finephys.anthropometry import GRAVITY, center_of_mass_weights
from finephys.data.pose_windows import PoseBatch
from finephys.motion.capture import read_capture
from finephys.motion.library import load_library
from finephys.types import WorldMotion

HELD_OUT_CAPTURE = (
    "cmu_01_07",
    "cmu_01_10",
    "cmu_02_02",
    "cmu_02_09",
    "cmu_131_02",
    "cmue_train_jumping_5",
    "cmue_train_running_5",
    "cmue_train_soccer_4",
)
"""CMU clips that no weight is trained on; figures are measured on them."""


@dataclass(frozen=True)
class PoseData:
    """Motions for training.

    Attributes:
        captured: CMU clips.
        simulated: motions of the 35 classes.
    """

    captured: Sequence[WorldMotion]
    simulated: Sequence[WorldMotion]


def load_pose_data(capture: Path, library: Path) -> PoseData:
    """Motions whose licence lets weights be shipped, without those held out.

    Args:
        capture: folder of motion capture, see `motion.capture.read_capture`.
        library: simulated motions, see `motion.library.load_library`.

    Raises:
        RequestError: when one of the two is missing.
    """
    captured = [
        with_certain_flight(motion)
        for motion in read_capture(capture)
        if motion.source.split(":")[0] not in HELD_OUT_CAPTURE
    ]
    return PoseData(captured, load_library(library))


def with_certain_flight(motion: WorldMotion) -> WorldMotion:
    """A captured motion that is marked airborne only where its centre of mass falls freely.

    A capture marks flight by height alone, which is wrong for a person who climbs or hangs. Design
    choice: within 4 m/s^2 of free fall, since captured accelerations are noisy.
    """
    center = (motion.joints * center_of_mass_weights()[:, None]).sum(1)
    fall = np.gradient(np.gradient(center[:, 2], 1 / motion.fps), 1 / motion.fps)
    return replace(motion, flight=motion.flight & (np.abs(fall + GRAVITY) < 4.0))


def tensors_of(batch: PoseBatch) -> dict[str, Tensor]:
    """The arrays of a batch as tensors by name, and "center", the image's centre (2,) in pixels."""
    tensors = {
        name: torch.from_numpy(value)
        for name, value in vars(batch).items()
        if isinstance(value, np.ndarray)
    }
    return tensors | {"center": torch.tensor(batch.size, dtype=torch.float32) / 2}
