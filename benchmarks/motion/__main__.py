"""How good are S_dd, S_pp, their fusion and S_re-proj, as ratios to the frozen reference?

Five folds by clip over a folder of motion capture, simulated motions of unseen seeds, three levels
of detection noise; bodies of their true height. Prints a JSON row for each figure with the 95 %
interval of a paired bootstrap over clips. Weights come from `benchmarks.motion.train`.

    python -m benchmarks.motion --capture FOLDER
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.motion import measures
from benchmarks.motion.folds import FOLDS, split
from benchmarks.motion.reference import lift_batch, load_reference
from benchmarks.motion.smoothers import Smoother, candidates
from benchmarks.motion.train import RUNS, tier_name
from benchmarks.motion.windows import (
    draw,
    draw_flights,
    pose_windows,
    training_windows,
    unseen,
)
from finephys.data.detections import NOISE_LEVELS
from finephys.data.pose_windows import PoseBatch
from finephys.pose3d.fusion import DEFAULT_FUSION, FUSIONS
from finephys.pose3d.lifting import Lifter
from finephys.pose3d.physics import PhysNet
from finephys.pose3d.projection import Projection
from finephys.pose3d.windows import BodyWindows
from finephys.training.stages import DEFAULT_LIBRARY
from finephys.types import Float
from finephys.weights.checkpoints import ROOT_VARIABLE, checkpoint_path, read_config

Values = npt.NDArray[np.float64]
ACROBATIC = ("jump", "acro")
"""Categories of the captures that are nearest to gymnastics."""


class Stages:
    """The trained stages of one split."""

    def __init__(self, tier: str, reference: str, smoother: Smoother) -> None:
        self.lifter = Lifter.load(tier)
        trained: list[str] = read_config(checkpoint_path(tier, "physnet"))["dynamics"]
        self.physics = {name: PhysNet.load(tier, dynamics=name) for name in trained}
        self.default = PhysNet.load(tier).dynamics
        self.projection = Projection.load(tier)
        self.reference = load_reference(reference)
        self.smoother = smoother

    def bodies(self, batch: PoseBatch) -> dict[str, BodyWindows]:
        """Every stage's body of a batch, by name."""
        windows = pose_windows(batch)
        lifted = scaled(self.lifter.lift(windows), batch.height)
        out = {"reference": lift_batch(self.reference, batch, self.smoother), "S_dd": lifted}
        for name, physics in self.physics.items():
            motion = physics.update(windows, lifted)
            out[name] = FUSIONS[DEFAULT_FUSION](lifted, motion)
            if name == self.default:
                out["fused"] = out[name]
                out |= {f"fusion {kind}": fuse(lifted, motion) for kind, fuse in FUSIONS.items()}
        return out


def scaled(body: BodyWindows, height: Float) -> BodyWindows:
    """A body of height 1 brought to the height of each window."""
    return BodyWindows(body.xyz * height[:, None, None, None], body.root * height[:, None, None])


def tune(name: str, capture: Path, library: Path) -> tuple[str, Smoother]:
    """The smoother with the least sum of relative position and acceleration error, all levels."""
    data = split(name, capture, library)
    network = load_reference(name)
    costs: dict[str, float] = defaultdict(float)
    for level in NOISE_LEVELS.values():
        batch = training_windows(data, level)
        base: tuple[float, float] | None = None
        for label, smoother in candidates():
            body = lift_batch(network, batch, smoother)
            errors = (
                float(measures.position_error(body, batch).mean()),
                float(measures.acceleration_error(body, batch).mean()),
            )
            base = base or errors
            costs[label] += errors[0] / base[0] + errors[1] / base[1]
    best = min(costs, key=costs.__getitem__)
    return best, dict(candidates())[best]


def measured(stages: Stages, batch: PoseBatch, kind: str) -> Iterator[tuple[str, Values]]:
    """Named errors of a batch, one value a window."""
    bodies = stages.bodies(batch)
    for name, body in bodies.items():
        yield f"{name} mpjpe", measures.position_error(body, batch)
        yield f"{name} acceleration", measures.acceleration_error(body, batch)
        yield f"{name} limb spread", measures.limb_spread(body, batch)
        if kind == "flight":
            yield f"{name} in flight", measures.flight_acceleration_error(body, batch)
            yield f"{name} center", measures.flight_center_error(body, batch)
    windows = pose_windows(batch)
    yield "detected 2d", measures.image_error(measures.seen_or_center(batch), batch)
    for name in ("fused", "fusion average", "S_dd"):
        xy = stages.projection.project(windows, bodies[name])
        yield f"{name} 2d", measures.image_error(xy, batch)


