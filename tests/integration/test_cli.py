"""The command line, as other tools call it: real clips, shipped weights, one line per error.

One `poses` and one `generate` run in processes of their own; the others call `main`, which is the
same without Python's start.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from finephys.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {
    "detected_xy": (16, 17, 2),
    "detected_score": (16, 17),
    "data_driven": (16, 17, 3),
    "physics": (16, 17, 3),
    "fused": (16, 17, 3),
    "reprojected_xy": (16, 17, 2),
    "frame_times": (16,),
}


def finephys(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "finephys", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@dataclass
class Command:
    """Commands in this process."""

    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def __call__(self, *arguments: object) -> int:
        status = main([str(argument) for argument in arguments])
        self.out, self.err = self.capsys.readouterr()
        return status

    def error(self, *arguments: object) -> str:
        """The one error line of a command that fails; nothing else that looks like one."""
        assert self(*arguments) == 1, self.err
        lines = self.err.strip().splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1
        assert lines[-1] == errors[0]
        assert "Traceback" not in self.err
        return errors[0]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def test_actions_lists_the_table(command: Command) -> None:
    assert command("actions") == 0
    lines = command.out.strip().splitlines()
    assert [int(line.split("\t")[0]) for line in lines] == list(range(6, 41))
    assert lines[18].split("\t")[1:3] == ["FX-SALTO", "Arabian double salto tucked"]


@pytest.fixture(scope="module")
def poses_folder(person_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("poses")
    done = finephys("poses", person_clip, "--out", out)
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():  # native libraries' chatter would be another line
        assert line.startswith(("[", "loading models", "note: ")), line
    return out


def test_poses_writes_every_stage(poses_folder: Path) -> None:
    with np.load(poses_folder / "poses.npz", allow_pickle=False) as file:
        for name, shape in SHAPES.items():
            assert file[name].shape == shape, name
            assert file[name].dtype == np.float32, name
            assert np.isfinite(file[name]).all(), name
        assert str(file["fusion"]) != ""
        # Root-relative: a stage that forgot to subtract the pelvis would fail here.
        for name in ("data_driven", "physics", "fused"):
            assert np.abs(file[name][:, 0]).max() < 1e-4, name
        # Camera axes, y down: the head of a standing person has a smaller y than the ankles.
        fused = np.median(file["fused"], axis=0)
        assert fused[10, 1] < fused[[3, 6], 1].min()
        # S_re-proj is in the clip's pixels: near the detection where that was sure.
        sure = file["detected_score"] > 0.5
        gap = np.linalg.norm(file["reprojected_xy"] - file["detected_xy"], axis=-1)[sure]
        body = np.ptp(file["detected_xy"][sure][:, 1])
        assert np.median(gap) < 0.08 * body
        assert (np.diff(file["frame_times"]) > 0).all()


def test_poses_video_plays(poses_folder: Path) -> None:
    from finephys.video import probe

    info = probe(poses_folder / "poses.mp4")
    assert info.frames == 16
    assert info.width == 4 * info.height


def test_lift_round_trip(command: Command, poses_folder: Path, tmp_path: Path) -> None:
    with np.load(poses_folder / "poses.npz", allow_pickle=False) as file:
        xy, score, size = file["detected_xy"], file["detected_score"], file["size"]
        fps = 1 / float(file["dt"])
    source, out = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(source, xy=np.stack([xy] * 3), score=np.stack([score] * 3), size=size, fps=fps)
    for _ in range(2):  # its own output may be replaced
        assert command("lift", source, "--out", out, "--fusion", "average") == 0, command.err
    with np.load(out, allow_pickle=False) as file:
        assert file["fused"].shape == (3, 16, 17, 3)
        assert file["reprojected_xy"].shape == (3, 16, 17, 2)
        # Windows of a batch must not leak into each other.
        np.testing.assert_allclose(file["fused"][0], file["fused"][2], atol=1e-4)
        # "average" is the paper's fusion: the mean of S_dd and S_pp, in every joint.
        mean = (file["data_driven"] + file["physics"]) / 2
        np.testing.assert_allclose(file["fused"], mean, atol=1e-4)


def test_generate_is_the_same_twice_and_differs_by_seed(command: Command, tmp_path: Path) -> None:
    """Also catches videos that depend on the process, and a command that refuses its own files."""
    from finephys.video import read_span

    first, again = tmp_path / "first.mp4", tmp_path / "again.mp4"
    words = ("generate", "--action", 38, "--steps", 2, "--out")
    done = finephys(*words, first, "--seed", 5)
    assert done.returncode == 0, done.stderr
    frames = read_span(first, 0, 10).frames
    assert len(frames) == 16
    assert command(*words, again, "--seed", 5) == 0, command.err
    np.testing.assert_array_equal(frames, read_span(again, 0, 10).frames)
    assert command(*words, again, "--seed", 6) == 0, command.err
    assert not np.array_equal(frames, read_span(again, 0, 10).frames)
    record = json.loads((tmp_path / "first.json").read_text())
    assert record["request"]["seed"] == 5
    assert record["request"]["prompt"]
    assert set(record["seconds"]) >= {"detected", "data_driven", "physics", "reprojected", "video"}


def test_generate_from_clip_and_from_its_poses(
    command: Command, person_clip: Path, tmp_path: Path
) -> None:
    out, kept = tmp_path / "run.mp4", tmp_path / "kept.npz"
    words: tuple[object, ...] = ("--steps", 1, "--out", out, "--poses", kept)
    assert command("generate", "--clip", person_clip, *words) == 0, command.err
    with np.load(kept, allow_pickle=False) as file:
        assert file["reprojected_xy"].shape == (16, 17, 2)
    words = ("--steps", 1, "--prompt", "a person jumps " * 60 + "in red")
    old, new = tmp_path / "old.mp4", tmp_path / "new.mp4"
    assert command("generate", "--poses", kept, *words, "--out", old) == 0, command.err
    assert "note: The prompt is too long for the text encoder" in command.err
    assert command("generate", "--from-poses", kept, *words, "--out", new) == 0, command.err
    assert old.read_bytes() == new.read_bytes()


def test_nobody_is_said_and_the_prior_is_marked(
    command: Command, empty_clip: Path, tmp_path: Path
) -> None:
    assert "--prior" in command.error("poses", empty_clip, "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert command("poses", empty_clip, "--out", tmp_path / "prior", "--prior") == 0, command.err
    assert "prior" in command.err
    with np.load(tmp_path / "prior" / "poses.npz", allow_pickle=False) as file:
        assert "prior" in str(file["source"])
        assert file["detected_score"].max() == 0
        # No motion may be invented.
        assert np.abs(np.diff(file["data_driven"], axis=0)).max() == 0
        assert np.abs(np.diff(file["reprojected_xy"], axis=0)).max() < 2.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("generate", "--action", "99", "--out", "x.mp4"), "6 to 40"),
        (("generate", "--action", "24", "--out", "x.avi"), ".mp4"),
        (("generate", "--action", "24", "--steps", "0", "--out", "x.mp4"), "steps is 0"),
        (("generate", "--action", "24", "--guidance", "nan", "--out", "x.mp4"), "guidance"),
        (("generate", "--out", "x.mp4"), "--clip"),
        (("generate", "--action", "24", "--start", "0", "--out", "x.mp4"), "--start has no effect"),
        (("generate", "--poses", "p.npz", "--fusion", "average", "--out", "x.mp4"), "--fusion has"),
        (("generate", "--from-poses", "p.npz", "--poses", "p.npz", "--out", "x.mp4"), "one of the"),
        (("generate", "--action", "24", "--fusion", "best", "--out", "x.mp4"), "average, physics"),
        (("generate", "--action", "24", "--device", "gpu", "--out", "x.mp4"), "auto, cpu or cuda"),
        (("batch", "--start", "1", "--out", "x"), "give --clips"),
        (("generate", "--action", "24", "--tier", "sd15", "--out", "x.mp4"), "fetch sd15"),
        (("generate", "--action", "24", "--tier", "huge", "--out", "x.mp4"), "tiny or sd15"),
        (("poses", "no_such_file.mp4", "--out", "x"), "no_such_file.mp4"),
        (("lift", "no_such_file.npz", "--out", "x.npz"), "no_such_file.npz"),
        (("nonsense",), "--help"),
    ],
)
def test_bad_arguments_get_one_sentence(
    command: Command, arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    paths = [str(tmp_path / a) if a.startswith("x") else a for a in arguments]
    assert said in command.error(*paths)
    assert list(tmp_path.iterdir()) == []


LIFTABLE = {
    "xy": np.zeros((1, 16, 17, 2)),
    "score": np.ones((1, 16, 17)),
    "size": np.array([640, 480]),
    "fps": np.array(30.0),
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("xy", np.full((1, 16, 17, 2), np.nan), "NaN"),
        ("xy", np.full((1, 16, 17, 2), 1e30), "[-1e+06, 1e+06] pixels"),
        ("xy", np.zeros((1, 15, 17, 2)), "(1, 15, 17, 2)"),
        ("xy", np.zeros((0, 16, 17, 2)), "empty"),
        ("xy", np.full((1, 16, 17, 2), "left"), "numeric"),
        ("xy", np.zeros((1, 16, 17, 2), complex), "numeric"),
        ("xy", np.zeros((1, 16, 17, 2), "m8[s]"), "numeric"),
        ("xy", np.array([None]), "Python objects"),
        ("score", np.full((1, 16, 17), 3.0), "[0, 1]"),
        ("score", np.ones((2, 16, 17)), "(2, 16, 17)"),
        ("fps", np.array(0.0), "fps"),
        ("fps", np.array(1e-30), "fps"),
        ("fps", np.ones(2), "one for each window"),
        ("size", np.array([0.0, 10.0]), "size"),
        ("size", np.array([1e30, 10.0]), "size"),
    ],
)
def test_bad_arrays_get_one_sentence(
    command: Command, name: str, value: np.ndarray, said: str, tmp_path: Path
) -> None:
    source = tmp_path / "in.npz"
    np.savez(source, **LIFTABLE | {name: value})
    assert said in command.error("lift", source, "--out", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_text_named_npz_is_refused(command: Command, tmp_path: Path) -> None:
    source = tmp_path / "in.npz"
    source.write_text("not an npz")
    assert "npz" in command.error("lift", source, "--out", tmp_path / "out.npz")


def test_missing_pose_weights_are_said_before_any_work(
    command: Command, person_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches the detection of a whole clip before the first checkpoint is looked for."""
    monkeypatch.setenv("FINEPHYS_CHECKPOINTS", str(tmp_path))
    np.savez(tmp_path / "in.npz", **LIFTABLE)
    for words in (
        ("poses", person_clip, "--out", tmp_path / "p"),
        ("lift", tmp_path / "in.npz", "--out", tmp_path / "out.npz"),
        ("generate", "--clip", person_clip, "--out", tmp_path / "x.mp4"),
    ):
        assert "FINEPHYS_CHECKPOINTS" in command.error(*words)
        assert "S_detect" not in command.err


def test_import_is_light() -> None:
    code = "import sys, finephys, finephys.types, finephys.actions; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
