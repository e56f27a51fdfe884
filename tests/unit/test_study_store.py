"""The study's store: nothing twice, nothing lost, nothing half, and clear sentences."""

import multiprocessing
import os
import resource
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

from study import answers, audit, identities, sessions
from study.answers import Answer, Rules
from study.clock import Clock
from study.design import Page
from study.folder import Folder
from study.identities import Keyring
from study.sessions import Consent, Entry, Places, RefusedError
from study.store import StorageError, Store, rows, run, value
from study.withdrawal import withdraw

RULES = Rules(("left", "right"), ("text", "image"), (1, 2, 3, 4, 5), watch_seconds=2.0)
KEYS = Keyring(bytes(range(32)))


class Hands:
    """Wall and monotonic clocks that a test turns."""

    def __init__(self, wall: float = 1e9) -> None:
        self.wall = wall
        self.ticks = 0.0

    def clock(self, at_least: float = 0.0) -> Clock:
        return Clock(at_least, lambda: self.wall, lambda: self.ticks)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


def pages(sequence: int, _seed: int) -> list[Page]:
    return [Page("rating", f"i{at}", f"l{sequence}{at}", f"r{sequence}{at}") for at in range(3)]


AGREED = Consent("hash", "en")
PLACES = Places(4, pages, lambda page: {"left": page.left, "right": page.right})


@pytest.fixture
def store(tmp_path: Path, hands: Hands):
    with Store(tmp_path / "study.sqlite", clock=hands.clock()) as opened:
        yield opened


def person(name: str) -> Entry:
    return Entry("prolific", {"prolific": name})


def begin(store: Store, name: str = "ann") -> str:
    session = sessions.enter(store, KEYS, PLACES, person(name), AGREED)
    sessions.check_playback(store, session, "ok")
    return session


def watch(store: Store, hands: Hands, session: str, position: int) -> None:
    answers.open_page(store, session, position)
    hands.wait(2.5)
    answers.confirm_watched(store, RULES, session, position, lambda _: True)


def score_page(store: Store, session: str, position: int, score: int = 3, tag: str = "") -> None:
    for side in RULES.sides:
        for dimension in RULES.dimensions:
            key = f"{session}{position}{side}{dimension}{tag}".ljust(16, "-")
            answers.save(store, RULES, session, Answer(position, side, dimension, score, 1.0, key))


def count(store: Store, table: str) -> int:
    with store.view() as database:
        return int(value(database, f"select count(*) from {table}"))  # noqa: S608


def test_a_repeated_post_changes_nothing(store, hands):
    # Bug: a retry after a lost reply is stored as a second answer.
    session = begin(store)
    watch(store, hands, session, 0)
    answer = Answer(0, "left", "text", 4, 1.0, "k" * 16)
    first = answers.save(store, RULES, session, answer)
    assert answers.save(store, RULES, session, answer) == first
    assert count(store, "answers") == 1


def test_a_late_retry_does_not_undo_a_newer_score(store, hands):
    # Bug: the last post to arrive wins although it is an old one sent again.
    session = begin(store)
    watch(store, hands, session, 0)
    old, new = (
        Answer(0, "left", "text", 1, 1.0, "a" * 16),
        Answer(0, "left", "text", 5, 1.0, "b" * 16),
    )
    answers.save(store, RULES, session, old)
    answers.save(store, RULES, session, new)
    answers.save(store, RULES, session, old)
    with store.view() as database:
        assert [row["score"] for row in answers.final_answers(database)] == [5]
    assert count(store, "answers") == 2, "the first score must be kept as revision 1"


def test_one_key_for_two_answers_is_refused(store, hands):
    # Bug: a key used again for another score is taken for a retry, and the score is lost silently.
    session = begin(store)
    watch(store, hands, session, 0)
    answers.save(store, RULES, session, Answer(0, "left", "text", 1, 1.0, "a" * 16))
    with pytest.raises(RefusedError, match="another"):
        answers.save(store, RULES, session, Answer(0, "left", "text", 2, 1.0, "a" * 16))
    other = begin(store, "bob")
    with pytest.raises(RefusedError, match="another"):
        answers.save(store, RULES, other, Answer(0, "left", "text", 1, 1.0, "a" * 16))


