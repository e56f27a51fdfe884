"""Do generated gymnasts follow skeleton and text? One JSON row over held-out clips.

Clips of motions, cameras and looks that were not trained on are generated from their true
skeletons and prompts, and read by networks trained on true renders only (`figure_reader`,
`clip_readers`). Each figure is given for the true renders too:

`iou`: silhouette against the truth. `pck`: joints within a tenth of the figure's height. `class`:
clips whose class is read. `color`: clips whose leotard is read as the prompt has it. `flicker`:
change of grey levels from frame to frame outside the figures, over that of the truth. `texture`:
grey-level steps outside the figures; `plain`: clips with less than a quarter of the truth's.
`swap`: each clip is generated with another's skeleton; overlap with the skeleton's owner minus
that with the prompt's clip. `turns`: somersaults of classes 31-40 (Fig. 14 of the supplement), how
far the trunk's turns read from the clip are from those read from the true render.

    python -m benchmarks.generator --clips 200
"""

import argparse
import json
import logging
import time
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from benchmarks.generator import measures
from benchmarks.generator.clip_readers import (
    CLASSES,
    ClassReader,
    ColorReader,
    ReadClips,
    color_of_prompt,
    joints_of,
    named,
    train_class_reader,
    train_color_reader,
    trunk_colors,
)
from benchmarks.generator.figure_reader import Reading, load_figure_reader, read_figure
from finephys.actions import ACTIONS
from finephys.data.clips import ClipBatch, RenderedClips
from finephys.data.rendered import SHARD, render_dataset
from finephys.files import whole_file
from finephys.generator.diffusion import Generator
from finephys.generator.protocol import Sampling
from finephys.guidance.heatmaps import heatmap_level
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.sheet import lay_out
from finephys.motion.simulation import simulate
from finephys.types import Bytes, Float, LimbHeatmaps

logger = logging.getLogger(__name__)

_BATCH = 8
_FPS = 8.0
_TRAINING_CLIPS = 4096
_SALTOS = range(31, 41)


class Readers(NamedTuple):
    """Networks trained on true renders only."""

    figure: nn.Module
    action: ClassReader
    color: ColorReader


def guides(generator: Generator, canvas: Float) -> list[LimbHeatmaps]:
    """Heatmaps of clips' true skeletons (N, 16, 17, 2) on the canvas."""
    made = []
    for clip in torch.from_numpy(canvas):
        score = torch.ones(clip.shape[:-1])
        sides = generator.config.heatmap_levels
        levels = [heatmap_level(clip, score, side).numpy() for side in sides]
        made.append(LimbHeatmaps(tuple(levels)))
    return made


def generate(
    generator: Generator,
    skeletons: list[LimbHeatmaps],
    prompts: list[str],
    steps: int,
    scale: float,
) -> Bytes:
    """Clips (N, 16, S, S, 3), seeds 0 to N - 1."""
    clips = []
    for start in range(0, len(prompts), _BATCH):
        end = min(start + _BATCH, len(prompts))
        batch = [
            Sampling(skeletons[seed], prompts[seed], seed, steps, scale, _FPS)
            for seed in range(start, end)
        ]
        *_, finished = generator.denoise_batch(batch)
        clips.append(finished)
        logger.info("generated %d of %d", end, len(prompts))
    return np.concatenate(clips)


def read_all(figure: nn.Module, clips: Bytes) -> list[Reading]:
    """What is read from N clips."""
    return [read_figure(figure, clip) for clip in clips]


def readings_of(figure: nn.Module, clips: ClipBatch) -> ReadClips:
    """What the readers of classes and colours are trained on."""
    read = read_all(figure, clips.frames)
    places = {action: place for place, action in enumerate(CLASSES)}
    return ReadClips(
        np.stack([joints_of(clip) for clip in read]),
        np.stack([trunk_colors(*pair) for pair in zip(read, clips.frames, strict=True)]),
        np.array([places.get(int(action), -1) for action in clips.action]),
        np.array([color_of_prompt(prompt) for prompt in clips.prompts]),
    )


