"""A hundred raters at one answer a second each, beside a bare route that fsyncs one row."""

import asyncio
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.study.made import Server, open_study, row, study_server
from benchmarks.study.raters import CELLS, Browser, Rater, Record, percentile

TURNS = 4

BARE = """
import sqlite3, sys
from concurrent.futures import ThreadPoolExecutor
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route
import asyncio

connection = sqlite3.connect(sys.argv[1], isolation_level=None, check_same_thread=False)
connection.execute("pragma journal_mode = wal")
connection.execute("pragma synchronous = full")
connection.execute("create table if not exists answers (content text)")
writer = ThreadPoolExecutor(1)

async def answer(request):
    content = (await request.body()).decode()
    insert = lambda: connection.execute("insert into answers values (?)", (content,))
    await asyncio.wrap_future(writer.submit(insert))
    return JSONResponse({"saved": True})

async def health(request):
    return JSONResponse({})

routes = [Route("/answers", answer, methods=["POST"]), Route("/health", health)]
uvicorn.run(Starlette(routes=routes), port=int(sys.argv[2]), log_level="warning", access_log=False)
"""


def measure(raters: int, seconds: float) -> None:
    """Both servers under the same load, in turns, so that other work on the machine meets both."""
    with tempfile.TemporaryDirectory() as place:
        folder = open_study(Path(place) / "load", watch=0.5)
        bare = Server([sys.executable, "-c", BARE, str(Path(place) / "bare.sqlite")])
        server = study_server(folder)
        record, plain = Record(), Record()
        for turn in range(TURNS):
            asyncio.run(_bare(bare.port, plain, raters, seconds / TURNS / 2, turn))
            asyncio.run(_study(server.port, record, raters, seconds / TURNS, turn))
        cpu = server.cpu_seconds()
        bare.stop()
        said = server.stop()
        lost, doubled, integrity = audit(folder.database, record)
        row(
            "raters answering once a second each",
            raters=raters,
            seconds=seconds,
            answers=len(record.seconds),
            p50_ms=percentile(record.seconds, 50),
            p99_ms=percentile(record.seconds, 99),
            bare_p50_ms=percentile(plain.seconds, 50),
            bare_p99_ms=percentile(plain.seconds, 99),
            p99_ratio=round(percentile(record.seconds, 99) / percentile(plain.seconds, 99), 2),
            server_cpu_ms_per_answer=round(1000 * cpu / len(record.seconds), 2),
            errors=len(record.errors),
            first_error=record.errors[:1],
            rows_lost=lost,
            rows_doubled=doubled,
            integrity=integrity,
            tracebacks=said.count("Traceback"),
            reach="p50 10, p99 150 and ratio 3, errors 0, rows lost 0",
        )


def audit(database: Path, record: Record) -> tuple[int, int, str]:
    """Acknowledged answers that are missing or wrong; cells with more than one; integrity."""
    connection = sqlite3.connect(database)
    stored = dict(connection.execute("select client_key, score from answers"))
    lost = sum(stored.get(key) != score for key, score in record.acknowledged.items())
    stray = len(stored.keys() - record.sent)
    # Every rater gives every cell once: a second revision is an answer counted twice.
    (doubled,) = connection.execute("select count(*) from answers where revision > 1").fetchone()
    (integrity,) = connection.execute("pragma integrity_check").fetchone()
    connection.close()
    return lost, doubled + stray, str(integrity)


async def _study(port: int, record: Record, raters: int, seconds: float, turn: int) -> None:
    everybody_in = asyncio.Barrier(raters)

    async def one(number: int) -> None:
        rng = np.random.default_rng([1, turn, number])
        rater = Rater(Browser(port, record), _Beat(0), rng)
        await rater.enter()
        await everybody_in.wait()
        # People do not turn their pages together: they are spread over the seconds of a page.
        end = time.monotonic() + seconds
        beat = _Beat(len(CELLS) * number / raters)
        await rater.browser.close()
        await asyncio.sleep(len(CELLS) * number / raters)
        while time.monotonic() < end:
            if rater.done:
                rater = Rater(Browser(port, record), beat, rng)
                await rater.enter()
            rater.pace = beat
            for position in range(rater.pages):
                await rater.watch(position)
                await rater.score(position)
                if time.monotonic() > end:
                    break
            rater.done = True
            await rater.browser.close()

    await asyncio.gather(*(one(number) for number in range(raters)))


async def _bare(port: int, record: Record, raters: int, seconds: float, turn: int) -> None:
    end = time.monotonic() + seconds

    async def one(number: int) -> None:
        beat = _Beat(number / raters)
        rater = Rater(Browser(port, record), beat, np.random.default_rng([2, turn, number]))
        position = 0
        while time.monotonic() < end:
            await rater.score(position)
            position += 1
        await rater.browser.close()

    await asyncio.gather(*(one(number) for number in range(raters)))


class _Beat:
    """Waits for the next whole second of a rater; raters are spread over the second."""

    def __init__(self, phase: float) -> None:
        self.next = time.monotonic() + phase

    async def __call__(self) -> None:
        self.next = max(self.next + 1.0, time.monotonic())
        await asyncio.sleep(max(self.next - time.monotonic(), 0))
