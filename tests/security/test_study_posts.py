"""Forged and broken posts to a study: all refused, nothing stored, nothing typed becomes markup."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient
from study_folder import make_study

from study.open_study import OpenStudy
from study.routes import routes
from study.store import rows, run, value

TABLES = ("sessions", "assignments", "answers", "demographics", "identities", "receipts", "media")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[OpenStudy]:
    root = make_study(tmp_path_factory.mktemp("study") / "small").root
    with OpenStudy(root, snapshot_seconds=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(study) -> TestClient:
    return TestClient(Starlette(routes=routes(study)), "http://study", raise_server_exceptions=True)


def post(client, path, body, token="", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **headers}
    return client.post(path, content=content, headers=named)


def enter(client, study) -> str:
    body = {"source": "open", "names": {}, "language": "en", "agreed": True}
    return post(client, "/enter", body).json()["token"]


def ready(client, study) -> str:
    """A rater whose first page may be scored."""
    token = enter(client, study)
    answers = {"expertise": "none"}
    assert post(client, "/questions", {"answers": answers}, token).status_code == 200
    assert post(client, "/playback", {"outcome": "ok"}, token).status_code == 200
    page = client.get("/pages/0", headers={"Authorization": f"Bearer {token}"}).json()
    for address in (page["left"], page["right"]):
        client.get(f"/{address}")
    post(client, "/pages/0/shown", {}, token)
    with study.store.transaction() as database:
        run(database, "update assignments set shown_at = shown_at - 60")
    assert post(client, "/pages/0/seen", {}, token).status_code == 200
    return token


@pytest.fixture(scope="module")
def token(client, study) -> str:
    return ready(client, study)


def good(**changed):
    answer = {
        "position": 0,
        "side": "left",
        "dimension": "text",
        "score": 3,
        "seconds": 2.0,
        "key": uuid.uuid4().hex,
    }
    return {name: part for name, part in {**answer, **changed}.items() if part is not ...}


def stored(study) -> dict[str, object]:
    with study.store.view() as database:
        found = {t: rows(database, f"select * from {t}") for t in TABLES}  # noqa: S608
        return {**found, "pages": value(database, "select count(*) from sqlite_master")}


def refused(study, before, answer) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    data = answer.json()
    assert set(data) == {"code", "sentence"}
    assert "Traceback" not in answer.text
    assert stored(study) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"score": 6},
        {"score": 0},
        {"score": -1},
        {"score": 3.5},
        {"score": "3"},
        {"score": True},
        {"score": None},
        {"score": 10**400},
        {"side": "middle"},
        {"side": ["left"]},
        {"dimension": "beauty"},
        {"dimension": "text'; drop table answers; --"},
        {"side": "left' or '1'='1"},
        {"position": 1},
        {"position": -1},
        {"position": 99},
        {"position": 2**80},
        {"seconds": -1},
        {"seconds": 1e300},
        {"seconds": "2"},
        {"key": ""},
        {"key": "short"},
        {"key": "k" * 1000},
        {"key": "'; delete from answers; --"},
        {"key": "../../../../etc/passwd"},
        {"key": "\ud800" * 20},
        {"score": ...},
        {"side": ...},
        {"key": ...},
        {"extra": 1},
        {"session": "somebody"},
        {"revision": 9},
    ],
    ids=repr,
)
def test_an_answer_outside_the_rules_is_refused(client, study, token, changed):
    before = stored(study)
    refused(study, before, post(client, "/answers", good(**changed), token))


def test_not_a_number_is_refused(client, study, token):
    # Bug: json accepts NaN, SQLite stores it as NULL, the mean becomes NaN.
    for word in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        body = json.dumps(good()).encode().replace(b"2.0", word)
        refused(study, stored(study), post(client, "/answers", body, token))


def test_the_good_answer_of_these_tests_is_accepted(client, study):
    # Without this, all refusals above could have another reason.
    fresh = ready(client, study)
    answer = good()
    assert post(client, "/answers", answer, fresh).json()["revision"] == 1
    again = stored(study)
    replay = post(client, "/answers", answer, fresh)
    assert (replay.status_code, replay.json()["revision"]) == (200, 1)
    assert stored(study) == again, "a replayed post changed something"


def test_another_raters_token_reaches_nothing_of_mine(client, study):
    mine, other = ready(client, study), enter(client, study)
    answer = good()
    assert post(client, "/answers", answer, mine).status_code == 200
    before = stored(study)
    # The other has not seen their own page; my page is not addressed by anything they can send.
    refused(study, before, post(client, "/answers", good(), other))
    refused(study, before, post(client, "/answers", answer, other))


@pytest.mark.parametrize("forge", ["empty", "cut", "longer", "swapped", "case", "unsigned", "odd"])
def test_a_forged_token_is_refused(client, study, token, forge):
    session, _, signature = token.partition(".")
    stranger = enter(client, study).partition(".")
    forged = {
        "empty": "",
        "cut": token[:-1],
        "longer": token + "0",
        "swapped": f"{stranger[0]}.{signature}",
        "case": token.upper(),
        "unsigned": session,
        "odd": "' or 1=1 --.x",
    }[forge]
    before = stored(study)
    for path, body in (("/answers", good()), ("/finish", {}), ("/withdraw", {})):
        answer = post(client, path, body, forged)
        assert answer.status_code == 401
        refused(study, before, answer)
    assert client.get("/session", headers={"Authorization": f"Bearer {forged}"}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"\xff\xfe\x00", 422),
        (b"[" * 8000, 422),
        (b'{"position": 0, "position": 0}', 422),
        (b" " * 20_000, 413),
    ],
    ids=lambda part: repr(part)[:24],
)
def test_what_is_no_answer_at_all_is_refused(client, study, token, body, status):
    before = stored(study)
    answer = post(client, "/answers", body, token)
    assert answer.status_code == status
    refused(study, before, answer)


def test_a_form_of_another_site_cannot_post(client, study, token):
    # Bug: a page of somebody else posts in the rater's name. Forms cannot send application/json,
    # scripts of others would need an answer to OPTIONS, and no cookie goes along.
    before = stored(study)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = post(client, "/answers", good(), token, **{"Content-Type": kind})
        assert answer.status_code == 415
        refused(study, before, answer)
    preflight = client.options("/answers", headers={"Origin": "http://elsewhere"})
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert not client.get("/").cookies


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"expertise": "wizard"},
        {"expertise": ["none"]},
        {"expertise": "none", "age": "3"},
        {"expertise": "none", "remarks": "x" * 101},
        {"expertise": "none", "remarks": "a\u0000b"},
        {"expertise": "none", "remarks": "\u001b[2J"},
    ],
    ids=lambda part: repr(part)[:40],
)
def test_answers_to_questions_that_were_not_asked_are_refused(client, study, answers):
    fresh = enter(client, study)
    before = stored(study)
    refused(study, before, post(client, "/questions", {"answers": answers}, fresh))


def test_markup_and_sql_in_free_text_are_kept_as_text(client, study):
    text = "<script>alert(1)</script> '; drop table answers; -- 👩‍👧"
    fresh = enter(client, study)
    answers = {"expertise": "none", "remarks": text}
    assert post(client, "/questions", {"answers": answers}, fresh).status_code == 200
    with study.store.view() as database:
        kept = rows(database, "select answer from demographics where question = 'remarks'")
    assert {"answer": text} in kept


def test_the_page_never_turns_text_into_markup():
    # Bug: a wording or a free text with a tag in it runs as script in a rater's page.
    for script in (Path(routes.__code__.co_filename).parent / "rater").glob("*.js"):
        source = script.read_text("utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "srcdoc",
        ):
            assert word not in source, f"{script.name} uses {word}"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("invite", {"invite": "unknown-but-well-formed"}),
        ("invite", {"invite": "' or 1=1 --"}),
        ("invite", {}),
        ("invite", {"invite": ["x"]}),
        ("open", {"invite": "x"}),
        ("admin", {}),
        ("prolific", {"PROLIFIC_PID": "<b>", "STUDY_ID": "a", "SESSION_ID": "b"}),
        ("prolific", {"PROLIFIC_PID": "x" * 65, "STUDY_ID": "a", "SESSION_ID": "b"}),
    ],
    ids=lambda part: repr(part)[:50],
)
def test_nobody_enters_by_a_made_up_link(client, study, source, names):
    before = stored(study)
    body = {"source": source, "names": names, "language": "en", "agreed": True}
    refused(study, before, post(client, "/enter", body))


@pytest.mark.parametrize(
    "path",
    [
        "/media/../secret/map.json",
        "/media/..%2fsecret%2fmap.json",
        "/media/%2e%2e%2fstudy.sqlite",
        "/media/x",
        "/rater/../server.py",
        "/rater/..%2froutes.py",
        "/rater/%2e%2e/schema.py",
        "/secret/map.json",
        "/study.sqlite",
        "/clips.json",
        "/study.yaml",
        "/phase.json",
    ],
)
def test_no_file_of_the_study_can_be_fetched(client, path):
    answer = client.get(path)
    assert answer.status_code == 404


def test_media_is_not_found_by_its_name(client, study):
    # Bug: the stored name of a clip is an address too, so two raters can compare clips by name.
    for file in study.folder.media.iterdir():
        for name in (file.name, file.stem):
            assert client.get(f"/media/{name}").status_code == 404


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
PATHS = st.sampled_from(
    ["/answers", "/enter", "/questions", "/playback", "/pages/0/cannot-play", "/pages/3/shown"]
)
FIELDS = st.sampled_from(
    ["position", "side", "dimension", "score", "seconds", "key", "source", "names", "agreed"]
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=PATHS, body=JSON | st.dictionaries(FIELDS, JSON), raw=st.none() | st.binary(max_size=40)
)
def test_noise_is_refused_everywhere(client, study, token, path, body, raw):
    before = stored(study)
    content = raw if raw is not None else json.dumps(body).encode("utf-8", "surrogatepass")
    refused(study, before, post(client, path, content, token))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=FIELDS, part=JSON)
def test_a_good_answer_with_one_field_of_noise_is_refused(client, study, token, name, part):
    changed = good(**{name: part})
    legal = {
        "side": part in ("left", "right") if isinstance(part, str) else False,
        "score": part in (1, 2, 3, 4, 5) and isinstance(part, int) and not isinstance(part, bool),
        "seconds": isinstance(part, int | float)
        and not isinstance(part, bool)
        and 0 <= part <= 86_400,
        "position": part == 0 and isinstance(part, int) and not isinstance(part, bool),
    }.get(name, False)
    if legal:
        return
    before = stored(study)
    content = json.dumps(changed).encode("utf-8", "surrogatepass")
    refused(study, before, post(client, "/answers", content, token))
