"""Euler-Lagrange dynamics against closed forms."""

import pytest
import torch
from torch import Tensor

from finephys.anthropometry import (
    GRAVITY,
    POINT_MASSES,
    SEGMENTS,
    center_of_mass_weights,
    consistent_mass_matrix,
)
from finephys.config import DYNAMICS_TITLES
from finephys.pose3d.physics.dynamics import (
    COORDINATES,
    DYNAMICS,
    AnthropometricDynamics,
    LearnedDynamics,
    angular_momentum,
    coriolis_of,
    joint_masses,
)
from finephys.pose3d.physics.mechanics import remove_net_wrench, rigid_limbs
from finephys.pose3d.physics.network import PhysNetwork, PhysState
from finephys.skeleton import FRAMES, JOINTS, limb_lengths

M1, M2, L1, L2 = 1.3, 0.7, 0.8, 0.6
JOINT_COUNT = len(JOINTS)


def pendulum_momentum(q: Tensor, velocity: Tensor) -> Tensor:
    """M(q) v of a double pendulum."""
    cosine = torch.cos(q[:, 0] - q[:, 1]) * M2 * L1 * L2
    first = (M1 + M2) * L1**2 * velocity[:, 0] + cosine * velocity[:, 1]
    return torch.stack([first, cosine * velocity[:, 0] + M2 * L2**2 * velocity[:, 1]], -1)


def test_coriolis_of_double_pendulum_matches_closed_form() -> None:
    """Catches a wrong sign or factor in C (a sign error doubles the difference)."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    velocity = 3 * torch.randn(200, 2, generator=generator, dtype=torch.float64)
    sine = torch.sin(q[:, 0] - q[:, 1]) * M2 * L1 * L2
    expected = torch.stack([sine * velocity[:, 1] ** 2, -sine * velocity[:, 0] ** 2], -1)
    assert (coriolis_of(pendulum_momentum, q, velocity) - expected).abs().max() < 1e-12


def test_coriolis_does_no_work_beyond_the_change_of_mass() -> None:
    """Passivity, qdot.C = 1/2 qdot^T Mdot qdot, for the learned mass matrix."""
    torch.manual_seed(0)
    dynamics = LearnedDynamics().double()
    torch.nn.init.normal_(dynamics.output.weight, std=0.3)
    q = torch.randn(20, COORDINATES, dtype=torch.float64) * 0.4
    velocity = torch.randn(20, COORDINATES, dtype=torch.float64)
    with torch.no_grad():
        power = (velocity * dynamics.coriolis(q, velocity)).sum(1)
        step = 1e-5
        rate = dynamics.matrix(q + step * velocity) - dynamics.matrix(q - step * velocity)
        expected = 0.5 * torch.einsum("ni,nij,nj->n", velocity, rate / (2 * step), velocity)
    assert power.abs().min() > 1e-3
    assert ((power - expected).abs() / expected.abs().mean()).max() < 1e-6


def test_coriolis_works_in_inference_mode_and_carries_gradients_in_training() -> None:
    """Catches C silently becoming zero or unlearnable."""
    torch.manual_seed(0)
    dynamics = LearnedDynamics()
    q, velocity = torch.randn(4, COORDINATES), torch.randn(4, COORDINATES)
    with torch.inference_mode():
        still = dynamics.coriolis(q, velocity)
    trained = dynamics.coriolis(q, velocity)
    torch.testing.assert_close(still, trained.detach())
    trained.square().sum().backward()
    assert dynamics.output.weight.grad is not None
    assert dynamics.output.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["anthropometric", "euler-lagrange", "free"])
def test_mass_matrix_is_symmetric_positive_definite_and_inverted(name: str) -> None:
    """Catches an indefinite M, and an inverse that is not that of the M shown."""
    torch.manual_seed(1)
    dynamics = DYNAMICS[name]()
    if isinstance(dynamics, LearnedDynamics):
        torch.nn.init.normal_(dynamics.output.weight, std=0.3)
    dynamics = dynamics.double()
    q = torch.randn(8, COORDINATES, dtype=torch.float64)
    force = torch.randn(8, COORDINATES, dtype=torch.float64)
    matrix = dynamics.matrix(q)
    torch.testing.assert_close(matrix, matrix.mT)
    assert torch.linalg.eigvalsh(matrix).min() > 0
    carried = (matrix @ dynamics.acceleration(q, force)[..., None])[..., 0]
    torch.testing.assert_close(carried, force, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        dynamics.momentum(q, force), (matrix @ force[..., None])[..., 0], rtol=1e-4, atol=1e-5
    )


def test_learned_mass_depends_on_the_shape_in_metres_and_not_on_the_place() -> None:
    """Catches inputs in another unit than documented, which the shipped weights do not expect."""
    torch.manual_seed(0)
    dynamics = LearnedDynamics()
    torch.nn.init.normal_(dynamics.output.weight, std=0.3)
    q = 0.3 * torch.randn(4, COORDINATES)
    moved = (q.reshape(4, -1, 3) + torch.tensor([5.0, -2.0, 1.0])).flatten(1)
    torch.testing.assert_close(dynamics.matrix(moved), dynamics.matrix(q), rtol=1e-3, atol=1e-5)
    smaller = dynamics.matrix(0.75 * q)
    assert ((smaller - dynamics.matrix(q)).abs().amax((1, 2)) > 1e-3).all()


def test_anthropometric_mass_is_that_of_the_segments_and_has_no_coriolis_term() -> None:
    """Catches coordinates laid out joint-major in one place and axis-major in another."""
    dynamics = AnthropometricDynamics()
    q = torch.randn(3, COORDINATES)
    torch.testing.assert_close(dynamics.coriolis(q, q), torch.zeros_like(q))
    block = dynamics.matrix(q)[0].reshape(JOINT_COUNT, 3, JOINT_COUNT, 3)
    torch.testing.assert_close(block[:, 0, :, 0], block[:, 2, :, 2])
    assert block[:, 0, :, 1].abs().max() == 0
    expected = torch.from_numpy(consistent_mass_matrix()).float()
    assert (block[:, 1, :, 1] - expected).abs().max() < 0.01


def standing_state(ballistic: float) -> PhysState:
    """A body at rest, detected where it is."""
    torch.manual_seed(2)
    body = torch.randn(1, 1, JOINT_COUNT, 3).expand(-1, FRAMES, -1, -1) * 0.3
    return PhysState(
        lifted=body,
        detected=body[..., :2],
        confidence=torch.ones(1, FRAMES, JOINT_COUNT),
        dt=torch.full((1,), 1 / 30),
        ballistic=torch.full((1,), ballistic),
        height=torch.full((1,), 1.6),
        evidence=torch.zeros(1, 4),
        lever=torch.zeros(1, FRAMES, JOINT_COUNT, 2),
    )


@pytest.mark.parametrize("name", ["anthropometric", "euler-lagrange"])
def test_free_flight_falls_with_g_and_a_moving_camera_switches_it_off(name: str) -> None:
    """Catches a wrong g, a wrong direction, and gravity left on when the camera moved."""
    network = PhysNetwork(name)
    torch.nn.init.constant_(network.frame[-1].bias, 30.0)
    with torch.no_grad():
        falling = network(standing_state(1.0))
        carried = network(standing_state(0.0))
    expected = torch.tensor([0.0, GRAVITY, 0.0]).expand_as(falling.acceleration)
    torch.testing.assert_close(falling.acceleration, expected, rtol=1e-3, atol=1e-3)
    total = falling.force.sum(2)
    if name == "anthropometric":
        torch.testing.assert_close(total[0, 0], expected[0, 0, 0], rtol=1e-2, atol=1e-2)
    assert carried.acceleration.abs().max() < 1e-3


def test_the_control_has_as_many_parameters_and_no_acceleration() -> None:
    """Catches a control that is weaker than what it is compared with, or that moves by itself."""
    count = {name: sum(p.numel() for p in PhysNetwork(name).parameters()) for name in DYNAMICS}
    assert count["none"] == count["euler-lagrange"]
    network = PhysNetwork("none")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    out = network(standing_state(1.0))
    assert out.acceleration.abs().max() == 0
    out.path.square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    said_elsewhere = (
        "window",
        "frame",
    )  # flight, gravity and distance are read by their own losses
    assert [name for name in idle if not name.startswith(said_elsewhere)] == []


def test_angular_momentum_of_a_turning_rigid_body_is_its_inertia() -> None:
    """Catches a cross product the wrong way round and masses that are not the segments'."""
    torch.manual_seed(0)
    points = torch.randn(JOINT_COUNT, 3, dtype=torch.float64)
    spin = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
    drift = torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64)
    velocity = torch.linalg.cross(spin.expand_as(points), points) + drift
    expected = torch.zeros(3, dtype=torch.float64)
    weights = torch.from_numpy(center_of_mass_weights())
    center = (points * weights[:, None]).sum(0)
    total = sum(segment.mass for segment in SEGMENTS) + sum(POINT_MASSES.values())

    def add(mass: float, at: Tensor) -> None:
        arm = at - center
        expected.add_(mass / total * torch.linalg.cross(arm, torch.linalg.cross(spin, arm)))

    for segment in SEGMENTS:
        for side in (-1, 1):  # two points at the radius of gyration have the rod's inertia
            share = segment.center + side * segment.gyration
            add(segment.mass / 2, points[segment.start].lerp(points[segment.end], share))
    for joint, mass in POINT_MASSES.items():
        add(mass, points[joint])
    torch.testing.assert_close(angular_momentum(points, velocity), expected)


