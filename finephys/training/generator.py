"""Training of the video generator on rendered gymnasts (stage 0: tiny's base generator).

Design choices, all found by looking at what the model drew:
the clean frames are predicted, not the noise; errors on the figure weigh more; single frames are
trained first and in between, without motion modules, because they cost a third of a clip and show
sixteen times as many places; text and skeleton are each dropped in a tenth of the clips; the
painter is trained on its own picture of some frames, and what it gives the U-Net is taken as given,
which costs a third of going through it backwards for all.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from finephys.checkpoints import save_module
from finephys.config import TINY_GENERATOR, GeneratorConfig
from finephys.data.rendered import render_dataset
from finephys.generator.diffusion import plain_config
from finephys.generator.network import VideoNetwork
from finephys.generator.painter import Figure, Painter
from finephys.generator.sampling import (
    TIME_STEPS,
    Scheduler,
    draw_noise,
    make_scheduler,
    predict_clean,
    signal_and_noise,
)
from finephys.generator.text import load_tokenizer, tokenize
from finephys.heatmaps import heatmap_level
from finephys.skeleton import MIRROR
from finephys.training.clips import ClipBatch, RenderedClips
from finephys.training.loop import LoopSettings, train
from finephys.training.vocabulary import train_tokenizer
from finephys.types import WorldMotion

logger = logging.getLogger(__name__)


GENERATOR_LOOP = LoopSettings(steps=8000, learning_rate=2e-3, save_seconds=240)
"""Of a new run; the shipped weights' own history stands in their model card."""

TRAINING_CLIPS = 8192
"""Rendered clips that the shipped weights were trained on."""


@dataclass(frozen=True)
class GeneratorTraining:
    """How the generator is trained.

    Attributes:
        still_steps: steps at the start that see single frames only.
        still_every: afterwards, every so many steps see single frames.
        stills: frames in a batch of single frames.
        clips: clips in a batch of clips.
        late: share of single frames drawn at late, noisy time steps alone. Design choice: only
            there does the text say more than the noisy picture.
        drop_text: share of clips whose prompt is emptied.
        drop_both: share of clips that lose both.
        one_sentence: share of clips whose prompt is one of its sentences.
        drop_skeleton: share of clips whose skeleton is emptied.
        painted: frames of each batch that the painter is trained on.
        figure_weight: weight of a pixel of the figure; one of the background has 1.
        change_weight: weight of the error in how pixels change from frame to frame.
        joint_noise: standard deviation of the joints' positions, share of the canvas.
        low_score: share of clips in which some joints have a low score.
    """

    still_steps: int = 2800
    still_every: int = 2
    stills: int = 32
    clips: int = 2
    late: float = 0.25
    drop_text: float = 0.1
    one_sentence: float = 0.3
    drop_skeleton: float = 0.1
    drop_both: float = 0.06
    painted: int = 8
    figure_weight: float = 5.0
    change_weight: float = 0.5
    joint_noise: float = 0.004
    low_score: float = 0.2


class Prepared(NamedTuple):
    """A batch ready for the network; F = 1 for single frames."""

    frames: Tensor
    figure: Tensor
    heatmaps: list[Tensor]
    prompts: list[str]


def prepare(
    batch: ClipBatch, config: GeneratorConfig, plan: GeneratorTraining, rng: np.random.Generator
) -> Prepared:
    """Mirror, disturb and drop at random, and draw the heatmaps.

    Returns:
        frames (B, F, 3, S, S) in [-1, 1], figure (B, F, 1, S, S) 1 on the body, heatmaps per
        scale (B, F, L, h, h), and prompts.
    """
    frames = torch.from_numpy(batch.frames).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    figure = torch.from_numpy(batch.figure)[:, :, None].float()
    canvas, score = _disturbed(batch.canvas, plan, rng)
    mirrored = torch.from_numpy(rng.random(len(frames)) < 0.5)
    frames[mirrored] = frames[mirrored].flip(-1)
    figure[mirrored] = figure[mirrored].flip(-1)
    flipped = canvas[mirrored][:, :, list(MIRROR)]
    canvas[mirrored] = flipped * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    score[mirrored] = score[mirrored][:, :, list(MIRROR)]
    bare = rng.random(len(frames)) < plan.drop_both
    score[torch.from_numpy(bare | (rng.random(len(frames)) < plan.drop_skeleton))] = 0
    heatmaps = [heatmap_level(canvas, score, cells) for cells in config.heatmap_levels]
    prompts = [
        "" if nothing else _worded(prompt, plan, rng)
        for prompt, nothing in zip(batch.prompts, bare, strict=True)
    ]
    return Prepared(frames, figure, heatmaps, prompts)


