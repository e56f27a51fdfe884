"""PhysNet's network: forces on the body, and the weight of each measurement.

Source: PhysNet of the paper, Eqs. 35 and 41. Design choice: instead of a step-by-step rollout,
which drifts, the motion is the path that fits the lifted body, the detections and the accelerations
M(q)^-1 (J - C) best, in both directions of time at once (see `smoothing`). The network gives the
weight of each of the three in every frame and joint.

Names of layers are keys of the shipped weights and stay as they were trained: `trust` gives the
weights, `frame` what belongs to a whole frame, `window` what belongs to the window.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from finephys.anthropometry import GRAVITY
from finephys.pose3d.geometry import time_feature
from finephys.pose3d.physics.dynamics import COORDINATES, DYNAMICS, NoDynamics, joint_masses
from finephys.pose3d.physics.mechanics import relax_limb_lengths, remove_net_wrench, rigid_limbs
from finephys.pose3d.physics.smoothing import smooth
from finephys.skeleton import FRAMES, JOINTS

_J = len(JOINTS)

# Design choices, all of them; an untrained network's heads give 0.

_SHORTEST_STEP = 1 / 40
"""Seconds: below it forces are no longer scaled up. The shortest trained on."""

_LONGEST_FALL = 0.25
"""Seconds between frames above which gravity is off: no flight of a body lasts five of them."""

_DOWN = torch.tensor([0.0, 1.0, 0.0])
"""Gravity's direction before it is learned: y points down in the image."""

_FORCE_UNIT = 0.02
"""Body heights a frame squared: acceleration that an output of 1 of the force head stands for."""

_CORRECTION_UNIT = 0.1
"""Metres that an output of 1 of the correction head moves a lifted joint."""

_LOG_BOUND = 6.0
"""Logarithms of weights and stiffness lie within +- this."""

_LOG_BOUND_CENTER = 9.0
"""Greatest logarithm of the centre of mass' stiffness: in flight its path is nearly a parabola."""

_LIFTED_UNSEEN = 0.15
"""Weight of a lifted joint without a detection; with one its confidence is added."""

_DETECTED_SHARE = 0.5
"""Weight of a detection over its confidence."""

_CENTER_UNSEEN = 0.05
"""Weight of the centre of mass in a frame without detections."""

_RIGID_LOGIT = -2.0
"""Logarithm of the weight of the body with constant limb lengths."""

_FLIGHT_LOGIT = -1.5
"""Logit of flight; most frames of most clips are on the floor."""

_ERROR_LOG = -3.0
"""Logarithm of a joint's expected error in metres, 5 cm."""

_DISTANCE_LOGIT = -2.0
"""Logit of 1 / distance over its bound; the camera is then 28 m away."""

_MOST_INVERSE_DISTANCE = 0.3
"""1/metre: no camera is nearer than 3.3 m."""


@dataclass(frozen=True)
class PhysState:
    """One batch in PhysNet's coordinates.

    x and y are metres of a parallel projection, root path included; z is relative to the centre of
    mass, since one camera does not see how far the whole body moves in depth. All about the
    window's mean.

    Attributes:
        lifted: (N, F, J, 3) S_dd.
        detected: (N, F, J, 2) detections; anything where confidence is 0.
        confidence: (N, F, J).
        dt: (N,) seconds.
        ballistic: (N,), 0 where gravity and flight must stay off.
        height: (N,) metres.
        evidence: (N, 4), see `geometry.perspective_evidence`.
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
    """The network's output for a batch.

    Attributes:
        flat: of the joints' x and y.
        deep: of the joints' z.
        center: of the centre of mass' x and y.
        acceleration: (N, F, J, 3) m/s^2.
        force: (N, F, J, 3) N/kg.
        coriolis: (N, F, J, 3) N/kg.
        judged: (N,), 1 where flight and contact are judged, else 0: the camera moved, nothing was
            detected, or frames lie too far apart.
        flight: (N, F) logit of being airborne.
        contact: (N, F, 2) logits of the left and the right foot's resting on the floor.
        log_error: (N, F, J) logarithm of each joint's expected error in metres.
        inverse_distance: (N,) 1/metre.
        path: (N, F, J, 3) metres, the combined motion, its limbs nearer to constant length.
    """

    flat: Estimate
    deep: Estimate
    center: Estimate
    acceleration: Tensor
    force: Tensor
    coriolis: Tensor
    judged: Tensor
    flight: Tensor
    contact: Tensor
    log_error: Tensor
    inverse_distance: Tensor
    path: Tensor


class LogWeights(NamedTuple):
    """The `trust` head's outputs in their order, each (N, F, J) within +- _LOG_BOUND."""

    lifted_flat: Tensor
    lifted_deep: Tensor
    stiffness_flat: Tensor
    stiffness_deep: Tensor
    detected: Tensor
    rigid_flat: Tensor
    rigid_deep: Tensor
    error: Tensor


