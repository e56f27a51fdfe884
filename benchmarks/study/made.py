"""An open Fig. 16 study of seven made-up methods, built by the study's own commands."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from study import acts
from study.definition import Encoding
from study.folder import Folder
from study.reading import template

ROOT = Path(__file__).resolve().parent.parent.parent
METHODS = 7
ITEMS = ("8_1", "8_2")
SERVE = "import sys; from study.serving import serve; serve(sys.argv[1], port=int(sys.argv[2]))"


def row(what: str, **figures: object) -> None:
    """Print one measurement, with the load of the machine while it was taken."""
    load = round(os.getloadavg()[0], 1)
    line = {"what": what, **figures, "cores": os.cpu_count(), "load": load}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def clip(path: Path, rng: np.random.Generator, size: int) -> None:
    """Sixteen frames of coloured blocks that drift: two seconds of H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = rng.integers(0, 255, (16, 16, 3), np.uint8).repeat(size // 16, 0).repeat(size // 16, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"threads": "1"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for shift in range(16):
            frame = av.VideoFrame.from_ndarray(np.roll(blocks, 4 * shift, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def open_study(root: Path, *, size: int = 128, watch: float = 0.0, seed: int = 0) -> Folder:
    """A study as `python -m study new` and `open` make it.

    Args:
        root: folder to be made.
        size: pixels of a clip's side.
        watch: seconds a page must be watched; 0 for one loop of two seconds.
        seed: of the pictures.
    """
    rng = np.random.default_rng(seed)
    videos = root.parent / f"{root.name}-clips"
    for item in ITEMS:
        for method in range(METHODS):
            clip(videos / f"method{method}" / f"{item}.mp4", rng, size)
        clip(videos / "references" / f"{item}.mp4", rng, size)
    definition = template("fig16")
    definition = replace(
        definition,
        name=root.name,
        watch_seconds=watch,
        recruiting=replace(definition.recruiting, open_link=True),
        encoding=Encoding(width=size, height=size),
    )
    folder = Folder(root)
    acts.new(folder, definition, videos, None, "benchmark")
    acts.open_for_raters(folder, "benchmark")
    return folder


class Server:
    """A server in a process of its own."""

    def __init__(self, arguments: list[str], port: int | None = None, path: str = "health") -> None:
        self.port = port or free_port()
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*arguments, str(self.port)], cwd=ROOT, stderr=subprocess.PIPE
        )
        self.said = ""
        while self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}{path}", timeout=5):  # noqa: S310
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.01)
        else:
            assert self.process.stderr is not None
            self.said = self.process.stderr.read().decode()
            self.process.stderr.close()
        self.seconds_to_start = time.monotonic() - began

    def need(self) -> "Server":
        """This server, if it runs.

        Raises:
            RuntimeError: it ended at once.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended at once: {self.said}")
        return self

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}/"

    def cpu_seconds(self) -> float:
        """Seconds of processor time it has used."""
        used = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> str:
        """End it politely; what it said on stderr."""
        self.process.terminate()
        return str(self.process.communicate()[1].decode())


def study_server(folder: Folder, port: int | None = None) -> Server:
    """`study.serving.serve` in a process of its own."""
    return Server([sys.executable, "-c", SERVE, str(folder.root)], port)


def free_port() -> int:
    """A TCP port nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
