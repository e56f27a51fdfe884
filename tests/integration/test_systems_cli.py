"""`generate --method` and `batch --methods` with the other systems, by the command itself."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from finephys.__main__ import main
from finephys.generator import public_pipelines, systems
from finephys.outputs import write_poses
from finephys.skeleton import FRAMES
from finephys.types import VideoClip
from finephys.video import read_span, write_video
from finephys.weights.lock import FOLDER_VARIABLE, read_lock, write_lock
from tests.unit.test_methods import some_poses

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def place(public_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Narrow public weights, and videos of a system that runs elsewhere."""
    shutil.copytree(public_weights, tmp_path / "w", ignore=shutil.ignore_patterns("latte"))
    parts = read_lock(public_weights)
    write_lock(tmp_path / "w", {name: part for name, part in parts.items() if name != "latte"})
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "w"))
    monkeypatch.setattr(public_pipelines, "SIZE", 64)
    monkeypatch.setattr(systems, "import_folder", lambda name: tmp_path / "imported" / name)
    monkeypatch.setattr(
        "finephys.generator.imported.import_folder", lambda name: tmp_path / "imported" / name
    )
    for seed, level in ((0, 30), (1, 200)):
        frames = np.full((FRAMES, 32, 32, 3), level, np.uint8)
        write_video(tmp_path / "theirs" / f"12_{seed}.mp4", VideoClip(frames, 8.0))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["finephys", *map(str, words)])
    return main()


def test_a_grid_of_ours_and_other_systems(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a system's video made by the tier's own generator under another name."""
    grid = place / "grid"
    words = ("--methods", "text", "animatediff", "videocrafter", "--actions", "12")
    words += ("--seeds", "0", "1", "--steps", "3", "--exact", "--device", "cpu", "--out", str(grid))
    assert run(monkeypatch, "batch", *words) == 1  # nothing steps in for what is missing
    assert "python -m finephys import videocrafter FOLDER" in capsys.readouterr().err
    assert run(monkeypatch, "import", "videocrafter", place / "theirs") == 0
    assert run(monkeypatch, "batch", *words) == 0
    rows = [json.loads(line) for line in (grid / "manifest.jsonl").read_text().splitlines()]
    assert sorted(row["file"] for row in rows) == [
        f"{name}/12_{seed}.mp4"
        for name in ("animatediff", "text", "videocrafter")
        for seed in (0, 1)
    ]
    by = {row["file"]: row for row in rows}
    assert by["animatediff/12_0.mp4"]["config"]["tier"] == "animatediff"
    assert by["text/12_0.mp4"]["config"]["tier"] == "tiny"
    weights = {row["method"]: row["config"]["checkpoints"]["generator"] for row in rows}
    assert len(set(weights.values())) == 3
    for seed, level in ((0, 30), (1, 200)):
        clip = read_span(grid / "videocrafter" / f"12_{seed}.mp4", 0.0, 2.0)
        assert abs(float(clip.frames.mean()) - level) < 6
    assert read_span(grid / "animatediff" / "12_0.mp4", 0.0, 2.0).frames.shape[1:3] == (64, 64)

    # The same command makes nothing anew; another import makes its videos anew, and only those.
    made = {row["file"]: row["made"] for row in rows}
    frames = np.full((FRAMES, 32, 32, 3), 90, np.uint8)
    write_video(place / "theirs" / "12_0.mp4", VideoClip(frames, 8.0))
    assert run(monkeypatch, "import", "videocrafter", place / "theirs") == 0
    assert run(monkeypatch, "batch", *words) == 0
    again = [json.loads(line) for line in (grid / "manifest.jsonl").read_text().splitlines()]
    changed = {row["file"] for row in again if row["made"] != made[row["file"]]}
    assert changed == {"videocrafter/12_0.mp4", "videocrafter/12_1.mp4"}


def test_one_video_of_another_system(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = place / "one.mp4"
    words = ("--action", "12", "--steps", "2", "--device", "cpu", "--out", str(out))
    assert run(monkeypatch, "generate", "--method", "animatediff", *words) == 0
    assert read_span(out, 0.0, 2.0).frames.shape == (FRAMES, 64, 64, 3)
    request = json.loads(out.with_suffix(".json").read_text())
    assert "animatediff" in json.dumps(request)
    write_poses(place / "poses.npz", some_poses())
    words = ("--poses", place / "poses.npz", *words[2:])  # it reads no stage of them
    out.unlink()
    assert run(monkeypatch, "generate", "--method", "animatediff", "--prompt", "a", *words) == 0
    assert read_span(out, 0.0, 2.0).frames.shape == (FRAMES, 64, 64, 3)
    assert run(monkeypatch, "generate", "--method", "lifted", *words) == 1
    assert "needs every stage" in capsys.readouterr().err
    words = ("--action", "12", *words[2:])
    assert run(monkeypatch, "generate", "--method", "latte", *words) == 1
    said = capsys.readouterr().err
    assert said.rstrip().splitlines()[-1].startswith("error: The weights of latte are missing")
    assert "python -m finephys fetch latte" in said
    assert run(monkeypatch, "generate", "--method", "sora", *words) == 1
    assert "animatediff, latte, t2v-zero" in capsys.readouterr().err


def test_a_fetch_that_is_stopped_does_not_say_that_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("finephys.weights.fetch.fetch", pressed)
    assert run(monkeypatch, "fetch", "sd15", "--from", tmp_path) == 1
    assert "begun by fetch, stay" in capsys.readouterr().err
