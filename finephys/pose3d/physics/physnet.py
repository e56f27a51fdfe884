"""PhysNet as the pipeline calls it."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from finephys.errors import RequestError
from finephys.pose3d.geometry import (
    body_height,
    chunks,
    confidence_of,
    fill_missing,
    fit_image_scale,
    perspective_evidence,
    window_tensors,
)
from finephys.pose3d.physics.dynamics import angular_momentum, joint_masses
from finephys.pose3d.physics.network import PhysBank, PhysNetwork, PhysOutput, PhysState, solve_path
from finephys.pose3d.physics.smoothing import pass_backward, pass_forward
from finephys.pose3d.windows import BodyWindows, MotionWindows, PoseWindows
from finephys.types import MOTION_ARRAYS, Float
from finephys.weights.checkpoints import checkpoint_path, load_module, read_config, rebuilding

_LEAST_HEIGHT = 0.1
"""Metres: a lifted body smaller than this is treated as this tall."""

_FARTHEST_DETECTION = 4.0
"""Body heights between a detection and its lifted joint, at most; beyond it is moved nearer."""

_LONGEST_LEVER = 10.0
"""Metres from the image's centre, at most, for the perspective correction."""


def phys_state(
    xy: Tensor,
    score: Tensor,
    dt: Tensor,
    ballistic: Tensor,
    center: Tensor,
    body: Tensor,
    root: Tensor,
) -> tuple[PhysState, Tensor, Tensor]:
    """Convert windows and their lifting to PhysNet's coordinates.

    Args:
        xy: (N, F, J, 2) pixels.
        score: (N, F, J).
        dt: (N,) seconds.
        ballistic: (N,), see `PhysState`.
        center: (2,) pixels, the image's centre.
        body: (N, F, J, 3) metres, root-relative.
        root: (N, F, 3) metres.

    Returns:
        The state; pixels of one metre (N, 1, 1, 1); pixels of the state's origin (N, 1, 1, 2).
    """
    confidence = confidence_of(score)
    filled = fill_missing(xy, confidence)
    placed = body.clone()
    placed[..., :2] += root[:, :, None, :2]
    scale, offset = fit_image_scale(placed, filled, confidence)
    middle = placed[..., :2].mean((1, 2), keepdim=True)
    masses = joint_masses().to(body)
    depth = body[..., 2] - (body[..., 2] * masses).sum(-1, keepdim=True)
    lifted = torch.cat([placed[..., :2] - middle, depth[..., None]], -1)
    height = body_height(body).clamp(min=_LEAST_HEIGHT)
    far = _FARTHEST_DETECTION * height[:, None, None, None]
    detected = (filled - offset) / scale - middle
    # A detection metres away from the body is an error: nearer it is still one, but a bounded one.
    detected = lifted[..., :2] + (detected - lifted[..., :2]).clamp(-far, far)
    state = PhysState(
        lifted=lifted,
        detected=detected,
        confidence=confidence,
        dt=dt,
        ballistic=ballistic,
        height=height,
        evidence=perspective_evidence(placed, filled, confidence, scale, offset, center),
        lever=((filled - center) / scale).clamp(-_LONGEST_LEVER, _LONGEST_LEVER),
    )
    return state, scale, offset + scale * middle