def gap_errors(stages: Stages, batch: PoseBatch, seed: int) -> Iterator[tuple[str, Values]]:
    """Errors in five frames without detections, against a line through S_dd there."""
    rng = np.random.default_rng([seed, 5])
    begin = rng.integers(2, 10, len(batch.xy))
    frames = np.arange(batch.xy.shape[1])
    hidden = (frames >= begin[:, None]) & (frames < begin[:, None] + 5)
    score = np.where(hidden[..., None], 0, batch.score).astype(np.float32)
    xy = np.where(hidden[..., None, None], 0, batch.xy).astype(np.float32)
    masked = replace(batch, xy=xy, score=score)
    bodies = stages.bodies(masked)
    lifted = bodies["S_dd"].xyz
    rows = np.arange(len(lifted))[:, None]
    share = (np.arange(5) + 1)[None, :, None, None] / 6
    where = begin[:, None] + np.arange(5)

    def line(points: Float) -> Float:
        before, after = points[rows, begin[:, None] - 1], points[rows, begin[:, None] + 5]
        between: Float = before + share * (after - before)
        return between

    def error(points: Float) -> Values:
        off = np.linalg.norm(points - batch.body[rows, where], axis=-1)
        out: Values = off.mean((1, 2)) * 1e3
        return out

    yield "line through gap", error(line(lifted))
    yield "line through the truth", error(line(batch.body))
    yield "fused in gap", error(bodies["fused"].xyz[rows, where])
    yield "fused, nothing hidden", error(stages.bodies(batch)["fused"].xyz[rows, where])
    if batch.flight.any():
        for name in stages.physics:
            center = measures.flight_center_error(bodies[name], batch, hidden)
            yield f"{name} center in gap", center


def by_clip(values: Values, owner: npt.NDArray[np.int64]) -> Values:
    """Mean of each motion's windows, NaN where none has a value."""
    out = np.full(owner.max() + 1, np.nan)
    for motion in np.unique(owner):
        mine = values[(owner == motion) & np.isfinite(values)]
        if len(mine):
            out[motion] = mine.mean()
    return out


def ratio(above: Values, below: Values) -> dict[str, float]:
    """Ratio of means over clips and its paired 95 % bootstrap interval."""
    both = np.isfinite(above) & np.isfinite(below)
    above, below = above[both], below[both]
    rows = np.random.default_rng(0).integers(0, len(above), (2000, len(above)))
    drawn = above[rows].mean(1) / below[rows].mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "ratio": round(float(above.mean() / below.mean()), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "above": round(float(above.mean()), 1),
        "below": round(float(below.mean()), 1),
        "clips": len(above),
    }


FIGURES: tuple[tuple[str, str, str, str, tuple[float, float, float]], ...] = (
    ("S_dd alone, MPJPE", "real", "S_dd mpjpe", "reference mpjpe", (1.0, 1.0, 1.0)),
    ("fused MPJPE, real clips", "real", "fused mpjpe", "reference mpjpe", (0.85, 0.88, 0.93)),
    (
        "fused acceleration error, real clips", "real", "fused acceleration",
        "reference acceleration", (0.90, 0.90, 0.95),
    ),
    (
        "fused acceleration error, simulated flight", "flight", "fused in flight",
        "reference in flight", (0.75, 0.80, 0.85),
    ),
    ("2D error of S_re-proj / S_detect", "real", "fused 2d", "detected 2d", (0.85, 0.65, 0.60)),
    ("bone-length std / S_dd's", "real", "fused limb spread", "S_dd limb spread", (0.6, 0.6, 0.6)),
    (
        "chosen dynamics / none, simulated flight, acceleration", "flight", "fused in flight",
        "none in flight", (0.90, 0.90, 0.90),
    ),
    (
        "chosen dynamics / none, simulated flight, centre of mass", "flight", "fused center",
        "none center", (0.90, 0.90, 0.90),
    ),
    (
        "chosen dynamics / none, five frames hidden in flight, centre of mass", "flight",
        "euler-lagrange center in gap", "none center in gap", (0.90, 0.90, 0.90),
    ),
    ("S_dd on jumps and acrobatics", "acrobatic", "S_dd mpjpe", "reference mpjpe", (0.9,) * 3),
    ("five-frame gap / line", "real", "fused in gap", "line through gap", (0.7, 0.7, 0.7)),
    (
        "the same frames with nothing hidden / line", "real", "fused, nothing hidden",
        "line through gap", (1.0, 1.0, 1.0),
    ),
    (
        "a line between the true poses beside the gap / line", "real", "line through the truth",
        "line through gap", (1.0, 1.0, 1.0),
    ),
    ("gap / line, simulated", "simulated", "fused in gap", "line through gap", (0.7,) * 3),
    ("fused MPJPE, simulated", "simulated", "fused mpjpe", "reference mpjpe", (1.0,) * 3),
)  # fmt: skip
"""Name, set, value above, value below, and the target of the ratio at each level."""