def train_readers(folder: Path, renders: Path) -> Readers:
    """The readers kept in `folder`, or trained on true renders when they are not there yet."""
    figure = load_figure_reader(folder / "figure.safetensors", renders)
    kept = folder / "readings.npz"
    if not kept.is_file():
        rows: list[ReadClips] = []
        for clips in RenderedClips(renders, layers=False, keep=1):
            rows.append(readings_of(figure, clips))
            logger.info("read %d true renders", sum(len(row.joints) for row in rows))
        joined = ReadClips(*map(np.concatenate, zip(*rows, strict=True)))
        with whole_file(kept) as partial:
            np.savez(partial, **joined._asdict())
    with np.load(kept) as file:
        read = ReadClips(*(file[name] for name in ReadClips._fields))
    return Readers(
        figure,
        train_class_reader(read, folder / "class.safetensors"),
        train_color_reader(read, folder / "color.safetensors"),
    )


def silhouette_rows(
    read: list[Reading], swapped: list[Reading], held: ClipBatch
) -> dict[str, float]:
    """Overlaps of the silhouettes, and of those with another clip's skeleton."""
    truth, others = held.figure, np.roll(held.figure, -1, axis=0)

    def overlaps(readings: list[Reading], figures: npt.NDArray[np.bool_]) -> list[float]:
        return [
            measures.overlap(reading.silhouette, figure)
            for reading, figure in zip(readings, figures, strict=True)
        ]

    iou = overlaps(read, truth)
    owner, stranger = np.mean(overlaps(swapped, others)), np.mean(overlaps(swapped, truth))
    return {
        "iou": float(np.mean(iou)),
        "iou_worst_tenth": float(np.quantile(iou, 0.1)),
        "swap": float(owner - stranger),
        "swap_owner": float(owner),
        "swap_other": float(stranger),
    }


def reading_rows(
    readers: Readers, read: list[Reading], frames: Bytes, held: ClipBatch
) -> dict[str, float]:
    """Joints, classes and colours read from clips, whether generated or true."""
    pck = [
        measures.found_joints(one.joints, truth)
        for one, truth in zip(read, held.canvas, strict=True)
    ]
    action = named(readers.action, [joints_of(one) for one in read])
    wanted = np.array([CLASSES.index(int(action)) for action in held.action])
    colors = named(readers.color, [trunk_colors(*one) for one in zip(read, frames, strict=True)])
    prompts = np.array([color_of_prompt(prompt) for prompt in held.prompts])
    return {
        "pck": float(np.mean(pck)),
        "class": float((action == wanted).mean()),
        "color": float((colors == prompts).mean()),
    }


def background_rows(made: Bytes, read: list[Reading], held: ClipBatch) -> dict[str, float]:
    """Change and texture outside the figures, of the generated clips and of the truth."""
    rows = []
    for clip, true, figure, reading in zip(made, held.frames, held.figure, read, strict=True):
        either = figure | reading.silhouette
        rows.append(
            (
                measures.flicker(clip, either),
                measures.flicker(true, either),
                measures.texture(clip, either),
                measures.texture(true, either),
            )
        )
    flicker, true_flicker, texture, true_texture = np.array(rows).T
    return {
        "flicker": float(flicker.mean()),
        "flicker_of_truth": float(true_flicker.mean()),
        "texture": float(texture.mean()),
        "texture_of_truth": float(true_texture.mean()),
        "plain": int((texture < 0.25 * true_texture).sum()),
    }


def turn_rows(read: list[Reading], true: list[Reading], held: ClipBatch) -> dict[str, float]:
    """Turns read from the generated saltos against those read from the true renders."""
    chosen = [row for row, action in enumerate(held.action) if int(action) in _SALTOS]
    if not chosen:
        return {}
    made = np.array([measures.turns(read[row].joints) for row in chosen])
    real = np.array([measures.turns(true[row].joints) for row in chosen])
    truth = np.array([measures.turns(held.canvas[row]) for row in chosen])
    return {
        "salto_clips": len(chosen),
        "turns_within_quarter": float((np.abs(made - truth) < 0.25).mean()),
        "turns_within_quarter_of_truth": float((np.abs(real - truth) < 0.25).mean()),
    }


