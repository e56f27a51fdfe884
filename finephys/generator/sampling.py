"""The noise schedule and the denoising loop.

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
from finephys.generator.skeleton_encoder import SkeletonFeatures
from finephys.generator.text import TextFeatures

TIME_STEPS = 1000
"""Steps of the noise schedule (supplement A.1)."""


class SchedulerStep(Protocol):
    """The result of a step of diffusers' schedulers."""

    prev_sample: torch.Tensor


class Scheduler(Protocol):
    """The part of diffusers' schedulers that the denoising loop uses."""

    alphas_cumprod: torch.Tensor
    init_noise_sigma: float
    timesteps: torch.Tensor

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Set the time steps of a run."""

    def step(
        self, model_output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor
    ) -> SchedulerStep:
        """Go from one time step to the next."""


_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}


class Condition(NamedTuple):
    """One branch of classifier-free guidance: the inputs of B clips.

    Attributes:
        text: features of their prompts.
        guidance: features of their skeletons, or pictures of them for a ControlNet; None: neither.
    """

    text: TextFeatures
    guidance: SkeletonFeatures | torch.Tensor | None


class DenoisingNetwork(Protocol):
    """The part of a network that the denoising loop uses."""

    @property
    def config(self) -> GeneratorConfig:
        """Names the kind of prediction."""

    def __call__(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: TextFeatures,
        guidance: Any,  # noqa: ANN401 -- each network has its own
    ) -> torch.Tensor:
        """Predict what `config.prediction` names for latents (B, C, F, h, w) at times (B,)."""


def make_scheduler(config: GeneratorConfig, sampler: str) -> Scheduler:
    """Build diffusers' scheduler for a configuration.

    Design choice: with `zero_terminal_snr` the betas are rescaled so that the last time step is
    pure noise. Otherwise a twenty-fifth of the picture is left there, enough for the model to learn
    the background's brightness from it instead of from the text; starting from pure noise it then
    drew every background light.

    Args:
        config: its `zero_terminal_snr` is used.
        sampler: "dpm++" (second order, few steps) or "ddim".
    """
    common = {
        **_BETAS,
        "num_train_timesteps": TIME_STEPS,
        "prediction_type": "sample",  # `predict_clean` converts every prediction to it
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
        raise ValueError(f"sampler {sampler!r} does not exist; use 'dpm++' or 'ddim'.")
    return scheduler


def draw_noise(
    config: GeneratorConfig, shape: tuple[int, ...], random: torch.Generator
) -> torch.Tensor:
    """Draw standard normal noise (..., F, h, w), partly the same in all frames.

    Design choice (after Ge et al. 2023, "Preserve your own correlation"): frames that share half of
    their noise get the same background; with independent noise only the motion modules could keep
    it still, and it flickered.
    """
    own = torch.randn(shape, generator=random)
    if config.shared_noise == 0:
        return own
    common = torch.randn((*shape[:-3], 1, *shape[-2:]), generator=random)
    return math.sqrt(config.shared_noise) * common + math.sqrt(1 - config.shared_noise) * own


def signal_and_noise(
    scheduler: Scheduler, time: torch.Tensor, dimensions: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sqrt(abar_t) and sqrt(1 - abar_t) of time steps (B,), with `dimensions` axes."""
    kept = scheduler.alphas_cumprod.to(time.device)[time]
    kept = kept.reshape(-1, *[1] * (dimensions - 1))
    return kept.sqrt(), (1 - kept).sqrt()


def predict_clean(
    network: DenoisingNetwork,
    scheduler: Scheduler,
    noisy: torch.Tensor,
    time: torch.Tensor,
    text: TextFeatures,
    guidance: SkeletonFeatures | torch.Tensor | None,
) -> torch.Tensor:
    """Predict the clean latent from a noisy one.

    Design choice: the tiny network predicts it directly. The preconditioning of Karras et al.
    (2022), tried in mid-training, doubled the squared error at little noise (0.078 against 0.040 at
    step 200): to subtract noise from its input, every pixel's noise must fit through 48 channels.
    Predicting the residual of a linear filter had half the error at step 150, but the filter lets
    noise through, and eight sampling steps never removed it.

    Args:
        network: the model.
        scheduler: from `make_scheduler`.
        noisy: (B, C, F, h, w) latents x_t.
        time: (B,) time steps.
        text: features of B prompts.
        guidance: features of B skeletons, or pictures of them; None: neither.

    Returns:
        (B, C, F, h, w).
    """
    signal, noise = signal_and_noise(scheduler, time, noisy.ndim)
    output: torch.Tensor = network(noisy, time, text, guidance)
    return output if network.config.prediction == "sample" else (noisy - noise * output) / signal


def check_finite(latents: torch.Tensor, step: int, steps: int) -> None:
    """Raise WeightsError when a denoising step, counted from 0, returned NaN or infinite values."""
    if not torch.isfinite(latents).all():
        raise WeightsError(
            f"denoising step {step + 1} of {steps} returned NaN or infinite values, so no clip was "
            "made; lower the guidance scale, or fetch or train the weights again."
        )


@torch.inference_mode()
def denoise_latents(
    network: DenoisingNetwork,
    scheduler: Scheduler,
    noise: torch.Tensor,
    wanted: Condition,
    negative: Condition | None,
    steps: int,
    guidance_scale: float,
    stop: Callable[[], bool],
) -> Iterator[torch.Tensor]:
    """Denoise a batch of clips, yielding the predicted clean latents after each step.

    Args:
        network: the model.
        scheduler: from `make_scheduler`.
        noise: (B, C, F, h, w) standard normal.
        wanted: features of the B prompts and skeletons.
        negative: the unconditional branch of classifier-free guidance; None: no guidance.
        steps: denoising steps.
        guidance_scale: the prediction is negative + scale * (wanted - negative).
        stop: called before each step; True ends the run.

    Yields:
        (B, C, F, h, w), `steps` times; the last is the result.

    Raises:
        StoppedError: `stop` returned True.
        WeightsError: the prediction is not finite.
    """
    scheduler.set_timesteps(steps)
    latents = noise * scheduler.init_noise_sigma
    for step, time in enumerate(scheduler.timesteps):
        if stop():
            raise StoppedError(f"Stopped after {step} of {steps} denoising steps.")
        times = time.to(latents.device).expand(len(latents))
        clean = predict_clean(network, scheduler, latents, times, *wanted)
        if negative is not None:
            other = predict_clean(network, scheduler, latents, times, *negative)
            clean = other + guidance_scale * (clean - other)
        check_finite(clean, step, steps)
        latents = scheduler.step(clean, time, latents).prev_sample
        yield clean
