"""The end of every command: one sentence, a status, and a log of what nobody expected."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from finephys import commands
from finephys.__main__ import _stop_on_signals, main
from finephys.files import whole_file


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "finephys"


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(commands, "actions", fail)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("x must contain\nat least 2"), "(ValueError: x must contain at least 2)"),
        (AssertionError(), "internal error (AssertionError"),
        (RecursionError("too deep"), "RecursionError"),
        (MemoryError(), "not enough memory"),
        (OSError(36, "File name too long", "aaa"), "aaa: File name too long"),
    ],
)
def test_what_nobody_expected_is_a_sentence_and_a_log(
    error: Exception,
    said: str,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_with(error, monkeypatch)
    assert main(["actions"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line
    (log,) = state.iterdir()
    assert str(log) in line
    text = log.read_text()
    assert "Traceback" in text
    assert "test_main.py" in text
    assert type(error).__name__ in text


def test_without_a_state_folder_the_log_goes_to_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    fail_with(ValueError("x"), monkeypatch)
    assert main(["actions"]) == 1
    (log,) = (tmp_path / "temporary").iterdir()
    assert str(log) in capsys.readouterr().err
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert main(["actions"]) == 1
    assert "no log could be written" in capsys.readouterr().err


def test_the_keyboard_is_no_fault(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch)
    assert main(["actions"]) == 1
    assert capsys.readouterr().err.startswith("error: stopped;")
    assert not state.exists()


def test_a_killed_command_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches `timeout 60 python -m finephys ...`, whose every run would leave one."""

    def fail(_: object) -> None:
        with whole_file(tmp_path / "x.mp4") as partial:
            partial.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)  # the signal ends it

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(commands, "actions", fail)
    try:
        _stop_on_signals()
        assert main(["actions"]) == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["actions"], ["--help"]])
def test_a_full_device_on_stdout_is_said(words: list[str]) -> None:
    """In a process of its own: Python flushes once more at its end, and would exit with 120."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "finephys", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: standard output was not written: the disk is full")


def test_a_reader_that_leaves_ends_the_command_quietly(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m finephys actions | head -1` is no error."""
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    assert main(["actions"]) == 0
    assert capsys.readouterr().err == ""
    assert not state.exists()


def test_progress_nobody_can_read_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: str) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    commands.say("still going")
    monkeypatch.setattr(sys, "stderr", None)
    commands.say("still going")


@pytest.mark.parametrize(
    "command", ["generate", "batch", "poses", "lift", "actions", "import", "fetch", "train"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a % in a help text, which argparse only meets when it prints it."""
    assert main([command, "--help"]) == 0
    assert f"python -m finephys {command}" in capsys.readouterr().out
