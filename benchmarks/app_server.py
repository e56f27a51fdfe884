"""`python app.py` in a process of its own, for tests and measurements."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class AppServer:
    """The running app, as a context manager.

    Attributes:
        url: where it answers, with a slash at the end.
        port: the same as a number.
        log: file with what it printed.
        temporary: folder of its temporary files.
        seconds_to_page: from the start to the first page.
        process: of the app.
    """

    def __init__(
        self,
        place: Path,
        *flags: str,
        code: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
    ) -> None:
        """Start it and wait until it answers.

        Args:
            place: an existing folder for the log and its temporary files.
            flags: of app.py, beside the port.
            code: folder of app.py.
            environment: variables to set beside this process's own.
            through: command that starts the app's ("nice -n 10").
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = place / "log.txt"
        self.temporary = place
        given = {"TMPDIR": str(place), "CUDA_VISIBLE_DEVICES": "", **(environment or {})}
        port = () if "GRADIO_SERVER_PORT" in given else ("--port", str(self.port))
        if not port:
            self.port = int(given["GRADIO_SERVER_PORT"])
            self.url = f"http://127.0.0.1:{self.port}/"
        began = time.monotonic()
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [*through, sys.executable, "app.py", *port, *flags],
                cwd=code,
                env={**os.environ, **given},
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_for("health")
            self.seconds_to_page = time.monotonic() - began
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self) -> None:
        """Wait until the models are loaded."""
        self._wait_for("ready")

    def _wait_for(self, address: str) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError(
                    f"app.py ended with {self.process.returncode}:\n{self.log.read_text()}"
                )
            try:
                with urllib.request.urlopen(self.url + address, timeout=5):  # noqa: S310
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise AssertionError(f"no answer from /{address} in two minutes:\n{self.log.read_text()}")

    def stop(self) -> None:
        """End it as a supervisor does; it has twenty seconds to delete its files."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def left_behind(self) -> list[Path]:
        """Folders of uploads and results that are still there."""
        return list(self.temporary.glob("finephys-*"))

    def __enter__(self) -> "AppServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
