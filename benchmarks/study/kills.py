"""The server killed at random moments under load; raters send everything until it is saved."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.study.load import audit
from benchmarks.study.made import Server, free_port, open_study, row, study_server
from benchmarks.study.raters import Browser, Rater, Record


def measure(kills: int, raters: int = 20) -> None:
    """Kill -9 at random moments; in the end count what was acknowledged."""
    with tempfile.TemporaryDirectory() as place:
        folder = open_study(Path(place) / "kills", watch=0.1)
        port = free_port()
        began = time.monotonic()
        record = asyncio.run(_go(lambda: study_server(folder, port).need(), port, kills, raters))
        lost, doubled, integrity = audit(folder.database, record)
        row(
            "kill -9 of the server under load, raters retry",
            kills=kills,
            raters=raters,
            seconds=round(time.monotonic() - began),
            acknowledged=len(record.acknowledged),
            retries=record.retries,
            errors=len(record.errors),
            first_error=record.errors[:1],
            acknowledged_lost=lost,
            doubled=doubled,
            integrity=integrity,
            reach="200 kills: lost 0, doubled 0, integrity ok",
        )


async def _go(start: Callable[[], Server], port: int, kills: int, raters: int) -> Record:
    record = Record()
    stop = asyncio.Event()
    rng = np.random.default_rng(9)

    async def one(number: int) -> None:
        pace_rng = np.random.default_rng([3, number])

        async def pace() -> None:
            await asyncio.sleep(float(pace_rng.uniform(0, 0.05)))

        while not stop.is_set():
            browser = Browser(port, record, patient=True)
            rater = Rater(browser, pace, pace_rng)
            await rater.enter()
            for position in range(rater.pages):
                await rater.watch(position)
                await rater.score(position)
                if stop.is_set():
                    break
            await browser.close()

    server = await asyncio.to_thread(start)
    everybody = [asyncio.create_task(one(number)) for number in range(raters)]
    for _ in range(kills):
        await asyncio.sleep(float(rng.uniform(0.02, 0.6)))
        await asyncio.to_thread(server.kill)
        server = await asyncio.to_thread(start)
    stop.set()
    await asyncio.gather(*everybody)
    await asyncio.to_thread(server.stop)
    return record
