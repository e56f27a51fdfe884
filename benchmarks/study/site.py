"""Start time and memory of `python app.py --study-only`, before and after the first login."""

import os
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.study.made import ROOT, Server, open_study, row

PASSWORD = "benchmark password"  # noqa: S105  (of a server that lives for one measurement)


def measure() -> None:
    """Time to the first answered rater, memory then, and what the administrator's page adds."""
    with TemporaryDirectory() as place:
        studies = Path(place) / "studies"
        studies.mkdir()
        open_study(studies / "start")
        os.environ["STUDY_ADMIN_PASSWORD"] = PASSWORD
        arguments = [sys.executable, str(ROOT / "app.py"), "--study-only", str(studies), "--port"]
        server = Server(arguments, path="study/start/")
        light = _megabytes(server)
        began = time.monotonic()
        _log_in(server)
        seconds = time.monotonic() - began
        row(
            "app.py --study-only: start, memory; with the administrator's page",
            seconds_to_first_200=round(server.seconds_to_start, 2),
            cpu_seconds=_cpu_seconds(server),
            megabytes=light,
            admin_page_seconds=round(seconds, 2),
            megabytes_with_admin_page=_megabytes(server),
            reach="6 s, 250 MB",
        )
        server.stop()


def _log_in(server: Server) -> None:
    """Until the administrator's whole page is loaded."""
    form = urllib.parse.urlencode({"password": PASSWORD}).encode()
    headers = {"Origin": server.url.rstrip("/")}
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    login = f"{server.url}study-admin/login"
    with opener.open(urllib.request.Request(login, form, headers), timeout=120) as page:  # noqa: S310
        assert page.url.endswith("/study-admin/")


def _megabytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(peak) / 1024)


def _cpu_seconds(server: Server) -> float:
    used = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")
