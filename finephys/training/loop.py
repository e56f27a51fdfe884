"""The one training loop: accelerate, Muon or AdamW, cosine rate, moving average, resume."""

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from accelerate import Accelerator
from pytorch_optimizer import Muon
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from finephys.generator.memory import has_bfloat16
from finephys.weights.checkpoints import load_matching

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to train.

    Attributes:
        steps: optimiser steps in all; a resumed run goes on to the same total.
        learning_rate: peak; linear warm-up over `warmup` steps, then cosine to `final_rate` of it.
        matrix_rate: the same for the matrices that Muon trains, spectral norm of a step's change.
        final_rate: last learning rate as a fraction of the peak.
        warmup: steps.
        weight_decay: Adam's decoupled decay.
        average_decay: decay of the moving average of the weights; 0 keeps the raw weights.
        clip_norm: largest gradient norm.
        seed: of torch's generator on a fresh start.
        log_every: steps between log lines.
        save_seconds: wall time between saved states.
        bfloat16: multiply in it where the processor has units for that.
        start: checkpoint whose weights a new run begins with, as far as names and shapes agree;
            None: those the model comes with.
    """

    steps: int
    learning_rate: float
    matrix_rate: float = 0.02
    final_rate: float = 0.02
    warmup: int = 100
    weight_decay: float = 0.01
    average_decay: float = 0.998
    clip_norm: float = 1.0
    seed: int = 0
    log_every: int = 20
    save_seconds: float = 60.0
    bfloat16: bool = False
    start: Path | None = None


def _attention(device: torch.device) -> AbstractContextManager[object]:
    """Attention without the CPU's fused kernel, which goes backwards forty times as slowly."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def share_of_rate(step: int, settings: LoopSettings) -> float:
    """Share of the peak rate at a step in [0, settings.steps]: warm-up, then cosine."""
    warm = min(1.0, (step + 1) / max(settings.warmup, 1))
    progress = min(step / max(settings.steps, 1), 1.0)
    cosine = 0.5 + 0.5 * math.cos(math.pi * progress)
    floor = settings.final_rate
    return warm * (floor + (1 - floor) * cosine)


def inner_matrices(model: nn.Module, edges: AbstractSet[nn.Module]) -> list[nn.Parameter]:
    """Trainable weights of convolutions and linear layers but those in `edges`: Muon's."""
    return [
        parameter
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in edges
        for name, parameter in module.named_parameters(recurse=False)
        if name == "weight" and parameter.requires_grad
    ]


def make_optimizer(
    model: nn.Module, settings: LoopSettings, matrices: Sequence[nn.Parameter]
) -> torch.optim.Optimizer:
    """Muon for `matrices` and AdamW for the other trainable parameters of a model.

    Design choice: Muon (Jordan et al. 2024, momentum made orthogonal by Newton-Schulz) where most
    of a network is hidden convolutions and linear layers: on the video generator it reached in 150
    steps what AdamW had not in 270 (PyPI's `pytorch-optimizer`, for torch's own takes no
    convolution).
    """
    chosen = {id(parameter) for parameter in matrices}
    others = [
        parameter
        for parameter in model.parameters()
        if parameter.requires_grad and id(parameter) not in chosen
    ]
    rate, decay = settings.learning_rate, settings.weight_decay
    if not matrices:
        return torch.optim.AdamW(others, lr=rate, weight_decay=decay)
    by_muon = {"params": list(matrices), "lr": settings.matrix_rate, "use_muon": True}
    by_adam = {"params": others, "lr": rate, "use_muon": False}
    return Muon([{**group, "weight_decay": decay} for group in (by_adam, by_muon)])