def measure(
    generator: Generator, readers: Readers, held: ClipBatch, steps: int, scale: float
) -> tuple[dict[str, float], Bytes]:
    """All figures of the row, and the clips made from their own skeletons."""
    skeletons = guides(generator, held.canvas)
    own = generate(generator, skeletons, held.prompts, steps, scale)
    swapped = generate(generator, skeletons[1:] + skeletons[:1], held.prompts, steps, scale)
    read, true = read_all(readers.figure, own), read_all(readers.figure, held.frames)
    own_overlap = [
        measures.overlap(one.silhouette, figure)
        for one, figure in zip(true, held.figure, strict=True)
    ]
    of_truth = {
        "iou_of_truth": float(np.mean(own_overlap)),
        **{
            f"{name}_of_truth": value
            for name, value in reading_rows(readers, true, held.frames, held).items()
        },
    }
    error = ((own.astype(np.float32) - held.frames) ** 2).mean((1, 2, 3, 4))
    row = {
        "clips": len(held.prompts),
        **silhouette_rows(read, read_all(readers.figure, swapped), held),
        **reading_rows(readers, read, own, held),
        **of_truth,
        **background_rows(own, read, held),
        **turn_rows(read, true, held),
        "psnr_db": float(np.mean(10 * np.log10(255**2 / error))),
    }
    return row, own


def strips(clips: Bytes, action: npt.NDArray[np.int64], moments: int = 8) -> dict[int, Bytes]:
    """The first clip of each class as a row of evenly spaced frames, 96 pixels high."""
    chosen = np.linspace(0, clips.shape[1] - 1, moments).round().astype(int)
    out: dict[int, Bytes] = {}
    for clip, number in zip(clips, action, strict=True):
        if int(number) not in out:
            row = Image.fromarray(np.concatenate(clip[chosen], axis=1))
            out[int(number)] = np.asarray(row.resize((96 * moments, 96), Image.Resampling.LANCZOS))
    return out


def renders(folder: Path, first_seed: int, count: int, each: int, size: int) -> Path:
    """Films of simulated motions, `each` seeds a class, made unless they are all there."""
    if SHARD * len(list(folder.glob("clips_*.npz"))) < count:
        logger.info("no clips in %s: simulating and rendering %d", folder, count)
        seeds = range(first_seed, first_seed + each)
        motions = [simulate(action.id, seed) for action in ACTIONS for seed in seeds]
        render_dataset(motions, count, first_seed, folder, processes=2, size=size)
    return folder


def held_out(folder: Path, count: int) -> ClipBatch:
    """The first `count` clips of a folder."""
    parts: list[ClipBatch] = []
    for clips in RenderedClips(folder, layers=False, keep=1):
        parts.append(clips)
        if sum(len(part.frames) for part in parts) >= count:
            break
    frames, figure, _, canvas, prompts, action = zip(*parts, strict=True)
    joined = (np.concatenate(each) for each in (frames, figure))
    return ClipBatch(
        *joined, None, np.concatenate(canvas), [*chain(*prompts)], np.concatenate(action)
    ).first(count)


def main() -> None:
    """Read the arguments, measure, print the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, default=Path("runs/benchmarks/renders"))
    parser.add_argument("--held", type=Path, default=Path("runs/benchmarks/held"))
    parser.add_argument("--readers", type=Path, default=Path("runs/benchmarks/readers"))
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--tier", default="tiny")
    parser.add_argument("--sheet", type=Path, help="a PNG of one clip a class; true.png beside it")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    generator = Generator.load(options.tier)
    steps = options.steps or generator.config.default_steps
    scale = options.guidance or generator.config.default_guidance
    size = generator.size
    readers = train_readers(options.readers, renders(options.train, 0, _TRAINING_CLIPS, 12, size))
    held = held_out(renders(options.held, HELD_OUT_SEED, 256, 2, size), options.clips)
    row, own = measure(generator, readers, held, steps, scale)
    guide = guides(generator, held.canvas[:1])
    began = time.perf_counter()
    list(generator.denoise(Sampling(guide[0], held.prompts[0], 0, steps, scale, _FPS)))
    seconds = time.perf_counter() - began
    what = {"benchmark": "generator", "tier": options.tier, "steps": steps, "guidance": scale}
    print(
        json.dumps({**what, **row, "seconds_a_clip": seconds, "threads": torch.get_num_threads()})
    )
    if options.sheet:
        lay_out(strips(own, held.action), options.sheet)
        lay_out(strips(held.frames, held.action), options.sheet.with_stem("true"))


if __name__ == "__main__":
    main()