def solve_path(
    estimates: tuple[Estimate, Estimate, Estimate],
    run: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = smooth,
) -> Tensor:
    """Path (N, F, J, 3) of `flat`, `deep` and `center`, its limbs nearer to constant length.

    Joints move about the centre of mass by their own measurements; the centre of mass moves by all
    of them and gravity.
    """
    flat, deep, center = (estimate.solve(run) for estimate in estimates)
    masses = joint_masses().to(flat)[:, None]
    flat = flat - (flat * masses).sum(2, keepdim=True) + center
    return relax_limb_lengths(torch.cat([flat, deep], -1))


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
    """M(q) qddot = J - C and the measurements' weights, for one kind of dynamics."""

    _inputs = COORDINATES + _J + 2 * _J + COORDINATES + 2

    def __init__(self, dynamics: str, width: int = 128) -> None:
        super().__init__()
        self.dynamics = DYNAMICS[dynamics]()
        self.embed = nn.Conv1d(self._inputs, width, 1)
        self.blocks = nn.ModuleList(TimeBlock(width, dilation) for dilation in (1, 2, 4))
        wide = width + 2 * COORDINATES
        self.trust = _head(wide, 64, len(LogWeights._fields) * _J)
        self.correction = _head(wide, 256, COORDINATES)
        self.force = _head(wide, 256, COORDINATES)
        self.frame = _head(width, 32, 5)  # flight, centre's weight and stiffness, two feet
        self.window = _head(width + 4, 32, 4)  # distance, direction of gravity (3)
        self.register_buffer("masses", joint_masses(), persistent=False)

    def forward(self, state: PhysState) -> PhysOutput:
        """Find the accelerations, merge the measurements, solve for the path."""
        lifted, confidence = state.lifted, state.confidence
        seen = (confidence > 0).flatten(1).any(1).to(lifted.dtype)
        # q and qdot, at which M, C and J are taken.
        first = self.first_path(state)
        velocity = torch.gradient(first, dim=1)[0]

        features = self._features(state, first, velocity)
        frames = features.transpose(1, 2)
        rich = torch.cat([frames, first.flatten(2), 4 * velocity.flatten(2)], -1)
        window = self.window(torch.cat([features.mean(2), state.evidence], -1))
        distance = _MOST_INVERSE_DISTANCE * torch.sigmoid(window[:, 0] + _DISTANCE_LOGIT)
        # Gravity may lean from the image's vertical by at most 55 degrees.
        down = functional.normalize(_DOWN.to(first) + 0.5 * torch.tanh(window[:, 1:4]), dim=-1)
        flight, center_weight, center_stiffness, *feet = self.frame(frames).unbind(-1)
        flight = flight + _FLIGHT_LOGIT

        judged = state.ballistic * seen * (state.dt <= _LONGEST_FALL).to(first.dtype)
        air = torch.sigmoid(flight) * judged[:, None]
        acceleration, force, coriolis = self._dynamics(
            state, rich, first, velocity, air, down, seen
        )
        step = acceleration[:, 1:-1] * (state.dt**2)[:, None, None, None]
        weights = self.trust(rich).unflatten(-1, (_J, len(LogWeights._fields)))
        weights = LogWeights(*weights.clamp(-_LOG_BOUND, _LOG_BOUND).unbind(-1))
        flat, deep = self._measurements(state, rich, first, distance, seen, weights, step)
        center = self._center(flat, confidence, center_weight, center_stiffness, step)
        return PhysOutput(
            flat=flat,
            deep=deep,
            center=center,
            acceleration=acceleration,
            force=force,
            coriolis=coriolis,
            judged=judged,
            flight=flight,
            contact=torch.stack(feet, -1),
            log_error=weights.error + _ERROR_LOG,
            inverse_distance=distance,
            path=solve_path((flat, deep, center)),
        )

    def _center(
        self, flat: Estimate, confidence: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor
    ) -> Estimate:
        """The centre of mass of the measured joints, and its acceleration.

        Args:
            flat: of the joints.
            confidence: (N, F, J).
            weight: (N, F) logarithms.
            stiffness: (N, F) logarithms; the first and last frame's are not used.
            step: (N, F - 2, J, 3) metres a frame squared.
        """
        masses: Tensor = self.get_buffer("masses")
        measured = (flat.measured * masses[:, None, None]).sum(1, keepdim=True)
        weight = weight.clamp(-_LOG_BOUND, _LOG_BOUND).exp()
        weight = weight * (_CENTER_UNSEEN + confidence.mean(2))
        stiffness = stiffness[:, 1:-1].clamp(-_LOG_BOUND, _LOG_BOUND_CENTER).exp()
        push = (step[..., :2] * masses[:, None]).sum(2)
        return Estimate(measured, weight[:, None], stiffness[:, None], push[:, None])

    def first_path(self, state: PhysState) -> Tensor:
        """S_dd and detections smoothed with fixed weights: q in metres, (N, F, J, 3)."""
        confidence = state.confidence.transpose(1, 2)
        lifted = state.lifted.transpose(1, 2)
        detected = state.detected.transpose(1, 2)
        by_lifting = _LIFTED_UNSEEN + confidence
        by_detection = _DETECTED_SHARE * confidence
        total = by_lifting + by_detection
        flat = by_lifting[..., None] * lifted[..., :2] + by_detection[..., None] * detected
        stiffness = torch.ones_like(total[..., 2:])
        none = torch.zeros_like(lifted[..., 2:, :])
        return torch.cat(
            [
                smooth(flat / total[..., None], total, stiffness, none[..., :2]),
                smooth(lifted[..., 2:], by_lifting, stiffness, none[..., 2:]),
            ],
            -1,
        ).transpose(1, 2)

    def _features(self, state: PhysState, first: Tensor, velocity: Tensor) -> Tensor:
        """Features (N, width, F) of each frame; lengths enter as multiples of the body height."""
        unit = state.height[:, None, None, None]
        known = (state.confidence > 0).to(first.dtype) * state.confidence
        residual = (state.detected - state.lifted[..., :2]) * known[..., None]
        ones = torch.ones_like(state.dt)
        window = torch.stack([time_feature(state.dt), state.ballistic * ones], -1)
        inputs = torch.cat(
            [
                ((state.lifted - first.mean((1, 2), keepdim=True)) / unit).flatten(2),
                state.confidence,
                # Times 2 and 4: about as large as the positions.
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
        """Acceleration, force J and Coriolis term C, each (N, F, J, 3).

        J is gravity, the floor's wrench and internal forces. Design choice: internal forces sum to
        no force and no torque; the wrench that remains acts only as far as the body is not
        airborne, and bears the weight there. A body in free fall therefore feels gravity alone and
        keeps its angular momentum.

        Args:
            state: of the batch.
            rich: (N, F, D) features.
            first: (N, F, J, 3) metres, q.
            velocity: (N, F, J, 3) metres a frame.
            air: (N, F) probability of being airborne.
            down: (N, 3) unit vectors, direction of gravity.
            seen: (N,), 0 where nothing was detected.
        """
        count = len(first)
        if isinstance(self.dynamics, NoDynamics):
            nothing = torch.zeros_like(first)
            return nothing, nothing, nothing
        dt = state.dt[:, None, None, None]
        masses: Tensor = self.get_buffer("masses")
        unit = _FORCE_UNIT * state.height[:, None, None, None] / dt.clamp(min=_SHORTEST_STEP) ** 2
        pushed = self.force(rich).unflatten(-1, (_J, 3)) * unit * masses[:, None]
        pushed = pushed * seen[:, None, None, None]
        flat = (count * FRAMES, COORDINATES)
        q = first.reshape(flat)
        coriolis = self.dynamics.coriolis(q, (velocity / dt).reshape(flat))
        coriolis = coriolis.view_as(pushed) * seen[:, None, None, None]
        if not self.dynamics.mechanical:
            acceleration = self.dynamics.acceleration(q, (pushed - coriolis).reshape(flat))
            return acceleration.view_as(pushed), pushed, coriolis
        inner = remove_net_wrench(pushed, first, masses)
        air = air[..., None, None]
        # No gravity along z, which is relative to the centre of mass and falls with it.
        gravity = GRAVITY * down * torch.tensor([1.0, 1.0, 0.0], device=dt.device)
        fall = (gravity[:, None, None] * air).expand(-1, -1, _J, -1)
        # Gravity as a force is M(q) g, so that M^-1 gives g back whatever M is.
        weight = self.dynamics.momentum(q, fall.reshape(flat)).view_as(pushed)
        # On the floor the weight and what bears it cancel: neither is added.
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
        weights: LogWeights,
        step: Tensor,
    ) -> tuple[Estimate, Estimate]:
        """Merge S_dd, detections and rigid limbs into one measurement of x and y, and one of z.

        Args:
            state: of the batch.
            rich: (N, F, D) features.
            first: (N, F, J, 3) metres, q.
            distance: (N,) 1/metre, inverse distance of the camera.
            seen: (N,), 0 where nothing was detected.
            weights: of the measurements and the accelerations.
            step: (N, F - 2, J, 3) metres a frame squared.
        """
        correction = self.correction(rich)
        if isinstance(self.dynamics, NoDynamics):
            # The control spends the parameters of forces and masses on the measurements.
            correction = correction + self.force(rich)
            by_mass = self.dynamics.correction(first.reshape(-1, COORDINATES))
            correction = correction + by_mass.view_as(correction)
        correction = correction.unflatten(-1, (_J, 3)) * _CORRECTION_UNIT
        lifted = state.lifted + correction * seen[:, None, None, None]
        rigid = rigid_limbs(first)
        # A joint behind the pelvis appears nearer to the image's centre than it is.
        depth = first[..., 2:] - first[..., :1, 2:]
        detected = state.detected + state.lever * depth * distance[:, None, None, None]

        # x and y: the weighted mean of all three; z: of the lifted and the rigid body.
        base = _LIFTED_UNSEEN + state.confidence
        by_lifting = weights.lifted_flat.exp() * base
        by_detection = weights.detected.exp() * state.confidence * _DETECTED_SHARE
        by_rigidity = (weights.rigid_flat + _RIGID_LOGIT).exp()
        flat_weight = by_lifting + by_detection + by_rigidity
        flat = (
            by_lifting[..., None] * lifted[..., :2]
            + by_detection[..., None] * detected
            + by_rigidity[..., None] * rigid[..., :2]
        ) / flat_weight[..., None]
        by_lifting = weights.lifted_deep.exp() * base
        by_rigidity = (weights.rigid_deep + _RIGID_LOGIT).exp()
        deep_weight = by_lifting + by_rigidity
        deep = (
            by_lifting[..., None] * lifted[..., 2:] + by_rigidity[..., None] * rigid[..., 2:]
        ) / deep_weight[..., None]

        def estimate(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Estimate:
            return Estimate(
                measured.transpose(1, 2),
                weight.transpose(1, 2),
                stiffness[:, 1:-1].exp().transpose(1, 2),
                step.transpose(1, 2),
            )

        return (
            estimate(flat, flat_weight, weights.stiffness_flat, step[..., :2]),
            estimate(deep, deep_weight, weights.stiffness_deep, step[..., 2:]),
        )


class PhysBank(nn.ModuleDict):
    """One network for each kind of dynamics, as they are trained and stored together."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__({name: PhysNetwork(name) for name in names})

    def forward(self, state: PhysState) -> dict[str, PhysOutput]:
        """Outputs of each of them for a batch."""
        return {name: network(state) for name, network in self.items()}
