"""The diffusion generator at a narrow width, the same classes that the tiers use."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finephys.config import TIERS, GeneratorConfig
from finephys.errors import RequestError, WeightsError, WeightsMissingError
from finephys.generator import diffusion
from finephys.generator.diffusion import Generator, plain_config
from finephys.generator.protocol import Sampling
from finephys.generator.sampling import (
    Condition,
    denoise_latents,
    draw_noise,
    make_scheduler,
)
from finephys.generator.skeleton_encoder import skip_shapes
from finephys.generator.text import TextFeatures, tokenize
from finephys.guidance.framing import frame_body
from finephys.observe import simulated
from finephys.skeleton import FRAMES, LIMBS
from finephys.training.vocabulary import train_tokenizer
from finephys.types import LimbHeatmaps, Request
from finephys.weights.checkpoints import ROOT_VARIABLE, save_module
from tests.narrow import TINY, network_of

NOISE_PREDICTING = replace(  # shaped like SD 1.5, whose U-Net takes no skeleton beside the latent
    TINY,
    channels=(8, 8, 16, 16),
    attention=(True, True, True, False),
    layers=2,
    guidance_channels=0,
    heatmap_detail=1,
    skeleton_channels=(8, 8, 8, 8),
    painter_channels=(),
    pooled_text=False,
    prediction="epsilon",
    zero_terminal_snr=False,
    shared_noise=0.0,
)


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return train_tokenizer(TINY.text_vocabulary)


@pytest.fixture(scope="module")
def generator(tokenizer: object) -> Generator:
    return Generator(network_of(TINY, trained=True), tokenizer)


def heatmaps(seed: int = 0, config: GeneratorConfig = TINY) -> LimbHeatmaps:
    rng = np.random.default_rng(seed)
    shape = (FRAMES, len(LIMBS))
    return LimbHeatmaps(
        tuple(rng.random((*shape, side, side), np.float32) for side in config.heatmap_levels)
    )


def final(clips: Iterator[np.ndarray]) -> np.ndarray:
    return list(clips)[-1]


def run(generator: Generator, guide: LimbHeatmaps | None, **changed: object) -> np.ndarray:
    params = {"prompt": "a person", "seed": 5, "steps": 2, "guidance_scale": 1.5, "fps": 8.0}
    return final(generator.denoise(Sampling(guide, **params | changed))).frames  # type: ignore[arg-type]


def inputs(config: GeneratorConfig, frames: int = 3) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(1)
    side = config.size // config.patch
    noisy = torch.randn(2, config.latent_channels, frames, side, side, generator=random)
    tokens = torch.randn(2, 5, config.text_width, generator=random)
    return noisy, torch.tensor([999, 20]), TextFeatures(tokens, tokens.mean(1))


# -- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [TINY, NOISE_PREDICTING],
    ids=["tiny", "sd15"],
)
def test_untrained_guidance_equals_the_plain_model(config: GeneratorConfig) -> None:
    network = network_of(config, trained=False)
    noisy, time, text = inputs(config)
    guide = network.encode_skeleton(
        [torch.rand(2, 3, len(LIMBS), side, side) for side in config.heatmap_levels], text
    )
    assert torch.equal(network(noisy, time, text, guide), network(noisy, time, text, None))


@pytest.mark.parametrize("config", [TINY, NOISE_PREDICTING], ids=["tiny", "sd15"])
def test_trained_guidance_reaches_every_skip_connection(config: GeneratorConfig) -> None:
    network = network_of(config, trained=True)
    level = [torch.rand(1, 1, len(LIMBS), side, side) for side in config.heatmap_levels]
    noisy, time, both = inputs(config, frames=1)
    text = TextFeatures(both.tokens[:1], both.pooled[:1])
    guide = network.encode_skeleton(level, text)
    seen: list[tuple[int, ...]] = []
    original = network.unet.forward

    def spy(sample: torch.Tensor, *args: object, **named: object) -> object:
        seen.extend(tuple(skip.shape[1:]) for skip in named["down_block_additional_residuals"])
        return original(sample, *args, **named)

    network.unet.forward = spy
    network(noisy[:1], time[:1], text, guide)
    wanted = [(c, config.scales[s], config.scales[s]) for s, c in skip_shapes(config)]
    assert seen == wanted  # diffusers drops what is missing from a short tuple without a word
    assert sum(len(block.resnets) for block in network.unet.up_blocks) == len(wanted)


def test_untrained_motion_modules_leave_each_frame_alone() -> None:
    network = network_of(TINY, trained=False)
    noisy, time, text = inputs(TINY)
    together = network(noisy, time, text, None)
    for frame in range(noisy.shape[2]):
        alone = network(noisy[:, :, frame : frame + 1], time, text, None)
        torch.testing.assert_close(together[:, :, frame : frame + 1], alone, atol=1e-5, rtol=1e-4)
    with network.without_motion():
        assert torch.equal(network(noisy, time, text, None), together)


def test_motion_modules_come_back_after_an_error() -> None:
    network = network_of(TINY, trained=True)
    noisy, time, text = inputs(TINY)
    before = network(noisy, time, text, None)
    names = list(network.state_dict())
    with network.without_motion():
        assert not torch.allclose(network(noisy, time, text, None), before, atol=1e-3)
    failing = network.without_motion()
    with pytest.raises(RuntimeError, match="oops"), failing:
        raise RuntimeError("oops")
    assert list(network.state_dict()) == names
    assert torch.equal(network(noisy, time, text, None), before)


def test_whole_text_ignores_padding(tokenizer: object) -> None:
    network = network_of(TINY, trained=True)
    ids, mask = tokenize(tokenizer, ["a person", "a person turns twice on one foot"], 24)
    features = network.encode_text(ids, mask)
    own = int(mask[0].sum())
    wanted = features.tokens[0, :own].sum(0) / own**0.5
    torch.testing.assert_close(features.pooled[0], wanted)


# -- sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
@pytest.mark.parametrize("config", [TINY, NOISE_PREDICTING], ids=["clean", "noise"])
def test_a_perfect_prediction_gives_the_clip(config: GeneratorConfig, sampler: str) -> None:
    network = network_of(config, trained=False)
    clean = torch.rand(1, config.latent_channels, 2, 8, 8) * 1.6 - 0.8
    scheduler = make_scheduler(config, sampler)

    def oracle(noisy: torch.Tensor, time: torch.Tensor, *_: object) -> torch.Tensor:
        if config.prediction == "sample":
            return clean
        kept = scheduler.alphas_cumprod[time].reshape(-1, 1, 1, 1, 1)
        return (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()

    network.forward = oracle
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    text = TextFeatures(torch.zeros(1, 3, 16), torch.zeros(1, 16))
    made = list(
        denoise_latents(
            network, scheduler, noise, Condition(text, None), None, 6, 1.0, lambda: False
        )
    )
    assert len(made) == 6
    for latents in made:  # a schedule that differs between noising and denoising
        torch.testing.assert_close(latents, clean, atol=2e-3, rtol=0)


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
def test_the_last_time_step_is_pure_noise(sampler: str) -> None:
    scheduler = make_scheduler(TINY, sampler)
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0] == 999  # leading spacing would start below it
    assert scheduler.alphas_cumprod[999] < 1e-6
    assert make_scheduler(NOISE_PREDICTING, sampler).alphas_cumprod[999] > 1e-4


def test_frames_share_the_asked_part_of_their_noise() -> None:
    random = torch.Generator().manual_seed(0)
    noise = draw_noise(replace(TINY, shared_noise=0.7), (2, 64, 3, 16, 16), random)
    assert noise.std() == pytest.approx(1, abs=0.01)  # less noise than the schedule says
    assert (noise[:, :, 0] * noise[:, :, 2]).mean() == pytest.approx(0.7, abs=0.02)
    assert (noise[0] * noise[1]).mean() == pytest.approx(0, abs=0.02)  # clips must not share it
    apart = draw_noise(NOISE_PREDICTING, (1, 64, 3, 16, 16), random)
    assert (apart[:, :, 0] * apart[:, :, 2]).mean() == pytest.approx(0, abs=0.02)


# -- the generator -------------------------------------------------------------------------------


def test_a_skeleton_is_drawn_at_the_scales_that_are_read(generator: Generator) -> None:
    pose = simulated(Request(action=12)).detected
    drawn = generator.draw(pose, frame_body(pose))
    assert tuple(level.shape[-1] for level in drawn.levels) == generator.config.heatmap_levels
    assert run(generator, drawn).shape == (FRAMES, 64, 64, 3)


def test_no_skeleton_equals_an_empty_one(generator: Generator) -> None:
    empty = LimbHeatmaps(tuple(np.zeros_like(level) for level in heatmaps().levels))
    assert np.array_equal(run(generator, None), run(generator, empty))


def test_a_batch_gives_the_clips_one_by_one(generator: Generator) -> None:
    prompts, seeds, guides = ["a red leotard", ""], [3, 4], [heatmaps(0), None]
    batch = [Sampling(guides[i], prompts[i], seeds[i], 2, 2.0, 8.0) for i in range(2)]
    both = final(generator.denoise_batch(batch))
    for index in range(2):
        alone = run(
            generator, guides[index], prompt=prompts[index], seed=seeds[index], guidance_scale=2.0
        )
        assert np.abs(both[index].astype(int) - alone.astype(int)).max() <= 1
    for other in ([], [batch[0], replace(batch[1], steps=3)]):
        with pytest.raises(RequestError, match="same steps, guidance scale and motion"):
            next(generator.denoise_batch(other))


def test_guidance_goes_away_from_the_skeleton_without_text(tokenizer: object) -> None:
    """Catches guidance away from an empty skeleton, which would exaggerate the figure."""
    network = network_of(TINY, trained=True)
    seen: list[bool] = []
    network.skeleton_encoder.register_forward_pre_hook(
        lambda _, given: seen.append(bool(given[0][0].any()))
    )
    run(Generator(network, tokenizer), heatmaps(), guidance_scale=2.0, steps=1)
    assert seen == [True, True]


def test_guidance_one_asks_the_network_once_a_step(tokenizer: object) -> None:
    network = network_of(TINY, trained=True)
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    run(Generator(network, tokenizer), heatmaps(), guidance_scale=1.0, steps=3)
    assert len(calls) == 3  # twice the time for nothing


def test_heatmaps_of_other_scales_are_refused(generator: Generator) -> None:
    other = heatmaps(config=replace(TINY, size=128))
    with pytest.raises(RequestError, match="levels"):
        run(generator, other)


# -- loading -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path, tokenizer: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setitem(diffusion.TIERS, "tiny", TINY)
    monkeypatch.setattr(diffusion, "has_bfloat16", lambda _: False)  # as the others here
    path = tmp_path / "tiny" / "generator.safetensors"
    save_module(network_of(TINY, trained=True), path, plain_config(TINY), half=False)
    tokenizer.save_pretrained(path.parent / "tokenizer")
    return path


def test_loading_gives_the_generator_that_was_saved(saved: Path, generator: Generator) -> None:
    assert np.array_equal(run(Generator.load("tiny"), heatmaps()), run(generator, heatmaps()))


def test_weights_of_another_shape_are_refused(saved: Path) -> None:
    other = replace(TINY, channels=(16, 16, 32))
    save_module(network_of(other, trained=False), saved, plain_config(TINY))
    with pytest.raises(WeightsError, match="does not fit"):
        Generator.load("tiny")


def test_weights_of_another_schedule_are_refused(saved: Path) -> None:
    other = replace(TINY, zero_terminal_snr=False)  # same shapes: strict loading cannot tell
    save_module(network_of(other, trained=False), saved, plain_config(other))
    with pytest.raises(WeightsError, match="zero_terminal_snr"):
        Generator.load("tiny")


def test_a_missing_tokenizer_is_named(saved: Path) -> None:
    (saved.parent / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(WeightsMissingError, match="tokenizer"):
        Generator.load("tiny")


def test_absent_sd15_weights_name_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    with pytest.raises(WeightsMissingError, match="python -m finephys fetch sd15"):
        Generator.load("sd15")


def test_configurations_name_scales_that_exist() -> None:
    for config in TIERS.values():
        lengths = {len(config.channels), len(config.attention), len(config.skeleton_channels)}
        assert lengths == {len(config.scales)}
        assert config.scales[-1] >= 4


def test_bfloat16_makes_nearly_the_same_clip_and_stays_in_the_network(tokenizer: object) -> None:
    """Catches a part left out or one too many, and a narrow type that leaks to the caller."""
    whole = run(Generator(network_of(TINY, trained=True), tokenizer), heatmaps())
    network = network_of(TINY, trained=True)
    network.multiply_in_bfloat16()
    seen: list[torch.dtype] = []
    network.unet.conv_out.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    clips = Generator(network, tokenizer).denoise(Sampling(heatmaps(), "a person", 5, 2, 1.5, 8.0))
    next(clips)
    assert not torch.is_autocast_enabled("cpu")
    close = next(clips).frames
    assert set(seen) == {torch.bfloat16}
    difference = np.abs(close.astype(int) - whole)
    assert 0 < difference.mean() < 6
