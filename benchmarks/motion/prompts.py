"""Does the prompt pair improve S_dd? One JSON row a set, noise level and kind of prompt.

The lifter of one split is given the pair that it retrieves among all classes, among its own class,
among another class, and a random pair; it is compared with a lifter that was trained as long
without pairs (`benchmarks.motion.train --unprompted`).

    python -m benchmarks.motion.prompts --capture FOLDER --split 0
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.motion import measures
from benchmarks.motion.__main__ import by_clip, ratio
from benchmarks.motion.folds import split
from benchmarks.motion.train import RUNS, tier_name
from benchmarks.motion.windows import draw, unseen
from finephys.data.detections import NOISE_LEVELS
from finephys.data.pose_windows import PoseBatch
from finephys.pose3d.lifting import Lifter
from finephys.pose3d.lifting.inputs import LiftingInputs, normalise
from finephys.pose3d.lifting.lifter import metres_per_unit
from finephys.pose3d.lifting.network import LiftingNetwork
from finephys.pose3d.lifting.prompts import Pair
from finephys.pose3d.windows import BodyWindows
from finephys.training.stages import DEFAULT_LIBRARY
from finephys.weights.checkpoints import ROOT_VARIABLE

Prompt = Callable[[LiftingNetwork, LiftingInputs, Tensor], Pair | None]


def any_pair(network: LiftingNetwork, inputs: LiftingInputs, action: Tensor) -> Pair:
    """A random pair, with its true distance from the query."""
    draws = torch.Generator().manual_seed(0)
    row = torch.randint(network.bank.views, (len(action),), generator=draws)
    return network.bank.pair(inputs, row)


PROMPTS: dict[str, Prompt] = {
    "all classes": lambda network, inputs, action: network.bank.find(inputs, 0 * action),
    "own class": lambda network, inputs, action: network.bank.find(inputs, action),
    "another class": lambda network, inputs, action: network.bank.find(
        inputs, (action - 6 + 17) % 35 + 6
    ),
    "any pair": any_pair,
}


def lifted(network: LiftingNetwork, batch: PoseBatch, prompt: Prompt | None) -> BodyWindows:
    """S_dd of a batch with a kind of prompt, for bodies of their true height."""
    arrays = (torch.from_numpy(array) for array in (batch.xy, batch.score, batch.dt))
    action = torch.from_numpy(batch.action)
    with torch.inference_mode():
        inputs = normalise(*arrays)
        output = network(inputs, None if prompt is None else prompt(network, inputs, action))
        body = output * metres_per_unit(output, torch.from_numpy(batch.height))
    return BodyWindows((body - body[:, :, :1]).numpy(), np.zeros_like(batch.root))


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("--library", type=Path, default=DEFAULT_LIBRARY)
    parser.add_argument("--split", default="0")
    options = parser.parse_args()
    os.environ[ROOT_VARIABLE] = str(RUNS)
    prompted = Lifter.load(tier_name(options.split, 0, True)).network
    without = Lifter.load(tier_name(options.split, 0, False)).network
    sets = {
        "real": split(options.split, options.capture, options.library).held_out,
        "simulated": unseen(int(options.split), RUNS / "unseen"),
    }
    for kind, motions in sets.items():
        for level, amount in NOISE_LEVELS.items():
            batch = draw(motions, amount)
            errors = {
                name: measures.position_error(lifted(prompted, batch, prompt), batch)
                for name, prompt in PROMPTS.items()
                if kind == "simulated" or not name.endswith("own class")
            }
            base = by_clip(
                measures.position_error(lifted(without, batch, None), batch), batch.motion
            )
            for name, values in errors.items():
                row = {"set": kind, "noise": level, "prompt": name, "against": "trained without"}
                print(json.dumps(row | ratio(by_clip(values, batch.motion), base)), flush=True)


if __name__ == "__main__":
    main()
