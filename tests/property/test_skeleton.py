"""Mirroring twice is nothing; poses survive the disk."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from finephys.skeleton import JOINT, from_blazepose, limb_lengths, mirror

METRES = st.floats(-3, 3, allow_nan=False, width=32)
BODY = arrays(np.float32, (17, 3), elements=METRES)


@given(BODY, st.integers(0, 2))
def test_mirror_twice_is_identity(body: np.ndarray, axis: int) -> None:
    np.testing.assert_array_equal(mirror(mirror(body, axis), axis), body + 0.0)


@given(BODY)
@settings(max_examples=30)
def test_mirror_keeps_every_limb_length(body: np.ndarray) -> None:
    """Right and left change places, so the lengths are a permutation of themselves."""
    before, after = np.sort(limb_lengths(body)), np.sort(limb_lengths(mirror(body)))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


BLAZEPOSE_LIMBS = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")
"""MediaPipe numbers them 11 to 16 and 23 to 28, the left one of each pair first."""


def test_each_limb_joint_comes_from_its_own_landmark() -> None:
    """Catches one limb taken from the other side, which hides among seventeen joints of a clip."""
    landmarks = np.arange(33, dtype=np.float32)
    xy, score = from_blazepose(np.stack([landmarks, -landmarks], -1), landmarks / 33)
    for first, names in zip((11, 23), BLAZEPOSE_LIMBS, strict=True):
        for place, name in enumerate(names):
            for number, side in enumerate(("left", "right"), first + 2 * place):
                joint = JOINT[f"{side}_{name}"]
                assert xy[joint].tolist() == [number, -number]
                assert score[joint] == np.float32(number / 33)
