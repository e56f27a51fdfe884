"""The prompt pair is the one that looks like the query."""

import numpy as np
import torch
from torch import Tensor

from finephys.pose3d.lifting.inputs import LiftingInputs, normalise
from finephys.pose3d.lifting.prompts import TURNS, PromptBank
from finephys.skeleton import FRAMES, JOINTS, MIRROR

J = len(JOINTS)


def bank_of(count: int) -> PromptBank:
    """Windows that change smoothly, of classes 6, 7, 8, ..."""
    draws = torch.Generator().manual_seed(0)
    pose = torch.randn(count, 1, J, 3, generator=draws) * 0.4
    sway = torch.cumsum(torch.randn(count, FRAMES, J, 3, generator=draws) * 0.03, 1)
    bank = PromptBank(count)
    bank.fill(pose + sway, torch.arange(count) + 6)
    return bank


def seen(points: Tensor, yaw: float, mirrored: bool = False) -> LiftingInputs:
    """A window (F, J, 3), z up, as a level camera far away sees it, about 200 pixels tall."""
    if mirrored:
        points = points[:, MIRROR] * torch.tensor([1.0, -1.0, 1.0])
    right = points[..., 0] * np.cos(yaw) - points[..., 1] * np.sin(yaw)
    xy = torch.stack([right, -points[..., 2]], -1)[None] * 100 + 300
    return normalise(xy, torch.ones(1, FRAMES, J), torch.tensor([0.1]))


def test_a_window_of_the_bank_finds_itself_from_any_side_and_mirrored() -> None:
    """Catches views turned one way in the search and the other way in the pair."""
    bank = bank_of(12)
    for row, turn, mirrored in ((3, 5, False), (7, 11, True)):
        inputs = seen(bank.windows[row], turn * 2 * np.pi / TURNS, mirrored)
        pair = bank.find(inputs, torch.tensor([0]))
        own = bank.pair(inputs, torch.tensor([(row * 2 + mirrored) * TURNS + turn]))
        torch.testing.assert_close(pair.xyz, own.xyz)
        assert pair.distance < 0.3  # the bank is seen a little from above


def test_only_pairs_of_the_class_are_compared() -> None:
    """Catches a class that is told and not used."""
    bank = bank_of(12)
    inputs = seen(bank.windows[3], 0.0)
    free = bank.find(inputs, torch.tensor([0]))
    told = bank.find(inputs, torch.tensor([9]))
    torch.testing.assert_close(free.xyz, told.xyz)
    other = bank.find(inputs, torch.tensor([14]))
    assert other.distance > 2 * free.distance
    assert (other.xyz - free.xyz).abs().max() > 0.5


def test_joints_that_were_not_seen_do_not_decide() -> None:
    """Catches missing joints, which lie anywhere, counted as if they had been found there."""
    bank = bank_of(12)
    points = bank.windows[3].clone()
    right = points[..., 0]
    xy = torch.stack([right, -points[..., 2]], -1)[None] * 100 + 300
    score = torch.ones(1, FRAMES, J)
    score[:, :, :6] = 0
    xy[:, :, :6] = 5000.0
    inputs = normalise(xy, score, torch.tensor([0.1]))
    pair = bank.find(inputs, torch.tensor([0]))
    clean = bank.find(seen(bank.windows[3], 0.0), torch.tensor([0]))
    torch.testing.assert_close(pair.xyz, clean.xyz)


def test_nothing_seen_still_gives_a_finite_pair() -> None:
    """Catches a division by no weight at all."""
    bank = bank_of(3)
    xy, score = torch.zeros(2, FRAMES, J, 2), torch.zeros(2, FRAMES, J)
    pair = bank.find(normalise(xy, score, torch.full((2,), 0.1)), torch.zeros(2, dtype=torch.int64))
    assert torch.isfinite(pair.features()).all()
