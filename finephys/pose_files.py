"""Read poses from npz files of unknown origin: plain arrays, with sizes and ranges checked."""

import lzma
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from finephys.errors import RequestError
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import Float, Pose2D

Arrays = dict[str, npt.NDArray[Any]]

LARGEST_ARRAYS = 1 << 30
"""Bytes that the arrays of a file may take together. Design choice: a sequence of 100,000 frames
takes 30 MB, while a zip of a few kilobytes can unpack to more than any memory."""

LARGEST_XY = 1e6
"""Pixels that a joint may lie from the image's corner. Design choice: far outside of any image, and
float32 still tells neighbouring pixels apart there."""

LARGEST_SIDE = 100_000
"""Pixels along a side of an image."""

CLOSEST_FRAMES, FARTHEST_FRAMES = 1e-4, 10.0
"""Seconds between two frames of a clip."""

_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,  # encrypted
    NotImplementedError,  # a compression that zipfile does not know
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,  # an npy header is a Python literal
    SyntaxError,
    MemoryError,  # of the literal's parser
)


def read_arrays(path: Path, names: tuple[str, ...]) -> Arrays:
    """Read named numeric arrays of an npz; nothing in it is ever unpickled.

    Raises:
        RequestError: the file is not an npz, it is too large, or an array is missing, not of real
            numbers or not finite.
    """
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise RequestError(f"{path} {problem}; give the path of an npz file.")
    arrays: Arrays = {}
    left = LARGEST_ARRAYS
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            missing = [name for name in names if f"{name}.npy" not in members]
            if missing:
                raise RequestError(
                    f"{path} lacks {', '.join(missing)}; it must hold {', '.join(names)}."
                )
            for name in names:
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = _read_array(file, f"{name} in {path}", left)
                left -= arrays[name].nbytes
    except _UNREADABLE as error:
        raise RequestError(f"{path} cannot be read as an npz of plain arrays ({error}).") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise RequestError(
                f"{name} in {path} holds {count} NaN or infinite values; every value must be "
                "finite (give a missing joint any position and score 0)."
            )
    return arrays


def _read_array(file: IO[bytes], name: str, left: int) -> npt.NDArray[Any]:
    """Read one npy member of at most `left` bytes; its header is checked before its data is read.

    Design choice: numpy.load would allocate whatever shape the header claims.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the npy format")
    old = version == (1, 0)
    read_header = (
        np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    if dtype.kind not in "iuf":
        raise RequestError(f"{name} is {dtype}; it must be numeric, integers or floating point.")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0:
        raise ValueError(f"{name} has shape {shape}")
    if size > left:
        raise RequestError(
            f"{name} takes {size / 1e9:.3g} GB; the arrays of a file may take "
            f"{LARGEST_ARRAYS / 1e9:.3g} GB together, so split the file."
        )
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{name} ends after {len(data)} of {size} bytes")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def check_range(array: npt.NDArray[Any], low: float, high: float, name: str, unit: str) -> None:
    """Raise RequestError unless every value is in [low, high]; `name` begins the sentence."""
    outside = array[(array < low) | (array > high)]
    if outside.size:
        raise RequestError(
            f"{name} holds {outside.size} values such as {float(outside.flat[0]):g}; give values "
            f"in [{low:g}, {high:g}]{unit and ' '}{unit}."
        )


def read_reprojected(path: Path) -> tuple[Pose2D, Float]:
    """Read S_re-proj and the frame times of an npz that `outputs.write_poses` wrote.

    Returns:
        The pose in working pixels, and float32 (16,) seconds in the file.

    Raises:
        RequestError: the file is not such an npz, or holds values that cannot be used.
    """
    arrays = read_arrays(path, ("reprojected_xy", "frame_times", "to_file"))
    for name, shape in (
        ("reprojected_xy", (FRAMES, len(JOINTS), 2)),
        ("frame_times", (FRAMES,)),
        ("to_file", (2,)),
    ):
        if arrays[name].shape != shape:
            raise RequestError(f"{name} in {path} is {arrays[name].shape}; expected {shape}.")
    check_range(arrays["to_file"], 1e-3, 1e3, f"to_file in {path}", "")
    times = arrays["frame_times"].astype(np.float64)
    check_range(times, -1e5, 1e5, f"frame_times in {path}", "seconds")
    steps = np.diff(times)
    if steps.min() < CLOSEST_FRAMES or steps.max() > FARTHEST_FRAMES:
        command = "python -m finephys poses"
        raise RequestError(
            f"frame_times in {path} must be {FRAMES} increasing seconds, {CLOSEST_FRAMES} to "
            f"{FARTHEST_FRAMES:g} apart; write the file again with `{command}`.",
            command,
        )
    xy = arrays["reprojected_xy"] / arrays["to_file"]
    check_range(xy, -LARGEST_XY, LARGEST_XY, f"reprojected_xy in {path}", "pixels")
    score = np.ones((FRAMES, len(JOINTS)), np.float32)
    return Pose2D(xy.astype(np.float32), score, source=path.name), times.astype(np.float32)
