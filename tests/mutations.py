"""Do the tests notice bugs? Plant each of 20 in a scratch copy and run the tests meant to catch it.

    python -m tests.mutations [--only NAME ...] [--workers 2]

A bug is a replacement of one text by another. The text must occur exactly once in the code, in any
file, so that moved code needs no change here and rewritten code stops the command. The tests must
pass without the bug. A bug counts as caught when a test fails; tests that hang or cannot be
collected do not count. Exit status 1 when fewer than 19 are caught.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parent.parent
CODE = ("finephys", "study")
LEAST_CAUGHT = 19
TIMEOUT_SECONDS = 900.0
TESTS_FAILED = 1
"""Exit status of pytest when tests ran and some failed."""


@dataclass(frozen=True)
class Mutation:
    """One bug.

    Attributes:
        name: what is wrong with the code once it is planted.
        right: text of the code; occurs once.
        wrong: what replaces it.
        tests: files under tests/ of which one must fail.
    """

    name: str
    right: str
    wrong: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "sign of C",
        "mass_rate - gradient",
        "gradient - mass_rate",
        ("unit/test_dynamics.py",),
    ),
    Mutation(
        "g of another planet",
        "GRAVITY = 9.81",
        "GRAVITY = 8.87",
        ("unit/test_dynamics.py", "unit/test_simulation.py"),
    ),
    Mutation(
        "swapped limbs",
        '"left_knee": (25,),',
        '"left_knee": (26,),',
        ("property/test_skeleton.py",),
    ),
    Mutation(
        "mirrored joints keep their names",
        "points[..., MIRROR, :].copy()",
        "points.copy()",
        ("property/test_skeleton.py", "unit/test_simulation.py"),
    ),
    Mutation(
        "wrong axis of a heatmap",
        "share = ((x * along_x + y * along_y)",
        "x, y = y, x\n    share = ((x * along_x + y * along_y)",
        ("unit/test_heatmaps.py",),
    ),
    Mutation(
        "off-by-one frame",
        "targets = np.linspace(times[0], times[-1], count)",
        "targets = np.linspace(times[1], times[-1], count)",
        ("unit/test_video.py", "property/test_span_frames.py"),
    ),
    Mutation(
        "homography not inverted",
        "np.linalg.inv(self.to_first).astype",
        "self.to_first.astype",
        ("integration/test_pipeline.py",),
    ),
    Mutation(
        "mean instead of sum",
        "torch.linalg.cross(arm, matrix @ relative).sum(-2)",
        "torch.linalg.cross(arm, matrix @ relative).mean(-2)",
        ("unit/test_dynamics.py",),
    ),
    Mutation(
        "score threshold crossed",
        "torch.where(score > MISSING_SCORE, score,",
        "torch.where(score < MISSING_SCORE, score,",
        ("unit/test_pose_stages.py",),
    ),
    Mutation(
        "seed ignored",
        "seed=request.seed,",
        "seed=0,",
        ("integration/test_pipeline.py",),
    ),
    Mutation(
        "wrong class",
        "action=request.action,\n        )\n        previews",
        "action=None,\n        )\n        previews",
        ("integration/test_pipeline.py",),
    ),
    Mutation(
        "Stop ignored while denoising",
        'if stop():\n            raise StoppedError(f"Stopped after',
        'if stop() and step > 4:\n            raise StoppedError(f"Stopped after',
        ("contracts/test_generators.py",),
    ),
    Mutation(
        "lock of the pipeline not released",
        "with self._lock:\n            run = Progress(stop)",
        "if self._lock.acquire():\n            run = Progress(stop)",
        ("integration/test_pipeline.py",),
    ),
    Mutation(
        "fsync left out",
        "_sync(partial)\n        partial.replace(target)",
        "partial.replace(target)",
        ("unit/test_files.py",),
    ),
    Mutation(
        "token not checked",
        "self._sessions.get(_sha256(token), 0.0) > self._clock()",
        "self._sessions.get(_sha256(token), 1e12) > self._clock()",
        ("security/test_study_gate.py",),
    ),
    Mutation(
        "answer stored twice",
        "return _repeated(known, session, answer)",
        "pass",
        ("unit/test_study_store.py",),
    ),
    Mutation(
        "withdrawal skips the copies",
        "copies += _forget(path, session)",
        "copies += 1",
        ("integration/test_study_backup.py",),
    ),
    Mutation(
        "range header off by one",
        "file.read(end - begin)",
        "file.read(end - begin - 1)",
        ("integration/test_study_routes.py",),
    ),
    Mutation(
        "output over input allowed",
        "if key in taken:",
        "if key in ():",
        ("unit/test_preflight.py",),
    ),
    Mutation(
        "offload hook dropped",
        "other.unload()",
        "pass",
        ("contracts/test_generators.py",),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What the tests of one bug said.

    Attributes:
        caught: the first test that failed, or "" when none did.
        trouble: why the run counts for nothing, or "".
        seconds: how long the tests ran.
    """

    caught: str
    trouble: str
    seconds: float


