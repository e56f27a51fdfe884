"""The study's server as a process: what it loads, what it refuses, how it ends."""

import asyncio
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from study_folder import close_study, make_study

from study import folder as folders
from study.errors import PhaseError
from study.folder import Milestones
from study.open_study import BusyError, OpenStudy
from study.store import StorageError, Store, value

ROOT = Path(__file__).resolve().parent.parent.parent
SERVE = """
import os, sys
import uvicorn, starlette.applications, study.routes
from study.serving import serve
if len(sys.argv) > 3 and os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
serve(sys.argv[1], port=int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(root: Path, port: int, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, str(root), str(port), *more],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def answered(process: "subprocess.Popen[str]", port: int) -> None:
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(process.stderr.read())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    pytest.fail("no answer within half a minute")


def last_line(process: "subprocess.Popen[str]") -> str:
    return process.communicate(timeout=60)[1].strip().splitlines()[-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_study(tmp_path / "small").root


def test_serving_loads_nothing_heavy():
    # Bug: a study-only start pays for torch, Gradio or the analyses.
    # sqlite-utils brings pandas; a file that needs no migration needs neither.
    heavy = ("torch", "finephys", "gradio", "pandas", "scipy", "av", "huggingface_hub", "plotly")
    code = (
        "import sys, study.routes, study.serving, uvicorn;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


def test_a_second_server_ends_with_one_sentence_and_the_first_goes_on(root):
    port = free_port()
    first = start(root, port)
    try:
        answered(first, port)
        second = start(root, free_port())
        line = last_line(second)
        assert second.returncode == 1
        assert f"already served by process {first.pid}" in line
        answered(first, port)
    finally:
        first.terminate()
        first.communicate(timeout=30)
    assert first.returncode in (0, -15)
    third = start(root, port)
    try:
        answered(third, port)
    finally:
        third.terminate()
        third.communicate(timeout=30)


@pytest.mark.parametrize("part", ["database", "key"])
def test_a_disk_that_cannot_be_written_is_said_in_one_sentence(root, part):
    with OpenStudy(root, snapshot_seconds=0) as study:
        database = study.folder.database
    key = root / "secret" / "identity.key"
    if part == "key":
        key.unlink()
    for above in tuple(root.parents)[:4]:  # a worker's own folder is one more
        if above != Path("/tmp"):  # noqa: S108
            above.chmod(0o755)
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = database.read_bytes()
    process = start(root, free_port(), "as nobody")
    line = last_line(process)
    assert process.returncode == 1
    assert "can" in line
    assert "write" in line
    assert database.read_bytes() == before


def test_a_disk_that_fills_up_while_raters_answer(root):
    # Bug: the server dies, says "saved", or stays broken after space was made.
    port = free_port()
    process = start(root, port)
    try:
        answered(process, port)

        def enter() -> tuple[int, dict]:
            body = {"source": "open", "names": {}, "language": "en", "agreed": True}
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/enter",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        entered = sum(enter()[0] == 200 for _ in range(3))
        unlimited = resource.RLIM_INFINITY
        # One page: less than a log that begins anew after it was moved.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, unlimited))
        for _ in range(3):
            status, told = enter()
            assert (status, told["code"]) == (507, "storage")
            assert "keeps" in told["sentence"]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        entered += sum(enter()[0] == 200 for _ in range(3))
        assert entered == 6
    finally:
        process.terminate()
        said = process.communicate(timeout=30)[1]
    assert "full or failing" in said
    with Store(root / "study.sqlite") as store, store.view() as database:
        assert value(database, "select count(*) from sessions") == 6
        assert value(database, "pragma integrity_check") == "ok"


def test_a_file_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "study.sqlite"
    Store(path).close()
    newer = sqlite3.connect(path)
    newer.execute("pragma user_version = 99")
    newer.close()
    with pytest.raises(StorageError, match="newer version"):
        Store(path)


def test_a_file_of_an_earlier_version_is_migrated(tmp_path):
    # Bug: a migration is skipped, or run twice.
    from study.schema import migrations
    from study.store import VERSION

    path = tmp_path / "study.sqlite"
    Store(path).close()
    older = sqlite3.connect(path)
    assert older.execute("select count(*) from _sqlite_migrations").fetchone() == (VERSION,)
    assert len(migrations._migrations) == VERSION, "a new migration needs a new VERSION"
    older.execute("pragma user_version = 0")
    older.close()
    Store(path).close()
    again = sqlite3.connect(path)
    assert again.execute("pragma user_version").fetchone() == (VERSION,)
    assert again.execute("select count(*) from _sqlite_migrations").fetchone() == (VERSION,)
    again.close()


def _write(store: Store, first: int, count: int) -> None:
    for number in range(first, first + count):
        with store.transaction() as database:
            database.execute("insert into receipts values (?, 1.0, 0)", (f"{number:4000d}",))


def test_a_serving_store_moves_its_log_aside_from_the_writer(tmp_path, monkeypatch):
    # Bug: nobody moves the log, or every hundredth answer waits for its move.
    monkeypatch.setattr("study.store.LOG_SECONDS", 0.02)
    path, log = tmp_path / "study.sqlite", tmp_path / "study.sqlite-wal"
    with Store(path, serving=True) as store:
        _write(store, 0, 60)
        for _ in range(400):
            if path.stat().st_size > 60 * 4000:
                break
            time.sleep(0.02)
        else:
            pytest.fail("the answers stayed in the log")
        size = log.stat().st_size
        time.sleep(0.2)
        _write(store, 60, 20)
        assert log.stat().st_size == size, "the log begins anew once all of it was moved"
        store.shrink_log()
        assert log.stat().st_size == 0


def test_emptying_the_log_waits_for_whoever_is_at_it(tmp_path, caplog):
    # Bug: what a withdrawn rater gave stays in the log, because the mover or a reader was at work.
    with Store(tmp_path / "study.sqlite") as store:
        for lock in (store._move_lock, store._read_lock):
            _write(store, 0, 3)
            with lock:
                emptying = threading.Thread(target=store.shrink_log)
                emptying.start()
                emptying.join(0.2)
                assert emptying.is_alive()
            emptying.join()
            assert (tmp_path / "study.sqlite-wal").stat().st_size == 0
            with store.transaction() as database:
                database.execute("delete from receipts")
    assert "not emptied" not in caplog.text


def test_the_log_is_bounded_when_raters_never_pause(tmp_path, monkeypatch):
    # Bug: the log fills the disk, because it is never wholly moved between two answers.
    monkeypatch.setattr("study.store.LOG_SECONDS", 3600)
    monkeypatch.setattr("study.store.LOG_PAGES", 50)
    with Store(tmp_path / "study.sqlite", serving=True) as store:
        _write(store, 0, 300)
        assert (tmp_path / "study.sqlite-wal").stat().st_size < 80 * 4200


def test_a_draft_is_not_served(root):
    folders.write_milestones(folders.Folder(root), Milestones())
    with pytest.raises(PhaseError, match="draft"):
        OpenStudy(root)


def test_a_changed_study_is_not_served(root):
    # Bug: wording is edited in the middle of a study, and half the raters read something else.
    study = folders.Folder(root)
    study.definition.write_text(study.definition.read_text() + "# a remark\n")
    with pytest.raises(folders.FrozenError, match="was changed after the study opened"):
        OpenStudy(root)
    Store(study.database, serving=True).close()


def test_a_server_that_could_not_start_lets_go_of_the_file(root):
    # Bug: a failed start holds the lock until the process ends.
    database = folders.Folder(root).database
    database.write_bytes(b"no database at all" * 100)
    for _ in range(2):
        with pytest.raises(StorageError, match="damaged"):
            OpenStudy(root)


def test_too_many_waiting_answers_are_refused_instead_of_piling_up(root, monkeypatch):
    monkeypatch.setattr("study.open_study.MOST_WAITING", 3)

    async def go(study: OpenStudy) -> list[object]:
        calls = [study.write(time.sleep, 0.05) for _ in range(5)]
        return await asyncio.gather(*calls, return_exceptions=True)

    # Browser tests before this one leave a loop running in the main thread.
    with OpenStudy(root, snapshot_seconds=0) as study, ThreadPoolExecutor(1) as aside:
        ends = aside.submit(asyncio.run, go(study)).result()
    assert [type(end) for end in ends].count(BusyError) == 2
    assert ends.count(None) == 3


def test_nothing_that_waited_is_stored_after_the_close(root):
    # Bug: an answer that was let in before the close is stored after it, and after the unblinding.
    async def go(study: OpenStudy) -> list[object]:
        study.need_open()
        first = asyncio.ensure_future(study.write(time.sleep, 0.3))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(study.write_while_open(_write, study.store, 0, 1))
        await asyncio.sleep(0.05)
        close_study(study.folder)
        return await asyncio.gather(first, second, return_exceptions=True)

    with OpenStudy(root, snapshot_seconds=0) as study, ThreadPoolExecutor(1) as aside:
        ends = aside.submit(asyncio.run, go(study)).result()
        assert isinstance(ends[1], PhaseError)
        with study.store.view() as database:
            assert value(database, "select count(*) from receipts") == 0


def test_a_transaction_inside_another_is_a_part_of_it(tmp_path):
    # Bug: the inner one commits what the outer one takes back.
    with Store(tmp_path / "study.sqlite") as store:

        def spoil() -> None:
            with store.transaction():
                _write(store, 0, 2)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            spoil()
        with store.transaction():
            _write(store, 2, 2)
        with store.view() as database:
            assert value(database, "select count(*) from receipts") == 2


def test_snapshots_are_taken_while_it_is_served(root):
    with OpenStudy(root, snapshot_seconds=0.05) as study:
        for _ in range(200):
            if list(study.folder.snapshots.glob("*.sqlite")):
                break
            time.sleep(0.05)
    assert list((root / "snapshots").glob("*.sqlite"))
