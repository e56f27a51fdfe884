"""The diffusion generator at a narrow width, the same classes that the tiers use."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from finephys.config import TIERS, TINY_GENERATOR, GeneratorConfig
from finephys.errors import RequestError, StoppedError, WeightsError, WeightsMissingError
from finephys.generator import diffusion
from finephys.generator.diffusion import Generator, plain_config
from finephys.generator.memory import GpuMemoryError
from finephys.generator.network import VideoNetwork
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
from finephys.types import LimbHeatmaps, Request, VideoClip
from finephys.weights.checkpoints import ROOT_VARIABLE, save_module

NARROW = replace(
    TINY_GENERATOR,
    size=64,
    autoencoder_channels=(8, 16),
    channels=(16, 16, 16),
    groups=4,
    heads=2,
    skeleton_channels=(8, 8, 8),
    painter_channels=(8, 8),
    guidance_channels=4,
    text_width=16,
    text_layers=1,
    text_heads=2,
    text_vocabulary=1024,  # every word of the captions is one token
    text_length=24,
)
NOISE_PREDICTING = replace(  # shaped like SD 1.5, whose U-Net takes no skeleton beside the latent
    NARROW,
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
    return train_tokenizer(NARROW.text_vocabulary)


def network_of(config: GeneratorConfig, trained: bool) -> VideoNetwork:
    torch.manual_seed(0)
    network = VideoNetwork(config, config.text_vocabulary - 1).eval()
    if trained:  # give the outputs that start at zero some weight
        for parameter in network.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture(scope="module")
def generator(tokenizer: object) -> Generator:
    return Generator(network_of(NARROW, trained=True), tokenizer)


def heatmaps(seed: int = 0, config: GeneratorConfig = NARROW) -> LimbHeatmaps:
    rng = np.random.default_rng(seed)
    shape = (FRAMES, len(LIMBS))
    return LimbHeatmaps(
        tuple(rng.random((*shape, side, side), np.float32) for side in config.heatmap_levels)
    )


def final(clips: Iterator[np.ndarray]) -> np.ndarray:
    return list(clips)[-1]


def run(generator: Generator, guide: LimbHeatmaps | None, **changed: object) -> np.ndarray:
    asked = {"prompt": "a person", "seed": 5, "steps": 2, "guidance_scale": 1.5, "fps": 8.0}
    return final(generator.denoise(Sampling(guide, **asked | changed))).frames  # type: ignore[arg-type]


def inputs(config: GeneratorConfig, frames: int = 3) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(1)
    side = config.size // config.patch
    noisy = torch.randn(2, config.latent_channels, frames, side, side, generator=random)
    tokens = torch.randn(2, 5, config.text_width, generator=random)
    return noisy, torch.tensor([999, 20]), TextFeatures(tokens, tokens.mean(1))


# -- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [NARROW, NOISE_PREDICTING],
    ids=["tiny", "sd15"],
)
def test_untrained_guidance_equals_the_plain_model(config: GeneratorConfig) -> None:
    network = network_of(config, trained=False)
    noisy, time, text = inputs(config)
    guide = network.encode_skeleton(
        [torch.rand(2, 3, len(LIMBS), side, side) for side in config.heatmap_levels], text
    )
    assert torch.equal(network(noisy, time, text, guide), network(noisy, time, text, None))


@pytest.mark.parametrize("config", [NARROW, NOISE_PREDICTING], ids=["tiny", "sd15"])
def test_trained_guidance_reaches_every_skip_connection(config: GeneratorConfig) -> None:
    network = network_of(config, trained=True)
    level = [torch.rand(1, 1, len(LIMBS), side, side) for side in config.heatmap_levels]
    noisy, time, both = inputs(config, frames=1)
    text = TextFeatures(both.tokens[:1], both.whole[:1])
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
    network = network_of(NARROW, trained=False)
    noisy, time, text = inputs(NARROW)
    together = network(noisy, time, text, None)
    for frame in range(noisy.shape[2]):
        alone = network(noisy[:, :, frame : frame + 1], time, text, None)
        torch.testing.assert_close(together[:, :, frame : frame + 1], alone, atol=1e-5, rtol=1e-4)
    with network.without_motion():
        assert torch.equal(network(noisy, time, text, None), together)


def test_motion_modules_come_back_after_an_error() -> None:
    network = network_of(NARROW, trained=True)
    noisy, time, text = inputs(NARROW)
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
    network = network_of(NARROW, trained=True)
    ids, mask = tokenize(tokenizer, ["a person", "a person turns twice on one foot"], 24)
    features = network.encode_text(ids, mask)
    own = int(mask[0].sum())
    wanted = features.tokens[0, :own].sum(0) / own**0.5
    torch.testing.assert_close(features.whole[0], wanted)


# -- sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
@pytest.mark.parametrize("config", [NARROW, NOISE_PREDICTING], ids=["clean", "noise"])
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
    scheduler = make_scheduler(NARROW, sampler)
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0] == 999  # leading spacing would start below it
    assert scheduler.alphas_cumprod[999] < 1e-6
    assert make_scheduler(NOISE_PREDICTING, sampler).alphas_cumprod[999] > 1e-4


def test_frames_share_the_asked_part_of_their_noise() -> None:
    random = torch.Generator().manual_seed(0)
    noise = draw_noise(replace(NARROW, shared_noise=0.7), (2, 64, 3, 16, 16), random)
    assert noise.std() == pytest.approx(1, abs=0.01)  # less noise than the schedule says
    assert (noise[:, :, 0] * noise[:, :, 2]).mean() == pytest.approx(0.7, abs=0.02)
    assert (noise[0] * noise[1]).mean() == pytest.approx(0, abs=0.02)  # clips must not share it
    apart = draw_noise(NOISE_PREDICTING, (1, 64, 3, 16, 16), random)
    assert (apart[:, :, 0] * apart[:, :, 2]).mean() == pytest.approx(0, abs=0.02)


# -- the generator -------------------------------------------------------------------------------


def test_each_step_gives_a_clip_and_the_last_is_the_result(generator: Generator) -> None:
    clips = list(generator.denoise(Sampling(heatmaps(), "a person", 1, 3, 1.0, 12.5)))
    assert len(clips) == 3
    for clip in clips:
        assert clip.frames.shape == (FRAMES, 64, 64, 3)
        assert clip.fps == 12.5
    assert not np.array_equal(clips[0].frames, clips[-1].frames)


def test_same_request_and_seed_give_identical_frames(generator: Generator) -> None:
    torch.manual_seed(1)
    first = run(generator, heatmaps())
    torch.manual_seed(2)  # global randomness must not leak in
    assert np.array_equal(first, run(generator, heatmaps()))
    assert not np.array_equal(first, run(generator, heatmaps(), seed=6))


def test_every_input_changes_the_clip(generator: Generator) -> None:
    plain = run(generator, heatmaps())
    for changed in ({"prompt": "a blue leotard"}, {"guidance_scale": 4.0}, {"steps": 4}):
        assert not np.array_equal(plain, run(generator, heatmaps(), **changed)), changed
    assert not np.array_equal(plain, run(generator, heatmaps(1)))
    assert not np.array_equal(plain, run(generator, None))


def test_without_motion_frames_are_alone_and_the_next_clip_moves_again(
    generator: Generator,
) -> None:
    """Catches motion modules that stay away, or stay in, after `motion=False`."""
    plain = run(generator, heatmaps())
    still = run(generator, heatmaps(), motion=False)
    assert not np.array_equal(plain, still)
    asked = Sampling(heatmaps(), "a person", 5, 3, 1.0, 8.0, motion=False)
    abandoned = generator.denoise(asked)
    next(abandoned)
    abandoned.close()
    assert np.array_equal(run(generator, heatmaps()), plain)


def test_a_skeleton_is_drawn_at_the_scales_that_are_read(generator: Generator) -> None:
    pose = simulated(Request(action=12)).detected
    drawn = generator.draw(pose, frame_body(pose))
    assert tuple(level.shape[-1] for level in drawn.levels) == generator.heatmap_levels
    assert run(generator, drawn).shape == (FRAMES, 64, 64, 3)


def test_a_full_gpu_is_said(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an app that dies of an exception nobody explains."""

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(generator._network, "encode_text", full)
    with pytest.raises(GpuMemoryError, match=r"2\.00 GiB.*FINEPHYS_GPU_GB"):
        run(generator, None)


