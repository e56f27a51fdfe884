"""The generator that reads limb heatmaps, of the tiers "tiny" and "sd15"."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from finephys.config import TIERS, GeneratorConfig
from finephys.errors import RequestError, WeightsError
from finephys.generator.latent_diffusion import SAMPLER, Encoded, LatentDiffusion
from finephys.generator.memory import has_bfloat16, memory_for
from finephys.generator.network import VideoNetwork
from finephys.generator.protocol import Sampling
from finephys.generator.sampling import Condition
from finephys.generator.text import load_tokenizer
from finephys.guidance.framing import Framing
from finephys.guidance.heatmaps import limb_heatmaps
from finephys.skeleton import FRAMES, LIMBS
from finephys.types import Guidance, LimbHeatmaps, Pose2D
from finephys.weights.checkpoints import checkpoint_path, load_module, read_config

STYLE_SPREAD = 0.7
"""Standard deviation of the styles that seeds draw. Design choice: at 1, as in training, one
leotard in twenty had another hue than the prompt's; at 0.7 none of 60 had."""


class Generator(LatentDiffusion[VideoNetwork]):
    """Text and limb heatmaps to 16 frames; for the arguments see `LatentDiffusion`."""

    @classmethod
    def load(cls, tier: str, device: str = "cpu", sampler: str = SAMPLER) -> "Generator":
        """Load the weights of a tier, strictly.

        The sd15 tier's checkpoint holds what was trained on top of the public Stable Diffusion,
        which is fetched and verified against its lock.

        Raises:
            WeightsMissingError: they are absent; the text names the command to run.
            WeightsError: they are damaged, or made for another configuration or base.
        """
        config = TIERS[tier]
        path = checkpoint_path(tier, "generator")
        if config.autoencoder == "kl":
            from finephys.generator.lora import load_base, load_trained

            memory = memory_for(device)
            network, tokenizer, base = load_base(config, memory.dtype)
            load_trained(network, path, plain_config(config), base)
            return cls(network, tokenizer, device, memory, sampler)
        saved = read_config(path)
        expected = plain_config(config)
        if saved != expected:
            fields = saved.keys() | expected.keys()
            wrong = sorted(name for name in fields if saved.get(name) != expected.get(name))
            raise WeightsError(
                f"{path.parent.name}/{path.name} was made for another configuration "
                f"({', '.join(wrong)} differ); fetch or train it again."
            )
        tokenizer = load_tokenizer(path.parent / "tokenizer", f"git checkout checkpoints/{tier}")
        network = VideoNetwork(config, tokenizer.eos_token_id)
        load_module(network, path)
        if device == "cpu" and has_bfloat16(device):
            network.multiply_in_bfloat16()
        return cls(network, tokenizer, device, sampler=sampler)

    def _size_multiple(self) -> int:
        return self.config.patch << (len(self.config.channels) - 1)  # halved from scale to scale

    def draw(self, pose: Pose2D, canvas: Framing) -> LimbHeatmaps:
        """Draw a skeleton as limb heatmaps at the scales of the U-Net."""
        return limb_heatmaps(pose, canvas, self.config.heatmap_levels)

    def _check_guide(self, guide: Guidance | None) -> None:
        if guide is None:
            return
        if not isinstance(guide, LimbHeatmaps):
            raise RequestError("This generator reads limb heatmaps; pictures of poses were given.")
        sides = tuple(level.shape[-1] for level in guide.levels)
        if sides != self.config.heatmap_levels:
            raise RequestError(
                f"heatmaps have levels {sides}; this generator reads {self.config.heatmap_levels}."
            )

    def _encode(self, batch: Sequence[Sampling], guided: bool) -> Encoded:
        levels = self._levels([each.guide for each in batch])
        wanted = self._condition([each.prompt for each in batch], levels)
        # The unconditional branch has an empty prompt and the same skeleton: guidance away from an
        # empty skeleton, too, would exaggerate the figure.
        negative = self._condition([""] * len(batch), levels) if guided else None
        if all(each.guide is None for each in batch):
            return Encoded(wanted, negative)
        style = draw_styles(self.config, [each.seed for each in batch]).to(self._device)
        return Encoded(wanted, negative, self._network.paint(levels, wanted.text, style))

    def _condition(self, prompts: Sequence[str], levels: list[torch.Tensor]) -> Condition:
        text = self._encode_text(prompts)
        return Condition(text, self._network.encode_skeleton(levels, text))

    def _levels(self, guides: Sequence[Guidance | None]) -> list[torch.Tensor]:
        """Stack heatmaps, one (B, F, L, h, h) per scale; zeros for clips without a guide."""
        levels = []
        for index, side in enumerate(self.config.heatmap_levels):
            empty = np.zeros((FRAMES, len(LIMBS), side, side), np.float32)
            stack = [
                guide.levels[index] if isinstance(guide, LimbHeatmaps) else empty
                for guide in guides
            ]
            levels.append(torch.from_numpy(np.stack(stack)).to(self._device))
        return levels


def draw_styles(config: GeneratorConfig, seeds: Sequence[int]) -> torch.Tensor:
    """Draw the style of each seed's figure, (B, K), the same on every device."""
    drawn = [
        torch.randn(config.style, generator=torch.Generator().manual_seed(seed + 2**31))
        for seed in seeds
    ]
    return STYLE_SPREAD * torch.stack(drawn)


def plain_config(config: GeneratorConfig) -> dict[str, Any]:
    """Return the configuration that a checkpoint is saved with, as JSON would give it back."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
        if name not in ("default_steps", "default_guidance")
    }
