"""The pose stages of training, a few steps each, from motions made for the test."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finephys.actions import ACTIONS
from finephys.data.pose_windows import WindowSettings
from finephys.errors import RequestError, WeightsError
from finephys.pose3d.lifting import Lifter
from finephys.pose3d.physics import PhysNet
from finephys.pose3d.projection import Projection
from finephys.skeleton import JOINTS
from finephys.training.lifting import (
    BANK_MOTIONS,
    LIFTING_LOOP,
    TrainingWindows,
    drop_action_labels,
    lifting_losses,
    lifting_target,
    standing,
    train_lifting,
)
from finephys.training.lifting import normalise as normalised
from finephys.training.loop import LoopSettings
from finephys.training.physics import LiftedWindows, state_of, train_physnet, train_projection
from finephys.training.poses import PoseData, with_certain_flight
from finephys.training.stages import STAGES, train_stage
from finephys.types import WorldMotion
from finephys.weights.checkpoints import ROOT_VARIABLE

STEPS = LoopSettings(steps=2, learning_rate=1e-3, log_every=1)


def motion(seed: int, action: int | None) -> WorldMotion:
    """A standing body that sways, at 30 frames a second for two seconds."""
    rng = np.random.default_rng(seed)
    body = standing().astype(np.float64) * 1.6
    upright = np.stack([body[:, 2], -body[:, 0], -body[:, 1]], -1) + np.array([0, 0, 1])
    sway = np.cumsum(rng.normal(0, 0.01, (60, len(JOINTS), 3)), 0)
    joints = (upright + sway).astype(np.float32)
    return WorldMotion(joints, 30.0, np.zeros(60, np.bool_), action, "test")


@pytest.fixture(scope="module")
def data() -> PoseData:
    return PoseData(
        [motion(seed, None) for seed in range(3)],
        [motion(100 * seed + action.id, action.id) for action in ACTIONS for seed in range(4)],
    )


@pytest.fixture(scope="module")
def trained(data: PoseData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose "tier" holds all three checkpoints after two steps each."""
    folder = tmp_path_factory.mktemp("trained")
    tier = folder / "tier"
    lifting, physnet = tier / "lifting.safetensors", tier / "physnet.safetensors"
    assert train_lifting(folder / "l", lifting, data, STEPS, batch_size=4) == 2
    assert train_physnet(folder / "p", physnet, data, STEPS, lifting, batch_size=4) == 2
    out = tier / "projection.safetensors"
    assert train_projection(folder / "q", out, data, STEPS, lifting, physnet, batch_size=4) == 2
    return folder


