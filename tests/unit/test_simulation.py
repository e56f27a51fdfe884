"""Every class's motion is what its name says and obeys mechanics, at seeds no training sees."""

import numpy as np
import pytest
from simulated import motion

from finephys.actions import ACTIONS
from finephys.anthropometry import GRAVITY, center_of_mass_weights
from finephys.errors import RequestError
from finephys.motion.body import ANGLE, Body, forward_kinematics, random_body, reach, trunk_frames
from finephys.motion.classes import CLASSES, Airborne, pose
from finephys.motion.curves import Steered, through
from finephys.motion.figures import (
    TURNS,
    count_turns,
    counted_frames,
    flight_figures,
    floor_figures,
    jumps,
    longest_flight,
)
from finephys.motion.flight import angular_momentum, center_of_mass, fly
from finephys.motion.simulation import simulate
from finephys.motion.take_off import NoFlightError, solve
from finephys.skeleton import JOINT, limb_lengths, mirror

IDS = [action.id for action in ACTIONS]
AIRBORNE = [number for number, described in CLASSES.items() if isinstance(described, Airborne)]


@pytest.mark.parametrize("action", IDS)
def test_counts_are_those_of_the_class(action: int) -> None:
    """Catches a wrong sign, a missing half twist, or a solve that stops short."""
    one = motion(action)
    somersault, twist, _ = count_turns(one.joints[counted_frames(one)].astype(np.float64))
    assert somersault == pytest.approx(TURNS[action][0], abs=0.03)
    assert abs(twist) == pytest.approx(TURNS[action][1], abs=0.03)


@pytest.mark.parametrize("action", AIRBORNE)
def test_flight_is_free_fall_at_constant_angular_momentum(action: int) -> None:
    """Catches a parabola through the pelvis instead of the centre of mass, and a wrong h or I."""
    figures = flight_figures(motion(action))
    assert figures["gravity_error"] <= 0.02
    assert figures["momentum_drift"] <= 0.005
    assert figures["halving_off"] <= 0.15


@pytest.mark.parametrize("action", IDS)
def test_bones_are_rigid_and_nothing_is_below_the_floor(action: int) -> None:
    """Catches legs stretched to reach a foot and feet driven through the floor."""
    assert limb_lengths(motion(action).joints.astype(np.float64)).std(0).max() < 1e-5
    figures = floor_figures(motion(action))
    assert figures["penetration_mm"] <= 10
    assert figures["slip_mm"] <= 5


@pytest.mark.parametrize("action", IDS)
def test_nothing_jumps_where_phases_meet(action: int) -> None:
    """Catches a flight set down beside its take-off: a joint that moves for one frame."""
    velocity = np.diff(motion(action).joints.astype(np.float64), axis=0) * 240
    assert np.linalg.norm(velocity, axis=-1).max() < 24
    assert jumps(motion(action)) < 12


@pytest.mark.parametrize("action", AIRBORNE)
def test_flight_flags_mean_off_the_floor(action: int) -> None:
    """Catches flags shifted by a phase: in flight both ankles are above a flat foot's height."""
    one = motion(action)
    ankles = one.joints[:, [JOINT["left_ankle"], JOINT["right_ankle"]], 2]
    assert ankles[one.flight].min() > 0.08
    assert not one.flight[-60:].any()
    flight = longest_flight(one)
    assert 0.4 < (flight.stop - flight.start) / 240 < 1.2


def test_turns_never_leave_the_floor() -> None:
    """Catches a turn that hops: its stance ankle must stay at one spot while it turns."""
    for action in range(17, 24):
        one = motion(action)
        assert not one.flight.any()
        ankles = one.joints[:, [JOINT["left_ankle"], JOINT["right_ankle"]]]
        spread = ankles[..., :2].std(0).max(-1)
        assert spread.min() < 1e-3 < spread.max()


def test_centre_of_mass_stays_over_the_toe_of_a_turn() -> None:
    """Catches a body that is carried by nothing while it stands on one foot."""
    one = motion(20)
    middle = one.joints[len(one.joints) // 2]
    mass = center_of_mass_weights() @ middle
    stance = min(("left_ankle", "right_ankle"), key=lambda name: middle[JOINT[name], 2])
    assert np.linalg.norm(mass[:2] - middle[JOINT[stance], :2]) < 0.03


def test_a_seed_is_one_motion_and_another_seed_another() -> None:
    """Catches a global random generator, and a seed that is read and not obeyed."""
    first, again, other = simulate(25, 3), simulate(25, 3), simulate(25, 4)
    assert np.array_equal(first.joints, again.joints)
    assert first.joints.shape != other.joints.shape or not np.allclose(first.joints, other.joints)


def test_the_same_motion_at_two_frame_rates() -> None:
    """Catches a solve that depends on the frame rate asked for."""
    slow, fast = simulate(33, 5, 60.0), simulate(33, 5, 240.0)
    begin = round(float(np.flatnonzero(fast.flight)[0]) / 4)
    assert begin >= 0
    length = min(len(slow.joints), len(fast.joints[::4]))
    errors = [
        np.abs(slow.joints[: length - 2] - fast.joints[shift::4][: length - 2]).max()
        for shift in range(4)
    ]
    assert min(errors) < 1e-4


def test_both_sides_occur_and_differ_by_a_mirror() -> None:
    """Catches a mirror that swaps joints and forgets the axis: twists would not change side."""
    sides = set()
    for seed in range(12):
        joints = simulate(21, seed).joints.astype(np.float64)
        _, turn, _ = count_turns(joints)
        _, mirrored, _ = count_turns(mirror(joints, axis=1))
        assert mirrored == pytest.approx(-turn, abs=1e-6)
        sides.add(np.sign(turn))
    assert sides == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("action", "seed", "fps"), [(5, 0, 60), (41, 0, 60), (6, -1, 60), (6, 0, 5)]
)
def test_a_request_outside_the_range_is_one_clear_error(action: int, seed: int, fps: float) -> None:
    """Catches a KeyError or a numpy error reaching a person."""
    with pytest.raises(RequestError, match=r"give|choose"):
        simulate(action, seed, fps)


