"""A stopped and resumed run is the run that was never stopped."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from finephys.training.loop import LoopSettings, make_optimizer, share_of_rate, train
from finephys.weights.checkpoints import save_module

SETTINGS = LoopSettings(steps=40, learning_rate=0.1, warmup=4, average_decay=0.8, log_every=10)


def loss_of_step(model: nn.Module, step: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, 3, generator=generator)
    return {"total": (model(x) - x.sum(1, keepdim=True)).square().mean()}


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def averaged(model: nn.Module, folder: Path, limit: int | None = None) -> torch.Tensor:
    kept: list[torch.Tensor] = []
    asked = iter(range(10_000))
    train(
        model,
        loss_of_step,
        SETTINGS,
        folder,
        lambda m, _: kept.append(m.weight.detach().clone()),
        lambda: limit is not None and next(asked) >= limit,
    )
    return kept[-1]


def test_resuming_changes_nothing(tmp_path: Path) -> None:
    whole = averaged(fresh(), tmp_path / "whole")
    averaged(fresh(), tmp_path / "parts", limit=17)
    parts = averaged(fresh(), tmp_path / "parts")
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)


def test_a_new_run_starts_from_a_checkpoint_and_a_resumed_one_does_not(tmp_path: Path) -> None:
    """Weights to start from would be ignored, or undo what an interrupted run has learned."""
    start = tmp_path / "start.safetensors"
    kept = fresh()
    with torch.no_grad():
        kept.weight.fill_(7)
    save_module(kept, start, {})
    settings = replace(SETTINGS, start=start)

    def first_weight(limit: int) -> float:
        model, seen, asked = fresh(), [], iter(range(100))

        def loss(model: nn.Module, step: int) -> dict[str, torch.Tensor]:
            seen.append(model.weight[0, 0].item())
            return loss_of_step(model, step)

        train(
            model, loss, settings, tmp_path / "run", lambda *_: None, lambda: next(asked) >= limit
        )
        return seen[0]

    assert first_weight(3) == 7
    assert first_weight(3) != 7


def test_it_learns_and_logs(tmp_path: Path) -> None:
    weight = averaged(fresh(), tmp_path)
    assert (weight - 1).abs().max() < 0.3
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30, 40]
    assert rows[-1]["total"] < rows[0]["total"] / 2


def test_a_loss_of_every_other_step_is_logged_as_large_as_it_is(tmp_path: Path) -> None:
    """Catches a mean over steps that did not have it: half of the truth."""

    def losses(model: nn.Module, step: int) -> dict[str, torch.Tensor]:
        rare = {"rare": torch.tensor(3.0)} if step % 2 else {}
        return {"total": model(torch.ones(1, 3)).square().sum(), **rare}

    train(fresh(), losses, SETTINGS, tmp_path, lambda *_: None)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["rare"] for row in rows] == [3.0] * len(rows)


def test_a_diverged_run_stops_and_saves_nothing(tmp_path: Path) -> None:
    def nan_loss(model: nn.Module, _: int) -> dict[str, torch.Tensor]:
        return {"total": model(torch.zeros(1, 3)).sum() * float("nan")}

    with pytest.raises(FloatingPointError, match="step 0"):
        train(fresh(), nan_loss, SETTINGS, tmp_path, lambda *_: None)
    assert not (tmp_path / "state.pt").exists()


def test_learning_rate_warms_up_and_falls() -> None:
    shares = [share_of_rate(step, SETTINGS) for step in range(41)]
    assert shares[0] == pytest.approx(1 / 4, rel=0.01)
    assert max(shares) <= 1
    assert shares[-1] == pytest.approx(SETTINGS.final_rate, rel=0.01)


class TwoLayers(nn.Sequential):
    """A convolution that Muon trains, and a linear layer that AdamW trains."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Conv1d(3, 8, 3), nn.Flatten(), nn.Linear(8, 1))


def two_layers_loss(model: nn.Module, step: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, 3, 3, generator=generator)
    return {"total": (model(x) - x.sum((1, 2))[:, None]).square().mean()}


def test_a_resumed_run_of_both_optimisers_is_the_same_run(tmp_path: Path) -> None:
    """The momentum of one of them would be lost, or the matrices change their optimiser."""

    def run(folder: Path, limit: int | None = None) -> dict[str, torch.Tensor]:
        model = TwoLayers()
        asked = iter(range(10_000))
        train(
            model,
            two_layers_loss,
            SETTINGS,
            folder,
            lambda *_: None,
            lambda: limit is not None and next(asked) >= limit,
            [model[0].weight],
        )
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
