"""Training of the video generator on rendered gymnasts (stage 0: tiny's base generator).

Design choices, all found by looking at what the model drew:
clean latents are predicted, not the noise; with a skeleton the U-Net learns what is behind the
figure and the painter, in the same steps, the figure; without one the U-Net learns whole frames,
where errors on the figure weigh more; single frames are trained first and in between, without
motion modules, because they show sixteen times as many places; text and skeleton are dropped now
and then.
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

from finephys.config import TINY_GENERATOR, GeneratorConfig
from finephys.generator.diffusion import plain_config
from finephys.generator.network import VideoNetwork
from finephys.generator.painter import Figure
from finephys.generator.sampling import (
    TIME_STEPS,
    Scheduler,
    draw_noise,
    make_scheduler,
    predict_clean,
    signal_and_noise,
)
from finephys.generator.text import load_tokenizer, tokenize
from finephys.guidance.heatmaps import heatmap_level
from finephys.skeleton import MIRROR
from finephys.training.clips import ClipBatch, RenderedClips
from finephys.training.loop import LoopSettings, inner_matrices, train
from finephys.training.vocabulary import train_tokenizer
from finephys.types import Bytes
from finephys.weights.checkpoints import load_module, save_module

logger = logging.getLogger(__name__)


GENERATOR_LOOP = LoopSettings(steps=8000, learning_rate=2e-3, save_seconds=240, bfloat16=True)
"""Of a new run; the shipped weights' own history stands in their model card."""

TRAINING_CLIPS = 4096
"""Rendered clips that the shipped weights were trained on."""


@dataclass(frozen=True)
class GeneratorTraining:
    """How the generator is trained.

    Attributes:
        still_share: share of the steps of a run from nothing, at its start, that see single frames
            only.
        still_every: afterwards, every so many steps see single frames.
        stills: frames in a batch of single frames.
        clips: clips in a batch of clips.
        late: share of single frames drawn at late, noisy time steps alone. Design choice: only
            there does the text say more than the noisy picture.
        drop_text: share of clips whose prompt is emptied.
        drop_both: share of clips that lose both.
        one_sentence: share of clips whose prompt is one of its sentences.
        drop_skeleton: share of clips whose skeleton is emptied.
        painted: frames, of as many clips, that the painter is trained on beside a batch of clips.
            Design choice: a run of 2,000 steps with frames of the batch's two clips alone unlearned
            leotards, from 98 % of colours as the words say to 78 %. More clips are the likely
            remedy; no long run with them was made yet.
        style_weight: weight of a nat that a style says.
        figure_weight: weight of a cell of the figure; one of the background has 1.
        change_weight: weight of the error in how cells change from frame to frame.
        joint_noise: standard deviation of the joints' positions, share of the canvas.
        low_score: share of clips in which some joints have a low score.
    """

    still_share: float = 0.35
    still_every: int = 2
    stills: int = 32
    clips: int = 2
    late: float = 0.25
    drop_text: float = 0.1
    one_sentence: float = 0.3
    drop_skeleton: float = 0.1
    drop_both: float = 0.06
    painted: int = 12
    style_weight: float = 1e-3
    figure_weight: float = 5.0
    change_weight: float = 0.5
    joint_noise: float = 0.004
    low_score: float = 0.2


class Prepared(NamedTuple):
    """A batch ready for the network; F = 1 for single frames."""

    frames: Tensor
    figure: Tensor
    behind: Tensor
    heatmaps: list[Tensor]
    prompts: list[str]


