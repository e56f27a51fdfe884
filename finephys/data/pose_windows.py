"""Batches of 2D windows with their 3D truth, cut from moving bodies and seen by random cameras."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from finephys.anthropometry import LIMB_LENGTHS_PER_HEIGHT
from finephys.data.detections import Views, as_detector_sees, degrade, mask, random_views, views
from finephys.data.variation import VARIED, Variation, vary
from finephys.motion.moments import sample_motion
from finephys.skeleton import FRAMES, JOINT, JOINTS, limb_lengths
from finephys.types import MISSING_SCORE, Bool, Float, WorldMotion

_J = len(JOINTS)
_REFERENCE_HEIGHT = 1.7
"""Metres; `detections.degrade` states its noise for a body this tall."""


@dataclass(frozen=True)
class WindowSettings:
    """How windows are drawn.

    Attributes:
        simulated: share of windows cut from simulated motions, when there are both kinds.
        level: range of detection noise, uniform; see `detections.degrade`.
        span: range of seconds covered by 16 frames, log-uniform.
        augment: `variation`, masks, uninformative scores, moving cameras, and the detectors' own
            head points in 40 % of windows. False: noise alone.
        variation: how bodies are varied when `augment` is on.
    """

    simulated: float = 0.3
    level: tuple[float, float] = (0.0, 1.0)
    span: tuple[float, float] = (0.4, 3.0)
    augment: bool = True
    variation: Variation = VARIED


@dataclass(frozen=True)
class PoseBatch:
    """One batch; N windows, F frames, J joints. Camera axes: x right, y down, z away.

    Attributes:
        xy: (N, F, J, 2) pixels, detections.
        score: (N, F, J).
        dt: (N,) seconds.
        size: (width, height) pixels.
        ballistic: (N,), 1 where falling bodies accelerate downwards in the image; 0 where the
            camera moved or the body was tilted.
        height: (N,) metres, of the body.
        body: (N, F, J, 3) metres, root-relative truth.
        root: (N, F, 3) metres, path of the pelvis in the image at constant pixels per metre,
            relative to the window's first frame; z is 0.
        true_xy: (N, F, J, 2) pixels.
        pixels_per_metre: (N,) at the mean depth of the pelvis.
        inverse_distance: (N,) 1/metre, of the pelvis' mean depth.
        flight: (N, F), 1 where no part of the body touches anything, else 0.
        contact: (N, F, 2), 1 where the left or the right foot rests on the floor, else 0.
        action: (N,) FineGym class, 0 for none.
        motion: (N,) index of the motion each window was cut from.
    """

    xy: Float
    score: Float
    dt: Float
    size: tuple[int, int]
    ballistic: Float
    height: Float
    body: Float
    root: Float
    true_xy: Float
    pixels_per_metre: Float
    inverse_distance: Float
    flight: Float
    contact: Float
    action: npt.NDArray[np.int64]
    motion: npt.NDArray[np.int64]


class WindowSampler:
    """Draws batches from captured and simulated motions."""

    def __init__(
        self,
        captured: Sequence[WorldMotion],
        simulated: Sequence[WorldMotion],
        settings: WindowSettings,
    ) -> None:
        self.motions = [*captured, *simulated]
        if not self.motions:
            raise ValueError("no motion to draw windows from; pass captured or simulated motions.")
        self.settings = settings
        share = settings.simulated if captured and simulated else float(not captured)
        seconds = np.array([len(motion.joints) / motion.fps for motion in self.motions])
        # Long clips repeat themselves: the power keeps them from drowning the short ones.
        weight = np.maximum(seconds - 1.0, 0.5) ** 0.6
        weight[: len(captured)] *= (1 - share) / max(weight[: len(captured)].sum(), 1e-9)
        weight[len(captured) :] *= share / max(weight[len(captured) :].sum(), 1e-9)
        self.weight = weight / weight.sum()
        self.touch = [touch_of(motion) for motion in self.motions]

    def draw(self, count: int, rng: np.random.Generator) -> PoseBatch:
        """`count` windows of motions drawn by their weights."""
        return self.windows(rng.choice(len(self.motions), count, p=self.weight), rng)

    def windows(
        self,
        which: npt.NDArray[np.int64],
        rng: np.random.Generator,
        places: npt.NDArray[np.float64] | None = None,
    ) -> PoseBatch:
        """One window of each of these motions.

        Args:
            which: (N,) indices into `motions`.
            rng: draws places, cameras and noise.
            places: (N, 2) seconds, where each window begins and how long it lasts; None: drawn.
        """
        settings = self.settings
        count = len(which)
        joints = np.empty((count, FRAMES, _J, 3))
        touch = np.empty((count, FRAMES, 3), np.bool_)
        dt = np.empty(count)
        low, high = np.log(settings.span)
        for row, index in enumerate(which):
            motion = self.motions[index]
            if places is None:
                length = (len(motion.joints) - 1) / motion.fps
                span = min(float(np.exp(rng.uniform(low, high))), length)
                begin = rng.uniform(0, length - span)
            else:
                begin, span = places[row]
            dt[row] = span / (FRAMES - 1)
            times = begin + dt[row] * np.arange(FRAMES)
            joints[row], _ = sample_motion(motion, times)
            touch[row] = self.touch[index][np.rint(times * motion.fps).astype(np.int64)]
        upright = np.ones(count, np.bool_)
        if settings.augment:
            joints, touch, upright = vary(joints, touch, settings.variation, rng)
        height = np.median(limb_lengths(joints).sum(-1), 1) / LIMB_LENGTHS_PER_HEIGHT.sum()
        seen_by = random_views(joints, height, rng)
        truth = _truth(seen_by, dt, height, touch)
        seen = truth.true_xy.astype(np.float64)
        unit = truth.pixels_per_metre.astype(np.float64)
        truth = replace(
            truth,
            action=np.array([self.motions[index].action or 0 for index in which], np.int64),
            motion=np.asarray(which, np.int64),
        )
        if settings.augment:
            other = rng.random(count) < 0.4
            seen[other] = seen_by.project(as_detector_sees(seen_by.points, rng))[other]
            moves = rng.random(count) < 0.12
            path = _camera_path(count, rng) * (unit * height * moves)[:, None, None]
            seen = seen + path[:, :, None]
            root = truth.root.copy()
            root[..., :2] += (path - path[:, :1]) / unit[:, None, None]
            truth = replace(
                truth,
                ballistic=(upright & ~moves).astype(np.float32),
                true_xy=(truth.true_xy + path[:, :, None]).astype(np.float32),
                root=root,
            )
        level = rng.uniform(*settings.level, count)
        xy, score = degrade(seen, unit * height / _REFERENCE_HEIGHT, level, rng)
        if settings.augment:
            # Some detectors score every joint they find alike.
            flat = rng.random(count) < 0.35
            certain = np.where(score > MISSING_SCORE, rng.uniform(0.5, 1, score.shape), score)
            score = np.where(flat[:, None, None], certain, score).astype(np.float32)
            score = mask(score, rng)
        return replace(truth, xy=xy, score=score)


def seen_clean(joints: npt.NDArray[np.float64], dt: float, yaw: float) -> PoseBatch:
    """One window seen without error, from 8 body heights away.

    Args:
        joints: (F, J, 3) metres, z up.
        dt: seconds between frames.
        yaw: radians, of the camera about the vertical.
    """
    window = joints[None]
    height = np.median(limb_lengths(window).sum(-1), 1) / LIMB_LENGTHS_PER_HEIGHT.sum()
    angles = (np.array([yaw]), np.array([np.deg2rad(5)]), np.zeros(1))
    camera = views(window, height, angles, 8 * height, np.zeros((1, 2)), np.array([200.0]))
    return _truth(camera, np.array([dt]), height, np.zeros((1, FRAMES, 3), np.bool_))


def _truth(
    camera: Views, dt: npt.NDArray[np.float64], height: npt.NDArray[np.float64], touch: Bool
) -> PoseBatch:
    """Windows with perfect detections: xy is the truth and every score 1."""
    points = camera.points
    true_xy = camera.project().astype(np.float32)
    unit = camera.pixels_per_metre
    root = np.zeros((len(points), FRAMES, 3), np.float32)
    root[..., :2] = (true_xy[:, :, 0] - true_xy[:, :1, 0]) / unit[:, None, None]
    return PoseBatch(
        xy=true_xy,
        score=np.ones(points.shape[:-1], np.float32),
        dt=dt.astype(np.float32),
        size=camera.size,
        ballistic=np.ones(len(points), np.float32),
        height=height.astype(np.float32),
        body=(points - points[:, :, :1]).astype(np.float32),
        root=root,
        true_xy=true_xy,
        pixels_per_metre=unit.astype(np.float32),
        inverse_distance=(1 / points[:, :, 0, 2].mean(1)).astype(np.float32),
        flight=touch[..., 0].astype(np.float32),
        contact=touch[..., 1:].astype(np.float32),
        action=np.zeros(len(points), np.int64),
        motion=np.zeros(len(points), np.int64),
    )


def touch_of(motion: WorldMotion) -> Bool:
    """Whether a motion is airborne, rests on its left foot, rests on its right foot: (T, 3).

    Design choice: a foot rests while its ankle is lower than 0.2 m and slower than 0.4 m/s. Other
    supports, such as hands, are not recorded.
    """
    ankles = motion.joints[:, [JOINT["left_ankle"], JOINT["right_ankle"]]]
    velocity = np.gradient(ankles, 1 / motion.fps, axis=0) if len(ankles) > 1 else 0 * ankles
    rests = (ankles[..., 2] < 0.2) & (np.linalg.norm(velocity, axis=-1) < 0.4)
    return np.concatenate([motion.flight[:, None], rests & ~motion.flight[:, None]], 1)


def _camera_path(count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Smooth image motion of a camera that pans (N, F, 2), in body heights."""
    time = np.linspace(-0.5, 0.5, FRAMES)
    speed = rng.normal(0, 1.0, (count, 1, 2))
    bend = rng.normal(0, 1.5, (count, 1, 2))
    return speed * time[None, :, None] + bend * time[None, :, None] ** 2