def test_pictures_of_poses_are_refused(generator: Generator) -> None:
    pictures = VideoClip(np.zeros((FRAMES, 64, 64, 3), np.uint8), 8.0)
    with pytest.raises(RequestError, match="limb heatmaps"):
        run(generator, pictures)  # type: ignore[arg-type]


def test_no_skeleton_equals_an_empty_one(generator: Generator) -> None:
    empty = LimbHeatmaps(tuple(np.zeros_like(level) for level in heatmaps().levels))
    assert np.array_equal(run(generator, None), run(generator, empty))


def test_a_batch_gives_the_clips_one_by_one(generator: Generator) -> None:
    prompts, seeds, guides = ["a red leotard", ""], [3, 4], [heatmaps(0), None]
    both = final(generator.denoise_batch(guides, prompts, seeds, 2, 2.0))
    for index in range(2):
        alone = run(
            generator, guides[index], prompt=prompts[index], seed=seeds[index], guidance_scale=2.0
        )
        assert np.abs(both[index].astype(int) - alone.astype(int)).max() <= 1


def test_guidance_goes_away_from_the_skeleton_without_text(tokenizer: object) -> None:
    """Catches guidance away from an empty skeleton, which would exaggerate the figure."""
    network = network_of(NARROW, trained=True)
    seen: list[bool] = []
    network.skeleton_encoder.register_forward_pre_hook(
        lambda _, given: seen.append(bool(given[0][0].any()))
    )
    run(Generator(network, tokenizer), heatmaps(), guidance_scale=2.0, steps=1)
    assert seen == [True, True]


