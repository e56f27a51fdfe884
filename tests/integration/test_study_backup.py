"""Snapshots: taken under load, checked when restored, cleaned on withdrawal."""

import json
import sqlite3
import threading
from pathlib import Path

import pytest

from study import audit, backup, identities, snapshots
from study.errors import StudyError
from study.folder import Folder
from study.sessions import Consent, Entry, Places, enter
from study.store import StorageError, Store, rows, value
from study.withdrawal import withdraw


def places() -> Places:
    from study.design import Page

    return Places(
        1,
        lambda _sequence, _seed: [Page("rating", "i", "left", "right")],
        lambda page: {"left": page.left, "right": page.right},
    )


KEYS = identities.Keyring(bytes(32))


def come(store: Store, name: str) -> str:
    entry = Entry("prolific", {"prolific": name})
    return enter(store, KEYS, places(), entry, Consent("hash", "en"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.sqlite"


def test_a_snapshot_taken_while_answers_arrive_is_whole(path, tmp_path):
    # Bug: the file is copied without its write-ahead log, or torn in the middle of a write.
    with Store(path, serving=True) as store:
        stop = threading.Event()
        written = 0

        def write() -> None:
            nonlocal written
            while not stop.is_set():
                come(store, f"person{written}")
                written += 1

        writer = threading.Thread(target=write)
        writer.start()
        taken = []
        for _ in range(5):
            before = written
            taken.append((before, backup.take(path, tmp_path / "snapshots"), written))
        stop.set()
        writer.join()
    for before, snapshot, after in taken:
        copy = sqlite3.connect(tmp_path / "snapshots" / snapshot.file)
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        (found,) = copy.execute("select count(*) from sessions").fetchone()
        assert copy.execute("select count(*) from assignments").fetchone() == (found,)
        copy.close()
        assert before <= found <= after + 1
        assert snapshot.rows["sessions"] == found
    names = {file.name for file in (tmp_path / "snapshots").iterdir()}
    assert not [name for name in names if name.endswith(("-wal", "-shm", ".part"))]


def test_restoring_brings_back_the_rows_and_keeps_what_was_there(path, tmp_path):
    with Store(path) as store:
        come(store, "ann")
    snapshot = backup.take(path, tmp_path / "snapshots")
    with Store(path) as store:
        come(store, "bob")
    said = backup.restore(tmp_path / "snapshots" / snapshot.file, path)
    assert said.rows["sessions"] == 1
    with Store(path) as store, store.view() as database:
        assert value(database, "select count(*) from sessions") == 1
    kept = [file for file in tmp_path.glob("study.sqlite.before-*") if file.suffix != "-wal"]
    connection = sqlite3.connect(kept[0])
    assert connection.execute("select count(*) from sessions").fetchone() == (2,)
    connection.close()


@pytest.mark.parametrize("spoil", ["byte", "cut", "note", "swapped", "other"])
def test_a_snapshot_that_is_not_what_was_taken_is_refused(path, tmp_path, spoil):
    # Bug: a damaged snapshot is put in the place of a good database.
    with Store(path) as store:
        for name in ("ann", "bob"):
            come(store, name)
    snapshots = tmp_path / "snapshots"
    snapshot = snapshots / backup.take(path, snapshots).file
    note = snapshots / f"{snapshot.name}.json"
    content = bytearray(snapshot.read_bytes())
    if spoil == "byte":
        content[len(content) // 2] ^= 1
        snapshot.write_bytes(content)
    elif spoil == "cut":
        snapshot.write_bytes(content[:-4096])
    elif spoil == "note":
        note.unlink()
    elif spoil == "swapped":
        with Store(path) as store:
            come(store, "eve")
        later = snapshots / backup.take(path, snapshots).file
        later.replace(snapshot)
    else:
        snapshot.unlink()
        other = sqlite3.connect(snapshot)
        other.execute("create table songs (title)")
        other.close()
    before = path.read_bytes()
    with pytest.raises(StudyError):
        backup.restore(snapshot, path)
    assert path.read_bytes() == before


def test_nothing_is_restored_under_a_running_server(path, tmp_path):
    with Store(path, serving=True) as store:
        come(store, "ann")
        snapshot = backup.take(path, tmp_path / "snapshots")
        with pytest.raises(StorageError, match="already served"):
            backup.restore(tmp_path / "snapshots" / snapshot.file, path)


def test_timed_snapshots_come_only_after_changes_and_old_ones_go(path, tmp_path):
    with Store(path) as store:
        timed = snapshots.Snapshots(store, tmp_path / "snapshots", seconds=0)
        come(store, "first")
        assert timed.take_if_changed() is not None
        assert timed.take_if_changed() is None, "nothing was stored since"
        for number in range(snapshots.KEEP + 3):
            come(store, str(number))
            assert timed.take_if_changed() is not None
    kept = backup.listed(tmp_path / "snapshots")
    assert len(kept) == snapshots.KEEP
    assert kept[-1].rows["sessions"] == snapshots.KEEP + 4


def test_the_timer_takes_snapshots_and_stops(path, tmp_path):
    with Store(path) as store:
        come(store, "ann")
        timed = snapshots.Snapshots(store, tmp_path / "snapshots", seconds=0.05)
        for _ in range(100):
            if backup.listed(tmp_path / "snapshots"):
                break
            threading.Event().wait(0.05)
        timed.stop()
        assert len(backup.listed(tmp_path / "snapshots")) == 1


def test_a_folder_that_cannot_be_written_is_said(path, tmp_path):
    Store(path).close()
    (tmp_path / "snapshots").write_text("a file is in its place")
    with pytest.raises(StorageError, match="No snapshot was taken"):
        backup.take(path, tmp_path / "snapshots")


def test_withdrawal_reaches_every_copy_in_the_folder(tmp_path):
    # Bugs: a rater who withdrew comes back with the next restore, or stays in the database that an
    # earlier restore put aside, or in its log.
    folder = Folder(tmp_path)
    with Store(folder.database) as store:
        gone, stays = come(store, "ann"), come(store, "bob")
        for _ in range(2):
            taken = backup.take(folder.database, folder.snapshots)
        log = folder.database.with_name("study.sqlite-wal").read_bytes()
    folder.database.with_name("study.sqlite-wal").write_bytes(log)  # as after a crash
    backup.restore(folder.snapshots / taken.file, folder.database)
    with Store(folder.database) as store:
        withdraw(folder, store, KEYS, gone, "me")
        (act,) = [act for act in audit.acts(store) if act["act"] == "withdraw"]
    assert act["detail"]["copies"] == 3
    aside = list(tmp_path.glob("study.sqlite.before-*"))
    snapshots = [path for path in folder.snapshots.iterdir() if path.suffix == ".sqlite"]
    assert len(snapshots) == 2
    for path in (*snapshots, *aside):
        assert gone.encode() not in path.read_bytes(), path
    assert any(stays.encode() in path.read_bytes() for path in aside)
    for snapshot in backup.listed(folder.snapshots):
        backup.restore(folder.snapshots / snapshot.file, folder.database)
        with Store(folder.database) as store, store.view() as database:
            assert [row["id"] for row in rows(database, "select id from sessions")] == [stays]


def test_no_snapshot_is_taken_while_a_withdrawal_cleans_them(tmp_path):
    # Bug: a copy that began before the withdrawal appears after the cleaning and keeps the rater.
    folder = Folder(tmp_path)
    with Store(folder.database) as store:
        come(store, "ann")
    backup.take(folder.database, folder.snapshots)
    with backup.alone(folder.snapshots):
        taking = threading.Thread(target=backup.take, args=(folder.database, folder.snapshots))
        taking.start()
        taking.join(0.3)
        assert taking.is_alive()
        assert len(backup.listed(folder.snapshots)) == 1
    taking.join()
    assert len(backup.listed(folder.snapshots)) == 2


def test_the_note_of_a_snapshot_says_what_sha256sum_says(path, tmp_path):
    import hashlib

    Store(path).close()
    snapshot = backup.take(path, tmp_path)
    note = json.loads((tmp_path / f"{snapshot.file}.json").read_text())
    assert note["sha256"] == hashlib.sha256((tmp_path / snapshot.file).read_bytes()).hexdigest()


def test_the_audit_log_survives_the_round_trip(path, tmp_path):
    with Store(path) as store:
        identities.invite(store, KEYS, 1, "me")
    snapshot = backup.take(path, tmp_path / "snapshots")
    backup.restore(tmp_path / "snapshots" / snapshot.file, path)
    with Store(path) as store:
        assert audit.first_broken(store) is None
        assert [act["act"] for act in audit.acts(store)] == ["invite", "restore"]
        with pytest.raises(sqlite3.IntegrityError), store.transaction() as database:
            database.execute("delete from audit")


def test_a_push_that_fails_is_shown_and_tried_again(path, tmp_path):
    # Bug: a snapshot that never reached the repository counts as sent.
    tries = []

    def push() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StudyError("the repository could not be reached")

    with Store(path) as store:
        timed = snapshots.Snapshots(store, tmp_path / "snapshots", 0, push)
        come(store, "ann")
        with pytest.raises(StudyError):
            timed.take_if_changed()
        for _ in range(3):
            assert timed.take_if_changed() is None, "it was taken already, and is sent once"
    assert len(tries) == 2


def test_snapshots_are_bounded_while_the_hub_is_away(path, tmp_path):
    # Bug: a night without a connection left a snapshot of every ten minutes, changed or not.
    def push() -> None:
        raise StudyError("no route to host")

    folder = tmp_path / "snapshots"
    with Store(path) as store:
        timed = snapshots.Snapshots(store, folder, 0, push)
        for number in range(2 * snapshots.KEEP):
            if number % 2:  # every other round something was stored
                come(store, str(number))
            with pytest.raises(StudyError):
                timed.take_if_changed()
            assert len(backup.files(folder)) == min(1 + (number + 1) // 2, snapshots.KEEP)
    assert not [name for name in folder.iterdir() if name.name.endswith(".part")]


def test_pruning_waits_for_whoever_holds_the_folder(path, tmp_path):
    # Bug: a snapshot was deleted while a withdrawal cleaned it, which recreated the file.
    Store(path).close()
    folder = tmp_path / "snapshots"
    for _ in range(2):
        backup.take(path, folder)
    with backup.alone(folder):
        pruning = threading.Thread(target=backup.prune, args=(folder, 1))
        pruning.start()
        pruning.join(0.1)
        assert len(backup.files(folder)) == 2
    pruning.join()
    assert len(backup.files(folder)) == 1


def test_a_damaged_note_hides_no_other_snapshot(path, tmp_path):
    # Bug: the board and the pruning stopped at the first note that could not be read.
    Store(path).close()
    folder = tmp_path / "snapshots"
    first, second = (backup.take(path, folder) for _ in range(2))
    (folder / f"{first.file}.json").write_text("[")
    assert backup.listed(folder) == [second]
    backup.prune(folder, 1)
    assert [file.name for file in backup.files(folder)] == [second.file]
