"""The interface of every 2D pose detector."""

from typing import Protocol

from finephys.types import Bytes, Float


class Detector(Protocol):
    """A model that finds one person per picture, in each frame independently.

    Attributes:
        name: key of `finephys.pose2d.DETECTORS`.
    """

    name: str

    def detect(self, frames: Bytes) -> tuple[Float, Float]:
        """Find the joints of one person in each frame.

        Args:
            frames: uint8 (N, H, W, 3) RGB, any N and size.

        Returns:
            xy float32 (N, 17, 2) pixels, y down, and score float32 (N, 17) in [0, 1], joints as
            `skeleton.JOINTS`; both 0 throughout a frame without a person.
        """
        ...
