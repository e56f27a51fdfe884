"""Varied bodies stay bodies: limbs keep their lengths, the centre of mass its path."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finephys.anthropometry import center_of_mass_weights
from finephys.data.variation import Variation, vary
from finephys.skeleton import FRAMES, JOINTS, limb_lengths

J = len(JOINTS)


def bodies(rng: np.random.Generator, count: int = 6) -> np.ndarray:
    """Poses that change smoothly, with limbs of the same length on both sides."""
    pose = rng.normal(0, 0.4, (count, 1, J, 3))
    return pose + np.cumsum(rng.normal(0, 0.02, (count, FRAMES, J, 3)), 1)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_exchanged_and_bent_bodies_keep_limbs_and_their_path(seed: int) -> None:
    """Catches limbs stretched by another body's, and a flight that is no longer a parabola."""
    rng = np.random.default_rng(seed)
    joints = bodies(rng)
    # Neither mirrored nor reversed: what is left must be lengths and the centre of mass.
    varied, _, upright = vary(
        joints,
        np.zeros((6, FRAMES, 3), np.bool_),
        Variation(exchanged=1, bent=1, tilted=0, length=0),
        np.random.default_rng(seed),
    )
    assert upright.all()
    weights = center_of_mass_weights()
    before = np.einsum("j,nfjd->nfd", weights, joints)
    after = np.einsum("j,nfjd->nfd", weights, varied)
    speed = np.linalg.norm(np.diff(before, axis=1), axis=-1).sum(1)
    np.testing.assert_allclose(np.linalg.norm(np.diff(after, axis=1), axis=-1).sum(1), speed)
    lengths, same = limb_lengths(joints).sum(-1), limb_lengths(varied).sum(-1)
    reverse = np.abs(lengths - same).max(1) > 1e-6
    np.testing.assert_allclose(lengths[reverse], same[reverse][:, ::-1], atol=1e-6)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_mirrored_body_stands_on_the_other_foot(seed: int) -> None:
    """Catches contact that stays on the left foot when the body is mirrored."""
    joints = bodies(np.random.default_rng(seed), 40)
    touch = np.zeros((40, FRAMES, 3), np.bool_)
    touch[..., 1] = True
    plain = Variation(exchanged=0, bent=0, tilted=0, length=0)
    varied, stands, _ = vary(joints, touch, plain, np.random.default_rng(seed))
    mirrored = stands[:, 0, 2]
    assert 5 < mirrored.sum() < 35
    assert (stands[..., 1] != stands[..., 2]).all()
    for row in np.flatnonzero(~mirrored):
        same = np.allclose(varied[row], joints[row]) or np.allclose(varied[row], joints[row, ::-1])
        assert same
    for row in np.flatnonzero(mirrored):
        assert not np.allclose(varied[row], joints[row])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_tilted_body_says_that_gravity_is_elsewhere(seed: int) -> None:
    """Catches falling sideways taught as falling."""
    joints = bodies(np.random.default_rng(seed), 40)
    touch = np.ones((40, FRAMES, 3), np.bool_)
    tilted = Variation(exchanged=0, bent=0, tilted=0.5, length=0)
    _, stands, upright = vary(joints, touch, tilted, np.random.default_rng(seed))
    assert 5 < upright.sum() < 35
    assert stands[upright].all()
    assert not stands[~upright].any()
