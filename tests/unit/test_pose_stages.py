"""Lifter, PhysNet and projection as the pipeline calls them, with weights made for the test."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.errors import RequestError, WeightsError
from finephys.pose3d.fusion import DEFAULT_FUSION, FUSIONS
from finephys.pose3d.lifting import Lifter
from finephys.pose3d.lifting.inputs import normalise
from finephys.pose3d.lifting.lifter import lifting_config
from finephys.pose3d.lifting.network import LiftingNetwork, LiftingSize
from finephys.pose3d.physics import PhysNet
from finephys.pose3d.physics.dynamics import DYNAMICS
from finephys.pose3d.physics.network import PhysBank, PhysNetwork, PhysState, solve_path
from finephys.pose3d.physics.physnet import phys_state
from finephys.pose3d.physics.smoothing import pass_backward, pass_forward
from finephys.pose3d.projection import Projection, ProjectionNetwork
from finephys.pose3d.windows import BodyWindows, PoseWindows
from finephys.skeleton import FRAMES, JOINTS, MIRROR, limb_lengths
from finephys.types import Request
from finephys.weights.checkpoints import ROOT_VARIABLE, load_module, save_module

J = len(JOINTS)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tier "test" whose networks are fresh: shapes and arithmetic are real, skill is not."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    torch.manual_seed(0)
    size = LiftingSize(joint_width=8, frame_width=16, blocks=2, layers=1)
    lifting = LiftingNetwork(size)
    lifting.mean_pose.copy_(torch.randn(J, 3))
    lifting.priors.copy_(torch.randn_like(lifting.priors) * 0.3)
    lifting.priors -= lifting.priors[:, :1].clone()
    save_module(lifting, tmp_path / "test" / "lifting.safetensors", lifting_config(lifting))
    bank = PhysBank(tuple(DYNAMICS))
    config = {"dynamics": list(bank), "default": "euler-lagrange"}
    save_module(bank, tmp_path / "test" / "physnet.safetensors", config)
    save_module(ProjectionNetwork(), tmp_path / "test" / "projection.safetensors", {})
    return tmp_path


def make_windows(count: int = 3, dt: float = 0.1, height: float = 1.6) -> PoseWindows:
    """Windows of a jittering figure in the middle of an image."""
    rng = np.random.default_rng(0)
    xy = rng.normal(0, 40, (count, 1, J, 2)) + rng.normal(0, 4, (count, FRAMES, J, 2)) + [320, 240]
    return PoseWindows(
        xy.astype(np.float32),
        rng.uniform(0.3, 1, (count, FRAMES, J)).astype(np.float32),
        (640, 480),
        np.full(count, dt, np.float32),
        height,
        np.ones(count, np.float32),
    )


def run_all(windows: PoseWindows) -> tuple[BodyWindows, BodyWindows, np.ndarray]:
    lifted = Lifter.load("test").lift(windows)
    motion = PhysNet.load("test").update(windows, lifted)
    fused = FUSIONS[DEFAULT_FUSION](lifted, motion)
    return lifted, fused, Projection.load("test").project(windows, fused)


def damaged(kind: str) -> PoseWindows:
    windows = make_windows()
    score, xy = windows.score.copy(), windows.xy.copy()
    if kind == "nothing seen":
        score[:] = 0
    elif kind == "one joint":
        score[:] = 0
        score[:, 4, 7] = 0.9
    elif kind == "one frame":
        score[:, 1:] = 0
    elif kind == "frames missing":
        score[:, 3:9] = 0
        xy[:, 3:9] = 0
    elif kind == "a point":
        xy[:] = 100
    elif kind == "far outside":
        xy[:, :, 5] = 1e6
    return replace(windows, score=score, xy=xy)


@pytest.mark.parametrize(
    "kind",
    ["nothing seen", "one joint", "one frame", "frames missing", "a point", "far outside", "none"],
)
def test_damaged_windows_give_finite_bodies(weights: Path, kind: str) -> None:
    """Catches divisions by an empty sum; BodyWindows refuses what is not finite."""
    windows = damaged(kind)
    lifted, fused, xy = run_all(windows)
    assert np.isfinite(xy).all()
    assert np.abs(lifted.xyz).max() < 5
    assert np.abs(fused.xyz).max() < 10


@pytest.mark.parametrize("dt", [1 / 240, 1 / 30, 0.25, 1.0])
def test_any_time_step_gives_bounded_bodies(weights: Path, dt: float) -> None:
    """Catches gravity or forces that blow up with dt^2."""
    lifted, fused, _ = run_all(make_windows(dt=dt))
    assert np.abs(fused.xyz - lifted.xyz).max() < 1.0


def test_nothing_seen_is_the_motionless_prior(weights: Path) -> None:
    """Catches motion invented where nothing was detected."""
    lifter = Lifter.load("test")
    windows = damaged("nothing seen")
    lifted, fused, _ = run_all(windows)
    prior = lifter.prior(None) * windows.body_height
    np.testing.assert_allclose(lifted.xyz, np.broadcast_to(prior, lifted.xyz.shape), atol=1e-5)
    np.testing.assert_allclose(fused.xyz, lifted.xyz, atol=1e-3)
    assert np.abs(lifted.root).max() == 0
    of_class = lifter.lift(windows, action=24)
    expected = lifter.prior(24) * windows.body_height
    np.testing.assert_allclose(of_class.xyz[0, 3], expected, atol=1e-5)


def test_limbs_scale_with_body_height(weights: Path) -> None:
    """Catches metres that do not come from the body height."""
    small, _, _ = run_all(make_windows(height=1.0))
    tall, _, _ = run_all(make_windows(height=2.0))
    np.testing.assert_allclose(tall.xyz, 2 * small.xyz, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tall.root, 2 * small.root, rtol=1e-4, atol=1e-5)
    total = np.median(limb_lengths(small.xyz).sum(-1), 1)
    np.testing.assert_allclose(total, LIMB_LENGTHS_PER_HEIGHT.sum(), rtol=0.03)


def test_batches_do_not_mix_windows(weights: Path) -> None:
    """Catches statistics taken over the batch, and chunks put back in the wrong place."""
    windows = make_windows(count=70)
    _, fused, xy = run_all(windows)
    pick = slice(67, 69)
    alone = replace(
        windows,
        xy=windows.xy[pick],
        score=windows.score[pick],
        dt=windows.dt[pick],
        ballistic=windows.ballistic[pick],
    )
    _, other, other_xy = run_all(alone)
    np.testing.assert_allclose(fused.xyz[pick], other.xyz, atol=1e-4)
    np.testing.assert_allclose(xy[pick], other_xy, atol=0.1)


def test_place_and_size_in_the_image_do_not_change_the_body(weights: Path) -> None:
    """Catches inputs that keep pixels."""
    windows = make_windows()
    moved = replace(windows, xy=(windows.xy * 1.7 + 55).astype(np.float32))
    first = Lifter.load("test").lift(windows)
    second = Lifter.load("test").lift(moved)
    np.testing.assert_allclose(first.xyz, second.xyz, atol=1e-4)


def test_mirrored_pixels_mirror_the_inputs() -> None:
    """Catches left and right treated differently before the network."""
    windows = make_windows()
    xy, score = torch.from_numpy(windows.xy), torch.from_numpy(windows.score)
    dt = torch.from_numpy(windows.dt)
    flipped = xy[:, :, MIRROR] * torch.tensor([-1.0, 1.0]) + torch.tensor([640.0, 0.0])
    plain = normalise(xy, score, dt)
    mirrored = normalise(flipped, score[:, :, MIRROR], dt)
    sign = torch.tensor([-1.0, 1, 1, -1, 1, 1])
    torch.testing.assert_close(
        mirrored.features, plain.features[:, :, MIRROR] * sign, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(mirrored.size, plain.size)


def test_unknown_class_dynamics_and_shapes_are_refused(weights: Path) -> None:
    """Catches a silent fallback."""
    with pytest.raises(RequestError, match="6 to 40"):
        Lifter.load("test").lift(make_windows(), action=99)
    with pytest.raises(RequestError, match="euler-lagrange"):
        PhysNet.load("test", dynamics="magic")
    wrong = LiftingNetwork(LiftingSize(joint_width=16, frame_width=16))
    config = {"size": lifting_config(LiftingNetwork(LiftingSize(8, 16, 2, 1)))["size"]}
    save_module(wrong, weights / "test" / "lifting.safetensors", config)
    with pytest.raises(WeightsError, match="does not fit"):
        Lifter.load("test")


@pytest.mark.parametrize("name", DYNAMICS)
def test_mass_times_acceleration_is_force_minus_coriolis(weights: Path, name: str) -> None:
    """Catches forces and accelerations in other units, or M taken at another q (Eq. 35)."""
    windows = make_windows()
    lifted = Lifter.load("test").lift(windows)
    arrays = PhysNet.load("test", dynamics=name).update(windows, lifted).arrays
    bank = PhysBank(tuple(DYNAMICS))
    load_module(bank, weights / "test" / "physnet.safetensors")
    network = bank[name]
    with torch.inference_mode():
        q = network.first_path(state_of_windows(windows, lifted)).reshape(-1, 3 * J)
        matrix = network.dynamics.matrix(q).numpy()
    carried = np.einsum("nij,nj->ni", matrix, arrays["acceleration"].reshape(-1, 3 * J))
    pushed = (arrays["force"] - arrays["coriolis"]).reshape(-1, 3 * J)
    np.testing.assert_allclose(carried, pushed, atol=2e-3)


@pytest.mark.parametrize("unjudged", ["far apart", "camera moves", "nothing seen"])
def test_flight_is_reported_only_where_dynamics_use_it(weights: Path, unjudged: str) -> None:
    """Catches a flight shown for windows in which gravity is off, such as 0.3 s a frame."""
    windows = make_windows(dt=0.3 if unjudged == "far apart" else 0.1)
    if unjudged == "nothing seen":
        windows = damaged("nothing seen")
    if unjudged == "camera moves":
        windows = replace(windows, ballistic=np.zeros_like(windows.ballistic))
    physics, lifter = PhysNet.load("test"), Lifter.load("test")
    arrays = physics.update(windows, lifter.lift(windows)).arrays
    assert not arrays["flight"].any()
    assert not arrays["contact"].any()
    arrays = physics.update(make_windows(), lifter.lift(make_windows())).arrays
    assert arrays["flight"].all()
    assert arrays["contact"].all()


def test_weights_at_their_bounds_give_what_float64_gives(weights: Path) -> None:
    """Catches a retrained PhysNet whose paths are metres off, which no shipped weight shows."""
    bank = PhysBank(("euler-lagrange",))
    network = bank["euler-lagrange"]
    windows = make_windows()
    lifted = Lifter.load("test").lift(windows)
    state = state_of_windows(windows, lifted)
    wide = replace(state, **{name: each.double() for name, each in vars(state).items()})
    signs = torch.Generator().manual_seed(0)
    for _ in range(4):
        for head in (network.trust, network.frame):
            corner = torch.randint(2, head[-1].bias.shape, generator=signs) * 2.0 - 1
            head[-1].bias.data.copy_(100 * corner)
        with torch.no_grad():
            single = all_paths(network, state)
            double = all_paths(copy.deepcopy(network).double(), wide)
        assert (single - double).abs().max() < 1e-3


def all_paths(network: PhysNetwork, state: PhysState) -> torch.Tensor:
    """The combined path and those of both passes."""
    out = network(state)
    estimates = (out.flat, out.deep, out.center)
    passes = (solve_path(estimates, run) for run in (pass_forward, pass_backward))
    return torch.stack([out.path, *passes])


def state_of_windows(windows: PoseWindows, lifted: BodyWindows) -> PhysState:
    """PhysNet's input for lifted windows."""
    arrays = (windows.xy, windows.score, windows.dt, windows.ballistic)
    center = torch.tensor(windows.size) / 2
    body, root = torch.from_numpy(lifted.xyz), torch.from_numpy(lifted.root)
    state, _, _ = phys_state(*map(torch.from_numpy, arrays), center, body, root)
    return state