def test_scores_stay_locked_until_the_server_clock_agrees(store, hands):
    # Bug: only the page locks the scores; a script posts without watching.
    session = begin(store)
    answer = Answer(0, "left", "text", 4, 1.0, "k" * 16)
    with pytest.raises(RefusedError) as refused:
        answers.save(store, RULES, session, answer)
    assert refused.value.code == "not_seen"
    answers.open_page(store, session, 0)
    hands.wait(60)
    with pytest.raises(RefusedError, match="2 videos of this page were not loaded"):
        answers.confirm_watched(store, RULES, session, 0, lambda _: False)
    answers.confirm_watched(store, RULES, session, 0, lambda _: True)
    score_page(store, session, 0)
    answers.open_page(store, session, 1)
    hands.wait(1.0)
    with pytest.raises(RefusedError) as refused:
        answers.confirm_watched(store, RULES, session, 1, lambda _: True)
    assert refused.value.code == "too_soon"


def test_only_the_page_in_view_and_the_one_before_take_answers(store, hands):
    # Bug: pages may be answered in any order, so order effects cannot be analysed. The page in view
    # may be complete, which makes the one after it the current one.
    session = begin(store)
    with pytest.raises(RefusedError, match="not open"):
        answers.open_page(store, session, 1)
    for position in (0, 1):
        watch(store, hands, session, position)
        score_page(store, session, position)
    answers.open_page(store, session, 0)
    score_page(store, session, 0, score=5, tag="again")
    watch(store, hands, session, 2)
    score_page(store, session, 2)
    score_page(store, session, 1, score=5, tag="again")
    with pytest.raises(RefusedError, match="not open"):
        score_page(store, session, 0, score=4, tag="third time")


def test_the_end_comes_only_after_every_row_is_counted(store, hands):
    # Bug: the completion code is shown before the answers arrived (jsPsych #2050).
    session = begin(store)
    for position in range(3):
        with pytest.raises(RefusedError, match="not answered"):
            sessions.finish(store, session)
        watch(store, hands, session, position)
        score_page(store, session, position)
    assert sessions.finish(store, session) == 3
    assert sessions.finish(store, session) == 3
    with pytest.raises(RefusedError, match="finished"):
        score_page(store, session, 2, score=1, tag="after")


def test_a_page_that_cannot_be_played_counts_without_scores(store, hands):
    # Bug: a rater whose phone shows no video is stuck, or has to invent scores. A video that never
    # loads is never shown, so the page was not opened either.
    session = begin(store)
    answers.cannot_play(store, session, 0, "both")
    answers.cannot_play(store, session, 0, "both")
    answers.open_page(store, session, 1)
    assert count(store, "answers") == 0


def test_one_person_has_one_session(store):
    # Bug: opening the link again starts the study again.
    assert sessions.enter(store, KEYS, PLACES, person("ann"), AGREED) == begin(store, "ann")
    assert count(store, "sessions") == 1


def test_an_invitation_is_for_one_person_and_must_be_known(store):
    codes = identities.invite(store, KEYS, 2, "me")
    entries = [Entry("invite", {"invite": code}) for code in codes]
    first, second = (sessions.enter(store, KEYS, PLACES, entry, AGREED) for entry in entries)
    assert first != second
    assert sessions.enter(store, KEYS, PLACES, entries[0], AGREED) == first
    with pytest.raises(RefusedError, match="not known"):
        sessions.enter(store, KEYS, PLACES, Entry("invite", {"invite": "guess"}), AGREED)


def test_two_raters_entering_at_once_get_two_places(store):
    # Bug: two raters are given the same place (label-studio #795).
    gate = threading.Barrier(16)

    def come(number: int) -> None:
        gate.wait()
        sessions.enter(store, KEYS, PLACES, person(str(number)), AGREED)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.view() as database:
        taken = Counter(row["sequence"] for row in rows(database, "select sequence from sessions"))
    assert taken == dict.fromkeys(range(4), 4)


