"""Routes behind the gate, beside the page itself: board, uploads, previews, codes, results."""

import asyncio
import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

from study import board, codes, outcome, uploads
from study.admin import fragments
from study.errors import StudyError
from study.gate import Asgi, Message, Receive, Send
from study.outcome import RESULT_TYPES, result_files

if TYPE_CHECKING:
    from study.site import Site

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"

RESULT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

Act = Callable[["Site", Request], Awaitable[Response]]


def inside(site: "Site") -> Asgi:
    """Everything behind the gate."""
    table: tuple[tuple[str, str, Act], ...] = (
        ("GET", "/board/{name}", _board),
        ("GET", "/codes/{name}", _codes),
        ("GET", "/raters/{name}", _raters),
        ("GET", "/results/{name}/{file:path}", _result),
        ("PUT", "/uploads/{upload}/zip", _upload_zip),
        ("PUT", "/uploads/{upload}/files/{file:path}", _upload),
    )
    return Router(
        [
            *(Route(path, _guarded(site, act), methods=[method]) for method, path, act in table),
            Mount("/preview", site.previews),
            Mount("/page", StaticFiles(directory=STATIC)),
            Mount("/", _Page(site)),
        ]
    )


def _guarded(site: "Site", act: Act) -> Callable[[Request], Awaitable[Response]]:
    """An act whose errors become one JSON sentence."""

    async def endpoint(request: Request) -> Response:
        try:
            return await act(site, request)
        except StudyError as error:
            return JSONResponse({"sentence": str(error)}, 422)

    return endpoint


async def _board(site: "Site", request: Request) -> Response:
    name = request.path_params["name"]
    folder = site.folder(name)
    study = await asyncio.to_thread(site.raters.study, name)
    if study is None:
        return HTMLResponse(fragments.note("The board begins when the study opens."))
    seen = await study.read(partial(board.board, study.definition, study.store.clock))
    state = study.snapshots.state()
    return HTMLResponse(fragments.board(seen, study.phase(), state, folder.root.name))


async def _codes(site: "Site", request: Request) -> Response:
    folder = site.folder(request.path_params["name"])
    given = await asyncio.to_thread(codes.read, folder)
    return _sheet(f"{folder.root.name}-codes.csv", codes.as_csv(given))


async def _raters(site: "Site", request: Request) -> Response:
    folder = site.folder(request.path_params["name"])
    sheet = await asyncio.to_thread(outcome.raters_csv, folder, unfinished=True)
    return _sheet(f"{folder.root.name}-raters.csv", sheet)


def _sheet(name: str, content: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=RESULT_TYPES[".csv"], headers=headers)


async def _result(site: "Site", request: Request) -> Response:
    files = result_files(site.folder(request.path_params["name"]).root)
    path = files.get(request.path_params["file"])
    if path is None:
        return JSONResponse({"sentence": "There is no such file; write the report first."}, 404)
    headers = {"content-security-policy": RESULT_POLICY}
    shown = path.suffix == ".html"
    return FileResponse(
        path,
        media_type=RESULT_TYPES[path.suffix],
        filename=None if shown else path.name,
        headers=headers,
    )


async def _upload(site: "Site", request: Request) -> Response:
    root = uploads.folder(site.studies, request.path_params["upload"])
    count = await uploads.store(root, request.path_params["file"], request.stream())
    return JSONResponse({"bytes": count})


async def _upload_zip(site: "Site", request: Request) -> Response:
    root = uploads.folder(site.studies, request.path_params["upload"])
    return JSONResponse({"files": await uploads.store_zip(root, request.stream())})


class _Page:
    """ASGI application: the page itself, built at the first request.

    Design choice: importing Gradio takes seconds and 150 MB, which a server for raters alone need
    not spend. The page's own start and end run in a task of this server's loop.
    """

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._lock = asyncio.Lock()
        self._app: Starlette | None = None
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async with self._lock:
            if self._app is None:
                app = await asyncio.to_thread(_build, self._site)
                started = asyncio.get_running_loop().create_future()
                self._task = asyncio.create_task(_live(app, started))
                await started
                self._app = app
        # Gradio got its whole address when it was mounted; starlette has stripped it.
        root = scope.get("app_root_path", "")
        await self._app({**scope, "root_path": root}, receive, send)


def _build(site: "Site") -> Starlette:
    if "GRADIO_TEMP_DIR" not in os.environ:
        place = tempfile.mkdtemp(prefix="study-admin-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        os.environ["GRADIO_TEMP_DIR"] = place
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from study.admin import page

    return page.application(site)


async def _live(app: Starlette, started: "asyncio.Future[None]") -> None:
    """Keep the page's own tasks running; an error at the start goes to `started`."""
    try:
        async with app.router.lifespan_context(app):
            started.set_result(None)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        logger.debug("the administrator's page ends with its server")
    except Exception as error:
        if started.done():
            raise
        started.set_exception(error)
