"""Whether others are noticed beside the detected person, with detectors that read drawn dots."""

import numpy as np
import pytest

from finephys.errors import StoppedError
from finephys.observe import observed
from finephys.pose2d.bystanders import shows_others
from finephys.types import Bytes, Float, Pose2D, Request, VideoClip
from tests.unit.test_detection import STANDER, DotReader, drawn

SIZE = (400, 240)


class OneOfMany(DotReader):
    """Finds the person further left, as a detector of one person chooses one."""

    def detect(self, frames: Bytes) -> tuple[Float, Float]:
        halves = [frames[:, :, : SIZE[0] // 2], frames[:, :, SIZE[0] // 2 :]]
        found = [super(OneOfMany, self).detect(half) for half in halves]
        found[1][0][...] += np.where(found[1][1][..., None] > 0, (SIZE[0] // 2, 0), 0)
        left = found[0][1].max(-1) > 0
        xy = np.where(left[:, None, None], found[0][0], found[1][0])
        return xy.astype(np.float32), np.where(left[:, None], found[0][1], found[1][1])


def people(*scales: float) -> tuple[Bytes, Pose2D]:
    """16 frames of people side by side, the first of full size, and the first one's pose."""
    frames = np.zeros((16, SIZE[1], SIZE[0], 3), np.uint8)
    for place, scale in enumerate(scales):
        pose = np.tile(STANDER * scale + np.array([200 * place, 0], np.float32), (16, 1, 1))
        frames = np.maximum(frames, drawn(pose, SIZE))
    pose = np.tile(STANDER, (16, 1, 1)).astype(np.float32)
    return frames, Pose2D(pose, np.full((16, 17), 0.9, np.float32))


@pytest.mark.parametrize(
    ("scales", "others"), [((1.0,), False), ((1.0, 1.0), True), ((1.0, 0.3), False)]
)
def test_another_person_of_some_size_is_noticed(scales: tuple[float, ...], others: bool) -> None:
    """Catches a reflection in a mirror followed without a word, and an audience complained of."""
    frames, pose = people(*scales)
    assert shows_others(frames, pose, OneOfMany()) is others


def test_one_mistaken_detection_is_no_person() -> None:
    frames, pose = people(1.0, 1.0)
    frames[1:, :, SIZE[0] // 2 :] = 0
    assert not shows_others(frames, pose, OneOfMany())


def test_stop_ends_the_search_for_others() -> None:
    frames, pose = people(1.0, 1.0)
    with pytest.raises(StoppedError):
        shows_others(frames, pose, OneOfMany(), lambda: True)


def test_limbs_outside_the_picture_are_noted() -> None:
    """Catches legs guessed below the picture's edge and shown like any other."""
    frames, _ = people(1.0)

    class Guesses(DotReader):
        def detect(self, frames: Bytes) -> tuple[Float, Float]:
            xy, score = super().detect(frames)
            return xy + np.float32([0, 60]) * (score[..., None] > 0), score

    request = Request()
    seen = observed(VideoClip(frames, 6), request, DotReader(), lambda: False)
    assert not any("outside the picture" in note for note in seen.notes)
    seen = observed(VideoClip(frames, 6), request, Guesses(), lambda: False)
    assert any("legs are partly outside the picture in 16 of 16" in note for note in seen.notes)
    assert not any("arms are" in note for note in seen.notes)
