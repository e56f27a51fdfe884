"""Rendering of moving bodies to clips with their truth, for training generators.

`finephys.data.clips` reads what is written here.
"""

import json
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from finephys.actions import action_by_id
from finephys.errors import RequestError
from finephys.files import whole_file
from finephys.motion.cameras import sample_camera
from finephys.motion.looks import prompt, sample_look
from finephys.motion.moments import core, sample_motion, seconds
from finephys.motion.render import pose_truth, render
from finephys.skeleton import FRAMES, mirror
from finephys.types import Bool, Bytes, Pose2D, WorldMotion

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
"""Caption of a motion without class or description."""

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
    """Write files of rendered clips; those already there are kept, so that a run can be resumed.

    Every clip depends on `seed` and its number alone, not on `processes`. Classes are drawn with
    equal chances; motion of no class makes up CAPTURE_SHARE of the clips when there is both. A lock
    in the folder makes further processes, such as those of `accelerate launch`, wait for the first
    and find its files. Design choice: a lock and no barrier, since a barrier gives up after the ten
    minutes of a collective operation, and two commands that train share a folder too.

    Args:
        motions: what to film.
        count: clips in all.
        seed: 0 to 2**31 - 1.
        path: folder of the files, made if absent.
        processes: worker processes.
        size: side of the frames in pixels.
        captions: one for each motion; None in it or for all: as `render_clip`.

    Raises:
        OutputError: when a file cannot be written.
        RequestError: when there is nothing to film, or `path` holds clips of another recipe.
    """
    if not motions or count < 1:
        raise RequestError(f"{len(motions)} motions and {count} clips; give at least one of each.")
    if captions is not None and len(captions) != len(motions):
        raise RequestError(f"{len(captions)} captions for {len(motions)} motions; give one each.")
    path.mkdir(parents=True, exist_ok=True)
    job = _Job(list(motions), list(captions) if captions else None, seed, size, path)
    with _only_writer(path):
        _check_recipe(job, count)
        spans = [(first, min(first + SHARD, count)) for first in range(0, count, SHARD)]
        wanted = [span for span in spans if not job.file(span[0]).exists()]
        if processes == 1:
            for span in wanted:
                _write_file(job, span)
        elif wanted:
            spawned = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(processes, spawned) as pool:
                for future in [pool.submit(_write_file, job, span) for span in wanted]:
                    future.result()


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process renders into a folder, and keep others waiting meanwhile."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("waiting for another process that renders into %s", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Job(NamedTuple):
    """What `render_dataset` was given, for its worker processes."""

    motions: list[WorldMotion]
    captions: list[str | None] | None
    seed: int
    size: int
    folder: Path

    def file(self, first: int) -> Path:
        """The file whose first clip has this number."""
        return self.folder / f"clips_{first:06d}.npz"


def _check_recipe(job: _Job, count: int) -> None:
    """Note what is rendered into a folder; raise RequestError when it holds other clips."""
    recipe = {
        "count": count,
        "seed": job.seed,
        "size": job.size,
        "behind": True,
        "motions": [motion.source for motion in job.motions],
    }
    note = job.folder / "dataset.json"
    if not note.exists():
        with whole_file(note) as partial:
            partial.write_text(json.dumps(recipe))
    elif json.loads(note.read_text()) != recipe:
        raise RequestError(
            f"{job.folder} holds rendered clips of other motions, or of another count, seed or "
            "size; delete it or choose another folder."
        )


def _choose(motions: list[WorldMotion], rng: np.random.Generator) -> int:
    """Number of the motion to film."""
    classes = sorted({motion.action for motion in motions if motion.action is not None})
    free = [index for index, motion in enumerate(motions) if motion.action is None]
    if free and (not classes or rng.random() < CAPTURE_SHARE):
        return int(rng.choice(free))
    action = int(rng.choice(classes))
    return int(rng.choice([i for i, motion in enumerate(motions) if motion.action == action]))


def _write_file(job: _Job, span: tuple[int, int]) -> None:
    first, stop = span
    clips = []
    for number in range(first, stop):
        rng = np.random.default_rng([job.seed, number])
        chosen = _choose(job.motions, rng)
        caption = job.captions[chosen] if job.captions else None
        clips.append(render_clip(job.motions[chosen], rng, job.size, caption))
    name = job.file(first)
    with whole_file(name) as partial, partial.open("wb") as file:
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
    logger.info("rendered clips %d to %d into %s", first, stop - 1, name)
