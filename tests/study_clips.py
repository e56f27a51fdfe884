"""Clips of three made-up methods as a person hands them in, unlike in every way files can be."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

METHODS = {
    # name: side in pixels, frames per second, container
    "alphanet": (64, 8, "mp4"),
    "betaflow": (96, 8, "mkv"),
    "gammawarp": (64, 16, "mp4"),
}
ITEMS = ("8_3", "8_11")


def make_clips(folder: Path, items: tuple[str, ...] = ITEMS, seconds: float = 1.0) -> Path:
    """A folder in the layout DIR/METHOD/ITEM with a reference for class 8; returns it."""
    rng = np.random.default_rng(3)
    for method, (side, fps, suffix) in METHODS.items():
        for item in items:
            write(folder / method / f"{item}.{suffix}", picture(rng, side), fps, seconds, method)
    write(folder / "references" / "8.mp4", picture(rng, 64), 8, seconds * 1.5)
    return folder


def picture(rng: np.random.Generator, side: int) -> np.ndarray:
    return rng.integers(0, 255, (side // 8, side // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def write(path: Path, still: np.ndarray, fps: int, seconds: float, title: str = "") -> None:
    """A video in which the picture moves to the right, with a title in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *still.shape[:2], "yuv420p"
        for number in range(round(seconds * fps)):
            moved = np.ascontiguousarray(np.roll(still, 8 * number, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode())
