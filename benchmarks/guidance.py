"""Cost of skeleton guidance: seconds per denoising step, compared with AnimateDiffPipeline.

`python -m benchmarks.guidance [--width narrow|real] [--steps N] [--repeats N]` prints one JSON row.

Three variants share one U-Net with random weights: diffusers' public AnimateDiffPipeline, and this
project's network on the same latents, without a skeleton and with one. All run without
classifier-free guidance, since the pipeline would batch its two branches. Rounds alternate between
the three, and medians are compared. The row also has the time of everything else in a clip: all
pose stages from a rendered clip, heatmaps, text, decoding and the mp4. "real" is the size of Stable
Diffusion 1.5 in half precision; a CPU with bfloat16 takes minutes for it (`--width real --steps 1
--repeats 3`), and the memory is that of the process. "narrow" runs anywhere, with a larger share of
fixed costs. "counted" is of the real size on every machine: bytes of tensors and operations, see
`tensor_count`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler

from benchmarks.tensor_count import BytesAlive, operations, shapes_only
from finephys.config import SD15_GENERATOR, GeneratorConfig
from finephys.generator.autoencoder import LatentAutoencoder
from finephys.generator.latent_diffusion import draw_clips, frames_of
from finephys.generator.memory import has_bfloat16
from finephys.generator.network import VideoNetwork
from finephys.generator.text import TextFeatures
from finephys.guidance.framing import frame_body
from finephys.guidance.heatmaps import limb_heatmaps
from finephys.observe import film
from finephys.pipeline import Pipeline
from finephys.skeleton import FRAMES, LIMBS
from finephys.types import Pose2D, Request, Stage, VideoClip
from finephys.video import write_video

NARROW = replace(
    SD15_GENERATOR,
    size=128,
    channels=(32, 64, 128, 128),
    groups=8,
    heads=4,
    skeleton_channels=(8, 16, 32, 32),
    text_width=64,
    text_layers=1,
    text_heads=2,
)
"""The same classes and proportions, a tenth as wide, at a quarter of the resolution."""

NARROW_VAE = (32, 32, 64, 64)


@contextmanager
def made_in(dtype: torch.dtype) -> Iterator[None]:
    """Create new tensors and networks in this dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def number_type(config: GeneratorConfig, device: str) -> torch.dtype:
    """Return half precision for the real size where it is fast, otherwise float32."""
    if device == "cuda":
        return torch.float16
    return torch.bfloat16 if config is not NARROW and has_bfloat16(device) else torch.float32


