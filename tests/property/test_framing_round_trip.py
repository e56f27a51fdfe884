"""To the canvas and back is the identity, and the body is always on the canvas."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from finephys.guidance.framing import Framing, frame_body
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import Pose2D

pixels = st.floats(-4096, 4096, width=32)


@given(
    x=pixels,
    y=pixels,
    side=st.floats(1, 4096),
    xy=arrays(np.float32, (5, 2), elements=pixels),
)
def test_round_trip(x: float, y: float, side: float, xy: np.ndarray) -> None:
    framing = Framing(x, y, side)  # x for y, or a side applied twice
    back = framing.to_pixels(framing.to_canvas(xy))
    np.testing.assert_allclose(back, xy, atol=2e-2)


@given(
    scale=st.floats(10, 2000),
    fill=st.floats(0.3, 1.0),
    seed=st.integers(0, 1000),
)
def test_trusted_body_lies_on_the_canvas(scale: float, fill: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    xy = (rng.uniform(0, scale, (FRAMES, len(JOINTS), 2))).astype(np.float32)
    pose = Pose2D(xy, np.ones(xy.shape[:2], np.float32))
    canvas = frame_body(pose, fill).to_canvas(xy)
    extent = (canvas.max((0, 1)) - canvas.min((0, 1))).max()
    assert canvas.min() >= -1e-3
    assert canvas.max() <= 1 + 1e-3
    np.testing.assert_allclose(extent, fill, rtol=1e-3)
