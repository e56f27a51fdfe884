"""Train S_dd, S_pp and S_re-proj on the splits, resuming what was interrupted.

Each split's weights go to runs/motion/SPLIT (SPLIT-seedN for another seed, SPLIT-unprompted for the
ablation), in the form of a tier.

    python -m benchmarks.motion.train --capture FOLDER --split 0 1 2 3 4
    python -m benchmarks.motion.train --capture FOLDER --split 0 --seed 1 --default
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.motion.folds import split
from finephys.pose3d.physics.dynamics import DYNAMICS
from finephys.training.lifting import LIFTING_LOOP, train_lifting
from finephys.training.physics import (
    PHYSNET_LOOP,
    PROJECTION_LOOP,
    train_physnet,
    train_projection,
)
from finephys.training.stages import DEFAULT_LIBRARY

RUNS = Path("runs/motion")


def tier_name(name: str, seed: int, prompted: bool) -> str:
    """Folder of a split's weights under RUNS."""
    return name + (f"-seed{seed}" if seed else "") + ("" if prompted else "-unprompted")


def main() -> None:
    """Train the splits one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("--library", type=Path, default=DEFAULT_LIBRARY)
    parser.add_argument("--split", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--default", action="store_true", help="train no dynamics but euler-lagrange"
    )
    parser.add_argument("--unprompted", action="store_true", help="the ablation, S_dd alone")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    for name in options.split:
        data = split(name, options.capture, options.library).data
        out = RUNS / tier_name(name, options.seed, not options.unprompted)
        states = out / "states"

        def loop(settings):  # noqa: ANN001, ANN202
            return replace(settings, seed=options.seed)

        lifting, physnet = out / "lifting.safetensors", out / "physnet.safetensors"
        train_lifting(
            states / "lifting",
            lifting,
            data,
            loop(LIFTING_LOOP),
            prompted=not options.unprompted,
        )
        if options.unprompted:
            continue
        dynamics = ("euler-lagrange",) if options.default else tuple(DYNAMICS)
        train_physnet(states / "physnet", physnet, data, loop(PHYSNET_LOOP), lifting, dynamics)
        projection = out / "projection.safetensors"
        train_projection(
            states / "projection", projection, data, loop(PROJECTION_LOOP), lifting, physnet
        )


if __name__ == "__main__":
    main()