def test_an_abandoned_place_returns_and_a_finished_one_does_not(store, hands):
    # Bug: abandoned sessions count as done (potato #100), or done ones are given away again.
    done = begin(store, "ann")
    for position in range(3):
        watch(store, hands, done, position)
        score_page(store, done, position)
    sessions.finish(store, done)
    sessions.enter(store, KEYS, PLACES, person("bob"), AGREED)
    hands.wait(sessions.ACTIVE_SECONDS + 1)
    for name in ("eve", "joe", "kim"):
        sessions.enter(store, KEYS, PLACES, person(name), AGREED)
    with store.view() as database:
        taken = [row["sequence"] for row in rows(database, "select * from sessions order by rowid")]
    assert taken == [0, 1, 1, 2, 3]


def test_identities_cannot_be_read_from_the_file(store, tmp_path):
    # Bug: Prolific ids lie in the database, next to the answers.
    session = begin(store, "5f3c0ffee0ddba11ca11ab1e")
    code = identities.invite(store, KEYS, 1, "me")[0]
    store.shrink_log()
    content = (tmp_path / "study.sqlite").read_bytes()
    assert session.encode() in content
    for secret in (b"5f3c0ffee0ddba11ca11ab1e", code.encode(), KEYS.token(session).encode()):
        assert secret not in content


def test_withdrawal_leaves_no_byte_of_the_rater(store, hands, tmp_path):
    # Bug: deleted rows stay readable in free pages of the file or in the write-ahead log.
    session = begin(store)
    with store.transaction() as database:
        run(database, "insert into demographics values (?, 'job', 'lion tamer')", session)
    watch(store, hands, session, 0)
    score_page(store, session, 0)
    receipt = withdraw(Folder(tmp_path), store, KEYS, session, "me")
    assert receipt.answers == 4
    for table in ("sessions", "identities", "demographics", "assignments", "media", "answers"):
        assert count(store, table) == 0, table
    assert count(store, "receipts") == 1
    for file in tmp_path.glob("study.sqlite*"):
        assert session.encode() not in file.read_bytes(), file
        assert b"lion tamer" not in file.read_bytes(), file
    with pytest.raises(RefusedError, match="withdrawn"):
        score_page(store, session, 0, tag="after")
    assert sessions.enter(store, KEYS, PLACES, person("ann"), AGREED) != session


def test_the_audit_log_cannot_be_changed_or_shortened(store, tmp_path):
    # Bug: whoever closed the study early can take the act out of the log.
    identities.invite(store, KEYS, 2, "me")
    identities.invite(store, KEYS, 3, "me")
    for statement in ("update audit set actor = 'nobody'", "delete from audit where id = 2"):
        with (
            pytest.raises(sqlite3.IntegrityError, match="append-only"),
            store.transaction() as database,
        ):
            run(database, statement)
    assert [act["detail"] for act in audit.acts(store)] == [{"count": 2}, {"count": 3}]
    assert audit.first_broken(store) is None
    with sqlite3.connect(tmp_path / "study.sqlite") as forger:
        forger.execute("drop trigger audit_is_never_changed")
        forger.execute("""update audit set detail = '{"count": 9}' where id = 1""")
    forger.close()
    assert audit.first_broken(store) == 1


def test_answers_cannot_be_changed_in_place(store, hands):
    session = begin(store)
    watch(store, hands, session, 0)
    score_page(store, session, 0)
    with pytest.raises(sqlite3.IntegrityError, match="revised"), store.transaction() as database:
        run(database, "update answers set score = 1")


def test_time_never_runs_backwards(tmp_path):
    # Bug: after the machine's clock is set back, later answers are older than earlier ones.
    hands = Hands(2e9)
    with Store(tmp_path / "study.sqlite", clock=hands.clock()) as store:
        first = begin(store)
        hands.wall -= 5000
        hands.ticks += 1
        assert store.clock.now() == 2e9 + 1
        watch(store, hands, first, 0)
        score_page(store, first, 0)
    with Store(tmp_path / "study.sqlite") as again:
        assert again.clock.now() >= 2e9 + 1, "the wall clock of today is before the stored times"


