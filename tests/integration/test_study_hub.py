"""Snapshots in a repository of the Hub, through its real client and a small server of its protocol.

What they are for: a host that loses its disk goes on with the answers it had.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from study_folder import make_study
from study_hub import TOKEN, FakeHub, served

from study import answers, backup, board, hub, sessions
from study.__main__ import main
from study.admin import fragments
from study.answers import Answer
from study.errors import StudyError
from study.folder import Folder
from study.open_study import OpenStudy
from study.sessions import Consent, Entry
from study.store import Store, rows, value
from study.withdrawal import withdraw

REPOSITORY = "me/answers"


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """The Hub, for a process that is told to keep its snapshots there."""
    with served() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("STUDY_IDENTITY_KEY", "ab" * 32)
        monkeypatch.setenv(hub.REPOSITORY_VARIABLE, REPOSITORY)
        yield fake


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A study as it was put on the host: open, and nobody has come."""
    return make_study(tmp_path / "small")


def fresh(folder: Folder, to: Path) -> Folder:
    """The host after a restart: the study's files as they were put there, and no answers."""
    shutil.copytree(
        folder.root, to / folder.root.name, ignore=shutil.ignore_patterns("*.sqlite*", "snapshots")
    )
    return Folder(to / folder.root.name)


def rate(study: OpenStudy, name: str) -> str:
    """One person who gives one score."""
    entry = Entry("prolific", {"prolific": name})
    session = sessions.enter(study.store, study.keys, study.places, entry, Consent("h", "en"))
    sessions.answer_questions(study.store, session, {})
    sessions.check_playback(study.store, session, "ok")
    answers.open_page(study.store, session, 0)
    with study.store.transaction() as database:
        database.execute("update assignments set shown_at = shown_at - 9, seen_at = shown_at")
    answer = Answer(0, "left", "text", 4, 2.0, f"key-of-{name}-{'0' * 16}")
    answers.save(study.store, study.rules, session, answer)
    return session


def serve(folder: Folder) -> OpenStudy:
    """As a server does; the timer is an hour, snapshots are taken when a test wants one."""
    return OpenStudy(folder.root, snapshot_seconds=3600)


def count(folder: Folder) -> tuple[int, int]:
    with Store(folder.database) as store, store.view() as database:
        return (
            value(database, "select count(*) from sessions"),
            value(database, "select count(*) from answers"),
        )


def test_a_host_that_lost_its_disk_goes_on_where_the_snapshot_ends(there, folder, tmp_path):
    # Bug: a restarted Space begins with an empty study and pushes it over the answers.
    with serve(folder) as study:
        ann = rate(study, "ann")
        study.snapshots.take_if_changed()
        token = study.keys.token(ann)
    again = fresh(folder, tmp_path / "restarted")
    with serve(again) as study:
        assert study.keys.session(token) == ann
        with study.store.view() as database:
            assert value(database, "select score from answers") == 4
        assert rate(study, "ann") == ann, "the same person has the same session"
        rate(study, "bob")
        study.snapshots.take_if_changed()
    third = fresh(folder, tmp_path / "third")
    with serve(third):
        pass
    assert count(third)[0] == 2


def test_a_disk_that_knows_more_is_left_alone(there, folder):
    # Bug: every restart throws away what came after the last push.
    with serve(folder) as study:
        rate(study, "ann")
        study.snapshots.take_if_changed()
        rate(study, "bob")
    with serve(folder):
        pass
    assert count(folder) == (2, 2)
    assert not list(folder.root.glob("*.before-*"))


def test_a_disk_with_the_first_database_of_the_study_gives_way(there, folder, tmp_path):
    # Bug: a host whose image holds the database of the day it opened counts as up to date.
    with Store(folder.database):
        pass
    image = tmp_path / "image"
    shutil.copytree(folder.root, image / "small")
    with serve(folder) as study:
        rate(study, "ann")
        study.snapshots.take_if_changed()
    with serve(Folder(image / "small")):
        pass
    assert count(Folder(image / "small")) == (1, 1)


def test_a_withdrawal_stays_one_after_a_restart(there, folder, tmp_path):
    # Bug: the snapshot of a minute ago knows more people, and brings the rater back.
    with serve(folder) as study:
        ann, bob = rate(study, "ann"), rate(study, "bob")
        study.snapshots.take_if_changed()
        withdraw(folder, study.store, study.keys, bob, "me")
    with serve(folder) as study:
        study.snapshots.take_if_changed()
    assert there.repositories[REPOSITORY].history == 1
    for path, content in there.repositories[REPOSITORY].files.items():
        assert bob.encode() not in content, path
        assert ann.encode() in content or path.endswith(".json")
    again = fresh(folder, tmp_path / "restarted")
    with serve(again) as study, study.store.view() as database:
        assert [row["id"] for row in rows(database, "select id from sessions")] == [ann]


