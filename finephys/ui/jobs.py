"""Jobs of every browser session: how each is stopped, and the files it made."""

import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finephys import outputs
from finephys.drawing import comparison_video
from finephys.types import Result
from finephys.video import write_video

KEEP_SECONDS = 3600.0
"""Results are deleted an hour after their job ended, or when their page is closed."""

SWEEP_SECONDS = 300.0
"""Seconds between two searches for old results."""

MEDIA = {
    ".mp4": "video/mp4",
    ".npz": "application/octet-stream",
    ".json": "application/json",
}
"""Media type of a download by its suffix."""


@dataclass
class Job:
    """One press of Generate.

    Attributes:
        session: the browser session it belongs to.
        press: which press of Generate on that page it answers, counted from 1.
        folder: its own folder; the random name is the only way to its files.
        stop: set to end the job at its next step.
        ended: monotonic seconds at its end; None while it runs.
        shown: the viewer's last value.
        files: media type of each file that was written, by name.
    """

    session: str
    press: int
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    ended: float | None = None
    shown: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """A downloadable file.

    Attributes:
        key: what it is: "video", "poses", ...
        address: relative to the page.
        text: label of the link.
        method: whose video it belongs to, in a comparison; else empty.
    """

    key: str
    address: str
    text: str
    method: str = ""


class Jobs:
    """Every job that runs or whose results are still kept.

    Args:
        folder: where the jobs' own folders are created.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._jobs: dict[str, Job] = {}
        # session -> (last press that was stopped, when): Stop may overtake Generate on its way
        # here. Entries go with their page, and by `sweep` when no page says goodbye.
        self._stopped: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def run(self, session: str, press: int) -> Iterator[Job]:
        """Give a new job an unguessable folder of its own; it ends with the block.

        The job starts stopped when Stop overtook it.
        """
        token = secrets.token_urlsafe(24)
        job = Job(session, press, self._folder / token)
        job.folder.mkdir(mode=0o700, parents=True)
        with self._lock:
            self._jobs[token] = job
            if press <= self._last_stopped(session):
                job.stop.set()
        try:
            yield job
        finally:
            job.stop.set()
            job.ended = time.monotonic()

    def write(self, job: Job, result: Result, alone: bool) -> list[Download]:
        """Write the downloads of one finished video; with a job's first also the poses.

        Args:
            job: whose folder they are written to.
            result: of one method.
            alone: whether this is the job's only method.

        Raises:
            OutputError: a file cannot be written.
        """
        method = "" if alone else result.request.method
        end = f"_{method}" if method else ""
        first = not job.files
        video, record = f"video{end}.mp4", f"request{end}.json"
        write_video(job.folder / video, result.video)
        outputs.write_request(job.folder / record, result)
        made = [
            self._download(job, "video", video, "Generated video (mp4)", method),
            self._download(job, "request", record, "Request and timings (json)", method),
        ]
        if first:
            poses = result.poses
            outputs.write_poses(job.folder / "poses.npz", poses)
            outputs.write_poses_video(job.folder / "poses.mp4", poses)
            outputs.write_pose_video(job.folder / "pose.mp4", poses.reprojected, poses.frame_times)
            made[1:1] = [
                self._download(job, "poses", "poses.npz", "Poses of all stages (npz)"),
                self._download(job, "poses_video", "poses.mp4", "Stages side by side (mp4)"),
                self._download(
                    job, "pose_video", "pose.mp4", "Skeleton for other generators, OpenPose (mp4)"
                ),
            ]
        self._discard_if_closed(job)
        return made

    def write_comparison(self, job: Job, results: list[Result]) -> list[Download]:
        """Write the videos of several methods side by side as one mp4."""
        videos = {result.request.method: result.video for result in results}
        write_video(job.folder / "comparison.mp4", comparison_video(results[0].poses, videos))
        made = [
            self._download(job, "comparison", "comparison.mp4", "All methods side by side (mp4)")
        ]
        self._discard_if_closed(job)
        return made

    def _download(self, job: Job, key: str, name: str, text: str, method: str = "") -> Download:
        job.files[name] = MEDIA[Path(name).suffix]
        return Download(key, f"files/results/{job.folder.name}/{name}", text, method)

    def _discard_if_closed(self, job: Job) -> None:
        """Delete files that were written while their page was being closed."""
        with self._lock:
            kept = job.folder.name in self._jobs
        if not kept:
            shutil.rmtree(job.folder, ignore_errors=True)

    def stop(self, session: str, press: int) -> list[Job]:
        """Stop a session's jobs up to a press of Generate; return those that were running."""
        with self._lock:
            self._stopped[session] = (max(press, self._last_stopped(session)), time.monotonic())
        return self._stop_running(session, press)

    def close_session(self, session: str) -> None:
        """Stop a session's jobs and delete their files: its page was closed.

        Gradio removes the jobs that still wait for their turn.
        """
        self._stop_running(session, sys.maxsize)
        with self._lock:
            self._stopped.pop(session, None)
        self._delete(lambda job: job.session == session)

    def sweep(self) -> None:
        """Delete the results of jobs that ended over an hour ago."""
        oldest = time.monotonic() - KEEP_SECONDS
        with self._lock:
            self._stopped = {
                session: stopped
                for session, stopped in self._stopped.items()
                if stopped[1] >= oldest
            }
        self._delete(lambda job: job.ended is not None and job.ended < oldest)

    def find_file(self, token: str, name: str) -> tuple[Path, str] | None:
        """Path and media type of a download, or None when there is no such job or file."""
        with self._lock:
            job = self._jobs.get(token)
        if job is None or name not in job.files:
            return None
        path = job.folder / name
        return (path, job.files[name]) if path.is_file() else None

    def _last_stopped(self, session: str) -> int:
        return self._stopped.get(session, (0, 0.0))[0]

    def _stop_running(self, session: str, press: int) -> list[Job]:
        with self._lock:
            running = [
                job
                for job in self._jobs.values()
                if job.session == session and job.press <= press and not job.stop.is_set()
            ]
        for job in running:
            job.stop.set()
        return running

    def _delete(self, chosen: Callable[[Job], bool]) -> None:
        with self._lock:
            tokens = [token for token, job in self._jobs.items() if chosen(job)]
            jobs = [self._jobs.pop(token) for token in tokens]
        for job in jobs:
            shutil.rmtree(job.folder, ignore_errors=True)