def prepare(
    batch: ClipBatch, cells: Sequence[int], plan: GeneratorTraining, rng: np.random.Generator
) -> Prepared:
    """Mirror, disturb and drop at random, and draw the heatmaps.

    Args:
        batch: as it lies in files.
        cells: along one side of the heatmaps, for each scale.
        plan: how often.
        rng: source of all randomness.

    Returns:
        frames (B, F, 3, S, S) in [-1, 1], figure (B, F, 1, S, S) 1 on the body, the frames without
        it as far as they are known, heatmaps per scale (B, F, L, h, h), and prompts.
    """
    frames = _signed(batch.frames)
    behind = frames if batch.behind is None else _signed(batch.behind)
    figure = torch.from_numpy(batch.figure)[:, :, None].float()
    canvas, score = _disturbed(batch.canvas, plan, rng)
    mirrored = torch.from_numpy(rng.random(len(frames)) < 0.5)
    frames[mirrored] = frames[mirrored].flip(-1)
    if batch.behind is not None:
        behind[mirrored] = behind[mirrored].flip(-1)
    figure[mirrored] = figure[mirrored].flip(-1)
    flipped = canvas[mirrored][:, :, list(MIRROR)]
    canvas[mirrored] = flipped * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    score[mirrored] = score[mirrored][:, :, list(MIRROR)]
    bare = rng.random(len(frames)) < plan.drop_both
    score[torch.from_numpy(bare | (rng.random(len(frames)) < plan.drop_skeleton))] = 0
    heatmaps = [heatmap_level(canvas, score, side) for side in cells]
    prompts = [
        "" if nothing else _worded(prompt, plan, rng)
        for prompt, nothing in zip(batch.prompts, bare, strict=True)
    ]
    return Prepared(frames, figure, behind, heatmaps, prompts)


