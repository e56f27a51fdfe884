"""No command destroys a file: every command and option, before any model is loaded."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from finephys import commands
from finephys.__main__ import main

Words = tuple[object, ...]


@pytest.fixture(autouse=True)
def _nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a command gets as far as its models."""

    def begun(*_: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setenv("FINEPHYS_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(commands, "_pipeline", begun)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A person's files: clips, arrays, a record and a folder of videos, some linked."""
    for name in (
        "jump.mp4", "jump.json", "own.mp4", "own.json", "own.npz", "d/poses.mp4", "e/poses.npz",
        "grid/references/12_0.mp4", "grid/12_0.mp4", "w.safetensors", "lifting.safetensors",
        "hub/part/config.json", "checkpoints/imported/videocrafter/12_0.mp4", "clip.json",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"the only copy of {name}")
    np.savez(tmp_path / "in.npz", xy=np.zeros(3))
    (tmp_path / "soft.mp4").symlink_to("jump.mp4")
    os.link(tmp_path / "jump.mp4", tmp_path / "hard.mp4")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CASES: dict[str, Callable[[Path], Words]] = {
    "clip": lambda p: ("generate", "--clip", p / "jump.mp4", "--out", p / "jump.mp4"),
    "soft link": lambda p: ("generate", "--clip", p / "jump.mp4", "--out", p / "soft.mp4"),
    "hard link": lambda p: ("generate", "--clip", p / "jump.mp4", "--out", p / "hard.mp4"),
    "letter case": lambda p: ("generate", "--clip", p / "jump.mp4", "--out", p / "JUMP.MP4"),
    "clip named as the record": lambda p: (
        "generate", "--clip", p / "clip.json", "--out", p / "clip.mp4"),
    "clip as pose video": lambda p: (
        "generate", "--clip", p / "jump.mp4", "--out", p / "x.mp4", "--pose-video", p / "jump.mp4"),
    "clip as poses": lambda p: (
        "generate", "--clip", p / "jump.mp4", "--out", p / "x.mp4", "--poses", p / "jump.mp4"),
    "two outputs": lambda p: (
        "generate", "--action", 24, "--out", p / "x.mp4", "--pose-video", p / "x.mp4"),
    "poses as the record": lambda p: (
        "generate", "--action", 24, "--out", p / "x.mp4", "--poses-out", p / "x.json"),
    "someone's video": lambda p: ("generate", "--action", 24, "--out", p / "own.mp4"),
    "someone's record": lambda p: ("generate", "--action", 24, "--out", p / "jump2.mp4"),
    "someone's poses": lambda p: (
        "generate", "--action", 24, "--out", p / "x.mp4", "--poses", p / "own.npz"),
    "from poses": lambda p: (
        "generate", "--from-poses", p / "in.npz", "--out", p / "own.mp4"),
    "clip in the folder": lambda p: ("poses", p / "d/poses.mp4", "--out", p / "d"),
    "file in the folder": lambda p: ("poses", p / "jump.mp4", "--out", p / "e"),
    "lift onto itself": lambda p: ("lift", p / "in.npz", "--out", p / "in.npz"),
    "lift onto another": lambda p: ("lift", p / "in.npz", "--out", p / "own.npz"),
    "train onto its start": lambda p: (
        "train", "lifting", "--start", p / "w.safetensors", "--out", p / "w.safetensors"),
    "train onto its base": lambda p: ("train", "physnet", "--out", p / "lifting.safetensors"),
    "train onto its state": lambda p: (
        "train", "lifting", "--run", p / "run", "--out", p / "run/state.pt"),
    "train onto a clip": lambda p: ("train", "lifting", "--out", p / "own.mp4"),
    "import from itself": lambda p: (
        "import", "videocrafter", p / "checkpoints/imported/videocrafter"),
    "fetch onto itself": lambda p: ("fetch", "sd15", "--from", p / "hub", "--dir", p / "hub"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_no_command_destroys_a_file(
    case: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "jump2.json").write_text("{}")
    before = contents(place)
    assert main([str(word) for word in CASES[case](place)]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ")
    assert "the work has begun" not in said[-1]
    assert contents(place) == before


@pytest.mark.parametrize("clips", ["grid", "grid/references"])
def test_a_batch_reads_no_clips_from_where_it_writes(
    clips: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from finephys.batch import _check_files
    from finephys.errors import RequestError
    from finephys.grid import Grid
    from finephys.types import Request

    grid = Grid(("ours",), (12,), (0,), place / "grid", Request(), clips=place / clips)
    with pytest.raises(RequestError, match="lies in --out"):
        _check_files(grid, {})


@pytest.mark.parametrize("name", ["clip.json", "jump.mp4"])
def test_overwrite_never_reaches_an_input(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = (place / name).with_suffix(".mp4")
    words = ("generate", "--clip", place / name, "--out", out, "--overwrite")
    assert main([str(word) for word in words]) == 1
    assert "is the same file as --clip" in capsys.readouterr().err


def test_overwrite_replaces_what_is_only_in_the_way(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("generate", "--action", "24", "--out", str(place / "own.mp4"), "--overwrite")
    assert main(list(words)) == 1
    assert "the work has begun" in capsys.readouterr().err
