"""The diffusion generator of both tiers: `Generator.load("tiny")`, then `denoise`."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from transformers import CLIPTokenizer

from finephys.config import TIERS, GeneratorConfig
from finephys.errors import RequestError, WeightsError
from finephys.generator.autoencoder import Autoencoder
from finephys.generator.memory import Memory, has_bfloat16, memory_for, memory_guard
from finephys.generator.network import VideoNetwork
from finephys.generator.painter import Figure
from finephys.generator.protocol import Sampling, never
from finephys.generator.sampling import (
    Condition,
    denoise_latents,
    draw_noise,
    make_scheduler,
)
from finephys.generator.text import cut_text, load_tokenizer, tokenize
from finephys.guidance.framing import Framing
from finephys.guidance.heatmaps import limb_heatmaps
from finephys.skeleton import FRAMES, LIMBS
from finephys.types import Bytes, LimbHeatmaps, Pose2D, VideoClip
from finephys.weights.checkpoints import checkpoint_path, load_module, read_config

logger = logging.getLogger(__name__)

SAMPLER = "dpm++"
"""Design choice: second-order DPM-Solver++ needs a fifth of DDIM's steps for the same picture."""


STYLE_SPREAD = 0.7
"""Deviation of the styles that seeds draw. Design choice: at 1, those of training, one leotard in
twenty had another hue than the words say; at 0.7 none of 60 had."""


class Generator:
    """Text and limb heatmaps to 16 frames.

    Args:
        network: the weights.
        tokenizer: of the text encoder.
        device: where the network lies.
        sampler: see `sampling.make_scheduler`.
        memory: how to place the network; None: all of it on the device.

    Raises:
        RequestError: the configuration's size cannot be halved at every scale of the U-Net.
    """

    def __init__(
        self,
        network: VideoNetwork,
        tokenizer: CLIPTokenizer,
        device: str = "cpu",
        sampler: str = SAMPLER,
        memory: Memory | None = None,
    ) -> None:
        check_size(network.config)
        network.eval()
        self._network = memory.place(network, device) if memory else network.to(device)
        self._tokenizer = tokenizer
        self._device = device
        self._sampler = sampler
        self.config = config = network.config
        self.size, self.heatmap_levels = config.size, config.heatmap_levels
        self.default_steps, self.default_guidance = config.default_steps, config.default_guidance

    @classmethod
    def load(cls, tier: str, device: str = "cpu", sampler: str = SAMPLER) -> "Generator":
        """Load the weights of a tier, strictly.

        A tier on Stable Diffusion's autoencoder is what was trained on top of the public base,
        which is fetched and proved against its lock.

        Raises:
            WeightsMissingError: when they are absent; the text names the command to run.
            WeightsError: when they are damaged, of another configuration or of another base.
        """
        config = TIERS[tier]
        path = checkpoint_path(tier, "generator")
        if config.autoencoder == "kl":
            from finephys.generator.adaptation import load_base, load_trained

            memory = memory_for(device)
            network, tokenizer, base = load_base(config, memory.dtype)
            load_trained(network, path, plain_config(config), base)
            return cls(network, tokenizer, device, sampler, memory)
        saved = read_config(path)
        wanted = plain_config(config)
        if saved != wanted:
            names = sorted(name for name in saved | wanted if saved.get(name) != wanted.get(name))
            raise WeightsError(
                f"{path.parent.name}/{path.name} was made for another configuration "
                f"({', '.join(names)} differ); fetch or train it again."
            )
        tokenizer = load_tokenizer(path.parent / "tokenizer", f"git checkout checkpoints/{tier}")
        network = VideoNetwork(config, tokenizer.eos_token_id)
        load_module(network, path)
        if device == "cpu" and has_bfloat16(device):
            network.multiply_in_bfloat16()
        return cls(network, tokenizer, device, sampler)

    def cut_prompt(self, prompt: str) -> str | None:
        """The end of a prompt that the text encoder cannot take, or None when all fits."""
        return cut_text(self._tokenizer, prompt, self.config.text_length)

    def draw(self, pose: Pose2D, canvas: Framing) -> LimbHeatmaps:
        """A skeleton as limb heatmaps at this U-Net's scales."""
        return limb_heatmaps(pose, canvas, self.heatmap_levels)

    def denoise(self, asked: Sampling) -> Iterator[VideoClip]:
        """Generate one clip; see `protocol.VideoGenerator.denoise`."""
        if isinstance(asked.guide, VideoClip):
            raise RequestError("This generator reads limb heatmaps; pictures of poses were given.")
        with nullcontext() if asked.motion else self._network.without_motion():
            for clips in self.denoise_batch(
                [asked.guide],
                [asked.prompt],
                [asked.seed],
                asked.steps,
                asked.guidance_scale,
                asked.stop,
            ):
                yield VideoClip(clips[0], asked.fps)

    def denoise_batch(
        self,
        heatmaps: Sequence[LimbHeatmaps | None],
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int,
        guidance_scale: float,
        stop: Callable[[], bool] = never,
    ) -> Iterator[Bytes]:
        """Generate several clips at once; arguments as `denoise`, one entry a clip.

        Yields:
            uint8 (B, 16, size, size, 3) RGB, `steps` times; the last is the result.
        """
        self._check(heatmaps, prompts, seeds, steps, guidance_scale)
        with memory_guard():
            yield from self._denoise(heatmaps, prompts, seeds, steps, guidance_scale, stop)

    def _denoise(
        self,
        heatmaps: Sequence[LimbHeatmaps | None],
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int,
        guidance_scale: float,
        stop: Callable[[], bool],
    ) -> Iterator[Bytes]:
        for prompt in prompts:
            if cut := self.cut_prompt(prompt):
                logger.warning(
                    "the text encoder takes %d tokens; cut from the prompt: %.200s",
                    self.config.text_length,
                    cut,
                )
        with torch.inference_mode():
            levels = self._levels(heatmaps)
            asked = self._condition(prompts, levels)
            empty = self._condition([""] * len(prompts), levels) if guidance_scale != 1 else None
            style = draw_styles(self.config, seeds).to(self._device)
            figure = self._network.paint(levels, asked.text, style)
        scheduler = make_scheduler(self.config, self._sampler)
        noise = draw_clips(self.config, seeds).to(self._device)
        denoising = denoise_latents(
            self._network, scheduler, noise, asked, empty, steps, guidance_scale, stop
        )
        for step, latents in enumerate(denoising, 1):
            done = step == steps
            yield frames_of(self._network.autoencoder, latents, self.config, done, figure)

    def _check(
        self,
        heatmaps: Sequence[LimbHeatmaps | None],
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int,
        guidance_scale: float,
    ) -> None:
        if not len(heatmaps) == len(prompts) == len(seeds) > 0:
            raise RequestError(
                f"{len(heatmaps)} heatmaps, {len(prompts)} prompts and {len(seeds)} seeds were "
                "given; give one of each per clip."
            )
        check_ranges(seeds, steps, guidance_scale)
        for given in heatmaps:
            if given is None:
                continue
            sides = tuple(level.shape[-1] for level in given.levels)
            if sides != self.heatmap_levels:
                raise RequestError(
                    f"heatmaps have levels {sides}; this generator reads {self.heatmap_levels}."
                )

    def _condition(self, prompts: Sequence[str], levels: list[torch.Tensor]) -> Condition:
        ids, mask = tokenize(self._tokenizer, prompts, self.config.text_length)
        text = self._network.encode_text(ids.to(self._device), mask.to(self._device))
        return Condition(text, self._network.encode_skeleton(levels, text))

    def _levels(self, heatmaps: Sequence[LimbHeatmaps | None]) -> list[torch.Tensor]:
        levels = []
        for index, side in enumerate(self.heatmap_levels):
            shape = (FRAMES, len(LIMBS), side, side)
            stack = [
                np.zeros(shape, np.float32) if given is None else given.levels[index]
                for given in heatmaps
            ]
            levels.append(torch.from_numpy(np.stack(stack)).to(self._device))
        return levels


