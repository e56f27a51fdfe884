"""`python app.py --study-only` in a process of its own, and an administrator who asks it things."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"  # noqa: S105  (of servers that live for one test)


class SiteServer:
    """The studies of a folder, served alone.

    Attributes:
        url: where it answers, with a slash at the end.
        admin: address of the administrator's page.
        studies: folder of all studies.
        log: what the server said.
    """

    def __init__(self, place: Path, *flags: str, password: str | None = PASSWORD) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        self.admin = f"{self.url}study-admin/"
        self.studies = place / "studies"
        self.log = place / "log.txt"
        self.temporary = place / "temporary"
        self.temporary.mkdir()
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        environment.pop("STUDY_ADMIN_PASSWORD", None)
        if password is not None:
            environment["STUDY_ADMIN_PASSWORD"] = password
        arguments = ["app.py", "--study-only", str(self.studies), "--port", str(port), *flags]
        began = time.monotonic()
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        while self.process.poll() is None and time.monotonic() - began < 120:
            try:
                with urllib.request.urlopen(f"{self.admin}login", timeout=5):  # noqa: S310
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        raise AssertionError(f"app.py does not answer:\n{self.log.read_text()}")

    def memory(self) -> int:
        """Most bytes of memory that the process has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024

    def imported(self) -> str:
        """Files that the process has mapped, by which imported packages are known."""
        return Path(f"/proc/{self.process.pid}/maps").read_text()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def ask(
    url: str,
    body: bytes | None = None,
    method: str | None = None,
    **headers: str,
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers (names in small letters) of one request; redirects not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    named = {name.replace("_", "-"): text for name, text in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)  # noqa: S310
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=60) as answer:
            content, status, found = answer.read(), answer.status, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            content, status, found = error.read(), error.code, error.headers
    lower = {name.lower(): text for name, text in found.items()}
    return status, content.decode("utf-8", "replace"), lower


def log_in(site: SiteServer, password: str = PASSWORD) -> tuple[int, str]:
    """Status, and the cookie that came."""
    status, _, headers = ask(
        f"{site.admin}login",
        urllib.parse.urlencode({"password": password}).encode(),
        origin=site.url.rstrip("/"),
    )
    return status, headers.get("set-cookie", "").partition(";")[0]