def test_forces_in_flight_have_no_sum_and_no_torque() -> None:
    """Catches a wrench that a body in the air cannot have."""
    torch.manual_seed(0)
    points, force = torch.randn(5, JOINT_COUNT, 3), torch.randn(5, JOINT_COUNT, 3)
    masses = joint_masses()
    inner = remove_net_wrench(force, points, masses)
    center = (points * masses[:, None]).sum(1, keepdim=True)
    assert inner.sum(1).abs().max() < 1e-4
    assert torch.linalg.cross(points - center, inner).sum(1).abs().max() < 2e-3
    assert inner.abs().mean() > 0.3
    expected = torch.from_numpy(center_of_mass_weights()).float()
    assert (masses - expected).abs().max() < 0.01


def test_rigid_limbs_keep_lengths_and_directions() -> None:
    """Catches limbs built from the wrong parent."""
    torch.manual_seed(0)
    points = torch.randn(3, FRAMES, JOINT_COUNT, 3)
    stiff = rigid_limbs(points)
    assert limb_lengths(stiff.numpy()).std(1).max() < 1e-5
    masses = joint_masses()[:, None]
    center = (points * masses).sum(2)
    torch.testing.assert_close((stiff * masses).sum(2), center, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rigid_limbs(stiff), stiff, rtol=1e-4, atol=1e-5)


def test_every_dynamics_can_be_asked_for_by_name() -> None:
    """Catches a name that the page offers and no network has, or the other way round."""
    assert list(DYNAMICS_TITLES) == list(DYNAMICS)
