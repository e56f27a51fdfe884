"""PhysNet as the pipeline calls it."""

from typing import cast

import torch
from torch import Tensor

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.checkpoints import checkpoint_path, load_module, read_config
from finephys.errors import RequestError
from finephys.physics.dynamics import joint_masses
from finephys.physics.network import PhysBank, PhysNetwork, PhysOutput, PhysState, settle_limbs
from finephys.physics.smoothing import pass_backward, pass_forward
from finephys.skeleton import limb_lengths
from finephys.types import BodyWindows, MotionWindows, PoseWindows
from finephys.windows import (
    confidence_of,
    fill_missing,
    fit_image_scale,
    perspective_evidence,
    window_tensors,
)

CHUNK = 64
"""Windows updated at once."""


def phys_state(
    xy: Tensor,
    score: Tensor,
    dt: Tensor,
    ballistic: Tensor,
    center: Tensor,
    body: Tensor,
    root: Tensor,
) -> tuple[PhysState, Tensor, Tensor]:
    """Bring windows and their lifting into PhysNet's coordinates.

    Args:
        xy: (N, F, J, 2) pixels.
        score: (N, F, J).
        dt: (N,) seconds.
        ballistic: (N,).
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
    height = torch.from_numpy(limb_lengths(body.cpu().numpy()).sum(-1)).to(body).median(1).values
    height = (height / float(LIMB_LENGTHS_PER_HEIGHT.sum())).clamp(min=0.1)
    far = 4 * height[:, None, None, None]
    detected = (filled - offset) / scale - middle
    # A detection metres away from the body is an error; it is brought near and stays one.
    detected = lifted[..., :2] + (detected - lifted[..., :2]).clamp(-far, far)
    state = PhysState(
        lifted=lifted,
        detected=detected,
        confidence=confidence,
        dt=dt,
        ballistic=ballistic,
        height=height,
        evidence=perspective_evidence(placed, filled, confidence, scale, offset, center),
        lever=((filled - center) / scale).clamp(-10, 10),
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
        """PhysNet of a tier with one of its dynamics; None: the one that its training found best.

        Raises:
            WeightsMissingError: when its weights are not there.
            WeightsError: when they do not fit.
            RequestError: when the tier has no weights for these dynamics.
        """
        path = checkpoint_path(tier, "physnet")
        config = read_config(path)
        names: list[str] = config["dynamics"]
        chosen: str = config["default"] if dynamics is None else dynamics
        if chosen not in names:
            raise RequestError(
                f"the {tier} weights hold no {chosen!r} dynamics; choose one of {', '.join(names)}."
            )
        bank = PhysBank(tuple(names))
        load_module(bank, path)
        return cls(cast(PhysNetwork, bank.to(device)[chosen]), chosen)

    def update(
        self, windows: PoseWindows, lifted: BodyWindows, *, mass_matrix: bool = False
    ) -> MotionWindows:
        """Find the motion that fits S_dd, the detections and M(q) qddot = J - C best.

        Args:
            windows: 2D joints that were lifted.
            lifted: S_dd of the same windows.
            mass_matrix: also return M(q).

        Returns:
            Both passes and their combination in metres; acceleration in m/s^2, force and Coriolis
            term in N/kg. Design choice: the depth of accelerations and forces is relative to the
            body's centre of mass, and the root's own depth stays that of S_dd.
        """
        xy, score, dt = window_tensors(windows, str(self._device))
        ballistic = torch.from_numpy(windows.ballistic).to(self._device)
        body = torch.from_numpy(lifted.xyz).to(self._device)
        root = torch.from_numpy(lifted.root).to(self._device)
        center = torch.tensor(windows.size, dtype=torch.float32, device=self._device) / 2
        parts = []
        for begin in range(0, max(len(xy), 1), CHUNK):
            part = slice(begin, begin + CHUNK)
            with torch.inference_mode():
                state, _, _ = phys_state(
                    xy[part], score[part], dt[part], ballistic[part], center, body[part], root[part]
                )
                out = self._network(state)
                parts.append(self._described(out, dt[part], root[part], mass_matrix))
        joined = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
        return MotionWindows(
            forward=BodyWindows(joined[0], joined[1]),
            backward=BodyWindows(joined[2], joined[3]),
            combined=BodyWindows(joined[4], joined[5]),
            acceleration=joined[6],
            force=joined[7],
            coriolis=joined[8],
            mass_matrix=joined[9] if mass_matrix else None,
            dynamics=self.dynamics,
        )

    def _described(
        self, out: PhysOutput, dt: Tensor, root: Tensor, mass_matrix: bool
    ) -> list[Tensor]:
        """The arrays of MotionWindows for one chunk, in their order."""
        step = (out.acceleration[:, 1:-1] * (dt**2)[:, None, None, None]).transpose(1, 2)
        paths = []
        for run in (pass_forward, pass_backward):
            planes = [
                run(out.measured[..., part], out.weight[:, :, row], out.stiffness[:, :, row], push)
                for row, part, push in (
                    (0, slice(0, 2), step[..., :2]),
                    (1, slice(2, 3), step[..., 2:]),
                )
            ]
            paths.append(settle_limbs(torch.cat(planes, -1).transpose(1, 2)))
        values: list[Tensor] = []
        for path in (*paths, out.path):
            values += body_and_root(path, root)
        values += [out.acceleration, out.force, out.coriolis]
        if mass_matrix:
            whole = self._network.dynamics.matrix(out.state.flatten(0, 1))
            values.append(whole.reshape(*out.state.shape[:2], *whole.shape[1:]))
        return [value.contiguous() for value in values]


def body_and_root(path: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """Root-relative body and root path of a path (N, F, J, 3); the depth of `root` stays."""
    pelvis = path[:, :, 0]
    moved = pelvis - pelvis[:, :1]
    moved = torch.cat([moved[..., :2], root[..., 2:]], -1)
    return path - path[:, :, :1], moved
