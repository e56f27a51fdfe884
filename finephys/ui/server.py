"""The page served: our own routes before Gradio's, headers and folders."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from finephys.ui.runs import KEEP_SECONDS, SWEEP_SECONDS, Runs

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
STATIC = Path(__file__).parent / "static"

LARGEST_UPLOAD = "300mb"
"""Bytes of a clip that are accepted; what is in it is checked by decoding."""

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
"""Sent with every answer: the page loads from nowhere but its own server."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware: adds HEADERS, and refuses addresses that make the server fetch a URL."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        path = str(scope["path"]).lower()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), text.encode()) for name, text in HEADERS.items()]
                if path.startswith("/files/viewer"):  # parts of one program: never one old, one new
                    extra.append((b"cache-control", b"no-cache"))
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        if "/file=http" in path or "/proxy=" in path:
            refusal = PlainTextResponse("Only this server's own files are served.", 404)
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def own_folder() -> Path:
    """A private temporary folder for this process, deleted when it ends; Gradio's cache lies in it.

    Must be called before gradio is imported, which reads its folder from the environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="finephys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return folder


def routes(runs: Runs) -> list[Route | Mount]:
    """Our own addresses, under /files: the viewer, plotly, example clips, results by token."""

    def result(request: HttpRequest) -> Response:
        found = runs.file(request.path_params["token"], request.path_params["name"])
        if found is None:
            return PlainTextResponse(
                "This result is no longer here: results are deleted after an hour or when their "
                "page is closed. Generate it again.",
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


def middleware() -> list[Middleware]:
    """What every request passes through."""
    return [Middleware(Guard)]


CACHE_AGE = (int(SWEEP_SECONDS), int(KEEP_SECONDS))
"""Gradio's own cache of uploads: looked at every, deleted after, in seconds."""
