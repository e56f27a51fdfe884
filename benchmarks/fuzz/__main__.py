"""Malformed uploads and requests against the running app: `python -m benchmarks.fuzz --seed 0`.

After each one the app must still answer, with no traceback and no path of the server in the answer;
no exception may come out of our own code (Gradio refuses odd values by 500 and a JSON sentence),
and at the end no file may be left behind. Otherwise the exit status is 1 and the cases are listed.
The same seed sends the same requests.
"""

import argparse
import json
import re
import socket
import string
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.app_server import ROOT, AppServer
from benchmarks.fuzz.cases import (
    ADDRESSES,
    BODIES,
    COOKIES,
    HOSTS,
    METHODS,
    NAMES,
    ODD_VALUES,
    RANGES,
    RAW,
    TAILS,
    TOKENS,
)
from benchmarks.study.made import open_study

EXAMPLE = ROOT / "assets" / "examples" / "double_turn.mp4"

SECONDS = 60.0
"""How long an answer may take."""

FULL_JOBS = 0.2
"""Share of the uploads that also go through Generate."""


@dataclass
class Outcome:
    """What came back, by kind and status, and what must not have."""

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Fuzz:
    """Sends requests and judges what comes back."""

    def __init__(self, server: AppServer, rng: np.random.Generator) -> None:
        self._server = server
        self._rng = rng
        self.outcome = Outcome()
        private = {str(ROOT), str(server.temporary), sys.prefix, sys.base_prefix, gettempdir()}
        words = "|".join(re.escape(path) for path in sorted(private, key=len, reverse=True))
        # A path that was sent may be repeated in the answer; those of this machine are never sent.
        self._leak = re.compile(rf"Traceback \(most recent|File \"/|site-packages|({words})/")
        self.kinds: dict[str, Callable[[str], None]] = {
            "upload": self._upload,
            "multipart": self._broken_multipart,
            "event": self._event,
            "json": self._broken_json,
            "address": self._address,
            "study": self._study,
            "raw": self._raw,
        }
        self._config = json.loads(self.exchange("setup", "GET", "/config")[1])

    def run(self, count: int) -> None:
        """Send `count` malformed requests, a kind after the other."""
        kinds = list(self.kinds)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            self.kinds[kind](f"{kind} {number}")
            if self._server.process.poll() is not None:
                self.outcome.faults.append(f"{kind} {number}: the app ended")
                return

    # -- what is sent ------------------------------------------------------------------------

    def _upload(self, case: str) -> None:
        """Upload a damaged clip or another kind of file, then post the events that read it."""
        path = self._sent(case, self._pick(NAMES), self._content())
        if path is None:
            return
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        for event in self._events("upload"):
            self._post_event(case, "/gradio_api/run/predict", event, [file])
        if self._rng.random() < FULL_JOBS:
            [event] = self._generate()
            data = self._values(event)
            for index, number in enumerate(event["inputs"]):
                label = self._component(number)["props"].get("label")
                if label == "Start from":
                    data[index] = "Upload"
                elif self._component(number)["type"] == "video":
                    data[index] = file
                elif label == "Steps":
                    data[index] = 1
            self._queued(case, event, data)

    def _broken_multipart(self, case: str) -> None:
        whole, kind = _multipart("clip.mp4", self._content())
        choice = self._rng.integers(7)
        if choice == 0:
            kind = "multipart/form-data"
        elif choice == 1:
            whole = whole[: int(self._rng.integers(len(whole)))]
        elif choice == 2:
            whole = whole.replace(b"Content-Disposition", b"X" * 9000)
        elif choice == 3:
            whole = whole.replace(b"filename=", b"filename*=UTF-8''%ff;x=")
        elif choice == 4:
            kind = "application/json"
        elif choice == 5:
            whole = whole * 40
        else:
            whole = self._mutated(whole)
        self.exchange(case, "POST", "/gradio_api/upload", whole, {"content-type": kind})

    def _event(self, case: str) -> None:
        """An event of the page with values of the wrong type, or too few, or too many."""
        event = self._pick(self._config["dependencies"])
        data = self._values(event)
        for _ in range(int(self._rng.integers(1, 4))):
            if data:
                data[int(self._rng.integers(len(data)))] = self._pick(ODD_VALUES)
        if self._rng.random() < 0.2:
            data = data[: int(self._rng.integers(len(data) + 1))]
        elif self._rng.random() < 0.1:
            data = [*data, *ODD_VALUES]
        if event in self._generate():
            self._queued(case, event, data)
        else:
            self._post_event(case, "/gradio_api/run/predict", event, data)

    def _broken_json(self, case: str) -> None:
        address = self._pick(
            ("/gradio_api/run/predict", "/gradio_api/queue/join", "/gradio_api/cancel",
             "/gradio_api/reset", "/gradio_api/run/generate", "/gradio_api/run/x")
        )  # fmt: skip
        body = self._pick(BODIES)
        if self._rng.random() < 0.3:
            body = self._mutated(json.dumps({"data": [1, "x"], "fn_index": 3}).encode())
        self.exchange(case, "POST", address, body, {"content-type": "application/json"})

    def _address(self, case: str) -> None:
        address = self._pick(ADDRESSES) + self._pick(TAILS)
        if self._rng.random() < 0.2:
            junk = self._rng.choice(list(string.printable), 12)
            address += quote("".join(junk)) if self._rng.random() < 0.5 else "%c0%ae" * 3
        headers = {}
        if self._rng.random() < 0.3:
            headers["range"] = self._pick(RANGES)
        if self._rng.random() < 0.2:
            headers["host"] = self._pick(HOSTS)
        if self._rng.random() < 0.2:
            headers["cookie"] = self._pick(COOKIES)
        # Some of these addresses answer with a stream that never ends.
        self.exchange(case, self._pick(METHODS), address, b"", headers, seconds=3.0)

    def _study(self, case: str) -> None:
        """Answers, questions and logins that no page of the study would send."""
        acts = ("enter", "questions", "playback", "answers", "finish", "withdraw", "pages/0/shown",
                "pages/99999999999999999999/seen")  # fmt: skip
        value = {"source": self._pick(ODD_VALUES), "names": self._pick(ODD_VALUES),
                 "language": self._pick(ODD_VALUES), "agreed": self._pick(ODD_VALUES),
                 "answers": self._pick(ODD_VALUES)}  # fmt: skip
        headers = {
            "content-type": "application/json",
            "authorization": self._pick(TOKENS),
        }
        if self._rng.random() < 0.2:
            form = b"password=" + quote(str(self._pick(ODD_VALUES)), errors="replace").encode()
            headers = {"content-type": "application/x-www-form-urlencoded"}
            self.exchange(case, "POST", "/study-admin/login", form, headers)
            return
        body = json.dumps(value).encode()
        if self._rng.random() < 0.3:
            body = self._mutated(body)
        self.exchange(case, "POST", f"/study/fuzzed/{self._pick(acts)}", body, headers)

    def _raw(self, case: str) -> None:
        """Bytes that are hardly HTTP."""
        data = self._pick(RAW)
        if self._rng.random() < 0.5:
            data = self._mutated(data[:500])
        self._judge(case, *self._send(data, 2.0))

    # -- parts -------------------------------------------------------------------------------

    def _content(self) -> bytes:
        """Bytes of a file: an example that was damaged, or something else entirely."""
        clip = EXAMPLE.read_bytes()
        choice = self._rng.integers(8)
        if choice == 0:
            return clip[: int(self._rng.integers(len(clip)))]
        if choice == 1:
            return self._mutated(clip, 200)
        if choice == 2:
            return self._mutated(clip[:2000], 40) + clip[2000:]  # the header alone
        if choice == 3:
            return self._rng.bytes(int(self._rng.integers(1, 20_000)))
        if choice == 4:
            return b"<html><script>alert(1)</script></html>"
        if choice == 5:
            return b""
        if choice == 6:
            return b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\nhttp://127.0.0.1:1/x.ts\n"
        return b"ffconcat version 1.0\nfile /etc/passwd\n"

    def _mutated(self, data: bytes, most: int = 20) -> bytes:
        out = bytearray(data)
        for _ in range(int(self._rng.integers(1, most + 1))):
            if not out:
                break
            at = int(self._rng.integers(len(out)))
            out[at : at + int(self._rng.integers(0, 3))] = self._rng.bytes(
                int(self._rng.integers(0, 3))
            )
        return bytes(out)

    def _sent(self, case: str, name: str, content: bytes) -> str | None:
        """Path that the app gives an upload."""
        body, kind = _multipart(name, content)
        status, text = self.exchange(
            case, "POST", "/gradio_api/upload", body, {"content-type": kind}
        )
        if status != 200:
            return None
        return str(json.loads(text)[0])

    def _component(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = next(c for c in self._config["components"] if c["id"] == number)
        return found

    def _values(self, event: dict[str, Any]) -> list[Any]:
        return [self._component(number)["props"].get("value") for number in event["inputs"]]

    def _events(self, kind: str) -> list[dict[str, Any]]:
        return [
            event
            for event in self._config["dependencies"]
            if any(target[1] == kind for target in event["targets"])
        ]

    def _generate(self) -> list[dict[str, Any]]:
        return [event for event in self._config["dependencies"] if len(event["inputs"]) > 12]

    def _post_event(self, case: str, address: str, event: dict[str, Any], data: list[Any]) -> int:
        body = {"data": data, "fn_index": event["id"], "session_hash": case.replace(" ", "")}
        text = json.dumps(body).encode()
        return self.exchange(case, "POST", address, text, {"content-type": "application/json"})[0]

    def _queued(self, case: str, event: dict[str, Any], data: list[Any]) -> None:
        """Press Generate and read what is streamed until it ends."""
        if self._post_event(case, "/gradio_api/queue/join", event, data) == 200:
            address = f"/gradio_api/queue/data?session_hash={case.replace(' ', '')}"
            self.exchange(case, "GET", address)

    def _pick(self, from_: Any) -> Any:  # noqa: ANN401  (any sequence)
        return from_[int(self._rng.integers(len(from_)))]

    # -- sending and judging -----------------------------------------------------------------

    def exchange(
        self,
        case: str,
        method: str,
        address: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        seconds: float = SECONDS,
    ) -> tuple[int, bytes]:
        """Send one request, judge the answer, and return it."""
        number = int(self._rng.integers(2**24))
        lines = {
            "host": "127.0.0.1",
            "connection": "close",
            # Every request comes from another visitor, or the rate limits would answer for the app.
            "x-forwarded-for": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "content-length": str(len(body)),
            **(headers or {}),
        }
        head = f"{method} {address} HTTP/1.1\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in lines.items()
        )
        status, answer = self._send(head.encode("latin-1", "replace") + b"\r\n" + body, seconds)
        self._judge(case, status, answer)
        return status, answer.partition(b"\r\n\r\n")[2]

    def _send(self, data: bytes, seconds: float) -> tuple[int, bytes]:
        """Status and whole answer; status 0: closed without one, 1: none in time."""
        answer = b""
        try:
            with socket.create_connection(("127.0.0.1", self._server.port), 10) as connection:
                connection.settimeout(seconds)
                try:
                    connection.sendall(data)
                except OSError:
                    connection.settimeout(1)  # refused before everything was sent
                while part := connection.recv(65536):
                    answer += part
        except TimeoutError:
            return (_status(answer) or 1), answer
        except OSError:
            return _status(answer), answer
        return _status(answer), answer

    def _judge(self, case: str, status: int, answer: bytes) -> None:
        kind = case.partition(" ")[0]
        self.outcome.answers[f"{kind} {status}"] += 1
        text = answer.decode("utf-8", "replace")
        if status >= 500 and status != 503 and not _is_refusal(answer):
            self.outcome.faults.append(f"{case}: status {status}: {text[-300:]}")
        if status == 1 and kind != "raw":
            self.outcome.faults.append(f"{case}: no answer within {SECONDS:.0f} s")
        if found := self._leak.search(text):
            place = text[max(found.start() - 100, 0) : found.end() + 100]
            self.outcome.faults.append(f"{case}: leaks {place!r}")


