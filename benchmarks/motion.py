"""How good are S_dd, S_pp, their fusion and S_re-proj? One JSON row for each set and noise level.

Held-out bodies, random cameras, detections that err as in `finephys.data.detections`. Errors are in
millimetres at the subject, of a body of its true height; acceleration in millimetres a frame
squared; every figure with the 95 % interval of a bootstrap over motions.

    python -m benchmarks.motion --capture FOLDER
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from finephys.actions import ACTIONS
from finephys.data.detections import NOISE_LEVELS
from finephys.data.pose_windows import TRUSTED, PoseBatch, WindowSampler, WindowSettings
from finephys.fusion import DEFAULT_FUSION, FUSIONS
from finephys.lifting import Lifter
from finephys.motion.capture import SHIPPABLE, read_capture
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.simulation import simulate
from finephys.physics import PhysNet
from finephys.projection import Projection
from finephys.skeleton import limb_lengths
from finephys.training.poses import HELD_OUT_CAPTURE
from finephys.types import BodyWindows, Float, PoseWindows, WorldMotion

Values = npt.NDArray[np.float64]


def motions(capture: Path | None, seeds: int) -> dict[str, list[WorldMotion]]:
    """Sets of motions that no shipped weight was trained on."""
    sets = {}
    if capture is not None:
        everything = read_capture(capture, shippable_only=False)
        sets["CMU, held out"] = [
            motion for motion in everything if motion.source.split(":")[0] in HELD_OUT_CAPTURE
        ]
        others = [motion for motion in everything if not motion.source.startswith(SHIPPABLE)]
        sets["other captures"] = [motion for motion in others if len(motion.joints) > 20]
    sets["simulated, unseen seeds"] = [
        simulate(action.id, HELD_OUT_SEED + seed) for action in ACTIONS for seed in range(seeds)
    ]
    return sets


def pose_windows(batch: PoseBatch) -> PoseWindows:
    """A batch as the stages take it, for a body of height 1 (scaled afterwards)."""
    return PoseWindows(batch.xy, batch.score, batch.size, batch.dt, 1.0, batch.ballistic)


def scaled(body: BodyWindows, height: Float) -> BodyWindows:
    """A body of height 1 brought to the height of each window."""
    return BodyWindows(body.xyz * height[:, None, None, None], body.root * height[:, None, None])


def position_error(body: BodyWindows, batch: PoseBatch) -> Values:
    """Mean distance of the joints, root-relative, of each window, mm."""
    error: Values = np.linalg.norm(body.xyz - batch.body, axis=-1).mean((1, 2)) * 1e3
    return error


def acceleration_error(body: BodyWindows, batch: PoseBatch) -> Values:
    """Mean error of the root-relative second difference of each window, mm a frame squared."""
    error: Values = np.diff(body.xyz - batch.body, n=2, axis=1)
    return np.linalg.norm(error, axis=-1).mean((1, 2)) * 1e3


def limb_spread(body: BodyWindows, _: PoseBatch) -> Values:
    """Standard deviation of limb lengths over frames, mean over limbs, mm."""
    spread: Values = limb_lengths(body.xyz).std(1).mean(1) * 1e3
    return spread


BODY_ERRORS: dict[str, Callable[[BodyWindows, PoseBatch], Values]] = {
    "mpjpe": position_error,
    "acceleration": acceleration_error,
    "limb_spread": limb_spread,
}


def image_error(xy: Float, batch: PoseBatch) -> Values:
    """Mean distance in the image of each window, mm at the subject."""
    distance = np.linalg.norm(xy - batch.true_xy, axis=-1).mean((1, 2))
    error: Values = distance / batch.pixels_per_metre * 1e3
    return error


def seen_or_center(batch: PoseBatch) -> Float:
    """S_detect with missing joints at the centre of those found in their frame."""
    found = (batch.score > TRUSTED)[..., None]
    center = (batch.xy * found).sum(2, keepdims=True) / np.maximum(found.sum(2, keepdims=True), 1)
    lost = ~found.any(2, keepdims=True)
    whole = np.broadcast_to(center.mean(1, keepdims=True), center.shape)
    out: Float = np.where(found, batch.xy, np.where(lost, whole, center)).astype(np.float32)
    return out


def interval(values: Values, owner: npt.NDArray[np.int64]) -> list[float]:
    """Mean over motions and its 95 % bootstrap interval."""
    each = np.array([values[owner == motion].mean() for motion in np.unique(owner)])
    rng = np.random.default_rng(0)
    means = each[rng.integers(0, len(each), (1000, len(each)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return [round(float(value), 1) for value in (each.mean(), low, high)]


def measure(
    tier: str, dynamics: str | None, batch: PoseBatch
) -> tuple[dict[str, Values], dict[str, float], str]:
    """Errors of every stage on a batch by name, and seconds of each stage."""
    lifter, physics = Lifter.load(tier), PhysNet.load(tier, dynamics=dynamics)
    projection = Projection.load(tier)
    windows = pose_windows(batch)
    clock = [time.perf_counter()]
    data_driven = scaled(lifter.lift(windows), batch.height)
    clock.append(time.perf_counter())
    motion = physics.update(windows, data_driven)
    clock.append(time.perf_counter())
    fused = {name: fuse(data_driven, motion) for name, fuse in FUSIONS.items()}
    errors = {
        f"{name} {kind}": error(body, batch)
        for name, body in fused.items()
        for kind, error in BODY_ERRORS.items()
    }
    errors["detected 2d"] = image_error(seen_or_center(batch), batch)
    for name, body in fused.items():
        errors[f"{name} 2d"] = image_error(projection.project(windows, body), batch)
    clock.append(time.perf_counter())
    taken = np.diff(clock) / [1, 1, len(fused)]
    return errors, dict(zip(("lift", "physics", "project"), taken, strict=True)), physics.dynamics


def main() -> None:
    """Print one row for each set and level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tier", default="tiny")
    parser.add_argument("--dynamics", help="default: the checkpoint's own")
    parser.add_argument("--capture", type=Path, help="folder of motion capture")
    parser.add_argument("--windows", type=int, default=8, help="of each motion")
    parser.add_argument("--seeds", type=int, default=1, help="simulated motions of each class")
    options = parser.parse_args()
    for name, members in motions(options.capture, options.seeds).items():
        for label, level in NOISE_LEVELS.items():
            settings = WindowSettings(level=(level, level), augment=False)
            sampler = WindowSampler(members, [], settings)
            which = np.repeat(np.arange(len(members)), options.windows)
            batch = sampler.windows(which, np.random.default_rng(0))
            errors, seconds, dynamics = measure(options.tier, options.dynamics, batch)
            row = {
                "benchmark": "motion",
                "set": name,
                "noise": label,
                "motions": len(members),
                "windows": len(which),
                "dynamics": dynamics,
                "default_fusion": DEFAULT_FUSION,
                "ms_a_window": {
                    stage: round(1e3 * taken / len(which), 2) for stage, taken in seconds.items()
                },
            }
            row |= {kind: interval(values, batch.motion) for kind, values in errors.items()}
            print(json.dumps(row))


if __name__ == "__main__":
    main()