def test_every_stage_writes_weights_that_load(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a checkpoint its own stage cannot read, and losses the table does not name."""
    monkeypatch.setenv(ROOT_VARIABLE, str(trained))
    lifter = Lifter.load("tier")
    assert not np.array_equal(lifter.prior(24), lifter.prior(None))
    assert PhysNet.load("tier").dynamics == "euler-lagrange"
    Projection.load("tier")
    for run, stage in (("l", "lifting"), ("p", "physnet"), ("q", "projection")):
        row = json.loads((trained / run / "log.jsonl").read_text().splitlines()[-1])
        for loss in STAGES[stage].losses:
            assert any(name.endswith(loss) for name in row), (stage, loss)


def test_the_true_pose_costs_the_lifter_nothing(data: PoseData) -> None:
    """Catches a target in other units than the output it is compared with."""
    windows = TrainingWindows(data, WindowSettings())
    batch = windows.draw(32, np.random.default_rng(0))
    inputs = normalised(batch["xy"], batch["score"], batch["dt"])
    perfect = lifting_losses(lifting_target(batch, inputs), batch, inputs)
    assert perfect["total"] < 0.01
    still = lifting_losses(torch.randn_like(batch["body"]), batch, inputs)
    assert still["pose"] > 0.1


def test_prompts_come_from_motions_that_are_not_trained_on(data: PoseData) -> None:
    """Catches a query that finds itself in the bank: at inference no query ever does."""
    windows = TrainingWindows(data, WindowSettings())
    assert len(windows.bank) == BANK_MOTIONS * len(ACTIONS)
    drawn = {id(motion) for motion in windows.sampler.motions}
    assert not drawn & {id(motion) for motion in windows.bank}
    with pytest.raises(WeightsError, match="too few motions of class 40"):
        TrainingWindows(PoseData(data.captured, data.simulated[:-1]), WindowSettings())


def test_half_of_the_known_classes_are_dropped() -> None:
    """Catches a lifter that is never trained without, or never with, the action's name."""
    action = torch.tensor([0, 7] * 200)
    kept = drop_action_labels(action, np.random.default_rng(0))
    assert set(kept.tolist()) == {0, 7}
    assert 60 < int((kept == 7).sum()) < 140


def test_the_true_path_lies_where_true_detections_do(data: PoseData, trained: Path) -> None:
    """Catches an offset between PhysNet's coordinates and the truth it is trained on."""
    windows = LiftedWindows(
        data, WindowSettings(level=(0.0, 0.0), augment=False), trained / "tier/lifting.safetensors"
    )
    batch = windows.draw(16, np.random.default_rng(0))
    _, root = windows.lift(batch)
    state, truth = state_of(batch, batch["body"], batch["root"])
    far = batch["inverse_distance"] < 0.1
    gap = (state.detected - truth[..., :2]).norm(dim=-1)[far]
    assert gap.mean() < 0.06
    assert (state.lifted - truth)[far].norm(dim=-1).mean() < 0.06
    assert root.shape == batch["root"].shape


def test_stages_name_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches training that starts from nothing where it should start from a checkpoint."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "checkpoints"))
    with pytest.raises(RequestError, match="choose one of"):
        train_stage("everything", tmp_path, tmp_path / "x.safetensors", tmp_path)
    with pytest.raises(RequestError, match="train lifting"):
        train_stage("physnet", tmp_path, tmp_path / "physnet.safetensors", tmp_path)
    with pytest.raises(RequestError, match="--capture"):
        train_stage("lifting", tmp_path, tmp_path / "lifting.safetensors", None)
    with pytest.raises(RequestError, match="--steps is 0"):
        train_stage("lifting", tmp_path, tmp_path / "lifting.safetensors", tmp_path, steps=0)


def test_a_stage_starts_from_what_is_beside_its_checkpoint_or_else_in_the_tier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches --out in an empty folder, which left no way to train on from shipped weights."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "checkpoints"))
    own, beside = (tmp_path / name / "lifting.safetensors" for name in ("checkpoints/tiny", "mine"))
    given: list[Path] = []
    monkeypatch.setitem(STAGES, "physnet", replace(STAGES["physnet"], read=lambda _: None))
    monkeypatch.setattr(
        "finephys.training.physics.train_physnet",
        lambda run, out, data, settings, lifting: given.append(lifting),
    )
    for path in (own, beside):
        path.parent.mkdir(parents=True)
        path.touch()
        train_stage("physnet", tmp_path / "run", tmp_path / "mine/physnet.safetensors", tmp_path)
    assert given == [own, beside]


def test_a_stage_trains_as_long_as_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches --steps that is read and forgotten."""
    given: list[LoopSettings] = []
    monkeypatch.setitem(STAGES, "lifting", replace(STAGES["lifting"], read=lambda _: None))
    monkeypatch.setattr(
        "finephys.training.lifting.train_lifting",
        lambda run, out, data, settings: given.append(settings),
    )
    for steps in (7, None):
        train_stage("lifting", tmp_path, tmp_path / "x.safetensors", tmp_path, steps=steps)
    assert [each.steps for each in given] == [7, LIFTING_LOOP.steps]


def test_captured_flight_is_kept_only_where_the_body_falls() -> None:
    """Catches a person who hangs from a bar taken for one in the air."""
    time = np.arange(60) / 30
    pose = motion(0, None).joints[:1].repeat(60, 0)
    hanging = WorldMotion(pose, 30.0, np.ones(60, np.bool_), None, "hangs")
    assert not with_certain_flight(hanging).flight.any()
    falling = pose.copy()
    falling[..., 2] += (10 * time - 0.5 * 9.81 * time**2)[:, None].astype(np.float32)
    kept = with_certain_flight(WorldMotion(falling, 30.0, np.ones(60, np.bool_), None, "falls"))
    assert kept.flight[3:-3].all()
