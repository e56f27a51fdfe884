"""A contact sheet of the 35 simulated actions: a strip of pictures each, with number and label.

`python -m finephys.motion.sheet assets/actions.png` recreates it.
"""

import argparse
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from finephys.actions import ACTIONS
from finephys.motion.cameras import Camera, look_at
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.looks import LEOTARDS, Look
from finephys.motion.moments import core, sample_motion, seconds
from finephys.motion.render import render
from finephys.motion.simulation import simulate
from finephys.types import Bytes, WorldMotion

MOMENTS = 10
"""Pictures of each action."""

SEED = HELD_OUT_SEED + 3
_SIDE, _SHARP, _CAPTION, _COLUMNS, _INKS = 92, 2, 112, 2, 128
_AROUND = 0.22
"""Seconds shown before and after the core of an action."""

_PAPER, _FLOOR = (246, 246, 243), (205, 205, 200)


def moments(motion: WorldMotion, count: int = MOMENTS) -> npt.NDArray[np.float64]:
    """Evenly spaced times from just before the action to just after it, in seconds."""
    begin, end = core(motion)
    return np.linspace(max(begin - _AROUND, 0.0), min(end + _AROUND, seconds(motion)), count)


def strip(motion: WorldMotion, look: Look) -> Bytes:
    """Render an action as a strip (side, side * MOMENTS, 3), seen from the front right.

    Every picture is centred on the body and as high as the highest one needs to be.
    """
    joints, _ = sample_motion(motion, moments(motion))
    joints[..., :2] -= joints[:, :1, :2]
    tall = max(2.0, float(joints[..., 2].max()) + 0.3)
    middle = np.array([[0.0, 0.0, tall / 2 - 0.08]])
    position = middle[0] + 12.0 * np.array([0.42, -0.9, 0.04])
    focal = _SIDE * _SHARP / tall * float(np.linalg.norm(position - middle[0]))
    camera = Camera(look_at(position, middle), position, focal, _SIDE * _SHARP)
    frames, body, _ = render(joints.astype(np.float32), camera, look, _SIDE * _SHARP)
    floor, _ = camera.project(np.zeros((1, 1, 3)))
    frames[~body] = _PAPER
    below = np.arange(_SIDE * _SHARP)[:, None] >= round(float(floor[0, 0, 1]))
    frames[~body & below] = _FLOOR
    small = frames.reshape(len(frames), _SIDE, _SHARP, _SIDE, _SHARP, 3).mean((2, 4))
    return np.concatenate(list(small), 1).astype(np.uint8)


def lay_out(strips: Mapping[int, Bytes], path: Path) -> None:
    """Write strips of the classes, in two columns with numbers and labels, as a PNG.

    Args:
        strips: class -> uint8 (height, width, 3), all of one size; a class without one stays blank.
        path: the PNG.
    """
    height, width = next(iter(strips.values())).shape[:2]
    rows = -(-len(ACTIONS) // _COLUMNS)
    column = _CAPTION + width
    size = (column * _COLUMNS + 8 * (_COLUMNS - 1), rows * (height + 2))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    small, large = ImageFont.load_default(10), ImageFont.load_default(15)
    for index, action in enumerate(ACTIONS):
        left, top = (index // rows) * (column + 8), (index % rows) * (height + 2)
        if action.id in strips:
            sheet.paste(Image.fromarray(strips[action.id]), (left + _CAPTION, top))
        pen.text((left + 3, top + 2), str(action.id), "black", large)
        for number, line in enumerate(textwrap.wrap(action.label, 20)[:6]):
            pen.text((left + 3, top + 21 + 11 * number), line, "black", small)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(_INKS, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_sheet(path: Path, seed: int = SEED) -> None:
    """Simulate and draw every action once, and write the sheet as a PNG."""
    strips = {}
    for index, action in enumerate(ACTIONS):
        look = Look(list(LEOTARDS)[index % 5], background="white training hall", sleeves=True)
        strips[action.id] = strip(simulate(action.id, seed), look)
    lay_out(strips, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the contact sheet of the 35 actions.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    draw_sheet(options.path, options.seed)
