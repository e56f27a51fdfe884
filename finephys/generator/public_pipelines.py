"""AnimateDiff, Latte and Text2Video-Zero: diffusers' public pipelines on fetched weights.

They read the prompt alone; their schedules are their authors' own. Each generates a clip in one
call, which runs in its own thread and sends a preview from diffusers' callback after each step.
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
from finephys.generator.latent_diffusion import check_ranges, check_size, frames_of
from finephys.generator.memory import Memory, half_precision, memory_for, memory_guard
from finephys.generator.offload import place_modules
from finephys.generator.pretrained import join_motion_modules, load_pretrained_strict
from finephys.generator.protocol import Sampling
from finephys.generator.sampling import check_finite
from finephys.generator.streaming import stream_call
from finephys.generator.systems import SYSTEMS
from finephys.generator.text import cut_text, load_tokenizer
from finephys.guidance.framing import Framing
from finephys.skeleton import FRAMES
from finephys.types import Bytes, Pose2D, VideoClip
from finephys.weights.catalogue import FETCHABLE
from finephys.weights.lock import verify, weights_folder

logger = logging.getLogger(__name__)

SIZE = 512
"""Width and height of the frames in pixels; all three were trained at it."""


LATTE_TOKENS = 120
"""Tokens of a prompt that diffusers' LattePipeline reads, a number in its code."""


class Call(NamedTuple):
    """Arguments of one run of a pipeline.

    Attributes:
        prompt: text.
        size: width and height of the frames in pixels.
        steps: denoising steps.
        guidance_scale: of classifier-free guidance.
        random: draws the noise.
        on_step: called after each step with its number from 0, its latents (1, 4, F, h, w), and
            whether to preview them.
    """

    prompt: str
    size: int
    steps: int
    guidance_scale: float
    random: torch.Generator
    on_step: Callable[[int, torch.Tensor, bool], None]


@dataclass(frozen=True)
class Kind:
    """How one of the pipelines is built and called.

    Attributes:
        build: builds the pipeline from the folder of fetched parts, in a dtype.
        run: returns frames (16, H, W, 3) in [0, 1].
    """

    build: Callable[[Path, torch.dtype, str], Any]
    run: Callable[[Any, Call], npt.NDArray[np.float32]]


class PublicPipeline:
    """A public pipeline as a video generator.

    Args:
        name: key of `systems.SYSTEMS`.
        pipeline: of diffusers.
        device: such as "cpu" or "cuda".
        memory: how to place the weights; if it offloads any, all are offloaded.
        size: width and height of the frames in pixels; None: SIZE.

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
        self.size = size or SIZE
        check_size(self.size, 8)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.vae.enable_slicing()
        self._name, self._pipeline = name, pipeline
        self._autoencoder = LatentAutoencoder(vae=pipeline.vae)
        self._modules = _modules(pipeline)
        place_modules(self._modules, tuple(self._modules) if memory.offload else (), device)

    @classmethod
    def load(
        cls, name: str, device: str = "cpu", folder: Path | None = None, size: int | None = None
    ) -> "PublicPipeline":
        """Load the fetched weights of a system, each file verified against the lock.

        Args:
            name: key of `systems.SYSTEMS`.
            device: "cpu" (float32) or "cuda" (bfloat16 where the GPU has it, else float16).
            folder: holds the fetched parts; None: where `fetch` puts them.
            size: width and height of the frames in pixels; None: SIZE.

        Raises:
            WeightsMissingError: they are not, or incompletely, downloaded; the text names the
                command.
            WeightsError: a file changed, or does not fit.
        """
        folder = folder or weights_folder(name)
        command = SYSTEMS[name].command
        verify(folder, tuple(part.name for part in FETCHABLE[name]), command)
        pipeline = KINDS[name].build(folder, half_precision(device), command)
        weights = [each for part in _modules(pipeline).values() for each in part.parameters()]
        gigabytes = sum(each.nbytes for each in weights) / 1e9  # Latte's text encoder alone has ten
        return cls(name, pipeline, device, memory_for(device, gigabytes), size)

    def cut_prompt(self, prompt: str) -> str | None:
        """Return the part of a prompt beyond the text encoder's length, or None."""
        tokenizer = self._pipeline.tokenizer
        return cut_text(tokenizer, prompt, tokenizer.model_max_length)

    def draw(self, pose: Pose2D, canvas: Framing) -> VideoClip:
        """Raise RequestError: these systems read no skeleton."""
        raise RequestError(f"{self._name} reads the prompt alone; it takes no skeleton.")

    def denoise(self, params: Sampling) -> Iterator[VideoClip]:
        """Generate one clip; see `protocol.VideoGenerator.denoise`.

        Design choice: previews show the noisy latents, since diffusers' callbacks have no
        prediction of the clean ones.
        """
        check_ranges(params)
        if params.guide is not None or not params.motion:
            raise RequestError(
                f"{self._name} reads the prompt alone and denoises all frames together; it takes "
                "no skeleton and cannot leave out motion."
            )
        if cut := self.cut_prompt(params.prompt):
            logger.warning(
                "the text encoder reads %d tokens; cut from the prompt: %.200s",
                self._pipeline.tokenizer.model_max_length,
                cut,
            )
        if params.stop():
            raise StoppedError("Stopped before the first denoising step.")
        with memory_guard(self._modules.values()):
            yield from stream_call(lambda show: self._generate(params, show))

    def _generate(self, params: Sampling, show: Callable[[VideoClip], None]) -> VideoClip:
        """Run the pipeline, passing a preview to `show` after each step but the last."""
        steps = params.steps

        def on_step(step: int, latents: torch.Tensor, preview: bool) -> None:
            check_finite(latents, step, steps)
            if preview and step + 1 < steps:  # the last step shows the finished clip
                frames = frames_of(self._autoencoder, latents, SD15_GENERATOR, finished=False)
                show(VideoClip(frames[0], params.fps))
            if params.stop():
                raise StoppedError(f"Stopped after {step + 1} of {steps} denoising steps.")

        random = torch.Generator().manual_seed(params.seed)
        call = Call(params.prompt, self.size, steps, params.guidance_scale, random, on_step)
        return VideoClip(self._run(call), params.fps)

    def _run(self, call: Call) -> Bytes:
        frames = KINDS[self._name].run(self._pipeline, call)
        if not np.isfinite(frames).all():
            raise WeightsError(
                f"{self._name} decoded NaN values, so no clip was made; run it in float32 on a CPU."
            )
        return (frames * 255).round().astype(np.uint8)


