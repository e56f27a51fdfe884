"""Withdrawing: one way for the rater and the administrator, past whatever is wrong with a copy."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from study_folder import make_study

from study import acts, audit, backup
from study.errors import StudyError
from study.folder import Folder
from study.open_study import OpenStudy
from study.outcome import RESULTS
from study.routes import SAFE_HEADERS, routes
from study.store import StorageError, value

NOT_A_DATABASE = b"SQLite format 3\0" + b"\xff" * 4000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_study(tmp_path_factory.mktemp("study") / "small").root


@pytest.fixture
def folder(made, tmp_path) -> Folder:
    return Folder(shutil.copytree(made, tmp_path / "small"))


@pytest.fixture
def study(folder):
    with OpenStudy(folder.root, snapshot_seconds=0) as opened:
        yield opened


@pytest.fixture
def client(study) -> TestClient:
    app = Starlette(routes=routes(study))
    return TestClient(app, "http://study", raise_server_exceptions=False)


def enter(client: TestClient) -> dict[str, str]:
    """Headers of a rater who has come in."""
    body = {"source": "open", "names": {}, "language": "en", "agreed": True}
    token = client.post("/enter", json=body).json()["token"]
    return {"Authorization": f"Bearer {token}"}


def session_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ").partition(".")[0]


def holds(path: Path, session: str) -> bool:
    connection = sqlite3.connect(path)
    try:
        found = connection.execute("select 1 from sessions where id = ?", (session,)).fetchone()
    finally:
        connection.close()
    return found is not None


def recorded(study: OpenStudy) -> list[tuple[str, str, str]]:
    """Actor, number of the receipt and what was not cleaned, of every withdrawal in the log."""
    return [
        (act["actor"], act["detail"]["receipt"], act["detail"]["not_cleaned"])
        for act in audit.acts(study.store)
        if act["act"] == "withdraw"
    ]


def spoil_bytes(path: Path) -> None:
    path.write_bytes(NOT_A_DATABASE)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_program(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("create table songs (title)")
    connection.close()


def leave(path: Path) -> None:
    assert path.is_file()


def spoil_note(path: Path) -> None:
    path.with_name(f"{path.name}.json").write_text("{ not json")


def lose_note(path: Path) -> None:
    path.with_name(f"{path.name}.json").unlink()


def test_a_withdrawal_goes_on_past_bad_copies(client, study, folder):
    # Bug: it committed, stopped at the first bad copy, and could never be finished: the later
    # copies kept the rater, and every further try answered 500.
    headers = enter(client)
    session = session_of(headers)
    unreadable = (spoil_bytes, empty, other_program)
    spoilers = (spoil_bytes, leave, empty, spoil_note, other_program, lose_note, leave)
    paths = [
        folder.snapshots / backup.take(folder.database, folder.snapshots).file for _ in spoilers
    ]
    own = [folder.snapshots / "before the update.sqlite", folder.root / "study.sqlite.before-1"]
    for path in own:  # a copy under a person's own name, and one that a restore put aside
        shutil.copyfile(paths[0], path)
    aside = folder.root / "study.sqlite.before-2"
    aside.write_bytes(NOT_A_DATABASE)
    for spoil, path in zip(spoilers, paths, strict=True):
        spoil(path)
    answer = client.post("/withdraw", json={}, headers=headers)
    assert answer.status_code == 200, answer.text
    copies = list(zip(spoilers, paths, strict=True))
    assert not any(holds(path, session) for path in own)
    assert not any(holds(path, session) for spoil, path in copies if spoil not in unreadable)
    bad = [aside, *(path for spoil, path in copies if spoil in unreadable)]
    named = ", ".join(path.name for path in bad)
    assert recorded(study) == [("the rater", answer.json()["receipt"], named)]
    assert audit.first_broken(study.store) is None


def test_a_second_post_gets_the_same_receipt(client, study):
    # Bug: the answer to the first was lost, and the second got 500 without the safe headers.
    headers = enter(client)
    first, second = (client.post("/withdraw", json={}, headers=headers) for _ in range(2))
    assert (second.status_code, second.json()) == (200, first.json())
    assert len(recorded(study)) == 1
    for name, text in SAFE_HEADERS.items():
        assert second.headers[name] == text


def test_rater_and_administrator_go_one_way(client, study, folder):
    for actor, withdraw in (
        ("the rater", lambda headers: client.post("/withdraw", json={}, headers=headers)),
        ("me", lambda headers: acts.withdraw(folder, session_of(headers), "me")),
    ):
        headers = enter(client)
        backup.take(folder.database, folder.snapshots)
        withdraw(headers)
        assert recorded(study)[-1][0] == actor
        assert client.get("/session", headers=headers).status_code == 410
        assert not any(holds(path, session_of(headers)) for path in backup.files(folder.snapshots))
    assert [snapshot.rows["sessions"] for snapshot in backup.listed(folder.snapshots)] == [0, 0]


def test_a_withdrawal_is_finished_by_repeating_it(client, study, folder):
    """A copy that was bad and is put back later must lose the rater too."""
    headers = enter(client)
    session = session_of(headers)
    path = folder.snapshots / backup.take(folder.database, folder.snapshots).file
    whole = path.read_bytes()
    spoil_bytes(path)
    first = acts.withdraw(folder, session, "me")
    assert first.failed == (path.name,)
    assert "withdraw again" in str(first)
    path.write_bytes(whole)
    again = acts.withdraw(folder, session, "me")
    assert (again.number, again.answers, again.failed) == (first.number, first.answers, ())
    assert not holds(path, session)
    assert len(recorded(study)) == 2, "what the second one did is recorded too"


def test_a_withdrawal_that_the_disk_refused_can_be_repeated(client, study, folder, monkeypatch):
    headers = enter(client)
    path = folder.snapshots / backup.take(folder.database, folder.snapshots).file

    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(audit, "record", full)
        assert client.post("/withdraw", json={}, headers=headers).status_code == 507
    assert client.get("/session", headers=headers).status_code == 200, "nothing is half gone"
    assert client.post("/withdraw", json={}, headers=headers).status_code == 200
    assert not holds(path, session_of(headers))
    assert len(recorded(study)) == 1


def test_a_written_report_goes_with_the_rater(client, folder):
    """It holds every score of theirs, and stayed in the study's folder."""
    headers = enter(client)
    (folder.root / RESULTS).mkdir()
    (folder.root / RESULTS / "ratings.csv").write_text(session_of(headers))
    receipt = acts.withdraw(folder, session_of(headers), "me")
    assert "write it again" in str(receipt)
    assert not (folder.root / RESULTS).exists()


