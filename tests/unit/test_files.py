"""The atomic writer: many writers, failures halfway, modes, links and names."""

import os
import stat
import threading
from pathlib import Path

import pytest

from finephys.files import OutputError, whole_file


def write(path: Path, failure: BaseException | None = None) -> None:
    with whole_file(path) as partial:
        partial.write_text("new")
        if failure:
            raise failure


def test_readers_see_one_whole_file_whoever_writes(tmp_path: Path) -> None:
    """Catches a temporary name that two writers share: one removes or completes the other's."""
    target = tmp_path / "result.bin"
    contents = [bytes([number]) * 50_000 for number in range(4)]
    errors: list[Exception] = []
    done = threading.Event()

    def write_often(content: bytes) -> None:
        try:
            for _ in range(10):
                with whole_file(target) as partial, partial.open("wb") as file:
                    for start in range(0, len(content), 5000):
                        file.write(content[start : start + 5000])
                        file.flush()
        except Exception as error:  # noqa: BLE001 -- reported by the test
            errors.append(error)

    def read() -> None:
        while not done.is_set():
            if target.exists() and target.read_bytes() not in contents:
                errors.append(AssertionError("a reader saw a part"))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write_often, args=(content,)) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert errors == []
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("x"), MemoryError()])
def test_a_failed_write_changes_nothing(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "result.txt"
    target.write_text("before")
    with pytest.raises(type(failure)):
        write(target, failure)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC."""
    target = tmp_path / "result.npz"

    def fill() -> None:
        with whole_file(target) as partial:
            partial.symlink_to("/dev/full")
            with partial.open("wb") as file:
                file.write(b"x" * 10_000_000)

    with pytest.raises(OutputError, match="disk is full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_the_bytes_reach_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a missing fsync: after a power cut the name would stand for an empty file."""
    target = tmp_path / "result.txt"
    synced: list[tuple[bool, bool]] = []

    def fsync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((folder, target.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write(target)
    assert synced == [(False, False), (True, True)]


def test_a_new_file_has_the_umasks_mode_and_a_replaced_one_its_own(tmp_path: Path) -> None:
    """Catches temporary files made for the owner alone (0600), which others can then not read."""
    new, old = tmp_path / "new", tmp_path / "old"
    old.touch()
    old.chmod(0o604)
    before = os.umask(0o027)
    try:
        for path in (new, old):
            write(path)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o640, 0o604]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "far" / "file.txt")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "far" / "file.txt").read_text() == "new"


def test_a_pipe_or_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """Catches `--out /dev/null` as root, after which the machine has no /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="not a regular file"):
        write(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(OutputError, match="directory"):
        write(tmp_path)


@pytest.mark.parametrize("name", ["a" * 251 + ".npz", "a." + "b" * 250])
def test_the_longest_name_can_be_written(tmp_path: Path, name: str) -> None:
    """Catches a temporary name that is longer than the name it stands for."""
    write(tmp_path / name)
    assert (tmp_path / name).read_text() == "new"


def test_a_name_that_is_too_long_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the name is too long; choose a shorter one and try"):
        write(tmp_path / ("a" * 300))
