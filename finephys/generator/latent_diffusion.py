"""What the generators of all tiers share: a prompt, a guide and a seed become frames.

Each tier has its own network and reads its own kind of guide; prompts, noise, denoising, previews
and decoding are the same.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from transformers import CLIPTokenizer

from finephys.config import GeneratorConfig
from finephys.errors import RequestError, WeightsError
from finephys.generator.autoencoder import Autoencoder
from finephys.generator.memory import Memory, memory_guard
from finephys.generator.network import LatentNetwork
from finephys.generator.painter import Figure
from finephys.generator.protocol import Sampling
from finephys.generator.sampling import Condition, denoise_latents, draw_noise, make_scheduler
from finephys.generator.text import TextFeatures, cut_text, tokenize
from finephys.guidance.framing import Framing
from finephys.skeleton import FRAMES
from finephys.types import Bytes, Guidance, Pose2D, VideoClip

logger = logging.getLogger(__name__)

SAMPLER = "dpm++"
"""Design choice: second-order DPM-Solver++ needs a fifth of DDIM's steps for the same picture."""

NetworkT = TypeVar("NetworkT", bound=LatentNetwork)


class Encoded(NamedTuple):
    """Everything that B clips are denoised from, encoded once.

    Attributes:
        wanted: their prompts and guides.
        negative: the unconditional branch of classifier-free guidance; None: no guidance.
        figure: composited in front of the decoded frames; None: nothing is.
    """

    wanted: Condition
    negative: Condition | None
    figure: Figure | None = None


class LatentDiffusion(ABC, Generic[NetworkT]):
    """A video generator on CLIP's text encoder, an autoencoder and a video U-Net.

    Args:
        network: the weights.
        tokenizer: of the text encoder.
        device: such as "cpu" or "cuda".
        memory: how to place the network; None: all of it on the device.
        sampler: see `sampling.make_scheduler`.

    Raises:
        RequestError: the configuration's size is not divisible as the network needs it.
    """

    def __init__(
        self,
        network: NetworkT,
        tokenizer: CLIPTokenizer,
        device: str = "cpu",
        memory: Memory | None = None,
        sampler: str = SAMPLER,
    ) -> None:
        self.config = network.config
        self.size = self.config.size
        check_size(self.size, self._size_multiple())
        network.eval()
        self._network: NetworkT = memory.place(network, device) if memory else network.to(device)
        self._tokenizer = tokenizer
        self._device = device
        self._sampler = sampler

    def _size_multiple(self) -> int:
        """Return what width and height must be divisible by."""
        return self.config.patch

    @abstractmethod
    def draw(self, pose: Pose2D, canvas: Framing) -> Guidance:
        """Draw a skeleton for this generator; see `protocol.VideoGenerator.draw`."""

    @abstractmethod
    def _check_guide(self, guide: Guidance | None) -> None:
        """Raise RequestError for a guide of another kind or size."""

    @abstractmethod
    def _encode(self, batch: Sequence[Sampling], guided: bool) -> Encoded:
        """Encode prompts and guides; the negative ones only if `guided`."""

    def cut_prompt(self, prompt: str) -> str | None:
        """Return the part of a prompt beyond the text encoder's length, or None."""
        return cut_text(self._tokenizer, prompt, self.config.text_length)

    def denoise(self, params: Sampling) -> Iterator[VideoClip]:
        """Generate one clip; see `protocol.VideoGenerator.denoise`."""
        for clips in self.denoise_batch([params]):
            yield VideoClip(clips[0], params.fps)

    def denoise_batch(self, batch: Sequence[Sampling]) -> Iterator[Bytes]:
        """Generate several clips at once.

        Args:
            batch: parameters of each clip; steps, guidance scale and motion are the same in all.

        Yields:
            uint8 (B, 16, size, size, 3) RGB, after each denoising step; the last is the result.

        Raises:
            RequestError: a parameter is out of range, or the shared ones differ.
            StoppedError: the first clip's `stop` returned True.
        """
        if len({(each.steps, each.guidance_scale, each.motion) for each in batch}) != 1:
            raise RequestError(
                f"{len(batch)} clips were given to one batch; give one or more, all with the same "
                "steps, guidance scale and motion."
            )
        for each in batch:
            check_ranges(each)
            self._check_guide(each.guide)
            if cut := self.cut_prompt(each.prompt):
                logger.warning(
                    "the text encoder reads %d tokens; cut from the prompt: %.200s",
                    self.config.text_length,
                    cut,
                )
        motion = nullcontext() if batch[0].motion else self._network.without_motion()
        with motion, memory_guard(self._network.children()):
            yield from self._denoise(batch)

    def _denoise(self, batch: Sequence[Sampling]) -> Iterator[Bytes]:
        shared = batch[0]
        with torch.inference_mode():
            encoded = self._encode(batch, guided=shared.guidance_scale != 1)
        denoising = denoise_latents(
            self._network,
            make_scheduler(self.config, self._sampler),
            draw_clips(self.config, [each.seed for each in batch]).to(self._device),
            encoded.wanted,
            encoded.negative,
            shared.steps,
            shared.guidance_scale,
            shared.stop,
        )
        for step, latents in enumerate(denoising, 1):
            finished = step == shared.steps
            autoencoder = self._network.autoencoder
            yield frames_of(autoencoder, latents, self.config, finished, encoded.figure)

    def _encode_text(self, prompts: Sequence[str]) -> TextFeatures:
        ids, mask = tokenize(self._tokenizer, prompts, self.config.text_length)
        return self._network.encode_text(ids.to(self._device), mask.to(self._device))


