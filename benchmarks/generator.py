"""Does the generated figure follow its skeleton? One JSON row.

`iou`: silhouette read from the generated clip against the true render of the same skeleton and
prompt. `swap`: each clip is generated with its own prompt but another clip's skeleton; the overlap
with the skeleton's owner minus the overlap with the prompt's clip. `reader_iou`: the reader's own
score on the true renders, the ceiling of both. `flicker`: mean change of grey levels (0-255)
outside both figures from frame to frame, also of the true clips. Held-out motions and looks.

    python -m benchmarks.generator --train runs/rendered/train --held runs/rendered/held
"""

import argparse
import json
import logging
import time
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch

from benchmarks.silhouette import Segmenter, load_segmenter, overlap, read_silhouettes
from finephys.actions import ACTIONS
from finephys.data.rendered import render_dataset
from finephys.generator.diffusion import Generator
from finephys.heatmaps import heatmap_level
from finephys.motion.simulation import simulate
from finephys.training.generator import ClipBatch, RenderedClips
from finephys.types import Bool, Bytes, Float, LimbHeatmaps

_BATCH = 8


def guides(generator: Generator, canvas: Float) -> list[LimbHeatmaps]:
    """Heatmaps of clips' true skeletons (N, 16, 17, 2) on the canvas."""
    made = []
    for clip in torch.from_numpy(canvas):
        score = torch.ones(clip.shape[:-1])
        levels = [heatmap_level(clip, score, cells).numpy() for cells in generator.heatmap_levels]
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
        part = slice(start, start + _BATCH)
        seeds = list(range(start, start + len(prompts[part])))
        made = list(generator.denoise_batch(skeletons[part], prompts[part], seeds, steps, scale))
        clips.append(made[-1])
    return np.concatenate(clips)


def flicker(frames: Bytes, figure: Bool) -> float:
    """Mean absolute change of grey levels between frames, outside the figure of either frame."""
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(-1)
    outside = ~(figure[1:] | figure[:-1])
    return float(change[outside].mean())


def measure(
    generator: Generator, segmenter: Segmenter, held: ClipBatch, steps: int, scale: float
) -> tuple[dict[str, float], Bytes]:
    """All figures of the row, and the clips made from their own skeletons."""
    skeletons = guides(generator, held.canvas)
    prompts = list(held.prompts)
    own = generate(generator, skeletons, prompts, steps, scale)
    swapped = generate(generator, skeletons[1:] + skeletons[:1], prompts, steps, scale)
    others = np.roll(held.figure, -1, axis=0)
    read = [read_silhouettes(segmenter, clip) for clip in own]
    read_swapped = [read_silhouettes(segmenter, clip) for clip in swapped]
    reader = [
        overlap(read_silhouettes(segmenter, clip), truth)
        for clip, truth in zip(held.frames, held.figure, strict=True)
    ]
    iou = [overlap(found, truth) for found, truth in zip(read, held.figure, strict=True)]
    owner = [overlap(found, truth) for found, truth in zip(read_swapped, others, strict=True)]
    stranger = [
        overlap(found, truth) for found, truth in zip(read_swapped, held.figure, strict=True)
    ]
    flickers = [
        (flicker(made, truth | found), flicker(real, truth | found))
        for made, real, truth, found in zip(own, held.frames, held.figure, read, strict=True)
    ]
    made_change, true_change = np.mean(flickers, axis=0)
    error = ((own.astype(np.float32) - held.frames) ** 2).mean((1, 2, 3, 4))
    row = {
        "clips": len(prompts),
        "iou": float(np.mean(iou)),
        "iou_worst_tenth": float(np.quantile(iou, 0.1)),
        "reader_iou": float(np.mean(reader)),
        "swap": float(np.mean(owner) - np.mean(stranger)),
        "swap_owner": float(np.mean(owner)),
        "swap_other": float(np.mean(stranger)),
        "flicker": float(made_change),
        "flicker_of_truth": float(true_change),
        "psnr_db": float(np.mean(10 * np.log10(255**2 / error))),
    }
    return row, own


def contact_sheet(clips: list[Bytes], columns: int = 8, zoom: int = 2) -> Bytes:
    """Clips as rows of evenly spaced frames."""
    rows = []
    for clip in clips:
        chosen = np.linspace(0, len(clip) - 1, columns).round().astype(int)
        rows.append(np.concatenate(clip[chosen], axis=1))
    return np.concatenate(rows).repeat(zoom, 0).repeat(zoom, 1)


def render_if_absent(folder: Path, first_seed: int, count: int) -> None:
    """Film simulated motions of all classes, two seeds each, unless the folder holds clips."""
    if any(folder.rglob("clips_*.npz")):
        return
    logging.info("no clips in %s: simulating and rendering %d", folder, count)
    motions = [
        simulate(action.id, seed) for action in ACTIONS for seed in (first_seed, first_seed + 1)
    ]
    render_dataset(motions, count, first_seed, folder, processes=2)


def main() -> None:
    """Read the arguments, measure, print the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, default=Path("runs/rendered/train"))
    parser.add_argument("--held", type=Path, default=Path("runs/rendered/held"))
    parser.add_argument(
        "--reader", type=Path, default=Path("runs/benchmarks/silhouette.safetensors")
    )
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--tier", default="tiny")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet: truth above, made below")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    generator = Generator.load(options.tier)
    steps = options.steps or generator.default_steps
    scale = options.guidance or generator.default_guidance
    render_if_absent(options.train, 0, 512)
    render_if_absent(options.held, 100_000, 2 * options.clips)
    segmenter = load_segmenter(options.reader, options.train)
    held = RenderedClips(options.held).clips(np.random.default_rng(0), options.clips)
    row, own = measure(generator, segmenter, held, steps, scale)
    guide = guides(generator, held.canvas[:1])
    began = time.perf_counter()
    list(generator.denoise_batch(guide, list(held.prompts[:1]), [0], steps, scale))
    seconds = time.perf_counter() - began
    named = {"benchmark": "generator", "tier": options.tier, "steps": steps, "guidance": scale}
    print(
        json.dumps({**named, **row, "seconds_a_clip": seconds, "threads": torch.get_num_threads()})
    )
    if options.sheet:
        pairs = [clip for index in range(6) for clip in (held.frames[index], own[index])]
        options.sheet.parent.mkdir(parents=True, exist_ok=True)
        imageio.imwrite(options.sheet, contact_sheet(pairs))


if __name__ == "__main__":
    main()
