"""Training of S_dd, the in-context lifter (supplement A.3: 2D-3D pairs as prompts)."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from finephys.actions import ACTIONS
from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.data.pose_windows import (
    PoseBatch,
    WindowSampler,
    WindowSettings,
    seen_clean,
)
from finephys.errors import WeightsError
from finephys.motion.moments import sample_motion
from finephys.pose3d.lifting.inputs import LiftingInputs, normalise
from finephys.pose3d.lifting.lifter import PRIOR_OF_ACTION, lifting_config, metres_per_unit
from finephys.pose3d.lifting.network import LiftingNetwork, LiftingSize
from finephys.skeleton import FRAMES, JOINT, JOINTS, PARENTS
from finephys.training.loop import LoopSettings, Step, Task, train
from finephys.training.poses import PoseData, tensors_of
from finephys.types import Float, WorldMotion
from finephys.weights.checkpoints import save_module

LIFTING_LOOP = LoopSettings(steps=4500, learning_rate=1e-3, weight_decay=0.02)
"""How the shipped weights were trained. Design choice: 4,500 steps of 64 windows, where the
supplement trains for 10 epochs of its own data sets (A.3)."""

BANK_SPANS = (0.5, 0.9, 1.5, 2.4)
"""Seconds of the windows that prompt pairs are made of."""

BANK_MOTIONS = 3
"""Motions of each class that fill the bank."""

_SMALLEST_BODY = 0.1
"""Metres: windows whose detected joints lie closer together than this are not trained on."""


def lifting_target(batch: dict[str, Tensor], inputs: LiftingInputs) -> Tensor:
    """The truth in the lifter's units: (N, F, J, 3) body sizes about the window's centre."""
    unit = (batch["pixels_per_metre"] / inputs.size)[:, None, None, None]
    pelvis = batch["true_xy"][:, :, 0] - inputs.center[:, None]
    pelvis = functional.pad(pelvis / inputs.size[:, None, None], (0, 1))
    return batch["body"] * unit + pelvis[:, :, None]


def lifting_losses(
    output: Tensor, batch: dict[str, Tensor], inputs: LiftingInputs
) -> dict[str, Tensor]:
    """Position, root-relative pose at the known body height, and velocity, in metres."""
    target = lifting_target(batch, inputs)
    metres = inputs.size / batch["pixels_per_metre"]
    used = (inputs.seen & (metres > _SMALLEST_BODY)).float()
    weight = used / used.sum().clamp(min=1)
    unit = (metres.clamp(max=3.0) * weight)[:, None, None]
    position = ((output - target).norm(dim=-1) * unit).mean((1, 2)).sum()
    scaled = output * metres_per_unit(output, batch["height"])
    relative = scaled - scaled[:, :, :1]
    pose = ((relative - batch["body"]).norm(dim=-1) * weight[:, None, None]).mean((1, 2)).sum()
    step = (output - target).diff(dim=1).norm(dim=-1)
    velocity = (step * unit).mean((1, 2)).sum()
    total = 0.4 * position + pose + 0.3 * velocity
    return {"total": total, "position": position, "pose": pose, "velocity": velocity}


class TrainingWindows:
    """Draws windows of captured and simulated motions.

    The first motions of each class fill the bank of prompts and are not drawn: at inference a
    query's own motion is never in the bank.
    """

    def __init__(self, data: PoseData, settings: WindowSettings) -> None:
        self.bank: list[WorldMotion] = []
        drawn: list[WorldMotion] = []
        kinds: dict[int, int] = {}
        for motion in data.simulated:
            kind = motion.action or 0
            kinds[kind] = kinds.get(kind, 0) + 1
            (self.bank if kinds[kind] <= BANK_MOTIONS else drawn).append(motion)
        missing = [action.id for action in ACTIONS if kinds.get(action.id, 0) <= BANK_MOTIONS]
        if missing:
            raise WeightsError(
                f"the library holds too few motions of class {missing[0]}; make it again with "
                f"--per-class {BANK_MOTIONS + 1} or more."
            )
        self.sampler = WindowSampler(data.captured, drawn, settings)

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Batch of `count` windows; "label" is the class that the lifter is given."""
        batch = tensors_of(self.sampler.draw(count, rng))
        return batch | {"label": drop_action_labels(batch["action"], rng)}


def drop_action_labels(action: Tensor, rng: np.random.Generator) -> Tensor:
    """Classes (N,) of which half, at random, are replaced by 0, "unknown"."""
    kept = torch.from_numpy(rng.random(len(action)) < 0.5)
    return torch.where(kept, action, torch.zeros_like(action))


