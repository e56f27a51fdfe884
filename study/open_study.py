"""One study, open for raters: its parts, assembled once and shared by all that serves it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import ParamSpec, TypeVar

from study import backup, design, folder, hub, identities
from study.answers import Rules
from study.definition import LEVELS, Definition
from study.errors import PhaseError
from study.folder import Clips, Folder, Phase, Reference
from study.sessions import Places
from study.snapshots import Snapshots
from study.store import Store
from study.wording import with_numbers

logger = logging.getLogger(__name__)

MOST_WAITING = 2000
"""Writes that may wait in line; beyond that raters' pages keep their answers and retry."""

SNAPSHOT_SECONDS = 600.0

P = ParamSpec("P")
T = TypeVar("T")


class OpenStudy:
    """A study as its routes, its board and its snapshots share it; one per folder and machine.

    Attributes:
        folder: of the study.
        definition: frozen, with the study's numbers in its wording.
        clips: frozen.
        store: held for this process alone.
        keys: of the raters' identities and tokens.
        rules: what counts as an answer.
        places: the design as the store needs it.
        sent: addresses of videos requested since this server started. Design choice: kept
            in memory, which costs no write; after a restart the page requests its videos again.
    """

    def __init__(self, root: Path, *, snapshot_seconds: float = SNAPSHOT_SECONDS) -> None:
        """Read the study and take its file.

        Args:
            root: the study's folder.
            snapshot_seconds: between automatic snapshots; 0 for none, and then none is fetched
                either.

        Raises:
            StudyError: it is a draft, changed since it opened, damaged, or served already; or the
                repository of its snapshots (`hub`) cannot be reached.
        """
        self.folder = Folder(Path(root))
        folder.need_phase(self.folder, ("open", "closed", "unblinded"), "serve")
        self.clips = folder.read_clips(self.folder)
        self.definition = with_numbers(folder.read_definition(self.folder), self.clips)
        self.rules = rules(self.definition, self.clips)
        self.places = places(self.definition, self.clips)
        self.sent: set[str] = set()
        repository = hub.wanted_repository() if snapshot_seconds else None
        push, name = None, self.folder.root.name
        if repository is not None:
            hub.catch_up(self.folder, repository)
            push = partial(hub.push, self.folder.snapshots, repository, name)
            logger.warning(
                "snapshots of %s go to %s every %.0f minutes; what comes between two of them is "
                "lost with the disk",
                *(name, repository, snapshot_seconds / 60),
            )
        self.keys = identities.keyring(self.folder.identity_key)
        self.store = Store(self.folder.database, serving=True)
        backup.clear_leftovers(self.folder)
        self._writer = ThreadPoolExecutor(1, f"writer of {self.definition.name}")
        self._reader = ThreadPoolExecutor(1, f"reader of {self.definition.name}")
        self._waiting = 0
        self._phase: tuple[int, Phase] = (0, "draft")
        self.snapshots = Snapshots(
            self.store, self.folder.snapshots, snapshot_seconds, push, repository or ""
        )

    async def write(self, act: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Run a write in the single writer thread; it is on disk when this returns.

        Raises:
            BusyError: too many acts are waiting.
        """
        if self._waiting >= MOST_WAITING:
            raise BusyError(f"{self._waiting} answers are waiting to be stored; try again soon.")
        self._waiting += 1
        try:
            call = self._writer.submit(act, *args, **named)
            return await asyncio.shield(asyncio.wrap_future(call))
        finally:
            self._waiting -= 1

    async def write_while_open(self, act: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """As `write`, for an act that only an open study takes.

        The phase is read inside the act's own transaction, and closing is one too: nothing is
        stored after the close, even if the act was waiting before it.

        Raises:
            PhaseError: the study is closed.
            BusyError: as `write`.
        """

        def act_or_refuse() -> T:
            with self.store.transaction():
                self.need_open()
                return act(*args, **named)

        return await self.write(act_or_refuse)

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Run an act that only reads, on one consistent state of the study."""

        def look() -> T:
            with self.store.view() as database:
                return act(database)

        return await asyncio.wrap_future(self._reader.submit(look))

    def phase(self) -> Phase:
        """Where the study stands now; closing takes effect at once, without a restart."""
        changed = self.folder.milestones.stat().st_mtime_ns
        if changed != self._phase[0]:
            self._phase = (changed, folder.read_milestones(self.folder).phase)
        return self._phase[1]

    def need_open(self) -> None:
        """Raise unless the study is open.

        Raises:
            PhaseError: it is closed.
        """
        if self.phase() != "open":
            raise PhaseError("This study is closed and takes no more answers.")

    def close(self) -> None:
        """Finish the waiting writes, then close the file."""
        self.snapshots.stop()
        self._writer.shutdown()
        self._reader.shutdown()
        self.store.close()

    def __enter__(self) -> "OpenStudy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class BusyError(Exception):
    """More writes are waiting than the disk keeps up with."""


def rules(definition: Definition, clips: Clips) -> Rules:
    """What counts as an answer: scores 1 to 5, or for a choice 1 left, 2 tie, 3 right."""
    scores = tuple(range(1, LEVELS + 1))
    if definition.kind == "choice":
        scores = (1, 2, 3) if definition.tie_allowed else (1, 3)
    return Rules(
        sides=("left", "right") if definition.kind == "pairs" else ("left",),
        dimensions=tuple(dimension.id for dimension in definition.dimensions),
        scores=scores,
        watch_seconds=definition.watch_seconds or clips.seconds,
    )


def places(definition: Definition, clips: Clips) -> Places:
    """The design of a study, and which files each of its pages shows."""
    references: dict[str, list[Reference]] = {}
    for reference in clips.references:
        references.setdefault(reference.item, []).append(reference)

    def files(page: design.Page) -> Mapping[str, str]:
        found = {"left": f"{page.left}.mp4"}
        if page.right:
            found["right"] = f"{page.right}.mp4"
        for number, reference in enumerate(references.get(page.item, ())):
            found[f"video{number}"] = f"{reference.video}.mp4"
            found[f"image{number}"] = f"{reference.image}.jpg"
        return found

    return Places(
        sequences=design.sequences(definition, clips),
        pages=lambda sequence, seed: design.pages(definition, clips, sequence, seed),
        files=files,
    )
