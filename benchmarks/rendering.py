"""How many training clips a second the renderer makes: 16 frames of 64 x 64 pixels.

`python -m benchmarks.rendering [--clips N] [--processes N]` prints one JSON row. On a machine that
others use, what counts is the CPU time of a clip: `two_free_cores` is 2 over it.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from finephys.actions import ACTIONS
from finephys.data.rendered import SHARD, render_dataset
from finephys.motion.simulation import simulate

TARGET = 25.0
"""Clips a second wanted on two cores."""


def main() -> None:
    """Render a data set into a temporary folder and print the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=4 * SHARD)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    motions = [simulate(action.id, 0, 60.0) for action in ACTIONS]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        render_dataset(motions, arguments.clips, 0, Path(folder), arguments.processes)
        seconds = time.perf_counter() - begun
    usage = resource.getrusage(
        resource.RUSAGE_SELF if arguments.processes == 1 else resource.RUSAGE_CHILDREN
    )
    cpu_seconds = (usage.ru_utime + usage.ru_stime) / arguments.clips
    row = {
        "question": "rendered clips a second (16 frames, 64 x 64)",
        "clips": arguments.clips,
        "processes": arguments.processes,
        "seconds": round(seconds, 2),
        "clips_per_second": round(arguments.clips / seconds, 1),
        "cpu_seconds_per_clip": round(cpu_seconds, 4),
        "two_free_cores": round(2 / cpu_seconds, 1),
        "target": TARGET,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
