"""PhysNet's network: what the body is pushed with, and whom to believe where.

Source: PhysNet of the paper, Eqs. 35 and 41. Design choice: instead of a step-by-step rollout,
which drifts, the motion is the path that fits the lifted body, the detections and the accelerations
M(q)^-1 (J - C) best, both directions of time at once (see `smoothing`). The network says how much
to trust each of the three in every frame and joint.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from finephys.anthropometry import GRAVITY
from finephys.physics.dynamics import COORDINATES, DYNAMICS, joint_masses
from finephys.physics.smoothing import smooth
from finephys.skeleton import FRAMES, JOINTS, LIMBS, PARENTS

_J = len(JOINTS)
_PARENT = [parent for parent, _ in LIMBS]
_CHILD = [child for _, child in LIMBS]

_SHORTEST_STEP = 1 / 40
"""Seconds: below it forces are no longer scaled up. Design choice: the shortest trained on."""

_LONGEST_FALL = 0.25
"""Seconds between frames above which gravity is off: no flight of a body lasts five of them."""

_RIGID_SHARE = 0.5
"""How far limbs of the found path are brought to their mean lengths. Measured: half-way lowers the
error of positions as well as the spread of lengths; all the way costs acceleration and 2D error."""

_SMALL = 0.02
"""Metres a frame squared: unit of the force network's output."""


@dataclass(frozen=True)
class PhysState:
    """One batch in PhysNet's coordinates.

    x and y are metres of a parallel projection, root path included; z is relative to the centre of
    mass, since a single camera sees no common depth. All about the window's mean.

    Attributes:
        lifted: (N, F, J, 3) S_dd.
        detected: (N, F, J, 2) detections; anything where confidence is 0.
        confidence: (N, F, J).
        dt: (N,) seconds.
        ballistic: (N,), 0 where gravity and flight must stay off.
        height: (N,) metres.
        evidence: (N, 4), see `windows.perspective_evidence`.
        lever: (N, F, J, 2) metres from the image's centre, for the perspective correction.
    """

    lifted: Tensor
    detected: Tensor
    confidence: Tensor
    dt: Tensor
    ballistic: Tensor
    height: Tensor
    evidence: Tensor
    lever: Tensor


@dataclass(frozen=True)
class PhysOutput:
    """What the network says of a batch.

    Attributes:
        measured: (N, J, F, 3) measurements all merged, K = x y z last.
        weight: (N, J, 2, F) of x and y, and of z.
        stiffness: (N, J, 2, F - 2).
        acceleration: (N, F, J, 3) m/s^2.
        force: (N, F, J, 3) N/kg.
        coriolis: (N, F, J, 3) N/kg.
        flight: (N, F) logit of being in the air.
        inverse_distance: (N,) 1/metre.
        state: (N, F, 51) q at which M and C were taken.
        path: (N, F, J, 3) metres, the combined motion with its limbs settled.
    """

    measured: Tensor
    weight: Tensor
    stiffness: Tensor
    acceleration: Tensor
    force: Tensor
    coriolis: Tensor
    flight: Tensor
    inverse_distance: Tensor
    state: Tensor
    path: Tensor


class TimeBlock(nn.Module):
    """Residual dilated convolution over frames."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv1d(
            width, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate"
        )
        self.near = nn.Conv1d(width, width, 3, padding=1, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, F) -> (N, D, F)."""
        out: Tensor = x + self.near(functional.gelu(self.wide(self.norm(x))))
        return out


def _head(width: int, hidden: int, out: int) -> nn.Sequential:
    """Two layers whose output starts at 0."""
    last = nn.Linear(hidden, out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), last)


