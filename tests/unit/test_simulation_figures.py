"""The figures by which the simulation is judged see what they are for."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import SEED, motion

from benchmarks import rigid_body
from benchmarks.simulation import summary
from finephys.motion import simulation
from finephys.motion.body import ANGLE, forward_kinematics, random_body
from finephys.motion.classes import pose
from finephys.motion.curves import Steered, through
from finephys.motion.figures import (
    angular_momentum,
    count_turns,
    flight_figures,
    longest_flight,
)
from finephys.motion.joint_limits import LIMITS, excess, largest_angles
from finephys.motion.simulation import simulate
from finephys.skeleton import JOINT


def posed(**degrees: float) -> dict[str, float]:
    joints, _ = forward_kinematics(pose(**degrees)[None], random_body(np.random.default_rng(0)))
    return largest_angles(joints)


@pytest.mark.parametrize(
    ("movement", "degrees", "expected"),
    [
        ("elbow flexion", {"left_elbow": 80.0}, 80),
        ("knee flexion", {"right_knee": 95.0}, 95),
        ("knee hyperextension", {"right_knee": -25.0}, 25),
        ("knee hyperextension", {"right_knee": -25.0, "right_hip_flex": 100.0}, 25),
        ("knee hyperextension", {"right_knee": 120.0, "right_hip_flex": 100.0}, 0),
        ("thighs apart", {"left_hip_flex": 90.0, "right_hip_flex": -60.0}, 150),
        ("thigh before the trunk", {"left_hip_flex": 160.0}, 160),
        ("thigh behind the trunk", {"left_hip_flex": -95.0}, 95),
        ("thigh across the midline", {"left_hip_side": -40.0}, 40),
        ("trunk extension", {"spine_flex": -120.0}, 60),
        ("head extension", {"head_flex": -70.0}, 70),
        ("arm behind the trunk", {"right_arm_raise": -70.0}, 70),
        ("arm across the chest", {"left_arm_raise": 90.0, "left_arm_side": -50.0}, 140),
        ("arm across the chest", {"left_arm_raise": -100.0, "left_arm_side": 72.0}, 198),
    ],
)
def test_each_joint_angle_is_seen(movement: str, degrees: dict[str, float], expected: int) -> None:
    """Catches an angle measured about the wrong axis or with the wrong sign."""
    head = 6 if movement == "head extension" else 2  # the head's rod leans a little forward
    assert posed(**degrees)[movement] == pytest.approx(expected, abs=head)


def test_a_standing_body_is_within_every_limit() -> None:
    """Catches a limit that means nothing, being broken or unbreakable by all."""
    for name, angle in posed().items():
        assert angle <= LIMITS[name].most - 9, name


@pytest.mark.parametrize("action", [6, 9, 13, 15, 16, 17, 18, 25, 26, 29, 33, 34, 36, 40])
def test_no_joint_goes_past_its_limit(action: int) -> None:
    """Catches knees that bend backward in a squat and hips bent behind the back."""
    over, which = excess(motion(action).joints.astype(np.float64))
    assert over <= 0, which


def test_pinocchio_agrees_on_centre_of_mass_and_momentum() -> None:
    """Catches a segment left out, an inertia about the wrong end, and momentum about the origin."""
    pytest.importorskip("pinocchio")
    for action in (15, 34):
        figures = rigid_body.pinocchio_figures(motion(action))
        assert figures["pinocchio_center_mm"] < 1
        assert figures["pinocchio_momentum"] < 1e-3


def test_pinocchio_disagrees_with_another_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a comparison of a thing with itself: a heavier shank must show."""
    pytest.importorskip("pinocchio")
    heavier = tuple(
        replace(one, mass=one.mass * (1.2 if one.end == JOINT["left_ankle"] else 1.0))
        for one in rigid_body.SEGMENTS
    )
    monkeypatch.setattr("benchmarks.rigid_body.SEGMENTS", heavier)
    figures = rigid_body.pinocchio_figures(motion(15))
    assert figures["pinocchio_center_mm"] > 1
    assert figures["pinocchio_momentum"] > 1e-3


