"""Fetching public weights from a small server that speaks the Hub's HTTP protocol."""

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from finephys.errors import FinePhysError, RequestError, WeightsError, WeightsMissingError
from finephys.weights import fetch as fetching
from finephys.weights.catalogue import SD15_PARTS, wanted_files
from finephys.weights.fetch import FetchError, fetch
from finephys.weights.lock import read_lock, verify, weights_folder
from finephys.weights.sources import Folder, Hub

PARTS = tuple(part.name for part in SD15_PARTS)
COMMAND = "python -m finephys fetch sd15"
SD, MOTION, POSE = (part.repositories[0] for part in SD15_PARTS)


class FakeHub:
    """Repositories by id, each a table of files, served as the Hub serves them.

    Attributes:
        repositories: id -> path -> bytes.
        cut: path -> bytes after which its connection is dropped.
        asked: (path, Range header) of every download.
    """

    def __init__(self) -> None:
        self.repositories = {SD: files_of(SD15_PARTS[0]), MOTION: files_of(SD15_PARTS[1]),
                             POSE: files_of(SD15_PARTS[2])}  # fmt: skip
        self.cut: dict[str, int] = {}
        self.asked: list[tuple[str, str | None]] = []

    def revision(self, repository: str) -> str:
        content = json.dumps(sorted(map(str, self.repositories[repository].items())))
        return hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path.strip("/")
        for repository, files in self.repositories.items():
            if path.startswith(f"api/models/{repository}"):
                wanted = path.removeprefix(f"api/models/{repository}").rpartition("/")[2]
                if wanted in ("", self.revision(repository)):
                    return self.list(request, repository, files)
            if path.startswith(f"{repository}/resolve/"):
                name = path.split("/", 4)[4]
                if name in files:
                    return self.send(request, name, files[name])
        request.send_response(404)
        request.send_header("X-Error-Code", "RepoNotFound")
        request.send_header("Content-Length", "0")
        request.end_headers()

    def list(
        self, request: BaseHTTPRequestHandler, repository: str, files: dict[str, bytes]
    ) -> None:
        siblings = []
        for name, content in files.items():
            each: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
            if name.endswith(".safetensors"):
                digest = hashlib.sha256(content).hexdigest()
                each["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(each)
        licence = {SD: "creativeml-openrail-m", POSE: "openrail"}.get(repository)
        body = json.dumps(
            {
                "id": repository, "_id": "0" * 24, "sha": self.revision(repository), "tags": [],
                "private": False, "siblings": siblings,
                "cardData": {"license": licence} if licence else {},
            }
        ).encode()  # fmt: skip
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def send(self, request: BaseHTTPRequestHandler, name: str, content: bytes) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((name, wanted))
        begin = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        request.send_response(206 if wanted else 200)
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        request.send_header("Content-Length", str(len(content) - begin))
        if wanted:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        end = self.cut.get(name, len(content))
        request.wfile.write(content[begin:end])
        request.close_connection = True


def files_of(part: Any) -> dict[str, bytes]:
    """Files as such a repository has them, tiny; also some that nobody wants."""
    names = [*part.plain, "README.md", "unet/diffusion_pytorch_model.bin"]
    for component in part.components:
        folder = f"{component}/" if component else ""
        stem = "model" if component == "text_encoder" else "diffusion_pytorch_model"
        names += [f"{folder}config.json", f"{folder}{stem}.safetensors"]
        names += [f"{folder}{stem}.fp16.safetensors"] * (component != "vae")
    return {name: f"{part.name}:{name};".encode() * 3000 for name in names}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    fake = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


def bring(folder: Path, **changed: Any) -> list[str]:
    said: list[str] = []
    asked = {"source": Hub(), "agree": lambda *_: True, "say": said.append}
    fetch("sd15", folder, **asked | changed)
    return said


def test_everything_is_shown_downloaded_and_locked(hub: FakeHub, tmp_path: Path) -> None:
    said = bring(tmp_path / "w")
    for repository in (SD, MOTION, POSE):
        line = next(line for line in said if repository in line)
        assert hub.revision(repository) in line
        assert " MB" in line
    for part, locked in verify(tmp_path / "w", PARTS, COMMAND).items():
        repository = next(each.repositories[0] for each in SD15_PARTS if each.name == part)
        assert locked.revision == hub.revision(repository)
        for name, each in locked.files.items():
            content = (tmp_path / "w" / part / name).read_bytes()
            assert each.sha256 == hashlib.sha256(content).hexdigest()
            assert content in hub.repositories[repository].values()
    names = {name for name, _ in hub.asked}
    assert not any(name.endswith((".bin", ".md")) for name in names)  # pickles never
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in names
    assert "unet/diffusion_pytorch_model.safetensors" not in names  # half the bytes do
    assert not list((tmp_path / "w").rglob("*.partial"))


def test_a_second_fetch_downloads_nothing_heavy(hub: FakeHub, tmp_path: Path) -> None:
    bring(tmp_path)
    hub.asked.clear()
    said = bring(tmp_path, agree=lambda *_: pytest.fail("asked again"))
    assert hub.asked == []
    assert "0.0 MB to download" in said[0]


def test_an_interrupted_download_goes_on_where_it_ended(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a client that begins again, as the Hub's own does in a new process."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    whole = hub.repositories[SD][name]
    hub.cut = {name: 70_000}
    with pytest.raises(FinePhysError, match="run the same command to resume"):
        bring(tmp_path)
    with pytest.raises(WeightsMissingError, match="fetch sd15"):
        verify(tmp_path, PARTS, COMMAND)
    hub.asked.clear()
    hub.cut = {}
    bring(tmp_path, source=Hub())
    ranges = [given for file, given in hub.asked if file == name]
    assert ranges == ["bytes=70000-"]
    assert (tmp_path / "stable-diffusion" / name.replace(".fp16", "")).read_bytes() == whole
    verify(tmp_path, PARTS, COMMAND)


def test_a_changed_file_is_refused_at_load(hub: FakeHub, tmp_path: Path) -> None:
    bring(tmp_path)
    path = tmp_path / "controlnet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[5] ^= 1  # same size
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"controlnet/diffusion_pytorch_model\.safetensors"):
        verify(tmp_path, PARTS, COMMAND)
    path.write_bytes(content[:-9])
    with pytest.raises(WeightsError, match="locked"):
        verify(tmp_path, PARTS, COMMAND)
    bring(tmp_path)
    verify(tmp_path, PARTS, COMMAND)
    path.unlink()
    with pytest.raises(WeightsMissingError, match="is missing"):
        verify(tmp_path, PARTS, COMMAND)


def test_a_file_that_changed_at_its_source_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    """The locked revision answers with other bytes: a mirror that lies."""
    bring(tmp_path)
    fixed = hub.revision(POSE)
    hub.revision = lambda _: fixed  # type: ignore[method-assign]
    name = "diffusion_pytorch_model.fp16.safetensors"
    hub.repositories[POSE][name] = b"x" * len(hub.repositories[POSE][name])
    hub.repositories = {POSE: hub.repositories[POSE]}
    only = SD15_PARTS[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "FETCHABLE", {"sd15": (only,)})
        with pytest.raises(WeightsError, match="no longer the file"):
            bring(tmp_path)
        verify(tmp_path, (only.name,), COMMAND)  # the old one is untouched
        bring(tmp_path, update=True)
    assert (tmp_path / only.name / name.replace(".fp16", "")).read_bytes()[:1] == b"x"


def test_bytes_that_are_not_those_listed_are_deleted(hub: FakeHub, tmp_path: Path) -> None:
    class Wrong(Hub):
        def download(self, listing: Any, file: str, partial: Path) -> None:
            super().download(listing, file, partial)
            partial.write_bytes(b"?" * partial.stat().st_size)

    with pytest.raises(FetchError, match="were listed"):
        bring(tmp_path, source=Wrong())
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".safetensors"]


