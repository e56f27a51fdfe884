"""The command line, as other tools call it: real processes, real clips, shipped weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
    return subprocess.run(
        [sys.executable, "-m", "finephys", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one error line of a failed command; nothing else that looks like one may be there."""
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    assert "Traceback" not in done.stderr
    return errors[0]


def test_actions_lists_the_table() -> None:
    lines = finephys("actions").stdout.strip().splitlines()
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


def test_lift_round_trip(poses_folder: Path, tmp_path: Path) -> None:
    with np.load(poses_folder / "poses.npz", allow_pickle=False) as file:
        xy, score, size = file["detected_xy"], file["detected_score"], file["size"]
        fps = 1 / float(file["dt"])
    source, out = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(source, xy=np.stack([xy] * 3), score=np.stack([score] * 3), size=size, fps=fps)
    done = finephys("lift", source, "--out", out, "--fusion", "average")
    assert done.returncode == 0, done.stderr
    with np.load(out, allow_pickle=False) as file:
        assert file["fused"].shape == (3, 16, 17, 3)
        assert file["reprojected_xy"].shape == (3, 16, 17, 2)
        # Windows of a batch must not leak into each other.
        np.testing.assert_allclose(file["fused"][0], file["fused"][2], atol=1e-4)
        # "average" is the paper's fusion: the mean of S_dd and S_pp, in every joint.
        mean = (file["data_driven"] + file["physics"]) / 2
        np.testing.assert_allclose(file["fused"], mean, atol=1e-4)


def test_generate_is_the_same_twice_and_differs_by_seed(tmp_path: Path) -> None:
    def video(name: str, seed: int) -> np.ndarray:
        from finephys.video import read_span

        out = tmp_path / f"{name}.mp4"
        done = finephys("generate", "--action", 38, "--seed", seed, "--steps", 3, "--out", out)
        assert done.returncode == 0, done.stderr
        return read_span(out, 0, 10).frames

    first = video("first", 5)
    assert len(first) == 16
    np.testing.assert_array_equal(first, video("second", 5))
    assert not np.array_equal(first, video("third", 6))
    record = json.loads((tmp_path / "first.json").read_text())
    assert record["request"]["seed"] == 5
    assert record["request"]["prompt"]
    assert set(record["seconds"]) >= {"detected", "data_driven", "physics", "reprojected", "video"}


def test_generate_from_clip_and_from_its_poses(
    person_clip: Path, poses_folder: Path, tmp_path: Path
) -> None:
    out, kept = tmp_path / "run.mp4", tmp_path / "kept.npz"
    done = finephys("generate", "--clip", person_clip, "--steps", 2, "--out", out, "--poses", kept)
    assert done.returncode == 0, done.stderr
    with np.load(kept, allow_pickle=False) as file:
        assert file["reprojected_xy"].shape == (16, 17, 2)
    words = ("--steps", 2, "--prompt", "a person jumps " * 60 + "in red")
    again = finephys("generate", "--poses", kept, *words, "--out", tmp_path / "again.mp4")
    assert "note: The text encoder takes a shorter prompt" in again.stderr
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.mp4").stat().st_size > 0


def test_nobody_is_said_and_the_prior_is_marked(empty_clip: Path, tmp_path: Path) -> None:
    refused = finephys("poses", empty_clip, "--out", tmp_path / "none")
    assert "--prior" in error_of(refused)
    assert not (tmp_path / "none").exists()
    done = finephys("poses", empty_clip, "--out", tmp_path / "prior", "--prior")
    assert done.returncode == 0, done.stderr
    assert "prior" in done.stderr
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
        (("generate", "--action", "24", "--tier", "sd15", "--out", "x.mp4"), "fetch sd15"),
        (("generate", "--action", "24", "--tier", "huge", "--out", "x.mp4"), "tiny or sd15"),
        (("poses", "no_such_file.mp4", "--out", "x"), "no_such_file.mp4"),
        (("lift", "no_such_file.npz", "--out", "x.npz"), "no_such_file.npz"),
        (("nonsense",), "--help"),
    ],
)
def test_bad_arguments_get_one_sentence(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    paths = [str(tmp_path / a) if a.startswith("x") else a for a in arguments]
    assert said in error_of(finephys(*paths))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("xy", np.full((1, 16, 17, 2), np.nan), "NaN"),
        ("xy", np.zeros((1, 15, 17, 2)), "(1, 15, 17, 2)"),
        ("score", np.full((1, 16, 17), 3.0), "[0, 1]"),
        ("fps", np.array(0.0), "fps"),
        ("size", np.array([0.0, 10.0]), "size"),
        ("xy", np.full((1, 16, 17, 2), "left"), "numeric"),
    ],
)
def test_bad_arrays_get_one_sentence(
    name: str, value: np.ndarray, said: str, tmp_path: Path
) -> None:
    arrays = {
        "xy": np.zeros((1, 16, 17, 2)),
        "score": np.ones((1, 16, 17)),
        "size": np.array([640, 480]),
        "fps": np.array(30.0),
    } | {name: value}
    source = tmp_path / "in.npz"
    np.savez(source, **arrays)
    assert said in error_of(finephys("lift", source, "--out", tmp_path / "out.npz"))
    assert not (tmp_path / "out.npz").exists()


def test_text_named_npz_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.npz"
    source.write_text("not an npz")
    assert "npz" in error_of(finephys("lift", source, "--out", tmp_path / "out.npz"))


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A file cut off by a full disk must not stay; /dev/full answers every write with ENOSPC."""
    from finephys.files import OutputError, whole_file

    target = tmp_path / "result.npz"

    def write() -> None:
        with whole_file(target) as partial:
            partial.symlink_to("/dev/full")
            with partial.open("wb") as file:
                file.write(b"x" * 10_000_000)

    with pytest.raises(OutputError, match="disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_import_is_light() -> None:
    code = "import sys, finephys, finephys.types, finephys.actions; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