def check_size(config: GeneratorConfig) -> None:
    """Raise RequestError for a size that the U-Net cannot halve at each of its scales."""
    step = config.patch << (len(config.channels) - 1)
    if config.size % step:
        raise RequestError(
            f"width and height are {config.size}; they must be divisible by {step} ({config.patch} "
            f"pixels a latent cell, halved from scale to scale), such as "
            f"{max(round(config.size / step), 1) * step}."
        )


def check_ranges(seeds: Sequence[int], steps: int, guidance_scale: float) -> None:
    """Raise RequestError for what no generator takes."""
    if not 1 <= steps <= 100:
        raise RequestError(f"steps is {steps}; choose 1 to 100.")
    if not 1 <= guidance_scale <= 20:
        raise RequestError(f"guidance scale is {guidance_scale}; choose 1 to 20.")
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise RequestError(f"seed is {seed}; choose 0 to {2**31 - 1}.")


def draw_clips(config: GeneratorConfig, seeds: Sequence[int]) -> torch.Tensor:
    """The noise of each seed's clip, (B, C, 16, h, w), the same on every device."""
    side = config.size // config.patch
    shape = (config.latent_channels, FRAMES, side, side)
    clips = [draw_noise(config, shape, torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(clips)


def draw_styles(config: GeneratorConfig, seeds: Sequence[int]) -> torch.Tensor:
    """The style of each seed's figure, (B, K), the same on every device."""
    drawn = [
        torch.randn(config.style, generator=torch.Generator().manual_seed(seed + 2**31))
        for seed in seeds
    ]
    return STYLE_SPREAD * torch.stack(drawn)


def frames_of(
    autoencoder: Autoencoder,
    latents: torch.Tensor,
    config: GeneratorConfig,
    finished: bool,
    figure: Figure | None = None,
) -> Bytes:
    """Latents (B, C, F, h, w) to uint8 (B, F, H, W, 3); coarse ones unless `finished`.

    A figure of B F frames is put in front of them.
    """
    batch, _, frames, _, _ = latents.shape
    flat = latents.transpose(1, 2).flatten(0, 1)
    with torch.inference_mode():
        decoded = autoencoder.decode(flat) if finished else autoencoder.glance(flat, config.patch)
        if figure is not None:
            decoded = figure.over(decoded)
        if not torch.isfinite(decoded).all():
            raise WeightsError(
                "the autoencoder gave NaN or infinite values, so no clip was made; half precision "
                "may be too narrow for it: run on a CPU, or fetch the weights again."
            )
        levels = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    shaped = levels.reshape(batch, frames, *levels.shape[1:]).permute(0, 1, 3, 4, 2)
    return np.ascontiguousarray(shaped.cpu().numpy())


def plain_config(config: GeneratorConfig) -> dict[str, Any]:
    """What a checkpoint says of its model, as JSON would give it back."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
        if name not in ("default_steps", "default_guidance")
    }
