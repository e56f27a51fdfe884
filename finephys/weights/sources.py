"""Sources of weights: the Hugging Face Hub, a mirror of it, or a folder with its layout."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from finephys.errors import FinePhysError

COMMIT = re.compile(r"[0-9a-f]{40}")


class SourceError(FinePhysError):
    """Weights could not be listed or downloaded."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        size: bytes.
        sha256: in hexadecimal; None where the Hub lists none (small files).
    """

    size: int
    sha256: str | None


@dataclass(frozen=True)
class Listing:
    """A repository at one revision.

    Attributes:
        repository: its id.
        revision: 40 hexadecimal digits, or "folder" where there is none.
        licence: named by its card; empty when it names none.
        files: by path.
    """

    repository: str
    revision: str
    licence: str
    files: dict[str, RemoteFile]


class Source(Protocol):
    """Lists a repository and downloads its files."""

    def listing(self, repository: str, revision: str | None) -> Listing:
        """List a repository at a revision, or at its newest; SourceError when it cannot."""

    def download(self, listing: Listing, file: str, partial: Path) -> None:
        """Write a file to `partial`, resuming an earlier attempt."""


class Hub:
    """The Hub, or the mirror that HF_ENDPOINT names; files in HF_HOME's cache are not downloaded.

    Design choice: partial files are kept and resumed here, since the Hub's own client discards
    those of an interrupted process.
    """

    def __init__(self) -> None:
        from huggingface_hub import HfApi

        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)

    def listing(self, repository: str, revision: str | None) -> Listing:
        """See `Source`."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        try:
            found = self._api.model_info(repository, revision=revision, files_metadata=True)
        except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:
            raise SourceError(f"{repository}: {_first_line(error)}") from error
        if not found.sha or not COMMIT.fullmatch(found.sha):
            raise SourceError(f"{repository}: the Hub named no revision.")
        card: Any = found.card_data
        files = {
            each.rfilename: RemoteFile(each.size or 0, each.lfs.sha256 if each.lfs else None)
            for each in found.siblings or []
        }
        return Listing(repository, found.sha, str((card and card.get("license")) or ""), files)

    def download(self, listing: Listing, file: str, partial: Path) -> None:
        """See `Source`."""
        import httpx2
        from huggingface_hub import hf_hub_url, try_to_load_from_cache
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils._headers import build_hf_headers

        size = listing.files[file].size
        cached = try_to_load_from_cache(listing.repository, file, revision=listing.revision)
        if isinstance(cached, str) and Path(cached).stat().st_size == size:
            shutil.copyfile(cached, partial)
            return
        url = hf_hub_url(
            listing.repository, file, revision=listing.revision, endpoint=self._api.endpoint
        )
        begun = partial.stat().st_size if partial.exists() else 0
        if begun > size:
            partial.unlink()
            begun = 0
        if size and begun == size:
            return
        try:
            with partial.open("ab") as out:
                http_get(
                    url,
                    out,
                    resume_size=begun,
                    headers=build_hf_headers(),
                    expected_size=size,
                    displayed_filename=file,
                )
        except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
            raise SourceError(
                f"{listing.repository}/{file} was interrupted: {_first_line(error)}. The part "
                "that was downloaded is kept; run the same command to resume."
            ) from error


class Folder:
    """A folder with the Hub's layout: ORGANISATION/REPOSITORY/files, or a copy of its cache.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise SourceError(
                f"{root} is not a directory; give one that holds ORGANISATION/REPOSITORY."
            )
        self._root = root

    def _place(self, repository: str, revision: str | None) -> tuple[Path, str]:
        plain = self._root / repository
        if plain.is_dir():
            return plain, "folder"
        cache = self._root / f"models--{repository.replace('/', '--')}"
        main = cache / "refs" / "main"
        wanted = revision or (main.read_text("utf-8").strip() if main.is_file() else "")
        if wanted and (cache / "snapshots" / wanted).is_dir():
            return cache / "snapshots" / wanted, wanted
        raise SourceError(f"{repository}: {self._root} has neither {repository} nor {cache.name}.")

    def listing(self, repository: str, revision: str | None) -> Listing:
        """See `Source`."""
        place, found = self._place(repository, revision)
        files = {
            path.relative_to(place).as_posix(): RemoteFile(path.stat().st_size, None)
            for path in sorted(place.rglob("*"))
            if path.is_file()
        }
        return Listing(repository, found, "", files)

    def download(self, listing: Listing, file: str, partial: Path) -> None:
        """See `Source`."""
        revision = None if listing.revision == "folder" else listing.revision
        shutil.copyfile(self._place(listing.repository, revision)[0] / file, partial)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