def test_momentum_seen_by_fine_differences_drifts_less_and_coarse_ones_fourfold() -> None:
    """Catches a simulation whose momentum truly drifts behind the error of differences."""
    figures = flight_figures(motion(25))
    assert figures["momentum_drift"] < 0.2 * figures["momentum_drift_order_2"]
    assert figures["halving_off"] < 0.15


def test_a_push_in_mid_air_is_seen() -> None:
    """Catches figures that no fault can move: a hand pushes the body for a tenth of a second."""
    one = motion(25)
    joints = one.joints.astype(np.float64)
    part = longest_flight(one)
    middle = (part.start + part.stop) // 2
    ramp = np.clip((np.arange(len(joints)) - middle) / 24, 0, None)
    joints[:, JOINT["left_wrist"], 0] += 0.02 * ramp
    pushed = replace(one, joints=joints.astype(np.float32))
    assert flight_figures(pushed)["momentum_drift"] > 0.005


def test_twists_come_from_contact_and_from_uneven_arms() -> None:
    """Catches a twist given by momentum alone, with which a body tilts by 40 degrees."""
    one = motion(33)
    part = longest_flight(one)
    joints = one.joints[part].astype(np.float64)
    _, twist, tilt = count_turns(joints)
    assert abs(abs(twist) - 2) < 0.1
    assert tilt < 25
    momentum = angular_momentum(joints, 240.0).mean(0)
    assert abs(momentum[1]) > 0.95 * np.linalg.norm(momentum)
    trunk = joints[:, JOINT["thorax"]] - joints[:, JOINT["pelvis"]]
    trunk /= np.linalg.norm(trunk, axis=1, keepdims=True)
    raised = []
    for side in ("left", "right"):
        arm = joints[:, JOINT[f"{side}_elbow"]] - joints[:, JOINT[f"{side}_shoulder"]]
        raised.append(np.degrees(np.arccos((arm * trunk).sum(1) / np.linalg.norm(arm, axis=1))))
    assert np.abs(raised[0] - raised[1]).max() > 20  # tilt
    assert np.degrees(np.arcsin(abs(trunk[0, 1]))) > 0.5  # contact: it leaves the floor leaning


def test_steering_moves_a_joint_no_further_than_it_goes() -> None:
    """Catches arms steered through the chest: a bump larger than the joint's range."""
    column, low, high = ANGLE["left_arm_raise"], np.radians(4), np.radians(182)
    held = through([0.0, 1.0], [pose(arm_raise=28)] * 2)
    times = np.linspace(0, 1, 401)
    for height, moved in ((-9.0, low - np.radians(28)), (9.0, high - np.radians(28)), (0.2, 0.2)):
        steered = Steered(held, (column,), (0.1,), (0.9,), ((low, high),), (height,))
        angle = steered(times)[:, column]
        assert low - 1e-9 <= angle.min()
        assert angle.max() <= high + 1e-9
        assert angle[200] - angle[0] == pytest.approx(moved, abs=0.02)
        assert angle[0] == angle[-1] == pytest.approx(np.radians(28))


def test_a_motion_is_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a second solve for another frame rate, and a caller that changes what is kept."""
    calls = []
    monkeypatch.setattr(simulation, "airborne", lambda *a: calls.append(a) or kept(*a))
    first = simulate(12, SEED + 1)
    unchanged = first.joints.copy()
    first.joints[:] = 0
    assert np.array_equal(simulate(12, SEED + 1).joints, unchanged)
    simulate(12, SEED + 1, 30.0)
    assert len(calls) == 1


kept = simulation.airborne


def test_the_summary_names_the_worst_class_and_the_limit() -> None:
    """Catches a summary that says good while one class fails."""
    good = {"class": 6, "unsolved": 0, "twist_error": 0.01}
    bad = {"class": 7, "unsolved": 0, "twist_error": 0.05}
    both = summary([good, bad])
    assert both["good"] is False
    assert both["summary"]["twist_error"] == {
        "limit": 0.03, "worst": 0.05, "class": 7, "good": False
    }  # fmt: skip
    assert summary([good])["good"] is True
