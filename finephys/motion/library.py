"""A library of simulated motions on disk, so that training does not simulate again.

One compressed npz: `joints` float32 (N, 17, 3), the frames of all motions concatenated; `flight`
bool (N,); for each motion `length` (frames), `action` and `seed`; `fps`.
"""

import argparse
import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from finephys.actions import ACTIONS
from finephys.errors import RequestError
from finephys.files import whole_file
from finephys.motion.simulation import simulate
from finephys.types import WorldMotion

logger = logging.getLogger(__name__)

HELD_OUT_SEED = 100_000
"""Seeds from here on are reserved for tests and benchmarks, and never in a library."""


def build_library(
    path: Path, per_class: int, first_seed: int = 0, processes: int = 2, fps: float = 60.0
) -> None:
    """Simulate all 35 classes and write them atomically to one npz.

    Args:
        path: the npz to write.
        per_class: motions of each class, seeds first_seed, first_seed + 1, ...
        first_seed: 0 or more.
        processes: number of worker processes.
        fps: frames per second.

    Raises:
        RequestError: a seed would be a held-out one.
    """
    if per_class < 1 or first_seed < 0 or first_seed + per_class > HELD_OUT_SEED:
        raise RequestError(
            f"seeds {first_seed} to {first_seed + per_class - 1} are not all between 0 and "
            f"{HELD_OUT_SEED - 1}; seeds from {HELD_OUT_SEED} on are held out."
        )
    jobs = [
        (action.id, seed)
        for action in ACTIONS
        for seed in range(first_seed, first_seed + per_class)
    ]
    actions, seeds = zip(*jobs, strict=True)
    with ProcessPoolExecutor(processes) as pool:
        motions = list(pool.map(simulate, actions, seeds, [fps] * len(jobs), chunksize=8))
    path = Path(path)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            joints=np.concatenate([motion.joints for motion in motions]),
            flight=np.concatenate([motion.flight for motion in motions]),
            length=np.array([len(motion.joints) for motion in motions], np.int64),
            action=np.array(actions, np.int64),
            seed=np.array(seeds, np.int64),
            fps=np.float64(fps),
        )
    logger.info("wrote %d motions to %s", len(motions), path)


def load_library(path: Path) -> list[WorldMotion]:
    """Read the motions of a library, ordered by class, then seed.

    Raises:
        RequestError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        command = f"python -m finephys.motion.library {path}"
        raise RequestError(
            f"there is no library of motions at {path}; create one with `{command}`.", command
        )
    with np.load(path, allow_pickle=False) as data:
        ends = np.cumsum(data["length"])
        joints = np.split(data["joints"], ends[:-1])
        flight = np.split(data["flight"], ends[:-1])
        fps = float(data["fps"])
        return [
            WorldMotion(
                joints[i], fps, flight[i], int(action), f"simulation of class {action}, seed {seed}"
            )
            for i, (action, seed) in enumerate(zip(data["action"], data["seed"], strict=True))
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulate a library of motions for training.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--per-class", type=int, default=24)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    build_library(options.path, options.per_class, options.first_seed, options.processes)
