"""S_detect by MediaPipe's BlazePose, whose model comes inside its package.

Source: Bazarevsky et al. (2020), "BlazePose: On-device Real-time Body Pose tracking".
"""

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from finephys.skeleton import JOINTS, from_blazepose
from finephys.types import Bytes, Float

_log = logging.getLogger(__name__)
_stderr_lock = threading.Lock()


class MediapipeDetector:
    """BlazePose "full" (model complexity 1, the only one that needs no download), 20 ms a frame.

    Design choice: every frame is searched on its own (static mode). Frames of a span are up to
    0.17 s apart, where tracking from the frame before fails in fast movements.
    """

    name = "mediapipe"

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the graph takes one picture at a time
        with _native_chatter_logged():
            from mediapipe.python.solutions.pose import Pose

            self._graph = Pose(static_image_mode=True, model_complexity=1)
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def detect(self, frames: Bytes) -> tuple[Float, Float]:
        """See `Detector.detect`."""
        height, width = frames.shape[1:3]
        xy = np.zeros((len(frames), len(JOINTS), 2), np.float32)
        score = np.zeros((len(frames), len(JOINTS)), np.float32)
        for index, frame in enumerate(frames):
            with self._lock, warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype")
                found = self._graph.process(np.ascontiguousarray(frame)).pose_landmarks
            if found is None:
                continue
            marks = np.array(
                [(mark.x * width, mark.y * height, mark.visibility) for mark in found.landmark],
                np.float32,
            )
            xy[index], score[index] = from_blazepose(marks[:, :2], marks[:, 2])
        return xy, np.clip(score, 0, 1)


@contextmanager
def _native_chatter_logged() -> Iterator[None]:
    """Send what native code writes to file descriptor 2 to this module's log instead."""
    with _stderr_lock, tempfile.TemporaryFile() as chatter:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            chatter.seek(0)
            for line in chatter.read().decode(errors="replace").splitlines():
                _log.debug("mediapipe: %s", line)
