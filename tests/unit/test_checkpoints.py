"""Weights come back exactly as saved, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from finephys.errors import WeightsError, WeightsMissingError
from finephys.generator.diffusion import Generator
from finephys.pose3d.lifting import Lifter
from finephys.pose3d.physics.physnet import PhysNet
from finephys.weights.checkpoints import (
    ROOT_VARIABLE,
    checkpoint_path,
    load_matching,
    load_module,
    read_config,
    save_module,
    save_tensors,
)


def test_saved_and_loaded_are_equal(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    save_module(first, path, {"width": 4})
    load_module(second, path)
    torch.testing.assert_close(second.weight, first.weight.half().float(), rtol=0, atol=0)
    assert read_config(path) == {"width": 4}
    assert not second.training
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("other", [nn.Linear(5, 3), nn.Sequential(nn.Linear(4, 3))])
def test_another_architecture_is_refused(other: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_module(nn.Linear(4, 3), path, {})
    with pytest.raises(WeightsError, match="does not fit"):
        load_module(other, path)


def test_a_start_takes_what_agrees_and_names_the_rest(tmp_path: Path) -> None:
    """A layer that silently stays random, or one of another shape that ends the training."""
    path = tmp_path / "m.safetensors"
    saved = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    save_module(saved, path, {}, half=False)
    wider = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5), nn.Linear(5, 1))
    before = wider[1].weight.clone()
    fresh = load_matching(wider, path)
    assert fresh == ["1.bias", "1.weight", "2.bias", "2.weight"]
    assert torch.equal(wider[0].weight, saved[0].weight)
    assert torch.equal(wider[1].weight, before)
    with pytest.raises(WeightsError, match="leave it out to start from random weights"):
        load_matching(nn.Linear(7, 7), path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_module(nn.Linear(40, 30), path, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        load_module(nn.Linear(40, 30), path)
    with pytest.raises(WeightsError):
        read_config(path)


def test_nan_is_never_written(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.weight[0, 0] = float("nan")
    with pytest.raises(WeightsError, match="NaN"):
        save_module(module, tmp_path / "m.safetensors", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metadata", [None, {}, {"config": ""}, {"config": "{"}, {"config": "[1]"},
                                      {"config": "null"}, {"config": "[" * 100_000}])  # fmt: skip
def test_a_configuration_that_is_no_json_object_is_refused(
    metadata: dict[str, str] | None, tmp_path: Path
) -> None:
    """Catches a traceback out of the JSON reader."""
    path = tmp_path / "m.safetensors"
    save_file({"weight": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"m\.safetensors has no configuration in JSON"):
        read_config(path)


@pytest.mark.parametrize("config", [
    {}, {"size": None}, {"size": {}}, {"size": {"layers": "two"}}, {"size": {"unknown": 1}},
    {"dynamics": None}, {"dynamics": ["euler-lagrange"]}, {"dynamics": ["?"], "default": "?"},
    {"dynamics": 3, "default": "free"}, {"default": "free"}, {"network": 3, "lora": 4, "base": 5},
])  # fmt: skip
@pytest.mark.parametrize("name", ["lifting", "physnet", "generator"])
def test_a_configuration_that_fits_no_model_is_one_sentence(
    name: str, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches tracebacks of fields that are missing or of another type, wherever they are read."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    path = tmp_path / "tiny" / f"{name}.safetensors"
    save_tensors({"weight": torch.zeros(1)}, path, config)
    load: Callable[[], object] = {
        "lifting": lambda: Lifter.load("tiny"),
        "physnet": lambda: PhysNet.load("tiny"),
        "generator": lambda: Generator.load("tiny"),
    }[name]
    with pytest.raises(WeightsError, match=rf"{name}\.safetensors .*(fetch or )?train it again"):
        load()


def test_missing_weights_name_the_command_and_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    with pytest.raises(WeightsMissingError, match=r"python -m finephys fetch sd15.*CHECKPOINTS"):
        checkpoint_path("sd15", "generator")
    with pytest.raises(WeightsMissingError, match=r"train lifting.*folder in FINEPHYS_CHECKPOINTS"):
        checkpoint_path("tiny", "lifting")
    monkeypatch.delenv(ROOT_VARIABLE)
    with pytest.raises(WeightsMissingError, match="another folder, set FINEPHYS_CHECKPOINTS"):
        checkpoint_path("sd15", "generator")
