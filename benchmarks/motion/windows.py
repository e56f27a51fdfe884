"""The windows that are measured: held-out captures, simulated motions of unseen seeds, flights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.motion.folds import Split
from finephys.actions import ACTIONS
from finephys.data.pose_windows import PoseBatch, WindowSampler, WindowSettings
from finephys.files import whole_file
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.simulation import simulate
from finephys.pose3d.windows import PoseWindows
from finephys.types import WorldMotion

WINDOWS = 12
"""Windows of each motion."""


def unseen(fold: int, cache: Path) -> list[WorldMotion]:
    """One simulated motion of each class, of a seed that no training saw; kept in `cache`."""
    motions = []
    for action in ACTIONS:
        path = cache / f"{action.id}_{HELD_OUT_SEED + fold}.npz"
        if not path.is_file():
            motion = simulate(action.id, HELD_OUT_SEED + fold)
            arrays = {"joints": motion.joints, "flight": motion.flight, "fps": motion.fps}
            with whole_file(path) as partial:
                np.savez_compressed(partial, **arrays)
        with np.load(path) as data:
            motions.append(
                WorldMotion(
                    data["joints"], float(data["fps"]), data["flight"], action.id, path.stem
                )
            )
    return motions


def draw(motions: Sequence[WorldMotion], level: float, seed: int = 0) -> PoseBatch:
    """WINDOWS of each motion anywhere in it, 0.4 to 3 s long, from random cameras."""
    sampler = WindowSampler(motions, [], WindowSettings(level=(level, level), augment=False))
    which = np.repeat(np.arange(len(motions)), WINDOWS)
    return sampler.windows(which, np.random.default_rng([seed, 0]))


def draw_flights(motions: Sequence[WorldMotion], level: float, seed: int = 0) -> PoseBatch:
    """WINDOWS of each motion that flies, about its flight: 0.8 to 2 times as long as that."""
    flights = [motion for motion in motions if motion.flight.any()]
    rng = np.random.default_rng([seed, 1])
    which = np.repeat(np.arange(len(flights)), WINDOWS)
    places = np.empty((len(which), 2))
    for row, index in enumerate(which):
        motion = flights[index]
        length = (len(motion.joints) - 1) / motion.fps
        begin, end = longest_flight(motion)
        span = min((end - begin) * rng.uniform(0.8, 2.0), length)
        middle = (begin + end) / 2 + rng.uniform(-0.1, 0.1) * (end - begin)
        places[row] = np.clip(middle - span / 2, 0, length - span), span
    sampler = WindowSampler(flights, [], WindowSettings(level=(level, level), augment=False))
    return sampler.windows(which, rng, places)


def longest_flight(motion: WorldMotion) -> tuple[float, float]:
    """Seconds where the longest run of flight begins and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], motion.flight.astype(int), [0]])))
    longest = int((edges[1::2] - edges[::2]).argmax())
    return edges[2 * longest] / motion.fps, (edges[2 * longest + 1] - 1) / motion.fps


def training_windows(split: Split, level: float, count: int = 400) -> PoseBatch:
    """Windows of the motions that were trained on, to tune smoothers with."""
    settings = WindowSettings(level=(level, level), augment=False)
    sampler = WindowSampler(split.data.captured, split.data.simulated, settings)
    return sampler.draw(count, np.random.default_rng([2, round(100 * level)]))


def pose_windows(batch: PoseBatch) -> PoseWindows:
    """A batch as the stages take it, for a body of height 1 (scaled afterwards)."""
    return PoseWindows(batch.xy, batch.score, batch.size, batch.dt, 1.0, batch.ballistic)
