"""Training of the tiny tier's autoencoder (stage 0), on single frames with and without a figure."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finephys.config import TINY_GENERATOR, GeneratorConfig
from finephys.data.clips import ClipBatch, RenderedClips
from finephys.generator.autoencoder import Autoencoder, SmallAutoencoder, make_autoencoder
from finephys.training.loop import LoopSettings, Step, Task, inner_matrices, train
from finephys.weights.checkpoints import save_module

logger = logging.getLogger(__name__)

AUTOENCODER_LOOP = LoopSettings(
    steps=6000, learning_rate=2e-3, save_seconds=240, bfloat16=True, log_every=50
)
"""Two CPU cores with AMX take 0.17 s a step; the shipped weights' history is in their card."""

STILLS = 16
"""Frames a step; each is shown with its figure or without."""

NOISE = 0.1
"""Standard deviation of the noise on latents of variance 1, so that the decoder tolerates a
denoiser's errors."""

_EDGE_WEIGHT = 0.5
"""Weight of the error in the differences of neighbouring pixels."""


def train_autoencoder(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    config: GeneratorConfig = TINY_GENERATOR,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train the small autoencoder of a configuration, resuming what `run` holds.

    Args:
        run: folder of the optimiser's state and the log.
        out: checkpoint that gets the averaged weights at each save.
        data: folder of rendered clips; new files are read as they appear.
        settings: of the loop.
        config: sizes.
        should_stop: called before each step; True ends the run after saving.

    Returns:
        The last step reached.
    """
    source = RenderedClips(data)
    torch.manual_seed(settings.seed)
    model = make_autoencoder(config)
    assert isinstance(model, SmallAutoencoder)  # noqa: S101 -- for the type checker

    def draw(step: Step) -> Tensor:
        rng = np.random.default_rng((settings.seed, step.draw))
        return pictures(source.stills(rng, STILLS), rng)

    def losses(network: Autoencoder, frames: Tensor, _: Step) -> dict[str, Tensor]:
        return autoencoder_losses(network, frames)

    def save(network: Autoencoder, step: int) -> None:
        save_module(network, out, autoencoder_config(config))
        logger.info("saved step %d to %s", step, out)
        source.refresh()

    matrices = inner_matrices(model, {model.enter[0], model.leave[-1]})
    task = Task(model, draw, losses, save, matrices=matrices)
    return train(task, settings, run, should_stop)


def autoencoder_config(config: GeneratorConfig) -> dict[str, object]:
    """JSON values that rebuild the model, for its checkpoint."""
    return {
        "autoencoder": config.autoencoder,
        "channels": list(config.autoencoder_channels),
        "latent_channels": config.latent_channels,
    }


def pictures(batch: ClipBatch, rng: np.random.Generator) -> Tensor:
    """Frames (N, 3, S, S) in [-1, 1], half of them without their figure, mirrored at random."""
    frames = batch.frames[:, 0].copy()
    assert batch.behind is not None  # noqa: S101 -- for the type checker
    empty = rng.random(len(frames)) < 0.5
    frames[empty] = batch.behind[empty, 0]
    mirrored = rng.random(len(frames)) < 0.5
    frames[mirrored] = frames[mirrored, :, ::-1]
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def autoencoder_losses(network: Autoencoder, frames: Tensor) -> dict[str, Tensor]:
    """Mean absolute error of pixels and of the steps between neighbours, through noisy latents."""
    latents = network.encode(frames)
    noisy = latents + NOISE * torch.randn_like(latents)
    error = network.decode(noisy).float() - frames
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return {
        "total": error.abs().mean() + _EDGE_WEIGHT * edges,
        "square": error.detach().square().mean(),
    }
