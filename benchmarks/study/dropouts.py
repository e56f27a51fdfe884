"""Twenty-eight raters of whom three in ten leave, through the real server."""

import asyncio
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import uvicorn
from starlette.applications import Starlette

from benchmarks.study.made import free_port, open_study, row
from benchmarks.study.raters import Browser, Rater, Record
from study.clock import Clock
from study.open_study import OpenStudy
from study.routes import routes
from study.sessions import ACTIVE_SECONDS
from study.store import rows

RATERS = 28
LEAVE = 0.3
WAVE = 4


def measure() -> None:
    """Waves of four raters, an hour apart, until 28 have finished."""
    with tempfile.TemporaryDirectory() as place:
        folder = open_study(Path(place) / "dropouts", watch=0.05)
        hours = [0.0]
        with OpenStudy(folder.root, snapshot_seconds=0) as study:
            real = study.store.clock
            study.store.clock = Clock(wall=real.now, monotonic=lambda: real.now() + hours[0])
            port = free_port()
            server = uvicorn.Server(
                uvicorn.Config(Starlette(routes=routes(study)), port=port, log_level="warning")
            )
            thread = threading.Thread(target=server.run)
            thread.start()
            while not server.started:
                time.sleep(0.01)
            try:
                came, after_first = asyncio.run(_come(study, port, hours))
                figures = _balance(study)
            finally:
                server.should_exit = True
                thread.join()
        row(
            "raters with 30 % drop-outs",
            came=came,
            finished=sum(figures["finished"]),
            finished_of_first_28=after_first,
            least_and_most_finished_of_a_sequence=[
                min(figures["finished"]),
                max(figures["finished"]),
            ],
            most_difference_of_sides_of_a_clip=figures["sides"],
            reach="every sequence within one of the others, sides balanced",
        )


async def _come(study: OpenStudy, port: int, hours: list[float]) -> tuple[int, list[int]]:
    rng = np.random.default_rng(28)
    record = Record()
    came, after_first = 0, list[int]()

    async def pace() -> None:
        return None

    async def one(leaves: bool, number: int) -> None:
        rater = Rater(Browser(port, record), pace, np.random.default_rng([5, number]))
        await rater.go_through(float(rng.uniform(0, 0.9)) if leaves else 1.0)
        await rater.browser.close()

    while sum(_balance(study)["finished"]) < RATERS:
        wave = min(WAVE, RATERS - sum(_balance(study)["finished"]))
        await asyncio.gather(*(one(bool(rng.random() < LEAVE), came + n) for n in range(wave)))
        came += wave
        hours[0] += ACTIVE_SECONDS + 60
        if not after_first and came >= RATERS:
            after_first = _balance(study)["finished"]
    return came, after_first


def _balance(study: OpenStudy) -> dict[str, list[int]]:
    """Finished raters of each sequence; for each clip, times shown right minus times left."""
    with study.store.view() as database:
        done = Counter(
            row["sequence"]
            for row in rows(database, "select sequence from sessions where done_at is not null")
        )
        shown = rows(
            database,
            "select file, sum(case slot when 'right' then 1 else -1 end) as tilt from media"
            " join assignments on assignments.id = assignment"
            " join sessions on sessions.id = session"
            " where kind = 'rating' and not repeated and slot in ('left', 'right')"
            " and done_at is not null group by file",
        )
    return {
        "finished": [done[number] for number in range(study.places.sequences)],
        "sides": [max((abs(each["tilt"]) for each in shown), default=0)],
    }
