"""What the demo's server has beside Gradio: own routes, folders, health."""

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from finephys.ui.access import Guard
from finephys.ui.hidden_folder import HiddenFolder
from finephys.ui.jobs import KEEP_SECONDS, SWEEP_SECONDS, Jobs

if TYPE_CHECKING:
    from study.site import Site

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
STATIC = Path(__file__).parent / "static"

LARGEST_UPLOAD = "300mb"
"""Size of a clip that is accepted; its content is checked by decoding."""

UPLOADS = "uploads"
"""Gradio's cache, below the private folder."""

CACHE_AGE = (int(SWEEP_SECONDS), int(KEEP_SECONDS))
"""Gradio's cache of uploads: seconds between two searches, and after which a file is deleted."""


@dataclass(frozen=True)
class Readiness:
    """Whether the models of the first request are loaded.

    Attributes:
        settled: set once loading has ended, well or not.
        loaded: set once it has ended well.
    """

    settled: threading.Event = field(default_factory=threading.Event)
    loaded: threading.Event = field(default_factory=threading.Event)


def create_private_folder() -> Path:
    """Create this process's temporary folder, with Gradio's cache; it is deleted at exit.

    Must be called before gradio is imported, which reads its folder from the environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="finephys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder / UPLOADS)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return folder


def start_sweeping(jobs: Jobs, uploads: Path) -> None:
    """Delete old results and uploads every few minutes for as long as the process lives."""

    def sweep() -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            jobs.sweep()
            sweep_uploads(uploads)

    threading.Thread(target=sweep, name="sweep", daemon=True).start()


def sweep_uploads(folder: Path) -> None:
    """Delete uploads older than an hour, also those whose connection broke off.

    Gradio's own search knows whole uploads only.
    """
    oldest = time.time() - KEEP_SECONDS
    for path in sorted(folder.rglob("*"), reverse=True):  # files before their folders
        with contextlib.suppress(OSError):  # used again, or deleted by Gradio meanwhile
            if path.lstat().st_ctime >= oldest:
                continue
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()


def app_options(
    folder: Path, jobs: Jobs, readiness: Readiness, root_path: str = "", site: "Site | None" = None
) -> dict[str, Any]:
    """Routes and middleware of the server, as Gradio's `app_kwargs`.

    Args:
        folder: this process's temporary folder.
        jobs: keeps the results.
        readiness: of the models.
        root_path: public prefix that a reverse proxy removes from each address.
        site: user studies to serve as well.
    """
    routes = [*health_routes(readiness), *file_routes(jobs), *(site.routes() if site else ())]
    gated = site.gated if site else ()
    return {
        "routes": routes,
        "middleware": [
            Middleware(Guard, root_path=root_path, gated=gated),
            Middleware(HiddenFolder, folder=folder / UPLOADS),
        ],
    }


def file_routes(jobs: Jobs) -> list[Route | Mount]:
    """Routes under /files: the viewer, plotly, example clips, and results by token."""

    def result(request: Request) -> Response:
        found = jobs.find_file(request.path_params["token"], request.path_params["name"])
        if found is None:
            return PlainTextResponse(
                "This result is no longer here: results are deleted an hour after they were made "
                "or when their page is closed. Generate it again.",
                404,
            )
        path, media = found
        headers = {"cache-control": "private, no-store"}
        return FileResponse(path, media_type=media, filename=path.name, headers=headers)

    return [
        Route("/files/results/{token}/{name}", result),
        Mount("/files/viewer", StaticFiles(directory=STATIC)),
        Mount("/files/assets", StaticFiles(directory=ASSETS)),
    ]


def health_routes(readiness: Readiness | None = None) -> list[Route]:
    """Routes for a supervisor: /health (the process answers), /ready (it can work).

    Args:
        readiness: of the models; None: there are none to wait for.
    """

    def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})

    def ready(request: Request) -> Response:
        done = readiness is None or readiness.loaded.is_set()
        return JSONResponse(
            {"ready": done}, 200 if done else 503, headers={"cache-control": "no-store"}
        )

    return [Route("/health", health), Route("/ready", ready)]
