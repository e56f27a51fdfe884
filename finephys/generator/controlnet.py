"""`sd15-controlnet`: AnimateDiff with an OpenPose ControlNet, by public weights alone.

Stable Diffusion 1.5 and the AnimateDiff motion adapter generate the video, and a ControlNet makes
it follow pictures of S_re-proj in the OpenPose convention. Nothing is trained here; `python -m
finephys fetch sd15` downloads the weights.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from torch import nn
from transformers import CLIPTextModel

from finephys.config import SD15_CONTROLNET_GENERATOR, GeneratorConfig
from finephys.errors import RequestError
from finephys.generator.autoencoder import LatentAutoencoder
from finephys.generator.latent_diffusion import Encoded, LatentDiffusion
from finephys.generator.memory import memory_for
from finephys.generator.network import LatentNetwork
from finephys.generator.pretrained import join_motion_modules, load_pretrained_strict
from finephys.generator.protocol import Sampling
from finephys.generator.sampling import Condition
from finephys.generator.text import TextFeatures, load_tokenizer
from finephys.guidance.framing import Framing
from finephys.guidance.openpose import pose_video
from finephys.types import Guidance, Pose2D, VideoClip
from finephys.weights.catalogue import SD15_PARTS
from finephys.weights.lock import verify, weights_folder

COMMAND = "python -m finephys fetch sd15"

NEGATIVE_PROMPT = "blurry, low quality, deformed, extra limbs"
"""Prompt of the unconditional branch. Design choice: usual words for these weights."""


class PoseNetwork(LatentNetwork):
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
        unet: UNetMotionModel,
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
        """Predict the noise in latents (B, C, F, h, w) at times (B,).

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


class PoseVideoGenerator(LatentDiffusion[PoseNetwork]):
    """Text and pictures of poses to 16 frames; for the arguments see `LatentDiffusion`."""

    @classmethod
    def load(
        cls,
        device: str = "cpu",
        folder: Path | None = None,
        config: GeneratorConfig = SD15_CONTROLNET_GENERATOR,
    ) -> "PoseVideoGenerator":
        """Load the fetched weights, each file verified against the lock.

        Args:
            device: "cpu" (float32) or "cuda" (bfloat16 where the GPU has it, else float16).
            folder: holds the fetched parts; None: where `fetch` puts them.
            config: size and schedule.

        Raises:
            WeightsMissingError: they are not, or incompletely, downloaded; the text names the
                command.
            WeightsError: a file changed, or does not fit.
        """
        folder = folder or weights_folder("sd15")
        verify(folder, tuple(part.name for part in SD15_PARTS), COMMAND)
        memory = memory_for(device)
        base = folder / "stable-diffusion"

        def load(model: Any, place: Path) -> Any:  # noqa: ANN401
            return load_pretrained_strict(model, place, memory.dtype, COMMAND)

        network = PoseNetwork(
            config,
            join_motion_modules(
                load(UNet2DConditionModel, base / "unet"),
                load(MotionAdapter, folder / "motion-adapter"),
                COMMAND,
            ),
            load(ControlNetModel, folder / "controlnet"),
            load(AutoencoderKL, base / "vae"),
            load(CLIPTextModel, base / "text_encoder"),
            memory.frames_at_once,
        )
        tokenizer = load_tokenizer(base / "tokenizer", COMMAND)
        return cls(network, tokenizer, device, memory)

    def draw(self, pose: Pose2D, canvas: Framing) -> VideoClip:
        """Draw a skeleton as pictures in the OpenPose convention."""
        return pose_video(pose, canvas, size=self.size)

    def _check_guide(self, guide: Guidance | None) -> None:
        if guide is None:
            return
        if not isinstance(guide, VideoClip):
            raise RequestError("This generator reads pictures of poses; limb heatmaps were given.")
        if guide.size != (self.size, self.size):
            raise RequestError(
                f"pictures of poses are {guide.size}; this generator reads {self.size} x "
                f"{self.size} pixels."
            )

    def _encode(self, batch: Sequence[Sampling], guided: bool) -> Encoded:
        pictures = self._pictures([each.guide for each in batch])
        wanted = Condition(self._encode_text([each.prompt for each in batch]), pictures)
        if not guided:
            return Encoded(wanted, None)
        negative = self._encode_text([NEGATIVE_PROMPT] * len(batch))
        return Encoded(wanted, Condition(negative, pictures))

    def _pictures(self, guides: Sequence[Guidance | None]) -> torch.Tensor | None:
        """Stack pictures, (B, F, 3, H, W) in [0, 1]; None without any guide."""
        stack = [guide.frames for guide in guides if isinstance(guide, VideoClip)]
        if not stack:
            return None
        if len(stack) != len(guides):
            raise RequestError("some clips of a batch have no guide; give one to all or to none.")
        pictures = torch.from_numpy(np.stack(stack)).to(self._device)
        return pictures.permute(0, 1, 4, 2, 3).float() / 255
