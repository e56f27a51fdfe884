"""The prompt pair: of all pairs of the action's class, the one most similar to the query.

Source: supplement A.3 (2D-3D pairs as prompts, as in Skeleton-in-Context). Design choice: the paper
draws the pair at random; a network learns to ignore such a pair, since two seconds of 2D joints
tell more about the pose than another person's motion. Here the pair is retrieved: the bank holds
simulated 3D windows of every class, which are turned about the vertical, mirrored and compared with
the query joint by joint and frame by frame; the most similar one is the prompt.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from finephys.pose3d.lifting.inputs import LiftingInputs
from finephys.skeleton import FRAMES, JOINTS, MIRROR

_J = len(JOINTS)
_PITCH = 0.14
"""Radians by which the bank's camera looks down. Design choice: the middle of training's range."""

TURNS = 16
"""Directions from which every window of the bank is compared."""

_FRAMES = slice(0, FRAMES, 2)
"""Frames that are compared; every second one finds the same pair in half the time."""

PAIR_FEATURES = 4
"""Per joint and frame: the pair's 2D (2), its depth (1), its distance from the query (1)."""


@dataclass(frozen=True)
class Pair:
    """One prompt pair a query, in body sizes about each frame's centre.

    Attributes:
        xyz: (N, F, J, 3), the 2D joints with their depth relative to the pelvis.
        distance: (N,), root-mean-square distance between the pair's 2D and the query's.
    """

    xyz: Tensor
    distance: Tensor

    def features(self) -> Tensor:
        """(N, F, J, PAIR_FEATURES)."""
        far = self.distance[:, None, None, None].expand(-1, FRAMES, _J, 1)
        return torch.cat([self.xyz.clamp(-4, 4), far.clamp(max=2)], -1)


class PromptBank(nn.Module):
    """3D windows of every class that pairs are made of."""

    windows: Tensor
    action: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("windows", torch.zeros(size, FRAMES, _J, 3))
        self.register_buffer("action", torch.zeros(size, dtype=torch.int64))
        self._compared: tuple[Tensor, Tensor, Tensor] | None = None

    def fill(self, windows: Tensor, action: Tensor) -> None:
        """Set the windows (size, F, J, 3), metres and z up, and the class of each."""
        self.windows.copy_(windows)
        self.action.copy_(action)
        self._compared = None

    def find(self, inputs: LiftingInputs, action: Tensor) -> Pair:
        """Retrieve the most similar pair of each query's class.

        Args:
            inputs: the queries.
            action: (N,) classes; 0 compares with the pairs of all.
        """
        views, square, classes = self._compare()
        query = inputs.features[:, _FRAMES]
        weight = query[..., 2]  # confidence: joints that were not detected do not count
        weighted = (weight[..., None] * query[..., :2]).flatten(1)
        # sum of w (q - c)^2 = sum w q^2 - 2 sum (w q) c + sum w c^2; the first is the same for all.
        distance = weight.flatten(1) @ square.T - 2 * weighted @ views.T
        other_class = (action[:, None] != 0) & (action[:, None] != classes)
        return self.pair(inputs, distance.masked_fill(other_class, torch.inf).argmin(1))

    @property
    def views(self) -> int:
        """V, the number of pairs: each window from TURNS sides, also mirrored."""
        return len(self.windows) * 2 * TURNS

    def pair(self, inputs: LiftingInputs, row: Tensor) -> Pair:
        """The pairs of number `row` (N,) in 0 to V - 1, with their distance from the queries."""
        xyz = self._views(row)
        query, weight = inputs.features[..., :2], inputs.features[..., 2]
        square = ((query - xyz[..., :2]) ** 2).sum(-1)
        mean = (weight * square).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-6)
        return Pair(xyz, mean.sqrt())

    def _compare(self) -> tuple[Tensor, Tensor, Tensor]:
        """2D of all views (V, C), squared norm of each joint (V, C / 2), each view's class (V,)."""
        if self._compared is None or self._compared[0].device != self.windows.device:
            rows = torch.arange(self.views, device=self.windows.device)
            views = self._views(rows)[:, _FRAMES, :, :2].flatten(1)
            square = (views.reshape(len(views), -1, 2) ** 2).sum(-1)
            self._compared = views, square, self.action[rows // (2 * TURNS)]
        return self._compared

    def _views(self, row: Tensor) -> Tensor:
        """Views (N, F, J, 3): camera axes, root-mean-square size 1 about each frame's centre."""
        points = self.windows[row // (2 * TURNS)]
        mirrored = (row // TURNS % 2 == 1)[:, None, None, None]
        swapped = points[:, :, MIRROR] * torch.tensor([1.0, -1.0, 1.0], device=points.device)
        points = torch.where(mirrored, swapped, points)
        turn = (row % TURNS) * (2 * torch.pi / TURNS)
        cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
        right = points[..., 0] * cos - points[..., 1] * sin
        away = points[..., 0] * sin + points[..., 1] * cos
        c, s = torch.cos(torch.tensor(_PITCH)), torch.sin(torch.tensor(_PITCH))
        down = -points[..., 2] * c + away * s
        depth = away * c + points[..., 2] * s
        flat = torch.stack([right, down], -1)
        flat = flat - flat.mean(2, keepdim=True)
        unit = (flat**2).sum(-1).mean((1, 2)).sqrt().clamp(min=1e-6)[:, None, None]
        deep = (depth - depth[..., :1]) / unit
        return torch.cat([flat / unit[..., None], deep[..., None]], -1)
