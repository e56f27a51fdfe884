"""PhysNet's network: what the body is pushed with, and whom to believe where.

Source: PhysNet of the paper, Eqs. 35 and 41. Design choice: instead of a step-by-step rollout,
which drifts, the motion is the path that fits the lifted body, the detections and the accelerations
M(q)^-1 (J - C) best, both directions of time at once (see `smoothing`). The network says how much
to trust each of the three in every frame and joint.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from finephys.anthropometry import GRAVITY
from finephys.pose3d.physics.dynamics import COORDINATES, DYNAMICS, NoDynamics, joint_masses
from finephys.pose3d.physics.mechanics import rigid_limbs, settle_limbs, without_wrench
from finephys.pose3d.physics.smoothing import smooth
from finephys.skeleton import FRAMES, JOINTS

_J = len(JOINTS)

_SHORTEST_STEP = 1 / 40
"""Seconds: below it forces are no longer scaled up. Design choice: the shortest trained on."""

_LONGEST_FALL = 0.25
"""Seconds between frames above which gravity is off: no flight of a body lasts five of them."""

_DOWN = torch.tensor([0.0, 1.0, 0.0])
"""Gravity's direction before it is learned: y points down in the image."""

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
class Estimate:
    """Measurements and accelerations of one set of points, ready to be solved for a path.

    Attributes:
        measured: (N, K, F, D), D coordinates of K points.
        weight: (N, K, F).
        stiffness: (N, K, F - 2).
        step: (N, K, F - 2, D) metres a frame squared.
    """

    measured: Tensor
    weight: Tensor
    stiffness: Tensor
    step: Tensor

    def solve(self, run: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = smooth) -> Tensor:
        """The path (N, F, K, D), by `smoothing.smooth` or one of the passes."""
        return run(self.measured, self.weight, self.stiffness, self.step).transpose(1, 2)


@dataclass(frozen=True)
class PhysOutput:
    """What the network says of a batch.

    Attributes:
        flat: of the joints' x and y.
        deep: of the joints' z.
        center: of the centre of mass' x and y.
        acceleration: (N, F, J, 3) m/s^2.
        force: (N, F, J, 3) N/kg.
        coriolis: (N, F, J, 3) N/kg.
        flight: (N, F) logit of being in the air.
        contact: (N, F, 2) logit of the left and the right foot's resting on the floor.
        log_error: (N, F, J) logarithm of each joint's expected error in metres.
        inverse_distance: (N,) 1/metre.
        state: (N, F, 51) q at which M and C were taken.
        path: (N, F, J, 3) metres, the combined motion with its limbs settled.
    """

    flat: Estimate
    deep: Estimate
    center: Estimate
    acceleration: Tensor
    force: Tensor
    coriolis: Tensor
    flight: Tensor
    contact: Tensor
    log_error: Tensor
    inverse_distance: Tensor
    state: Tensor
    path: Tensor


