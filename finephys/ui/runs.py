"""Who is running what: stop events and result folders, kept apart for every browser session."""

import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finephys import outputs
from finephys.drawing import comparison_video
from finephys.types import Result
from finephys.video import write_video

KEEP_SECONDS = 3600.0
"""Results are deleted an hour after they were made, or when their page is closed."""

MEDIA = {
    ".mp4": "video/mp4",
    ".npz": "application/octet-stream",
    ".json": "application/json",
}
"""Media type of a download by the end of its name."""

SWEEP_SECONDS = 300.0
"""Old results are looked for every few minutes."""


@dataclass
class Job:
    """One press of Generate.

    Attributes:
        session: the browser session it belongs to.
        press: which press of Generate on that page it answers, counted from 1.
        folder: its own folder; the folder's random name is the only way to its files.
        stop: set to end the run at its next step.
        made: monotonic seconds when it began.
        shown: what the viewer was last sent.
        files: media type of each file that was written, by its name.
    """

    session: str
    press: int
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    made: float = field(default_factory=time.monotonic)
    shown: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """A file to take home.

    Attributes:
        key: what it is: "video", "poses", ...
        address: relative to the page.
        text: what the person reads.
        method: whose video it belongs to, in a comparison; else empty.
    """

    key: str
    address: str
    text: str
    method: str = ""


class Runs:
    """Every run whose results are still kept.

    Args:
        folder: where result folders are made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._runs: dict[str, Job] = {}
        self._stopped: dict[str, int] = {}  # session -> last press that was stopped
        self._lock = threading.Lock()

    def begin(self, session: str, press: int) -> Job:
        """A new run of a session, with an unguessable folder of its own.

        It begins stopped when Stop overtook it on the way here.
        """
        token = secrets.token_urlsafe(24)
        run = Job(session, press, self._folder / token)
        run.folder.mkdir(mode=0o700, parents=True)
        with self._lock:
            self._runs[token] = run
            if press <= self._stopped.get(session, 0):
                run.stop.set()
        return run

    def write(self, run: Job, result: Result, alone: bool) -> list[Download]:
        """Write the downloads of one finished video; with the first of a run also the poses.

        Args:
            run: whose folder it goes to.
            result: of one method.
            alone: whether no other method's video is made in this run.

        Raises:
            OutputError: when a file cannot be written.
        """
        method = "" if alone else result.request.method
        end = f"_{method}" if method else ""
        first = not run.files
        video, record = f"video{end}.mp4", f"request{end}.json"
        write_video(run.folder / video, result.video)
        outputs.write_request(run.folder / record, result)
        made = [
            self._made(run, "video", video, "Generated video (mp4)", method),
            self._made(run, "request", record, "Request and timings (json)", method),
        ]
        if first:
            poses = result.poses
            outputs.write_poses(run.folder / "poses.npz", poses)
            outputs.write_poses_video(run.folder / "poses.mp4", poses)
            outputs.write_pose_video(run.folder / "pose.mp4", poses.reprojected, poses.frame_times)
            made[1:1] = [
                self._made(run, "poses", "poses.npz", "Poses of all stages (npz)"),
                self._made(run, "poses_video", "poses.mp4", "Stages side by side (mp4)"),
                self._made(
                    run, "pose_video", "pose.mp4", "Skeleton for other generators, OpenPose (mp4)"
                ),
            ]
        return self._kept(run, made)

    def write_comparison(self, run: Job, results: list[Result]) -> list[Download]:
        """Write the videos of several methods side by side as one mp4."""
        videos = {result.request.method: result.video for result in results}
        write_video(run.folder / "comparison.mp4", comparison_video(results[0].poses, videos))
        text = "All methods side by side (mp4)"
        return self._kept(run, [self._made(run, "comparison", "comparison.mp4", text)])

    def _made(self, run: Job, key: str, name: str, text: str, method: str = "") -> Download:
        run.files[name] = MEDIA[Path(name).suffix]
        return Download(key, f"files/results/{run.folder.name}/{name}", text, method)

    def _kept(self, run: Job, made: list[Download]) -> list[Download]:
        with self._lock:
            kept = run.folder.name in self._runs
        if not kept:  # the page was closed while its files were being written
            shutil.rmtree(run.folder, ignore_errors=True)
        return made

    def stop(self, session: str, press: int) -> list[Job]:
        """Ask a session's runs up to a press of Generate to stop; those that were asked."""
        with self._lock:
            self._stopped[session] = max(press, self._stopped.get(session, 0))
            runs = [
                run for run in self._runs.values() if run.session == session and run.press <= press
            ]
        asked = [run for run in runs if not run.stop.is_set()]
        for run in asked:
            run.stop.set()
        return asked

    def forget(self, session: str) -> None:
        """Stop a session's runs and delete their files: its page was closed."""
        self.stop(session, sys.maxsize)
        self._delete(lambda run: run.session == session)

    def sweep(self) -> None:
        """Delete results older than an hour."""
        oldest = time.monotonic() - KEEP_SECONDS
        self._delete(lambda run: run.made < oldest)

    def keep_swept(self) -> None:
        """Delete old results every few minutes for as long as the process lives."""

        def sweep() -> None:
            while True:
                time.sleep(SWEEP_SECONDS)
                self.sweep()

        threading.Thread(target=sweep, name="sweep-results", daemon=True).start()

    def file(self, token: str, name: str) -> tuple[Path, str] | None:
        """Path and media type of a download, or None when there is no such run or file."""
        with self._lock:
            run = self._runs.get(token)
        if run is None or name not in run.files:
            return None
        path = run.folder / name
        return (path, run.files[name]) if path.is_file() else None

    def _delete(self, chosen: Callable[[Job], bool]) -> None:
        with self._lock:
            tokens = [token for token, run in self._runs.items() if chosen(run)]
            runs = [self._runs.pop(token) for token in tokens]
        for run in runs:
            shutil.rmtree(run.folder, ignore_errors=True)
