"""What every generator must do, over the table; one without weights must say what brings them."""

from dataclasses import replace

import numpy as np
import pytest

from finephys.config import TIERS
from finephys.errors import RequestError, StoppedError, WeightsMissingError
from finephys.generator.protocol import Sampling, VideoGenerator
from finephys.generator.registry import load_generator
from finephys.guidance.framing import frame_body
from finephys.observe import simulated
from finephys.skeleton import FRAMES
from finephys.types import LimbHeatmaps, Request, VideoClip

_loaded: dict[str, VideoGenerator] = {}


@pytest.fixture(params=sorted(TIERS))
def generator(request: pytest.FixtureRequest) -> VideoGenerator:
    name = request.param
    if name not in _loaded:
        try:
            _loaded[name] = load_generator(name)
        except WeightsMissingError as error:
            if name == "tiny" or "python -m finephys fetch sd15" not in str(error):
                raise  # shipped weights are missing, or the text does not help
            pytest.skip(str(error))
    return _loaded[name]


def stick_figure(generator: VideoGenerator) -> LimbHeatmaps | VideoClip:
    pose = simulated(Request(action=12)).detected
    return generator.draw(pose, frame_body(pose))


def red(generator: VideoGenerator, seed: int) -> Sampling:
    return Sampling(stick_figure(generator), "A red leotard.", seed, 2, 1.0, 8.0)


def clips(generator: VideoGenerator, seed: int = 3) -> list[VideoClip]:
    return list(generator.denoise(red(generator, seed)))


def test_frames_size_and_count(generator: VideoGenerator) -> None:
    made = clips(generator)
    assert len(made) == 2
    assert made[-1].frames.shape == (FRAMES, generator.size, generator.size, 3)
    assert made[-1].fps == 8.0
    assert made[-1].frames.std() > 1  # an empty picture


def test_same_seed_same_frames(generator: VideoGenerator) -> None:
    assert np.array_equal(clips(generator)[-1].frames, clips(generator)[-1].frames)
    assert not np.array_equal(clips(generator)[-1].frames, clips(generator, 4)[-1].frames)


def test_without_motion_modules_the_clip_is_another(generator: VideoGenerator) -> None:
    """Catches a generator that does not obey `motion`."""
    still = list(generator.denoise(replace(red(generator, 3), motion=False)))
    assert not np.array_equal(still[-1].frames, clips(generator)[-1].frames)


def test_stop_ends_it(generator: VideoGenerator) -> None:
    with pytest.raises(StoppedError):
        list(generator.denoise(Sampling(None, "", 0, 2, 1.0, 8.0, stop=lambda: True)))


def test_defaults_are_accepted(generator: VideoGenerator) -> None:
    assert 1 <= generator.default_steps <= 100
    assert 1 <= generator.default_guidance <= 20
    assert generator.cut_prompt("") is None
    assert generator.cut_prompt("word " * 3000) is not None


def test_impossible_steps_are_refused(generator: VideoGenerator) -> None:
    with pytest.raises(RequestError):
        list(generator.denoise(Sampling(None, "", 0, 0, 1.0, 8.0)))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(RequestError, match="tiny"):
        load_generator("huge")