def solve_path(
    estimates: tuple[Estimate, Estimate, Estimate],
    run: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = smooth,
) -> Tensor:
    """Path (N, F, J, 3) of `flat`, `deep` and `center`, its limbs settled.

    Joints move about the centre of mass as their own measurements say; the centre of mass moves as
    all of them and gravity say.
    """
    flat, deep, center = (estimate.solve(run) for estimate in estimates)
    masses = joint_masses().to(flat)[:, None]
    flat = flat - (flat * masses).sum(2, keepdim=True) + center
    return settle_limbs(torch.cat([flat, deep], -1))


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
        self.trust = _head(wide, 64, 8 * _J)
        self.correction = _head(wide, 256, COORDINATES)
        self.force = _head(wide, 256, COORDINATES)
        self.frame = _head(width, 32, 5)
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
        said = self.frame(frames)
        flight = said[..., 0] - 1.5
        on = state.ballistic * seen * (state.dt <= _LONGEST_FALL).to(first.dtype)
        air = torch.sigmoid(flight) * on[:, None]
        down = functional.normalize(_DOWN.to(first) + 0.5 * torch.tanh(window[:, 1:4]), dim=-1)
        acceleration, force, coriolis = self._dynamics(
            state, rich, first, velocity, air, down, seen
        )
        trust = self.trust(rich).unflatten(-1, (_J, 8)).clamp(-6, 6)
        step = acceleration[:, 1:-1] * (state.dt**2)[:, None, None, None]
        flat, deep = self._measurements(state, rich, first, distance, seen, trust, step)
        center = self._center(flat, confidence, said[..., 1:3], step)
        return PhysOutput(
            flat=flat,
            deep=deep,
            center=center,
            acceleration=acceleration,
            force=force,
            coriolis=coriolis,
            flight=flight,
            contact=said[..., 3:5],
            log_error=trust[..., 7] - 3.0,
            inverse_distance=distance,
            state=first.flatten(2),
            path=solve_path((flat, deep, center)),
        )

    def _center(self, flat: Estimate, confidence: Tensor, said: Tensor, step: Tensor) -> Estimate:
        """The centre of mass of what is measured, and its acceleration."""
        masses: Tensor = self.get_buffer("masses")
        measured = (flat.measured * masses[:, None, None]).sum(1, keepdim=True)
        weight = torch.exp(said[..., 0].clamp(-6, 6)) * (0.05 + confidence.mean(2))
        stiffness = torch.exp(said[:, 1:-1, 1].clamp(-6, 9))
        push = (step[..., :2] * masses[:, None]).sum(2)
        return Estimate(measured, weight[:, None], stiffness[:, None], push[:, None])

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
        air: Tensor,
        down: Tensor,
        seen: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Acceleration, force and Coriolis term, each (N, F, J, 3).

        J is gravity, the floor's wrench and internal forces. Design choice: internal forces sum to
        no force and no torque; the wrench that remains acts only as far as the body is not in
        flight, and holds the weight there. Free fall therefore leaves gravity alone, and keeps the
        angular momentum.
        """
        count = len(first)
        if isinstance(self.dynamics, NoDynamics):
            nothing = torch.zeros_like(first)
            return nothing, nothing, nothing
        dt = state.dt[:, None, None, None]
        masses: Tensor = self.get_buffer("masses")
        unit = _SMALL * state.height[:, None, None, None] / dt.clamp(min=_SHORTEST_STEP) ** 2
        pushed = self.force(rich).unflatten(-1, (_J, 3)) * unit * masses[:, None]
        pushed = pushed * seen[:, None, None, None]
        flat = (count * FRAMES, COORDINATES)
        q = first.reshape(flat)
        coriolis = self.dynamics.coriolis(q, (velocity / dt).reshape(flat))
        coriolis = coriolis.view_as(pushed) * seen[:, None, None, None]
        if not self.dynamics.mechanical:
            acceleration = self.dynamics.acceleration(q, (pushed - coriolis).reshape(flat))
            return acceleration.view_as(pushed), pushed, coriolis
        inner = without_wrench(pushed, first, masses)
        air = air[..., None, None]
        # z is relative to the centre of mass, which falls with the body.
        gravity = GRAVITY * down * torch.tensor([1.0, 1.0, 0.0], device=dt.device)
        fall = (gravity[:, None, None] * air).expand(-1, -1, _J, -1)
        weight = self.dynamics.momentum(q, fall.reshape(flat)).view_as(pushed)
        force = inner + (1 - air) * (pushed - inner) + weight
        acceleration = self.dynamics.acceleration(q, (force - coriolis).reshape(flat))
        return acceleration.view_as(pushed), force, coriolis

    def _measurements(
        self,
        state: PhysState,
        rich: Tensor,
        first: Tensor,
        distance: Tensor,
        seen: Tensor,
        trust: Tensor,
        step: Tensor,
    ) -> tuple[Estimate, Estimate]:
        """Merge S_dd, detections and rigid limbs into one measurement of x and y, and one of z."""
        said = self.correction(rich)
        if isinstance(self.dynamics, NoDynamics):
            said = said + self.force(rich)
            said = said + self.dynamics.correction(first.reshape(-1, COORDINATES)).view_as(said)
        moved = said.unflatten(-1, (_J, 3)) * 0.1 * seen[:, None, None, None]
        lifted = state.lifted + moved
        confidence = state.confidence[..., None]
        body = torch.exp(trust[..., 0:2]) * (0.15 + confidence)
        eye = torch.exp(trust[..., 4:5]) * confidence * 0.5
        rigid = torch.exp(trust[..., 5:7] - 2.0)
        stiff = rigid_limbs(first)
        depth = first[..., 2:] - first[..., :1, 2:]
        detected = state.detected + state.lever * depth * distance[:, None, None, None]
        flat_weight = body[..., :1] + eye + rigid[..., :1]
        flat = (
            body[..., :1] * lifted[..., :2] + eye * detected + rigid[..., :1] * stiff[..., :2]
        ) / flat_weight
        deep_weight = body[..., 1:] + rigid[..., 1:]
        deep = (body[..., 1:] * lifted[..., 2:] + rigid[..., 1:] * stiff[..., 2:]) / deep_weight
        stiffness = torch.exp(trust[:, 1:-1, :, 2:4]).transpose(1, 2)
        push = step.transpose(1, 2)
        return (
            Estimate(
                flat.transpose(1, 2),
                flat_weight[..., 0].transpose(1, 2),
                stiffness[..., 0],
                push[..., :2],
            ),
            Estimate(
                deep.transpose(1, 2),
                deep_weight[..., 0].transpose(1, 2),
                stiffness[..., 1],
                push[..., 2:],
            ),
        )


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