def _signed(frames: Bytes) -> Tensor:
    """uint8 (B, F, S, S, 3) to (B, F, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


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
    """Weighted squared error of the clean latents, and of their changes in time."""
    config = network.config
    length = batch.frames.shape[1]
    device = next(network.parameters()).device
    batch = _on(batch, device)
    clean, weight = _targets(network, batch, plan)
    time = draw_times(len(clean), random, plan.late if length == 1 else 0.0).to(device)
    noise = draw_noise(config, tuple(clean.shape), random).to(device)
    signal_share, noise_share = signal_and_noise(scheduler, time, clean.ndim)
    noisy = signal_share * clean + noise_share * noise
    ids, mask = tokenize(tokenizer, batch.prompts, config.text_length)
    text = network.encode_text(ids.to(device), mask.to(device))
    guidance = network.encode_skeleton(batch.heatmaps, text)
    still = network.without_motion() if length == 1 else nullcontext()
    with still:
        error = predict_clean(network, scheduler, noisy, time, text, guidance) - clean
    square = (weight * error**2).mean() / weight.mean()
    losses = {"total": square, "still" if length == 1 else "clip": square.detach()}
    if length > 1:
        losses["change"] = error.diff(dim=2).square().mean()
        losses["total"] = square + plan.change_weight * losses["change"]
    return losses


def _on(batch: Prepared, device: torch.device) -> Prepared:
    return Prepared(
        batch.frames.to(device),
        batch.figure.to(device),
        batch.behind.to(device),
        [level.to(device) for level in batch.heatmaps],
        batch.prompts,
    )


@torch.no_grad()
def _targets(
    network: VideoNetwork, batch: Prepared, plan: GeneratorTraining
) -> tuple[Tensor, Tensor]:
    """Clean latents (B, C, F, h, w) and how much each cell weighs (B, 1, F, h, w).

    A clip whose skeleton is seen by a network with a painter has no figure in its latents.
    """
    length = batch.frames.shape[1]
    painted = batch.heatmaps[0].amax((1, 2, 3, 4)) > 0
    if network.painter is None:
        painted = torch.zeros_like(painted)
    apart = painted[:, None, None, None, None]
    frames = torch.where(apart, batch.behind, batch.frames)
    latents = network.autoencoder.encode(frames.flatten(0, 1)).float()
    shown = functional.interpolate(
        torch.where(apart, 0, batch.figure).flatten(0, 1), latents.shape[-2:], mode="area"
    )
    weight = 1 + (plan.figure_weight - 1) * shown
    return _as_clips(latents, length), _as_clips(weight, length)


def painter_losses(
    network: VideoNetwork,
    pairs: Prepared,
    tokenizer: CLIPTokenizer,
    plan: GeneratorTraining,
    random: torch.Generator,
) -> dict[str, Tensor]:
    """How far the painter's figure is from the true one, on one of two frames of each clip.

    Cross-entropy and Dice of the cover, mean absolute error of the colours on the true figure, and
    what the styles say. A style is read from the other frame, so that it is of the whole clip.

    Args:
        network: its text encoder and painter are asked.
        pairs: F = 2; of the heatmaps the finest are read.
        tokenizer: of the prompts.
        plan: weights.
        random: draws which of the two frames is painted.

    Returns:
        "paint" and "style"; nothing for a network without a painter.
    """
    painter = network.painter
    if painter is None:
        return {}
    device = next(painter.parameters()).device
    pairs = _on(pairs, device)
    ids, mask = tokenize(tokenizer, pairs.prompts, network.config.text_length)
    text = network.encode_text(ids.to(device), mask.to(device)).pooled
    clips = torch.arange(len(text), device=device)
    chosen = torch.randint(2, (len(text),), generator=random).to(device)
    true, body, limbs = (
        pictures[clips, chosen] for pictures in (pairs.frames, pairs.figure, pairs.heatmaps[0])
    )
    seen = limbs.amax((1, 2, 3)) > 0
    if not seen.any():
        return {"paint": text.new_zeros(()), "style": text.new_zeros(())}
    true, body, limbs, text = true[seen], body[seen], limbs[seen], text[seen]
    other = (clips[seen], 1 - chosen[seen])
    style = painter.reader(pairs.frames[other], pairs.figure[other])
    drawn = style.mean + (0.5 * style.log_variance).exp() * torch.randn_like(style.mean)
    painted: Figure = painter(limbs, text, drawn)
    alpha_logit = painted.alpha_logit.float()
    share = alpha_logit.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(alpha_logit, body)
    dice = 1 - (2 * (share * body).sum() + 1) / (share.sum() + body.sum() + 1)
    colors = ((painted.colors.float() - true).abs() * body).sum() / (3 * body.sum() + 1)
    return {
        "paint": 2 * entropy + 0.3 * dice + colors,
        "style": plan.style_weight * style.kl_divergence().mean(),
    }


def _as_clips(cells: Tensor, length: int) -> Tensor:
    """(B F, C, h, w) to (B, C, F, h, w)."""
    return cells.reshape(-1, length, *cells.shape[1:]).transpose(1, 2)


def hidden_matrices(network: VideoNetwork) -> list[nn.Parameter]:
    """Weights of all convolutions and linear layers but the first and last: what Muon trains."""
    edges = {network.unet.conv_in, network.unet.conv_out, *network.skeleton_encoder.readers}
    if network.painter is not None:
        edges |= {network.painter.enter, network.painter.leave, network.painter.reader.out}
    return inner_matrices(network, edges)


def train_generator(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    plan: GeneratorTraining | None = None,
    config: GeneratorConfig = TINY_GENERATOR,
    should_stop: Callable[[], bool] = lambda: False,
    autoencoder: Path | None = None,
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
        autoencoder: checkpoint of `training.autoencoder`; None: it comes with `settings.start` or
            stays as it is made.

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
    if autoencoder is not None:
        load_module(network.autoencoder, autoencoder)
    scheduler = make_scheduler(config, "dpm++")
    first_clips = 0 if settings.start else round(plan.still_share * settings.steps)

    def loss_of_step(model: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(model, VideoNetwork)  # noqa: S101 -- one process, nothing wraps it
        rng = np.random.default_rng((settings.seed, step))
        random = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        still = step < first_clips or step % plan.still_every == 0
        # A random style is drawn by torch's own generator.
        torch.manual_seed(settings.seed * 1_000_003 + step)
        drawn = source.stills(rng, plan.stills) if still else source.clips(rng, plan.clips)
        prepared = prepare(drawn, config.heatmap_levels, plan, rng)
        losses = generator_losses(model, scheduler, prepared, tokenizer, plan, random)
        if not still:
            pairs = prepare(source.pairs(rng, plan.painted), config.heatmap_levels[:1], plan, rng)
            painted = painter_losses(model, pairs, tokenizer, plan, random)
            losses["total"] = losses["total"] + sum(painted.values())
            losses |= {name: loss.detach() for name, loss in painted.items()}
        return losses

    def on_save(model: nn.Module, step: int) -> None:
        save_module(model, out, plain_config(config))
        logger.info("saved step %d to %s", step, out)
        source.refresh()

    matrices = hidden_matrices(network)
    return train(network, loss_of_step, settings, run, on_save, should_stop, matrices)