def seconds(action: Any, device: str) -> tuple[float, Any]:  # noqa: ANN401
    """Return the seconds that an action takes, the device's work included, and its result."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    given = action()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, given


def found_pose(device: str) -> tuple[float, Pose2D]:
    """Return the seconds of all pose stages on a rendered clip, once loaded, and S_re-proj."""
    stages = Pipeline("tiny", device)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "clip.mp4"
        write_video(source, film(38, 0))
        for _ in range(2):  # the first loads and warms up
            spent, updates = seconds(
                lambda: list(stages.stream_poses(source, Request(action=38))), device
            )
    pose = next(u.value for u in updates if u.stage is Stage.REPROJECTED)
    return spent, pose


def plain_pipeline(network: VideoNetwork) -> AnimateDiffPipeline:
    """Build the public pipeline on the same weights; it takes text embeddings."""
    pipeline = AnimateDiffPipeline(
        vae=network.autoencoder.vae,
        text_encoder=network.text_encoder,
        tokenizer=None,
        unet=network.unet,
        motion_adapter=None,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False
        ),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def measure(config: GeneratorConfig, device: str, steps: int, repeats: int) -> dict[str, Any]:
    """Measure one size on one device."""
    dtype = number_type(config, device)
    torch.manual_seed(0)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with made_in(dtype), torch.device(device):  # converted from float32 it would take twice as much
        network = VideoNetwork(config, config.text_vocabulary - 1)
        if config is NARROW:
            network.autoencoder = LatentAutoencoder(NARROW_VAE)
    network = network.to(dtype).eval()
    pose_seconds, pose = found_pose(device)
    canvas = frame_body(pose)
    heat_seconds, heatmaps = seconds(
        lambda: limb_heatmaps(pose, canvas, config.heatmap_levels), device
    )
    # Two prompts, since classifier-free guidance reads an empty one besides.
    ids = torch.randint(config.text_vocabulary, (2, config.text_length)).to(device)
    with torch.inference_mode():
        network.encode_text(ids, torch.ones_like(ids))  # warms up
        text_seconds, both = seconds(lambda: network.encode_text(ids, torch.ones_like(ids)), device)
    text = TextFeatures(both.tokens[:1], both.pooled[:1])
    tokens = text.tokens
    latents = draw_clips(config, [0]).to(device, dtype)
    levels = [torch.from_numpy(level)[None].to(device, dtype) for level in heatmaps.levels]
    pipeline = plain_pipeline(network)

    def plain() -> None:
        pipeline(
            prompt_embeds=tokens,
            num_frames=FRAMES,
            height=config.size,
            width=config.size,
            num_inference_steps=steps,
            guidance_scale=1.0,
            latents=latents.clone(),
            output_type="latent",
        )

    def own(guided: bool) -> None:
        scheduler = pipeline.scheduler
        scheduler.set_timesteps(steps, device=device)
        guidance = network.encode_skeleton(levels, text) if guided else None
        sample = latents.clone()
        for step in scheduler.timesteps:
            noise = network(sample, step.expand(1), text, guidance)
            sample = scheduler.step(noise, step, sample).prev_sample

    taken: dict[str, list[float]] = {"plain": [], "own": [], "guided": []}
    with torch.inference_mode():
        for round_number in range(repeats + 1):  # the first warms up
            for name, run in (
                ("plain", plain),
                ("own", lambda: own(False)),
                ("guided", lambda: own(True)),
            ):
                spent, _ = seconds(run, device)
                if round_number:
                    taken[name].append(spent / steps)
        decode_seconds, frames = seconds(
            lambda: frames_of(network.autoencoder, latents, config, True), device
        )
    with tempfile.TemporaryDirectory() as folder:
        clip = VideoClip(np.ascontiguousarray(frames[0]), 8.0)
        file_seconds, _ = seconds(lambda: write_video(Path(folder) / "clip.mp4", clip), device)
    median = {name: statistics.median(values) for name, values in taken.items()}
    around = pose_seconds + heat_seconds + text_seconds + decode_seconds + file_seconds
    whole = 50 * median["guided"] * 2  # 50 steps with classifier-free guidance
    return {
        "benchmark": "guidance",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": str(dtype).removeprefix("torch."),
        "size": config.size,
        "channels": config.channels,
        "steps": steps,
        "repeats": repeats,
        "seconds_a_step": {name: round(value, 4) for name, value in median.items()},
        "spread": {name: [round(min(v), 4), round(max(v), 4)] for name, v in taken.items()},
        "guided_over_plain": round(median["guided"] / median["plain"], 4),
        "guided_over_own": round(median["guided"] / median["own"], 4),
        "around_denoising_seconds": {
            "poses": round(pose_seconds, 3),
            "heatmaps": round(heat_seconds, 3),
            "text": round(text_seconds, 3),
            "decode": round(decode_seconds, 3),
            "mp4": round(file_seconds, 3),
        },
        "around_denoising_share_of_50_steps": round(around / (around + whole), 4),
        "peak_gigabytes": round(peak_gigabytes(device), 2),
        "counted": counted(SD15_GENERATOR),
    }


def counted(config: GeneratorConfig) -> dict[str, float]:
    """Count gigabytes of tensors in half precision, and operations with guidance over without.

    For one step of classifier-free guidance with both branches batched, and for decoding.
    """
    with made_in(torch.float16), shapes_only(), BytesAlive() as alive, torch.inference_mode():
        network = VideoNetwork(config, config.text_vocabulary - 1).eval()
        weights = alive.now
        side = config.size // config.patch
        latents = torch.zeros(2, config.latent_channels, FRAMES, side, side)
        levels = [
            torch.zeros(2, FRAMES, len(LIMBS), cells, cells) for cells in config.heatmap_levels
        ]
        ids = torch.zeros(2, config.text_length, dtype=torch.long)
        text = network.encode_text(ids, torch.ones_like(ids))
        time_step = torch.zeros(2, dtype=torch.long)
        alive.peak = alive.now
        guidance = network.encode_skeleton(levels, text)
        network(latents, time_step, text, guidance)
        denoising, alive.peak = alive.peak, alive.now
        one = latents[0].transpose(0, 1)
        network.autoencoder.decode(one)
        decoding = alive.peak
        encoder = operations(lambda: network.encode_skeleton(levels, text))
        guided = operations(lambda: network(latents, time_step, text, guidance))
        plain = operations(lambda: network(latents, time_step, text, None))
        decoder = operations(lambda: network.autoencoder.decode(one))
    steps = 50
    return {
        "weights_gigabytes": round(weights / 1e9, 2),
        "denoising_gigabytes": round(denoising / 1e9, 2),
        "decoding_gigabytes": round(decoding / 1e9, 2),
        "guided_over_plain": round((guided + encoder / steps) / plain, 4),
        "decoding_share_of_50_steps": round(decoder / (decoder + encoder + steps * guided), 4),
    }


def peak_gigabytes(device: str) -> float:
    """Return the peak memory so far: of the GPU, or of the process on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Print one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", choices=("narrow", "real"), help="default: real with a GPU")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    width = given.width or ("real" if device == "cuda" else "narrow")
    config = SD15_GENERATOR if width == "real" else NARROW
    print(json.dumps(measure(config, device, given.steps, given.repeats)))


if __name__ == "__main__":
    main()
