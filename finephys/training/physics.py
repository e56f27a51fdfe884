"""Training of S_pp (PhysNet) and of the 2D projection, on windows lifted by a trained lifter."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from finephys.data.pose_windows import WindowSettings
from finephys.pose3d.geometry import limb_vectors
from finephys.pose3d.lifting.lifter import lift_tensors
from finephys.pose3d.lifting.network import LiftingNetwork, LiftingSize
from finephys.pose3d.physics.dynamics import DYNAMICS, angular_momentum, joint_masses
from finephys.pose3d.physics.network import PhysBank, PhysOutput, PhysState
from finephys.pose3d.physics.physnet import body_and_root, phys_state
from finephys.pose3d.projection import Projected, ProjectionNetwork, placed_points
from finephys.training.lifting import TrainingWindows
from finephys.training.loop import LoopSettings, Step, Task, train
from finephys.training.poses import PoseData
from finephys.weights.checkpoints import load_module, read_config, rebuilding, save_module

PHYSNET_LOOP = LoopSettings(steps=1800, learning_rate=1e-3)
"""How the shipped weights were trained. Design choice: 1,800 steps of 64 windows, where the
supplement trains for 10 epochs of its own data sets (A.3)."""

PROJECTION_LOOP = LoopSettings(steps=600, learning_rate=2e-3)
"""How the shipped weights were trained. Design choice: 600 steps of the projection alone, where the
supplement fine-tunes PhysNet and projection for 10,000 steps (A.4); see `train_projection`."""


class LiftedWindows:
    """Draws windows, and lifts them as the pipeline does with a trained lifter."""

    def __init__(self, data: PoseData, settings: WindowSettings, lifting: Path) -> None:
        self.windows = TrainingWindows(data, settings)
        with rebuilding(lifting):
            self.network = LiftingNetwork(LiftingSize(**read_config(lifting)["size"]))
        load_module(self.network, lifting)
        self.network.requires_grad_(False)

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch of `count` windows, on the CPU."""
        return self.windows.draw(count, rng)

    def lift(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """S_dd of a batch on the lifter's device: body (N, F, J, 3), root (N, F, 3), metres."""
        windows = (batch["xy"], batch["score"], batch["dt"])
        prior = self.network.priors[0]
        return lift_tensors(self.network, windows, batch["height"], batch["label"], prior)


def state_of(batch: dict[str, Tensor], body: Tensor, root: Tensor) -> tuple[PhysState, Tensor]:
    """PhysNet's input for a lifted batch, and the true path in its coordinates (N, F, J, 3)."""
    windows = (batch["xy"], batch["score"], batch["dt"], batch["ballistic"], batch["center"])
    state, scale, origin = phys_state(*windows, body, root)
    pelvis = (batch["true_xy"][:, :, :1] - origin) / scale
    truth = batch["body"].clone()
    truth[..., :2] += pelvis
    masses = joint_masses().to(truth)
    truth[..., 2] -= (truth[..., 2] * masses).sum(-1, keepdim=True)
    return state, truth


def physics_losses(
    out: PhysOutput, truth: Tensor, state: PhysState, batch: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Losses of PhysNet, metres and metres a frame squared.

    Position, root-relative pose, velocity and acceleration of the path; the acceleration by the
    forces; the centre of mass, whose path in flight is a parabola, and the change of angular
    momentum, which is zero in flight; constancy of limb lengths; the negative log-likelihood of the
    errors under the expected ones; flight and contact of the feet, where either is known; distance
    of the camera. Design choice: all of them and their weights; the paper has the 3D error and the
    norm of the noise that it adds to M^-1.

    Args:
        out: the network's output.
        truth: (N, F, J, 3) metres, true path in PhysNet's coordinates.
        state: the network's input.
        batch: the windows.

    Returns:
        Losses by name, with their weighted sum "total".
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
    masses = joint_masses().to(error)[:, None]
    center_error = (error[..., :2] * masses).sum(2)
    center = mean(center_error.norm(dim=-1)[..., None])
    center = center + 2 * mean(center_error.diff(n=2, dim=1).norm(dim=-1)[..., None])
    spin = interframe_angular_momentum(path) - interframe_angular_momentum(truth)
    spin = mean((spin.diff(dim=1).norm(dim=-1) / state.height[:, None])[..., None])
    limbs = limb_vectors(path).norm(dim=-1)
    rigid = mean((limbs - limbs.mean(1, keepdim=True)).abs())
    # Of an exponential distribution of the distance, whose mean is the expected error.
    distance_off = error.detach().norm(dim=-1)
    nll = mean(distance_off * (-out.log_error).exp() + out.log_error)
    touch = torch.cat([batch["flight"][..., None], batch["contact"]], -1)
    logits = torch.cat([out.flight[..., None], out.contact], -1)
    # A body neither airborne nor on a foot touches something the data do not name.
    known = touch.any(-1, keepdim=True) & (state.ballistic > 0)[:, None, None]
    entropy = functional.binary_cross_entropy_with_logits(logits, touch, reduction="none")
    flight = mean(entropy * known)
    distance = (out.inverse_distance - batch["inverse_distance"]).abs().mean()
    total = 0.5 * position + pose + 0.3 * velocity + 0.3 * acceleration
    total = total + 0.1 * force + 0.15 * rigid + 0.03 * flight + 0.1 * distance
    total = total + 0.1 * center + 0.2 * spin + 0.002 * nll
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
        "nll": nll,
        "flight": flight,
        "distance": distance,
    }


def interframe_angular_momentum(path: Tensor) -> Tensor:
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
        default: the dynamics that are used unless others are named.
        batch_size: windows a step.

    Returns:
        The last step.
    """
    windows = LiftedWindows(data, WindowSettings(), lifting)
    torch.manual_seed(settings.seed)
    bank = PhysBank(dynamics)

    def draw(step: Step) -> dict[str, Tensor]:
        return windows.draw(batch_size, np.random.default_rng([settings.seed, 3, step.draw]))

    def losses(model: PhysBank, batch: dict[str, Tensor], _: Step) -> dict[str, Tensor]:
        with torch.no_grad():
            state, truth = state_of(batch, *windows.lift(batch))
        found = {
            f"{name} {kind}": value
            for name, out in model(state).items()
            for kind, value in physics_losses(out, truth, state, batch).items()
        }
        return found | {"total": torch.stack([found[f"{name} total"] for name in dynamics]).sum()}

    def save(model: PhysBank, step: int) -> None:
        save_module(model, out, {"dynamics": list(dynamics), "default": default, "step": step})

    return train(Task(bank, draw, losses, save, frozen=(windows.network,)), settings, run)


def train_projection(
    run: Path,
    out: Path,
    data: PoseData,
    settings: LoopSettings,
    lifting: Path,
    physnet: Path,
    batch_size: int = 64,
) -> int:
    """Train S_re-proj against true 2D joints and write its checkpoint (supplement A.1, step 3).

    Design choice: PhysNet stays as it is. The paper fine-tunes it too, on detections of FineGym,
    which have no 3D truth; here the truth is simulated, and PhysNet has been trained on it already
    with losses in 3D: the 2D error, which cannot see depth, would only move it away from them.
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
    windows = LiftedWindows(data, WindowSettings(), lifting)
    config = read_config(physnet)
    with rebuilding(physnet):
        bank = PhysBank(tuple(config["dynamics"]))
        physics = bank.get_submodule(config["default"])
    load_module(bank, physnet)
    physics.requires_grad_(False)
    torch.manual_seed(settings.seed)
    network = ProjectionNetwork()

    def draw(step: Step) -> dict[str, Tensor]:
        rng = np.random.default_rng([settings.seed, 4, step.draw])
        batch = windows.draw(batch_size, rng)
        share = torch.from_numpy(rng.choice([1.0, 0.5, 0.0], batch_size, p=[0.6, 0.3, 0.1]))
        return batch | {"share of S_pp": share.float()}

    def losses(model: ProjectionNetwork, batch: dict[str, Tensor], _: Step) -> dict[str, Tensor]:
        with torch.no_grad():
            body, root = windows.lift(batch)
            state, _truth = state_of(batch, body, root)
            other_body, other_root = body_and_root(physics(state).path, root)
            share = batch["share of S_pp"][:, None, None]
            body = body + share[..., None] * (other_body - body)
            root = root + share * (other_root - root)
            points, height = placed_points(body, root)
        return projection_losses(
            model(points, batch["xy"], batch["score"], batch["center"], height), batch, state
        )

    def save(model: ProjectionNetwork, step: int) -> None:
        save_module(model, out, {"step": step})

    task = Task(network, draw, losses, save, frozen=(windows.network, physics))
    return train(task, settings, run)


def projection_losses(
    made: Projected, batch: dict[str, Tensor], state: PhysState
) -> dict[str, Tensor]:
    """2D errors over the body height, of the projection and of its camera alone; 1 / distance."""
    used = (state.confidence > 0).flatten(1).any(1).float()
    unit = batch["pixels_per_metre"] * batch["height"]
    weight = (used / used.sum().clamp(min=1) / unit)[:, None, None]
    xy = ((made.xy - batch["true_xy"]).norm(dim=-1) * weight).mean((1, 2)).sum()
    camera = ((made.camera_xy - batch["true_xy"]).norm(dim=-1) * weight).mean((1, 2)).sum()
    distance = (made.inverse_distance - batch["inverse_distance"]).abs().mean()
    total = xy + 0.5 * camera + 0.1 * distance
    return {"total": total, "xy": xy, "camera": camera, "distance": distance}