class PhysNetwork(nn.Module):
    """M(q) qddot = J - C and the trust in it, for one kind of dynamics."""

    _inputs = COORDINATES + _J + 2 * _J + COORDINATES + 2

    def __init__(self, dynamics: str, width: int = 128) -> None:
        super().__init__()
        self.dynamics = DYNAMICS[dynamics]()
        self.embed = nn.Conv1d(self._inputs, width, 1)
        self.blocks = nn.ModuleList(TimeBlock(width, dilation) for dilation in (1, 2, 4))
        wide = width + 2 * COORDINATES
        self.trust = _head(wide, 64, 7 * _J)
        self.correction = _head(wide, 256, COORDINATES)
        self.force = _head(wide, 256, COORDINATES)
        self.flight = _head(width, 32, 1)
        self.window = _head(width + 4, 32, 4)
        self.register_buffer("masses", joint_masses(), persistent=False)

    def forward(self, state: PhysState) -> PhysOutput:
        """Merge the measurements, find the accelerations, solve for the path."""
        lifted, confidence = state.lifted, state.confidence
        seen = (confidence > 0).flatten(1).any(1).to(lifted.dtype)
        first = self._first_path(state)
        velocity = torch.gradient(first, dim=1)[0]
        features = self._features(state, first, velocity)
        window = self.window(torch.cat([features.mean(2), state.evidence], -1))
        distance = 0.3 * torch.sigmoid(window[:, 0] - 2.0)
        frames = features.transpose(1, 2)
        rich = torch.cat([frames, first.flatten(2), 4 * velocity.flatten(2)], -1)
        flight = self.flight(frames)[..., 0] - 1.5
        acceleration, force, coriolis = self._dynamics(
            state, rich, first, velocity, flight, window[:, 1:4], seen
        )
        measured, weight, stiffness = self._measurements(state, rich, first, distance, seen)
        step = acceleration[:, 1:-1] * (state.dt**2)[:, None, None, None]
        path = settle_limbs(self.solve(measured, weight, stiffness, step))
        return PhysOutput(
            measured=measured,
            weight=weight,
            stiffness=stiffness,
            acceleration=acceleration,
            force=force,
            coriolis=coriolis,
            flight=flight,
            inverse_distance=distance,
            state=first.flatten(2),
            path=path,
        )

    @staticmethod
    def solve(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
        """Combined path (N, F, J, 3) of measurements and steps (N, F - 2, J, 3)."""
        push = step.transpose(1, 2)
        flat = smooth(measured[..., :2], weight[:, :, 0], stiffness[:, :, 0], push[..., :2])
        deep = smooth(measured[..., 2:], weight[:, :, 1], stiffness[:, :, 1], push[..., 2:])
        return torch.cat([flat, deep], -1).transpose(1, 2)

    def _first_path(self, state: PhysState) -> Tensor:
        """S_dd and detections smoothed with fixed trust, to take q and qdot from; (N, F, J, 3)."""
        confidence = state.confidence.transpose(1, 2)
        lifted = state.lifted.transpose(1, 2)
        detected = state.detected.transpose(1, 2)
        body = 0.15 + confidence
        eye = 0.5 * confidence
        total = body + eye
        flat = (body[..., None] * lifted[..., :2] + eye[..., None] * detected) / total[..., None]
        stiffness = torch.ones_like(body[..., 2:])
        none = torch.zeros_like(lifted[..., 2:, :])
        return torch.cat(
            [
                smooth(flat, total, stiffness, none[..., :2]),
                smooth(lifted[..., 2:], body, stiffness, none[..., 2:]),
            ],
            -1,
        ).transpose(1, 2)

    def _features(self, state: PhysState, first: Tensor, velocity: Tensor) -> Tensor:
        """(N, width, F), everything in body heights."""
        unit = state.height[:, None, None, None]
        known = (state.confidence > 0).to(first.dtype) * state.confidence
        residual = (state.detected - state.lifted[..., :2]) * known[..., None]
        ones = torch.ones_like(state.dt)
        window = torch.stack([_time_feature(state.dt), state.ballistic * ones], -1)
        inputs = torch.cat(
            [
                ((state.lifted - first.mean((1, 2), keepdim=True)) / unit).flatten(2),
                state.confidence,
                (residual / unit).clamp(-1, 1).flatten(2) * 2,
                (velocity / unit).flatten(2) * 4,
                window[:, None].expand(-1, FRAMES, -1),
            ],
            -1,
        )
        x: Tensor = self.embed(inputs.transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        return x

    def _dynamics(
        self,
        state: PhysState,
        rich: Tensor,
        first: Tensor,
        velocity: Tensor,
        flight: Tensor,
        down: Tensor,
        seen: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Acceleration, force and Coriolis term, each (N, F, J, 3).

        J is gravity, the floor's wrench and internal forces. Design choice: internal forces sum to
        no force and no torque; the wrench that remains acts only as far as the body is not in
        flight, and holds the weight there. Free fall therefore leaves gravity alone.
        """
        count = len(first)
        dt = state.dt[:, None, None, None]
        masses: Tensor = self.get_buffer("masses")
        unit = _SMALL * state.height[:, None, None, None] / dt.clamp(min=_SHORTEST_STEP) ** 2
        pushed = self.force(rich).unflatten(-1, (_J, 3)) * unit * masses[:, None]
        pushed = pushed * seen[:, None, None, None]
        inner = without_wrench(pushed, first, masses)
        on = state.ballistic * seen * (state.dt <= _LONGEST_FALL).to(dt.dtype)
        air = (torch.sigmoid(flight) * on[:, None])[..., None, None]
        direction = torch.tensor([0.0, 1.0, 0.0], dtype=dt.dtype, device=dt.device)
        direction = functional.normalize(direction + 0.5 * torch.tanh(down), dim=-1)
        # z is relative to the centre of mass, which falls with the body.
        gravity = GRAVITY * direction * torch.tensor([1.0, 1.0, 0.0], device=dt.device)
        flat = (count * FRAMES, COORDINATES)
        q = first.reshape(flat)
        fall = (gravity[:, None, None] * air).expand(-1, -1, _J, -1)
        weight = self.dynamics.momentum(q, fall.reshape(flat)).view_as(pushed)
        force = inner + (1 - air) * (pushed - inner) + weight
        coriolis = self.dynamics.coriolis(q, (velocity / dt).reshape(flat))
        coriolis = coriolis.view_as(pushed) * seen[:, None, None, None]
        acceleration = self.dynamics.acceleration(q, (force - coriolis).reshape(flat))
        return acceleration.view_as(pushed), force, coriolis

    def _measurements(
        self, state: PhysState, rich: Tensor, first: Tensor, distance: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Merge S_dd, detections and rigid limbs into one measurement with one weight.

        Returns:
            measured (N, J, F, 3), weight (N, J, 2, F), stiffness (N, J, 2, F - 2).
        """
        said = self.trust(rich).unflatten(-1, (_J, 7)).clamp(-6, 6)
        moved = self.correction(rich).unflatten(-1, (_J, 3)) * 0.1 * seen[:, None, None, None]
        lifted = state.lifted + moved
        confidence = state.confidence[..., None]
        body = torch.exp(said[..., 0:2]) * (0.15 + confidence)
        eye = torch.exp(said[..., 4:5]) * confidence * 0.5
        rigid = torch.exp(said[..., 5:7] - 2.0)
        stiff = rigid_limbs(first)
        depth = first[..., 2:] - first[..., :1, 2:]
        detected = state.detected + state.lever * depth * distance[:, None, None, None]
        flat_weight = body[..., :1] + eye + rigid[..., :1]
        flat = (
            body[..., :1] * lifted[..., :2] + eye * detected + rigid[..., :1] * stiff[..., :2]
        ) / flat_weight
        deep_weight = body[..., 1:] + rigid[..., 1:]
        deep = (body[..., 1:] * lifted[..., 2:] + rigid[..., 1:] * stiff[..., 2:]) / deep_weight
        measured = torch.cat([flat, deep], -1).transpose(1, 2)
        weight = torch.cat([flat_weight, deep_weight], -1).permute(0, 2, 3, 1)
        stiffness = torch.exp(said[:, 1:-1, :, 2:4]).permute(0, 2, 3, 1)
        return measured, weight, stiffness


class PhysBank(nn.ModuleDict):
    """One network for each kind of dynamics, as they are trained and stored together."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__({name: PhysNetwork(name) for name in names})

    def forward(self, state: PhysState) -> dict[str, PhysOutput]:
        """What each of them says of a batch."""
        return {name: network(state) for name, network in self.items()}


def _time_feature(dt: Tensor) -> Tensor:
    """Logarithm of the time step about 1/8 s, bounded."""
    return (dt / 0.125).log().clamp(-2.0, 1.0)


def rigid_limbs(points: Tensor) -> Tensor:
    """Points (N, F, J, 3) with every limb at its mean length over the window, directions kept.

    Built from the pelvis outwards, then moved so that each frame's mean point stays.
    """
    limb = points[..., _CHILD, :] - points[..., _PARENT, :]
    length = limb.norm(dim=-1, keepdim=True).clamp(min=1e-4)
    limb = limb * (length.mean(1, keepdim=True) / length)
    out = [points[..., 0, :]]
    for child in range(1, _J):
        out.append(out[PARENTS[child]] + limb[..., child - 1, :])
    built = torch.stack(out, -2)
    return built + (points - built).mean(-2, keepdim=True)


def settle_limbs(path: Tensor) -> Tensor:
    """A path (N, F, J, 3) whose limbs are half-way to their mean lengths over the window."""
    return path + _RIGID_SHARE * (rigid_limbs(path) - path)


def without_wrench(force: Tensor, points: Tensor, masses: Tensor) -> Tensor:
    """Force (N, F, J, 3) freed of its sum and of its torque about the centre of mass.

    What is taken away is the force field of a rigid body's acceleration, in proportion to mass.
    """
    m = masses[:, None]
    arm = points - (points * m).sum(-2, keepdim=True)
    force = force - m * force.sum(-2, keepdim=True)
    torque = torch.linalg.cross(arm, force).sum(-2)
    square = (m * arm**2).sum((-1, -2))[..., None, None]
    eye = torch.eye(3, dtype=force.dtype, device=force.device)
    inertia = square * eye - (m[..., None] * arm[..., :, None] * arm[..., None, :]).sum(-3)
    inertia = inertia + 1e-4 * eye
    spin = torch.linalg.solve(inertia, torque[..., None])[..., 0]
    turning: Tensor = torch.linalg.cross(spin[..., None, :].expand_as(arm), arm)
    return force - m * turning
