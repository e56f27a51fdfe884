"""Training of S_pp (PhysNet) and of the 2D projection, on what the trained lifter makes."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finephys.data.detections import IMAGE_SIZE
from finephys.data.pose_windows import WindowSettings
from finephys.pose3d.lifting.lifter import lift_tensors
from finephys.pose3d.lifting.network import LiftingNetwork, LiftingSize
from finephys.pose3d.physics.dynamics import DYNAMICS, angular_momentum, joint_masses
from finephys.pose3d.physics.network import PhysBank, PhysOutput, PhysState
from finephys.pose3d.physics.physnet import body_and_root, phys_state
from finephys.pose3d.projection import ProjectionNetwork, placed_points
from finephys.skeleton import LIMBS
from finephys.training.lifting import TrainingWindows, told_actions
from finephys.training.loop import LoopSettings, train
from finephys.training.poses import PoseData
from finephys.weights.checkpoints import load_module, read_config, rebuilding, save_module

PHYSNET_LOOP = LoopSettings(steps=1800, learning_rate=1e-3)
"""How the shipped weights were trained."""

PROJECTION_LOOP = LoopSettings(steps=600, learning_rate=2e-3)
"""How the shipped weights were trained."""

_CENTER = torch.tensor(IMAGE_SIZE, dtype=torch.float32) / 2
_PARENT = [parent for parent, _ in LIMBS]
_CHILD = [child for _, child in LIMBS]


class LiftedSamples:
    """Draws windows and lifts them as the pipeline does."""

    def __init__(self, data: PoseData, settings: WindowSettings, lifting: Path) -> None:
        self.windows = TrainingWindows(data, settings)
        with rebuilding(lifting):
            self.network = LiftingNetwork(LiftingSize(**read_config(lifting)["size"]))
        load_module(self.network, lifting)
        self.network.requires_grad_(False)

    def draw(
        self, count: int, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Batch, and S_dd of it: body (N, F, J, 3) and root (N, F, 3) metres.

        Half of the simulated windows are lifted with their class told.
        """
        batch = self.windows.draw(count, rng)
        body, root = lift_tensors(
            self.network,
            (batch["xy"], batch["score"], batch["dt"]),
            batch["height"],
            told_actions(batch["action"], rng),
            self.network.priors[0],
        )
        return batch, body, root


def state_of(batch: dict[str, Tensor], body: Tensor, root: Tensor) -> tuple[PhysState, Tensor]:
    """PhysNet's state of a lifted batch, and the true path in its coordinates (N, F, J, 3)."""
    state, scale, origin = phys_state(
        batch["xy"], batch["score"], batch["dt"], batch["ballistic"], _CENTER, body, root
    )
    pelvis = (batch["true_xy"][:, :, :1] - origin) / scale
    truth = batch["body"].clone()
    truth[..., :2] += pelvis
    masses = joint_masses()
    truth[..., 2] -= (truth[..., 2] * masses).sum(-1, keepdim=True)
    return state, truth


