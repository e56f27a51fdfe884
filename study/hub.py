"""Snapshots kept in a private data set repository, for hosts whose disk does not last (a Space).

Only checked snapshot files go there, never the live database or its write-ahead log, each study in
a folder of its own. When a study is taken for serving, the newest snapshot is put back if it holds
something later than the disk does (`catch_up`), so that a host that lost its disk goes on where the
snapshot ends.

What may be lost with the disk is what was stored since the last push: the time between two
automatic snapshots (10 minutes unless changed) plus the time of one upload. A withdrawal reaches
the repository with the same delay. The rest of the study's folder (study.yaml, clips.json,
phase.json, media/, secret/) does not change while it is open and must be part of the host; the key
of the identities can be given as STUDY_IDENTITY_KEY instead of a file.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study import backup
from study.backup import Snapshot
from study.errors import StudyError
from study.folder import Folder
from study.identities import KEY_VARIABLE

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

REPOSITORY_VARIABLE = "STUDY_SNAPSHOT_REPO"
"""Environment variable (a variable of the Space) that names the repository, as owner/name."""

KEEP = 3
"""Snapshots of a study kept in the repository; older ones are removed from its history too."""


def wanted_repository() -> str | None:
    """The repository that the environment asks for, if any."""
    return os.environ.get(REPOSITORY_VARIABLE) or None


def push(snapshots: Path, repository: str, study: str, api: "HfApi | None" = None) -> None:
    """Push a study's newest snapshots to its folder in a private data set repository.

    All that are kept are sent, not the newest alone: a withdrawal changes earlier ones too. What
    did not change is not sent again (the Hub compares hashes). The history is squashed, so that
    a withdrawn rater's data does not stay in old commits.

    Args:
        snapshots: folder of the study's snapshots.
        repository: owner/name; made, private, when absent. The token comes from HF_TOKEN or the
            login of this machine.
        study: name of the study.
        api: of the Hub; by default a new one.

    Raises:
        StudyError: there is no snapshot, one is damaged, the repository is public, or the Hub
            refused.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api = api or _api()
    with (
        tempfile.TemporaryDirectory(dir=snapshots, prefix=".sent-") as place,
        _sentences(
            f"The snapshots of {study} could not be pushed to {repository}; they are still here. "
            "Check the name, the connection and that the token may write"
        ),
    ):
        files = _copies(snapshots, Path(place))
        _need_private(api, repository)
        operations: list[Any] = [
            CommitOperationAdd(path_in_repo=f"{study}/{name}", path_or_fileobj=Path(place) / name)
            for name in files
        ]
        operations += [
            CommitOperationDelete(path)
            for path in api.list_repo_files(repository, repo_type="dataset")
            if path.startswith(f"{study}/") and path.removeprefix(f"{study}/") not in files
        ]
        api.create_commit(
            repository,
            operations,
            commit_message=f"Snapshots of {study}",
            repo_type="dataset",
        )
        api.super_squash_history(repository, repo_type="dataset")


def pull(repository: str, study: str, to: Path, api: "HfApi | None" = None) -> Path | None:
    """Fetch the newest snapshot of a study, checked, ready to be restored.

    Args:
        repository: owner/name.
        study: name of the study.
        to: folder for it. Design choice: not the study's own snapshots, from which raters who
            withdrew meanwhile are gone.
        api: as in `push`.

    Returns:
        The SQLite file, with its JSON beside it; None when the repository holds none of the study.

    Raises:
        StudyError: it is damaged, the repository is public, or the Hub refused.
    """
    api = api or _api()
    with _sentences(
        f"No snapshot of {study} could be fetched from {repository}. Check the name, the "
        "connection and that the token may read and write"
    ):
        # Without a valid token a private repository looks like none: making it tells them apart.
        _need_private(api, repository)
        there = sorted(
            path
            for path in api.list_repo_files(repository, repo_type="dataset")
            if path.startswith(f"{study}/") and path.endswith(".sqlite")
        )
        if not there:
            return None
        for path in (there[-1], f"{there[-1]}.json"):
            api.hf_hub_download(repository, path, repo_type="dataset", local_dir=to)
    backup.check(to / there[-1])
    return to / there[-1]


def catch_up(folder: Folder, repository: str, api: "HfApi | None" = None) -> Snapshot | None:
    """Restore the newest snapshot of a study if it is newer than the data on disk.

    Args:
        folder: of the study; it is not served yet.
        repository: owner/name.
        api: as in `push`.

    Returns:
        What was restored; None when the disk has everything.

    Raises:
        StudyError: as `pull`; the snapshot is of another study of this name; or the key of the
            raters' identities is gone. Nothing is served then, because raters would start again
            beside the answers that they gave.
    """
    name = folder.root.name
    with tempfile.TemporaryDirectory(dir=folder.root, prefix=".fetched-") as place:
        fetched = pull(repository, name, Path(place), api)
        if fetched is None:
            logger.warning("%s holds no snapshot of %s yet", repository, name)
            return None
        backup.check_same_study(fetched, folder)
        if folder.database.is_file() and backup.latest(fetched) <= backup.latest(folder.database):
            return None
        if KEY_VARIABLE not in os.environ and not folder.identity_key.is_file():
            raise StudyError(
                f"A snapshot of {name} is in {repository}, but the key of its raters' identities "
                f"is not here; put {folder.identity_key} back or set {KEY_VARIABLE} to what it "
                "held."
            )
        restored = backup.restore(fetched, folder.database, "start of the server")
    logger.warning("%s goes on from the snapshot of %s", name, restored.taken_at)
    return restored


def _copies(snapshots: Path, to: Path) -> list[str]:
    """Names of copies of the newest snapshots, which no withdrawal changes while they are sent."""
    with backup.alone(snapshots):
        kept = backup.listed(snapshots)[-KEEP:]
        if not kept:
            raise StudyError(f"{snapshots} holds no snapshot; take one first.")
        files = [name for each in kept for name in (each.file, f"{each.file}.json")]
        for name in files:
            shutil.copyfile(snapshots / name, to / name)
    for each in kept:
        backup.check(to / each.file)
    return files


def _api() -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="study")


def _need_private(api: "HfApi", repository: str) -> None:
    api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
    if not api.repo_info(repository, repo_type="dataset").private:
        raise StudyError(
            f"{repository} is public; answers of people go to a private repository only. Make it "
            "private or name another one."
        )


@contextlib.contextmanager
def _sentences(trouble: str) -> Iterator[None]:
    """Turn errors of the Hub and the connection into one sentence a person can act on."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StudyError(f"{trouble} ({reason}).") from error