class PhysNet:
    """S_pp: updates lifted windows by Euler-Lagrange dynamics in both directions of time."""

    def __init__(self, network: PhysNetwork, dynamics: str) -> None:
        self._network = network.eval()
        self._device = network.get_buffer("masses").device
        self.dynamics = dynamics

    @classmethod
    def load(cls, tier: str, device: str = "cpu", dynamics: str | None = None) -> "PhysNet":
        """PhysNet of a tier with one of its dynamics; None: its checkpoint's default.

        Raises:
            WeightsMissingError: when its weights are not there.
            WeightsError: when they do not fit.
            RequestError: when the tier has no weights for these dynamics.
        """
        path = checkpoint_path(tier, "physnet")
        config = read_config(path)
        with rebuilding(path):
            names: list[str] = config["dynamics"]
            chosen: str = config["default"] if dynamics is None else dynamics
            bank = PhysBank(tuple(names))
        if chosen not in names:
            raise RequestError(
                f"the {tier} weights hold no {chosen!r} dynamics; choose one of {', '.join(names)}."
            )
        load_module(bank, path)
        return cls(cast(PhysNetwork, bank.to(device)[chosen]), chosen)

    def update(self, windows: PoseWindows, lifted: BodyWindows) -> MotionWindows:
        """Find the motion that fits S_dd, the detections and M(q) qddot = J - C best.

        Args:
            windows: 2D joints that were lifted.
            lifted: S_dd of the same windows.

        Returns:
            Both passes and their combination in metres, and the arrays of `types.Motion`. Design
            choice: the depth of accelerations and forces is relative to the body's centre of mass,
            and the root's own depth stays that of S_dd.
        """
        xy, score = window_tensors(windows, self._device)
        dt = torch.from_numpy(windows.dt).to(self._device)
        ballistic = torch.from_numpy(windows.ballistic).to(self._device)
        body = torch.from_numpy(lifted.xyz).to(self._device)
        root = torch.from_numpy(lifted.root).to(self._device)
        center = torch.tensor(windows.size, dtype=torch.float32, device=self._device) / 2
        bodies: list[list[tuple[Tensor, Tensor]]] = []
        arrays: list[dict[str, Tensor]] = []
        for part in chunks(len(xy)):
            with torch.inference_mode():
                state, _, _ = phys_state(
                    xy[part], score[part], dt[part], ballistic[part], center, body[part], root[part]
                )
                out = self._network(state)
                estimates = (out.flat, out.deep, out.center)
                paths = (solve_path(estimates, run) for run in (pass_forward, pass_backward))
                # Forward, backward and combined, each as root-relative body and root path.
                made = [body_and_root(path, root[part]) for path in (*paths, out.path)]
                bodies.append(made)
                arrays.append(motion_arrays(out, state, *made[-1]))
        forward, backward, combined = (
            BodyWindows(*(_joined(column) for column in zip(*rows, strict=True)))
            for rows in zip(*bodies, strict=True)
        )
        return MotionWindows(
            forward=forward,
            backward=backward,
            combined=combined,
            arrays={name: _joined([part[name] for part in arrays]) for name in MOTION_ARRAYS},
            dynamics=self.dynamics,
        )


def _joined(parts: Sequence[Tensor]) -> Float:
    whole: Float = torch.cat(list(parts)).contiguous().cpu().numpy()
    return whole


def motion_arrays(
    out: PhysOutput, state: PhysState, body: Tensor, root: Tensor
) -> dict[str, Tensor]:
    """MOTION_ARRAYS of a batch.

    Args:
        out: the network's output.
        state: the network's input.
        body: (N, F, J, 3) metres, root-relative, of S_pp.
        root: (N, F, 3) metres, its root's path.
    """
    masses = joint_masses().to(body)[:, None]
    velocity = torch.gradient(body, dim=1)[0] / state.dt[:, None, None, None]
    return {
        "acceleration": out.acceleration,
        "force": out.force,
        "coriolis": out.coriolis,
        "flight": torch.sigmoid(out.flight) * out.judged[:, None],
        "contact": torch.sigmoid(out.contact) * out.judged[:, None, None],
        "center_of_mass": root + (body * masses).sum(2),
        "angular_momentum": angular_momentum(body, velocity),
        "expected_error": out.log_error.exp(),
    }


def body_and_root(path: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """Split a path into body and root path.

    Args:
        path: (N, F, J, 3) metres, z relative to the centre of mass.
        root: (N, F, 3) metres; its z is kept.

    Returns:
        Root-relative body (N, F, J, 3) and root path (N, F, 3) about the first frame, metres.
    """
    pelvis = path[:, :, 0]
    moved = pelvis - pelvis[:, :1]
    moved = torch.cat([moved[..., :2], root[..., 2:]], -1)
    return path - path[:, :, :1], moved
