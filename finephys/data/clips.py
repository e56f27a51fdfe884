"""Rendered clips to train a generator on, as they lie in files."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from finephys.errors import RequestError
from finephys.types import Bool, Bytes, Float

logger = logging.getLogger(__name__)


class ClipBatch(NamedTuple):
    """B rendered clips, or pieces of them, of F frames.

    Attributes:
        frames: uint8 (B, F, S, S, 3) RGB.
        figure: bool (B, F, S, S), the body's silhouette.
        behind: uint8 (B, F, S, S, 3), the frames without the body but with its shadow; None where
            it was not asked for.
        canvas: float32 (B, F, 17, 2), joints in [0, 1] of the frame.
        prompts: B texts.
    """

    frames: Bytes
    figure: Bool
    behind: Bytes | None
    canvas: Float
    prompts: Sequence[str]


def read_clips(path: Path, layers: bool = True) -> ClipBatch:
    """The clips of one file that `finephys.data.rendered.render_dataset` wrote.

    Args:
        path: the file.
        layers: whether to read what is behind the figures too.
    """
    with np.load(path) as shard:
        frames = shard["frames"]
        canvas = shard["xy"] / np.float32(frames.shape[2])
        prompts = [str(text) for text in shard["prompt"]]
        behind = shard["behind"] if layers else None
        return ClipBatch(frames, shard["silhouette"], behind, canvas, prompts)


class RenderedClips:
    """The shards of a folder that are there by now; `refresh` finds new ones.

    Args:
        folder: written by `finephys.data.rendered.render_dataset`; 2 MB of memory a clip of 128 x
            128 pixels.
        layers: whether to read what is behind the figures too.

    Raises:
        RequestError: when it holds no shard yet.
    """

    def __init__(self, folder: Path, layers: bool = True) -> None:
        self._folder = folder
        self._layers = layers
        self._shards: dict[str, ClipBatch] = {}
        self.refresh()
        if not self._shards:
            raise RequestError(f"{folder} holds no rendered clips; render some first.")

    def refresh(self) -> None:
        """Read shards that were written since."""
        for path in sorted(self._folder.rglob("clips_*.npz")):
            if str(path) not in self._shards:
                self._shards[str(path)] = read_clips(path, self._layers)
        logger.info("%d rendered clips in %s", len(self), self._folder)

    def __len__(self) -> int:
        return sum(len(shard.frames) for shard in self._shards.values())

    def clips(self, rng: np.random.Generator, count: int) -> ClipBatch:
        """Draw whole clips."""
        return self._draw(rng, count, None)

    def stills(self, rng: np.random.Generator, count: int) -> ClipBatch:
        """Draw single frames of different clips, F = 1."""
        return self._draw(rng, count, 1)

    def pairs(self, rng: np.random.Generator, count: int) -> ClipBatch:
        """Draw two frames of each of different clips, in order of time, F = 2."""
        return self._draw(rng, count, 2)

    def _draw(self, rng: np.random.Generator, count: int, frames: int | None) -> ClipBatch:
        shards = list(self._shards.values())
        sizes = np.array([len(shard.frames) for shard in shards])
        picked = rng.choice(sizes.sum(), count, replace=False)
        ends = np.cumsum(sizes)
        parts = []
        for number in picked:
            which = int(np.searchsorted(ends, number, side="right"))
            row = int(number - (ends[which] - sizes[which]))
            shard = shards[which]
            every = np.arange(shard.frames.shape[1])
            span = every if frames is None else np.sort(rng.choice(every, frames, replace=False))
            parts.append(
                (
                    shard.frames[row, span],
                    shard.figure[row, span],
                    None if shard.behind is None else shard.behind[row, span],
                    shard.canvas[row, span],
                    shard.prompts[row],
                )
            )
        shown, figure, behind, canvas, prompts = zip(*parts, strict=True)
        layers = np.stack(behind) if self._layers else None
        return ClipBatch(np.stack(shown), np.stack(figure), layers, np.stack(canvas), prompts)