def check_size(size: int, multiple: int) -> None:
    """Raise RequestError for a width and height that is not divisible by `multiple`."""
    if size % multiple:
        raise RequestError(
            f"width and height are {size}; they must be divisible by {multiple}, such as "
            f"{max(round(size / multiple), 1) * multiple}."
        )


def check_ranges(params: Sampling) -> None:
    """Raise RequestError for a number that no generator accepts."""
    if not 1 <= params.steps <= 100:
        raise RequestError(f"steps is {params.steps}; choose 1 to 100.")
    if not 1 <= params.guidance_scale <= 20:
        raise RequestError(f"guidance scale is {params.guidance_scale}; choose 1 to 20.")
    if not 0 <= params.seed < 2**31:
        raise RequestError(f"seed is {params.seed}; choose 0 to {2**31 - 1}.")


def draw_clips(config: GeneratorConfig, seeds: Sequence[int]) -> torch.Tensor:
    """Draw the noise of each seed's clip, (B, C, 16, h, w), the same on every device."""
    side = config.size // config.patch
    shape = (config.latent_channels, FRAMES, side, side)
    clips = [draw_noise(config, shape, torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(clips)


def frames_of(
    autoencoder: Autoencoder,
    latents: torch.Tensor,
    config: GeneratorConfig,
    finished: bool,
    figure: Figure | None = None,
) -> Bytes:
    """Turn latents into frames.

    Args:
        autoencoder: decodes or previews them.
        latents: (B, C, F, h, w).
        config: of the generator.
        finished: decode them; otherwise preview them.
        figure: of B F frames, composited in front of them.

    Returns:
        uint8 (B, F, H, W, 3) RGB.

    Raises:
        WeightsError: the autoencoder returned NaN or infinite values.
    """
    batch, _, frames, _, _ = latents.shape
    flat = latents.transpose(1, 2).flatten(0, 1)
    with torch.inference_mode():
        decoded = autoencoder.decode(flat) if finished else autoencoder.preview(flat, config.patch)
        if figure is not None:
            decoded = figure.over(decoded)
        if not torch.isfinite(decoded).all():
            raise WeightsError(
                "the autoencoder returned NaN or infinite values, so no clip was made; half "
                "precision may be too narrow for it: run on a CPU, or fetch the weights again."
            )
        levels = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    shaped = levels.reshape(batch, frames, *levels.shape[1:]).permute(0, 1, 3, 4, 2)
    return np.ascontiguousarray(shaped.cpu().numpy())
