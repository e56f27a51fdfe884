"""Reading real motion capture."""

from pathlib import Path

import numpy as np

from finephys.errors import RequestError
from finephys.types import WorldMotion

SHIPPABLE = ("cmu_", "cmue_")
"""Prefixes of files whose licence allows shipping weights trained on them: CMU
Graphics Lab motion capture (mocap.cs.cmu.edu, NSF EIA-0196217)."""

_CONTACT_HEIGHT = 0.20
"""Metres. Design choice: the lower ankle of a standing body, even on its toes, is below this."""


def read_capture(folder: Path, shippable_only: bool = True) -> list[WorldMotion]:
    """Read every motion of a directory: npz with `joints` (T,17,3) metres, z up, `fps`, `source`.

    Args:
        folder: directory of the npz files.
        shippable_only: skip files whose names do not begin with one of SHIPPABLE.

    Returns:
        Motions ordered by file name, floor at z = 0; `flight` is True where every joint is more
        than 0.20 m above the floor (an estimate: captures carry no contact).

    Raises:
        RequestError: the directory has no such file, or a file lacks an array.
    """
    files = sorted(Path(folder).glob("*.npz"))
    if shippable_only:
        files = [file for file in files if file.name.startswith(SHIPPABLE)]
    if not files:
        raise RequestError(
            f"{folder} contains no motion capture (npz files); give a directory that does."
        )
    return [_read(file) for file in files]


def _read(file: Path) -> WorldMotion:
    with np.load(file, allow_pickle=False) as data:
        missing = {"joints", "fps", "source"} - set(data.files)
        if missing:
            raise RequestError(
                f"{file.name} lacks {', '.join(sorted(missing))}; a capture holds joints, fps and "
                "source."
            )
        joints = data["joints"].astype(np.float32)
        fps, source = float(data["fps"]), str(data["source"])
    flight = joints[..., 2].min(1) > _CONTACT_HEIGHT
    return WorldMotion(joints, fps, flight, None, f"{file.stem}: {source}")
