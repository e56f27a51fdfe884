"""Training of what the paper adds to Stable Diffusion 1.5 (stages 1 and 4 of supplement A.1).

The objective is Stable Diffusion's own: the mean squared error of the predicted noise, at time
steps drawn evenly (betas from 0.00085 to 0.012 over 1,000 steps). Text encoder, autoencoder and the
2D U-Net's own weights stay frozen.

Design choice: the paper fine-tunes PhysNet and the projection along with the U-Net; here skeletons
are true ones, degraded as detections are, and PhysNet and projection stay as stages 2 and 3 leave
them.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from finephys.config import TIERS, GeneratorConfig
from finephys.data.clips import RenderedClips
from finephys.generator.diffusion import plain_config
from finephys.generator.lora import (
    load_base,
    load_trained,
    recompute_activations,
    save_trained,
    trained_parameters,
)
from finephys.generator.network import VideoNetwork
from finephys.generator.sampling import TIME_STEPS, draw_noise, make_scheduler, signal_and_noise
from finephys.generator.text import tokenize
from finephys.training.generator import GeneratorTraining, Prepared, prepare
from finephys.training.loop import LoopSettings, Step, Task, train

logger = logging.getLogger(__name__)

ENCODER_LOOP = LoopSettings(
    steps=8000, learning_rate=5e-4, weight_decay=0.01, average_decay=0.0, save_seconds=600
)
"""Stage 1, on Stable Diffusion as published. Rate 5e-4 and decay 1e-2 are the supplement's (A.1).
Design choice: AdamW, with decoupled decay, for Adam; 100 steps of warm-up and a cosine to 2 %; the
number of steps."""

ADAPTATION_LOOP = LoopSettings(
    steps=8000, learning_rate=5e-4, weight_decay=0.01, average_decay=0.0, save_seconds=600
)
"""Stage 4: 8,000 steps, rate 5e-4, decay 1e-2 (supplement A.1 and A.4). Design choice: AdamW, with
decoupled decay, for Adam; 100 steps of warm-up and a cosine to 2 %."""

ADAPTATION_CLIPS = 1024
"""Rendered clips, 30 GB on disk at 512 x 512. Design choice: FineGym's own may not be passed on."""

SHARD_STEPS = 64
"""Steps that draw from one file of clips before the next is read. Design choice: a file of 128
clips takes 2 GB of memory, all of them would take 17."""

PLAN = GeneratorTraining(stills=16, clips=1)
"""What is dropped and degraded, as for the tiny tier. Design choice: one clip, or as many single
frames as a clip has, a step of a process; `accelerate launch` adds processes."""


class TrainedParts(nn.Module):
    """The trained parameters of a network as a model of their own, without the frozen ones.

    Args:
        network: of `load_base`.
        tokenizer: of its text encoder.
        names: of `trained_parameters` that are trained; the others are frozen.
    """

    def __init__(self, network: VideoNetwork, tokenizer: CLIPTokenizer, names: list[str]) -> None:
        super().__init__()
        parameters = trained_parameters(network)
        network.requires_grad_(False)
        self.weights = nn.ParameterList(parameters[name].requires_grad_(True) for name in names)
        self._tokenizer = tokenizer
        self._scheduler = make_scheduler(network.config, "ddim")
        self._network = (network,)  # in a tuple it is no submodule: no state holds the base

    @property
    def network(self) -> VideoNetwork:
        """The whole network."""
        return self._network[0]

    def train(self, mode: bool = True) -> "TrainedParts":
        """Also turn LoRA's dropout on or off."""
        self.network.unet.train(mode)
        return super().train(mode)

    def forward(self, batch: Prepared, random: torch.Generator) -> dict[str, Tensor]:
        """The loss of one batch of clips, or of single frames.

        Args:
            batch: of `training.generator.prepare`.
            random: draws time steps and noise.
        """
        network, config = self.network, self.network.config
        count, length = batch.frames.shape[:2]
        device = batch.frames.device
        with torch.no_grad():
            flat = network.autoencoder.encode(batch.frames.flatten(0, 1))
            clean = flat.reshape(count, length, *flat.shape[1:]).transpose(1, 2).float()
            ids, mask = tokenize(self._tokenizer, batch.prompts, config.text_length)
            text = network.encode_text(ids.to(device), mask.to(device))
        time = torch.randint(TIME_STEPS, (count,), generator=random).to(device)
        noise = draw_noise(config, tuple(clean.shape), random).to(device)
        signal_share, noise_share = signal_and_noise(self._scheduler, time, clean.ndim)
        guidance = network.encode_skeleton(batch.heatmaps, text)
        still = network.without_motion() if length == 1 else nullcontext()
        with still:
            predicted = network(signal_share * clean + noise_share * noise, time, text, guidance)
        error = functional.mse_loss(predicted.float(), noise)
        return {"total": error, "still" if length == 1 else "clip": error.detach()}


def train_encoder(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Stage 1: the skeletal heatmap encoder alone, on single frames (supplement A.2)."""
    return _train(run, out, data, settings, None, should_stop)


def train_adaptation(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    encoder: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Stage 4: LoRA, motion modules and the encoder, on clips.

    Args:
        run: folder of the optimiser's state and the log.
        out: checkpoint of everything trained.
        data: folder of rendered clips at the size of the sd15 tier.
        settings: of the loop.
        encoder: checkpoint of stage 1.
        should_stop: called before each step; True ends the run after saving.

    Returns:
        The last step reached.
    """
    return _train(run, out, data, settings, encoder, should_stop)


def _train(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    encoder: Path | None,
    should_stop: Callable[[], bool],
) -> int:
    config: GeneratorConfig = TIERS["sd15"]
    plain = plain_config(config)
    source = RenderedClips(data, layers=False, keep=1)
    torch.manual_seed(settings.seed)
    network, tokenizer, base = load_base(config, torch.float32)
    if encoder is not None:
        load_trained(network, encoder, plain, base)
    recompute_activations(network.unet)
    names = [
        name
        for name in trained_parameters(network)
        if encoder is not None or name.startswith("skeleton_encoder.")
    ]
    parts = TrainedParts(network, tokenizer, names)
    logger.info(
        "%.1f M weights in %d tensors are trained",
        sum(weight.numel() for weight in parts.weights) / 1e6,
        len(names),
    )

    def draw(step: Step) -> Prepared:
        rng = np.random.default_rng((settings.seed, step.draw))
        order = np.random.default_rng((settings.seed, 7, step.number // SHARD_STEPS))
        file = int(order.integers(source.files))
        drawn = (
            source.stills(rng, PLAN.stills, file)
            if encoder is None
            else source.clips(rng, PLAN.clips, file)
        )
        return prepare(drawn, config.heatmap_levels, PLAN, rng)

    def losses(model: TrainedParts, batch: Prepared, step: Step) -> dict[str, Tensor]:
        found: dict[str, Tensor] = model(batch, torch.Generator().manual_seed(step.seed))
        return found

    def save(model: TrainedParts, step: int) -> None:
        save_trained(model.network, out, plain, base)
        logger.info("saved step %d to %s", step, out)

    return train(Task(parts, draw, losses, save, frozen=(network,)), settings, run, should_stop)
