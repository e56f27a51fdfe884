"""Whatever the frame rate, frames of a span are taken in order, once, evenly and to its end."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from finephys.video.reading import even_times


@given(
    fps=st.floats(5, 240),
    frames=st.integers(2, 600),
    jitter=st.floats(0, 0.3),
    seed=st.integers(0, 1000),
)
@example(fps=5.0, frames=17, jitter=0.25, seed=1)  # one frame is the nearest of two moments
def test_frames_are_taken_once_and_evenly(
    fps: float, frames: int, jitter: float, seed: int
) -> None:
    """Catches repeated frames, a lost end, and more than 16 frames."""
    rng = np.random.default_rng(seed)
    times = list(np.sort((np.arange(frames) + rng.uniform(-jitter, jitter, frames)) / fps))
    taken = even_times(times, 16)
    assert set(taken) <= set(times)
    assert (np.diff(taken) > 0).all()
    assert len(taken) == min(frames, 16)
    covered = (taken[-1] - taken[0]) / (times[-1] - times[0])
    assert covered > 0.85
    if frames > 16:
        even = np.linspace(taken[0], taken[-1], 16)
        assert np.abs(even - taken).max() < 1.2 / fps


@given(fps=st.floats(5, 240), stride=st.integers(1, 30), extra=st.integers(0, 1))
def test_a_whole_number_of_frames_is_exactlyeven_times(fps: float, stride: int, extra: int) -> None:
    """Catches frames jittered by half a frame, which physics reads as forces."""
    taken = even_times([index / fps for index in range(15 * stride + 1 + extra)], 16)
    np.testing.assert_allclose(np.diff(taken), stride / fps, rtol=1e-6)
