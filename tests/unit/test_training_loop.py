"""A stopped and resumed run is the run that was never stopped."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from finephys.errors import RequestError
from finephys.training.loop import (
    STATE,
    DivergedError,
    LoopSettings,
    Step,
    Task,
    lr_multiplier,
    make_optimizer,
    moving_average,
    train,
)
from finephys.weights.checkpoints import save_module

SETTINGS = LoopSettings(steps=40, learning_rate=0.1, warmup=4, average_decay=0.8, log_every=10)


def draw(step: Step) -> Tensor:
    return torch.randn(16, 3, generator=torch.Generator().manual_seed(step.draw))


def losses(model: nn.Module, x: Tensor, _: Step) -> dict[str, Tensor]:
    return {"total": (model(x) - x.sum(1, keepdim=True)).square().mean()}


def task_of(model: nn.Module, save: Callable[[nn.Module, int], None] = lambda *_: None) -> Task:
    return Task(model, draw, losses, save)


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def stop_after(limit: int | None) -> Callable[[], bool]:
    steps = iter(range(10_000))
    return lambda: limit is not None and next(steps) >= limit


def averaged(model: nn.Module, folder: Path, limit: int | None = None) -> Tensor:
    kept: list[Tensor] = []
    task = task_of(model, lambda m, _: kept.append(m.weight.detach().clone()))
    train(task, SETTINGS, folder, stop_after(limit))
    return kept[-1]


def test_resuming_changes_nothing(tmp_path: Path) -> None:
    whole = averaged(fresh(), tmp_path / "whole")
    averaged(fresh(), tmp_path / "parts", limit=17)
    parts = averaged(fresh(), tmp_path / "parts")
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)


def test_a_run_saved_before_torchs_own_average_resumes(tmp_path: Path) -> None:
    """Catches states of earlier versions, of hours of training, that can no longer be resumed."""
    whole = averaged(fresh(), tmp_path / "whole")
    averaged(fresh(), tmp_path / "parts", limit=17)
    path = tmp_path / "parts" / STATE
    state = torch.load(path, weights_only=True)
    old = {name: state[name] for name in ("model", "optimizer", "average", "step")}
    assert old["average"].keys() == old["model"].keys()
    torch.save(old, path)
    torch.testing.assert_close(averaged(fresh(), tmp_path / "parts"), whole, rtol=0, atol=0)


def test_the_average_is_that_of_the_run_so_far_and_keeps_whole_numbers() -> None:
    """Catches initial weights that dominate, and class ids rounded down by an average."""
    model = nn.Linear(1, 1)
    model.register_buffer("classes", torch.arange(200))
    average = moving_average(model, 0.998)
    expected = 1.0  # torch's average is the first model it is given
    for step in range(1, 31):
        with torch.no_grad():
            model.weight.fill_(step)
        average.update_parameters(model)
        decay = min(0.998, step / (step + 10))
        expected = expected * decay + step * (1 - decay)
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
    assert expected > 20
    assert torch.equal(average.module.classes, torch.arange(200))


def test_a_run_starts_from_a_checkpoint_and_its_resumed_part_remembers_that(
    tmp_path: Path,
) -> None:
    """Catches weights to start from that are ignored, and a plan that changes when resumed."""
    start = tmp_path / "start.safetensors"
    kept = fresh()
    with torch.no_grad():
        kept.weight.fill_(7)
    save_module(kept, start, {})

    def first(settings: LoopSettings, limit: int) -> tuple[float, Step]:
        seen: list[tuple[float, Step]] = []

        def watched(model: nn.Module, x: Tensor, step: Step) -> dict[str, Tensor]:
            seen.append((model.weight[0, 0].item(), step))
            return losses(model, x, step)

        task = Task(fresh(), draw, watched, lambda *_: None)
        train(task, settings, tmp_path / "run", stop_after(limit))
        return seen[0]

    started = replace(SETTINGS, start=start)
    weight, step = first(started, 3)
    assert weight == 7
    assert (step.number, step.continued) == (0, True)
    before = (tmp_path / "run" / STATE).read_bytes()
    with pytest.raises(RequestError, match="already holds a run"):
        first(started, 3)
    assert (tmp_path / "run" / STATE).read_bytes() == before
    weight, step = first(SETTINGS, 3)
    assert weight != 7
    assert (step.number, step.continued) == (3, True)


@pytest.mark.parametrize("damage", ["cut", "another model"])
def test_a_state_that_cannot_be_resumed_is_named(tmp_path: Path, damage: str) -> None:
    """Catches a traceback of pickle for a person, and a run that begins anew without a word."""
    averaged(fresh(), tmp_path, limit=2)
    path = tmp_path / STATE
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(RequestError, match=r"from the beginning|new one"):
        train(task_of(nn.Linear(3, 2)), SETTINGS, tmp_path)


def test_it_learns_and_logs(tmp_path: Path) -> None:
    weight = averaged(fresh(), tmp_path)
    assert (weight - 1).abs().max() < 0.3
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30, 40]
    assert rows[-1]["total"] < rows[0]["total"] / 2


def test_a_loss_of_every_other_step_is_logged_as_large_as_it_is(tmp_path: Path) -> None:
    """Catches a mean over steps that did not have it: half of the truth."""

    def some(model: nn.Module, x: Tensor, step: Step) -> dict[str, Tensor]:
        rare = {"rare": torch.tensor(3.0)} if step.number % 2 else {}
        return {"total": model(x).square().sum(), **rare}

    train(Task(fresh(), draw, some, lambda *_: None), SETTINGS, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["rare"] for row in rows] == [3.0] * len(rows)


def test_a_diverged_run_stops_and_saves_nothing(tmp_path: Path) -> None:
    def not_finite(model: nn.Module, x: Tensor, _: Step) -> dict[str, Tensor]:
        return {"total": model(x).sum() * float("nan")}

    with pytest.raises(DivergedError, match="step 0"):
        train(Task(fresh(), draw, not_finite, lambda *_: None), SETTINGS, tmp_path)
    assert not (tmp_path / STATE).exists()


def test_learning_rate_warms_up_and_falls() -> None:
    shares = [lr_multiplier(step, SETTINGS) for step in range(41)]
    assert shares[0] == pytest.approx(1 / 4, rel=0.01)
    assert max(shares) <= 1
    assert shares[-1] == pytest.approx(SETTINGS.final_rate, rel=0.01)


class TwoLayers(nn.Sequential):
    """A convolution that Muon trains, and a linear layer that AdamW trains."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Conv1d(3, 8, 3), nn.Flatten(), nn.Linear(8, 1))


