"""The frozen reference: a plain temporal transformer that lifts, then the best of three smoothers.

It was trained once on each split, by the command below, with the windows of training at that time
(`PLAIN_WINDOWS`); its weights in reference/ are frozen. It has S_dd's inputs without the prompts,
and 1.2 M parameters.

    python -m benchmarks.motion.reference --capture FOLDER --library FILE --split 0
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.motion.folds import split
from benchmarks.motion.smoothers import Smoother
from finephys.data.pose_windows import PoseBatch, WindowSampler, WindowSettings
from finephys.data.variation import PLAIN
from finephys.files import whole_file
from finephys.pose3d.lifting.inputs import LiftingInputs, normalise
from finephys.pose3d.lifting.lifter import metres_per_unit
from finephys.pose3d.windows import BodyWindows
from finephys.skeleton import FRAMES, JOINTS
from finephys.training.lifting import lifting_losses, lifting_target
from finephys.training.loop import LoopSettings, Step, Task, train
from finephys.training.poses import tensors_of

FOLDER = Path(__file__).parent / "reference"
"""Frozen weights, one file a split, half precision."""

LOOP = LoopSettings(steps=4500, learning_rate=1e-3, weight_decay=0.02)
"""As long as S_dd is trained, on batches as large."""

PLAIN_WINDOWS = WindowSettings(variation=PLAIN)

_J = len(JOINTS)


class ReferenceNetwork(nn.Module):
    """Frames as tokens, four transformer layers, one linear output."""

    mean_pose: Tensor

    def __init__(self, width: int = 192, layers: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(_J * 6, width)
        self.frame_code = nn.Parameter(torch.randn(FRAMES, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, _J * 3)
        self.register_buffer("mean_pose", torch.zeros(_J, 3))

    def forward(self, inputs: LiftingInputs) -> Tensor:
        """(N, F, J, 3) body sizes, see `finephys.pose3d.lifting.network.LiftingNetwork`."""
        frames = self.embed(inputs.features.flatten(2)) + self.frame_code
        out = self.output(self.norm(self.layers(frames))).unflatten(-1, (_J, 3))
        return out + self.mean_pose + nn.functional.pad(inputs.path, (0, 1))[:, :, None]


def lift_reference(
    network: ReferenceNetwork, xy: Tensor, score: Tensor, dt: Tensor, height: Tensor
) -> Tensor:
    """Metres (N, F, J, 3) with the root's path in x and y; without detections the mean pose."""
    output = network(normalise(xy, score, dt))
    return output * metres_per_unit(output, height)


def train_reference(name: str, capture: Path, library: Path, run: Path, out: Path) -> None:
    """Train the reference of one split and write its weights."""
    data = split(name, capture, library).data
    sampler = WindowSampler(data.captured, data.simulated, PLAIN_WINDOWS)
    torch.manual_seed(LOOP.seed)
    network = ReferenceNetwork()
    first = tensors_of(sampler.draw(1024, np.random.default_rng(0)))
    inputs = normalise(first["xy"], first["score"], first["dt"])
    target = lifting_target(first, inputs) - nn.functional.pad(inputs.path, (0, 1))[:, :, None]
    good = inputs.seen & (inputs.size / first["pixels_per_metre"] > 0.1)
    network.mean_pose.copy_(target[good].mean((0, 1)))

    def draw(step: Step) -> dict[str, Tensor]:
        return tensors_of(sampler.draw(64, np.random.default_rng([LOOP.seed, 2, step.draw])))

    def losses(model: ReferenceNetwork, batch: dict[str, Tensor], _: Step) -> dict[str, Tensor]:
        inputs = normalise(batch["xy"], batch["score"], batch["dt"])
        return lifting_losses(model(inputs), batch, inputs)

    def save(model: ReferenceNetwork, step: int) -> None:
        with whole_file(out) as partial:
            save_file({key: value.half() for key, value in model.state_dict().items()}, partial)

    train(Task(network, draw, losses, save), LOOP, run)


def load_reference(name: str, folder: Path = FOLDER) -> ReferenceNetwork:
    """The frozen reference of a split."""
    network = ReferenceNetwork()
    values = load_file(folder / f"{name}.safetensors")
    network.load_state_dict({key: value.float() for key, value in values.items()})
    return network.eval()


def lift_batch(network: ReferenceNetwork, batch: PoseBatch, smoother: Smoother) -> BodyWindows:
    """The reference's bodies for a batch, smoothed, at their true height."""
    arrays = (batch.xy, batch.score, batch.dt, batch.height)
    with torch.inference_mode():
        lifted = lift_reference(network, *map(torch.from_numpy, arrays))
    smooth = smoother(
        lifted.double().numpy(), batch.score.astype(np.float64), batch.dt.astype(np.float64)
    ).astype(np.float32)
    root = np.zeros_like(smooth[:, :, 0])
    root[..., :2] = (smooth[:, :, 0] - smooth[:, :1, 0])[..., :2]
    return BodyWindows(smooth - smooth[:, :, :1], root)


def main() -> None:
    """Train one split's reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("--library", type=Path, default=Path("runs/simulation/library.npz"))
    parser.add_argument("--split", nargs="+", required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    for name in options.split:
        run = Path("runs/motion/reference") / name
        train_reference(name, options.capture, options.library, run, FOLDER / f"{name}.safetensors")


if __name__ == "__main__":
    main()
