"""Training of what the paper adds to Stable Diffusion 1.5 (stages 1 and 4 of supplement A.1).

The objective is Stable Diffusion's own: the mean squared error of the predicted noise, at time
steps drawn evenly (betas from 0.00085 to 0.012 over 1,000 steps). Text encoder, autoencoder and the
2D U-Net's own weights stay frozen.

Departure: the paper tunes PhysNet and the projection along with the U-Net; here the skeleton drawn
is the truth, disturbed as detections are, and those two stay as stages 2 and 3 leave them.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from finephys.config import TIERS, GeneratorConfig
from finephys.errors import RequestError
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
from finephys.training.clips import ClipBatch, read_clips
from finephys.training.generator import GeneratorTraining, Prepared, prepare
from finephys.training.loop import LoopSettings, train

logger = logging.getLogger(__name__)

ENCODER_LOOP = LoopSettings(
    steps=8000, learning_rate=5e-4, weight_decay=0.01, average_decay=0.0, save_seconds=600
)
"""Stage 1. Adam's rate and decay are the supplement's; the length is a design choice."""

ADAPTATION_LOOP = LoopSettings(
    steps=8000, learning_rate=5e-4, weight_decay=0.01, average_decay=0.0, save_seconds=600
)
"""Stage 4: 8,000 steps, rate 5e-4, decay 1e-2 (supplement A.1 and A.4)."""

ADAPTATION_CLIPS = 1024
"""Rendered clips. Design choice: 17 GB at 512 x 512; FineGym's own may not be passed on."""

SHARD_STEPS = 64
"""Steps that draw from one file of clips before the next is read. Design choice: a file of 128
clips takes 2 GB of memory, all of them would take 17."""

PLAN = GeneratorTraining(stills=16, clips=1)
"""What is dropped and disturbed, as for the tiny tier. Design choice: one clip, or as many single
frames as a clip has, a step; more take several processes."""


class ClipFiles:
    """Rendered clips on disk, one file of them in memory at a time.

    Args:
        folder: written by `finephys.data.rendered.render_dataset`.
        seed: of the order in which files are read.

    Raises:
        RequestError: when the folder holds no file.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._files = sorted(folder.glob("clips_*.npz"))
        self._seed = seed
        self._open: tuple[Path, ClipBatch] | None = None
        if not self._files:
            raise RequestError(f"{folder} holds no rendered clips; render some first.")

    def draw(
        self, step: int, rng: np.random.Generator, plan: GeneratorTraining, still: bool
    ) -> ClipBatch:
        """Clips of one step, or single frames of them; the same step has the same ones."""
        order = np.random.default_rng((self._seed, 7, step // SHARD_STEPS))
        path = self._files[int(order.integers(len(self._files)))]
        if self._open is None or self._open[0] != path:
            self._open = (path, read_clips(path, layers=False))
        held = self._open[1]
        wanted = plan.stills if still else plan.clips
        rows = rng.integers(0, len(held.frames), wanted)
        frames = rng.integers(0, held.frames.shape[1], (wanted, 1))
        picked = (rows[:, None], frames) if still else (rows,)
        prompts = [held.prompts[int(row)] for row in rows]
        return ClipBatch(
            held.frames[picked], held.figure[picked], None, held.canvas[picked], prompts
        )


class TrainedParts(nn.Module):
    """What is trained of a network, as a model of its own: state, gradients and nothing frozen.

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
        self._frozen = (network,)  # in a tuple: no submodule, so that no state holds the base

    @property
    def network(self) -> VideoNetwork:
        """The network whose parts these are."""
        return self._frozen[0]

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
        device = self.weights[0].device
        with torch.no_grad():
            flat = network.autoencoder.encode(batch.frames.flatten(0, 1).to(device))
            clean = flat.reshape(count, length, *flat.shape[1:]).transpose(1, 2).float()
            ids, mask = tokenize(self._tokenizer, batch.prompts, config.text_length)
            text = network.encode_text(ids.to(device), mask.to(device))
        time = torch.randint(TIME_STEPS, (count,), generator=random).to(device)
        noise = draw_noise(config, tuple(clean.shape), random).to(device)
        signal_share, noise_share = signal_and_noise(self._scheduler, time, clean.ndim)
        guidance = network.encode_skeleton([level.to(device) for level in batch.heatmaps], text)
        still = network.without_motion() if length == 1 else nullcontext()
        with still:
            made = network(signal_share * clean + noise_share * noise, time, text, guidance)
        error = functional.mse_loss(made.float(), noise)
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
        should_stop: asked before each step; True ends the run after saving.

    Returns:
        The last step reached.
    """
    return _train(run, out, data, settings, encoder, should_stop)


def _train(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    start: Path | None,
    should_stop: Callable[[], bool],
) -> int:
    config: GeneratorConfig = TIERS["sd15"]
    plain = plain_config(config)
    source = ClipFiles(data, settings.seed)
    torch.manual_seed(settings.seed)
    network, tokenizer, base = load_base(config, torch.float32)
    if start is not None:
        load_trained(network, start, plain, base)
    accelerator = Accelerator()
    network.to(accelerator.device)
    recompute_activations(network.unet)
    names = [
        name
        for name in trained_parameters(network)
        if start is not None or name.startswith("skeleton_encoder.")
    ]
    parts = TrainedParts(network, tokenizer, names)
    logger.info(
        "%.1f M weights in %d tensors are trained",
        sum(weight.numel() for weight in parts.weights) / 1e6,
        len(names),
    )

    def loss_of_step(model: nn.Module, step: int) -> dict[str, Tensor]:
        # Each process of a launch draws its own clips.
        number = step * accelerator.num_processes + accelerator.process_index
        rng = np.random.default_rng((settings.seed, number))
        random = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)
        torch.manual_seed(settings.seed * 1_000_003 + number)  # LoRA's dropout has no other source
        drawn = source.draw(step, rng, PLAN, still=start is None)
        losses: dict[str, Tensor] = model(prepare(drawn, config.heatmap_levels, PLAN, rng), random)
        return losses

    def on_save(_: nn.Module, step: int) -> None:
        save_trained(network, out, plain, base)
        logger.info("saved step %d to %s", step, out)

    return train(parts, loss_of_step, settings, run, on_save, should_stop)