def _disturbed(
    canvas: npt.NDArray[np.float32], plan: GeneratorTraining, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Joints and scores as a detector or the projection would give them."""
    noise = rng.normal(0, plan.joint_noise, canvas.shape)
    score = np.ones(canvas.shape[:-1], np.float32)
    poor = rng.random(len(canvas)) < plan.low_score
    uncertain = poor[:, None, None] & (rng.random(score.shape) < 0.25)
    score[uncertain] = rng.uniform(0, 1, int(uncertain.sum()))
    return torch.from_numpy((canvas + noise).astype(np.float32)), torch.from_numpy(score)


def _worded(prompt: str, plan: GeneratorTraining, rng: np.random.Generator) -> str:
    """The prompt, one of its sentences alone, or nothing."""
    draw = rng.random()
    if draw < plan.drop_text:
        return ""
    sentences = [part.strip() for part in prompt.split(". ") if part.strip()]
    if draw < plan.drop_text + plan.one_sentence and len(sentences) > 1:
        return sentences[int(rng.integers(len(sentences)))].rstrip(".") + "."
    return prompt


def draw_times(count: int, random: torch.Generator, late: float = 0.0) -> Tensor:
    """Time steps (count,), uniform in [0, 999] as those of the sampler; a share `late` from 800 on.

    Design choice: with three quarters late the text was learned first, but pictures stayed blurred,
    because the sampler's last steps were hardly trained.
    """
    share = torch.rand(count, generator=random)
    chosen = torch.rand(count, generator=random) < late
    share[chosen] = 0.8 + 0.2 * torch.rand(int(chosen.sum()), generator=random)
    return (share * TIME_STEPS).long()


def generator_losses(
    network: VideoNetwork,
    scheduler: Scheduler,
    batch: Prepared,
    tokenizer: CLIPTokenizer,
    plan: GeneratorTraining,
    random: torch.Generator,
) -> dict[str, Tensor]:
    """Weighted squared error of the predicted clean frames, and of their changes in time."""
    config = network.config
    count, length = batch.frames.shape[:2]
    device = next(network.parameters()).device
    batch = Prepared(
        batch.frames.to(device),
        batch.figure.to(device),
        [level.to(device) for level in batch.heatmaps],
        batch.prompts,
    )
    with torch.no_grad():
        clean = network.autoencoder.encode(batch.frames.flatten(0, 1))
    clean = _as_clips(clean, length)
    weight = 1 + (plan.figure_weight - 1) * batch.figure.flatten(0, 1)
    if config.autoencoder == "pixels":
        weight = network.autoencoder.encode(weight.expand(-1, 3, -1, -1))
    else:
        weight = functional.interpolate(weight, clean.shape[-2:], mode="area")
    weight = _as_clips(weight, length)
    time = draw_times(count, random, plan.late if length == 1 else 0.0).to(device)
    noise = draw_noise(config, tuple(clean.shape), random).to(device)
    signal_share, noise_share = signal_and_noise(scheduler, time, clean.ndim)
    noisy = signal_share * clean + noise_share * noise
    ids, mask = tokenize(tokenizer, batch.prompts, config.text_length)
    text = network.encode_text(ids.to(device), mask.to(device))
    guidance = network.encode_skeleton(batch.heatmaps, text, painter_learns=False)
    still = network.without_motion() if length == 1 else nullcontext()
    with still:
        error = predict_clean(network, scheduler, noisy, time, text, guidance) - clean
    square = (weight * error**2).sum() / weight.sum()
    losses = {"total": square, "still" if length == 1 else "clip": square.detach()}
    if length > 1:
        losses["change"] = error.diff(dim=2).square().mean()
        losses["total"] = square + plan.change_weight * losses["change"]
    if network.painter is not None:
        losses["paint"] = painter_loss(network.painter, batch, text.whole, plan.painted, random)
        losses["total"] = losses["total"] + losses["paint"]
    return losses


def painter_loss(
    painter: Painter, batch: Prepared, text: Tensor, count: int, random: torch.Generator
) -> Tensor:
    """How far the painter's figure is from the true one, on `count` random frames of a batch.

    Cross-entropy and Dice of the cover, squared error of the colours on the true figure.
    """
    frames, figure, limbs = (
        pictures.flatten(0, 1) for pictures in (batch.frames, batch.figure, batch.heatmaps[0])
    )
    seen = limbs.amax((1, 2, 3)).cpu() > 0
    chosen = torch.randperm(len(frames), generator=random)
    chosen = chosen[seen[chosen]][:count]
    if len(chosen) == 0:
        return text.new_zeros(())
    true, body = frames[chosen], figure[chosen]
    each = text.repeat_interleave(len(frames) // len(text), 0)[chosen]
    painted: Figure = painter(limbs[chosen], each)
    share = painted.cover.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(painted.cover, body)
    dice = 1 - (2 * (share * body).sum() + 1) / (share.sum() + body.sum() + 1)
    colors = ((painted.colors - true) ** 2 * body).sum() / (3 * body.sum() + 1)
    return 2 * entropy + 0.3 * dice + colors


def _as_clips(cells: Tensor, length: int) -> Tensor:
    """(B F, C, h, w) to (B, C, F, h, w)."""
    return cells.reshape(-1, length, *cells.shape[1:]).transpose(1, 2)


def render_training_clips(
    motions: Sequence[WorldMotion], captions: Sequence[str | None], folder: Path
) -> None:
    """Film `TRAINING_CLIPS` clips of the motions at the tiny tier's size; resumes."""
    logger.info("rendering %d clips into %s", TRAINING_CLIPS, folder)
    size = TINY_GENERATOR.size
    render_dataset(motions, TRAINING_CLIPS, 11, folder, 2, size, captions)


def hidden_matrices(network: VideoNetwork) -> list[nn.Parameter]:
    """Weights of all convolutions and linear layers but the first and last: what Muon trains."""
    edges = {network.unet.conv_in, network.unet.conv_out, *network.skeleton_encoder.readers}
    if network.painter is not None:
        edges |= {network.painter.enter, network.painter.leave}
    return [
        parameter
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in edges
        for name, parameter in module.named_parameters(recurse=False)
        if name == "weight"
    ]


def train_generator(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    plan: GeneratorTraining | None = None,
    config: GeneratorConfig = TINY_GENERATOR,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train the generator of a configuration, resuming what `run` holds.

    Args:
        run: folder of the optimiser's state, the log and contact sheets.
        out: checkpoint that gets the averaged weights at each save, with tokenizer/ beside it.
        data: folder of rendered clips; new shards are taken up as they appear.
        settings: of the loop.
        plan: what is drawn and how errors weigh.
        config: sizes.
        should_stop: asked before each step; True ends the run after saving.

    Returns:
        The last step reached.
    """
    plan = plan or GeneratorTraining()
    source = RenderedClips(data)
    vocabulary = out.parent / "tokenizer"
    if not (vocabulary / "tokenizer.json").is_file():
        train_tokenizer(config.text_vocabulary).save_pretrained(vocabulary)
    tokenizer = load_tokenizer(vocabulary, "python -m finephys train generator")
    torch.manual_seed(settings.seed)
    network = VideoNetwork(config, tokenizer.eos_token_id)
    scheduler = make_scheduler(config, "dpm++")

    def loss_of_step(model: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(model, VideoNetwork)  # noqa: S101 -- one process, nothing wraps it
        rng = np.random.default_rng((settings.seed, step))
        random = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        still = step < plan.still_steps or step % plan.still_every == 0
        drawn = source.stills(rng, plan.stills) if still else source.clips(rng, plan.clips)
        prepared = prepare(drawn, config, plan, rng)
        return generator_losses(model, scheduler, prepared, tokenizer, plan, random)

    def on_save(model: nn.Module, step: int) -> None:
        save_module(model, out, plain_config(config))
        logger.info("saved step %d to %s", step, out)
        source.refresh()

    matrices = hidden_matrices(network)
    return train(network, loss_of_step, settings, run, on_save, should_stop, matrices)
