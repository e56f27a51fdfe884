"""The one reader of rendered clips: files of a folder, all of them in memory or a few."""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from finephys.errors import RequestError
from finephys.types import Bool, Bytes, Float

logger = logging.getLogger(__name__)


class ClipBatch(NamedTuple):
    """B rendered clips, or pieces of them, of F frames.

    Attributes:
        frames: uint8 (B, F, S, S, 3) RGB.
        figure: bool (B, F, S, S), the body's silhouette.
        behind: uint8 (B, F, S, S, 3), the frames without the body but with its shadow; None where
            it was not read.
        canvas: float32 (B, F, 17, 2), joints in [0, 1] of the frame.
        prompts: B texts.
        action: int64 (B,), FineGym class, 0 for none.
    """

    frames: Bytes
    figure: Bool
    behind: Bytes | None
    canvas: Float
    prompts: Sequence[str]
    action: npt.NDArray[np.int64]

    def first(self, count: int) -> "ClipBatch":
        """The first `count` clips."""
        behind = None if self.behind is None else self.behind[:count]
        return ClipBatch(
            self.frames[:count],
            self.figure[:count],
            behind,
            self.canvas[:count],
            self.prompts[:count],
            self.action[:count],
        )


class RenderedClips:
    """Clips that `data.rendered.render_dataset` wrote.

    A file of 128 clips takes 250 MB of memory at 128 x 128 pixels and 4 GB at 512 x 512, half of
    that without layers.

    Args:
        folder: searched with its subfolders.
        layers: also read what is behind the figures.
        keep: files kept in memory, the ones used last; None: all.

    Raises:
        RequestError: when the folder holds no file yet, or one is damaged.
    """

    def __init__(self, folder: Path, layers: bool = True, keep: int | None = None) -> None:
        self._folder = folder
        self._layers = layers
        self._keep = keep
        self._sizes: dict[Path, int] = {}
        self._kept: OrderedDict[Path, ClipBatch] = OrderedDict()
        self.refresh()
        if not self._sizes:
            raise RequestError(f"{folder} holds no rendered clips; render some first.")

    def refresh(self) -> None:
        """Find files that were written since; those known keep their numbers."""
        for path in sorted(self._folder.rglob("clips_*.npz")):
            if path not in self._sizes:
                with _opened(path) as shard:
                    self._sizes[path] = len(shard["prompt"])
        logger.info("%d rendered clips in %s", len(self), self._folder)

    def __len__(self) -> int:
        return sum(self._sizes.values())

    def __iter__(self) -> Iterator[ClipBatch]:
        """All clips of one file after another."""
        return (self._file(path) for path in self._sizes)

    @property
    def files(self) -> int:
        """Number of files."""
        return len(self._sizes)

    def clips(self, rng: np.random.Generator, count: int, file: int | None = None) -> ClipBatch:
        """Draw whole clips.

        Args:
            rng: source of the choice.
            count: clips; each is drawn once as long as there are so many.
            file: number of the only file to draw from; None: all.
        """
        return self._draw(rng, count, None, file)

    def stills(self, rng: np.random.Generator, count: int, file: int | None = None) -> ClipBatch:
        """Draw single frames of different clips, F = 1; arguments as `clips`."""
        return self._draw(rng, count, 1, file)

    def pairs(self, rng: np.random.Generator, count: int) -> ClipBatch:
        """Draw two frames of each of different clips, in order of time, F = 2."""
        return self._draw(rng, count, 2, None)

    def _draw(
        self, rng: np.random.Generator, count: int, frames: int | None, file: int | None
    ) -> ClipBatch:
        paths = list(self._sizes)
        paths = paths if file is None else [paths[file]]
        sizes = np.array([self._sizes[path] for path in paths])
        picked = rng.choice(sizes.sum(), count, replace=bool(count > sizes.sum()))
        ends = np.cumsum(sizes)
        parts = []
        for number in picked:
            which = int(np.searchsorted(ends, number, side="right"))
            row = int(number - (ends[which] - sizes[which]))
            shard = self._file(paths[which])
            every = np.arange(shard.frames.shape[1])
            span = every if frames is None else np.sort(rng.choice(every, frames, replace=False))
            parts.append(
                (
                    shard.frames[row, span],
                    shard.figure[row, span],
                    None if shard.behind is None else shard.behind[row, span],
                    shard.canvas[row, span],
                    shard.prompts[row],
                    shard.action[row],
                )
            )
        shown, figure, behind, canvas, prompts, action = zip(*parts, strict=True)
        return ClipBatch(
            np.stack(shown),
            np.stack(figure),
            np.stack(behind) if self._layers else None,
            np.stack(canvas),
            prompts,
            np.array(action),
        )

    def _file(self, path: Path) -> ClipBatch:
        if path not in self._kept:
            self._kept[path] = self._read(path)
            if self._keep is not None and len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        self._kept.move_to_end(path)
        return self._kept[path]

    def _read(self, path: Path) -> ClipBatch:
        with _opened(path) as shard:
            frames: Bytes = shard["frames"]
            canvas: Float = (shard["xy"] / frames.shape[2]).astype(np.float32)
            return ClipBatch(
                frames,
                shard["silhouette"],
                shard["behind"] if self._layers else None,
                canvas,
                [str(text) for text in shard["prompt"]],
                shard["action"],
            )


@contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open a file of clips; RequestError when its arrays cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as shard:
            yield shard
    except (BadZipFile, ValueError, KeyError, EOFError) as error:
        raise RequestError(
            f"{path} is damaged ({error}); delete it and render again, which keeps the other files."
        ) from error
