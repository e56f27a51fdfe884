"""`sd15-controlnet`: public weights alone, AnimateDiff with an OpenPose ControlNet.

Stable Diffusion 1.5 and the AnimateDiff motion adapter make the video, a ControlNet makes it follow
pictures of S_re-proj in the OpenPose convention. Nothing is trained here;
`python -m finephys fetch sd15` brings the weights.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel
from diffusers import UNetMotionModel as VideoUNet
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from finephys.config import SD15_CONTROLNET_GENERATOR, GeneratorConfig
from finephys.errors import RequestError, WeightsError
from finephys.generator.autoencoder import LatentAutoencoder
from finephys.generator.diffusion import SAMPLER, check_ranges, draw_clips, frames_of
from finephys.generator.memory import Memory, memory_for, memory_guard
from finephys.generator.network import without_motion
from finephys.generator.protocol import Sampling
from finephys.generator.public import filled
from finephys.generator.sampling import Condition, denoise_latents, make_scheduler
from finephys.generator.text import TextFeatures, cut_text, encode_text, tokenize
from finephys.guidance.framing import Framing
from finephys.guidance.openpose import pose_video
from finephys.types import LimbHeatmaps, Pose2D, VideoClip
from finephys.weights.catalogue import SD15_PARTS
from finephys.weights.lock import verify, weights_folder

logger = logging.getLogger(__name__)

COMMAND = "python -m finephys fetch sd15"

NEGATIVE = "blurry, low quality, deformed, extra limbs"
"""What classifier-free guidance goes away from. Design choice: usual words for these weights."""


class PoseNetwork(nn.Module):
    """The weights of this generator, in one dtype.

    Args:
        config: size and schedule.
        unet: Stable Diffusion's U-Net with the motion modules.
        controlnet: reads pictures of poses.
        vae: frames to latents and back.
        text_encoder: CLIP's.
        frames_at_once: frames that the ControlNet reads together; fewer take less memory.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        unet: VideoUNet,
        controlnet: ControlNetModel,
        vae: AutoencoderKL,
        text_encoder: nn.Module,
        frames_at_once: int = 16,
    ) -> None:
        super().__init__()
        self.config = config
        self.unet = unet
        self.controlnet = controlnet
        self.autoencoder = LatentAutoencoder(vae=vae)
        self.text_encoder = text_encoder
        self.frames_at_once = frames_at_once

    def forward(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: TextFeatures,
        guidance: torch.Tensor | None,
    ) -> torch.Tensor:
        """The noise in latents (B, C, F, h, w) at times (B,).

        Args:
            noisy: latents.
            time: time steps, 0 to 999.
            text: features of B prompts.
            guidance: (B, F, 3, H, W) pictures of poses in [0, 1]; None: no ControlNet.
        """
        frames = noisy.shape[2]
        dtype = self.unet.dtype
        sample = noisy.to(dtype)
        tokens = text.tokens.to(dtype).repeat_interleave(frames, 0)
        added: dict[str, Any] = {}
        if guidance is not None:
            flat = sample.transpose(1, 2).flatten(0, 1)
            down, middle = self._read_poses(flat, time.repeat_interleave(frames), tokens, guidance)
            added["down_block_additional_residuals"] = down
            added["mid_block_additional_residual"] = middle
        predicted: torch.Tensor = self.unet(
            sample, time, encoder_hidden_states=tokens, **added
        ).sample
        return predicted.to(noisy.dtype)

    def _read_poses(
        self, sample: torch.Tensor, time: torch.Tensor, tokens: torch.Tensor, guidance: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        pictures = guidance.flatten(0, 1).to(sample.dtype)
        parts = [
            self.controlnet(
                sample[part], time[part], tokens[part], pictures[part], return_dict=False
            )
            for part in (
                slice(begin, begin + self.frames_at_once)
                for begin in range(0, len(sample), self.frames_at_once)
            )
        ]
        down = tuple(torch.cat(level) for level in zip(*(part[0] for part in parts), strict=True))
        return down, torch.cat([part[1] for part in parts])

    def without_motion(self) -> AbstractContextManager[None]:
        """Leave the motion modules out: every frame is then generated alone."""
        return without_motion(self.unet)


class PoseVideoGenerator:
    """Text and pictures of poses to 16 frames, by public weights.

    Args:
        network: the weights.
        tokenizer: of the text encoder.
        device: "cpu" or "cuda".
        memory: how to place the weights.
    """

    def __init__(
        self, network: PoseNetwork, tokenizer: CLIPTokenizer, device: str, memory: Memory
    ) -> None:
        if network.config.size % 8:
            raise RequestError(
                f"width and height are {network.config.size}; they must be divisible by 8, such "
                f"as {round(network.config.size / 8) * 8 or 8}."
            )
        self._network = memory.place(network.eval(), device)
        self._tokenizer = tokenizer
        self._device = device
        self.config = config = network.config
        self.size = config.size
        self.default_steps, self.default_guidance = config.default_steps, config.default_guidance

    @classmethod
    def load(
        cls,
        device: str = "cpu",
        folder: Path | None = None,
        config: GeneratorConfig = SD15_CONTROLNET_GENERATOR,
    ) -> "PoseVideoGenerator":
        """Load the fetched weights, each file proved against the lock.

        Args:
            device: "cpu" (float32) or "cuda" (bfloat16 where the GPU has it, else float16).
            folder: of the parts; None: where `fetch` puts them.
            config: size and schedule.

        Raises:
            WeightsMissingError: they were not fetched, or not wholly; the text names the command.
            WeightsError: a file changed, or does not fit.
        """
        folder = folder or weights_folder("sd15")
        verify(folder, tuple(part.name for part in SD15_PARTS), COMMAND)
        memory = memory_for(device)
        whole = folder / "stable-diffusion"
        plain = filled(UNet2DConditionModel, whole / "unet", memory.dtype, COMMAND)
        adapter = filled(MotionAdapter, folder / "motion-adapter", memory.dtype, COMMAND)
        try:
            unet = VideoUNet.from_unet2d(plain, adapter).to(memory.dtype)
        except (ValueError, RuntimeError) as error:
            raise WeightsError(
                f"the motion adapter does not fit the U-Net ({error}); run: {COMMAND}", COMMAND
            ) from error
        network = PoseNetwork(
            config,
            unet,
            filled(ControlNetModel, folder / "controlnet", memory.dtype, COMMAND),
            filled(AutoencoderKL, whole / "vae", memory.dtype, COMMAND),
            filled(CLIPTextModel, whole / "text_encoder", memory.dtype, COMMAND),
            memory.frames_at_once,
        )
        tokenizer = CLIPTokenizer.from_pretrained(whole / "tokenizer", local_files_only=True)
        return cls(network, tokenizer, device, memory)

    def cut_prompt(self, prompt: str) -> str | None:
        """The end of a prompt that the text encoder cannot take, or None when all fits."""
        return cut_text(self._tokenizer, prompt, self.config.text_length)

    def draw(self, pose: Pose2D, canvas: Framing) -> VideoClip:
        """A skeleton as pictures in the OpenPose convention."""
        return pose_video(pose, canvas, size=self.size)

    def denoise(self, asked: Sampling) -> Iterator[VideoClip]:
        """Generate one clip; see `protocol.VideoGenerator.denoise`."""
        guide, prompt, steps = asked.guide, asked.prompt, asked.steps
        check_ranges([asked.seed], steps, asked.guidance_scale)
        if isinstance(guide, LimbHeatmaps):
            raise RequestError("This generator reads pictures of poses; limb heatmaps were given.")
        if guide is not None and guide.size != (self.size, self.size):
            raise RequestError(
                f"pictures of poses are {guide.size}; this generator reads {self.size} x "
                f"{self.size} pixels."
            )
        if cut := self.cut_prompt(prompt):
            logger.warning(
                "the text encoder takes %d tokens; cut from the prompt: %.200s",
                self.config.text_length,
                cut,
            )
        still = nullcontext() if asked.motion else self._network.without_motion()
        with still, memory_guard():
            with torch.inference_mode():
                wanted = Condition(self._text(prompt), self._pictures(guide))
                unguided = asked.guidance_scale == 1
                empty = None if unguided else wanted._replace(text=self._text(NEGATIVE))
            noise = draw_clips(self.config, [asked.seed]).to(self._device)
            denoising = denoise_latents(
                self._network,
                make_scheduler(self.config, SAMPLER),
                noise,
                wanted,
                empty,
                steps,
                asked.guidance_scale,
                asked.stop,
            )
            for step, latents in enumerate(denoising, 1):
                frames = frames_of(self._network.autoencoder, latents, self.config, step == steps)
                yield VideoClip(frames[0], asked.fps)

    def _text(self, prompt: str) -> TextFeatures:
        ids, mask = tokenize(self._tokenizer, [prompt], self.config.text_length)
        return encode_text(self._network.text_encoder, ids.to(self._device), mask.to(self._device))

    def _pictures(self, guide: VideoClip | None) -> torch.Tensor | None:
        if guide is None:
            return None
        pictures = torch.from_numpy(guide.frames).to(self._device)
        return pictures.permute(0, 3, 1, 2)[None].float() / 255