def windows(step: Step) -> Tensor:
    return torch.randn(16, 3, 3, generator=torch.Generator().manual_seed(step.draw))


def two_layers_losses(model: nn.Module, x: Tensor, _: Step) -> dict[str, Tensor]:
    return {"total": (model(x) - x.sum((1, 2))[:, None]).square().mean()}


def test_a_resumed_run_of_both_optimisers_is_the_same_run(tmp_path: Path) -> None:
    """Catches the momentum of one of them lost, and matrices that change their optimiser."""

    def run(folder: Path, limit: int | None = None) -> dict[str, Tensor]:
        model = TwoLayers()
        matrices = [model[0].weight]
        task = Task(model, windows, two_layers_losses, lambda *_: None, matrices=matrices)
        train(task, SETTINGS, folder, stop_after(limit))
        return model.state_dict()

    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", limit=17)
    for name, tensor in run(tmp_path / "parts").items():
        torch.testing.assert_close(tensor, whole[name], rtol=0, atol=0)


def test_every_parameter_has_one_optimiser() -> None:
    model = TwoLayers()
    groups = make_optimizer(model, SETTINGS, [model[0].weight]).param_groups
    shared = [[id(parameter) for parameter in group["params"]] for group in groups]
    assert shared[1] == [id(model[0].weight)]
    assert sorted(shared[0] + shared[1]) == sorted(id(p) for p in model.parameters())
    assert [group["lr"] for group in groups] == [SETTINGS.learning_rate, SETTINGS.matrix_rate]
