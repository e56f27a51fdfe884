"""A study as a rater sees it, for its administrator: the rater's own page on a throw-away copy."""

import secrets
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from starlette.routing import Mount, Router

from study.blinding import check_complete
from study.definition import Recruiting
from study.files import digest, write_atomically
from study.folder import (
    Folder,
    Milestones,
    check_media,
    read_clips,
    read_definition,
    write_milestones,
)
from study.gate import Message, Receive, Send
from study.open_study import OpenStudy
from study.reading import dump
from study.routes import routes

MOST = 3
"""Previews kept at a time; the oldest goes."""


class Previews:
    """ASGI application: previews under their random numbers.

    The copy has the definition, the list of clips and the videos of the study, an open link, and no
    map: what is answered in it goes nowhere, and the study's own files are only read.
    """

    def __init__(self) -> None:
        self._shown: dict[str, tuple[OpenStudy, Router]] = {}
        self._lock = threading.Lock()

    def make(self, folder: Folder) -> str:
        """Copy a study and show the copy; takes a moment.

        Returns:
            The preview's number: it is at NUMBER/ from now on.

        Raises:
            StudyError: the study has faults.
        """
        definition, clips = read_definition(folder), read_clips(folder)
        check_complete(definition, clips)
        check_media(folder)
        copy = Folder(Path(tempfile.mkdtemp(prefix="study-preview-")) / folder.root.name)
        copy.secret.mkdir(parents=True, mode=0o700)
        copy.media.symlink_to(folder.media.resolve(), target_is_directory=True)
        write_atomically(
            copy.definition, dump(replace(definition, recruiting=Recruiting(False, True)))
        )
        shutil.copyfile(folder.clips, copy.clips)
        write_milestones(
            copy,
            Milestones(
                opened="preview",
                definition_sha256=digest(copy.definition),
                clips_sha256=digest(copy.clips),
            ),
        )
        number = secrets.token_hex(8)
        study = OpenStudy(copy.root, snapshot_seconds=0)
        with self._lock:
            while len(self._shown) >= MOST:
                self._forget(next(iter(self._shown)))
            self._shown[number] = (study, Router([Mount(f"/{number}", routes=routes(study))]))
        return number

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request of a preview's page."""
        below = str(scope["path"]).removeprefix(str(scope["root_path"]))
        number = below.strip("/").partition("/")[0]
        _, router = self._shown.get(number, (None, Router()))
        await router(scope, receive, send)

    def close(self) -> None:
        """Delete all previews."""
        with self._lock:
            for number in list(self._shown):
                self._forget(number)

    def _forget(self, number: str) -> None:
        study, _ = self._shown.pop(number)
        study.close()
        shutil.rmtree(study.folder.root.parent)