def physics_losses(
    out: PhysOutput, truth: Tensor, state: PhysState, batch: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Losses of PhysNet, metres and metres a frame squared.

    Position, root-relative pose, velocity and acceleration of the path; acceleration that the
    forces give; the centre of mass, whose path in flight is a parabola, and the change of angular
    momentum, which is none in flight; constancy of limb lengths; expected error; flight and contact
    of the feet, where either is known; distance of the camera.
    """
    used = (state.confidence > 0).flatten(1).any(1).float()
    weight = (used / used.sum().clamp(min=1))[:, None, None]

    def mean(values: Tensor) -> Tensor:
        return (values * weight).mean((1, 2)).sum()

    path = out.path
    error = path - truth
    position = mean(error.norm(dim=-1))
    pose = mean((error - error[:, :, :1]).norm(dim=-1))
    velocity = mean(error.diff(dim=1).norm(dim=-1))
    acceleration = mean(error.diff(n=2, dim=1).norm(dim=-1))
    step = out.acceleration[:, 1:-1] * (state.dt**2)[:, None, None, None]
    force = mean((step - truth.diff(n=2, dim=1)).norm(dim=-1))
    masses = joint_masses()[:, None]
    fallen = (error[..., :2] * masses).sum(2)
    center = mean(fallen.norm(dim=-1)[..., None])
    center = center + 2 * mean(fallen.diff(n=2, dim=1).norm(dim=-1)[..., None])
    spin = spun(path) - spun(truth)
    spin = mean((spin.diff(dim=1).norm(dim=-1) / state.height[:, None])[..., None])
    limbs = (path[..., _CHILD, :] - path[..., _PARENT, :]).norm(dim=-1)
    rigid = mean((limbs - limbs.mean(1, keepdim=True)).abs())
    off = error.detach().norm(dim=-1)
    doubt = mean(off * (-out.log_error).exp() + out.log_error)
    touch = torch.cat([batch["flight"][..., None], batch["contact"]], -1)
    said = torch.cat([out.flight[..., None], out.contact], -1)
    known = touch.any(-1, keepdim=True) & (state.ballistic > 0)[:, None, None]
    flight = mean(
        functional.binary_cross_entropy_with_logits(said, touch, reduction="none") * known
    )
    distance = (out.inverse_distance - batch["inverse_distance"]).abs().mean()
    total = 0.5 * position + pose + 0.3 * velocity + 0.3 * acceleration
    total = total + 0.1 * force + 0.15 * rigid + 0.03 * flight + 0.1 * distance
    total = total + 0.1 * center + 0.2 * spin + 0.002 * doubt
    return {
        "total": total,
        "position": position,
        "pose": pose,
        "velocity": velocity,
        "acceleration": acceleration,
        "force": force,
        "center": center,
        "spin": spin,
        "rigid": rigid,
        "doubt": doubt,
        "flight": flight,
        "distance": distance,
    }


def spun(path: Tensor) -> Tensor:
    """Angular momentum (N, F - 1, 3) of a path between its frames, m^2 a frame, per body mass."""
    return angular_momentum((path[:, 1:] + path[:, :-1]) / 2, path.diff(dim=1))


def train_physnet(
    run: Path,
    out: Path,
    data: PoseData,
    settings: LoopSettings,
    lifting: Path,
    dynamics: tuple[str, ...] = tuple(DYNAMICS),
    default: str = "euler-lagrange",
    batch_size: int = 64,
) -> int:
    """Train S_pp with each kind of dynamics on the same windows and write one checkpoint.

    Design choice: the networks share batches and optimiser steps, and nothing else but the bound on
    the norm of their gradients.

    Args:
        run: folder of the resumable state and log.
        out: the .safetensors file.
        data: motions.
        settings: of the loop.
        lifting: checkpoint of the trained lifter.
        dynamics: names to train.
        default: the one that is loaded when none is asked for.
        batch_size: windows a step.

    Returns:
        The last step.
    """
    windows = LiftedSamples(data, WindowSettings(), lifting)
    torch.manual_seed(settings.seed)
    bank = PhysBank(dynamics)

    def loss_of_step(model: nn.Module, step: int) -> dict[str, Tensor]:
        draw = np.random.default_rng([settings.seed, 3, step])
        with torch.no_grad():
            batch, body, root = windows.draw(batch_size, draw)
            state, truth = state_of(batch, body, root)
        losses = {
            f"{name} {kind}": value
            for name, out in model(state).items()
            for kind, value in physics_losses(out, truth, state, batch).items()
        }
        return losses | {"total": torch.stack([losses[f"{name} total"] for name in dynamics]).sum()}

    def on_save(model: nn.Module, step: int) -> None:
        save_module(model, out, {"dynamics": list(dynamics), "default": default, "step": step})

    return train(bank, loss_of_step, settings, run, on_save)


def train_projection(
    run: Path,
    out: Path,
    data: PoseData,
    settings: LoopSettings,
    lifting: Path,
    physnet: Path,
    batch_size: int = 64,
) -> int:
    """Train S_re-proj against true 2D joints and write its checkpoint.

    Design choice: six in ten bodies are S_pp, three the average of S_dd and S_pp, one S_dd, so that
    the module serves every fusion.

    Args:
        run: folder of the resumable state and log.
        out: the .safetensors file.
        data: motions.
        settings: of the loop.
        lifting: checkpoint of the trained lifter.
        physnet: checkpoint of the trained PhysNet; its default dynamics are used.
        batch_size: windows a step.

    Returns:
        The last step.
    """
    windows = LiftedSamples(data, WindowSettings(), lifting)
    config = read_config(physnet)
    with rebuilding(physnet):
        bank = PhysBank(tuple(config["dynamics"]))
        physics = bank.get_submodule(config["default"])
    load_module(bank, physnet)
    physics.requires_grad_(False)
    torch.manual_seed(settings.seed)
    network = ProjectionNetwork()

    def loss_of_step(model: nn.Module, step: int) -> dict[str, Tensor]:
        draw = np.random.default_rng([settings.seed, 4, step])
        with torch.no_grad():
            batch, body, root = windows.draw(batch_size, draw)
            state, _ = state_of(batch, body, root)
            other_body, other_root = body_and_root(physics(state).path, root)
            pick = torch.from_numpy(draw.choice([1.0, 0.5, 0.0], len(body), p=[0.6, 0.3, 0.1]))
            share = pick.float()[:, None, None]
            body = body + share[..., None] * (other_body - body)
            root = root + share * (other_root - root)
            points, height = placed_points(body, root)
        made = model(points, batch["xy"], batch["score"], _CENTER, height)
        used = (state.confidence > 0).flatten(1).any(1).float()
        unit = batch["pixels_per_metre"] * batch["height"]
        weight = (used / used.sum().clamp(min=1) / unit)[:, None, None]
        xy = ((made.xy - batch["true_xy"]).norm(dim=-1) * weight).mean((1, 2)).sum()
        camera = ((made.camera_xy - batch["true_xy"]).norm(dim=-1) * weight).mean((1, 2)).sum()
        distance = (made.inverse_distance - batch["inverse_distance"]).abs().mean()
        total = xy + 0.5 * camera + 0.1 * distance
        return {"total": total, "xy": xy, "camera": camera, "distance": distance}

    def on_save(model: nn.Module, step: int) -> None:
        save_module(model, out, {"step": step})

    return train(network, loss_of_step, settings, run, on_save)
