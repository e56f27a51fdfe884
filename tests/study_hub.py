"""A small server that speaks the Hub's HTTP protocol for one account's data set repositories."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"  # noqa: S105  (of a server that lives for one test)


@dataclass
class Repository:
    """A data set repository: its files by path, and how many commits its history has."""

    private: bool = True
    files: dict[str, bytes] = field(default_factory=dict)
    history: int = 0


@dataclass
class FakeHub:
    """What the Hub holds and was asked.

    Attributes:
        repositories: id -> repository.
        asked: method and path of every request.
        url: where it answers.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, bytes]:
        """Status and content of one request; without the right token there is nothing at all."""
        self.asked.append(f"{method} {path}")
        if token != f"Bearer {TOKEN}":
            return 401, b"{}"
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
            if name in self.repositories:
                return 409, json.dumps({"url": f"{self.url}/datasets/{name}"}).encode()
            self.repositories[name] = Repository(private=wanted["visibility"] == "private")
            return 200, json.dumps({"url": f"{self.url}/datasets/{name}"}).encode()
        kind, _, rest = path.removeprefix("/api").strip("/").partition("/")
        name = "/".join(rest.split("/")[:2])
        repository = self.repositories.get(name)
        if kind != "datasets" or repository is None:
            return 404, b"{}"
        act = rest.removeprefix(name).strip("/")
        if act.startswith("resolve/main/"):
            content = repository.files.get(act.removeprefix("resolve/main/"))
            return (404, b"") if content is None else (200, content)
        return 200, json.dumps(self._said(repository, name, act, body)).encode()

    def _said(self, repository: Repository, name: str, act: str, body: bytes) -> object:
        oids = {
            path: hashlib.sha1(each, usedforsecurity=False).hexdigest()
            for path, each in repository.files.items()
        }
        if act in ("", "revision/main"):
            return {"id": name, "sha": "0" * 40, "private": repository.private, "tags": []}
        if act == "tree/main":
            return [
                {"type": "file", "path": path, "oid": oids[path], "size": len(content)}
                for path, content in repository.files.items()
            ]
        if act == "preupload/main":
            named = [each["path"] for each in json.loads(body)["files"]]
            return {
                "files": [
                    {"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in named
                ]
            }
        if act == "commit/main":
            repository.history += 1
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    repository.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del repository.files[value["path"]]
            return {
                "success": True,
                "commitOid": "1" * 40,
                "commitUrl": f"{self.url}/datasets/{name}/commit/1",
            }
        assert act == "super-squash/main", act
        repository.history = 1
        return {}


@contextmanager
def served() -> Iterator[FakeHub]:
    """A hub on a free port."""
    fake = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            token = self.headers.get("Authorization", "")
            status, content = fake.answer(self.command, path, body, token)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "1" * 40)
            if status == 401:
                self.send_header("X-Error-Message", "Invalid credentials in Authorization header")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()
