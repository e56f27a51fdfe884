"""How well does the tiny tier's autoencoder reproduce held-out frames? One JSON row.

    python -m benchmarks.autoencoder

reads the clips that `python -m benchmarks.generator` holds out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from finephys.config import TINY_GENERATOR
from finephys.data.clips import RenderedClips
from finephys.generator.autoencoder import Autoencoder, make_autoencoder
from finephys.types import Bytes
from finephys.weights.checkpoints import checkpoint_path, load_module


def decibels(network: Autoencoder, clips: Bytes) -> float:
    """Mean PSNR of frames (N, F, S, S, 3) after encoding and decoding, clip by clip."""
    found = []
    for clip in clips:
        frames = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            error = network.decode(network.encode(frames)).clamp(-1, 1) - frames
        found.append(10 * np.log10(4 / error.square().mean((1, 2, 3)).numpy()))
    return float(np.mean(found))


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--held", type=Path, default=Path("runs/benchmarks/held"))
    parser.add_argument("--clips", type=int, default=100)
    options = parser.parse_args()
    network = make_autoencoder(TINY_GENERATOR)
    load_module(network, checkpoint_path("tiny", "autoencoder"))
    held = next(iter(RenderedClips(options.held, keep=1))).first(options.clips)
    row = {
        "benchmark": "autoencoder",
        "clips": len(held.frames),
        "with_figure_db": decibels(network, held.frames),
        "without_figure_db": decibels(network, held.behind),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
