"""The shipped generator draws the gymnast where the skeleton is, in the colour asked for."""

import numpy as np
import pytest

from finephys.data.rendered import RenderedClip, render_clip
from finephys.generator.diffusion import Generator
from finephys.generator.protocol import Sampling
from finephys.guidance.framing import Framing
from finephys.motion.simulation import simulate

PROMPT = "A person jumps. A {} leotard, a bright gym hall, a beige floor."


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.load("tiny")


def generated(generator: Generator, true: RenderedClip, color: str) -> np.ndarray:
    guide = generator.draw(true.pose, Framing(0.0, 0.0, float(generator.size)))
    settings = generator.config.default_steps, generator.config.default_guidance
    *_, clip = generator.denoise(Sampling(guide, PROMPT.format(color), 3, *settings, 8.0))
    return clip.frames.astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("action", [9, 33])
def test_another_leotard_changes_the_trunk_and_hardly_anything_else(
    generator: Generator, action: int
) -> None:
    """Catches weights that ignore text or skeleton, and a figure painted in the wrong place."""
    true = render_clip(simulate(action, 900_000), np.random.default_rng(action), generator.size)
    red, blue = (generated(generator, true, color) for color in ("red", "blue"))
    redder = (red - blue)[..., 0] - (red - blue)[..., 2]
    worn = redder > 100  # red here, blue there
    assert worn.sum() > 0.1 * true.silhouette.sum()
    assert true.silhouette[worn].mean() > 0.8
    around = ~true.silhouette
    assert np.abs(red - blue)[around].mean() < 0.3 * np.abs(red - blue)[worn].mean()
