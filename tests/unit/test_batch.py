"""The grid of videos: laid out for the study, resumed, verified, shared out."""

import json
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from finephys import batch
from finephys.batch import names, numbers, run_batch
from finephys.errors import NoPersonError, RequestError, StoppedError
from finephys.files import sha256
from finephys.generator.protocol import Sampling
from finephys.grid import Grid, Share, share_from_environment
from finephys.manifest import BatchError, append, merge, read_manifest
from finephys.methods import METHODS
from finephys.pipeline import Pipeline
from finephys.types import Poses, Request, Update, VideoClip
from study.sources import find
from tests.unit.test_methods import some_poses


class KnownPoses(Pipeline):
    """The pipeline with poses from the simulation and a generator that paints what guides it.

    Only the stages that need trained weights are replaced; composing them is the pipeline's own.
    """

    def __init__(self) -> None:
        super().__init__("tiny", "cpu")
        self.posed: list[tuple[int | None, int]] = []
        self.sources: list[Path | None] = []
        self.generated = 0
        self.of("0")
        self.models.generators["tiny"] = self  # type: ignore[assignment]
        self.models.__dict__["detector"] = SimpleNamespace(name="known")

    def of(self, digit: str) -> None:
        """Take weights of another digest."""
        self.models._weights["tiny"] = {"generator": digit * 64}

    def stream_poses(  # type: ignore[override]
        self, source: Path | None, request: Request, stop: object = None
    ) -> Generator[Update, None, Poses]:
        self.posed.append((request.action, request.seed))
        self.sources.append(source)
        if request.seed == 13:
            raise NoPersonError("nobody was found; choose another clip.")
        yield from ()
        return some_poses(request.seed)

    def reproject(self, poses: Poses, body: Any) -> Any:
        return replace(poses.detected, source=body.mode, xy=poses.detected.xy + 5)

    def cut_prompt(self, prompt: str) -> str | None:
        return "in red" if prompt.endswith("in red") else None

    def draw(self, pose: Any, canvas: Any) -> VideoClip:
        level = int(abs(pose.xy).sum()) % 200 + 20
        return VideoClip(np.full((16, 16, 16, 3), level, np.uint8), 8.0)

    def denoise(self, asked: Sampling) -> Iterator[VideoClip]:
        self.generated += 1
        level = 5 if asked.guide is None else int(asked.guide.frames[0, 0, 0, 0])
        frames = np.full((16, 16, 16, 3), level, np.uint8)
        frames[:, :4, :4] = 90 * asked.motion
        yield VideoClip(frames, asked.fps)