def test_a_newer_revision_is_left_alone_until_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    bring(tmp_path)
    before = read_lock(tmp_path)["motion-adapter"]
    source = Hub()
    asked = []
    original = source.listing
    source.listing = lambda name, revision: asked.append(revision) or original(name, revision)  # type: ignore[func-returns-value,method-assign]
    bring(tmp_path, source=source)
    assert before.revision in asked
    hub.repositories[MOTION]["config.json"] += b" "
    bring(tmp_path, update=True)
    assert read_lock(tmp_path)["motion-adapter"].revision == hub.revision(MOTION)
    verify(tmp_path, PARTS, COMMAND)


def test_too_small_a_disk_is_said_before_anything_is_written(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=fetching.SPARE))
    with pytest.raises(FetchError, match="free some space"):
        bring(tmp_path / "w")
    assert hub.asked == []
    assert not (tmp_path / "w").exists()


def test_a_declined_licence_brings_nothing(hub: FakeHub, tmp_path: Path) -> None:
    shown: list[str] = []

    def decline(licence: Any, title: str) -> bool:
        shown.append(licence.text)
        return False

    with pytest.raises(FetchError, match="was declined"):
        bring(tmp_path, agree=decline)
    assert hub.asked == []
    assert "pass these restrictions on" in shown[0]
    assert "minors" in shown[0]


