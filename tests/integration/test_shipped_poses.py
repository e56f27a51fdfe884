"""The tiny tier's own weights on gymnasts they have never seen."""

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from finephys.data.pose_windows import PoseBatch, WindowSampler, WindowSettings
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.simulation import simulate
from finephys.pose3d.fusion import DEFAULT_FUSION, FUSIONS
from finephys.pose3d.lifting import Lifter
from finephys.pose3d.physics import PhysNet
from finephys.pose3d.physics.dynamics import DYNAMICS
from finephys.pose3d.projection import Projection
from finephys.pose3d.windows import BodyWindows, PoseWindows
from finephys.skeleton import limb_lengths

Values = npt.NDArray[np.floating]


@cache
def batch_at(level: float) -> PoseBatch:
    """Windows of unseen simulated motions at one level of noise."""
    motions = [simulate(action, HELD_OUT_SEED) for action in (10, 21, 25, 38)]
    settings = WindowSettings(level=(level, level), augment=False)
    sampler = WindowSampler([], motions, settings)
    return sampler.windows(np.repeat(np.arange(len(motions)), 16), np.random.default_rng(0))


def windows_of(batch: PoseBatch) -> PoseWindows:
    return PoseWindows(batch.xy, batch.score, batch.size, batch.dt, 1.0, batch.ballistic)


def run(batch: PoseBatch) -> tuple[BodyWindows, BodyWindows, Values]:
    """S_dd and the fused body at each window's own height, and S_re-proj."""
    windows = windows_of(batch)
    lifted = Lifter.load("tiny").lift(windows)
    tall = batch.height[:, None, None]
    lifted = BodyWindows(lifted.xyz * tall[..., None], lifted.root * tall)
    fused = FUSIONS[DEFAULT_FUSION](lifted, PhysNet.load("tiny").update(windows, lifted))
    return lifted, fused, Projection.load("tiny").project(windows, fused)


def position_error(body: BodyWindows, batch: PoseBatch) -> float:
    """Metres, root-relative."""
    return float(np.linalg.norm(body.xyz - batch.body, axis=-1).mean())


def test_bodies_follow_their_gymnasts() -> None:
    """Catches weights of another skeleton, axis or unit, and stages that undo each other."""
    batch = batch_at(0.5)
    lifted, fused, _ = run(batch)
    assert position_error(lifted, batch) < 0.15
    assert position_error(fused, batch) < position_error(lifted, batch)
    still = BodyWindows(np.roll(lifted.xyz, 16, 0), lifted.root)
    assert position_error(still, batch) > 2 * position_error(lifted, batch)


def test_physics_steadies_the_motion_and_keeps_limbs_rigid() -> None:
    """Catches a PhysNet that passes S_dd through."""
    batch = batch_at(0.5)
    lifted, fused, _ = run(batch)

    def shake(body: BodyWindows) -> float:
        error = np.diff(body.xyz - batch.body, n=2, axis=1)
        return float(np.linalg.norm(error, axis=-1).mean())

    assert shake(fused) < 0.8 * shake(lifted)
    assert limb_lengths(fused.xyz).std(1).mean() < limb_lengths(lifted.xyz).std(1).mean()


@pytest.mark.parametrize(("level", "share"), [(0.15, 1.0), (0.5, 0.8), (1.0, 0.75)])
def test_reprojection_is_nearer_to_the_truth_than_the_detections(
    level: float, share: float
) -> None:
    """Catches a camera that is off, and detections copied through where they are bad."""
    batch = batch_at(level)
    _, _, xy = run(batch)

    def error(points: Values) -> float:
        distance = np.linalg.norm(points - batch.true_xy, axis=-1)
        return float((distance / batch.pixels_per_metre[:, None, None]).mean())

    assert error(xy) < share * error(batch.xy)


@pytest.mark.parametrize("dt", [1 / 240, 0.1, 1.0])
def test_everything_missing_stays_the_prior_for_any_class(dt: float) -> None:
    """Catches motion made of nothing by trained biases."""
    windows = windows_of(batch_at(0.5))
    nothing = replace(
        windows,
        score=np.zeros_like(windows.score),
        dt=np.full_like(windows.dt, dt),
    )
    lifter, physics = Lifter.load("tiny"), PhysNet.load("tiny")
    for action in (None, 24):
        lifted = lifter.lift(nothing, action)
        moved = physics.update(nothing, lifted).combined
        assert np.ptp(moved.xyz, axis=1).max() < 1e-3
        np.testing.assert_allclose(moved.xyz[0, 5], lifter.prior(action), atol=5e-3)


def test_every_dynamics_of_the_checkpoint_can_be_asked_for() -> None:
    """Catches names offered without weights; C is zero only where the mass matrix is constant."""
    windows = windows_of(batch_at(0.5))
    lifted = Lifter.load("tiny").lift(windows)
    said = {
        name: PhysNet.load("tiny", dynamics=name).update(windows, lifted).arrays
        for name in DYNAMICS
    }
    assert np.abs(said["anthropometric"]["coriolis"]).max() == 0
    assert np.abs(said["euler-lagrange"]["coriolis"]).max() > 0
    assert np.abs(said["free"]["coriolis"]).max() > 0
    assert np.abs(said["none"]["acceleration"]).max() == 0
    assert PhysNet.load("tiny").dynamics == "euler-lagrange"


def test_flight_contact_and_expected_errors_are_what_they_say() -> None:
    """Catches heads whose outputs are swapped, or were never trained."""
    batch = batch_at(0.15)
    windows = windows_of(batch)
    lifted, fused, _ = run(batch)
    said = PhysNet.load("tiny").update(windows, lifted).arrays
    flies = batch.flight > 0
    assert said["flight"][flies].mean() > 0.7
    assert said["flight"][~flies].mean() < 0.3
    rests = batch.contact > 0
    assert said["contact"][rests].mean() > 2 * said["contact"][~rests].mean()
    assert said["contact"][flies].mean() < 0.2
    off = np.linalg.norm(fused.xyz - batch.body, axis=-1)
    assert 0.5 < said["expected_error"].mean() / off.mean() < 2
    doubtful = said["expected_error"] > np.median(said["expected_error"])
    assert off[doubtful].mean() > 1.3 * off[~doubtful].mean()
