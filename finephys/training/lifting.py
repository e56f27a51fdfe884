"""Training of S_dd, the in-context lifter (supplement A.3: 2D-3D pairs as prompts)."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.checkpoints import save_module
from finephys.data.pose_windows import (
    PoseBatch,
    WindowSampler,
    WindowSettings,
    sample_motion,
    seen_clean,
)
from finephys.errors import WeightsError
from finephys.lifting.inputs import LiftingInputs, normalise
from finephys.lifting.lifter import PROMPT_OF_ACTION, lifting_config, metres_per_unit
from finephys.lifting.network import LiftingNetwork, LiftingSize
from finephys.skeleton import FRAMES, JOINT, JOINTS, PARENTS
from finephys.training.loop import LoopSettings, train
from finephys.training.poses import PoseData, tensors_of
from finephys.types import Float, WorldMotion

LIFTING_LOOP = LoopSettings(steps=4500, learning_rate=1e-3, weight_decay=0.02)
"""How the shipped weights were trained."""

_GENERAL_PROMPT = 12
"""Class whose prompt is read when no class is given: the split jump."""

_SMALLEST_BODY = 0.1
"""Metres: windows whose seen joints lie closer together than this teach nothing."""


def lifting_target(batch: dict[str, Tensor], inputs: LiftingInputs) -> Tensor:
    """Truth in the lifter's own units: (N, F, J, 3) body sizes about the window's centre."""
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


class PromptedWindows:
    """Draws windows and the prompt pair that each is read with.

    Design choice: the simulated windows of a step come from four classes. Three in four are read
    with a motion of their own class, the others and all captured windows with one of another class
    or of none, so that one pass over five prompts serves the whole batch.
    """

    classes_per_step = 4

    def __init__(self, data: PoseData, settings: WindowSettings) -> None:
        self.captured = WindowSampler(data.captured, [], settings) if data.captured else None
        clean = WindowSettings(level=(0.0, 0.0), span=settings.span, augment=False)
        self.simulated = WindowSampler([], data.simulated, settings)
        self.clean = WindowSampler([], data.simulated, clean)
        self.share = settings.simulated if self.captured else 1.0
        self.of_class: dict[int, list[int]] = {}
        for index, motion in enumerate(self.simulated.motions):
            self.of_class.setdefault(motion.action or 0, []).append(index)

    def draw(
        self, count: int, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Batch of `count` windows, prompt features (P, F, J, 9), row of each window's prompt."""
        classes = rng.choice(sorted(self.of_class), self.classes_per_step)
        rows = rng.integers(0, self.classes_per_step, round(count * self.share))
        batch = self._batch(count, [int(classes[row]) for row in rows], rng)
        prompts = [int(rng.integers(len(self.simulated.motions)))]
        prompts += [int(rng.choice(self.of_class[kind])) for kind in classes]
        chosen = rng.integers(0, len(prompts), count)
        own = rng.random(len(rows)) < 0.75
        chosen[: len(rows)] = np.where(own, rows + 1, chosen[: len(rows)])
        return batch, self.features(np.array(prompts), rng), torch.from_numpy(chosen)

    def draw_batch(self, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Batch of `count` windows, simulated ones from any class."""
        kinds = rng.choice(sorted(self.of_class), round(count * self.share))
        return self._batch(count, [int(kind) for kind in kinds], rng)

    def _batch(self, count: int, kinds: list[int], rng: np.random.Generator) -> dict[str, Tensor]:
        """One simulated window of each class in `kinds`, then captured windows up to `count`."""
        which = np.array([rng.choice(self.of_class[kind]) for kind in kinds], np.int64)
        batch = tensors_of(self.simulated.windows(which, rng))
        if self.captured is not None and count > len(kinds):
            other = tensors_of(self.captured.draw(count - len(kinds), rng))
            batch = {name: torch.cat([batch[name], other[name]]) for name in batch}
        return batch

    def features(self, which: npt.NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Prompt pairs (P, F, J, 9) cut from simulated motions, free of noise."""
        return prompt_features(tensors_of(self.clean.windows(which, rng)))


def set_buffers(network: LiftingNetwork, windows: PromptedWindows) -> None:
    """Fill the mean pose, the prompt pairs and the priors of a fresh network.

    Design choice: the prompt of a class is its first simulated motion, two seconds about the middle
    of its flight (of the motion, for turns), seen by a camera that looks at the front and side; its
    prior is the middle frame. The general prompt is the split jump, the general prior a person who
    stands.
    """
    rng = np.random.default_rng(0)
    batch, _, _ = windows.draw(1024, rng)
    inputs = normalise(batch["xy"], batch["score"], batch["dt"])
    target = lifting_target(batch, inputs) - functional.pad(inputs.path, (0, 1))[:, :, None]
    good = inputs.seen & (inputs.size / batch["pixels_per_metre"] > _SMALLEST_BODY)
    network.mean_pose.copy_(target[good].mean((0, 1)))
    first = {kind: members[0] for kind, members in windows.of_class.items()}
    for action, row in PROMPT_OF_ACTION.items():
        if action not in first:
            raise WeightsError(f"the library holds no motion of class {action}; simulate all 35.")
        batch = tensors_of(showcase(windows.simulated.motions[first[action]]))
        features = prompt_features(batch)
        network.prompt_features[row] = features[0]
        network.priors[row] = batch["body"][0, FRAMES // 2] / batch["height"][0]
    network.prompt_features[0] = network.prompt_features[PROMPT_OF_ACTION[_GENERAL_PROMPT]]
    network.priors[0] = torch.from_numpy(standing())


def showcase(motion: WorldMotion) -> PoseBatch:
    """Two seconds about the middle of a motion's flight, seen from the front and side."""
    frames = np.flatnonzero(motion.flight)
    length = (len(motion.joints) - 1) / motion.fps
    middle = frames.mean() / motion.fps if len(frames) else length / 2
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
    body: Float = seen_clean(joints, 0.1, np.deg2rad(90 - 35)).body[0, 0]
    return body


def prompt_features(batch: dict[str, Tensor]) -> Tensor:
    """2D-3D pairs of a batch as the lifter reads them, (N, F, J, 9)."""
    inputs = normalise(batch["xy"], batch["score"], batch["dt"])
    target = lifting_target(batch, inputs)
    path = functional.pad(inputs.path, (0, 1))
    return torch.cat([inputs.features, target - path[:, :, None]], -1)


def train_lifting(
    run: Path, out: Path, data: PoseData, settings: LoopSettings, batch_size: int = 64
) -> int:
    """Train S_dd and write its checkpoint.

    Args:
        run: folder of the resumable state and the log.
        out: the .safetensors file.
        data: motions.
        settings: of the loop; its seed also draws the windows.
        batch_size: windows a step.

    Returns:
        The last step.
    """
    windows = PromptedWindows(data, WindowSettings())
    torch.manual_seed(settings.seed)
    network = LiftingNetwork(LiftingSize())
    set_buffers(network, windows)

    def loss_of_step(model: torch.nn.Module, step: int) -> dict[str, Tensor]:
        draw = np.random.default_rng([settings.seed, 2, step])
        batch, prompts, chosen = windows.draw(batch_size, draw)
        contexts = network.read_prompts(prompts)
        read = [[tokens[chosen] for tokens in block] for block in contexts]
        inputs = normalise(batch["xy"], batch["score"], batch["dt"])
        return lifting_losses(model(inputs.features, inputs.path, read), batch, inputs)

    def on_save(model: torch.nn.Module, step: int) -> None:
        save_module(model, out, lifting_config(network) | {"step": step})

    return train(network, loss_of_step, settings, run, on_save)
