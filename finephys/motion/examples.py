"""The rendered example clips of the page: simulated actions at 256 x 256 pixels.

`python -m finephys.motion.examples assets/examples` recreates them.
"""

import argparse
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finephys.motion.cameras import Camera, frame_body
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.looks import Look
from finephys.motion.render import render
from finephys.motion.simulation import simulate
from finephys.types import VideoClip, WorldMotion
from finephys.video import write_video

logger = logging.getLogger(__name__)

SIZE = 256
FPS = 30.0
EYE = 1.4
"""Height of the camera above the floor, metres."""


@dataclass(frozen=True)
class Example:
    """One clip to render.

    Attributes:
        name: file name without its ending.
        action: FineGym class.
        seed: of the simulation, one that no weights were trained on.
        seconds: first and last moment of the simulated motion.
        yaw: degrees from the heading at the start to the camera, counter-clockwise from above.
        look: clothes, place and light.
    """

    name: str
    action: int
    seed: int
    seconds: tuple[float, float]
    yaw: float
    look: Look


EXAMPLES = (
    Example(
        "switch_leap",
        10,
        HELD_OUT_SEED,
        (0.45, 2.1),
        50.0,
        Look("red", "fair", "dark brown", "bright gym hall", "blue floor"),
    ),
    Example(
        "double_turn",
        20,
        HELD_OUT_SEED,
        (0.1, 2.3),
        40.0,
        Look("blue", "tan", "black", "white training hall", "beige floor"),
    ),
    Example(
        "double_back_tucked",
        38,
        HELD_OUT_SEED,
        (0.2, 2.5),
        70.0,
        Look("orange", "fair", "brown", "dark arena", "blue floor"),
    ),
)
"""The shipped clips."""


def still_camera(
    motion: WorldMotion, yaw: float, size: int = SIZE, distance: float = 9.0
) -> Camera:
    """Place a still camera at eye level that keeps all of a motion on its canvas.

    Args:
        motion: the motion to film.
        yaw: degrees from the x axis to the camera, counter-clockwise from above.
        size: side of the frames in pixels.
        distance: metres from the camera to the middle of the motion.
    """
    low, high = motion.joints.min((0, 1)), motion.joints.max((0, 1))
    middle = ((low + high) / 2).astype(np.float64)
    angle = np.radians(yaw)
    position = middle + distance * np.array([np.cos(angle), np.sin(angle), 0.0])
    position[2] = EYE
    return frame_body(motion.joints, position, middle[None], size)


def example_motion(example: Example) -> WorldMotion:
    """Simulate the part of an example's motion that is shown."""
    whole = simulate(example.action, example.seed, FPS)
    shown = slice(*(round(FPS * second) for second in example.seconds))
    return replace(whole, joints=whole.joints[shown], flight=whole.flight[shown])


def film(example: Example) -> VideoClip:
    """Render one example."""
    motion = example_motion(example)
    camera = still_camera(motion, example.yaw)
    frames = render(motion.joints, camera, example.look, SIZE).frames
    return VideoClip(frames, motion.fps)


def write_examples(folder: Path) -> list[Path]:
    """Render every example into a directory, created if missing; frames are reproducible."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for example in EXAMPLES:
        path = folder / f"{example.name}.mp4"
        write_video(path, film(example))
        logger.info("wrote %s", path)
        paths.append(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Render the example clips.")
    parser.add_argument("folder", type=Path)
    write_examples(parser.parse_args().folder)
