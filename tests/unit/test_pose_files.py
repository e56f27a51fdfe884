"""npz files of unknown origin: what is in them is checked before it takes memory or runs code."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finephys import pose_files
from finephys.errors import RequestError
from finephys.pose_files import read_arrays, read_reprojected


def header(shape: str, descr: str = "'<f8'") -> bytes:
    """An npy header that may claim anything, without data."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(path: Path, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("x.npy", content)
    return path


class Bomb:
    """Pickled, it would end the process."""

    def __reduce__(self) -> Any:
        return exit, (3,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header("(1000000000000,)"), "takes 8e+03 GB"),
        (header("(-1,)"), "shape"),
        (header("(10,)"), "ends after 0 of 80 bytes"),
        (header("(2,)", "'|O'") + pickle.dumps(Bomb()), "Python objects"),
        (header("(2,)", "'<U5'") + b"x" * 40, "numeric"),
        (header("(2,)", "[('a', '<f8')]") + b"x" * 16, "numeric"),
        (b"\x93NUMPY\x09\x00", "version 9.0"),
        (b"no array", "magic"),
        (b"", "plain arrays"),
        (header("(2,)", "'nonsense'"), "plain arrays"),
        (header("(" * 300), "plain arrays"),
    ],
)
def test_members_that_lie_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_arrays(archive(tmp_path / "x.npz", content), ("x",))
    assert said in str(caught.value)


def test_a_small_file_that_unpacks_to_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a zip bomb; two arrays share one allowance."""
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(50_000), b=np.zeros(90_000))
    assert (tmp_path / "x.npz").stat().st_size < 5_000
    monkeypatch.setattr(pose_files, "LARGEST_ARRAYS", 1_000_000)
    read_arrays(tmp_path / "x.npz", ("a",))
    with pytest.raises(RequestError, match="split the file"):
        read_arrays(tmp_path / "x.npz", ("a", "b"))


def test_archives_that_cannot_be_unpacked_are_refused(tmp_path: Path) -> None:
    good = io.BytesIO()
    np.save(good, np.zeros(1000))
    path = archive(tmp_path / "x.npz", good.getvalue())
    data = bytearray(path.read_bytes())
    for place, flags in ((6, 0x01), (8, 99)):  # encrypted; an unknown compression
        changed = bytearray(data)
        central = changed.index(b"PK\x01\x02")
        changed[place] = changed[central + place + 2] = flags
        path.write_bytes(changed)
        with pytest.raises(RequestError, match="plain arrays"):
            read_arrays(path, ("x",))
    data[60:64] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(RequestError, match="plain arrays"):
        read_arrays(path, ("x",))


@pytest.mark.parametrize("name", ["nothing.npz", ".", "/dev/zero"])
def test_only_files_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="give the path of an npz file"):
        read_arrays(tmp_path / name, ("x",))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "|u1"])
def test_every_layout_of_numbers_is_read(tmp_path: Path, order: str, dtype: str) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype, order=order)
    np.savez(tmp_path / "x.npz", x=array, y=np.float32(2), z=np.zeros((0, 3)))
    read = read_arrays(tmp_path / "x.npz", ("x", "y", "z"))
    np.testing.assert_array_equal(read["x"], array)
    assert read["y"].shape == ()
    assert read["z"].shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("frame_times", np.zeros(16), "increasing"),
        ("frame_times", np.arange(16) * 1e6, "seconds"),
        ("frame_times", np.arange(16) * 1e-30, "increasing"),
        ("frame_times", np.zeros((16, 1)), "expected (16,)"),
        ("to_file", np.zeros(2), "to_file"),
        ("to_file", np.ones(3), "expected (2,)"),
        ("reprojected_xy", np.full((16, 17, 2), 1e30), "pixels"),
        ("reprojected_xy", np.zeros((16, 16, 2)), "expected (16, 17, 2)"),
    ],
)
def test_poses_out_of_range_are_refused(
    tmp_path: Path, name: str, value: np.ndarray, said: str
) -> None:
    arrays = {
        "reprojected_xy": np.zeros((16, 17, 2)),
        "frame_times": np.arange(16) / 8,
        "to_file": np.ones(2),
    } | {name: value}
    np.savez(tmp_path / "poses.npz", **arrays)
    with pytest.raises(RequestError) as caught:
        read_reprojected(tmp_path / "poses.npz")
    assert said in str(caught.value)