def test_a_second_server_is_refused_with_one_sentence(tmp_path):
    # Bug: two servers write one file, "database is locked" for raters (label-studio #5755).
    with Store(tmp_path / "study.sqlite", serving=True):
        with pytest.raises(StorageError, match=f"served by process {os.getpid()}") as refused:
            Store(tmp_path / "study.sqlite", serving=True)
        assert "\n" not in str(refused.value)
        Store(tmp_path / "study.sqlite").close()
    Store(tmp_path / "study.sqlite", serving=True).close()


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "study.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("create table songs (title text)")
    other.close()
    with pytest.raises(StorageError, match="another program"):
        Store(path)
    with sqlite3.connect(path) as other:
        assert other.execute("select name from sqlite_master").fetchall() == [("songs",)]
    other.close()


@pytest.mark.parametrize("damage", [b"not a database, not even nearly", b"\0" * 4096])
def test_a_damaged_file_is_reported_and_not_overwritten(tmp_path, damage):
    path = tmp_path / "study.sqlite"
    with Store(path) as store:
        store.shrink_log()
    content = path.read_bytes()
    spoiled = content[:4096] + damage + content[4096 + len(damage) :]
    if damage[0]:
        spoiled = damage + content[len(damage) :]
    path.write_bytes(spoiled)
    with pytest.raises(StorageError, match="damaged"):
        Store(path)
    assert path.read_bytes() == spoiled


def _fill_disk(path: str, report) -> None:
    with Store(Path(path)) as store:
        before = count(store, "audit")
        size = Path(path).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, size + 40_000))
        stored, sentence = 0, ""
        try:
            for number in range(200):
                with store.transaction() as database:
                    audit.record(database, store.clock.now(), "me", "note", text="x" * 2000)
                stored = number + 1
        except StorageError as error:
            sentence = str(error)
        readable = count(store, "audit") - before
        report.send((stored, readable, sentence))
        report.close()
        os._exit(0)


def test_a_full_disk_is_said_and_spoils_nothing(tmp_path):
    # Bug: an acknowledged write is lost, or the file is corrupt, when the disk fills up.
    path = tmp_path / "study.sqlite"
    Store(path).close()
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_fill_disk, args=(str(path), there)
    )
    process.start()
    there.close()
    stored, readable, sentence = here.recv()
    process.join()
    assert 0 < stored < 200, "the limit was meant to be met on the way"
    assert readable == stored
    assert "full" in sentence
    with Store(path) as store:
        assert len(audit.acts(store)) == stored
        assert audit.first_broken(store) is None
        with store.view() as database:
            assert value(database, "pragma integrity_check") == "ok"


def test_a_write_waits_for_another_process_instead_of_failing(store, tmp_path):
    # Bug: "database is locked" while a command line act holds the file (doccano #1236).
    other = sqlite3.connect(
        tmp_path / "study.sqlite", isolation_level=None, check_same_thread=False
    )
    other.execute("begin immediate")
    other.execute("insert into receipts values ('r', 1.0, 0)")  # what was read before is outdated
    release = threading.Timer(0.3, lambda: other.execute("commit"))
    release.start()
    begin(store)
    release.join()
    other.close()


def test_a_failed_write_leaves_nothing_behind(store):
    # Bug: half a transaction is stored when something in the middle fails.
    with pytest.raises(sqlite3.IntegrityError), store.transaction() as database:  # noqa: PT012
        run(database, "insert into receipts values ('half', 1.0, 1)")
        run(database, "insert into receipts values ('half', 2.0, 2)")
    assert count(store, "receipts") == 0


def test_readers_cannot_write(store):
    with pytest.raises(StorageError), store.view() as database:
        run(database, "insert into receipts values ('reader', 1.0, 1)")