def test_nobody_is_withdrawn_by_a_wrong_id(study, folder):
    with pytest.raises(StudyError, match="no rater 'nobody'"):
        acts.withdraw(folder, "nobody", "me")
    assert recorded(study) == []


def test_a_snapshot_that_was_changed_gets_no_new_note(client, study, folder):
    """Cleaning must not turn a copy that somebody changed into one that can be restored."""
    headers = enter(client)
    path = folder.snapshots / backup.take(folder.database, folder.snapshots).file
    connection = sqlite3.connect(path)
    connection.execute("update sessions set language = 'zh'")
    connection.commit()
    connection.close()
    client.post("/withdraw", json={}, headers=headers)
    assert not holds(path, session_of(headers))
    with pytest.raises(StudyError, match="is not the snapshot"):
        backup.check(path)


def test_what_a_killed_server_left_is_gone_after_the_next_start(folder, tmp_path):
    """Copies with raters in them would lie there for good, and no withdrawal would reach them."""
    folder.snapshots.mkdir()
    left = [
        folder.snapshots / ".20260101T000000000000.sqlite.part",
        folder.snapshots / "20260101T000000000000.sqlite.json",
        folder.snapshots / ".sent-abc" / "x.sqlite",
        folder.root / ".fetched-abc" / "x.sqlite",
        folder.root / ".study.sqlite.part",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"somebody")
    with OpenStudy(folder.root, snapshot_seconds=0):
        assert not any(path.exists() for path in left)


def test_a_folder_with_a_question_mark_in_its_name_is_backed_up(tmp_path):
    # Bug: SQLite took what stood after ? or # for options.
    folder = make_study(tmp_path / "what? #1 %41")
    with OpenStudy(folder.root, snapshot_seconds=0) as study:
        snapshot = backup.take(folder.database, folder.snapshots)
        assert json.loads((folder.snapshots / f"{snapshot.file}.json").read_text())["rows"]
        with study.store.view() as database:
            assert value(database, "select count(*) from sessions") == 0
    backup.check(folder.snapshots / snapshot.file)