def _modules(pipeline: Any) -> dict[str, nn.Module]:  # noqa: ANN401
    parts = pipeline.components.items()
    return {name: part for name, part in parts if isinstance(part, nn.Module)}


# -- the kinds -------------------------------------------------------------------------------------


def _stable_diffusion(folder: Path, dtype: torch.dtype, command: str) -> dict[str, Any]:
    """Load text encoder, tokenizer, U-Net and autoencoder of Stable Diffusion v1.5."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    base = folder / "stable-diffusion"
    text = load_pretrained_strict(CLIPTextModel, base / "text_encoder", dtype, command)
    tokenizer = load_tokenizer(base / "tokenizer", command, CLIPTokenizer)
    tokenizer.model_max_length = text.config.max_position_embeddings  # its file may name another
    return {
        "vae": load_pretrained_strict(AutoencoderKL, base / "vae", dtype, command),
        "text_encoder": text,
        "tokenizer": tokenizer,
        "unet": load_pretrained_strict(UNet2DConditionModel, base / "unet", dtype, command),
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
    motion = load_pretrained_strict(MotionAdapter, folder / "motion-adapter", dtype, command)
    parts = _stable_diffusion(folder, dtype, command)
    # Joined here: the pipeline would keep the adapter beside its copy in the U-Net, on the GPU.
    parts["unet"] = join_motion_modules(parts["unet"], motion, command)
    return AnimateDiffPipeline(**parts, motion_adapter=None, scheduler=scheduler)


def _run_animatediff(pipeline: Any, call: Call) -> npt.NDArray[np.float32]:  # noqa: ANN401
    made = pipeline(num_frames=FRAMES, decode_chunk_size=1, **_common(call))
    return np.asarray(made.frames[0], np.float32)


def _latte(folder: Path, dtype: torch.dtype, command: str) -> Any:  # noqa: ANN401
    import diffusers
    from transformers import T5EncoderModel, T5Tokenizer

    base = folder / "latte"
    try:
        config = dict(json.loads((base / "scheduler" / "scheduler_config.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"latte/scheduler cannot be read ({error}); run: {command}", command
        ) from error
    scheduler: Any = getattr(diffusers, str(config.get("_class_name")), None)
    if not (isinstance(scheduler, type) and issubclass(scheduler, diffusers.SchedulerMixin)):
        raise WeightsError(
            f"latte/scheduler names no scheduler of diffusers; run: {command}", command
        )
    tokenizer = load_tokenizer(base / "tokenizer", command, T5Tokenizer)
    tokenizer.model_max_length = LATTE_TOKENS
    return diffusers.LattePipeline(
        tokenizer=tokenizer,
        text_encoder=load_pretrained_strict(T5EncoderModel, base / "text_encoder", dtype, command),
        vae=load_pretrained_strict(diffusers.AutoencoderKL, base / "vae", dtype, command),
        transformer=load_pretrained_strict(
            diffusers.LatteTransformer3DModel, base / "transformer", dtype, command
        ),
        scheduler=cast(Any, scheduler).from_config(config),
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
            f"steps is {call.steps} and guidance scale {call.guidance_scale}; t2v-zero takes 3 "
            "steps or more and a guidance scale above 1."
        )
    # Motion is added to the latents between these steps: 44 and 47 of 50 by default.
    late = min(round(0.94 * call.steps), call.steps - 1)
    early = min(round(0.88 * call.steps), late - 1)
    alone, ahead = call.steps - 1 - late, late - early
    calls = count()

    def on_step(_: int, __: object, latents: torch.Tensor) -> None:
        # The first frame is denoised for `alone` steps, then `ahead` more, where motion is added to
        # it; from step `alone` all frames are denoised together, and repeat those `ahead` steps.
        done = next(calls)
        clip = latents.expand(FRAMES, -1, -1, -1).transpose(0, 1)[None]
        if done < alone + ahead:
            call.on_step(done, clip, done < alone)
        else:
            call.on_step(done - ahead, clip, True)

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
        callback=on_step,
    )
    return np.asarray(made.images, np.float32)


def _common(call: Call) -> dict[str, Any]:
    def on_step(
        _: object, step: int, __: object, values: dict[str, torch.Tensor]
    ) -> dict[str, Any]:
        call.on_step(step, values["latents"], True)
        return values

    return {
        "prompt": call.prompt,
        "height": call.size,
        "width": call.size,
        "num_inference_steps": call.steps,
        "guidance_scale": call.guidance_scale,
        "generator": call.random,
        "output_type": "np",
        "callback_on_step_end": on_step,
    }


KINDS = {
    "animatediff": Kind(_animatediff, _run_animatediff),
    "latte": Kind(_latte, _run_latte),
    "t2v-zero": Kind(_t2v_zero, _run_t2v_zero),
}
"""The pipelines by name."""
