"""A study built from real files is served, and everything a rater receives is searched."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from study_clips import make_clips
from study_secrets import leaks, secret_words

from study.__main__ import main
from study.blinding import BlindingMap, Origin
from study.folder import Folder
from study.open_study import OpenStudy
from study.routes import RATER, routes
from study.store import run


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[OpenStudy]:
    clips = make_clips(tmp_path_factory.mktemp("clips"))
    studies = tmp_path_factory.mktemp("studies")
    assert main(["--studies", str(studies), "new", "served", "--videos", str(clips)]) == 0
    path = studies / "served" / "study.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("open_link: false", "open_link: true"), "utf-8")
    assert main(["--studies", str(studies), "open", "served"]) == 0
    with OpenStudy(studies / "served", snapshot_seconds=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def received(study) -> dict[str, bytes]:
    """Address -> headers and content, of everything on a rater's way to the last page."""
    client = TestClient(Starlette(routes=routes(study)), "http://study")
    token = ""
    kept: dict[str, bytes] = {}

    def ask(method: str, path: str, body: object = None) -> dict:
        bearer = {"Authorization": f"Bearer {token}"}
        answer = client.request(method, path, json=body, headers=bearer)
        assert answer.status_code == 200, answer.text
        kept[f"{method} {path}"] = (
            json.dumps(dict(answer.headers)).encode() + b"\n" + answer.content
        )
        typed = answer.headers["content-type"]
        return answer.json() if typed.startswith("application/json") else {}

    ask("GET", "/")
    for file in RATER.iterdir():
        ask("GET", f"/rater/{file.name}")
    ask("GET", "/study?language=zh")
    entry = {"source": "open", "names": {}, "language": "en", "agreed": True}
    token = ask("POST", "/enter", entry)["token"]
    known = {"expertise": "none", "generation": "none"}
    ask("POST", "/questions", {"answers": known})
    ask("POST", "/playback", {"outcome": "ok"})
    for position in range(ask("GET", "/session")["pages"]):
        page = ask("GET", f"/pages/{position}")
        for address in (page["left"], page["right"], *page["videos"], *page["images"]):
            ask("GET", f"/{address}")
        ask("POST", f"/pages/{position}/shown", {})
        ask("POST", f"/pages/{position}/cannot-play", {"reason": "test"})
        with study.store.transaction() as database:
            run(database, "update assignments set shown_at = shown_at - 60")
    return kept


def words(study: OpenStudy) -> frozenset[str]:
    """The test alone may read the map: the board of an open study cannot."""
    data = json.loads(Folder(Path(study.folder.root)).map.read_text())
    origins = {clip: Origin(**each) for clip, each in data["clips"].items()}
    return secret_words(BlindingMap(tuple(data["methods"]), data["items"], origins, data["salt"]))


def test_nothing_received_names_a_method_a_file_or_a_seed(study, received):
    secrets = words(study)
    assert {"alphanet", "betaflow", "gammawarp", "8_3", "alphanet/8_3.mp4"} <= secrets
    assert sum(address.startswith("GET /media") for address in received) > 30
    for address, content in received.items():
        assert leaks(content, secrets) == (), address
        assert leaks(address.encode(), secrets) == (), address


def test_the_search_would_have_found_one(study, received):
    """The same search on the files as they were handed in finds their metadata."""
    clips = next(iter(json.loads(study.folder.map.read_text())["clips"].values()))
    page = next(content for address, content in received.items() if "/pages/" in address)
    assert leaks(page + clips["method"].encode(), words(study)) == (clips["method"],)


def test_headers_of_all_clips_are_the_same(study, received):
    """A length, a time or a tag of its own would tell one clip from another."""
    sent = [
        content.split(b"\n", 1)[0]
        for address, content in received.items()
        if address.startswith("GET /media") and b"ftyp" in content[:2000]
    ]
    sizes = {len(list(path.read_bytes())) for path in study.folder.media.glob("*.mp4")}
    assert len(set(sent)) <= len(sizes) == 2  # rated clips, practice and checks; references
