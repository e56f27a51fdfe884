"""AnimateDiff, Latte and Text2Video-Zero: the public pipelines of diffusers on fetched weights.

They read the prompt alone; their schedules are their authors' own. Each runs whole in one call, so
a thread of its own runs it and shows what diffusers' callback has after each step.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from finephys.config import SD15_GENERATOR
from finephys.errors import RequestError, StoppedError, WeightsError
from finephys.generator.autoencoder import LatentAutoencoder
from finephys.generator.diffusion import check_ranges, frames_of
from finephys.generator.memory import Memory, half_precision, memory_for, memory_guard
from finephys.generator.protocol import Sampling
from finephys.generator.public import filled
from finephys.generator.sampling import check_finite
from finephys.generator.streaming import stream_call
from finephys.generator.systems import SYSTEMS
from finephys.generator.text import cut_text
from finephys.guidance.framing import Framing
from finephys.skeleton import FRAMES
from finephys.types import Bytes, Pose2D, VideoClip
from finephys.weights.catalogue import FETCHABLE
from finephys.weights.lock import verify, weights_folder

logger = logging.getLogger(__name__)

SIZE = 512
"""Side of the frames in pixels: what all three were trained at."""


LATTE_TOKENS = 120
"""Tokens of a prompt that diffusers' LattePipeline reads; the number stands in its code."""


class Call(NamedTuple):
    """What one run of a pipeline is given.

    Attributes:
        prompt: text.
        size: side of the frames in pixels.
        steps: denoising steps.
        guidance_scale: of classifier-free guidance.
        random: where noise is drawn.
        watch: called after each step with its number from 0, its latents (1, 4, F, h, w), and
            whether they are a step of the clip that people see.
    """

    prompt: str
    size: int
    steps: int
    guidance_scale: float
    random: torch.Generator
    watch: Callable[[int, torch.Tensor, bool], None]


@dataclass(frozen=True)
class Kind:
    """How one of the pipelines is built and called.

    Attributes:
        build: the pipeline from the folder of fetched parts, in a dtype.
        run: frames (16, H, W, 3) in [0, 1].
    """

    build: Callable[[Path, torch.dtype, str], Any]
    run: Callable[[Any, Call], npt.NDArray[np.float32]]


