"""A full disk, a disk that cannot be written, a clock set back, two servers on one file."""

import asyncio
import functools
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.study.load import audit
from benchmarks.study.made import Server, free_port, open_study, row, study_server
from benchmarks.study.raters import Browser, Rater, Record
from study import audit as log
from study.clock import Clock
from study.store import Store

SERVE_AS_NOBODY = """
import os, sys, uvicorn, starlette.applications, study.routes
from study.serving import serve
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
serve(sys.argv[1], port=int(sys.argv[2]))
"""


def measure() -> None:
    """All four, each on a study of its own."""
    with tempfile.TemporaryDirectory() as place:
        full_disk(Path(place) / "full")
        two_servers(Path(place) / "twice")
        read_only(Path(place) / "fixed")
        clock_set_back(Path(place) / "clock.sqlite")


def full_disk(root: Path) -> None:
    """The server may write no further byte for a while (RLIMIT_FSIZE), then it may again."""
    folder = open_study(root, watch=0.1)
    server = study_server(folder)
    record = Record()

    async def go() -> tuple[int, int]:
        async def pace() -> None:
            await asyncio.sleep(0.02)

        raters = [
            Rater(Browser(server.port, record, patient=True), pace, np.random.default_rng([4, n]))
            for n in range(5)
        ]
        for rater in raters:
            await rater.enter()
        everybody = [asyncio.create_task(rater.go_on(4)) for rater in raters]
        await asyncio.sleep(2)
        log_size = folder.database.with_name(folder.database.name + "-wal").stat().st_size
        limit = (log_size, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
        refused = time.monotonic() + 20
        while not record.refusals and time.monotonic() < refused:
            await asyncio.sleep(0.1)
        before = len(record.acknowledged)
        await asyncio.sleep(2)
        during = len(record.acknowledged) - before
        free = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, free)
        await asyncio.gather(*everybody)
        return during, before

    during, before = asyncio.run(go())
    said = server.stop()
    lost, doubled, integrity = audit(folder.database, record)
    sentence = next((line for line in said.splitlines() if "full or failing" in line), "")
    row(
        "disk full for a while under load",
        refusals=record.refusals,
        acknowledged_before=before,
        acknowledged_during=during,
        acknowledged=len(record.acknowledged),
        acknowledged_lost=lost,
        doubled=doubled,
        errors=len(record.errors),
        integrity=integrity,
        said=sentence[:200],
        reach="clear error, nothing corrupt",
    )


def two_servers(root: Path) -> None:
    """A second server on the same study."""
    folder = open_study(root)
    first = study_server(folder)
    second = study_server(folder, free_port())
    status = second.process.returncode
    first.stop()
    row(
        "two servers on one file",
        second_ended_with=status,
        said=second.said.strip().splitlines()[-1:],
        reach="clear error, nothing corrupt",
    )


def read_only(root: Path) -> None:
    """The study belongs to somebody else; a server of a user who may read only."""
    folder = open_study(root)
    root.parent.chmod(0o755)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = folder.database.read_bytes()
    server = Server([sys.executable, "-c", SERVE_AS_NOBODY, str(root)])
    if server.process.poll() is None:
        server.stop()
    row(
        "read-only disk",
        ended_with=server.process.returncode,
        said=server.said.strip().splitlines()[-1:],
        unchanged=folder.database.read_bytes() == before,
        reach="clear error, nothing corrupt",
    )


def clock_set_back(database: Path) -> None:
    """The wall clock goes back an hour while the server runs, and a year between two runs."""
    wall = time.time()
    times: list[float] = []
    for start in (wall, wall - 365 * 86_400):
        hands = [start]
        with Store(database) as store:
            store.clock = Clock(store.clock.now(), functools.partial(hands.__getitem__, 0))
            for back in (0, 3600, -60):
                hands[0] = start - back
                with store.transaction() as opened:
                    log.record(opened, store.clock.now(), "benchmark", "note")
            times = [act["at"] for act in log.acts(store)]
    row(
        "clock going backwards",
        writes=len(times),
        in_order=times == sorted(times),
        reach="clear error, nothing corrupt",
    )
