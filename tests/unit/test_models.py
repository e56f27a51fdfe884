"""The models of a pipeline: their device, their weights, and what is unloaded."""

import shutil
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from finephys.errors import RequestError, WeightsError, WeightsMissingError
from finephys.generator.memory import memory_within
from finephys.models import Models
from finephys.weights.checkpoints import ROOT_VARIABLE, checkpoints_root, save_tensors


@pytest.mark.parametrize(
    ("gpus", "asked", "found"),
    [(0, "auto", "cpu"), (1, "auto", "cuda"), (1, "cpu", "cpu"), (1, "cuda", "cuda"),
     (2, "cuda:1", "cuda:1")],
)  # fmt: skip
def test_a_device_that_is_there_is_taken(
    gpus: int, asked: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert Models("tiny", asked).device == found


@pytest.mark.parametrize(
    ("gpus", "asked", "said"),
    [
        (0, "cuda", "sees 0 GPUs.*auto or cpu"),
        (2, "cuda:2", "'cuda:2'.*sees 2 GPUs"),
        (1, "tpu", "'tpu' does not exist; choose auto, cpu or cuda"),
        (1, "cuda:first", "does not exist"),
        (1, "cuda:", "does not exist"),
        (1, "cuda:00", "does not exist"),
        (4, "cuda:\u0663", "does not exist"),
    ],
)
def test_a_device_that_is_not_there_is_said(
    gpus: int, asked: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a traceback out of torch, and a CPU that steps in for hours."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(RequestError, match=said):
        _ = Models("tiny", asked).device


def test_the_previous_generator_is_gone_before_the_next_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches offloaded modules kept alive by their hooks, so that the next one finds no memory."""
    models = Models("tiny", "cpu")
    network = nn.ModuleDict({name: nn.Linear(1, 1) for name in ("unet", "text_encoder")})
    kept = [weakref.ref(part) for part in network.values()]
    placed = memory_within(4, torch.float32).place(network, "cpu")
    models.generators["sd15-controlnet"] = placed  # type: ignore[assignment]
    del network, placed
    found: list[bool] = []

    def load(name: str, device: str) -> object:
        found.extend(part() is None for part in kept)
        return object()

    monkeypatch.setattr("finephys.generator.load_generator", load)
    models.generator("tiny")
    assert found == [True, True]
    assert list(models.generators) == ["tiny"]


@pytest.mark.parametrize("name", ["lifting", "physnet", "projection", "generator"])
def test_missing_and_damaged_weights_are_found_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a checkpoint that is opened only after a minute of pose detection."""
    shutil.copytree(checkpoints_root() / "tiny", tmp_path / "tiny")
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    models = Models("tiny", "cpu")
    assert models.missing("tiny") is None
    path = tmp_path / "tiny" / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=name):
        models.checkpoints("tiny")
    assert name in str(models.missing("tiny"))
    path.unlink()
    save_tensors({"weight": torch.zeros(1)}, path, {})
    path.write_bytes(path.read_bytes().replace(b"{}", b"{:"))
    with pytest.raises(WeightsError, match=name):
        models.checkpoints("tiny")
    path.unlink()
    with pytest.raises(WeightsMissingError, match=f"{name}.*FINEPHYS_CHECKPOINTS"):
        models.checkpoints("tiny")


def test_the_trained_tier_needs_its_public_base_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches weights of sd15 without Stable Diffusion, found missing after the poses."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.delenv("FINEPHYS_WEIGHTS", raising=False)
    monkeypatch.delenv("HF_HOME", raising=False)
    shutil.copytree(Path("checkpoints/tiny"), tmp_path / "tiny")
    save_tensors({"weight": torch.zeros(1)}, tmp_path / "sd15" / "generator.safetensors", {"a": 1})
    with pytest.raises(WeightsMissingError, match="python -m finephys fetch sd15"):
        Models("tiny", "cpu").checkpoints("sd15")
