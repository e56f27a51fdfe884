"""Training of the video generator on rendered gymnasts (stage 0: tiny's base generator).

Design choices, all found by looking at generated clips: clean latents are predicted, not the noise;
with a skeleton the U-Net learns what is behind the figure and the painter, in the same steps, the
figure; without one the U-Net learns whole frames, where errors on the figure weigh more; single
frames are trained first and in between, without motion modules, because they show sixteen times as
many places; text and skeleton are dropped at random.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from finephys.config import TINY_GENERATOR, GeneratorConfig
from finephys.data.clips import ClipBatch, RenderedClips
from finephys.errors import RequestError
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
from finephys.training.loop import LoopSettings, Step, Task, inner_matrices, train
from finephys.training.vocabulary import train_tokenizer
from finephys.types import Bytes
from finephys.weights.checkpoints import load_module, save_module

logger = logging.getLogger(__name__)


GENERATOR_LOOP = LoopSettings(steps=8000, learning_rate=2e-3, save_seconds=240, bfloat16=True)
"""For a new run; the shipped weights' history is in their model card."""

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
            there does the text tell more than the noisy picture.
        drop_text: share of clips whose prompt is emptied.
        drop_both: share of clips that lose both.
        one_sentence: share of clips whose prompt is one of its sentences.
        drop_skeleton: share of clips whose skeleton is emptied.
        painted: frames, of as many clips, that the painter is trained on beside a batch of clips.
            Design choice: a run of 2,000 steps with frames of the batch's two clips alone unlearned
            leotards: 78 % of their colours matched the prompt, down from 98 %. More clips are the
            likely remedy; no long run with them was made yet.
        style_weight: weight of a nat of a style's Kullback-Leibler divergence.
        figure_weight: weight of a latent cell of the figure; one of the background has 1.
        change_weight: weight of the error in the change of cells from frame to frame.
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
    """A batch ready for the network; F = 1 for single frames.

    Attributes:
        frames: (B, F, 3, S, S) in [-1, 1].
        figure: (B, F, 1, S, S), 1 on the body.
        behind: as frames, without the body as far as that is known.
        heatmaps: (B, F, L, h, h) in [0, 1] for each scale.
        prompts: B texts.
    """

    frames: Tensor
    figure: Tensor
    behind: Tensor
    heatmaps: list[Tensor]
    prompts: list[str]


class PaintedFrames(NamedTuple):
    """Frames for the painter to copy, each with another frame of its clip to read the style from.

    Attributes:
        frames: (B, 3, S, S) in [-1, 1].
        figure: (B, 1, S, S), 1 on the body.
        limbs: (B, L, h, h) in [0, 1], the finest heatmaps.
        other_frames: (B, 3, S, S), of the same clips.
        other_figure: (B, 1, S, S).
        prompts: B texts.
    """

    frames: Tensor
    figure: Tensor
    limbs: Tensor
    other_frames: Tensor
    other_figure: Tensor
    prompts: list[str]


class GeneratorBatch(NamedTuple):
    """What one step trains on.

    Attributes:
        clips: for the U-Net.
        painted: for the painter; None in a step of single frames.
    """

    clips: Prepared
    painted: PaintedFrames | None


def prepare(
    batch: ClipBatch, cells: Sequence[int], plan: GeneratorTraining, rng: np.random.Generator
) -> Prepared:
    """Mirror, degrade and drop at random, and draw the heatmaps.

    Args:
        batch: as it was read.
        cells: along one side of the heatmaps, for each scale.
        plan: how often.
        rng: source of all randomness.
    """
    frames = _signed(batch.frames)
    behind = frames if batch.behind is None else _signed(batch.behind)
    figure = torch.from_numpy(batch.figure)[:, :, None].float()
    canvas, score = _degraded(batch.canvas, plan, rng)
    mirrored = torch.from_numpy(rng.random(len(frames)) < 0.5)
    frames[mirrored] = frames[mirrored].flip(-1)
    if batch.behind is not None:
        behind[mirrored] = behind[mirrored].flip(-1)
    figure[mirrored] = figure[mirrored].flip(-1)
    flipped = canvas[mirrored][:, :, list(MIRROR)]
    canvas[mirrored] = flipped * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    score[mirrored] = score[mirrored][:, :, list(MIRROR)]
    unconditional = rng.random(len(frames)) < plan.drop_both
    dropped = unconditional | (rng.random(len(frames)) < plan.drop_skeleton)
    score[torch.from_numpy(dropped)] = 0
    heatmaps = [heatmap_level(canvas, score, side) for side in cells]
    prompts = [
        "" if empty else _shortened(prompt, plan, rng)
        for prompt, empty in zip(batch.prompts, unconditional, strict=True)
    ]
    return Prepared(frames, figure, behind, heatmaps, prompts)


