"""Rendered clips of moving bodies with their truth: what the tiny tier's generator trains on."""

import json
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from finephys.actions import action_by_id
from finephys.errors import RequestError
from finephys.motion.cameras import sample_camera
from finephys.motion.looks import prompt, sample_look
from finephys.motion.moments import core, sample_motion, seconds
from finephys.motion.render import pose_truth, render
from finephys.skeleton import FRAMES, mirror
from finephys.types import Bool, Bytes, Float, Pose2D, WorldMotion

logger = logging.getLogger(__name__)

SPAN = (1.0, 2.5)
"""Seconds covered by the 16 frames of a window; a shorter motion is shown whole."""

CAPTURE_SHARE = 0.25
"""Share of clips that show motion capture where simulation is there too.

Design choice: 20-30 % of the other kind keeps poses realistic and acrobatics frequent.
"""

SHARD = 128
"""Clips a file."""

CAPTURE_CAPTION = "A person moves across the floor."
"""Caption of a motion that is of no class and has no description."""

_CAPTURE_CAPTIONS = (
    ("climb", "A person climbs, swings and sits."),
    ("jump", "A person jumps."),
    ("run", "A person runs across the floor."),
    ("soccer", "A person runs up and kicks a ball."),
    ("walk", "A person walks across the floor."),
    ("punch", "A person strikes out with both fists."),
    ("sword", "A person swings one arm as with a sword."),
    ("bend", "A person bends down, rises and lifts an arm."),
    ("dance", "A person dances and whirls."),
    ("traffic", "A person stands and points with both arms."),
)
"""A word of a capture's description -> its caption; the first that fits."""


@dataclass(frozen=True)
class RenderedClip:
    """Sixteen rendered frames and their truth.

    Attributes:
        frames: uint8 (16, S, S, 3) RGB.
        silhouette: bool (16, S, S), True on the body.
        behind: uint8 (16, S, S, 3), the frames without the body but with its shadow.
        pose: joints in pixels, every score 1.
        prompt: caption, clothes and place.
        action: FineGym class 6-40, or None.
        span: seconds from the first to the last frame.
    """

    frames: Bytes
    silhouette: Bool
    behind: Bytes
    pose: Pose2D
    prompt: str
    action: int | None
    span: float


@dataclass(frozen=True)
class RenderedDataset:
    """N rendered clips in memory.

    Attributes:
        frames: uint8 (N, 16, S, S, 3).
        silhouette: bool (N, 16, S, S).
        xy: float32 (N, 16, 17, 2) pixels.
        prompt: N texts.
        action: int64 (N,), FineGym class, 0 for none.
        span: float32 (N,) seconds.
    """

    frames: Bytes
    silhouette: Bool
    xy: Float
    prompt: list[str]
    action: npt.NDArray[np.int64]
    span: Float


def plain_caption(description: str) -> str:
    """A sentence for a capture described in a few words, e.g. "forward jumps, turn around"."""
    for word, caption in _CAPTURE_CAPTIONS:
        if word in description.lower():
            return caption
    return CAPTURE_CAPTION


def capture_captions(folder: Path, motions: Sequence[WorldMotion]) -> list[str | None]:
    """Captions for `render_dataset` of a mixture of simulation and motion capture.

    Args:
        folder: holds the captures' npz files, each with the text `action`.
        motions: those of no class have a `source` that begins with their file's name and a colon.

    Returns:
        A plain sentence for motion capture, None for motions of a class.
    """
    captions: list[str | None] = []
    for motion in motions:
        caption = None
        if motion.action is None:
            with np.load(folder / f"{motion.source.split(':')[0]}.npz") as data:
                caption = plain_caption(str(data["action"]))
        captions.append(caption)
    return captions


def sample_window(motion: WorldMotion, rng: np.random.Generator) -> tuple[float, float]:
    """Start and span in seconds of a random window that holds the motion's core, if it can."""
    whole = seconds(motion)
    first, last = core(motion)
    span = min(max(rng.uniform(*SPAN), min(1.1 * (last - first), SPAN[1])), whole)
    low, high = max(last - span, 0.0), min(first, whole - span)
    if motion.action is None:
        low, high = 0.0, whole - span
    if low > high:  # the core is longer than the window: show its middle
        low = high = float(np.clip((first + last - span) / 2, 0.0, whole - span))
    return float(rng.uniform(low, high)), span


def render_clip(
    motion: WorldMotion, rng: np.random.Generator, size: int = 64, caption: str | None = None
) -> RenderedClip:
    """Film a random window of a motion with a random camera and look.

    Args:
        motion: at least two frames.
        rng: source of all randomness.
        size: side of the frames in pixels.
        caption: what the person does; None: the caption of the motion's class, or a plain sentence.

    Returns:
        The clip and its truth; half of the clips are mirrored left to right.

    Raises:
        RequestError: when the motion has fewer than two frames.
    """
    if len(motion.joints) < 2:
        raise RequestError(f"a motion of {len(motion.joints)} frame(s) cannot be filmed; give two.")
    start, span = sample_window(motion, rng)
    joints = sample_motion(motion, start + np.linspace(0, span, FRAMES))[0].astype(np.float32)
    if rng.random() < 0.5:
        joints = mirror(joints, axis=1).astype(np.float32)
    camera, look = sample_camera(joints, rng, size), sample_look(rng)
    film = render(joints, camera, look, size)
    if caption is None:
        caption = CAPTURE_CAPTION if motion.action is None else action_by_id(motion.action).caption
    return RenderedClip(
        film.frames,
        film.silhouette,
        film.behind,
        pose_truth(joints, camera, motion.source),
        prompt(caption, look),
        motion.action,
        span,
    )