def train(
    model: nn.Module,
    loss_of_step: Callable[[nn.Module, int], dict[str, torch.Tensor]],
    settings: LoopSettings,
    run_folder: Path,
    on_save: Callable[[nn.Module, int], None],
    should_stop: Callable[[], bool] = lambda: False,
    matrices: Sequence[nn.Parameter] = (),
) -> int:
    """Train `model` until `settings.steps`, resuming from `run_folder` when it holds a state.

    Args:
        model: parameters with requires_grad are trained.
        loss_of_step: draws the batch of a step and returns named losses; "total" is minimised.
        settings: see LoopSettings.
        run_folder: state.pt (for resuming) and log.jsonl are kept here; a row of the log has the
            mean of each loss over the steps that had it.
        on_save: called with the averaged model and the step each time a state is saved.
        should_stop: asked before each step; True ends the run after saving.
        matrices: parameters for Muon, hidden layers' weights; the others are for AdamW.

    Returns:
        The last step reached.

    Raises:
        FloatingPointError: when the loss is not finite; nothing is saved after it.
        WeightsError: when the checkpoint to start from has nothing in common with the model.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    mixed = settings.bfloat16 and has_bfloat16("cuda" if torch.cuda.is_available() else "cpu")
    accelerator = Accelerator(mixed_precision="bf16" if mixed else "no")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(model, settings, matrices)
    peaks = [group["lr"] for group in optimizer.param_groups]
    state_path = run_folder / "state.pt"
    if state_path.is_file():
        state = torch.load(state_path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first_step: int = state["step"]
        average = state["average"]
        logger.info("resumed %s at step %d", run_folder, first_step)
    else:
        torch.manual_seed(settings.seed)
        if settings.start is not None:
            fresh = load_matching(model, settings.start)
            logger.info("%s did not fill: %s", settings.start, ", ".join(fresh) or "nothing")
        first_step = 0
        average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    raw = accelerator.unwrap_model(wrapped)
    average = {name: tensor.to(accelerator.device) for name, tensor in average.items()}

    def save(step: int) -> None:
        if not accelerator.is_main_process:
            return
        partial = state_path.with_suffix(".partial")
        torch.save(
            {
                "model": raw.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average,
                "step": step,
            },
            partial,
        )
        partial.replace(state_path)
        kept = {name: tensor.clone() for name, tensor in raw.state_dict().items()}
        if settings.average_decay > 0:
            raw.load_state_dict(average)
        on_save(raw, step)
        raw.load_state_dict(kept)
        raw.train()

    raw.train()
    began = last_save = time.monotonic()
    seen: dict[str, list[float]] = {}
    step = first_step
    with (run_folder / "log.jsonl").open("a") as log:
        while step < settings.steps and not should_stop():
            share = share_of_rate(step, settings)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * share
            # Around both ways: what is recomputed on the way back must take the same kernel.
            with _attention(accelerator.device):
                with accelerator.autocast():
                    losses = loss_of_step(wrapped, step)
                total = losses["total"]
                if not torch.isfinite(total):
                    raise FloatingPointError(
                        f"loss is {total.item()} at step {step}; lower the learning rate and "
                        "resume."
                    )
                optimizer.zero_grad(set_to_none=True)
                accelerator.backward(total)
            accelerator.clip_grad_norm_(parameters, settings.clip_norm)
            optimizer.step()
            step += 1
            decay = min(settings.average_decay, step / (step + 10))
            for name, tensor in raw.state_dict().items():
                if tensor.is_floating_point():
                    average[name].lerp_(tensor, 1 - decay)
                else:
                    average[name].copy_(tensor)
            for name, value in losses.items():
                seen.setdefault(name, []).append(value.item())
            if step % settings.log_every == 0:
                row = {name: fmean(values) for name, values in seen.items()}
                row |= {"step": step, "seconds": time.monotonic() - began, "rate": share}
                log.write(json.dumps(row) + "\n")
                log.flush()
                logger.info("%s", row)
                seen = {}
            if time.monotonic() - last_save > settings.save_seconds:
                save(step)
                last_save = time.monotonic()
    save(step)
    return step