def _is_refusal(answer: bytes) -> bool:
    """Whether the body is a JSON object that says at most one sentence."""
    try:
        said = json.loads(answer.partition(b"\r\n\r\n")[2])
    except ValueError:
        return False
    return isinstance(said, dict) and set(said) & {"error", "detail"} != set()


def own_failures(log: str) -> list[str]:
    """Last lines of the tracebacks that passed through our own code.

    The middleware does not count: what Gradio raises passes through it.
    """
    passing = ("ui/access.py", "ui/hidden_folder.py")
    found = []
    for block in log.split("Traceback (most recent call last):")[1:]:
        lines = block.splitlines()
        end = next((i for i, line in enumerate(lines[1:], 1) if line[:1].strip()), len(lines) - 1)
        frames = re.findall(rf'File "{re.escape(str(ROOT))}/((?:finephys|study)/[^"]+)"', block)
        if any(not frame.endswith(passing) for frame in frames):
            found.append(f"{frames[-1]}: {lines[end]}")
    return found


def _status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else 0


def _multipart(name: str, content: bytes) -> tuple[bytes, str]:
    escaped = name.replace('"', "%22").replace("\r", "").replace("\n", "")
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{escaped}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def main() -> None:
    """Fuzz one app and print a JSON row of what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=500)
    flags = parser.parse_args()
    began = time.monotonic()
    with TemporaryDirectory(prefix="fuzz-") as folder:
        place = Path(folder)
        open_study(place / "studies" / "fuzzed")
        temporary = place / "app"
        temporary.mkdir()
        before = _files(ROOT)
        with AppServer(temporary, "--study", str(place / "studies")) as server:
            server.wait_until_ready()
            fuzz = Fuzz(server, np.random.default_rng(flags.seed))
            fuzz.run(flags.count)
            faults = fuzz.outcome.faults
            if server.process.poll() is None and fuzz.exchange("end", "GET", "/health")[0] != 200:
                faults.append("the app no longer answers")
        left = [str(path) for path in server.left_behind()] + sorted(_files(ROOT) - before)
        faults += [f"left behind: {path}" for path in left]
        log = server.log.read_text(errors="replace")
        faults += [f"failed inside: {failure}" for failure in own_failures(log)]
    row = {
        "what": "malformed requests",
        "seed": flags.seed,
        "count": flags.count,
        "faults": len(faults),
        "answers": dict(sorted(fuzz.outcome.answers.items())),
        "tracebacks_in_log": log.count("Traceback"),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(row), flush=True)
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


def _files(folder: Path) -> set[str]:
    parts = ("app.py", "finephys", "study", "assets", "checkpoints", "deploy")
    return {
        str(path)
        for part in parts
        for path in (folder / part).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


if __name__ == "__main__":
    main()
