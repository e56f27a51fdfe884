"""The one training loop: accelerate, Muon or AdamW, cosine rate, moving average, resume."""

import json
import logging
import math
import pickle
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Generic, NamedTuple, TextIO, TypeVar, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import send_to_device
from pytorch_optimizer import Muon
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from finephys.errors import FinePhysError, RequestError
from finephys.files import whole_file
from finephys.generator.memory import has_bfloat16
from finephys.weights.checkpoints import load_matching

logger = logging.getLogger(__name__)

STATE = "state.pt"
"""File of a run's folder that it is resumed from."""

Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch")
Tensors = tuple[Tensor, ...] | list[Tensor]


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
        seed: of all that is random.
        log_every: steps between log lines.
        save_seconds: wall time between saved states.
        bfloat16: multiply in it where the processor has units for that.
        start: checkpoint that a new run takes its weights from, as far as names and shapes agree;
            None: the model's own initial weights.
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


class DivergedError(FinePhysError):
    """The loss of a step is not finite."""


class Step(NamedTuple):
    """One step of one process.

    Attributes:
        number: optimiser steps made before it.
        draw: number of its batch among those of all processes; seeds numpy.
        seed: seeds torch. The loop seeds torch's global generator with it too, so that a resumed
            run draws what an uninterrupted one would.
        continued: whether the run began with another checkpoint's weights (LoopSettings.start).
    """

    number: int
    draw: int
    seed: int
    continued: bool = False


@dataclass(frozen=True)
class Task(Generic[Model, Batch]):
    """What a stage trains: the loop places all of it on the accelerator's device.

    Attributes:
        model: parameters with requires_grad are trained.
        draw: returns the batch of a step on the CPU: tensors, or tuples, lists and dictionaries of
            them.
        losses: returns named losses of a batch that the loop moved to the model's device; "total"
            is minimised.
        save: called with the averaged model and the step each time a state is saved.
        frozen: networks that `losses` reads and nothing trains.
        matrices: parameters for Muon, hidden layers' weights; the others are for AdamW.
    """

    model: Model
    draw: Callable[[Step], Batch]
    losses: Callable[[Model, Batch, Step], dict[str, Tensor]]
    save: Callable[[Model, int], None]
    frozen: Sequence[nn.Module] = ()
    matrices: Sequence[nn.Parameter] = ()


class Objective(nn.Module, Generic[Model, Batch]):
    """A model whose forward pass is its losses.

    accelerate wraps this and not the model: a distributed wrapper then sees every use of the
    parameters, whichever methods of the model the losses call.
    """

    def __init__(self, task: Task[Model, Batch]) -> None:
        super().__init__()
        self.model = task.model
        self._losses = task.losses

    def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Losses of one batch."""
        return self._losses(self.model, batch, step)


def _attention(device: torch.device) -> AbstractContextManager[object]:
    """Attention without the CPU's fused kernel, whose backward pass is forty times as slow."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def lr_multiplier(step: int, settings: LoopSettings) -> float:
    """Share of the peak rate at a step in [0, settings.steps].

    Design choice: linear warm-up times a cosine over the whole run; the supplement names an initial
    rate and no schedule. torch's and transformers' schedules begin their cosine after the warm-up,
    so that they would resume an interrupted run at another rate.
    """
    warm = min(1.0, (step + 1) / max(settings.warmup, 1))
    progress = min(step / max(settings.steps, 1), 1.0)
    cosine = 0.5 + 0.5 * math.cos(math.pi * progress)
    floor = settings.final_rate
    return warm * (floor + (1 - floor) * cosine)


def inner_matrices(model: nn.Module, outer: AbstractSet[nn.Module]) -> list[nn.Parameter]:
    """Trainable weights of the convolutions and linear layers not in `outer`, for Muon.

    Args:
        model: the network.
        outer: its first and last layers, which Muon would train badly.
    """
    return [
        parameter
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in outer
        for name, parameter in module.named_parameters(recurse=False)
        if name == "weight" and parameter.requires_grad
    ]


def make_optimizer(
    model: nn.Module, settings: LoopSettings, matrices: Sequence[nn.Parameter]
) -> torch.optim.Optimizer:
    """Muon for `matrices` and AdamW for the other trainable parameters of a model.

    Design choice: Muon (Jordan et al. 2024, momentum made orthogonal by Newton-Schulz) where most
    of a network is hidden convolutions and linear layers: on the video generator it reached in 150
    steps what AdamW had not in 270 (PyPI's `pytorch-optimizer`, since torch's own takes no
    convolution). Design choice: AdamW, with decoupled decay, where the supplement says Adam.
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


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a model's parameters and floating-point buffers.

    Args:
        model: copied as it is now.
        decay: share that the average keeps of itself at each update.
    """

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # class ids and counters have no average
            torch._foreach_copy_(averaged, current)
            return
        # Early on an average of the whole run: the initial weights would otherwise dominate it.
        step = int(count) + 1
        mean = get_ema_multi_avg_fn(min(decay, step / (step + 10)))  # type: ignore[no-untyped-call]
        mean(averaged, current, count)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def check_start(start: Path | None, run_folder: Path) -> None:
    """Raise RequestError when a run to resume is there and weights to start from are given too."""
    if start is not None and (run_folder / STATE).is_file():
        raise RequestError(
            f"--start {start} cannot be used: {run_folder} already holds a run; leave --start out "
            "to resume it, or name another folder with --run FOLDER to begin a new one."
        )


