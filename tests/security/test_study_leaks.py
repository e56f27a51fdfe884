"""Whatever a rater's browser can see is crawled for the methods, paths, seeds and the design."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from study_folder import METHODS, make_study

from study.open_study import OpenStudy
from study.routes import RATER, routes
from study.store import rows, run


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[OpenStudy]:
    root = make_study(tmp_path_factory.mktemp("study") / "small").root
    with OpenStudy(root, snapshot_seconds=0) as opened:
        yield opened


class Seen:
    """A rater's browser that keeps every byte it was sent, and says where it came from."""

    def __init__(self, study: OpenStudy) -> None:
        self.study = study
        self.client = TestClient(Starlette(routes=routes(study)), "http://study")
        self.token = ""
        self.answers: list[tuple[str, dict[str, str], bytes]] = []
        self.pages: list[dict] = []

    def ask(self, method: str, path: str, body: object = None, **headers: str):
        answer = self.client.request(
            method,
            path,
            json=body,
            headers={"Authorization": f"Bearer {self.token}", **headers},
        )
        self.answers.append((f"{method} {path}", dict(answer.headers), answer.content))
        return answer

    def go_through(self) -> "Seen":
        for path in RATER.iterdir():
            self.ask("GET", f"/rater/{path.name}")
        self.ask("GET", "/")
        for language in ("en", "zh"):
            self.ask("GET", f"/study?language={language}")
        entry = {"source": "open", "names": {}, "language": "en", "agreed": True}
        self.token = self.ask("POST", "/enter", entry).json()["token"]
        self.ask("POST", "/questions", {"answers": {"expertise": "none"}})
        self.ask("POST", "/playback", {"outcome": "ok"})
        total = self.ask("GET", "/session").json()["pages"]
        for position in range(total):
            page = self.ask("GET", f"/pages/{position}").json()
            self.pages.append(page)
            for address in (page["left"], page["right"], *page["videos"], *page["images"]):
                self.ask("GET", f"/{address}")
                self.ask("GET", f"/{address}", Range="bytes=0-99")
            self.ask("POST", f"/pages/{position}/shown", {})
            self.ask("POST", f"/pages/{position}/seen", {})
            with self.study.store.transaction() as database:
                run(database, "update assignments set shown_at = shown_at - 60")
            self.ask("POST", f"/pages/{position}/seen", {})
            for side in ("left", "right"):
                for dimension in ("text", "overall"):
                    self.ask("POST", "/answers", self.answer(position, side, dimension))
        self.ask("POST", "/finish", {})
        self.ask("GET", "/session")
        for path in ("/board", "/nothing", "/media/x", "/pages/99", "/health"):
            self.ask("GET", path)
        self.ask("POST", "/answers", {"score": 6})
        return self

    @staticmethod
    def answer(position: int, side: str, dimension: str) -> dict[str, object]:
        return {
            "position": position,
            "side": side,
            "dimension": dimension,
            "score": 3,
            "seconds": 2.0,
            "key": uuid.uuid4().hex,
        }


@pytest.fixture(scope="module")
def seen(study) -> Seen:
    return Seen(study).go_through()


def forbidden(study: OpenStudy) -> dict[str, str]:
    """Word -> why it must not be seen."""
    words = dict.fromkeys(METHODS, "a method")
    words |= dict.fromkeys(
        (str(study.folder.root), study.folder.root.name + "/", "map.json", "study.sqlite"), "a path"
    )
    words |= {file.stem: "the stored name of a clip" for file in study.folder.media.iterdir()}
    words |= {extra.id: "the name of a check" for extra in study.definition.gold}
    words |= {extra.id: "the name of a practice page" for extra in study.definition.training}
    words |= {item.id: "the name of an item" for item in study.definition.items}
    with study.store.view() as database:
        for row in rows(database, "select seed, id from sessions"):
            words[str(row["seed"])] = "a seed of the design"
    return words