class BadMutationError(Exception):
    """A mutation that does not fit the code."""


def find_file(code: dict[Path, str], mutation: Mutation) -> Path:
    """The one file that a mutation changes.

    Raises:
        BadMutationError: the text does not occur, occurs more than once, or a test file is gone.
    """
    counts = {path: text.count(mutation.right) for path, text in code.items()}
    total = sum(counts.values())
    if total != 1:
        places = ", ".join(str(path) for path, count in counts.items() if count) or "no file"
        raise BadMutationError(
            f"{mutation.name}: {mutation.right!r} occurs {total} times ({places}); "
            "it must occur once. Mend the mutation in tests/mutations.py."
        )
    missing = [name for name in mutation.tests if not (ROOT / "tests" / name).is_file()]
    if missing:
        raise BadMutationError(f"{mutation.name}: tests/{missing[0]} does not exist.")
    return next(path for path, count in counts.items() if count)


def read_code(root: Path) -> dict[Path, str]:
    """Text of every Python and JavaScript file of the product, by path relative to `root`."""
    return {
        path.relative_to(root): path.read_text("utf-8")
        for folder in CODE
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in (".py", ".js")
    }


def copy_tree(target: Path) -> None:
    """Copy what git knows or would add into `target`, with the shared folder beside it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file() and not source.is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    shared = ROOT.parent / "shared"
    if shared.is_dir() and not (target.parent / "shared").exists():
        (target.parent / "shared").symlink_to(shared)


def run_tests(root: Path, tests: Sequence[str]) -> Outcome:
    """Run test files of a copy up to the first failure."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *(f"tests/{name}" for name in tests)],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome("", f"hung for {TIMEOUT_SECONDS:.0f} s", time.monotonic() - began)
    seconds = time.monotonic() - began
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    if done.returncode == 0:
        return Outcome("", "", seconds)
    if done.returncode != TESTS_FAILED or failed is None:
        return Outcome("", f"pytest ended with {done.returncode}: {done.stdout[-400:]}", seconds)
    return Outcome(failed.group(1), "", seconds)


def plant(root: Path, place: Path, mutation: Mutation) -> Outcome:
    """Plant one bug in a copy, run its tests and restore the file."""
    file = root / place
    whole = file.read_text("utf-8")
    file.write_text(whole.replace(mutation.right, mutation.wrong), "utf-8")
    try:
        return run_tests(root, mutation.tests)
    finally:
        file.write_text(whole, "utf-8")


def main() -> int:
    """Plant the bugs one by one and print which are caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], help="names of bugs; default: all")
    parser.add_argument("--workers", type=int, default=2, help="copies tested at once")
    options = parser.parse_args()
    unknown = set(options.only) - {each.name for each in MUTATIONS}
    if unknown:
        parser.error(f"no bug is called {sorted(unknown)[0]!r}.")
    chosen = [each for each in MUTATIONS if not options.only or each.name in options.only]
    code = read_code(ROOT)
    places = {each.name: find_file(code, each) for each in chosen}
    with tempfile.TemporaryDirectory(prefix="mutations-") as scratch:
        copies: Queue[Path] = Queue()
        for number in range(options.workers):
            copy = Path(scratch) / f"copy{number}"
            copy_tree(copy)
            copies.put(copy)

        def on_a_copy(act: Callable[[Path], Outcome]) -> Outcome:
            copy = copies.get()
            try:
                return act(copy)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(options.workers) as pool:
            files = sorted({name for each in chosen for name in each.tests})
            clean = pool.map(lambda name: on_a_copy(lambda copy: run_tests(copy, [name])), files)
            for name, outcome in zip(files, clean, strict=True):
                if outcome.caught or outcome.trouble:
                    what = outcome.caught or outcome.trouble
                    print(f"tests/{name} fails without any bug: {what}")
                    return 2
            print(f"{len(files)} test files pass without a bug; now with one of {len(chosen)} each")
            outcomes = pool.map(
                lambda each: on_a_copy(lambda copy: plant(copy, places[each.name], each)), chosen
            )
            caught = 0
            for each, outcome in zip(chosen, outcomes, strict=True):
                caught += bool(outcome.caught)
                said = outcome.caught or f"NOT CAUGHT {outcome.trouble}"
                print(f"{each.name:32} {outcome.seconds:5.0f} s  {said}", flush=True)
    print(f"{caught} of {len(chosen)} bugs caught")
    return 0 if caught >= min(LEAST_CAUGHT, len(chosen)) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadMutationError as error:
        sys.exit(str(error))