def _read_state(run_folder: Path) -> dict[str, Any] | None:
    """The saved state of a run, None for a new one."""
    path = run_folder / STATE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise RequestError(
            f"{path} cannot be read ({str(error).splitlines()[0]}); delete it to train from the "
            "beginning."
        ) from error
    return state


def _restore(state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load a state and return its step."""
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step: int = state["step"]
    except (KeyError, RuntimeError, ValueError) as error:
        raise RequestError(
            f"the saved run does not fit this model ({str(error).splitlines()[0]}); name another "
            "folder with --run FOLDER to begin a new one."
        ) from error
    return step


class _Log:
    """Rows of log.jsonl: the mean of each loss over the steps that had it."""

    def __init__(self, file: TextIO | None, every: int) -> None:
        self._file = file
        self._every = every
        self._began = time.monotonic()
        self._values: dict[str, list[float]] = {}

    def add(self, step: int, rate: float, losses: dict[str, Tensor]) -> None:
        """Take the losses of a step; write a row after every `every` steps."""
        for name, value in losses.items():
            self._values.setdefault(name, []).append(value.item())
        if step % self._every or self._file is None:
            return
        row = {name: fmean(values) for name, values in self._values.items()}
        row |= {"step": step, "seconds": time.monotonic() - self._began, "rate": rate}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        logger.info("%s", row)
        self._values = {}


def train(
    task: Task[Model, Batch],
    settings: LoopSettings,
    run_folder: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train until `settings.steps`, resuming from `run_folder` when it holds a state.

    Under `accelerate launch` each process draws its own batches; the first one logs and saves.

    Args:
        task: what to train.
        settings: see LoopSettings.
        run_folder: STATE and log.jsonl are kept here.
        should_stop: called before each step; True ends the run after saving.

    Returns:
        The last step reached.

    Raises:
        DivergedError: when the loss is not finite; nothing is saved after it.
        RequestError: when `settings.start` is given and `run_folder` holds a state, or the state
            does not fit the model.
        WeightsError: when the checkpoint to start from has nothing in common with the model.
    """
    check_start(settings.start, run_folder)
    run_folder.mkdir(parents=True, exist_ok=True)
    mixed = settings.bfloat16 and has_bfloat16("cuda" if torch.cuda.is_available() else "cpu")
    accelerator = Accelerator(
        mixed_precision="bf16" if mixed else "no",
        # Single frames use no motion modules; several processes would wait for their gradients.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    model = task.model
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(model, settings, task.matrices)
    peaks = [group["lr"] for group in optimizer.param_groups]
    state = _read_state(run_folder)
    start = str(settings.start) if settings.start else None
    step = 0
    if state is not None:
        step, start = _restore(state, model, optimizer), state.get("start")
        logger.info("resumed %s at step %d", run_folder, step)
        if step >= settings.steps:
            logger.warning("its %d steps are made; --steps beyond them trains on", settings.steps)
    elif settings.start is not None:
        unfilled = load_matching(model, settings.start)
        logger.info("%s did not fill: %s", settings.start, ", ".join(unfilled) or "nothing")

    for network in task.frozen:
        network.to(accelerator.device)
    objective, optimizer = accelerator.prepare(Objective(task), optimizer)
    average = moving_average(model, settings.average_decay) if settings.average_decay else None
    if average is not None and state is not None and state.get("average") is not None:
        average.module.load_state_dict(state["average"])
        average.n_averaged.fill_(step)
    del state  # as large as model, optimiser and average together

    def save() -> None:
        if not accelerator.is_main_process:
            return
        with whole_file(run_folder / STATE) as partial:
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "average": average.module.state_dict() if average else None,
                    "step": step,
                    "start": start,
                },
                partial,
            )
        task.save(cast(Model, average.module) if average else model, step)

    model.train()
    last_save = time.monotonic()
    log_path = run_folder / "log.jsonl"
    with log_path.open("a") if accelerator.is_main_process else nullcontext() as file:
        log = _Log(file, settings.log_every)
        while step < settings.steps and not should_stop():
            rate = lr_multiplier(step, settings)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
            draw = step * accelerator.num_processes + accelerator.process_index
            this = Step(step, draw, settings.seed * 1_000_003 + draw, start is not None)
            torch.manual_seed(this.seed)
            batch = send_to_device(task.draw(this), accelerator.device)
            # Around both passes: gradient checkpointing must recompute with the same kernel.
            with _attention(accelerator.device):
                losses = objective(batch, this)
                total = losses["total"]
                if not torch.isfinite(total):
                    raise DivergedError(
                        f"training diverged: the loss is {total.item()} at step {step}; the same "
                        "command resumes from the last saved state, and a lower learning rate in "
                        "the stage's LoopSettings makes it less likely."
                    )
                optimizer.zero_grad(set_to_none=True)
                accelerator.backward(total)
            accelerator.clip_grad_norm_(parameters, settings.clip_norm)
            optimizer.step()
            step += 1
            if average is not None:
                average.update_parameters(model)
            log.add(step, rate, losses)
            if time.monotonic() - last_save > settings.save_seconds:
                save()
                last_save = time.monotonic()
    save()
    return step
