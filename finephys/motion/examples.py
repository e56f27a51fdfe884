"""The rendered clips a visitor may start from: simulated actions, filmed at 256 x 256 pixels.

`python -m finephys.motion.examples assets/examples` writes them again.
"""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finephys.errors import RequestError
from finephys.motion.cameras import Camera, look_at
from finephys.motion.looks import Look
from finephys.motion.render import render
from finephys.motion.simulation import simulate
from finephys.types import VideoClip, WorldMotion
from finephys.video import write_video

logger = logging.getLogger(__name__)

SIZE = 256
FPS = 30.0
FILL = 0.78
"""Share of the canvas that the joints of the whole motion take."""


@dataclass(frozen=True)
class Example:
    """One clip to render.

    Attributes:
        name: file name without its ending.
        action: FineGym class.
        seed: of the simulation.
        look: clothes, place and light.
        yaw: degrees from the first heading to the camera, counter-clockwise from above.
        distance: metres.
    """

    name: str
    action: int
    seed: int
    look: Look
    yaw: float
    distance: float = 9.0


EXAMPLES = (
    Example("switch_leap", 10, 0, Look("red", "fair", "dark brown", "bright gym hall", "blue floor"), 38.0),
    Example("double_turn", 20, 0, Look("blue", "tan", "black", "white training hall", "beige floor"), 40.0),
    Example("double_back_tucked", 38, 0, Look("green", "fair", "blonde", "audience stand", "grey floor"), 70.0),
)  # fmt: skip
"""The shipped clips."""


def film(
    motion: WorldMotion, look: Look, yaw: float, distance: float, size: int = SIZE
) -> VideoClip:
    """A whole motion from a still camera at eye level that keeps all of it on the canvas.

    Args:
        motion: at FPS frames per second.
        look: clothes, place and light.
        yaw: degrees from the first heading to the camera, counter-clockwise from above.
        distance: metres from the camera to the middle of the motion.
        size: side of the frames in pixels.

    Raises:
        RequestError: when the body comes too near to the camera.
    """
    low, high = motion.joints.min((0, 1)), motion.joints.max((0, 1))
    middle = ((low + high) / 2).astype(np.float64)
    angle = np.radians(yaw)
    position = middle + distance * np.array([np.cos(angle), np.sin(angle), 0.0])
    position[2] = 1.4
    camera = Camera(look_at(position, middle[None]), position, size, size)
    turned = camera.to_camera(motion.joints)
    if turned[..., 2].min() < 1:
        raise RequestError(
            f"distance is {distance} m, but the body comes nearer than 1 m; give more."
        )
    extent = float(np.abs(turned[..., :2] / turned[..., 2:]).max())
    camera = Camera(camera.rotation, position, FILL * size / 2 / extent, size)
    frames, _ = render(motion.joints, camera, look, size)
    return VideoClip(frames, motion.fps)


def write_examples(folder: Path) -> list[Path]:
    """Render every example into a folder, made if absent; the same files each time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for example in EXAMPLES:
        motion = simulate(example.action, example.seed, FPS)
        path = folder / f"{example.name}.mp4"
        write_video(path, film(motion, example.look, example.yaw, example.distance))
        logger.info("wrote %s", path)
        paths.append(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Render the example clips.")
    parser.add_argument("folder", type=Path)
    write_examples(parser.parse_args().folder)