def test_two_studies_of_one_host_do_not_mix(there, folder, tmp_path):
    # Bug: the newest snapshot of the repository is another study's.
    other = make_study(tmp_path / "other")
    with serve(folder) as study:
        rate(study, "ann")
        study.snapshots.take_if_changed()
    with serve(other) as study:
        for name in ("bob", "eve"):
            rate(study, name)
        study.snapshots.take_if_changed()
    for one, people in ((folder, 1), (other, 2)):
        again = fresh(one, tmp_path / f"restarted-{people}")
        with serve(again):
            pass
        assert count(again)[0] == people


def test_only_the_newest_snapshots_stay_and_never_the_live_file(there, folder):
    with serve(folder) as study:
        for number in range(hub.KEEP + 2):
            rate(study, str(number))
            study.snapshots.take_if_changed()
    files = sorted(there.repositories[REPOSITORY].files)
    newest = [each.file for each in backup.listed(folder.snapshots)][-hub.KEEP :]
    assert files == sorted(f"small/{name}{end}" for name in newest for end in ("", ".json"))
    assert there.repositories[REPOSITORY].private
    assert there.repositories[REPOSITORY].history == 1
    left = {path.name for path in folder.snapshots.iterdir() if path.name.startswith(".")}
    assert left <= {".lock"}


def test_answers_never_go_to_a_public_repository(there, folder):
    with serve(folder) as study:
        rate(study, "ann")
        there.repositories[REPOSITORY].private = False
        with pytest.raises(StudyError, match="public"):
            study.snapshots.take_if_changed()
    assert there.repositories[REPOSITORY].files == {}


@pytest.mark.parametrize("trouble", ["no answer", "wrong token", "bad name"])
def test_a_hub_that_cannot_be_asked_keeps_the_study_from_beginning_anew(
    there, folder, monkeypatch, trouble
):
    # Bug: what cannot be seen counts as empty, and raters begin again beside their answers.
    if trouble == "no answer":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    elif trouble == "wrong token":
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    else:
        monkeypatch.setenv(hub.REPOSITORY_VARIABLE, "not a name")
    with pytest.raises(StudyError, match="Check the name, the connection"):
        serve(folder)
    assert not folder.database.exists()


def test_a_hub_that_goes_away_is_shown_and_tried_again(there, folder, monkeypatch):
    # Bug: the timer ends at an error of the connection, and nobody is told.
    with OpenStudy(folder.root, snapshot_seconds=0.05) as study:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        rate(study, "ann")
        wait_for(lambda: study.snapshots.trouble != "")
        assert "could not be pushed" in str(study.snapshots.state()["trouble"])
        monkeypatch.setenv("HF_ENDPOINT", there.url)
        wait_for(lambda: study.snapshots.trouble == "")
    assert any(path.endswith(".sqlite") for path in there.repositories[REPOSITORY].files)


def test_a_damaged_snapshot_is_not_served(there, folder, tmp_path):
    with serve(folder) as study:
        rate(study, "ann")
        study.snapshots.take_if_changed()
    files = there.repositories[REPOSITORY].files
    name = next(path for path in files if path.endswith(".sqlite"))
    files[name] = files[name][:-4096]
    again = fresh(folder, tmp_path / "restarted")
    with pytest.raises(StudyError, match=r"damaged|not the snapshot"):
        serve(again)
    assert not again.database.exists()


def test_without_the_key_nothing_is_put_back(there, folder, tmp_path, monkeypatch):
    # Bug: with a new key every invitation is unknown and nobody can go on.
    with serve(folder) as study:
        rate(study, "ann")
        study.snapshots.take_if_changed()
    monkeypatch.delenv("STUDY_IDENTITY_KEY")
    again = fresh(folder, tmp_path / "restarted")
    with pytest.raises(StudyError, match="STUDY_IDENTITY_KEY"):
        serve(again)
    assert not again.database.exists()


def test_the_command_restores_from_the_repository(there, folder, tmp_path, capsys):
    with serve(folder) as study:
        rate(study, "ann")
        study.snapshots.take_if_changed()
    again = fresh(folder, tmp_path / "restarted")
    words = ["--studies", str(again.root.parent), "restore", "small", "--repository", REPOSITORY]
    assert main(words) == 0
    assert "1 sessions" in capsys.readouterr().out
    assert count(again) == (1, 1)
    there.repositories[REPOSITORY].files.clear()
    assert main(words) == 1
    assert "holds no snapshot of small" in capsys.readouterr().err


def test_the_administrator_is_told_what_may_be_lost(there, folder, caplog):
    with serve(folder) as study:
        said = fragments.board(
            {**board.board(study.definition, study.store.clock, study.store._reader)},
            "open",
            study.snapshots.state(),
            "small",
        )
    for words in (said, caplog.text):
        assert "60 minutes" in words
        assert REPOSITORY in words
        assert "lost with the disk" in words


def test_a_preview_asks_nobody(there, folder):
    """A preview is thrown away; it must neither fetch answers nor push any."""
    with OpenStudy(folder.root, snapshot_seconds=0):
        pass
    assert there.asked == []


def wait_for(what) -> None:
    import threading

    for _ in range(400):
        if what():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen within 20 seconds")
