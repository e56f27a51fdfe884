"""All figures of the study, or those named: `python -m benchmarks.study [NAME ...]`.

They depend on the machine and on what else it does: every row tells the load it was taken under.
"""

import argparse
import os
import resource
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.study import dropouts, forged, kills, load, page, recovery, site, trouble
from benchmarks.study.made import open_study, row, study_server


def start() -> None:
    """How soon and how large the study's server alone is."""
    with TemporaryDirectory() as place:
        server = study_server(open_study(Path(place) / "start"))
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        cpu = server.cpu_seconds()
        server.stop()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    row(
        "study server alone: start, memory",
        seconds=round(server.seconds_to_start, 2),
        cpu_seconds=cpu,
        megabytes=round(int(peak) / 1024),
        reach="6 s, 250 MB",
    )


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description="Figures of the user study, a JSON row each.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--raters", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--studies", type=int, default=25)
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        "start": lambda _: start(),
        "site": lambda _: site.measure(),
        "load": lambda given: load.measure(given.raters, given.seconds),
        "kills": lambda given: kills.measure(given.kills),
        "trouble": lambda _: trouble.measure(),
        "page": lambda _: page.measure(),
        "dropouts": lambda _: dropouts.measure(),
        "forged": lambda _: forged.measure(),
        "recovery": lambda given: recovery.measure(given.studies),
    }
    parser.epilog = f"NAME is one of {', '.join(parts)}"
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in parts]
    if unknown:
        parser.error(f"{unknown[0]} is not one of {', '.join(parts)}")
    for name in given.names or parts:
        parts[name](given)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    main()
