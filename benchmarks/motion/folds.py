"""Which motions are trained on and which are measured: five folds by clip of a capture folder.

Every clip is measured once, by weights that were not trained on it. Only clips whose licence lets
weights be shipped are trained on; the others are measured in their fold all the same. The split
"shipped" is that of the weights in checkpoints/.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finephys.motion.capture import SHIPPABLE, read_capture
from finephys.motion.library import load_library
from finephys.training.poses import HELD_OUT_CAPTURE, PoseData, with_certain_flight
from finephys.types import WorldMotion

FOLDS = ("0", "1", "2", "3", "4")
"""Folds of the capture folder."""

SHIPPED = "shipped"
"""The split of the shipped weights, for clips from outside the folder."""


@dataclass(frozen=True)
class Split:
    """One split.

    Attributes:
        data: what is trained on.
        held_out: captured clips that are measured.
        category: of each of these.
    """

    data: PoseData
    held_out: list[WorldMotion]
    category: list[str]


def split(name: str, capture: Path, library: Path) -> Split:
    """The motions of a split: one of FOLDS, or SHIPPED.

    Design choice: clips are dealt to the folds in the order of their category and name, so that
    every fold has some of each kind.
    """
    files = {file.stem: str(np.load(file)["category"]) for file in sorted(capture.glob("*.npz"))}
    ordered = sorted(files, key=lambda stem: (files[stem], stem))
    out = set(HELD_OUT_CAPTURE) if name == SHIPPED else set(ordered[int(name) :: len(FOLDS)])
    every = {
        motion.source.split(":")[0]: motion
        for motion in read_capture(capture, shippable_only=False)
    }
    trained = [stem for stem in sorted(files) if stem not in out and stem.startswith(SHIPPABLE)]
    data = PoseData([with_certain_flight(every[stem]) for stem in trained], load_library(library))
    held = sorted(out)
    return Split(data, [every[stem] for stem in held], [files[stem] for stem in held])
