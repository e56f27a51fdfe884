"""S_detect: person detectors behind one protocol, how reliable they are, and camera motion."""

from collections.abc import Callable

from finephys.errors import RequestError
from finephys.pose2d.protocol import Detector


def _mediapipe() -> Detector:
    from finephys.pose2d.mediapipe_detector import MediapipeDetector

    return MediapipeDetector()


DETECTORS: dict[str, Callable[[], Detector]] = {"mediapipe": _mediapipe}
"""Every detector by name; calling an entry loads its model."""

DEFAULT_DETECTOR = "mediapipe"
"""Its model comes with its package: no download, no GPU."""


def load_detector(name: str = DEFAULT_DETECTOR) -> Detector:
    """Load a detector and run it once, so that the first clip is not slower than the next.

    Args:
        name: key of `DETECTORS`.

    Raises:
        RequestError: there is no such detector.
    """
    if name not in DETECTORS:
        raise RequestError(f"detector {name!r} does not exist; choose {', '.join(DETECTORS)}.")
    return DETECTORS[name]()