def tumbling() -> tuple[Body, Steered]:
    body = random_body(np.random.default_rng(0))
    keys = [pose(arm_raise=160), pose(hip_flex=110, knee=120, left_arm_raise=40), pose(hip_flex=20)]
    return body, Steered(through([0.0, 0.4, 0.9], keys), (), (), (), (), ())


def test_momentum_error_falls_fourfold_when_the_step_halves() -> None:
    """Catches an integrator or an interpolation of first order, and a wrong limb momentum."""
    body, angles = tumbling()
    flight = fly(angles, body, 0.9, np.eye(3), np.array([0.05, 0.6, 0.1]))

    def drift(fps: float) -> float:
        times = np.arange(0.05, 0.85, 1 / fps)
        local, _ = forward_kinematics(angles(times), body)
        local = local - center_of_mass(local)[:, None]
        joints = np.einsum("tij,tkj->tki", flight.rotation_at(times), local)
        velocity = (joints[2:] - joints[:-2]) * fps / 2
        momentum = angular_momentum(joints[1:-1], velocity)
        return float(np.linalg.norm(momentum - flight.momentum, axis=1).max())

    assert drift(60) / drift(120) == pytest.approx(4, rel=0.15)
    assert drift(240) < 0.003


def test_solve_meets_its_target_or_says_why_not() -> None:
    """Catches a solver that returns its best guess as if it were a solution."""
    body, angles = tumbling()
    with pytest.raises(NoFlightError, match="give more time"):
        solve(angles.curve, body, 0.3, np.eye(3), 6.0, 5.0)
    flight = solve(angles.curve, body, 0.9, np.eye(3), 1.0, 0.0)
    local, _ = forward_kinematics(angles(np.array([0.0, 0.9])), body)
    trunk = flight.rotations[[0, -1]] @ trunk_frames(local)
    assert np.allclose(trunk[0, :, 2], trunk[1, :, 2], atol=1e-3)


def test_forward_kinematics_puts_limbs_where_angles_say() -> None:
    """Catches a swapped side, a wrong sign of flexion, and knees that bend forward."""
    body = random_body(np.random.default_rng(1))
    joints, _ = forward_kinematics(
        np.stack([pose(left_hip_flex=90, right_knee=90, left_arm_raise=90, right_arm_raise=180)]),
        body,
    )
    one = joints[0]
    assert one[JOINT["left_knee"], 0] == pytest.approx(body.lengths[JOINT["left_knee"]])
    assert one[JOINT["right_ankle"], 0] < -0.3
    assert one[JOINT["left_wrist"], 0] > 0.4
    assert one[JOINT["right_wrist"], 2] > one[JOINT["head"], 2]
    assert one[JOINT["left_hip"], 1] > 0 > one[JOINT["right_hip"], 1]
    assert np.allclose(limb_lengths(one), body.lengths[1:])


def test_reach_keeps_bones_and_draws_far_feet_in() -> None:
    """Catches a leg that stretches when its foot is out of reach, and knees that bend backward."""
    hip, hinge = np.zeros((2, 3)), np.tile([0.0, 1.0, 0.0], (2, 1))
    ankle = np.array([[0.1, 0.0, -0.6], [0.0, 0.0, -2.0]])
    knee, got = reach(hip, ankle, hinge, 0.4, 0.38)
    assert np.allclose(got[0], ankle[0])
    assert np.linalg.norm(got[1]) <= 0.78
    assert np.allclose(np.linalg.norm(knee - hip, axis=1), 0.4)
    assert np.allclose(np.linalg.norm(got - knee, axis=1), 0.38)
    assert knee[0, 0] > 0.1


def test_bodies_stay_within_human_limits() -> None:
    """Catches proportions that drift apart from side to side or out of range."""
    for seed in range(50):
        body = random_body(np.random.default_rng(seed))
        assert 1.45 <= body.height <= 1.70
        for name in ("knee", "ankle", "elbow", "wrist", "shoulder", "hip"):
            assert body.lengths[JOINT[f"left_{name}"]] == body.lengths[JOINT[f"right_{name}"]]
    assert GRAVITY == 9.81
    assert len(ANGLE) == 20


def test_motions_begin_facing_forward_on_either_side() -> None:
    """Catches a mirror about the wrong axis: half of the leaps would travel backward."""
    for seed in range(6):
        joints = simulate(10, seed).joints
        assert joints[0, JOINT["left_hip"], 1] > joints[0, JOINT["right_hip"], 1]
        assert joints[-1, 0, 0] - joints[0, 0, 0] > 1.0