def test_a_card_with_another_licence_asks_again(hub: FakeHub, tmp_path: Path) -> None:
    bring(tmp_path)
    asked: list[str] = []
    source = Hub()
    original = source.listing

    def listing(name: str, revision: str | None) -> Any:
        found = original(name, revision)
        licence = "other" if name == MOTION else found.licence
        return type(found)(found.repository, found.revision, licence, found.files)

    source.listing = listing  # type: ignore[method-assign]
    bring(tmp_path, source=source, agree=lambda licence, _: asked.append(licence.name) or True)
    assert asked == ["other"]


def test_a_copy_is_taken_when_the_official_repository_is_gone(hub: FakeHub, tmp_path: Path) -> None:
    copy = SD15_PARTS[0].repositories[1]
    hub.repositories[copy] = hub.repositories.pop(SD)
    said = bring(tmp_path)
    assert any(line.startswith("note:") and copy in line for line in said)
    assert read_lock(tmp_path)["stable-diffusion"].repository == copy
    del hub.repositories[copy]
    with pytest.raises(FetchError, match="HF_ENDPOINT"):
        bring(tmp_path / "other")


@pytest.mark.parametrize("layout", ["plain", "cache"])
def test_a_folder_serves_as_well(hub: FakeHub, tmp_path: Path, layout: str) -> None:
    for repository, files in hub.repositories.items():
        root = tmp_path / "mirror" / repository
        if layout == "cache":
            cache = tmp_path / "mirror" / f"models--{repository.replace('/', '--')}"
            (cache / "refs").mkdir(parents=True)
            (cache / "refs" / "main").write_text("c" * 40)
            root = cache / "snapshots" / ("c" * 40)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    bring(tmp_path / "w", source=Folder(tmp_path / "mirror"))
    assert hub.asked == []
    locked = verify(tmp_path / "w", PARTS, COMMAND)
    assert locked["controlnet"].revision == ("folder" if layout == "plain" else "c" * 40)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FetchError, match="has neither"):
        bring(tmp_path / "w2", source=Folder(tmp_path / "empty"))


def test_what_the_cache_has_is_not_downloaded(hub: FakeHub, tmp_path: Path) -> None:
    name = "diffusion_pytorch_model.fp16.safetensors"
    cache = tmp_path / "cache" / f"models--{POSE.replace('/', '--')}"
    place = cache / "snapshots" / hub.revision(POSE) / name
    place.parent.mkdir(parents=True)
    place.write_bytes(hub.repositories[POSE][name])
    bring(tmp_path / "w")
    assert len([file for file, _ in hub.asked if file == name]) == 1  # the adapter's


def test_where_weights_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv("FINEPHYS_CHECKPOINTS", str(tmp_path))
    assert weights_folder("sd15") == tmp_path / "sd15" / "public"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert weights_folder("sd15") == tmp_path / "hf" / "finephys" / "sd15"
    monkeypatch.setenv("FINEPHYS_WEIGHTS", str(tmp_path / "w"))
    assert weights_folder("sd15") == tmp_path / "w"


def test_the_command_asks_shows_and_verifies(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches a script that agrees to a licence by itself."""
    from finephys.__main__ import _parser

    words = ["fetch", "sd15", "--dir", str(tmp_path / "w")]
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))  # a pipe, not a person
    given = _parser().parse_args(words)
    with pytest.raises(RequestError, match="--accept-licences"):
        given.execute(given)
    assert hub.asked == []
    given = _parser().parse_args([*words, "--accept-licences"])
    given.execute(given)
    said = capsys.readouterr().err
    assert "creativeml-openrail-m" in said
    assert f"FINEPHYS_WEIGHTS={tmp_path / 'w'}" in said
    verify(tmp_path / "w", PARTS, COMMAND)


def test_unknown_names_and_broken_repositories_are_said(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="sd15"):
        fetch("sd99", tmp_path, Hub(), lambda *_: True, print)
    with pytest.raises(LookupError, match="unet"):
        wanted_files(SD15_PARTS[0], {"README.md"})
    (tmp_path / "lock.json").write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        verify(tmp_path, PARTS, COMMAND)
