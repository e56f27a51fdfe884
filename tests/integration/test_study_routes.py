"""A rater's whole way through the routes, as the page goes it; and what the runner sees of it."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from study_folder import close_study, make_study

from study import identities
from study.folder import Milestones, write_milestones
from study.open_study import OpenStudy
from study.routes import routes
from study.store import rows, run


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_study(tmp_path_factory.mktemp("study") / "small").root


@pytest.fixture
def study(made, tmp_path) -> Iterator[OpenStudy]:
    import shutil

    root = tmp_path / "small"
    shutil.copytree(made, root)
    with OpenStudy(root, snapshot_seconds=0) as opened:
        yield opened


@pytest.fixture
def client(study) -> TestClient:
    return TestClient(Starlette(routes=[Mount("/s/small", routes=routes(study))]), "http://study")


class Rater:
    """A browser that does what the page does."""

    def __init__(self, client: TestClient, study: OpenStudy) -> None:
        self.client, self.study = client, study
        self.token = ""

    def ask(self, method: str, path: str, body: object = None, status: int = 200):
        answer = self.client.request(
            method,
            f"/s/small/{path}",
            json=({} if body is None else body) if method == "POST" else None,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def enter(self, source: str = "open", **names: str) -> "Rater":
        body = {"source": source, "names": names, "language": "en", "agreed": True}
        self.token = self.ask("POST", "enter", body)["token"]
        return self

    def begin(self) -> "Rater":
        self.ask("POST", "questions", {"answers": {"expertise": "expert", "remarks": "hm"}})
        self.ask("POST", "playback", {"outcome": "ok"})
        return self

    def watch(self, position: int) -> dict:
        page = self.ask("GET", f"pages/{position}?language=en")
        for address in (page["left"], page["right"]):
            assert self.client.get(f"/s/small/{address}").status_code == 200
        self.ask("POST", f"pages/{position}/shown")
        with self.study.store.transaction() as database:  # the waiting, without waiting
            run(database, "update assignments set shown_at = shown_at - 60")
        self.ask("POST", f"pages/{position}/seen")
        return page

    def answer(self, position: int, side: str, dimension: str, score: int, key: str = "") -> dict:
        return {
            "position": position,
            "side": side,
            "dimension": dimension,
            "score": score,
            "seconds": 2.5,
            "key": key or uuid.uuid4().hex,
        }

    def score(self, position: int, score: int = 3) -> None:
        for side in ("left", "right"):
            for dimension in ("text", "overall"):
                self.ask("POST", "answers", self.answer(position, side, dimension, score))

    def go_through(self) -> dict:
        for position in range(self.ask("GET", "session")["pages"]):
            self.watch(position)
            self.score(position)
        return self.ask("POST", "finish")


@pytest.fixture
def rater(client, study) -> Rater:
    return Rater(client, study)


def test_the_whole_way_and_the_code_at_its_end(rater):
    assert rater.enter().ask("GET", "session")["stage"] == "questions"
    rater.begin()
    refused = rater.ask("POST", "finish", status=409)
    assert refused["code"] == "incomplete"
    ended = rater.go_through()
    pages = rater.ask("GET", "session")["pages"]
    # 3 methods x 2 items, a fifth repeated, 1 training, 1 gold
    assert (pages, ended["counted"]) == (9, 9)
    assert ended["completion"] == {"code": "CODE77", "link": ""}
    assert rater.ask("GET", "session")["completion"]["code"] == "CODE77"


def test_prolific_people_come_back_to_their_session_and_get_their_link(client, study):
    names = {"PROLIFIC_PID": "5f3c0ffee0ddba11", "STUDY_ID": "abc", "SESSION_ID": "s1"}
    first = Rater(client, study).enter("prolific", **names)
    again = Rater(client, study).enter("prolific", **{**names, "SESSION_ID": "s2"})
    assert again.token == first.token
    ended = first.begin().go_through()
    assert ended["completion"]["link"].endswith("cc=CODE77")


def test_a_prolific_link_without_its_session_is_refused(rater):
    names = {"PROLIFIC_PID": "a", "STUDY_ID": "b"}
    body = {"source": "prolific", "names": names, "language": "en", "agreed": True}
    assert rater.ask("POST", "enter", body, status=422)["code"] == "invalid"


def test_nothing_is_stored_before_somebody_agrees(rater, study):
    body = {"source": "open", "names": {}, "language": "en", "agreed": False}
    assert rater.ask("POST", "enter", body, status=422)["code"] == "invalid"
    with study.store.view() as database:
        assert rows(database, "select * from sessions") == []


def test_an_invited_person_resumes_at_the_same_page_with_the_same_answers(client, study):
    # Bug: a reload starts over or loses answers (jsPsych #3573).
    code = identities.invite(study.store, study.keys, 1, "runner")[0]
    first = Rater(client, study).enter("invite", invite=code).begin()
    page = first.watch(0)
    first.score(0)
    first.watch(1)
    first.ask("POST", "answers", first.answer(1, "left", "text", 5))
    later = Rater(client, study).enter("invite", invite=code)
    assert later.ask("GET", "session")["position"] == 1
    again = later.ask("GET", "pages/1?language=en")
    assert again["given"] == [{"side": "left", "dimension": "text", "score": 5, "revision": 1}]
    assert later.ask("GET", "pages/0")["left"] == page["left"]
    assert again["seen"] is True


def test_answers_change_by_revision_and_the_last_counts(rater, study):
    rater.enter().begin()
    rater.watch(0)
    rater.score(0, 2)
    changed = rater.ask("POST", "answers", rater.answer(0, "left", "text", 5))
    assert changed == {"saved": True, "revision": 2, "complete": True}
    given = rater.ask("GET", "pages/0")["given"]
    assert {(each["side"], each["dimension"]): each["score"] for each in given} == {
        ("left", "text"): 5,
        ("left", "overall"): 2,
        ("right", "text"): 2,
        ("right", "overall"): 2,
    }


def test_side_and_clip_are_stored_with_every_answer(rater, study):
    # Bug: the side a clip was shown on is not stored (listen-and-rate #5).
    from study.answers import final_answers

    rater.enter().begin().go_through()
    with study.store.view() as database:
        table = final_answers(database)
        shown = {
            (row["position"], row["slot"]): row["file"]
            for row in rows(
                database,
                "select position, slot, file from media"
                " join assignments on assignments.id = assignment",
            )
        }
    assert len(table) == 8 * 4, "8 pages that are no training, 2 sides, 2 dimensions"
    for row in table:
        assert row["clip"] == shown[row["position"], row["side"]]
    assert sum(row["repeat"] for row in table) == 4
    assert sum(row["gold"] for row in table) == 4


def test_closing_takes_effect_at_once(rater, study, client):
    # Bug: a study that was closed goes on taking answers until the server is started anew.
    rater.enter().begin()
    page = rater.watch(0)
    close_study(study.folder)
    answer = rater.answer(0, "left", "text", 5)
    assert rater.ask("POST", "answers", answer, status=403)["code"] == "closed"
    assert rater.ask("POST", "enter", {}, status=403)["code"] == "closed"
    assert client.get(f"/s/small/{page['left']}").status_code == 404


def test_nobody_finishes_once_results_may_have_been_read(rater, study):
    # Bug: a rater who ends after the unblinding is added to results that somebody has seen.
    rater.enter().begin()
    for position in range(rater.ask("GET", "session")["pages"]):
        rater.watch(position)
        rater.score(position)
    write_milestones(study.folder, Milestones("2026-01-01", closed="2026-01-02", unblinded="3"))
    assert rater.ask("POST", "finish", status=403)["code"] == "closed"
    close_study(study.folder)
    assert rater.ask("POST", "finish")["counted"] == 9


def test_withdrawal_gives_a_receipt_and_ends_the_session(rater, study):
    rater.enter().begin()
    rater.watch(0)
    rater.score(0)
    receipt = rater.ask("POST", "withdraw")
    assert receipt["answers"] == 4
    assert len(receipt["receipt"]) == 16
    assert rater.ask("GET", "session", status=410)["code"] == "withdrawn"


def test_videos_come_whole_or_in_parts_with_the_same_headers(rater, client):
    # Bug: Safari shows no video without ranges; a time or a tag tells clips apart.
    rater.enter().begin()
    page = rater.ask("GET", "pages/0")
    heads = []
    for address in (page["left"], page["right"]):
        whole = client.get(f"/s/small/{address}")
        heads.append(dict(whole.headers))
        size = len(whole.content)
        for wanted, part in (
            ("bytes=0-1", slice(0, 2)),
            ("bytes=100-", slice(100, size)),
            ("bytes=-5", slice(size - 5, size)),
            (f"bytes=10-{size * 2}", slice(10, size)),
        ):
            got = client.get(f"/s/small/{address}", headers={"Range": wanted})
            assert got.status_code == 206
            assert got.content == whole.content[part]
            begin, end, _ = part.indices(size)
            assert got.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
        beyond = client.get(f"/s/small/{address}", headers={"Range": f"bytes={size}-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
        for odd in ("bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=x-y"):
            assert client.get(f"/s/small/{address}", headers={"Range": odd}).status_code == 200
    assert heads[0] == heads[1]
    assert not {"etag", "last-modified", "content-disposition"} & set(heads[0])


def test_the_board_tells_how_it_goes(client, study):
    first = Rater(client, study).enter().begin()
    first.go_through()
    second = Rater(client, study).enter().begin()
    second.ask("POST", "pages/0/shown")
    second.ask("POST", "pages/0/cannot-play", {"reason": "grey boxes"})
    key = study.keys.hash("runner", "board")
    seen = client.get("/s/small/board", headers={"Authorization": f"Bearer {key}"}).json()
    assert (seen["entered"], seen["done"], seen["active"]) == (2, 1, 1)
    # Everything was scored 3, and the check wants overall left 1 or 2.
    assert seen["attention"] == {"passed": 0, "failed": 1}
    assert seen["missing"]["unplayable"] == [{"reason": "grey boxes", "pages": 1}]
    assert seen["minutes_per_page"] == pytest.approx(2.5 / 60, abs=1e-3)
    assert seen["answers"] == 9 * 4


def test_the_board_is_the_runners_alone(client, rater):
    rater.enter()
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {rater.token}"}):
        assert client.get("/s/small/board", headers=headers).status_code == 401


def test_two_raters_get_two_sequences(client, study):
    for _ in range(6):
        Rater(client, study).enter()
    with study.store.view() as database:
        taken = [row["sequence"] for row in rows(database, "select sequence from sessions")]
    assert sorted(taken) == list(range(6))
