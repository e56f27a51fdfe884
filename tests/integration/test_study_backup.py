"""Snapshots: taken under load, checked when restored, cleaned on withdrawal, never public."""

import inspect
import json
import sqlite3
import threading
from pathlib import Path

import pytest

from study import audit, backup, hub, identities
from study.errors import StudyError
from study.sessions import Consent, Entry, Places, enter
from study.store import StorageError, Store, rows, value


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
        timed = backup.Snapshots(store, tmp_path / "snapshots", seconds=0)
        come(store, "first")
        assert timed.take_if_changed() is not None
        assert timed.take_if_changed() is None, "nothing was stored since"
        for number in range(backup.KEEP + 3):
            come(store, str(number))
            assert timed.take_if_changed() is not None
    kept = backup.listed(tmp_path / "snapshots")
    assert len(kept) == backup.KEEP
    assert kept[-1].rows["sessions"] == backup.KEEP + 4


def test_the_timer_takes_snapshots_and_stops(path, tmp_path):
    with Store(path) as store:
        come(store, "ann")
        timed = backup.Snapshots(store, tmp_path / "snapshots", seconds=0.05)
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


def test_withdrawal_reaches_the_snapshots(path, tmp_path):
    # Bug: a rater who withdrew comes back with the next restore.
    snapshots = tmp_path / "snapshots"
    with Store(path) as store:
        gone, stays = come(store, "ann"), come(store, "bob")
        for _ in range(2):
            backup.take(path, snapshots)
        identities.withdraw(store, gone)
    assert backup.forget(snapshots, gone) == 2
    for snapshot in backup.listed(snapshots):
        content = (snapshots / snapshot.file).read_bytes()
        assert gone.encode() not in content
        assert stays.encode() in content
        backup.restore(snapshots / snapshot.file, path)
    with Store(path) as store, store.view() as database:
        assert [row["id"] for row in rows(database, "select id from sessions")] == [stays]


def test_the_note_of_a_snapshot_says_what_sha256sum_says(path, tmp_path):
    import hashlib

    Store(path).close()
    snapshot = backup.take(path, tmp_path)
    note = json.loads((tmp_path / f"{snapshot.file}.json").read_text())
    assert note["sha256"] == hashlib.sha256((tmp_path / snapshot.file).read_bytes()).hexdigest()


def test_the_audit_log_survives_the_round_trip(path, tmp_path):
    with Store(path) as store:
        identities.invite(store, KEYS, 1, "runner")
    snapshot = backup.take(path, tmp_path / "snapshots")
    backup.restore(tmp_path / "snapshots" / snapshot.file, path)
    with Store(path) as store:
        assert audit.first_broken(store) is None
        assert [act["act"] for act in audit.acts(store)] == ["invite", "restore"]
        with pytest.raises(sqlite3.IntegrityError), store.transaction() as database:
            database.execute("delete from audit")


class Repository:
    """A data set repository in memory; every call is checked against the Hub's real signatures."""

    def __init__(self, *, private: bool = True) -> None:
        self.private = private
        self.files: dict[str, bytes] = {}
        self.history = 0

    def __getattr__(self, name: str):
        from huggingface_hub import HfApi

        signature = inspect.signature(getattr(HfApi, name))

        def call(*args, **named):
            given = signature.bind(self, *args, **named).arguments
            assert given["repo_type"] == "dataset"
            return getattr(self, f"do_{name}")(given)

        return call

    def do_create_repo(self, given) -> None:
        assert given["private"] is True
        assert given["exist_ok"] is True

    def do_repo_info(self, _given):
        return self

    def do_list_repo_files(self, _given) -> list[str]:
        return list(self.files)

    def do_create_commit(self, given) -> None:
        self.history += 1
        for operation in given["operations"]:
            if hasattr(operation, "path_or_fileobj"):
                self.files[operation.path_in_repo] = Path(operation.path_or_fileobj).read_bytes()
            else:
                del self.files[operation.path_in_repo]

    def do_super_squash_history(self, _given) -> None:
        self.history = 1

    def do_hf_hub_download(self, given) -> None:
        (Path(given["local_dir"]) / given["filename"]).write_bytes(self.files[given["filename"]])


def test_pushed_snapshots_come_back_and_old_ones_leave_the_history(path, tmp_path):
    repository = Repository()
    with Store(path) as store:
        for number in range(hub.KEEP + 2):
            come(store, str(number))
            taken = backup.take(path, tmp_path / "snapshots")
            hub.push(tmp_path / "snapshots" / taken.file, "me/answers", repository)
    assert len(repository.files) == 2 * hub.KEEP
    assert not [name for name in repository.files if "wal" in name or name == path.name]
    assert repository.history == 1
    fetched = hub.pull("me/answers", tmp_path / "fetched", repository)
    assert backup.restore(fetched, path).rows["sessions"] == hub.KEEP + 2


def test_answers_never_go_to_a_public_repository(path, tmp_path):
    Store(path).close()
    taken = backup.take(path, tmp_path / "snapshots")
    repository = Repository(private=False)
    with pytest.raises(StudyError, match="public"):
        hub.push(tmp_path / "snapshots" / taken.file, "me/answers", repository)
    assert repository.files == {}


def test_the_live_file_is_not_pushed(path):
    Store(path).close()
    with pytest.raises(StudyError, match="snapshot"):
        hub.push(path, "me/answers", Repository())


def test_a_push_that_fails_is_shown_and_tried_again(path, tmp_path):
    # Bug: a snapshot that never reached the repository counts as taken.
    tries = []

    def push(file: Path) -> None:
        tries.append(file.name)
        if len(tries) == 1:
            raise StudyError("the repository could not be reached")

    with Store(path) as store:
        timed = backup.Snapshots(store, tmp_path / "snapshots", 0, push)
        come(store, "ann")
        with pytest.raises(StudyError):
            timed.take_if_changed()
        assert timed.take_if_changed() is not None
        assert timed.take_if_changed() is None
    assert len(tries) == 2