@pytest.fixture(autouse=True)
def _quick_film(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering at full size is tested with the renderer."""
    clip = VideoClip(np.full((16, 32, 32, 3), 7, np.uint8), 8.0)
    monkeypatch.setattr("finephys.observe.film", lambda action, seed: clip)


def grid(out: Path, **changed: Any) -> Grid:
    asked: dict[str, Any] = {
        "methods": tuple(METHODS), "actions": (6, 25), "seeds": (0, 3), "out": out,
        "request": Request(steps=2),
    }  # fmt: skip
    return Grid(**asked | changed)


def quiet(_: str) -> None:
    pass


def test_a_grid_is_a_study(tmp_path: Path) -> None:
    """Catches a layout that `study new` reads otherwise: methods, items, references, captions."""
    pipeline = KnownPoses()
    rows = run_batch(grid(tmp_path), pipeline, quiet)
    assert len(rows) == len(METHODS) * 4
    assert pipeline.posed == [(6, 0), (6, 3), (25, 0), (25, 3)]  # once for all methods
    found = find(tmp_path)
    assert set(found.methods) == set(METHODS)
    assert found.items == ("6_0", "6_3", "25_0", "25_3")
    assert len(found.clips) == len(rows)
    assert set(found.references) == set(found.items)
    label, text = found.caption("25_3") or ({}, {})
    assert label["en"] == "Salto forward tucked"
    assert "one somersault" in text["en"]


def test_the_manifest_says_how_each_video_was_made(tmp_path: Path) -> None:
    run_batch(grid(tmp_path, methods=("text-still", "ours")), KnownPoses(), quiet)
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    for row in rows:
        assert row["file"] == f"{row['method']}/{row['class']}_{row['seed']}.mp4"
        assert row["sha256"] == sha256(tmp_path / row["file"])
        assert row["prompt"].startswith("A person")
        assert row["config"]["request"]["seed"] == row["seed"]
        assert row["config"]["request"]["method"] == row["method"]
        assert row["config"]["request"]["steps"] == 2
        assert len(row["commit"].rstrip("+")) == 40 or row["commit"].startswith("version")
    same = {row["prompt"] for row in rows if (row["class"], row["seed"]) == (25, 3)}
    assert len(same) == 1  # methods may differ by their guidance only


def test_what_a_prompt_was_cut_by_is_said_and_kept(tmp_path: Path) -> None:
    """Catches a grid made from half a prompt, of which nobody is told."""
    said: list[str] = []
    request = Request(steps=2, prompt="a person in red")
    wanted = grid(tmp_path, methods=("text", "ours"), request=request)
    rows = run_batch(wanted, KnownPoses(), said.append)
    assert [line for line in said if line.startswith("note:")] == [
        "note: The prompt is too long for the text encoder; this part was truncated: in red"
    ]
    assert all(row["notes"] == [said[1].removeprefix("note: ")] for row in rows)


def test_finished_videos_are_kept_and_damaged_ones_made_again(tmp_path: Path) -> None:
    wanted = grid(tmp_path, methods=("text", "ours"))
    run_batch(wanted, KnownPoses(), quiet)
    (tmp_path / "ours" / "25_0.mp4").write_bytes(b"cut off")
    (tmp_path / "text" / "6_3.mp4").unlink()
    kept = (tmp_path / "ours" / "6_0.mp4").stat().st_mtime_ns
    pipeline = KnownPoses()
    rows = run_batch(wanted, pipeline, quiet)
    assert pipeline.generated == 2
    assert pipeline.posed == [(6, 3), (25, 0)]
    assert len(rows) == 8
    assert (tmp_path / "ours" / "6_0.mp4").stat().st_mtime_ns == kept
    for row in read_manifest(tmp_path).values():
        assert row["sha256"] == sha256(tmp_path / row["file"])


def test_a_stopped_grid_goes_on(tmp_path: Path) -> None:
    """Catches finished videos that are lost, and a manifest that is only written at the end."""
    first = KnownPoses()
    said: list[str] = []

    def stop_after_three(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="to continue"):
        run_batch(grid(tmp_path), first, stop_after_three)
    assert len(read_manifest(tmp_path)) == 3
    second = KnownPoses()
    run_batch(grid(tmp_path), second, quiet)
    assert first.generated + second.generated == len(METHODS) * 4


def test_a_line_cut_off_by_a_crash_costs_one_video(tmp_path: Path) -> None:
    run_batch(grid(tmp_path, methods=("ours",)), KnownPoses(), quiet)
    (tmp_path / "manifest-0.jsonl").unlink()
    path = tmp_path / "manifest.jsonl"
    path.write_text(path.read_text()[:-40])
    pipeline = KnownPoses()
    run_batch(grid(tmp_path, methods=("ours",)), pipeline, quiet)
    assert pipeline.generated == 1
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(BatchError, match="line 1"):
        run_batch(grid(tmp_path, methods=("ours",)), KnownPoses(), quiet)


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    """Catches a folder of videos by two sets of weights, or of two numbers of steps.

    The captions, which people edit, stay as they are.
    """
    run_batch(grid(tmp_path, methods=("ours",)), KnownPoses(), quiet)
    (tmp_path / "captions.yaml").write_text("edited")
    other = KnownPoses()
    other.of("1")
    with pytest.raises(BatchError, match="checkpoints differ"):
        run_batch(grid(tmp_path, methods=("text",)), other, quiet)
    with pytest.raises(BatchError, match="steps differ"):
        run_batch(grid(tmp_path, request=Request(steps=3)), KnownPoses(), quiet)
    with pytest.raises(BatchError, match="from differ"):
        run_batch(grid(tmp_path, exact=True), KnownPoses(), quiet)
    assert other.generated == 0
    assert (tmp_path / "captions.yaml").read_text() == "edited"
    rows = run_batch(grid(tmp_path, methods=("ours",), again=True), other, quiet)
    assert {row["settings"]["checkpoints"]["generator"] for row in rows} == {"1" * 64}
    assert (tmp_path / "captions.yaml").read_text() == "edited"
    run_batch(grid(tmp_path, methods=("text",)), other, quiet)  # all belong together again


def test_one_failed_item_does_not_end_the_rest(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"2 of 4 items.*6_13: nobody was found"):
        run_batch(grid(tmp_path, methods=("ours",), seeds=(13, 1)), KnownPoses(), quiet)
    assert set(read_manifest(tmp_path)) == {"ours/6_1.mp4", "ours/25_1.mp4"}


def test_shares_make_everything_once(tmp_path: Path) -> None:
    pipelines = [KnownPoses() for _ in range(3)]
    for index, pipeline in enumerate(pipelines):
        run_batch(grid(tmp_path), pipeline, quiet, Share(index, 3, index))
    posed = [item for pipeline in pipelines for item in pipeline.posed]
    assert sorted(posed) == [(6, 0), (6, 3), (25, 0), (25, 3)]
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == len(METHODS) * 4
    alone = KnownPoses()
    run_batch(grid(tmp_path), alone, quiet)  # another number of processes takes over
    assert alone.generated == 0


def test_poses_are_estimated_once_for_all_generators(tmp_path: Path) -> None:
    """Catches an estimation for each generator, and a failed item that is tried for each."""
    pipeline = KnownPoses()
    others = ("animatediff", "latte")
    for name in others:
        pipeline.models.generators[name] = pipeline  # type: ignore[assignment]
        pipeline.models._weights[name] = {"generator": "5" * 64}
    wanted = grid(tmp_path, methods=("ours", *others, "text"), actions=(6,), seeds=(0, 3, 13))
    with pytest.raises(BatchError, match="1 of 3 items"):
        run_batch(wanted, pipeline, quiet)
    assert pipeline.posed == [(6, 0), (6, 3), (6, 13)]
    assert pipeline.generated == 8
    assert set(read_manifest(tmp_path)) == {
        f"{method}/6_{seed}.mp4" for method in wanted.methods for seed in (0, 3)
    }


def test_a_grid_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Settings used to call the generator `tier`."""
    run_batch(grid(tmp_path), KnownPoses(), quiet)
    for path in tmp_path.glob("manifest*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["settings"]["tier"] = row["settings"].pop("generator")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pipeline = KnownPoses()
    assert len(run_batch(grid(tmp_path), pipeline, quiet)) == len(METHODS) * 4
    assert pipeline.generated == 0


def test_a_batch_replaces_its_own_files_only(tmp_path: Path) -> None:
    """Catches a rival's video, put there by hand, that a batch of the same name overwrites."""
    one = {"methods": ("ours",), "actions": (25,), "seeds": (0,)}
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "25_0.mp4").write_bytes(b"theirs")
    pipeline = KnownPoses()
    with pytest.raises(RequestError, match=r"ours/25_0\.mp4 already exists"):
        run_batch(grid(tmp_path, **one), pipeline, quiet)
    assert (tmp_path / "ours" / "25_0.mp4").read_bytes() == b"theirs"
    assert pipeline.posed == []
    run_batch(grid(tmp_path, overwrite=True, **one), pipeline, quiet)
    for path in tmp_path.glob("manifest*.jsonl"):  # as a crash before its first line leaves it
        path.unlink()
    run_batch(grid(tmp_path, **one), pipeline, quiet)
    assert pipeline.generated == 2


def test_a_row_after_a_crash_is_not_joined_to_the_broken_line(tmp_path: Path) -> None:
    """Catches a manifest that can no longer be read, and a whole last line without its end."""
    first, second = {"file": "a/1_0.mp4", "made": 1.0}, {"file": "b/1_0.mp4", "made": 2.0}
    path = tmp_path / "manifest-0.jsonl"
    for left, kept in ((json.dumps(first)[:-5], []), (json.dumps(first), [first])):
        path.write_text(left)
        append(tmp_path, 0, second)
        append(tmp_path, 0, second)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines == [*kept, second, second]


def test_merging_at_once_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process finishes between reading and writing."""
    append(tmp_path, 0, {"file": "a/1_0.mp4", "made": 1.0})
    reads = 0

    def reading(out: Path) -> Any:
        nonlocal reads
        reads += 1
        rows = read_manifest(out)
        if reads == 1:
            append(out, 1, {"file": "b/1_0.mp4", "made": 2.0})
        return rows

    monkeypatch.setattr("finephys.manifest.read_manifest", reading)
    merge(tmp_path)
    lines = (tmp_path / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == ["a/1_0.mp4", "b/1_0.mp4"]
    assert not list(tmp_path.glob("*partial*"))


def test_the_launcher_says_which_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert share_from_environment() == Share(0, 1, 0)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert share_from_environment() == Share(5, 8, 1)
    monkeypatch.setenv("RANK", "8")
    with pytest.raises(RequestError, match="RANK=8"):
        share_from_environment()


def test_clips_are_started_from_and_become_the_references(tmp_path: Path) -> None:
    from finephys.video import write_video

    clips = tmp_path / "clips"
    write_video(clips / "25.mp4", VideoClip(np.full((16, 32, 32, 3), 9, np.uint8), 8.0))
    pipeline = KnownPoses()
    with pytest.raises(BatchError, match=r"neither 6_0\.mp4 nor 6\.mp4"):
        run_batch(grid(tmp_path / "out", methods=("ours",), clips=clips), pipeline, quiet)
    assert pipeline.sources == [clips / "25.mp4"] * 2


def test_detection_looks_at_the_rendering_unless_exact(tmp_path: Path) -> None:
    """Catches a grid whose `detected` is secretly the truth."""
    one = {"methods": ("ours",), "actions": (25,), "seeds": (0,)}
    pipeline = KnownPoses()
    run_batch(grid(tmp_path / "a", **one), pipeline, quiet)
    run_batch(grid(tmp_path / "b", exact=True, **one), pipeline, quiet)
    assert pipeline.sources == [tmp_path / "a" / "references" / "25_0.mp4", None]
    assert (tmp_path / "b" / "references" / "25_0.mp4").is_file()


def test_words_become_numbers_and_names() -> None:
    assert numbers(["6", "9-11,6"], [], "--actions") == (6, 9, 10, 11)
    assert numbers(["all"], [1, 2], "--actions") == (1, 2)
    for wrong in ("x", "3-", "-4", "1.5", "all", "9-6", "0-99999999", "9" * 5000):
        with pytest.raises(RequestError, match="--seeds"):
            numbers(["12", wrong], [], "--seeds")
    assert names(["text,ours", "text"]) == ("text", "ours")
    assert names(["all"]) == tuple(METHODS)
    assert names(["all", "animatediff"]) == (*METHODS, "animatediff")
    assert names(["latte,all"]) == ("latte", *METHODS)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"methods": ("theirs",)}, "theirs"),
        ({"actions": (99,)}, "99"),
        ({"seeds": (-1,)}, "seed is -1"),
        ({"seeds": ()}, "at least one"),
        ({"clips": Path("no such folder")}, "not a directory"),
        ({"request": Request(start=0.0)}, "give --clips"),
    ],
)
def test_impossible_grids_are_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=said):
        grid(tmp_path, **changed)


def test_the_commit_is_this_repositorys_or_the_version() -> None:
    assert batch.commit()
