"""Reads a body from video frames, silhouette and joints, by a small network of true renders only.

It sees pixels and nothing else, so a generator cannot please it with anything but a figure. Its own
score on held-out renders is printed beside every figure that rests on it.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from finephys.data.clips import ClipBatch, RenderedClips
from finephys.files import whole_file
from finephys.generator.memory import has_bfloat16
from finephys.skeleton import JOINTS
from finephys.types import Bool, Bytes, Float

logger = logging.getLogger(__name__)

STEPS = 1200
"""Training steps of 32 frames."""

_NEAR = 1 / 32  # of the frame around the likeliest cell, over which a joint's place is averaged


class FigureReader(nn.Module):
    """A U of convolutions from frames and their difference to the clip's median to a body.

    Four neighbouring pixels are channels of one cell; joints are found among cells, the silhouette
    among pixels.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 40, 56, 72)) -> None:
        super().__init__()
        inputs = (4 * 6, *widths[:-1])
        self.down = nn.ModuleList(map(_block, inputs, widths))
        self.up = nn.ModuleList(
            _block(fine + coarse, fine)
            for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.out = nn.Conv2d(widths[0], 4 + len(JOINTS), 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of pictures (N, 6, H, W).

        Returns:
            Of the silhouette (N, H, W), and of each joint (N, 17, H / 2, W / 2).
        """
        kept = []
        hidden = functional.pixel_unshuffle(pictures, 2)
        for index, block in enumerate(self.down):
            hidden = block(functional.max_pool2d(hidden, 2) if index else hidden)
            kept.append(hidden)
        for block, fine in zip(self.up, kept[-2::-1], strict=True):
            wide = functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(torch.cat((wide, fine), 1))
        logits: Tensor = self.out(hidden).float()
        return functional.pixel_shuffle(logits[:, :4], 2)[:, 0], logits[:, 4:]


class Reading(NamedTuple):
    """What is read from one clip of F frames.

    Attributes:
        silhouette: bool (F, H, W).
        joints: float32 (F, 17, 2) in [0, 1] of the frame.
        likely: float32 (F, 17), highest share of a joint's heatmap in one cell.
    """

    silhouette: Bool
    joints: Float
    likely: Float


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(8, outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.SiLU(),
    )


def pictures_of(frames: Bytes) -> Tensor:
    """A clip's frames (F, H, W, 3) as the reader sees them, (F, 6, H, W)."""
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.cat((clip, clip - clip.median(0).values), 1)


def read_figure(reader: nn.Module, frames: Bytes) -> Reading:
    """Silhouettes and joints of one clip (F, H, W, 3)."""
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
            body, places = reader(pictures_of(frames))
        share = places.flatten(2).softmax(-1).unflatten(-1, places.shape[-2:])
        likely, cell = share.flatten(2).max(-1)
        height, width = share.shape[-2:]
        rows, columns = torch.arange(height), torch.arange(width)
        near = ((rows - (cell // width)[..., None]).abs() <= _NEAR * height)[..., None] & (
            (columns - (cell % width)[..., None]).abs() <= _NEAR * width
        )[..., None, :]
        weight = share * near
        weight = weight / weight.sum((-2, -1), keepdim=True)
        x = (weight.sum(-2) * (columns + 0.5) / width).sum(-1)
        y = (weight.sum(-1) * (rows + 0.5) / height).sum(-1)
    joints: Float = torch.stack((x, y), -1).numpy()
    return Reading((body > 0).numpy(), joints, likely.numpy())


def load_figure_reader(path: Path, data: Path) -> FigureReader:
    """The reader kept at `path`, trained on the renders in `data` when it is not there yet."""
    torch.manual_seed(0)
    reader = FigureReader()
    if path.is_file():
        reader.load_state_dict(load_file(path))
        return reader.eval()
    source = RenderedClips(data, layers=False)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=3e-3)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 30) * (1 - step / STEPS)
        clips = source.clips(np.random.default_rng(step), 16)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
            loss = _loss(reader, clips, step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            logger.info("figure reader: step %d of %d, loss %.4f", step, STEPS, loss.item())
    with whole_file(path) as partial:
        save_file(reader.state_dict(), partial)
    return reader.eval()


def _loss(reader: FigureReader, clips: ClipBatch, step: int) -> Tensor:
    """Cross-entropy and Dice of the silhouette, cross-entropy of each joint's cell."""
    rng = np.random.default_rng((1, step))
    pictures, figure, joints = [], [], []
    for frames, drawn, canvas in zip(clips.frames, clips.figure, clips.canvas, strict=True):
        chosen = rng.choice(len(frames), 2, replace=False)
        pictures.append(pictures_of(frames)[chosen])
        figure.append(torch.from_numpy(drawn[chosen]).float())
        joints.append(torch.from_numpy(canvas[chosen]))
    body, places = reader(torch.cat(pictures))
    wanted = torch.cat(figure)
    likely = torch.sigmoid(body)
    dice = 1 - (2 * (likely * wanted).sum() + 1) / (likely.sum() + wanted.sum() + 1)
    entropy = functional.binary_cross_entropy_with_logits(body, wanted)
    size = places.shape[-1]
    cell = (torch.cat(joints) * size).long().clamp(0, size - 1)
    place = functional.cross_entropy(
        places.flatten(0, 1).flatten(1), (cell[..., 1] * size + cell[..., 0]).flatten()
    )
    return entropy + dice + 0.3 * place
