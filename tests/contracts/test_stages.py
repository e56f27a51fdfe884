"""Every stage of training: where it computes, and --start beside a saved run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copy, copytree

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finephys import config
from finephys.actions import ACTIONS
from finephys.config import TINY_GENERATOR
from finephys.errors import RequestError
from finephys.skeleton import FRAMES, JOINTS
from finephys.training import adaptation, loop, stages
from finephys.training.lifting import standing
from finephys.training.loop import Step
from finephys.training.poses import PoseData
from finephys.training.stages import STAGES, train_stage
from finephys.types import WorldMotion
from finephys.weights.checkpoints import ROOT_VARIABLE, checkpoints_root
from finephys.weights.lock import FOLDER_VARIABLE
from tests.narrow import SD15

META = torch.device("meta")
"""A device of every machine with torch: any operation on it and on the CPU together is an error."""

SHIPPED = checkpoints_root() / "tiny"


class Reached(Exception):
    """The losses of a first batch were computed."""


class MetaAccelerator:
    """accelerate on a machine whose GPU is the `meta` device, stopped after the first batch."""

    device = META
    is_main_process = True
    num_processes = 1
    process_index = 0

    def __init__(self, **_: object) -> None:
        """Takes what accelerate takes."""

    def prepare(self, model: nn.Module, optimizer: object) -> tuple[nn.Module, object]:
        model.to(META)
        model.register_forward_hook(self._look)
        return model, optimizer

    @staticmethod
    def _look(model: nn.Module, given: tuple[object, ...], losses: dict[str, Tensor]) -> None:
        names = [*model.named_parameters(), *model.named_buffers()]
        assert names
        left = [name for name, tensor in names if tensor.device != META]
        assert not left, f"not on the device: {left}"
        batch = list(tensors_in(given))
        assert batch
        assert all(tensor.device == META for tensor in batch)
        assert losses["total"].device == META
        raise Reached


def tensors_in(value: object) -> Iterator[Tensor]:
    """Tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)


def swaying(seed: int, action: int | None) -> WorldMotion:
    """A standing body that sways, two seconds at 30 frames a second."""
    rng = np.random.default_rng(seed)
    body = standing().astype(np.float64) * 1.6
    upright = np.stack([body[:, 2], -body[:, 0], -body[:, 1]], -1) + np.array([0, 0, 1])
    sway = np.cumsum(rng.normal(0, 0.01, (60, len(JOINTS), 3)), 0)
    joints = (upright + sway).astype(np.float32)
    return WorldMotion(joints, 30.0, np.zeros(60, np.bool_), action, "test")


@pytest.fixture(scope="module")
def motions() -> PoseData:
    simulated = [swaying(100 * s + a.id, a.id) for a in ACTIONS for s in range(4)]
    return PoseData([swaying(seed, None) for seed in range(3)], simulated)


def random_clips(folder: Path, count: int, size: int) -> Path:
    """One file of noise in the form of rendered clips, joints inside the picture."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, FRAMES, size, size)
    noise = rng.integers(0, 255, (*shape, 3), np.uint8)
    np.savez(
        folder / "clips_000000.npz",
        frames=noise,
        silhouette=rng.random(shape) < 0.5,
        behind=noise,
        xy=rng.uniform(0, size, (count, FRAMES, len(JOINTS), 2)).astype(np.float32),
        prompt=np.array(["A person jumps."] * count),
        action=np.zeros(count, np.int64),
    )
    return folder


@pytest.fixture
def ready(
    tmp_path: Path, motions: PoseData, public_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder whose checkpoints hold what each stage starts from; all data are small."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(public_weights))
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "checkpoints"))
    monkeypatch.setitem(config.TIERS, "sd15", SD15)
    data = {
        stages.read_poses: motions,
        stages.tiny_clips: random_clips(tmp_path / "tiny", 32, TINY_GENERATOR.size),
        stages.sd15_clips: random_clips(tmp_path / "sd15", 3, SD15.size),
    }
    for name, stage in STAGES.items():
        small = replace(stage, read=lambda _, stage=stage: data[stage.read])
        monkeypatch.setitem(STAGES, name, small)
    # Copies: a stage that went on to save would write through a link into the shipped weights.
    tiny = tmp_path / "checkpoints" / "tiny"
    copytree(SHIPPED / "tokenizer", tiny / "tokenizer")
    for name in ("autoencoder", "lifting", "physnet"):
        copy(SHIPPED / f"{name}.safetensors", tiny)
    return tmp_path


# The generator's steps are of single frames or of clips; all other stages' steps are alike.
STEPS = [(name, 0) for name in STAGES] + [("generator", 1)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "number"), STEPS)
def test_all_that_a_stage_computes_with_is_on_the_accelerator(
    ready: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """Catches batches, constants and frozen networks that stay on the CPU beside a GPU."""
    if name == "sd15":  # its encoder is made by stage 1; an untrained one is on the same device
        (ready / "checkpoints" / "sd15").mkdir()
        (ready / "checkpoints" / "sd15" / "sd15-encoder.safetensors").touch()
        monkeypatch.setattr(adaptation, "load_trained", lambda *_: None)
    monkeypatch.setattr(loop, "Accelerator", MetaAccelerator)
    monkeypatch.setattr(loop, "Step", lambda _, *rest: Step(number, *rest))
    with pytest.raises(Reached):
        train_stage(name, ready / "run", capture=ready, steps=1)


@pytest.mark.parametrize("name", STAGES)
def test_start_beside_a_saved_run_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Catches an option that is read and not obeyed: the saved run would go on with its weights."""

    def work(_: object) -> None:
        raise AssertionError("data were read")

    stage = replace(STAGES[name], read=work, starts_from=())
    monkeypatch.setitem(STAGES, name, stage)
    start = tmp_path / "start.safetensors"
    start.touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / loop.STATE).touch()
    with pytest.raises(RequestError, match=r"leave --start out") as refused:
        train_stage(name, tmp_path / "run", tmp_path / "out.safetensors", tmp_path, start)
    assert str(tmp_path / "run") in str(refused.value)
    assert not (tmp_path / "out.safetensors").exists()
