"""A rater's way through the routes, as the page goes it, and what the administrator sees."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from study_folder import close_study, make_study
from study_rater import Rater

from study import board, identities
from study.errors import StudyError
from study.folder import Milestones, write_milestones
from study.open_study import OpenStudy
from study.routes import SAFE_HEADERS, routes
from study.store import rows


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
    told = {"skipped": 0, "most_skipped": 1, "enough": True}
    assert ended["completion"] == {"code": "CODE77", "link": "", **told}
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
    code = identities.invite(study.store, study.keys, 1, "me")[0]
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
        for odd in ("bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=x-y", "bytes=5-2"):
            assert client.get(f"/s/small/{address}", headers={"Range": odd}).status_code == 200
        # Bug: int() takes no more than 4300 digits, and the digits of every script.
        for many in ("9" * 5000, "0" * 5000 + "1"):
            beyond = client.get(f"/s/small/{address}", headers={"Range": f"bytes={many}-"})
            assert beyond.status_code == (416 if many[0] == "9" else 206)
            last = client.get(f"/s/small/{address}", headers={"Range": f"bytes=-{many}"})
            assert len(last.content) == (size if many[0] == "9" else 1)
        arabic = {"Range": "bytes=\u0660-\u0661".encode()}
        assert client.get(f"/s/small/{address}", headers=arabic).status_code == 200
    assert heads[0] == heads[1]
    assert not {"etag", "last-modified", "content-disposition"} & set(heads[0])


def test_the_board_tells_how_it_goes(client, study):
    first = Rater(client, study).enter().begin()
    first.go_through()
    second = Rater(client, study).enter().begin()
    second.ask("POST", "pages/0/shown")
    second.ask("POST", "pages/0/cannot-play", {"reason": "grey boxes"})
    with study.store.view() as database:
        seen = board.board(study.definition, study.store.clock, database)
    assert (seen["entered"], seen["done"], seen["active"]) == (2, 1, 1)
    # Everything was scored 3, and the check wants overall left 1 or 2.
    assert seen["attention"] == {"passed": 0, "failed": 1}
    assert seen["missing"]["unplayable"] == [{"reason": "grey boxes", "pages": 1}]
    assert seen["minutes_per_page"] == pytest.approx(2.5 / 60, abs=1e-3)
    assert seen["answers"] == 9 * 4


def test_two_raters_get_two_sequences(client, study):
    for _ in range(6):
        Rater(client, study).enter()
    with study.store.view() as database:
        taken = [row["sequence"] for row in rows(database, "select sequence from sessions")]
    assert sorted(taken) == list(range(6))


def test_an_odd_page_number_is_no_page(rater, client):
    # Bug: 500 for what int() does not take.
    rater.enter().begin()
    headers = {"Authorization": f"Bearer {rater.token}"}
    for position in ("9" * 5000, "-1", "1.5", "%D9%A1", "%E2%91%A1", "0x1", "1_0", "999999999"):
        for method, act in (("GET", ""), ("POST", "/shown"), ("POST", "/seen")):
            address = f"/s/small/pages/{position}{act}"
            answer = client.request(method, address, headers=headers, json={})
            assert answer.status_code in (404, 409), answer.text
            assert_safe(answer)


def assert_safe(answer) -> None:
    """One JSON sentence, under the safe headers, that names no file of the server."""
    for name, text in SAFE_HEADERS.items():
        assert answer.headers[name] == text
    assert set(answer.json()) == {"code", "sentence"}
    assert "/" not in answer.json()["sentence"]


def test_every_error_is_one_sentence_under_the_safe_headers(study, monkeypatch):
    # Bug: what no route expected, and an unknown address, were answered without those headers.
    from study import pages

    app = Starlette(routes=routes(study))
    client = TestClient(app, "http://study", raise_server_exceptions=False)
    assert client.get("/nothing").status_code == 404
    assert_safe(client.get("/nothing/at/all"))
    for error, status in (
        (StudyError("/srv/studies/small/clips.json is damaged"), 503),
        (OSError(5, "Input/output error", "/srv/studies"), 500),
        (KeyError("x"), 500),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(pages, "study_texts", fail)
        answer = client.get("/study")
        assert answer.status_code == status
        assert_safe(answer)


def test_a_damaged_phase_is_told_calmly(study):
    # Bug: 500, for whoever came.
    client = TestClient(Starlette(routes=routes(study)), raise_server_exceptions=False)
    for content in (
        b"",
        b"{",
        b"[1]",
        b"null",
        b'{"opened": 5}',
        b'{"a": "x"}',
        b"\xff",
        b"9" * 5000,
    ):
        study.folder.milestones.write_bytes(content)
        answer = client.get("/health")
        assert answer.status_code == 503, content
        assert_safe(answer)


def test_a_lost_reply_makes_no_second_rater(rater, study):
    # Bug: `enter` had no key: the page asked again and one person took two places.
    key = uuid.uuid4().hex
    first = rater.enter(visit=key).token
    assert rater.enter(visit=key).token == first
    assert rater.enter(visit=uuid.uuid4().hex).token != first
    for odd in ("short", "x" * 65, "a b" * 9, ""):
        body = {"source": "open", "names": {"visit": odd}, "language": "en", "agreed": True}
        assert rater.ask("POST", "enter", body, status=422)["code"] == "invalid"
