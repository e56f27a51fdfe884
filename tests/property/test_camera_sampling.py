"""Whatever the seed, a sampled camera films the whole body."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finephys.motion.cameras import EDGE, FILL, sample_camera
from finephys.types import Float

SIZE = 64


def _wandering_body(seed: int, travel: float) -> Float:
    """A cloud of joints the size of a body, moving along a smooth path."""
    rng = np.random.default_rng(seed)
    body = rng.uniform([-0.4, -0.4, -0.9], [0.4, 0.4, 0.8], (17, 3))
    time = np.linspace(0, 1, 16)[:, None]
    heading = rng.uniform(-np.pi, np.pi)
    path = travel * time * [np.cos(heading), np.sin(heading), 0]
    path = path + [0, 0, 1.0] + 0.2 * np.sin(np.pi * time) * [0, 0, 1]
    turned = body + 0.05 * rng.normal(size=(16, 17, 3))
    return (path[:, None] + turned).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0, 12), st.sampled_from([None, True, False]))
def test_every_joint_is_inside_the_canvas(seed: int, travel: float, pan: bool | None) -> None:
    """Catches a camera that cuts off limbs, stands inside the body, or does not turn rigidly."""
    joints = _wandering_body(seed, travel)
    camera = sample_camera(joints, np.random.default_rng(seed), SIZE, pan)
    xy, depth = camera.project(joints)
    assert depth.min() > 0.5
    assert xy.min() >= EDGE * SIZE - 1e-3
    assert xy.max() <= (1 - EDGE) * SIZE + 1e-3
    share = (xy.max((0, 1)) - xy.min((0, 1))).max() / SIZE
    assert share <= FILL[1] + 0.02
    unit = camera.rotation @ np.swapaxes(camera.rotation, 1, 2)
    assert np.abs(unit - np.eye(3)).max() < 1e-9
    assert camera.position[2] > 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(4, 9))
def test_a_followed_body_stays_large_and_the_pan_is_smooth(seed: int, travel: float) -> None:
    """Catches a pan that lags so far that the body shrinks, and one that jerks."""
    joints = _wandering_body(seed, travel)
    camera = sample_camera(joints, np.random.default_rng(seed), SIZE, pan=True)
    xy, _ = camera.project(joints)
    height = np.median((xy.max(1) - xy.min(1)).max(-1)) / SIZE
    assert height >= 0.30
    steps = camera.rotation[1:] @ np.swapaxes(camera.rotation[:-1], 1, 2)
    angles = np.arccos(np.clip((np.trace(steps, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert np.abs(np.diff(angles)).max() < 0.15 * max(float(angles.max()), 1e-3) + 0.01


def test_far_travelling_bodies_are_mostly_followed() -> None:
    """Catches a share of pans that ignores how far the body goes."""

    def pans(travel: float) -> int:
        return sum(
            not sample_camera(_wandering_body(s, travel), np.random.default_rng(s), SIZE).still
            for s in range(60)
        )

    assert pans(8.0) > 35
    assert pans(0.0) < 20


def test_nearly_every_followed_body_fills_a_third_of_the_canvas() -> None:
    heights = []
    for seed in range(100):
        joints = _wandering_body(seed, np.random.default_rng(seed).uniform(4, 9))
        xy, _ = sample_camera(joints, np.random.default_rng(seed), SIZE, pan=True).project(joints)
        heights.append(np.median((xy.max(1) - xy.min(1)).max(-1)) / SIZE)
    assert np.quantile(heights, 0.05) >= 0.35