def test_guidance_one_asks_the_network_once_a_step(tokenizer: object) -> None:
    network = network_of(NARROW, trained=True)
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    run(Generator(network, tokenizer), heatmaps(), guidance_scale=1.0, steps=3)
    assert len(calls) == 3  # twice the time for nothing


@pytest.mark.parametrize("after", [0, 2])
def test_stop_is_obeyed_before_the_next_step(generator: Generator, after: int) -> None:
    clips: list[object] = []
    asked = Sampling(heatmaps(), "a person", 1, 5, 1.0, 8.0, stop=lambda: len(clips) >= after)
    denoising = generator.denoise(asked)
    with pytest.raises(StoppedError, match=f"{after} of 5"):
        clips.extend(denoising) if after == 0 else [clips.append(clip) for clip in denoising]
    assert len(clips) == after


@pytest.mark.parametrize("prompt", ["", " ", "🤸🏽‍♀️ 体操", "\x00\n\t", "<|endoftext|> a person"])
def test_any_text_is_a_prompt(generator: Generator, prompt: str) -> None:
    assert run(generator, heatmaps(), prompt=prompt, steps=1).shape == (FRAMES, 64, 64, 3)


def test_a_prompt_too_long_is_cut_and_said_so(
    generator: Generator, caplog: pytest.LogCaptureFixture
) -> None:
    long = "a person " * 10_000 + "in a red leotard"
    cut = generator.cut_prompt(long)
    assert cut is not None
    assert long.endswith(cut)
    kept = long[: -len(cut)]
    assert generator.cut_prompt(kept) is None  # cut too late
    assert generator.cut_prompt(kept + " a") is not None  # cut too early
    with caplog.at_level(logging.WARNING):
        whole = run(generator, heatmaps(), prompt=long)
    assert "cut from the prompt" in caplog.text
    assert np.array_equal(whole, run(generator, heatmaps(), prompt=kept))
    assert generator.cut_prompt("a person") is None


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 101}, "steps"),
        ({"guidance_scale": 0.5}, "guidance"),
        ({"guidance_scale": float("nan")}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
    ],
)
def test_arguments_out_of_range_are_named(
    generator: Generator, changed: dict[str, float], word: str
) -> None:
    with pytest.raises(RequestError, match=word):
        run(generator, heatmaps(), **changed)


def test_heatmaps_of_other_scales_are_refused(generator: Generator) -> None:
    other = heatmaps(config=replace(NARROW, size=128))
    with pytest.raises(RequestError, match="levels"):
        run(generator, other)


def test_nan_never_leaves(tokenizer: object) -> None:
    network = network_of(NARROW, trained=True)
    nn.init.constant_(network.unet.conv_out.bias, float("nan"))
    with pytest.raises(WeightsError, match="NaN"):
        run(Generator(network, tokenizer), heatmaps())


# -- loading -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path, tokenizer: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setitem(diffusion.TIERS, "tiny", NARROW)
    monkeypatch.setattr(diffusion, "has_bfloat16", lambda _: False)  # as the others here
    path = tmp_path / "tiny" / "generator.safetensors"
    save_module(network_of(NARROW, trained=True), path, plain_config(NARROW), half=False)
    tokenizer.save_pretrained(path.parent / "tokenizer")
    return path


def test_loading_gives_the_generator_that_was_saved(saved: Path, generator: Generator) -> None:
    assert np.array_equal(run(Generator.load("tiny"), heatmaps()), run(generator, heatmaps()))


def test_weights_of_another_shape_are_refused(saved: Path) -> None:
    other = replace(NARROW, channels=(16, 16, 32))
    save_module(network_of(other, trained=False), saved, plain_config(NARROW))
    with pytest.raises(WeightsError, match="does not fit"):
        Generator.load("tiny")


def test_weights_of_another_schedule_are_refused(saved: Path) -> None:
    other = replace(NARROW, zero_terminal_snr=False)  # same shapes: strict loading cannot tell
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
    whole = run(Generator(network_of(NARROW, trained=True), tokenizer), heatmaps())
    network = network_of(NARROW, trained=True)
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
