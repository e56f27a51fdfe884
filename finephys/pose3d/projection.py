"""S_re-proj: the learned 2D projection of a 3D body onto the clip (supplement A.4).

Design choice: a perspective camera is fitted in closed form to the detections. A small network
gives each detection its weight in that fit, estimates the camera's distance, and moves each
projected joint a learned share of the way to its detection, so that good detections are kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from finephys.pose3d.geometry import (
    body_height,
    chunks,
    confidence_of,
    fill_missing,
    fit_image_scale,
    perspective_evidence,
    weighted_mean,
    window_tensors,
)
from finephys.pose3d.windows import BodyWindows, DetectedWindows
from finephys.skeleton import JOINTS
from finephys.types import Float
from finephys.weights.checkpoints import checkpoint_path, load_module

_J = len(JOINTS)

_LEAST_HEIGHT = 0.1
"""Metres: a lifted body smaller than this is treated as this tall."""

_MOST_INVERSE_DISTANCE = 0.3
"""1/metre: no camera is nearer than 3.3 m. Design choice: training's cameras are 2.5 body heights
away or more, and the bound keeps every joint in front of the camera."""

_LOG_WEIGHT = (-6.0, 3.0)
"""Bounds of the logarithm of a detection's weight in the camera fit."""

_NEAREST_DEPTH = 0.2
"""Least depth of a joint over that of the pelvis."""


@dataclass(frozen=True)
class Projected:
    """The network's output for a batch.

    Attributes:
        xy: (N, F, J, 2) pixels, S_re-proj.
        camera_xy: (N, F, J, 2) pixels, the fitted camera's projection alone.
        inverse_distance: (N,) 1/metre.
        scale: (N, 1, 1, 1) pixels per metre at the pelvis.
    """

    xy: Tensor
    camera_xy: Tensor
    inverse_distance: Tensor
    scale: Tensor


class ProjectionNetwork(nn.Module):
    """Weight of each detection, distance of the camera, share of each residual to close.

    Names of layers are keys of the shipped weights: `trust` gives the weights, `follow` the inertia
    of a frame's translation.
    """

    _inputs = 8

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.joint_code = nn.Parameter(torch.zeros(_J, width))
        self.embed = nn.Linear(self._inputs, width)
        self.embed_residual = nn.Linear(4, width)
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.trust = nn.Linear(width, 1)
        self.share = nn.Linear(2 * width, 1)
        last = nn.Linear(32, 1)
        self.distance = nn.Sequential(nn.Linear(width + 4, 32), nn.GELU(), last)
        self.follow = nn.Parameter(torch.zeros(()))
        for layer in (self.trust, self.share, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, points: Tensor, xy: Tensor, score: Tensor, center: Tensor, height: Tensor
    ) -> Projected:
        """Project a batch.

        Args:
            points: (N, F, J, 3) metres, root path included, z relative to the pelvis.
            xy: (N, F, J, 2) pixels, detections.
            score: (N, F, J).
            center: (2,) pixels, the image's centre.
            height: (N,) metres.
        """
        confidence = confidence_of(score)
        filled = fill_missing(xy, confidence)
        scale, offset = fit_image_scale(points, filled, confidence)
        evidence = perspective_evidence(points, filled, confidence, scale, offset, center)
        unit = scale * height[:, None, None, None]
        hidden = self._hidden(points, filled, confidence, scale, offset, height)
        # 0.05: a window without detections still has a mean.
        window = weighted_mean(hidden, 0.05 + confidence, (1, 2))[:, 0, 0]
        # Minus 2: an untrained network begins with a camera about 28 m away.
        logit = self.distance(torch.cat([window, evidence], -1))[:, 0] - 2.0
        distance = _MOST_INVERSE_DISTANCE * torch.sigmoid(logit)
        weight = confidence * torch.exp(self.trust(hidden)[..., 0].clamp(*_LOG_WEIGHT))
        camera = self._camera(points, filled, weight, center, distance)
        residual = (filled - camera) / unit
        error = residual.norm(dim=-1, keepdim=True)
        # A second pass through `mix` sees how far the fitted camera is from each detection.
        inputs = torch.cat([error, residual, confidence[..., None]], -1).clamp(-1, 1)
        second = self.mix(self.embed_residual(inputs) + self.joint_code)
        # A joint without a detection (confidence 0) stays where the camera projects it.
        share = torch.sigmoid(self.share(torch.cat([hidden, second], -1))) * confidence[..., None]
        return Projected(camera + share * residual * unit, camera, distance, scale)

    def _hidden(
        self,
        points: Tensor,
        filled: Tensor,
        confidence: Tensor,
        scale: Tensor,
        offset: Tensor,
        height: Tensor,
    ) -> Tensor:
        """Features (N, F, J, width) of each joint from its confidence, residual and neighbours."""
        unit = scale * height[:, None, None, None]
        residual = ((filled - scale * points[..., :2] - offset) / unit).clamp(-1, 1)
        known = (confidence > 0)[..., None].to(residual.dtype)
        residual = residual * known
        local = residual - weighted_mean(residual, confidence, (2,))
        past = torch.cat([local[:, :1], local[:, :-1]], 1)
        jump = (local - past).norm(dim=-1, keepdim=True)
        depth = points[..., 2:] / height[:, None, None, None]
        size = local.norm(dim=-1, keepdim=True)
        inputs = torch.cat([size, local, confidence[..., None], jump, depth, residual], -1)
        hidden: Tensor = self.mix(self.embed(inputs) + self.joint_code)
        return hidden

    def _camera(
        self,
        points: Tensor,
        xy: Tensor,
        weight: Tensor,
        center: Tensor,
        distance: Tensor,
    ) -> Tensor:
        """Fit scale and each frame's translation, then project: (N, F, J, 2) pixels.

        A joint's pixels are center + (pelvis + scale xy) / (1 + k z), with pelvis the frame's
        translation in pixels; it follows the detections of its frame as far as there are any and
        the root path of S_pp otherwise.
        """
        depth = (1 + distance[:, None, None, None] * points[..., 2:]).clamp(min=_NEAREST_DEPTH)
        flat = points[..., :2]
        pixels = (xy - center) * depth  # where a parallel projection would put the detection
        # The residual in pixels of the image is that of `pixels` over the depth: weights go with
        # its square.
        weight = weight / depth[..., 0] ** 2
        scale, offset = fit_image_scale(flat, pixels, weight)
        base = scale * flat + offset
        # Each frame's translation is shrunk towards 0 as if by one more joint of weight exp(follow)
        # that lies where the window's fit puts it.
        total = weight.sum(2, keepdim=True)
        shift = (weight[..., None] * (pixels - base)).sum(2, keepdim=True)
        shift = shift / (total + torch.exp(self.follow))[..., None]
        return center + (base + shift) / depth


