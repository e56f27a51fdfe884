"""Scripted raters over HTTP, as light as can be, so that the server is what is measured."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

DIMENSIONS = ("text", "image", "video", "overall")
CELLS = [(side, dimension) for side in ("left", "right") for dimension in DIMENSIONS]


@dataclass
class Record:
    """What happened, as the raters saw it.

    Attributes:
        seconds: time from sending an answer to reading that it is saved, for each.
        acknowledged: key of each answer that the server said is saved -> its score.
        sent: keys of all answers that were ever sent.
        errors: answers with a status that was not to be.
        retries: requests sent again.
        refusals: code of a refusal -> how often.
    """

    seconds: list[float] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    retries: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


class Browser:
    """One connection that is kept alive, with a rater's token."""

    def __init__(self, port: int, record: Record, *, patient: bool = False) -> None:
        self.port, self.record, self.patient = port, record, patient
        self.token = ""
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request; with `patient`, again and again until the server answers below 500."""
        while True:
            try:
                status, content = await asyncio.wait_for(self._once(method, path, body), 60)
            except (OSError, EOFError, TimeoutError, ValueError):
                await self.close()
                if not self.patient:
                    raise
            else:
                if status < 500 or not self.patient:
                    return status, content
                code = json.loads(content)["code"]
                self.record.refusals[code] = self.record.refusals.get(code, 0) + 1
            self.record.retries += 1
            await asyncio.sleep(0.3)

    async def want(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One request that must succeed."""
        status, content = await self.ask(method, path, body)
        if status != 200:
            raise RuntimeError(f"{method} {path} gave {status}: {content[:200]!r}")
        return dict(json.loads(content))

    async def _once(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        content = b"" if body is None else json.dumps(body).encode()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: study\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)

    async def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self.streams is not None:
            self.streams[1].close()
            with contextlib.suppress(OSError):
                await self.streams[1].wait_closed()
            self.streams = None


Pace = Callable[[], Awaitable[None]]


class Rater:
    """Goes through the study page by page, answering at a given pace."""

    def __init__(self, browser: Browser, pace: Pace, rng: np.random.Generator) -> None:
        self.browser, self.pace, self.rng = browser, pace, rng
        self.pages = 0
        self.done = False

    async def enter(self) -> None:
        """From the open link to the first page."""
        entry = {"source": "open", "names": {}, "language": "en", "agreed": True}
        self.browser.token = str((await self.browser.want("POST", "/enter", entry))["token"])
        answers = {"expertise": "viewer", "generation": "user"}
        await self.browser.want("POST", "/questions", {"answers": answers})
        await self.browser.want("POST", "/playback", {"outcome": "ok"})
        self.pages = int(str((await self.browser.want("GET", "/session"))["pages"]))

    async def watch(self, position: int) -> None:
        """Fetch a page and its videos and wait until it may be scored."""
        page = await self.browser.want("GET", f"/pages/{position}?language=en")
        while True:
            for side in ("left", "right"):
                await self.browser.ask("GET", f"/{page[side]}")
            shown = await self.browser.want("POST", f"/pages/{position}/shown", {})
            await asyncio.sleep(float(str(shown["wait"])) + 0.005)
            status, content = await self.browser.ask("POST", f"/pages/{position}/seen", {})
            if status == 200:
                return
            # As the page does: a server that began anew does not know that the videos came.
            code = json.loads(content)["code"]
            if code not in ("not_seen", "too_soon"):
                raise RuntimeError(f"page {position} is not seen: {status} {code}")

    async def score(self, position: int) -> None:
        """Give every score of a page, each once, one at each beat."""
        for side, dimension in CELLS:
            await self.pace()
            answer = {
                "position": position,
                "side": side,
                "dimension": dimension,
                "score": int(self.rng.integers(1, 6)),
                "seconds": 2.0,
                "key": uuid.UUID(bytes=self.rng.bytes(16)).hex,
            }
            await self.send(answer)

    async def send(self, answer: dict[str, object]) -> None:
        """Send one answer and keep what the server said."""
        record, key = self.browser.record, str(answer["key"])
        record.sent.add(key)
        began = time.perf_counter()
        status, content = await self.browser.ask("POST", "/answers", answer)
        record.seconds.append(time.perf_counter() - began)
        if status == 200 and json.loads(content)["saved"] is True:
            record.acknowledged[key] = int(str(answer["score"]))
        else:
            record.errors.append(f"{status} {content[:120]!r}")

    async def go_on(self, pages: int) -> None:
        """The first pages, from the first on."""
        for position in range(pages):
            await self.watch(position)
            await self.score(position)

    async def go_through(self, share: float = 1.0) -> None:
        """All pages, or the first part of them."""
        await self.enter()
        await self.go_on(round(self.pages * share))
        if share == 1.0:
            await self.browser.want("POST", "/finish", {})


def percentile(seconds: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    return round(1000 * float(np.percentile(seconds, share)), 1) if seconds else float("nan")