def render_dataset(
    motions: Sequence[WorldMotion],
    count: int,
    seed: int,
    path: Path,
    processes: int = 1,
    size: int = 64,
    captions: Sequence[str | None] | None = None,
) -> None:
    """Write shards of rendered clips; shards already there are kept, so that a run can be resumed.

    Every clip depends on `seed` and its number alone, not on `processes`. Classes are drawn with
    equal chances; motion of no class makes up CAPTURE_SHARE of the clips when there is both.

    Args:
        motions: what to film.
        count: clips in all.
        seed: 0 to 2**31 - 1.
        path: folder of the shards, made if absent.
        processes: worker processes.
        size: side of the frames in pixels.
        captions: one for each motion; None in it or for all: as `render_clip`.

    Raises:
        RequestError: when there is nothing to film, or `path` holds a dataset made otherwise.
    """
    if not motions or count < 1:
        raise RequestError(f"{len(motions)} motions and {count} clips; give at least one of each.")
    if captions is not None and len(captions) != len(motions):
        raise RequestError(f"{len(captions)} captions for {len(motions)} motions; give one each.")
    path.mkdir(parents=True, exist_ok=True)
    sources = [motion.source for motion in motions]
    recipe = {"count": count, "seed": seed, "size": size, "behind": True, "motions": sources}
    note = path / "dataset.json"
    if note.exists() and json.loads(note.read_text()) != recipe:
        raise RequestError(
            f"{path} holds rendered clips of another recipe; delete it or choose another folder."
        )
    note.write_text(json.dumps(recipe))
    wanted = [first for first in range(0, count, SHARD) if not (path / _shard_name(first)).exists()]
    job = (list(motions), list(captions) if captions else None, seed, size, path)
    if processes == 1:
        _start_worker(*job)
        for first in wanted:
            _write_shard(first, min(first + SHARD, count))
        return
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _start_worker, job
    ) as pool:
        futures = [pool.submit(_write_shard, first, min(first + SHARD, count)) for first in wanted]
        for future in futures:
            future.result()


def read_dataset(path: Path) -> RenderedDataset:
    """All clips of a folder, in order.

    Raises:
        RequestError: when a shard is missing.
    """
    return _read(_shards(path))


def read_shards(path: Path) -> Iterator[RenderedDataset]:
    """The same piece by piece, `SHARD` clips at a time, for what memory does not hold."""
    for name in _shards(path):
        yield _read([name])


def _shards(path: Path) -> list[Path]:
    note = path / "dataset.json"
    if not note.exists():
        raise RequestError(
            f"{path} holds no rendered clips; make them with `render_dataset` first."
        )
    count = int(json.loads(note.read_text())["count"])
    names = [path / _shard_name(first) for first in range(0, count, SHARD)]
    missing = [name.name for name in names if not name.exists()]
    if missing:
        raise RequestError(
            f"{path} lacks {len(missing)} of {len(names)} shards ({missing[0]} first); "
            "run `render_dataset` again, it resumes."
        )
    return names


def _read(names: Sequence[Path]) -> RenderedDataset:
    shards = [np.load(name) for name in names]

    def join(key: str) -> npt.NDArray[np.generic]:
        return np.concatenate([shard[key] for shard in shards])

    return RenderedDataset(
        frames=join("frames").astype(np.uint8, copy=False),
        silhouette=join("silhouette").astype(np.bool_, copy=False),
        xy=join("xy").astype(np.float32, copy=False),
        prompt=[str(text) for text in join("prompt")],
        action=join("action").astype(np.int64, copy=False),
        span=join("span").astype(np.float32, copy=False),
    )


def _shard_name(first: int) -> str:
    return f"clips_{first:06d}.npz"


_Job = tuple[list[WorldMotion], list[str | None] | None, int, int, Path]
_worker: dict[str, _Job] = {}


def _start_worker(
    motions: list[WorldMotion], captions: list[str | None] | None, seed: int, size: int, path: Path
) -> None:
    _worker["job"] = (motions, captions, seed, size, path)


def _choose(motions: list[WorldMotion], rng: np.random.Generator) -> int:
    """Number of the motion to film."""
    classes = sorted({motion.action for motion in motions if motion.action is not None})
    free = [index for index, motion in enumerate(motions) if motion.action is None]
    if free and (not classes or rng.random() < CAPTURE_SHARE):
        return int(rng.choice(free))
    action = int(rng.choice(classes))
    return int(rng.choice([i for i, motion in enumerate(motions) if motion.action == action]))


def _write_shard(first: int, stop: int) -> None:
    motions, captions, seed, size, path = _worker["job"]
    clips = []
    for number in range(first, stop):
        rng = np.random.default_rng([seed, number])
        chosen = _choose(motions, rng)
        caption = captions[chosen] if captions else None
        clips.append(render_clip(motions[chosen], rng, size, caption))
    name = path / _shard_name(first)
    part = name.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            frames=np.stack([clip.frames for clip in clips]),
            silhouette=np.stack([clip.silhouette for clip in clips]),
            behind=np.stack([clip.behind for clip in clips]),
            xy=np.stack([clip.pose.xy for clip in clips]),
            prompt=np.array([clip.prompt for clip in clips]),
            action=np.array([clip.action or 0 for clip in clips], np.int64),
            span=np.array([clip.span for clip in clips], np.float32),
        )
    part.replace(name)
    logger.info("rendered clips %d to %d into %s", first, stop - 1, name)
