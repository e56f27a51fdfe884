"""Servers: one study alone, or all studies of a folder with the administrator's page."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from study import gate
from study.admin.routes import inside
from study.open_study import OpenStudy
from study.routes import routes
from study.site import ADMIN, Site


def serve(root: Path, host: str = "127.0.0.1", port: int = 7861) -> None:
    """Serve one study alone, without Gradio, until it is stopped.

    Args:
        root: the study's folder.
        host: address to listen on; 0.0.0.0 for every one.
        port: TCP port.

    Raises:
        StudyError: as `OpenStudy`.
    """
    with OpenStudy(root) as study:
        serve_routes(routes(study), host, port)


def serve_routes(routes: Sequence[BaseRoute], host: str, port: int, root_path: str = "") -> None:
    """Serve routes, without Gradio, until it is stopped.

    Args:
        routes: of the server.
        host: address to listen on.
        port: TCP port.
        root_path: public prefix that a reverse proxy removes from each address.

    Design choice: the loop and the writer hand over to each other sooner than after Python's 5 ms,
    for an answer passes between them several times; connections are kept for a minute, for a rater
    looks at a page for so long between two requests.
    """
    import uvicorn
    from starlette.applications import Starlette

    sys.setswitchinterval(0.0005)
    uvicorn.run(
        Starlette(routes=routes),
        host=host,
        port=port,
        root_path=root_path,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=5,
    )


def start(studies: Path, clips: Sequence[Path], address: str) -> Site:
    """A site with the password from the environment, or one that is shown once.

    Args:
        studies: folder of all studies.
        clips: folders of clips on this machine.
        address: of the server, for what is shown.

    Raises:
        StudyError: as `Site`, or the password is too short.
    """
    password, made_up = gate.wanted_password()
    site = Site(studies, clips, password, inside)
    shown = f"password {password}" if made_up else f"password from {gate.VARIABLE}"
    logging.getLogger("study").warning("Administrator's page: %s%s/ (%s)", address, ADMIN, shown)
    return site


def serve_site(site: Site, host: str, port: int, root_path: str = "") -> None:
    """Serve the studies alone, without the demo, until it is stopped.

    Args:
        site: the studies.
        host: address to listen on.
        port: TCP port.
        root_path: public prefix that a reverse proxy removes from each address.
    """
    routes = [
        *site.routes(),
        Route("/favicon.ico", _no_icon),
        Route("/health", _health),
        Route("/ready", _ready),
    ]
    with site:
        serve_routes(routes, host, port, root_path)


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})


async def _ready(request: Request) -> Response:
    return JSONResponse({"ready": True}, headers={"cache-control": "no-store"})


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)
