"""All studies of a folder on one server: the raters' pages and the administrator's page.

/study/NAME/      raters, as soon as the study is open; a draft looks like no study at all
/study-admin/     the administrator, behind a password; built at the first login
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router

from study import uploads
from study.errors import StudyError
from study.faults import is_name
from study.folder import Folder, read_milestones
from study.gate import Asgi, Gate, Message, Receive, Send
from study.open_study import SNAPSHOT_SECONDS, OpenStudy
from study.preview import Previews
from study.routes import SAFE_HEADERS, routes

logger = logging.getLogger(__name__)

RATERS, ADMIN = "/study", "/study-admin"

AGAIN_SECONDS = 20.0
"""A study that could not be served is tried again after so long."""


class Raters:
    """ASGI application: the raters' routes of every study that was opened, under its name."""

    def __init__(self, studies: Path, snapshot_seconds: float = SNAPSHOT_SECONDS) -> None:
        """Begin with none.

        Args:
            studies: folder of all studies.
            snapshot_seconds: between automatic snapshots of each.
        """
        self.studies = studies
        self._snapshot_seconds = snapshot_seconds
        self._served: dict[str, tuple[OpenStudy, Router]] = {}
        self._failed: dict[str, float] = {}
        self._lock = threading.Lock()

    def study(self, name: str) -> OpenStudy | None:
        """A study that was opened, taken for this server if it is not yet; None for any other."""
        found = self._entry(name)
        return found[0] if found else None

    def _entry(self, name: str) -> tuple[OpenStudy, Router] | None:
        if name in self._served or not is_name(name):
            return self._served.get(name)
        folder = Folder(self.studies / name)
        if not folder.milestones.is_file() or read_milestones(folder).phase == "draft":
            return None
        with self._lock:
            if name in self._served:
                return self._served[name]
            if time.monotonic() - self._failed.get(name, -AGAIN_SECONDS) < AGAIN_SECONDS:
                raise _Unserved(name)
            try:
                study = OpenStudy(folder.root, snapshot_seconds=self._snapshot_seconds)
            except (StudyError, OSError) as error:
                self._failed[name] = time.monotonic()
                logger.warning("%s is not served: %s", name, error)
                raise _Unserved(name) from error
            self._served[name] = (study, Router([Mount(f"/{name}", routes=routes(study))]))
        return self._served[name]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request of a rater's page."""
        if scope["type"] != "http":
            return
        name, slash, _ = str(scope["path"]).removeprefix(f"{scope['root_path']}/").partition("/")
        try:
            found = self._served.get(name) or await run_in_threadpool(self._entry, name)
        except (StudyError, OSError) as error:
            logger.warning("%s is not served: %s", name, error)
            found, status = None, 503
        else:
            status = 404
        if found is None:
            sentence = "There is no study at this address; check that the whole link was copied."
            if status == 503:
                sentence = "This study cannot be shown right now; please come again later."
            await PlainTextResponse(sentence, status, SAFE_HEADERS)(scope, receive, send)
        elif not slash:
            query = scope["query_string"].decode("latin-1")
            address = f"{scope['root_path']}/{name}/" + (f"?{query}" if query else "")
            await RedirectResponse(address, 308)(scope, receive, send)
        else:
            await found[1](scope, receive, send)

    def close(self) -> None:
        """Close every study."""
        with self._lock:
            for study, _ in self._served.values():
                study.close()
            self._served.clear()


class _Unserved(StudyError):
    """A study that was opened but cannot be served."""


class Site:
    """What is served of a folder of studies.

    Attributes:
        studies: folder of all studies.
        clips: folders on this machine that the administrator may make studies from.
        raters: the raters' pages, public.
        previews: for the administrator only.
        admin: the gate, and behind it the administrator's page.
    """

    def __init__(
        self,
        studies: Path,
        clips: Sequence[Path],
        password: str,
        inside: Callable[["Site"], Asgi],
    ) -> None:
        """Take every open study.

        Args:
            studies: folder of all studies; made when absent.
            clips: folders of clips on this machine.
            password: of the administrator.
            inside: makes what the gate guards (`admin.routes.inside`).

        Raises:
            StudyError: a folder of clips is missing.
        """
        for folder in clips:
            if not folder.is_dir():
                raise StudyError(
                    f"{folder} is not a directory; give one that holds clips, or none."
                )
        studies.mkdir(parents=True, exist_ok=True)
        uploads.sweep(studies)
        self.studies = studies
        self.clips = tuple(clips)
        self.raters = Raters(studies)
        self.previews = Previews()
        self.admin = Gate(password, inside(self))
        for name in self.names():
            try:
                self.raters.study(name)
            except StudyError:
                continue  # logged, and tried again at the next request

    def names(self) -> list[str]:
        """Every study, drafts included."""
        return sorted(
            path.name
            for path in self.studies.iterdir()
            if is_name(path.name) and Folder(path).definition.is_file()
        )

    def folder(self, name: str) -> Folder:
        """The folder of a study that there is.

        Raises:
            StudyError: there is none of this name.
        """
        if name not in self.names():
            raise StudyError(f"there is no study {name!r}; choose one of the list.")
        return Folder(self.studies / name)

    @property
    def gated(self) -> tuple[str, ...]:
        """Paths that answer only after a login."""
        return (ADMIN,)

    def routes(self) -> list[Route | Mount]:
        """For a server of ours or beside another page."""
        return [
            Mount(RATERS, self.raters),
            Route(ADMIN, _slash, methods=["GET"]),
            Mount(ADMIN, self.admin),
        ]

    def close(self) -> None:
        """Close every study."""
        self.previews.close()
        self.raters.close()

    def __enter__(self) -> "Site":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def _slash(request: Request) -> Response:
    return RedirectResponse(f"{request.scope['root_path']}{ADMIN}/", 308)
