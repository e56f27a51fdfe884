"""Compare the time of the whole test suite at two commits, on one quiet machine.

    python -m tests.timing OLD [NEW]

Each commit is checked out into a scratch folder and runs what its own Makefile runs for all tests
(`test-all`, or `test` where there is no such target), with the same virtual environment. Printed
are wall time, CPU seconds of all processes, their ratios, the checks of OLD that NEW lacks (renamed
or lost: look at each), and the seconds of checks that only NEW has.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Timing:
    """One run of the suite.

    Attributes:
        wall: seconds.
        cpu: seconds of the tests and every process they started and waited for.
        seconds: check ("tests.unit.test_video::test_ntsc_rate") -> its own seconds.
        passed: whether all passed.
    """

    wall: float
    cpu: float
    seconds: dict[str, float]
    passed: bool


def measure(commit: str, folder: Path) -> Timing:
    """Check a commit out into `folder` and run its whole suite."""
    subprocess.run(["git", "worktree", "add", "--detach", folder, commit], cwd=ROOT, check=True)
    try:
        (folder / ".venv").symlink_to(Path(sys.prefix))
        report = folder / "report.xml"
        environment = os.environ | {"PYTEST_ADDOPTS": f"--junitxml={report} -p no:cacheprovider"}
        targets = (folder / "Makefile").read_text()
        target = "test-all" if "\ntest-all:" in targets else "test"
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        # -o: the environment is there, its installation is no part of the time.
        command = ["make", "-o", "setup-dev", "-o", "setup", target]
        done = subprocess.run(command, cwd=folder, env=environment, check=False)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cases = ElementTree.parse(report).iter("testcase")
        seconds = {
            f"{case.get('classname')}::{case.get('name')}": float(case.get("time", 0))
            for case in cases
        }
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timing(wall, cpu, seconds, done.returncode == 0)


def main() -> int:
    """Measure both commits and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new", nargs="?", default="HEAD")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timing-") as scratch:
        if (ROOT.parent / "shared").is_dir():
            (Path(scratch) / "shared").symlink_to(ROOT.parent / "shared")
        old = measure(options.old, Path(scratch) / "old")
        new = measure(options.new, Path(scratch) / "new")
    for name, timing in (("old", old), ("new", new)):
        verdict = "all passed" if timing.passed else "NOT ALL PASSED"
        spent = f"{timing.wall:.0f} s wall, {timing.cpu:.0f} s CPU"
        print(f"{name}: {spent}, {len(timing.seconds)} checks, {verdict}")
    print(
        f"new / old: {new.wall / old.wall:.2f} of the wall time, {new.cpu / old.cpu:.2f} of the CPU"
    )
    for check in sorted(old.seconds.keys() - new.seconds.keys()):
        print(f"only in old: {check}")
    added = new.seconds.keys() - old.seconds.keys()
    spent = sum(new.seconds[check] for check in added)
    print(f"{len(added)} checks are only in new and took {spent:.0f} s, contained above")
    return 0 if old.passed and new.passed else 1


if __name__ == "__main__":
    sys.exit(main())
