"""The row of benchmarks/guidance.py: everything around denoising is in it, and adds up."""

from dataclasses import replace

import pytest

from benchmarks import guidance
from finephys.observe import simulated
from finephys.types import Pose2D, Request

SMALL = replace(
    guidance.NARROW,
    size=64,
    channels=(8, 8, 16, 16),
    groups=4,
    heads=2,
    skeleton_channels=(8, 8, 8, 8),
    text_width=16,
    text_length=8,
    text_vocabulary=32,
)


def test_a_row_counts_everything_around_denoising(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a share that leaves out a part of a clip's time, as poses beyond the simulation and
    the text were once left out."""

    def found_pose(_: str) -> tuple[float, Pose2D]:
        return 2.0, simulated(Request(action=38)).detected

    monkeypatch.setattr(guidance, "found_pose", found_pose)
    monkeypatch.setattr(guidance, "NARROW", SMALL)
    monkeypatch.setattr(guidance, "NARROW_VAE", (32, 32, 32, 32))
    monkeypatch.setattr(guidance, "SD15_GENERATOR", SMALL)
    row = guidance.measure(SMALL, "cpu", steps=1, repeats=1)
    around = row["around_denoising_seconds"]
    assert set(around) == {"poses", "heatmaps", "text", "decode", "mp4"}
    assert around["poses"] == 2.0
    spent = sum(around.values())
    whole = 50 * 2 * row["seconds_a_step"]["guided"]
    share = row["around_denoising_share_of_50_steps"]
    assert share == pytest.approx(spent / (spent + whole), rel=0.05)
    assert set(row["seconds_a_step"]) == {"plain", "own", "guided"}


def test_counted_memory_holds_weights_and_both_clips_of_classifier_free_guidance() -> None:
    """Catches a peak that is asked for before it was reached, or of one clip alone."""
    row = guidance.counted(guidance.SD15_GENERATOR)
    assert 3.0 < row["weights_gigabytes"] < 3.1  # 1.52 billion parameters of two bytes
    latents = 2 * 16 * 320 * 64 * 64 * 2 / 1e9  # features of the finest scale
    assert row["denoising_gigabytes"] > row["weights_gigabytes"] + 5 * latents
    assert row["weights_gigabytes"] < row["decoding_gigabytes"] < row["denoising_gigabytes"]
    assert 1 < row["guided_over_plain"] < 1.05
    assert 0.01 < row["decoding_share_of_50_steps"] < 0.1