def set_buffers(network: LiftingNetwork, windows: TrainingWindows) -> None:
    """Fill the mean pose, the bank of prompts and the priors of a fresh network.

    Design choice: the bank holds four windows of each of three motions a class, 0.5 to 2.4 s long;
    the prior of a class is the middle of its first motion's flight (of the motion, for turns), the
    general prior a person who stands.
    """
    rng = np.random.default_rng(0)
    batch = windows.draw(1024, rng)
    inputs = normalise(batch["xy"], batch["score"], batch["dt"])
    target = lifting_target(batch, inputs) - functional.pad(inputs.path, (0, 1))[:, :, None]
    good = inputs.seen & (inputs.size / batch["pixels_per_metre"] > _SMALLEST_BODY)
    network.mean_pose.copy_(target[good].mean((0, 1)))
    places = [place for motion in windows.bank for place in bank_windows(motion)]
    kinds = [motion.action or 0 for motion in windows.bank for _ in BANK_SPANS]
    network.bank.fill(torch.from_numpy(np.stack(places)), torch.tensor(kinds))
    for motion in reversed(windows.bank):
        shown = showcase(motion)
        row = PRIOR_OF_ACTION[motion.action or 0]
        network.priors[row] = torch.from_numpy(shown.body[0, FRAMES // 2] / shown.height[0])
    network.priors[0] = torch.from_numpy(standing())


def flight_middle(motion: WorldMotion) -> float:
    """Seconds into a motion of the middle of its flight, or of the motion when it has none."""
    frames = np.flatnonzero(motion.flight)
    length = (len(motion.joints) - 1) / motion.fps
    return float(frames.mean() / motion.fps if len(frames) else length / 2)


def bank_windows(motion: WorldMotion) -> list[Float]:
    """Windows (F, J, 3) of a motion about the middle of its flight, one for each of BANK_SPANS."""
    length = (len(motion.joints) - 1) / motion.fps
    middle = flight_middle(motion)
    out = []
    for span in BANK_SPANS:
        span = min(span, length)
        begin = float(np.clip(middle - span / 2, 0, length - span))
        joints, _ = sample_motion(motion, begin + span * np.linspace(0, 1, FRAMES))
        out.append((joints - joints.mean(1, keepdims=True)).astype(np.float32))
    return out


def showcase(motion: WorldMotion) -> PoseBatch:
    """Two seconds about the middle of a motion's flight, seen from the front and side."""
    length = (len(motion.joints) - 1) / motion.fps
    middle = flight_middle(motion)
    dt = min(2.0, length) / (FRAMES - 1)
    begin = float(np.clip(middle - dt * FRAMES / 2, 0, length - dt * (FRAMES - 1)))
    times: npt.NDArray[np.float64] = begin + dt * np.arange(FRAMES, dtype=np.float64)
    joints, _ = sample_motion(motion, times)
    across = joints[FRAMES // 2, JOINT["left_hip"]] - joints[FRAMES // 2, JOINT["right_hip"]]
    yaw = np.arctan2(across[1], across[0]) - np.deg2rad(35)
    return seen_clean(joints, dt, yaw)


def standing() -> Float:
    """A person 1 m tall who stands with hanging arms, seen from the front and side, (17, 3)."""
    lengths = {JOINTS[child]: LIMB_LENGTHS_PER_HEIGHT[child - 1] for child in range(1, len(JOINTS))}
    direction: dict[str, tuple[float, float, float]] = {
        "spine": (0, 0, 1),
        "thorax": (0, 0, 1),
        "neck": (0, 0, 1),
        "head": (0.1, 0, 1),
    }
    for side, sign in (("left", 1), ("right", -1)):
        direction |= {
            f"{side}_hip": (0, sign, 0),
            f"{side}_knee": (0.05, 0.03 * sign, -1),
            f"{side}_ankle": (-0.08, 0.03 * sign, -1),
            f"{side}_shoulder": (0, sign, -0.12),
            f"{side}_elbow": (0, 0.2 * sign, -1),
            f"{side}_wrist": (0.2, 0.05 * sign, -1),
        }
    joints = np.zeros((FRAMES, len(JOINTS), 3))
    for child in range(1, len(JOINTS)):
        unit = np.asarray(direction[JOINTS[child]], np.float64)
        unit *= lengths[JOINTS[child]] / np.linalg.norm(unit)
        joints[:, child] = joints[:, PARENTS[child]] + unit
    # 35 degrees from the front: the prior shows both sides and some depth.
    body: Float = seen_clean(joints, 0.1, np.deg2rad(90 - 35)).body[0, 0]
    return body


def train_lifting(
    run: Path,
    out: Path,
    data: PoseData,
    settings: LoopSettings,
    batch_size: int = 64,
    prompted: bool = True,
) -> int:
    """Train S_dd and write its checkpoint.

    Args:
        run: folder of the resumable state and the log.
        out: the .safetensors file.
        data: motions.
        settings: of the loop; its seed also draws the windows.
        batch_size: windows a step.
        prompted: read a prompt pair beside each query; False is the ablation.

    Returns:
        The last step.
    """
    windows = TrainingWindows(data, WindowSettings())
    torch.manual_seed(settings.seed)
    network = LiftingNetwork(LiftingSize())
    set_buffers(network, windows)

    def draw(step: Step) -> dict[str, Tensor]:
        return windows.draw(batch_size, np.random.default_rng([settings.seed, 2, step.draw]))

    def losses(model: LiftingNetwork, batch: dict[str, Tensor], _: Step) -> dict[str, Tensor]:
        inputs = normalise(batch["xy"], batch["score"], batch["dt"])
        pair = model.bank.find(inputs, batch["label"]) if prompted else None
        return lifting_losses(model(inputs, pair), batch, inputs)

    def save(model: LiftingNetwork, step: int) -> None:
        save_module(model, out, lifting_config(model) | {"step": step})

    return train(Task(network, draw, losses, save), settings, run)