def test_projection_finds_a_known_camera(weights: Path) -> None:
    """Catches a wrong principal point, scale or sign of depth: the true body is laid on its pixels.

    The camera alone is judged, without the learned share of the residual.
    """
    rng = np.random.default_rng(3)
    body = rng.normal(0, 0.35, (1, FRAMES, J, 3))
    body -= body[:, :, :1]
    path = np.cumsum(rng.normal(0, 0.03, (1, FRAMES, 1, 3)), 1) * [1, 1, 0]
    place = body + path + [0.4, 0.1, 6.0]
    pixels = 900 * place[..., :2] / place[..., 2:] + [320, 240]
    network = ProjectionNetwork()
    torch.nn.init.constant_(network.distance[-1].bias, float(np.log((1 / 6) / (0.3 - 1 / 6))) + 2)
    points = torch.from_numpy(body + path - path[:, :1]).float()
    with torch.no_grad():
        made = network(
            points,
            torch.from_numpy(pixels).float(),
            torch.ones(1, FRAMES, J),
            torch.tensor([320.0, 240.0]),
            torch.tensor([1.6]),
        )
    error = (made.camera_xy - torch.from_numpy(pixels)).norm(dim=-1)
    assert abs(float(made.scale) / 150 - 1) < 0.05
    assert error.mean() < 3.0
    flat = points * torch.tensor([1.0, 1.0, 0.0])
    with torch.no_grad():
        other = network(
            flat,
            torch.from_numpy(pixels).float(),
            torch.ones(1, FRAMES, J),
            torch.tensor([320.0, 240.0]),
            torch.tensor([1.6]),
        )
    assert (other.camera_xy - torch.from_numpy(pixels)).norm(dim=-1).mean() > 2 * error.mean()


def test_request_asks_for_the_default_fusion() -> None:
    """Catches two defaults drifting apart."""
    assert Request().fusion == DEFAULT_FUSION
    assert "average" in FUSIONS