class PublicPipeline:
    """A public pipeline as a video generator.

    Args:
        name: key of `systems.SYSTEMS`.
        pipeline: of diffusers.
        device: "cpu" or "cuda".
        memory: how to place the weights.
        size: side of the frames in pixels; None: SIZE.

    Raises:
        RequestError: the size is not divisible by 8.
    """

    def __init__(
        self,
        name: str,
        pipeline: Any,  # noqa: ANN401 -- none of their classes has types
        device: str,
        memory: Memory,
        size: int | None = None,
    ) -> None:
        size = size or SIZE
        if size % 8:
            raise RequestError(
                f"width and height are {size}; they must be divisible by 8, such as "
                f"{max(round(size / 8), 1) * 8}."
            )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.vae.enable_slicing()
        if memory.offload:
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
        self._name, self._pipeline = name, pipeline
        self._autoencoder = LatentAutoencoder(vae=pipeline.vae)
        self.size = size
        self.default_steps, self.default_guidance = SYSTEMS[name].steps, SYSTEMS[name].guidance

    @classmethod
    def load(
        cls, name: str, device: str = "cpu", folder: Path | None = None, size: int | None = None
    ) -> "PublicPipeline":
        """Load the fetched weights of a system, each file proved against the lock.

        Args:
            name: key of `systems.SYSTEMS`.
            device: "cpu" (float32) or "cuda" (bfloat16 where the GPU has it, else float16).
            folder: of the parts; None: where `fetch` puts them.
            size: side of the frames in pixels; None: SIZE.

        Raises:
            WeightsMissingError: they were not fetched, or not wholly; the text names the command.
            WeightsError: a file changed, or does not fit.
        """
        folder = folder or weights_folder(name)
        command = SYSTEMS[name].command
        verify(folder, tuple(part.name for part in FETCHABLE[name]), command)
        pipeline = KINDS[name].build(folder, half_precision(device), command)
        memory = memory_for(device, _gigabytes(pipeline))  # Latte's text encoder alone takes ten
        return cls(name, pipeline, device, memory, size)

    def cut_prompt(self, prompt: str) -> str | None:
        """The end of a prompt that the text encoder cannot take, or None when all fits."""
        tokenizer = self._pipeline.tokenizer
        return cut_text(tokenizer, prompt, tokenizer.model_max_length)

    def draw(self, pose: Pose2D, canvas: Framing) -> VideoClip:
        """Nothing: these read no skeleton, and RequestError says so."""
        raise RequestError(f"{self._name} reads the prompt alone; it cannot be given a skeleton.")

    def denoise(self, asked: Sampling) -> Iterator[VideoClip]:
        """Generate one clip; see `protocol.VideoGenerator.denoise`.

        Design choice: previews show the latents as they stand, with the noise that is left, since
        diffusers' callbacks give no prediction of the clean ones.
        """
        prompt, steps = asked.prompt, asked.steps
        check_ranges([asked.seed], steps, asked.guidance_scale)
        if asked.guide is not None or not asked.motion:
            raise RequestError(
                f"{self._name} reads the prompt alone, and runs whole; it takes no skeleton and "
                "cannot leave out motion."
            )
        if cut := self.cut_prompt(prompt):
            tokens = self._pipeline.tokenizer.model_max_length
            logger.warning("the text encoder takes %d tokens; cut: %.200s", tokens, cut)

        def make(show: Callable[[VideoClip], None]) -> VideoClip:
            def watch(step: int, latents: torch.Tensor, seen: bool) -> None:
                check_finite(latents, step, steps)
                if seen and step + 1 < steps:  # of the last one the finished clip is shown
                    frames = frames_of(self._autoencoder, latents, SD15_GENERATOR, finished=False)
                    show(VideoClip(frames[0], asked.fps))
                if asked.stop():
                    raise StoppedError(f"Stopped after {step + 1} of {steps} denoising steps.")

            random = torch.Generator().manual_seed(asked.seed)
            call = Call(prompt, self.size, steps, asked.guidance_scale, random, watch)
            return VideoClip(self._run(call), asked.fps)

        if asked.stop():
            raise StoppedError("Stopped before the first denoising step.")
        with memory_guard():
            yield from stream_call(make)

    def _run(self, call: Call) -> Bytes:
        try:
            frames = KINDS[self._name].run(self._pipeline, call)
        finally:
            self._pipeline.maybe_free_model_hooks()  # offloaded parts leave the GPU also after Stop
        if not np.isfinite(frames).all():
            raise WeightsError(
                f"{self._name} decoded NaN values, so no clip was made; run it in float32 on a CPU."
            )
        return (frames * 255).round().astype(np.uint8)


def _gigabytes(pipeline: Any) -> float:  # noqa: ANN401
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    return sum(each.nbytes for part in parts for each in part.parameters()) / 1e9


# -- the kinds -------------------------------------------------------------------------------------


