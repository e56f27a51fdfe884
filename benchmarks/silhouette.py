"""Reads a body's silhouette from video frames: a small segmenter trained on true renders only.

It sees pixels and nothing else, so a generator cannot please it with anything but a figure. Its own
score on held-out renders is printed beside every figure that rests on it.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from finephys.training.generator import ClipBatch, RenderedClips
from finephys.types import Bool, Bytes

logger = logging.getLogger(__name__)

STEPS = 500
"""Training steps of 24 frames; the loss is flat from about 400."""


class Segmenter(nn.Module):
    """A U of convolutions from frames and their difference to the clip's median to a silhouette."""

    def __init__(self, widths: tuple[int, ...] = (16, 24, 40, 56)) -> None:
        super().__init__()
        inputs = (6, *widths[:-1])
        self.down = nn.ModuleList(map(_block, inputs, widths))
        self.up = nn.ModuleList(
            _block(fine + coarse, fine)
            for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.out = nn.Conv2d(widths[0], 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, H, W) of pictures (N, 6, H, W)."""
        kept = []
        hidden = pictures
        for index, block in enumerate(self.down):
            hidden = block(functional.max_pool2d(hidden, 2) if index else hidden)
            kept.append(hidden)
        for block, fine in zip(self.up, kept[-2::-1], strict=True):
            wide = functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(torch.cat((wide, fine), 1))
        logits: Tensor = self.out(hidden)[:, 0]
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(8, outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.SiLU(),
    )


def pictures_of(frames: Bytes) -> Tensor:
    """A clip's frames (F, H, W, 3) as the segmenter sees them, (F, 6, H, W)."""
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.cat((clip, clip - clip.median(0).values), 1)


def read_silhouettes(segmenter: Segmenter, frames: Bytes) -> Bool:
    """Silhouettes (F, H, W) of one clip (F, H, W, 3)."""
    with torch.inference_mode():
        found: Bool = (segmenter(pictures_of(frames)) > 0).numpy()
    return found


def overlap(first: Bool, second: Bool) -> float:
    """Intersection over union of two clips' silhouettes, all frames together."""
    union = int((first | second).sum())
    return float((first & second).sum()) / union if union else 1.0


def load_segmenter(path: Path, data: Path) -> Segmenter:
    """The segmenter kept at `path`, trained on the renders in `data` when it is not there yet."""
    torch.manual_seed(0)
    segmenter = Segmenter()
    if path.is_file():
        segmenter.load_state_dict(load_file(path))
        return segmenter.eval()
    source = RenderedClips(data)
    optimizer = torch.optim.AdamW(segmenter.parameters(), lr=3e-3)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 30) * (1 - step / STEPS)
        loss = _loss(segmenter, source.clips(np.random.default_rng(step), 12), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            logger.info("segmenter step %d of %d, loss %.4f", step, STEPS, loss.item())
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(segmenter.state_dict(), path)
    return segmenter.eval()


def _loss(segmenter: Segmenter, clips: ClipBatch, step: int) -> Tensor:
    rng = np.random.default_rng((1, step))
    pictures, truth = [], []
    for frames, figure in zip(clips.frames, clips.figure, strict=True):
        chosen = rng.choice(len(frames), 2, replace=False)
        pictures.append(pictures_of(frames)[chosen])
        truth.append(torch.from_numpy(figure[chosen]).float())
    logits, wanted = segmenter(torch.cat(pictures)), torch.cat(truth)
    likely = torch.sigmoid(logits)
    dice = 1 - (2 * (likely * wanted).sum() + 1) / (likely.sum() + wanted.sum() + 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted)
    return entropy + dice