def collect(
    folds: list[str], capture: Path, library: Path, seed: int
) -> dict[tuple[str, str], dict[str, Values]]:
    """(set, level) -> name -> one value a clip, over all folds."""
    os.environ[ROOT_VARIABLE] = str(RUNS)
    parts: dict[tuple[str, str], dict[str, list[Values]]] = defaultdict(lambda: defaultdict(list))
    for fold in folds:
        data = split(fold, capture, library)
        label, smoother = tune(fold, capture, library)
        print(json.dumps({"split": fold, "smoother of the reference": label}), flush=True)
        stages = Stages(tier_name(fold, seed, True), fold, smoother)
        simulated = unseen(int(fold), RUNS / "unseen")
        acrobatic = np.array([kind in ACROBATIC for kind in data.category])
        for level, amount in NOISE_LEVELS.items():
            sets = {
                "real": draw(data.held_out, amount),
                "simulated": draw(simulated, amount),
                "flight": draw_flights(simulated, amount),
            }
            for kind, batch in sets.items():
                values = dict(measured(stages, batch, kind))
                values |= dict(gap_errors(stages, batch, 0))
                for name, one in values.items():
                    clips = by_clip(one, batch.motion)
                    parts[kind, level][name].append(clips)
                    if kind == "real":
                        parts["acrobatic", level][name].append(clips[acrobatic])
    return {
        key: {name: np.concatenate(each) for name, each in values.items()}
        for key, values in parts.items()
    }


def cost(tier: str, batch: PoseBatch) -> dict[str, object]:
    """CPU milliseconds a window of S_dd and S_pp together in batches of 64, and weights in MB."""
    windows = pose_windows(batch)
    part = replace(
        windows,
        xy=windows.xy[:64],
        score=windows.score[:64],
        dt=windows.dt[:64],
        ballistic=windows.ballistic[:64],
    )
    lifter, physics = Lifter.load(tier), PhysNet.load(tier)
    spent = []
    for _ in range(6):
        begun = time.process_time()
        physics.update(part, lifter.lift(part))
        spent.append(time.process_time() - begun)
    size = sum(file.stat().st_size for file in (RUNS / tier).glob("*.safetensors"))
    return {
        "figure": "cost of S_dd and S_pp, ms a window",
        "asked": 4,
        "got": round(float(np.median(spent[1:])) / 64e-3, 2),
        "weights MB": round(size / 1e6, 1),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("--library", type=Path, default=DEFAULT_LIBRARY)
    parser.add_argument("--split", nargs="+", default=list(FOLDS))
    parser.add_argument("--seed", type=int, default=0, help="of the training that is measured")
    parser.add_argument("--all", action="store_true", help="also every error in millimetres")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = collect(options.split, options.capture, options.library, options.seed)
    for name, kind, above, below, asked in FIGURES:
        for level, limit in zip(NOISE_LEVELS, asked, strict=True):
            values = found[kind, level]
            if above not in values or below not in values:
                continue  # another seed is trained with the default dynamics alone
            row = {"figure": name, "noise": level, "asked": limit}
            print(json.dumps(row | ratio(values[above], values[below])), flush=True)
    speed = draw(unseen(0, RUNS / "unseen"), NOISE_LEVELS["medium"])
    print(json.dumps(cost(tier_name(options.split[0], options.seed, True), speed)), flush=True)
    if options.all:
        for (kind, level), values in found.items():
            means = {name: round(float(np.nanmean(each)), 1) for name, each in values.items()}
            print(json.dumps({"set": kind, "noise": level, "mm": means}), flush=True)


if __name__ == "__main__":
    main()