def _stable_diffusion(folder: Path, dtype: torch.dtype, command: str) -> dict[str, Any]:
    """Text encoder, tokenizer, U-Net and autoencoder of Stable Diffusion v1.5."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    whole = folder / "stable-diffusion"
    text = filled(CLIPTextModel, whole / "text_encoder", dtype, command)
    tokenizer = CLIPTokenizer.from_pretrained(whole / "tokenizer", local_files_only=True)
    tokenizer.model_max_length = text.config.max_position_embeddings  # whatever its file says
    return {
        "vae": filled(AutoencoderKL, whole / "vae", dtype, command),
        "text_encoder": text,
        "tokenizer": tokenizer,
        "unet": filled(UNet2DConditionModel, whole / "unet", dtype, command),
    }


def _animatediff(folder: Path, dtype: torch.dtype, command: str) -> Any:  # noqa: ANN401
    from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter

    # The schedule that AnimateDiff's page in diffusers' documentation gives for v1.5-2.
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        clip_sample=False,
        timestep_spacing="linspace",
        steps_offset=1,
    )
    motion = filled(MotionAdapter, folder / "motion-adapter", dtype, command)
    parts = _stable_diffusion(folder, dtype, command)
    return AnimateDiffPipeline(**parts, motion_adapter=motion, scheduler=scheduler)


def _run_animatediff(pipeline: Any, call: Call) -> npt.NDArray[np.float32]:  # noqa: ANN401
    made = pipeline(num_frames=FRAMES, decode_chunk_size=1, **_common(call))
    return np.asarray(made.frames[0], np.float32)


def _latte(folder: Path, dtype: torch.dtype, command: str) -> Any:  # noqa: ANN401
    import diffusers
    from transformers import T5EncoderModel, T5Tokenizer

    whole = folder / "latte"
    text = json.loads((whole / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    scheduler: Any = getattr(diffusers, str(text.get("_class_name")), None)
    if not (isinstance(scheduler, type) and issubclass(scheduler, diffusers.SchedulerMixin)):
        raise WeightsError(
            f"latte/scheduler names no scheduler of diffusers; run: {command}", command
        )
    tokenizer = T5Tokenizer.from_pretrained(whole / "tokenizer", local_files_only=True)
    tokenizer.model_max_length = LATTE_TOKENS
    return diffusers.LattePipeline(
        tokenizer=tokenizer,
        text_encoder=filled(T5EncoderModel, whole / "text_encoder", dtype, command),
        vae=filled(diffusers.AutoencoderKL, whole / "vae", dtype, command),
        transformer=filled(
            diffusers.LatteTransformer3DModel, whole / "transformer", dtype, command
        ),
        scheduler=cast(Any, scheduler).from_config(text),
    )


def _run_latte(pipeline: Any, call: Call) -> npt.NDArray[np.float32]:  # noqa: ANN401
    made = pipeline(video_length=FRAMES, clean_caption=False, decode_chunk_size=1, **_common(call))
    return np.asarray(made.frames[0], np.float32)


def _t2v_zero(folder: Path, dtype: torch.dtype, command: str) -> Any:  # noqa: ANN401
    from diffusers import DDIMScheduler, TextToVideoZeroPipeline

    # Stable Diffusion's own betas, and DDIM as Text2Video-Zero's paper has it (section 3.3).
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return TextToVideoZeroPipeline(
        **_stable_diffusion(folder, dtype, command),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _run_t2v_zero(pipeline: Any, call: Call) -> npt.NDArray[np.float32]:  # noqa: ANN401
    if call.steps < 3 or call.guidance_scale == 1:
        raise RequestError(
            f"t2v-zero was asked for {call.steps} steps and guidance {call.guidance_scale}; it "
            "takes 3 steps or more and a guidance above 1."
        )
    # The steps between which the first frame's latents are moved: 44 and 47 of 50 by default.
    late = min(round(0.94 * call.steps), call.steps - 1)
    early = min(round(0.88 * call.steps), late - 1)
    alone, ahead = call.steps - 1 - late, late - early
    calls = count()

    def watch(_: int, __: object, latents: torch.Tensor) -> None:
        # The first frame is denoised alone, then some steps ahead to where its motion is made; from
        # where it was before those, all frames go on together and take them once more.
        done = next(calls)
        clip = latents.expand(FRAMES, -1, -1, -1).transpose(0, 1)[None]
        if done < alone + ahead:
            call.watch(done, clip, done < alone)
        else:
            call.watch(done - ahead, clip, True)

    made = pipeline(
        prompt=call.prompt,
        video_length=FRAMES,
        height=call.size,
        width=call.size,
        num_inference_steps=call.steps,
        guidance_scale=call.guidance_scale,
        generator=call.random,
        t0=early,
        t1=late,
        callback=watch,
    )
    return np.asarray(made.images, np.float32)


def _common(call: Call) -> dict[str, Any]:
    def watch(_: object, step: int, __: object, values: dict[str, torch.Tensor]) -> dict[str, Any]:
        call.watch(step, values["latents"], True)
        return values

    return {
        "prompt": call.prompt,
        "height": call.size,
        "width": call.size,
        "num_inference_steps": call.steps,
        "guidance_scale": call.guidance_scale,
        "generator": call.random,
        "output_type": "np",
        "callback_on_step_end": watch,
    }


KINDS = {
    "animatediff": Kind(_animatediff, _run_animatediff),
    "latte": Kind(_latte, _run_latte),
    "t2v-zero": Kind(_t2v_zero, _run_t2v_zero),
}
"""The pipelines by name."""
