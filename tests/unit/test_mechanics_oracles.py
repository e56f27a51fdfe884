"""Euler-Lagrange arithmetic against an independent library and against conservation laws."""

import numpy as np
import pytest
import torch
from torch import Tensor

from finephys.pose3d.physics.dynamics import COORDINATES, FreeDynamics, LearnedDynamics, coriolis_of
from finephys.pose3d.physics.smoothing import pass_backward, pass_forward
from finephys.skeleton import FRAMES

DEGREES = 5
AXES = "xyzxy"
OFFSETS = np.array([[0.1, 0.05 * k, -0.3] for k in range(DEGREES)])
LINK = np.array([0.02, 0.01, -0.15])
# Each link is four points of mass in its own frame.
POINTS = np.random.default_rng(1).normal(0, 0.15, (DEGREES, 4, 3)) + LINK
MASSES = np.random.default_rng(2).uniform(0.2, 0.6, (DEGREES, 4))


def turn(axis: str, angle: Tensor) -> Tensor:
    c, s, o, i = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = {
        "x": (i, o, o, o, c, -s, o, s, c),
        "y": (c, o, s, o, i, o, -s, o, c),
        "z": (c, -s, o, s, c, o, o, o, i),
    }
    return torch.stack(rows[axis]).reshape(3, 3)


def chain_points(q: Tensor) -> Tensor:
    """World positions (20, 3) of the points of mass of a chain of five hinges."""
    turned, place = torch.eye(3, dtype=q.dtype), torch.zeros(3, dtype=q.dtype)
    out = []
    for k in range(DEGREES):
        place = place + turned @ torch.from_numpy(OFFSETS[k])
        turned = turned @ turn(AXES[k], q[k])
        out.append(place + torch.from_numpy(POINTS[k]) @ turned.mT)
    return torch.cat(out)


def chain_momentum(q: Tensor, velocity: Tensor) -> Tensor:
    """M(q) v of the chain, (1, 5)."""
    jacobian = torch.autograd.functional.jacobian(chain_points, q[0], create_graph=True)
    going = jacobian @ velocity[0]
    weight = torch.from_numpy(MASSES.reshape(-1, 1))
    return torch.einsum("pdk,pd->k", jacobian, weight * going)[None]


def test_mass_and_coriolis_of_a_chain_agree_with_pinocchio() -> None:
    """Catches a wrong sign, a missing half or a transposed index in C on a body with 3D hinges."""
    pin = pytest.importorskip("pinocchio")
    model = pin.Model()
    joint = 0
    for k in range(DEGREES):
        kind = {"x": pin.JointModelRX, "y": pin.JointModelRY, "z": pin.JointModelRZ}[AXES[k]]
        joint = model.addJoint(joint, kind(), pin.SE3(np.eye(3), OFFSETS[k]), f"hinge {k}")
        for mass, point in zip(MASSES[k], POINTS[k], strict=True):
            dot = pin.Inertia(float(mass), point, np.zeros((3, 3)))
            model.appendBodyToJoint(joint, dot, pin.SE3.Identity())
    data = model.createData()
    rng = np.random.default_rng(0)
    for _ in range(5):
        q, v = rng.normal(size=DEGREES), rng.normal(size=DEGREES) * 2
        upper = np.triu(pin.crba(model, data, q))
        matrix = upper + np.triu(upper, 1).T
        weight = pin.computeGeneralizedGravity(model, data, q)
        coriolis = pin.nonLinearEffects(model, data, q, v) - weight
        ours_q, ours_v = torch.from_numpy(q)[None], torch.from_numpy(v)[None]
        momentum = chain_momentum(ours_q, ours_v)[0].detach()
        np.testing.assert_allclose(momentum.numpy(), matrix @ v, atol=1e-12)
        found = coriolis_of(chain_momentum, ours_q, ours_v)[0].detach()
        np.testing.assert_allclose(found.numpy(), coriolis, atol=1e-12)
        assert np.abs(coriolis).max() > 0.05


def pendulum(angle: Tensor) -> Tensor:
    """Acceleration of a pendulum of length 1 m."""
    return -9.81 * angle.sin()


