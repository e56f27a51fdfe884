"""What a command may replace: never an input, and only files that FinePhys wrote."""

import json
import os
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from finephys.errors import RequestError
from finephys.files import OutputError
from finephys.marks import REQUEST_KEYS, Kind, kind_of, mark
from finephys.outputs import write_lifted, write_marked_video
from finephys.preflight import Input, Output, check_files, check_folder, check_outside
from finephys.types import VideoClip
from finephys.video import probe
from finephys.weights.checkpoints import save_tensors

CLIP = VideoClip(np.full((4, 16, 16, 3), 9, np.uint8), 8.0)


def video(path: Path, kind: Kind = Kind.VIDEO) -> Output:
    return Output("--out", path, kind)


@pytest.fixture
def jump(tmp_path: Path) -> Path:
    """A person's own clip."""
    path = tmp_path / "jump.mp4"
    path.write_bytes(b"their only copy")
    return path


@pytest.mark.parametrize("name", ["jump.mp4", "soft.mp4", "hard.mp4", "JUMP.mp4", "a/../jump.mp4"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_is_never_an_input(jump: Path, name: str, overwrite: bool) -> None:
    """Catches a comparison of names alone: links and letter case lead to the same file."""
    (jump.parent / "a").mkdir()
    (jump.parent / "soft.mp4").symlink_to(jump)
    os.link(jump, jump.parent / "hard.mp4")
    with pytest.raises(RequestError, match=r"same file as --clip .*which is read"):
        check_files([Input("--clip", jump)], [video(jump.parent / name)], overwrite=overwrite)


def test_an_output_is_never_another_output(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    outputs = [video(tmp_path / "a.mp4"), Output("--poses", tmp_path / "link/A.mp4", Kind.POSES)]
    with pytest.raises(RequestError, match=r"same file as --out .*written too"):
        check_files([], outputs)


def test_a_file_of_someone_else_is_not_replaced_silently(jump: Path) -> None:
    with pytest.raises(RequestError, match=r"already exists .* add --overwrite to replace it"):
        check_files([], [video(jump)])
    check_files([], [video(jump)], overwrite=True)
    check_files([], [Output("--out", jump, Kind.VIDEO, known=True)])
    assert jump.read_bytes() == b"their only copy"


def test_an_empty_file_may_be_replaced(tmp_path: Path) -> None:
    """Scripts reserve a name with mktemp; an empty file holds nothing to lose."""
    (tmp_path / "new.npz").touch()
    check_files([], [Output("--out", tmp_path / "new.npz", Kind.LIFTED)])


def test_files_are_known_by_kind(tmp_path: Path) -> None:
    """Catches repeated commands that refuse their own files, and commands that take another's."""
    write_marked_video(tmp_path / "a.mp4", CLIP)
    write_marked_video(tmp_path / "b.mp4", CLIP, Kind.STAGES_VIDEO)
    write_lifted(tmp_path / "c.npz", {"fused": np.zeros((1, 2), np.float32)}, "average")
    (tmp_path / "d.json").write_text(json.dumps(dict.fromkeys(REQUEST_KEYS)))
    save_tensors({"w": torch.zeros(2)}, tmp_path / "e.safetensors", {"size": 1})
    kinds = [Kind.VIDEO, Kind.STAGES_VIDEO, Kind.LIFTED, Kind.REQUEST, Kind.CHECKPOINT]
    paths = sorted(tmp_path.iterdir())
    assert [kind_of(path) for path in paths] == kinds
    for path, kind in zip(paths, kinds, strict=True):
        check_files([], [Output("--out", path, kind)])
    with pytest.raises(RequestError, match="already exists"):
        check_files([], [video(tmp_path / "b.mp4")])
    # The marks are invisible to whoever reads the files.
    assert probe(tmp_path / "a.mp4").frames == 4
    with np.load(tmp_path / "c.npz") as file:
        assert sorted(file) == ["fused", "fusion"]


def test_an_edited_file_is_no_longer_ours(tmp_path: Path) -> None:
    """Catches marks that converters copy, such as an mp4's comment: work by hand would be lost."""
    write_marked_video(tmp_path / "a.mp4", CLIP)
    with (
        av.open(str(tmp_path / "a.mp4")) as source,
        av.open(str(tmp_path / "edited.mp4"), "w") as target,
    ):
        target.metadata.update(source.metadata)
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    write_lifted(tmp_path / "a.npz", {"fused": np.zeros((1, 2), np.float32)}, "average")
    with np.load(tmp_path / "a.npz") as file:
        np.savez(tmp_path / "edited.npz", **file)
    edited = json.dumps(dict.fromkeys([*REQUEST_KEYS, "my remarks"]))
    (tmp_path / "edited.json").write_text(edited)
    for path in tmp_path.glob("edited.*"):
        assert kind_of(path) is None, path.name


def test_marks_are_part_of_a_valid_file(tmp_path: Path) -> None:
    """Catches a mark that breaks the container it is appended to."""
    write_marked_video(tmp_path / "a.mp4", CLIP)
    data = (tmp_path / "a.mp4").read_bytes()
    boxes, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        boxes.append(data[at + 4 : at + 8])
        at += size
    assert at == len(data)
    assert boxes[-1] == b"free"
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    mark(tmp_path / "a.npz", Kind.POSES)
    assert zipfile.ZipFile(tmp_path / "a.npz").testzip() is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/x.mp4", "is not a directory"),
        ("a" * 300 + ".mp4", "name is too long; choose a shorter one"),
        ("folder", "is a directory; give the name of a file"),
        ("pipe", "not a regular file"),
        ("/proc/nothing/x.mp4", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said_first(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=said):
        check_files([], [video(tmp_path / name)], overwrite=True)


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_files([], [video(tmp_path / "new" / "folder" / "x.mp4")])
    check_folder("--run", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nothing.mp4", "a" * 300, "file/x.mp4"])
def test_an_input_that_cannot_be_read_is_said_first(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match=r"does not exist|cannot be read"):
        check_files([Input("--clip", tmp_path / name)], [])


def test_a_folder_to_read_lies_outside_the_one_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for inside in ("out", "out/references", "OUT", "link"):
        with pytest.raises(RequestError, match="choose another folder"):
            check_outside(Input("--clips", tmp_path / inside), "--out", tmp_path / "out")
    check_outside(Input("--clips", tmp_path), "--out", tmp_path / "out")
    check_outside(Input("--clips", tmp_path / "outside"), "--out", tmp_path / "out")