def test_no_byte_that_a_rater_gets_names_a_method_a_path_or_a_seed(study, seen):
    # Bug: the model's name leaks in a file name, a header, a container or a configuration
    # (FastChat #1210).
    assert len(seen.answers) > 100
    for where, headers, content in seen.answers:
        everything = json.dumps(headers).encode() + content
        for word, why in forbidden(study).items():
            assert word.lower().encode() not in everything.lower(), f"{where} shows {why}: {word}"


def test_the_design_is_not_in_any_answer(seen):
    # Bug: the page is told which item is an attention check or a repeat, or its arm or sequence.
    for where, _, content in seen.answers:
        if where.startswith("GET /rater/") or b"ftyp" in content[:16]:
            continue
        for word in (
            b'"sequence"',
            b'"arm"',
            b'"gold"',
            b'"repeat',
            b'"expect',
            b'"seed"',
            b'"clip',
        ):
            assert word not in content, f"{where} shows {word}"


def test_checks_and_repeats_look_like_any_other_page(study, seen):
    with study.store.view() as database:
        kinds = rows(database, "select kind, repeated from assignments order by position")
    rated = [page for page, row in zip(seen.pages, kinds, strict=True) if row["kind"] != "training"]
    assert {row["kind"] for row in kinds} == {"training", "rating", "gold"}
    assert any(row["repeated"] for row in kinds)
    shapes = {
        tuple((name, type(part).__name__, len(part) if name in ("left", "right") else 0))
        for page in rated
        for name, part in page.items()
    }
    assert len(shapes) == len(rated[0]), "a page can be told apart by the shape of its fields"
    assert not any(page["training"] or page["note"] or page["hints"] for page in rated)


def test_no_address_is_used_twice_or_guessable(study, seen):
    # Bug: the same clip has the same address on another page or for another rater.
    another = Seen(study).go_through()
    addresses = [
        address
        for browser in (seen, another)
        for page in browser.pages
        for address in (page["left"], page["right"], *page["videos"], *page["images"])
    ]
    assert len(addresses) == len(set(addresses))
    assert {len(address) for address in addresses} == {len("media/") + 24}


def test_all_videos_come_with_the_same_headers_and_size(seen):
    videos = [
        (tuple(sorted(headers.items())), len(content))
        for where, headers, content in seen.answers
        if where.startswith("GET /media/") and headers.get("content-type") == "video/mp4"
    ]
    assert len(videos) >= 40
    assert len(set(videos)) == 2, "one answer for a whole video and one for its first 100 bytes"


def test_nothing_is_asked_from_elsewhere():
    for path in RATER.iterdir():
        if path.suffix == ".mp4":
            continue
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        for word in ("http://", "https://", "//cdn", "@import", "url("):
            assert word not in text, f"{path.name} has {word!r}"


def test_pages_have_no_inline_script_and_a_policy_that_forbids_it(seen):
    page = (RATER / "index.html").read_text("utf-8")
    assert "<script>" not in page
    assert " on" not in page.split("<body>")[1].replace(" online", "")
    assert "style=" not in page
    for where, headers, _ in seen.answers:
        if "404" in where or where == "GET /nothing":
            continue
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["referrer-policy"] == "no-referrer", where
        assert headers["x-content-type-options"] == "nosniff"


def test_the_rater_page_is_light(study):
    client = Seen(study).client
    total = 0
    for path in RATER.iterdir():
        if path.suffix == ".mp4":
            continue
        reply = client.get(f"/rater/{path.name}")
        assert reply.headers["content-encoding"] == "gzip"
        assert reply.content == path.read_bytes()
        total += int(reply.headers["content-length"])
        plain = client.get(f"/rater/{path.name}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
    assert total < 36_000


def test_a_finished_or_withdrawn_raters_addresses_are_dead(study):
    one = Seen(study).go_through()
    for page in one.pages:
        assert one.client.get(f"/{page['left']}").status_code == 404


def test_snapshots_and_the_log_hold_no_method(study, tmp_path):
    from study.backup import take

    snapshot = take(study.folder.database, tmp_path)
    content = (tmp_path / snapshot.file).read_bytes()
    for method in METHODS:
        assert method.encode() not in content
    key = Path(study.folder.secret / "identity.key").read_text().strip()
    assert bytes.fromhex(key) not in content
    assert key.encode() not in content