def swing_error(step: float) -> Tensor:
    """Error (F,) of a pendulum carried by the forward pass from two exact frames, `step` apart."""
    exact = fine_swing(step)
    weight = torch.full((1, FRAMES), 1e-12, dtype=torch.float64)
    weight[:, :2] = 1e6
    stiffness = torch.full((1, FRAMES - 2), 1e3, dtype=torch.float64)
    path = exact
    for _ in range(FRAMES):  # accelerations are those of the path itself, frame after frame
        push = pendulum(path[1:-1])[None, :, None] * step**2
        path = pass_forward(exact[None, :, None], weight, stiffness, push)[0, :, 0]
    return path - exact


def fine_swing(step: float) -> Tensor:
    """The same pendulum by 400 small steps a frame, the reference."""
    angle, speed = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    out = [angle]
    small = step / 400
    for _ in range(FRAMES - 1):
        for _ in range(400):
            speed = speed + small / 2 * pendulum(angle)
            angle = angle + small * speed
            speed = speed + small / 2 * pendulum(angle)
        out.append(angle)
    return torch.stack(out)


def test_the_passes_integrate_with_second_order() -> None:
    """Catches one-sided velocities, which make the update first order."""
    coarse = swing_error(0.04)[7].abs()
    fine = swing_error(0.02)[14].abs()
    order = float(torch.log2(coarse / fine))
    # The start is exact in both, so that the error is that of the update alone.
    assert 1.8 < order < 2.2, order


def test_forward_and_back_return_to_the_start() -> None:
    """Catches an update that cannot be undone: central differences are their own inverse."""
    step = 0.04
    weight = torch.full((1, FRAMES), 1e-9, dtype=torch.float64)
    stiffness = torch.full((1, FRAMES - 2), 1e3, dtype=torch.float64)
    start = torch.zeros(1, FRAMES, 1, dtype=torch.float64)
    start[:, 1] = 0.3
    push = torch.randn(1, FRAMES - 2, 1, dtype=torch.float64) * step**2
    away = weight.clone()
    away[:, :2] = 1e6
    there = pass_forward(start, away, stiffness, push)
    home = weight.clone()
    home[:, -2:] = 1e6
    back = pass_backward(there, home, stiffness, push)
    assert (back - there).abs().max() < 1e-6
    assert there.abs().max() > 1


@pytest.mark.parametrize("sign", [1, -1])
def test_a_free_body_keeps_its_energy_and_a_wrong_sign_of_c_does_not(sign: int) -> None:
    """Catches a sign error in C: without forces 1/2 v^T M(q) v must not change along the motion."""
    torch.manual_seed(0)
    dynamics = LearnedDynamics().double()
    torch.nn.init.normal_(dynamics.output.weight, std=0.3)
    q = torch.randn(4, COORDINATES, dtype=torch.float64) * 0.3
    v = torch.randn(4, COORDINATES, dtype=torch.float64) * 0.5

    def energy(q: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (v * dynamics.momentum(q, v)).sum(1)

    def rate(q: Tensor, v: Tensor) -> Tensor:
        return dynamics.acceleration(q, -sign * dynamics.coriolis(q, v))

    before = energy(q, v)
    step = 0.002
    with torch.no_grad():
        for _ in range(100):  # midpoint rule of second order
            middle_q, middle_v = q + step / 2 * v, v + step / 2 * rate(q, v)
            q, v = q + step * middle_v, v + step * rate(middle_q, middle_v)
        change = ((energy(q, v) - before) / before).abs()
    if sign > 0:
        assert change.max() < 1e-3
    else:
        assert change.min() > 1e-2


def test_free_dynamics_owes_c_nothing_to_m() -> None:
    """Catches the PhysMoP-like dynamics using the paper's C, which is derived from M."""
    torch.manual_seed(0)
    dynamics = FreeDynamics()
    for parameter in dynamics.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    q, v = torch.randn(8, COORDINATES), torch.randn(8, COORDINATES)
    own = dynamics.coriolis(q, v)
    derived = coriolis_of(dynamics.momentum, q, v)
    assert (own - derived).abs().max() > 1e-2
