"""Reads a clip's class and its leotard's colour, by networks that saw true renders only.

Both see what the figure reader finds in a clip's pixels: the class reader the joints, the colour
reader the pixels of the trunk.
"""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.generator.figure_reader import Reading
from finephys.actions import ACTIONS
from finephys.files import whole_file
from finephys.motion.looks import LEOTARDS
from finephys.skeleton import JOINTS, MIRROR
from finephys.types import Bytes, Float

logger = logging.getLogger(__name__)

CLASSES = tuple(action.id for action in ACTIONS)
COLORS = tuple(LEOTARDS)
_Reader = TypeVar("_Reader", bound=nn.Module)
_TRUNK = tuple(
    JOINTS.index(name) for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
)


class ReadClips(NamedTuple):
    """Readings of N true renders, to train with.

    Attributes:
        joints: float32 (N, F, 17, 3), places in [0, 1] of the frame and how likely.
        trunk: float32 (N, 9), see `trunk_colors`.
        action: int64 (N,), place in CLASSES; -1 for none.
        color: int64 (N,), place in COLORS.
    """

    joints: Float
    trunk: Float
    action: npt.NDArray[np.int64]
    color: npt.NDArray[np.int64]


class ClassReader(nn.Module):
    """Convolutions in time over the joints of a clip, to 35 classes."""

    def __init__(self, width: int = 192) -> None:
        super().__init__()
        self.enter = nn.Conv1d(5 * len(JOINTS), width, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Dropout(0.2),
                nn.Conv1d(width, width, 5, padding=2),
            )
            for _ in range(4)
        )
        self.out = nn.Linear(2 * width, len(CLASSES))

    def forward(self, joints: Tensor) -> Tensor:
        """Logits (N, 35) of read joints (N, F, 17, 3)."""
        place, likely = joints[..., :2], joints[..., 2:]
        middle = place.mean((1, 2), keepdim=True)
        size = (place - middle).square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-3
        hips = place[:, :, :1]
        seen = torch.cat(((place - middle) / size, (place - hips) / size, likely), -1)
        hidden = self.enter(seen.flatten(2).transpose(1, 2))
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        logits: Tensor = self.out(torch.cat((hidden.mean(-1), hidden.amax(-1)), -1))
        return logits


class ColorReader(nn.Module):
    """Two layers from the colours of the trunk to the leotards' names."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(9, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, len(COLORS)),
        )  # fmt: skip

    def forward(self, trunk: Tensor) -> Tensor:
        """Logits (N, 10) of (N, 9) colours in [0, 1]."""
        logits: Tensor = self.layers(4 * trunk - 2)
        return logits


def joints_of(reading: Reading) -> Float:
    """Places and how likely, (F, 17, 3)."""
    joined: Float = np.concatenate((reading.joints, reading.likely[..., None]), -1)
    return joined.astype(np.float32)


def trunk_colors(reading: Reading, frames: Bytes) -> Float:
    """Median, mean and upper quartile of the trunk's pixels in a clip: (9,) in [0, 1].

    The trunk is the read silhouette within the middle of shoulders and hips; without any such
    pixel the whole silhouette counts, and without a silhouette the result is 0.
    """
    size = frames.shape[1]
    corners = reading.joints[:, _TRUNK]
    center = corners.mean(1)
    reach = np.linalg.norm(corners[:, :2].mean(1) - corners[:, 2:].mean(1), axis=-1)
    grid = (np.arange(size) + 0.5) / size
    away = np.hypot(
        grid[None, None] - center[:, 0, None, None], grid[None, :, None] - center[:, 1, None, None]
    )
    radius = np.maximum(0.35 * reach, 1.0 / size)[:, None, None]
    inside = reading.silhouette & (away <= radius)
    chosen = inside if inside.any() else reading.silhouette
    if not chosen.any():
        return np.zeros(9, np.float32)
    pixels = frames[chosen].astype(np.float32) / 255
    return np.concatenate(
        (np.median(pixels, 0), pixels.mean(0), np.quantile(pixels, 0.75, 0))
    ).astype(np.float32)


def color_of_prompt(prompt: str) -> int:
    """Place in COLORS of the leotard that a prompt names, -1 for none."""
    found = re.search(r"(\w+) leotard", prompt.lower())
    return COLORS.index(found[1]) if found and found[1] in COLORS else -1


def train_class_reader(clips: ReadClips, path: Path, steps: int = 1500) -> ClassReader:
    """The class reader kept at `path`, or trained on readings of true renders."""
    rows = np.flatnonzero(clips.action >= 0)
    joints, action = torch.from_numpy(clips.joints[rows]), torch.from_numpy(clips.action[rows])
    mirror = list(MIRROR)

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.from_numpy(rng.choice(len(rows), 128))
        chosen = joints[drawn].clone()
        flipped = torch.from_numpy(rng.random(len(drawn)) < 0.5)
        turned = chosen[flipped][:, :, mirror]
        turned[..., 0] = 1 - turned[..., 0]
        chosen[flipped] = turned
        chosen[..., :2] += torch.from_numpy(rng.normal(0, 0.006, chosen[..., :2].shape)).float()
        return chosen, action[drawn]

    return _kept_or_trained(ClassReader(), path, batch, steps)


def train_color_reader(clips: ReadClips, path: Path, steps: int = 1500) -> ColorReader:
    """The colour reader kept at `path`, or trained on readings of true renders."""
    trunk, color = torch.from_numpy(clips.trunk), torch.from_numpy(clips.color)

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.from_numpy(rng.choice(len(color), 128))
        return trunk[drawn], color[drawn]

    return _kept_or_trained(ColorReader(), path, batch, steps)


def named(reader: nn.Module, inputs: Sequence[Float]) -> npt.NDArray[np.int64]:
    """The likeliest class or colour of each input, (N,)."""
    with torch.inference_mode():
        chosen: npt.NDArray[np.int64] = (
            reader(torch.from_numpy(np.stack(inputs))).argmax(-1).numpy()
        )
    return chosen


def _kept_or_trained(
    reader: _Reader,
    path: Path,
    batch: Callable[[np.random.Generator], tuple[Tensor, Tensor]],
    steps: int,
) -> _Reader:
    if path.is_file():
        reader.load_state_dict(load_file(path))
        return reader.eval()
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = np.random.default_rng(0)
    for step in range(steps):
        inputs, wanted = batch(rng)
        loss = functional.cross_entropy(reader(inputs), wanted, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            logger.info("%s: step %d of %d, loss %.3f", path.stem, step, steps, loss.item())
    with whole_file(path) as partial:
        save_file(reader.state_dict(), partial)
    return reader.eval()
