"""Snapshots kept in a private data set repository, for hosts whose disk does not last (a Space).

Only checked snapshot files go there, never the live database or its write-ahead log. What may be
lost when the host's disk is lost is what was stored since the last push: the time between two
automatic snapshots (10 minutes unless changed) plus the time of one upload.
"""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study import backup
from study.errors import StudyError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

REPOSITORY_VARIABLE = "STUDY_SNAPSHOT_REPO"
"""Environment variable (a variable of the Space) that names the repository, as owner/name."""

KEEP = 3
"""Snapshots kept in the repository; older ones leave its history too."""


def wanted_repository() -> str | None:
    """The repository that the environment asks for, if any."""
    return os.environ.get(REPOSITORY_VARIABLE) or None


def push(snapshot: Path, repository: str, api: "HfApi | None" = None) -> None:
    """Put one snapshot into a private data set repository and forget old ones.

    The history is squashed, so that what a withdrawn rater gave does not stay in old commits.

    Args:
        snapshot: the SQLite file of a snapshot, with its JSON beside it.
        repository: owner/name; made, private, when absent. The token comes from HF_TOKEN or the
            login of this machine.
        api: of the Hub; by default a new one.

    Raises:
        StudyError: it is no snapshot, the repository is public, or the Hub refused.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    note = snapshot.with_name(snapshot.name + ".json")
    backup.check(snapshot)
    api = api or _api()
    try:
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        if not api.repo_info(repository, repo_type="dataset").private:
            raise StudyError(
                f"{repository} is public; answers of people go to a private repository only. Make "
                "it private or name another one."
            )
        there = _snapshots(api, repository)
        operations: list[Any] = [
            CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file)
            for file in (snapshot, note)
        ]
        for old in [name for name in there if name != snapshot.name][: -KEEP + 1]:
            operations += [CommitOperationDelete(old), CommitOperationDelete(f"{old}.json")]
        api.create_commit(
            repository,
            operations,
            commit_message=f"Snapshot {snapshot.stem}",
            repo_type="dataset",
        )
        api.super_squash_history(repository, repo_type="dataset")
    except (HfHubHTTPError, OSError) as error:
        raise StudyError(
            f"The snapshot {snapshot.name} could not be pushed to {repository} ({error}); it is "
            "still here. Check the name, the connection and that the token may write."
        ) from error


def pull(repository: str, to: Path, api: "HfApi | None" = None) -> Path:
    """Fetch the newest snapshot of a repository, checked, ready to be restored.

    Args:
        repository: owner/name.
        to: folder for it.
        api: as in `push`.

    Returns:
        The SQLite file; its JSON lies beside it.

    Raises:
        StudyError: there is none, it is not whole, or the Hub refused.
    """
    from huggingface_hub.errors import HfHubHTTPError

    api = api or _api()
    try:
        there = _snapshots(api, repository)
        if not there:
            raise StudyError(f"{repository} holds no snapshot; push one first.")
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in (there[-1], f"{there[-1]}.json"):
            api.hf_hub_download(repository, name, repo_type="dataset", local_dir=to)
    except (HfHubHTTPError, OSError) as error:
        raise StudyError(
            f"No snapshot could be fetched from {repository} ({error}); check the name, the "
            "connection and that the token may read."
        ) from error
    backup.check(to / there[-1])
    return to / there[-1]


def _api() -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(library_name="study")


def _snapshots(api: "HfApi", repository: str) -> list[str]:
    files = api.list_repo_files(repository, repo_type="dataset")
    return sorted(name for name in files if name.endswith(".sqlite"))
