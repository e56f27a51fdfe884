"""Thousands of forged and broken posts; the database must be byte for byte what it was before.

What a rater may type about a page of their own (why a video does not play) is not among them: it is
stored as typed and escaped where it is shown (tests/integration/test_study_site.py).
"""

import asyncio
import json
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.study.made import open_study, row, study_server
from benchmarks.study.raters import Browser, Rater, Record

NOISE: tuple[object, ...] = (
    *(0, 6, -1, 2**70, 3.5, "3", True, None, [], {}, "left", "middle", "", "x" * 5000),
    *("'; drop table answers; --", "<script>alert(1)</script>", "\u0000", "../../secret/map.json"),
)
PATHS = ("/answers", "/questions", "/playback", "/enter", "/pages/9/cannot-play", "/pages/9/shown")
TABLES = ("sessions", "identities", "demographics", "assignments", "media", "answers", "receipts")


def measure(posts: int = 2000) -> None:
    """Every post is wrong in one way or more; whatever is accepted or stored is counted."""
    with tempfile.TemporaryDirectory() as place:
        folder = open_study(Path(place) / "forged", watch=0.1)
        server = study_server(folder)
        statuses, changed = asyncio.run(_go(server.port, folder.database, posts))
        said = server.stop()
        row(
            "forged and fuzzed posts",
            posts=sum(statuses.values()),
            statuses=dict(sorted(statuses.items())),
            accepted=sum(count for status, count in statuses.items() if status < 400),
            server_errors=sum(count for status, count in statuses.items() if status >= 500),
            rows_changed=changed,
            tracebacks=said.count("Traceback"),
            reach="all refused or escaped, nothing stored",
        )


async def _go(port: int, database: Path, posts: int) -> tuple[Counter[int], bool]:
    rng = np.random.default_rng(6)
    record = Record()

    async def pace() -> None:
        return None

    mine, other = (Rater(Browser(port, record), pace, rng) for _ in range(2))
    for rater in (mine, other):
        await rater.enter()
    await mine.watch(0)
    await mine.score(0)
    await mine.watch(1)
    tokens = [mine.browser.token, other.browser.token, "", "x.y", mine.browser.token[:-1]]
    good = {"position": 1, "side": "left", "dimension": "text", "score": 3, "seconds": 1.0}
    used = next(iter(record.acknowledged))
    before = _content(database)
    statuses: Counter[int] = Counter()
    for number in range(posts):
        answer: dict[str, object] = {**good, "key": f"forged-{number:016d}"}
        way = number % 6
        token = tokens[0]
        path = "/answers"
        if way == 0:  # one field of noise
            field = str(rng.choice(list(answer)))
            answer[field] = NOISE[rng.integers(len(NOISE))]
            if answer["side"] == "left" and answer["score"] in (3,) and field in ("side", "score"):
                answer["score"] = 6
            if field in ("seconds", "position", "score") and _legal(field, answer[field]):
                answer["score"] = 6
        elif way == 1:  # a field missing, or one too many
            del answer[str(rng.choice(list(answer)))]
        elif way == 2:  # somebody else, or nobody
            token = tokens[1 + rng.integers(4)]
        elif way == 3:  # another page
            answer["position"] = int(rng.integers(4, 30))
        elif way == 4:  # the key of another answer
            answer["key"] = used
        else:  # nonsense for any route
            path = str(rng.choice(PATHS))
            answer = {
                str(rng.choice(["source", "names", "outcome", "reason", "answers"])): NOISE[
                    rng.integers(len(NOISE))
                ]
            }
            if path == "/pages/9/shown":
                answer = {}
        mine.browser.token = token
        status, _ = await mine.browser.ask("POST", path, answer)
        statuses[status] += 1
    return statuses, _content(database) != before


def _legal(field: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 0 if field == "seconds" else True


def _content(database: Path) -> str:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    content = [list(connection.execute(f"select * from {table}")) for table in TABLES]  # noqa: S608
    connection.close()
    return json.dumps(content)
