"""Stages 1 and 4 by their command: rendered clips in, one loadable file out, at a narrow width."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from finephys.__main__ import main
from finephys.generator import diffusion
from finephys.generator.diffusion import Generator
from finephys.generator.protocol import Sampling
from finephys.guidance.framing import frame_body
from finephys.motion.simulation import simulate
from finephys.observe import simulated
from finephys.training import adaptation, stages
from finephys.training.loop import LoopSettings
from finephys.training.poses import PoseData
from finephys.types import Request
from finephys.weights.checkpoints import ROOT_VARIABLE
from finephys.weights.lock import FOLDER_VARIABLE
from tests.narrow import SD15

SHORT = LoopSettings(
    steps=3, learning_rate=5e-4, warmup=1, average_decay=0.0, log_every=1, save_seconds=1e9
)


@pytest.fixture
def shelf(public_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Public weights, checkpoints' folder and one motion; everything else is the real code."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(public_weights))
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "checkpoints"))
    monkeypatch.setitem(diffusion.TIERS, "sd15", SD15)
    monkeypatch.setattr(adaptation, "ENCODER_LOOP", SHORT)
    monkeypatch.setattr(adaptation, "ADAPTATION_LOOP", SHORT)
    monkeypatch.setattr(adaptation, "ADAPTATION_CLIPS", 3)
    motion = simulate(12, 0)
    monkeypatch.setattr(stages, "read_poses", lambda _: PoseData([], [motion]))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "checkpoints" / "sd15"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finephys", *words])
    return main()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_stage_one_then_four_make_weights_that_generate(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "train", "sd15") == 1
    assert "python -m finephys train sd15-encoder" in capsys.readouterr().err
    assert run(monkeypatch, "train", "sd15-encoder", "--capture", ".") == 0
    first = load_file(shelf / "sd15-encoder.safetensors")
    still = [n for n in first if n.endswith("lora_B.weight") or ".proj_out." in n]
    assert still
    assert not any(first[name].any() for name in still)  # stage 1 leaves the U-Net alone
    assert any(first[n].any() for n in first if n.startswith("skeleton_encoder.skips"))

    assert run(monkeypatch, "train", "sd15", "--capture", ".") == 0
    second = load_file(shelf / "generator.safetensors")
    assert first.keys() == second.keys()
    for kind in ("lora_B", "motion_modules", "skeleton_encoder"):
        assert any(not torch.equal(first[n], second[n]) for n in first if kind in n), kind
    rows = [json.loads(line) for line in Path("runs/sd15/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(np.isfinite(row["clip"]) for row in rows)

    made = Generator.load("sd15")
    pose = simulated(Request(action=12)).detected
    drawn = made.draw(pose, frame_body(pose))
    clip = list(made.denoise(Sampling(drawn, "a person", 1, 2, 1.5, 8.0)))[-1]
    assert clip.frames.shape == (16, 64, 64, 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a state that misses weights or the optimiser, and one that holds the whole base."""
    clips = stages.sd15_clips(stages.StageOptions(Path("runs/x"), shelf / "x.safetensors", shelf))
    at_once, twice = shelf / "once.safetensors", shelf / "twice.safetensors"
    encoder = shelf / "sd15-encoder.safetensors"
    adaptation.train_encoder(Path("runs/e"), encoder, clips, SHORT)
    adaptation.train_adaptation(Path("runs/once"), at_once, clips, SHORT, encoder)
    left = iter([False, False, True])
    stop = lambda: next(left)  # noqa: E731
    adaptation.train_adaptation(Path("runs/twice"), twice, clips, SHORT, encoder, stop)
    state = torch.load("runs/twice/state.pt", weights_only=True)
    assert state["step"] == 2
    saved = load_file(twice)
    assert sum(t.numel() for t in state["model"].values()) == sum(t.numel() for t in saved.values())
    adaptation.train_adaptation(Path("runs/twice"), twice, clips, SHORT, encoder)
    whole, resumed = load_file(at_once), load_file(twice)
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-4, rtol=1e-2)
    assert any(not torch.equal(saved[name], resumed[name]) for name in saved)