class Projection:
    """S_re-proj: projects a 3D body onto the clip it was lifted from."""

    def __init__(self, network: ProjectionNetwork) -> None:
        self._network = network.eval()
        self._device = network.joint_code.device

    @classmethod
    def load(cls, tier: str, device: str = "cpu") -> "Projection":
        """The projection module of a tier.

        Raises:
            WeightsMissingError: when its weights are not there.
            WeightsError: when they do not fit.
        """
        network = ProjectionNetwork()
        load_module(network, checkpoint_path(tier, "projection"))
        return cls(network.to(device))

    def project(self, windows: DetectedWindows, body: BodyWindows, follow: bool = True) -> Float:
        """Project bodies onto the images of their windows.

        Args:
            windows: 2D joints that the bodies were lifted from.
            body: fused S_dd and S_pp.
            follow: move joints the learned share of the way to their detections; False returns the
                fitted camera's projection of the body alone.

        Returns:
            (N, F, J, 2) pixels. A window without any detection is drawn at its image's centre, as
            tall as four fifths of the image's height.
        """
        xy, score = window_tensors(windows, self._device)
        center = torch.tensor(windows.size, dtype=torch.float32, device=self._device) / 2
        out = np.empty(windows.xy.shape, np.float32)
        for part in chunks(len(xy)):
            with torch.inference_mode():
                points, height = placed_points(
                    torch.from_numpy(body.xyz[part]).to(self._device),
                    torch.from_numpy(body.root[part]).to(self._device),
                )
                found = self._network(points, xy[part], score[part], center, height)
                made = found.xy if follow else found.camera_xy
                drawn = _unseen(points, height, windows.size)
                seen = (confidence_of(score[part]) > 0).flatten(1).any(1)
                out[part] = torch.where(seen[:, None, None, None], made, drawn).cpu().numpy()
        return out


def placed_points(body: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """Points with the root path in x and y (N, F, J, 3), and body heights (N,), metres."""
    points = body.clone()
    points[..., :2] += root[:, :, None, :2]
    return points, body_height(body).clamp(min=_LEAST_HEIGHT)


def _unseen(points: Tensor, height: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels of a body without any detection: centred, four fifths of the image tall."""
    center = torch.tensor(size, dtype=points.dtype, device=points.device) / 2
    flat = points[..., :2] - points[..., :2].mean((1, 2), keepdim=True)
    return center + flat * (0.8 * size[1] / height)[:, None, None, None]