def _signed(frames: Bytes) -> Tensor:
    """uint8 (B, F, S, S, 3) to (B, F, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def _degraded(
    canvas: npt.NDArray[np.float32], plan: GeneratorTraining, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Joints (B, F, J, 2) and scores (B, F, J) with errors like a detector's."""
    noise = rng.normal(0, plan.joint_noise, canvas.shape)
    score = np.ones(canvas.shape[:-1], np.float32)
    poor = rng.random(len(canvas)) < plan.low_score
    uncertain = poor[:, None, None] & (rng.random(score.shape) < 0.25)
    score[uncertain] = rng.uniform(0, 1, int(uncertain.sum()))
    return torch.from_numpy((canvas + noise).astype(np.float32)), torch.from_numpy(score)


def _shortened(prompt: str, plan: GeneratorTraining, rng: np.random.Generator) -> str:
    """The prompt, one of its sentences alone, or nothing."""
    draw = rng.random()
    if draw < plan.drop_text:
        return ""
    sentences = [part.strip() for part in prompt.split(". ") if part.strip()]
    if draw < plan.drop_text + plan.one_sentence and len(sentences) > 1:
        return sentences[int(rng.integers(len(sentences)))].rstrip(".") + "."
    return prompt


def draw_times(count: int, random: torch.Generator, late: float = 0.0) -> Tensor:
    """Draw time steps (count,), uniform in [0, 999]; a share `late` of them from 800 on.

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
    device = batch.frames.device
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


@torch.no_grad()
def _targets(
    network: VideoNetwork, batch: Prepared, plan: GeneratorTraining
) -> tuple[Tensor, Tensor]:
    """Clean latents (B, C, F, h, w) and the weight of each cell (B, 1, F, h, w).

    A clip with a skeleton has no figure in its latents when the network has a painter for it.
    """
    length = batch.frames.shape[1]
    painted = batch.heatmaps[0].amax((1, 2, 3, 4)) > 0
    if network.painter is None:
        painted = torch.zeros_like(painted)
    painted = painted[:, None, None, None, None]
    frames = torch.where(painted, batch.behind, batch.frames)
    latents = network.autoencoder.encode(frames.flatten(0, 1)).float()
    figure = functional.interpolate(
        torch.where(painted, 0, batch.figure).flatten(0, 1), latents.shape[-2:], mode="area"
    )
    weight = 1 + (plan.figure_weight - 1) * figure
    return _as_clips(latents, length), _as_clips(weight, length)


def painted_frames(pairs: Prepared, rng: np.random.Generator) -> PaintedFrames:
    """One of the two frames of each clip whose skeleton is in it, and the other frame.

    Args:
        pairs: F = 2; of the heatmaps the finest are read.
        rng: draws which of the two frames is painted.
    """
    clips = torch.arange(len(pairs.prompts))
    chosen = torch.from_numpy(rng.integers(0, 2, len(clips)))
    # Dropped skeletons, and joints outside the picture, leave nothing to paint.
    visible = pairs.heatmaps[0][clips, chosen].amax((1, 2, 3)) > 0
    one, other = (clips[visible], chosen[visible]), (clips[visible], 1 - chosen[visible])
    return PaintedFrames(
        pairs.frames[one],
        pairs.figure[one],
        pairs.heatmaps[0][one],
        pairs.frames[other],
        pairs.figure[other],
        [pairs.prompts[int(clip)] for clip in one[0]],
    )


def painter_losses(
    network: VideoNetwork, batch: PaintedFrames, tokenizer: CLIPTokenizer, plan: GeneratorTraining
) -> dict[str, Tensor]:
    """Errors of the painter's figure against the true one.

    Cross-entropy and Dice of the mask, mean absolute error of the colours on the true figure, and
    the styles' Kullback-Leibler divergence. A style is read from another frame of the clip, so that
    it describes the whole clip.

    Args:
        network: its text encoder and painter are trained.
        batch: of `painted_frames`.
        tokenizer: of the prompts.
        plan: weights.

    Returns:
        "paint" and "style"; nothing for a network without a painter.
    """
    painter = network.painter
    if painter is None:
        return {}
    body = batch.figure
    if not batch.prompts:
        return {"paint": body.new_zeros(()), "style": body.new_zeros(())}
    ids, mask = tokenize(tokenizer, batch.prompts, network.config.text_length)
    text = network.encode_text(ids.to(body.device), mask.to(body.device)).pooled
    style = painter.reader(batch.other_frames, batch.other_figure)
    sampled = style.mean + (0.5 * style.log_variance).exp() * torch.randn_like(style.mean)
    painted: Figure = painter(batch.limbs, text, sampled)
    logits = painted.alpha_logit.float()
    share = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, body)
    dice = 1 - (2 * (share * body).sum() + 1) / (share.sum() + body.sum() + 1)
    colors = ((painted.colors.float() - batch.frames).abs() * body).sum() / (3 * body.sum() + 1)
    return {
        "paint": 2 * entropy + 0.3 * dice + colors,
        "style": plan.style_weight * style.kl_divergence().mean(),
    }


def _as_clips(cells: Tensor, length: int) -> Tensor:
    """(B F, C, h, w) to (B, C, F, h, w)."""
    return cells.reshape(-1, length, *cells.shape[1:]).transpose(1, 2)


def hidden_matrices(network: VideoNetwork) -> list[nn.Parameter]:
    """Weights of all convolutions and linear layers but the first and last ones, for Muon."""
    outer = {network.unet.conv_in, network.unet.conv_out, *network.skeleton_encoder.readers}
    if network.painter is not None:
        outer |= {network.painter.enter, network.painter.leave, network.painter.reader.out}
    return inner_matrices(network, outer)


def tokenizer_beside(out: Path, size: int, start: Path | None) -> CLIPTokenizer:
    """The tokenizer in the folder of a checkpoint to write; made when it is not there.

    Args:
        out: the checkpoint.
        size: tokens of a new tokenizer.
        start: checkpoint that training starts from: its text encoder knows the tokens of the
            tokenizer beside it, and no others.

    Raises:
        RequestError: when the folder holds another tokenizer than that beside `start`.
    """
    folder = out.parent / "tokenizer"
    file = folder / "tokenizer.json"
    known = start.parent / "tokenizer" if start else None
    if known is not None and (known / file.name).is_file():
        if not file.is_file():
            copytree(known, folder, dirs_exist_ok=True)
        elif file.read_bytes() != (known / file.name).read_bytes():
            raise RequestError(
                f"{folder} holds another tokenizer than {known}, which {start} was trained with; "
                "choose another folder with --out FILE."
            )
    elif not file.is_file():
        train_tokenizer(size).save_pretrained(folder)
    return load_tokenizer(folder, "python -m finephys train generator")


def train_generator(
    run: Path,
    out: Path,
    data: Path,
    settings: LoopSettings,
    autoencoder: Path | None = None,
    plan: GeneratorTraining | None = None,
    config: GeneratorConfig = TINY_GENERATOR,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train the generator of a configuration, resuming what `run` holds.

    Args:
        run: folder of the optimiser's state and the log.
        out: checkpoint that gets the averaged weights at each save, with tokenizer/ beside it.
        data: folder of rendered clips; new files are read as they appear.
        settings: of the loop.
        autoencoder: checkpoint of `training.autoencoder`; None: that in `settings.start`, or an
            untrained one.
        plan: what is drawn and how errors weigh.
        config: sizes.
        should_stop: called before each step; True ends the run after saving.

    Returns:
        The last step reached.
    """
    plan = plan or GeneratorTraining()
    source = RenderedClips(data)
    tokenizer = tokenizer_beside(out, config.text_vocabulary, settings.start)
    torch.manual_seed(settings.seed)
    network = VideoNetwork(config, tokenizer.eos_token_id)
    if autoencoder is not None:
        load_module(network.autoencoder, autoencoder)
    scheduler = make_scheduler(config, "dpm++")
    first_clips = round(plan.still_share * settings.steps)

    def draw(step: Step) -> GeneratorBatch:
        rng = np.random.default_rng((settings.seed, step.draw))
        # A run that continues another checkpoint has learned single frames already.
        first = 0 if step.continued else first_clips
        if step.number < first or step.number % plan.still_every == 0:
            stills = source.stills(rng, plan.stills)
            return GeneratorBatch(prepare(stills, config.heatmap_levels, plan, rng), None)
        clips = prepare(source.clips(rng, plan.clips), config.heatmap_levels, plan, rng)
        pairs = prepare(source.pairs(rng, plan.painted), config.heatmap_levels[:1], plan, rng)
        return GeneratorBatch(clips, painted_frames(pairs, rng))

    def losses(model: VideoNetwork, batch: GeneratorBatch, step: Step) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(step.seed)
        found = generator_losses(model, scheduler, batch.clips, tokenizer, plan, random)
        if batch.painted is not None:
            painted = painter_losses(model, batch.painted, tokenizer, plan)
            found["total"] = found["total"] + sum(painted.values())
            found |= {name: loss.detach() for name, loss in painted.items()}
        return found

    def save(model: VideoNetwork, step: int) -> None:
        save_module(model, out, plain_config(config))
        logger.info("saved step %d to %s", step, out)
        source.refresh()

    task = Task(network, draw, losses, save, matrices=hidden_matrices(network))
    return train(task, settings, run, should_stop)
