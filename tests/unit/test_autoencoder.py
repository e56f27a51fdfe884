"""The tiny tier's autoencoder and its training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from finephys.config import TINY_GENERATOR
from finephys.data.clips import ClipBatch
from finephys.generator.autoencoder import SmallAutoencoder, make_autoencoder
from finephys.generator.network import VideoNetwork
from finephys.training.autoencoder import (
    autoencoder_losses,
    pictures,
    train_autoencoder,
)
from finephys.training.loop import LoopSettings
from finephys.weights.checkpoints import load_module

CONFIG = replace(TINY_GENERATOR, size=32, autoencoder_channels=(8, 16), text_width=16, text_heads=2)


def test_latents_are_cells_of_the_patch_and_frames_come_back_in_place() -> None:
    """Catches a decoder whose scales are not the encoder's."""
    model = SmallAutoencoder((8, 16, 24), 6).eval()
    latents = model.encode(torch.rand(2, 3, 64, 32))
    assert latents.shape == (2, 6, 4, 2)
    assert model.decode(latents).shape == (2, 3, 64, 32)


def test_latents_have_variance_one_where_it_was_trained() -> None:
    """The noise schedule is made for it."""
    model = SmallAutoencoder((8, 16), 6).train()
    frames = torch.rand(8, 3, 32, 32) * 2 - 1
    for _ in range(60):
        model.encode(frames)
    latents = model.eval().encode(frames)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(6), atol=0.05)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(6), atol=0.05)


def test_training_the_generator_leaves_the_autoencoder_alone() -> None:
    """Catches statistics that go on moving, and gradients into it."""
    network = VideoNetwork(CONFIG, 1023).train()
    before = {name: value.clone() for name, value in network.autoencoder.state_dict().items()}
    network.autoencoder.encode(torch.rand(4, 3, 32, 32))
    for name, value in network.autoencoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(weight.requires_grad for weight in network.autoencoder.parameters())


def test_half_of_the_pictures_have_no_figure() -> None:
    frames = np.full((200, 1, 8, 8, 3), 250, np.uint8)
    behind = np.zeros_like(frames)
    batch = ClipBatch(
        frames,
        np.ones(frames.shape[:-1], bool),
        behind,
        np.zeros((200, 1, 17, 2)),
        [""] * 200,
        np.zeros(200, np.int64),
    )
    seen = pictures(batch, np.random.default_rng(0)).mean((1, 2, 3))
    assert 60 < (seen > 0).sum() < 140
    assert set(seen.sign().tolist()) == {-1.0, 1.0}


def test_a_perfect_copy_costs_nothing() -> None:
    class Copy(torch.nn.Module):
        def encode(self, frames: torch.Tensor) -> torch.Tensor:
            self.frames = frames
            return frames

        def decode(self, noisy: torch.Tensor) -> torch.Tensor:
            assert 0.05 < (noisy - self.frames).std() < 0.2  # a decoder that never sees noise
            return self.frames

    losses = autoencoder_losses(Copy(), torch.rand(2, 3, 8, 8))
    assert losses["total"] == 0


def test_training_learns_saves_and_resumes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 255, (16, 1, 4, 4, 3)), 8, 2).repeat(8, 3)
    frames = np.broadcast_to(frames, (16, 16, 32, 32, 3)).astype(np.uint8)
    np.savez(
        tmp_path / "clips_000000.npz",
        frames=frames,
        silhouette=np.zeros(frames.shape[:-1], bool),
        behind=frames,
        xy=np.zeros((16, 16, 17, 2), np.float32),
        prompt=np.array(["a person"] * 16),
        action=np.zeros(16, np.int64),
    )
    settings = LoopSettings(steps=150, learning_rate=5e-3, warmup=5, average_decay=0, log_every=50)
    run, out = tmp_path / "run", tmp_path / "autoencoder.safetensors"
    train_autoencoder(run, out, tmp_path, settings, CONFIG)
    rows = [eval(line) for line in (run / "log.jsonl").read_text().splitlines()]  # noqa: S307
    assert rows[-1]["square"] < 0.6 * rows[0]["square"]  # nothing learned
    assert train_autoencoder(run, out, tmp_path, replace(settings, steps=152), CONFIG) == 152
    model = make_autoencoder(CONFIG)
    load_module(model, out)
    flat = torch.from_numpy(frames[:, 0]).permute(0, 3, 1, 2) / 127.5 - 1
    assert (model.decode(model.encode(flat)) - flat).square().mean() < 0.5 * flat.var()
