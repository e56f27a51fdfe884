"""From noise to a clip: the noise schedule and the denoising loop.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise, with abar_t the running product of 1 - beta and the
betas rising linearly from 0.00085 to 0.012 over 1,000 steps (supplement A.1).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from finephys.config import GeneratorConfig
from finephys.errors import StoppedError, WeightsError
from finephys.generator.skeleton_encoder import Guidance
from finephys.generator.text import TextFeatures

TIME_STEPS = 1000
"""Steps of the noise schedule (supplement A.1)."""


class SchedulerStep(Protocol):
    """What a scheduler of diffusers returns from a step."""

    prev_sample: torch.Tensor


class Scheduler(Protocol):
    """What the denoising loop uses of a scheduler of diffusers."""

    alphas_cumprod: torch.Tensor
    init_noise_sigma: float
    timesteps: torch.Tensor

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Choose the time steps of a run."""

    def step(
        self, model_output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor
    ) -> SchedulerStep:
        """Go from one time step to the next."""


_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}


class Condition(NamedTuple):
    """What B clips are generated from.

    Attributes:
        text: features of their prompts.
        guidance: features of their skeletons, or pictures of them for a ControlNet; None: the
            plain model.
    """

    text: TextFeatures
    guidance: Guidance | torch.Tensor | None


class DenoisingNetwork(Protocol):
    """What the denoising loop uses of a network."""

    @property
    def config(self) -> GeneratorConfig:
        """Says what the network predicts."""

    def __call__(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: TextFeatures,
        guidance: Any,  # noqa: ANN401 -- each network has its own
    ) -> torch.Tensor:
        """What the U-Net predicts for latents (B, C, F, h, w) at times (B,)."""


def make_scheduler(config: GeneratorConfig, sampler: str) -> Scheduler:
    """The scheduler of diffusers for a configuration.

    Design choice: where `zero_terminal_snr` is set the betas are rescaled so that the last step is
    pure noise. Without it a twenty-fifth of the picture shines through at the last step, enough for
    the model to read the background's brightness there instead of in the text; from pure noise it
    then drew every background light.

    Args:
        config: says whether the betas are rescaled.
        sampler: "dpm++" (second order, few steps) or "ddim".
    """
    common = {
        **_BETAS,
        "num_train_timesteps": TIME_STEPS,
        "prediction_type": "sample",  # `predict_clean` turns every prediction into that
        "rescale_betas_zero_snr": config.zero_terminal_snr,
        "timestep_spacing": "trailing",
    }
    scheduler: Scheduler
    if sampler == "dpm++":
        scheduler = DPMSolverMultistepScheduler(
            algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero", **common
        )
    elif sampler == "ddim":
        scheduler = DDIMScheduler(clip_sample=False, **common)
    else:
        raise ValueError(f"sampler {sampler!r} is unknown; use 'dpm++' or 'ddim'.")
    return scheduler


def draw_noise(
    config: GeneratorConfig, shape: tuple[int, ...], random: torch.Generator
) -> torch.Tensor:
    """Standard normal noise (..., F, h, w), partly the same in all frames.

    Design choice (after Ge et al. 2023, "Preserve your own correlation"): a background grows out of
    noise, so frames that share half of it grow the same background; with noise of its own for each
    frame the motion modules alone had to keep it still, and it flickered.
    """
    own = torch.randn(shape, generator=random)
    if config.shared_noise == 0:
        return own
    common = torch.randn((*shape[:-3], 1, *shape[-2:]), generator=random)
    return math.sqrt(config.shared_noise) * common + math.sqrt(1 - config.shared_noise) * own


def signal_and_noise(
    scheduler: Scheduler, time: torch.Tensor, dimensions: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """sqrt(abar_t) and sqrt(1 - abar_t) of time steps (B,), with `dimensions` axes."""
    kept = scheduler.alphas_cumprod.to(time.device)[time]
    kept = kept.reshape(-1, *[1] * (dimensions - 1))
    return kept.sqrt(), (1 - kept).sqrt()


def predict_clean(
    network: DenoisingNetwork,
    scheduler: Scheduler,
    noisy: torch.Tensor,
    time: torch.Tensor,
    text: TextFeatures,
    guidance: Guidance | torch.Tensor | None,
) -> torch.Tensor:
    """The clean latent that the network sees behind a noisy one.

    Design choice: the tiny network predicts it outright. The preconditioning of Karras et al.
    (2022), tried in mid-training, doubled the squared error at little noise (0.078 against 0.040
    at step 200): to take noise off its input, every pixel's noise must fit through 48 channels.
    Predicting what a linear filter of each cell leaves had half the error at step 150, but the
    filter lets noise through, and in eight steps it was never taken off again.

    Args:
        network: the model.
        scheduler: of `make_scheduler`.
        noisy: (B, C, F, h, w) latents x_t.
        time: (B,) time steps.
        text: features of B prompts.
        guidance: features of B clips' skeletons, or None.

    Returns:
        (B, C, F, h, w).
    """
    signal, noise = signal_and_noise(scheduler, time, noisy.ndim)
    output: torch.Tensor = network(noisy, time, text, guidance)
    return output if network.config.prediction == "sample" else (noisy - noise * output) / signal


def check_finite(latents: torch.Tensor, step: int, steps: int) -> None:
    """Raise WeightsError when a denoising step, counted from 0, gave NaN or infinite values."""
    if not torch.isfinite(latents).all():
        raise WeightsError(
            f"denoising step {step + 1} of {steps} gave NaN or infinite values, so no clip was "
            "made; lower the guidance scale, or fetch or train the weights again."
        )


@torch.inference_mode()
def denoise_latents(
    network: DenoisingNetwork,
    scheduler: Scheduler,
    noise: torch.Tensor,
    asked: Condition,
    empty: Condition | None,
    steps: int,
    guidance_scale: float,
    stop: Callable[[], bool],
) -> Iterator[torch.Tensor]:
    """Denoise a batch of clips, yielding the predicted clean latents after each step.

    Args:
        network: the model.
        scheduler: of `make_scheduler`.
        noise: (B, C, F, h, w) standard normal.
        asked: features of the B prompts and skeletons.
        empty: what classifier-free guidance goes away from: B empty prompts, with the same
            skeletons or none; None: no such guidance.
        steps: denoising steps.
        guidance_scale: how far to go from the empty prompt's prediction past the prompt's.
        stop: looked at before each step.

    Yields:
        (B, C, F, h, w), `steps` times; the last is the result.

    Raises:
        StoppedError: when `stop` says so.
        WeightsError: when the prediction is not finite.
    """
    scheduler.set_timesteps(steps)
    latents = noise * scheduler.init_noise_sigma
    for step, time in enumerate(scheduler.timesteps):
        if stop():
            raise StoppedError(f"Stopped after {step} of {steps} denoising steps.")
        times = time.to(latents.device).expand(len(latents))
        clean = predict_clean(network, scheduler, latents, times, *asked)
        if empty is not None:
            plain = predict_clean(network, scheduler, latents, times, *empty)
            clean = plain + guidance_scale * (clean - plain)
        check_finite(clean, step, steps)
        latents = scheduler.step(clean, time, latents).prev_sample
        yield clean
