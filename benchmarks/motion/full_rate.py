"""Does lifting every frame of a clip beat lifting 16 of them? One JSON row a noise level.

One simulated motion of each class, of a seed that no training saw, seen by a random camera for 2.5
seconds at 30 frames a second with degraded detections. The same detections are lifted as one window
of 16 frames (sparse), and whole, in overlapping windows (full). Errors in flight: the mean distance
of the joints, root-relative and after the best scaling of each motion, in millimetres, at the 16
moments and at all frames, where the sparse poses are interpolated by a cubic spline.

    python -m benchmarks.motion.full_rate
    python -m benchmarks.motion.full_rate --actions 12 31 --dynamics none
"""

import argparse
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.interpolate import CubicSpline

from finephys.actions import ACTIONS
from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.config import DYNAMICS_TITLES
from finephys.data.detections import NOISE_LEVELS, Views, degrade, random_views
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.moments import sample_motion
from finephys.motion.simulation import simulate
from finephys.pipeline import Pipeline
from finephys.pose3d.fusion import DEFAULT_FUSION
from finephys.pose3d.windows import PoseWindows
from finephys.sequence import PoseSequence, lift_sequence
from finephys.skeleton import FRAMES, limb_lengths
from finephys.training.lifting import flight_middle
from finephys.types import WorldMotion

Array = npt.NDArray[np.float64]

FPS = 30
"""Frames a second of the clips."""

STRIDE = 5
"""Frames between the 16 moments: 6 a second, as the page samples a clip of 2.5 s."""

LENGTH = (FRAMES - 1) * STRIDE + 1
"""Frames of a clip."""

SEED = HELD_OUT_SEED + 500
"""Of the motions; `benchmarks.motion.windows` takes the first ones that are held out."""


class Clips(NamedTuple):
    """N clips of LENGTH frames.

    Attributes:
        views: the cameras with the true joints (N, T, J, 3).
        airborne: bool (N, T).
        height: (N,) metres.
    """

    views: Views
    airborne: npt.NDArray[np.bool_]
    height: Array


def clip_times(motion: WorldMotion) -> Array:
    """Moments (T,) in seconds about the middle of a motion's flight; its ends are held."""
    length = (len(motion.joints) - 1) / motion.fps
    span = (LENGTH - 1) / FPS
    begin = np.clip(flight_middle(motion) - span / 2, 0, max(length - span, 0))
    return np.minimum(begin + np.arange(LENGTH) / FPS, length)


def film(motions: Sequence[WorldMotion], rng: np.random.Generator) -> Clips:
    """Each motion seen by a random camera."""
    times = [clip_times(motion) for motion in motions]
    sampled = [sample_motion(*one) for one in zip(motions, times, strict=True)]
    joints = np.stack([joints for joints, _ in sampled])
    airborne = np.stack([flight for _, flight in sampled])
    height = np.median(limb_lengths(joints).sum(-1), 1) / LIMB_LENGTHS_PER_HEIGHT.sum()
    return Clips(random_views(joints, height, rng), airborne, height)


def lifted(
    pipeline: Pipeline, clips: Clips, level: float, dynamics: str, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Root-relative joints (N, T, J, 3) for a body 1 m tall: sparse ones interpolated, and full."""
    views = clips.views
    count = len(clips.height)
    unit = views.pixels_per_metre * clips.height / 1.7  # degrade states noise for a body of 1.7 m
    xy, score = degrade(views.project(), unit, np.full(count, level), rng)
    windows = PoseWindows(
        xy=np.ascontiguousarray(xy[:, ::STRIDE]),
        score=np.ascontiguousarray(score[:, ::STRIDE]),
        size=views.size,
        dt=np.full(count, STRIDE / FPS, np.float32),
        body_height=1.0,
        ballistic=np.ones(count, np.float32),
    )
    sparse = pipeline.lift(windows, DEFAULT_FUSION, None, dynamics).fused.xyz.astype(np.float64)
    full = [
        lift_sequence(
            pipeline, PoseSequence(*clip, FPS, views.size), 1.0, DEFAULT_FUSION, None, dynamics
        ).fused
        for clip in zip(xy, score, strict=True)
    ]
    moments = np.arange(0, LENGTH, STRIDE)
    between: Array = CubicSpline(moments, sparse, axis=1)(np.arange(LENGTH))
    return between, np.stack(full).astype(np.float64)


def error_in_flight(body: Array, clips: Clips, frames: slice) -> float:
    """Mean distance in millimetres over some frames in flight; NaN when no motion flies."""
    body, truth = (each - each[:, :, :1] for each in (body, clips.views.points))
    scale = (body * truth).sum((1, 2, 3)) / np.maximum((body * body).sum((1, 2, 3)), 1e-9)
    error = np.linalg.norm(body * scale[:, None, None, None] - truth, axis=-1).mean(2)
    chosen = error[:, frames][clips.airborne[:, frames]]
    return float(chosen.mean() * 1e3) if len(chosen) else float("nan")


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actions", type=int, nargs="+", default=[each.id for each in ACTIONS])
    parser.add_argument(
        "--dynamics", nargs="+", choices=DYNAMICS_TITLES, default=["euler-lagrange"]
    )
    parser.add_argument("--levels", nargs="+", choices=NOISE_LEVELS, default=list(NOISE_LEVELS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = Pipeline()
    motions = [simulate(action, SEED) for action in options.actions]
    for number, name in enumerate(options.levels):
        for dynamics in options.dynamics:
            rng = np.random.default_rng([SEED, number])  # the same clips for all dynamics
            clips = film(motions, rng)
            sparse, full = lifted(pipeline, clips, NOISE_LEVELS[name], dynamics, rng)
            moments, every = slice(None, None, STRIDE), slice(None)
            row = {
                "benchmark": "full rate",
                "motions": len(motions),
                "noise": name,
                "dynamics": dynamics,
                "moments_sparse_mm": error_in_flight(sparse, clips, moments),
                "moments_full_mm": error_in_flight(full, clips, moments),
                "frames_sparse_mm": error_in_flight(sparse, clips, every),
                "frames_full_mm": error_in_flight(full, clips, every),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
