"""The story, told once: a clip or an action becomes poses, poses become a video.

S_detect -> S_dd -> S_pp -> fusion -> S_re-proj -> limb heatmaps -> video (supplement C.2).
This is the only module that composes the stages; pages and commands read the values it yields.
"""

import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from finephys import __version__
from finephys.checkpoints import checkpoint_path
from finephys.config import CONFIGS
from finephys.errors import RequestError, StoppedError
from finephys.files import sha256
from finephys.framing import Framing, frame_body
from finephys.methods import method_by_name
from finephys.observe import observed, read_clip, resolve_prompt, simulated, transform_points
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import (
    BodyWindows,
    CameraMotion,
    Float,
    Guide,
    MotionWindows,
    Pose2D,
    Pose3D,
    Poses,
    PoseWindows,
    Request,
    Result,
    Stage,
    StageValue,
    Update,
    VideoClip,
)

if TYPE_CHECKING:
    from finephys.generator.protocol import VideoGenerator
    from finephys.lifting import Lifter
    from finephys.physics.physnet import PhysNet
    from finephys.pose2d.protocol import Detector
    from finephys.projection import Projection

POSE_CHECKPOINTS = ("lifting", "physnet", "projection")


@dataclass(frozen=True)
class LiftedWindows:
    """A batch of windows through every pose stage.

    Attributes:
        data_driven: S_dd.
        motion: S_pp.
        fused: their fusion.
        reprojected_xy: float32 (N, F, J, 2) pixels.
    """

    data_driven: BodyWindows
    motion: MotionWindows
    fused: BodyWindows
    reprojected_xy: Float


class _Run:
    """Clock, stop button and update maker of one run."""

    def __init__(self, stop: threading.Event | None) -> None:
        self.began = time.monotonic()
        self.seconds: dict[str, float] = {}
        self._stop = stop or threading.Event()
        self._last = self.began

    def stopped(self) -> bool:
        return self._stop.is_set()

    def check(self) -> None:
        if self.stopped():
            raise StoppedError("Stopped; nothing was written. Press Generate to start again.")

    def update(
        self, stage: Stage, value: StageValue, fraction: float, notes: tuple[str, ...] = ()
    ) -> Update:
        self.check()
        now = time.monotonic()
        self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + now - self._last
        self._last = now
        return Update(stage, value, fraction, now - self.began, notes)


class Pipeline:
    """Everything from a clip or an action to a video, for one tier on one device.

    One job runs at a time: `stream` holds a lock from its first value to its last.

    Args:
        tier: key of `config.CONFIGS`.
        device: "cpu", "cuda", or "auto" for a GPU when there is one.
    """

    def __init__(self, tier: str = "tiny", device: str = "auto") -> None:
        if tier not in CONFIGS:
            raise RequestError(f"tier {tier!r} does not exist; choose {' or '.join(CONFIGS)}.")
        self.tier = tier
        self._device = device
        self._lock = threading.Lock()
        self._physnets: dict[str | None, PhysNet] = {}

    # -- the parts, loaded when first needed -------------------------------------------------

    @cached_property
    def device(self) -> str:
        """Device that models run on."""
        if self._device != "auto":
            return self._device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def detector(self) -> "Detector":
        """S_detect."""
        from finephys.pose2d import load_detector

        return load_detector()

    @cached_property
    def lifter(self) -> "Lifter":
        """S_dd."""
        from finephys.lifting import Lifter

        return Lifter.load(CONFIGS[self.tier].pose_tier, self.device)

    @cached_property
    def physnet(self) -> "PhysNet":
        """S_pp with the weights' own default dynamics."""
        return self.physnet_with(None)

    def physnet_with(self, dynamics: str | None) -> "PhysNet":
        """S_pp with the named dynamics; RequestError when the weights hold none of that name."""
        from finephys.physics.physnet import PhysNet

        if dynamics not in self._physnets:
            tier = CONFIGS[self.tier].pose_tier
            self._physnets[dynamics] = PhysNet.load(tier, self.device, dynamics)
        return self._physnets[dynamics]

    @cached_property
    def projection(self) -> "Projection":
        """S_re-proj."""
        from finephys.projection import Projection

        return Projection.load(CONFIGS[self.tier].pose_tier, self.device)

    @cached_property
    def generator(self) -> "VideoGenerator":
        """The video generator."""
        from finephys.generator import load_generator

        return load_generator(self.tier, self.device)

    def warm_up(self) -> None:
        """Load every part, in the order in which a run needs them."""
        for part in ("detector", "lifter", "physnet", "projection", "generator"):
            with self._lock:
                getattr(self, part)

    # -- a batch of windows ------------------------------------------------------------------

    def lift(
        self,
        windows: PoseWindows,
        fusion: str,
        action: int | None = None,
        dynamics: str | None = None,
    ) -> LiftedWindows:
        """Take 2D windows through lifting, PhysNet, fusion and projection.

        Args:
            windows: 2D poses of a still camera.
            fusion: key of `fusion.FUSIONS`.
            action: FineGym class whose prompt pairs guide the lifting, when known.
            dynamics: PhysNet's, a key of `config.DYNAMICS_TITLES`; None: the weights' own default.
        """
        from finephys.fusion import FUSIONS

        if fusion not in FUSIONS:
            raise RequestError(f"fusion {fusion!r} does not exist; choose {', '.join(FUSIONS)}.")
        lifted = self.lifter.lift(windows, action)
        motion = self.physnet_with(dynamics).update(windows, lifted)
        fused = FUSIONS[fusion](lifted, motion)
        return LiftedWindows(lifted, motion, fused, self.projection.project(windows, fused))

    # -- one clip ----------------------------------------------------------------------------

    def stream(
        self, source: Path | None, request: Request, stop: threading.Event | None = None
    ) -> Iterator[Update]:
        """Run everything, yielding each value as it is ready; the last is a Result.

        Args:
            source: a video file, or None to simulate `request.action`.
            request: what is asked for.
            stop: set it to end the run at the next step.

        Raises:
            FinePhysError: with one sentence for the person; StoppedError after `stop`.
        """
        with self._lock:
            self._checkpoints()
            run = _Run(stop)
            request = self.resolved(request)
            poses = yield from self._poses(source, request, run)
            heatmaps, video = yield from self._from_poses(poses, request, run)
            poses = replace(poses, notes=poses.notes + self._prompt_notes(request.prompt))
            result = Result(
                request, poses, heatmaps, video, dict(run.seconds), self.describe(poses)
            )
            yield run.update(Stage.RESULT, result, 1.0, poses.notes)

    def stream_poses(
        self, source: Path | None, request: Request, stop: threading.Event | None = None
    ) -> Generator[Update, None, Poses]:
        """Run the pose stages only; the generator's return value is the Poses."""
        with self._lock:
            return (yield from self._poses(source, request, _Run(stop)))

    def stream_video(
        self, reprojected: Pose2D, frame_times: Float, request: Request
    ) -> Iterator[Update]:
        """Generate a video from a finished S_re-proj; yields previews and last the video."""
        with self._lock:
            run = _Run(None)
            request = self.resolved(request)
            guide = reprojected if method_by_name(request.method).guide else None
            yield from self._guided(guide, frame_body(reprojected), frame_times, request, run)

    def stream_from_poses(
        self, poses: Poses, request: Request, stop: threading.Event | None = None
    ) -> Iterator[Update]:
        """Generate a video from finished poses by `request.method`; yields previews and the video.

        Raises:
            FinePhysError: with one sentence for the person; StoppedError after `stop`.
        """
        with self._lock:
            yield from self._from_poses(poses, self.resolved(request), _Run(stop))

    def reproject(self, poses: Poses, body: Pose3D) -> Pose2D:
        """Put a 3D body, S_dd or S_pp, onto the clip that its poses belong to.

        Design choice: by the fitted camera alone, so that it shows what this body says; S_re-proj
        also closes a learned share of what is left to the detections.
        """
        seen = bool(poses.detected.score.any())
        windows = PoseWindows(
            xy=transform_points(poses.camera.to_first, poses.detected.xy)[None],
            score=poses.detected.score[None],
            size=poses.size,
            dt=np.array([poses.dt], np.float32),
            body_height=Request.body_height,  # the projection reads none
            ballistic=np.zeros(1, np.float32),
        )
        if not seen:
            windows, _ = _held_still(body.xyz[0], windows)
        return self._reprojected(windows, body.xyz, body.root, poses.camera, body.mode, False)

    def _reprojected(
        self,
        windows: PoseWindows,
        xyz: Float,
        root: Float,
        camera: CameraMotion,
        mode: str,
        follow: bool = True,
    ) -> Pose2D:
        body = BodyWindows(xyz[None], root[None])
        still_xy = self.projection.project(windows, body, follow)[0]
        return Pose2D(
            transform_points(np.linalg.inv(camera.to_first), still_xy),
            np.ones((FRAMES, len(JOINTS)), np.float32),
            source=f"re-projected, {mode}",
        )

    def _from_poses(
        self, poses: Poses, request: Request, run: _Run
    ) -> Generator[Update, None, tuple[Guide | None, VideoClip]]:
        method = method_by_name(request.method)
        guide = None if method.guide is None else method.guide(poses, self.reproject)
        if guide is not None and not guide.score.any():
            raise RequestError(
                f"nobody was found, so method {method.name!r} has nothing to draw; choose another "
                "clip, or a method that lifts the pose to 3D."
            )
        # One canvas for all methods, so that their figures are equally large.
        canvas = frame_body(poses.reprojected)
        return (yield from self._guided(guide, canvas, poses.frame_times, request, run))

    def _guided(
        self,
        guide: Pose2D | None,
        canvas: Framing,
        frame_times: Float,
        request: Request,
        run: _Run,
    ) -> Generator[Update, None, tuple[Guide | None, VideoClip]]:
        drawn = None
        if guide is not None:
            drawn = self.generator.draw(guide, canvas)
            yield run.update(Stage.HEATMAPS, drawn, 0.4)
        fps = 1 / float(frame_times[1] - frame_times[0])
        video = yield from self._video(drawn, request, fps, run)
        return drawn, video

    def _poses(
        self, source: Path | None, request: Request, run: _Run
    ) -> Generator[Update, None, Poses]:
        if source is None:
            seen = simulated(request)
        else:
            clip = read_clip(source, request, self.detector, run.stopped)
            yield run.update(Stage.CLIP, clip, 0.08, clip.notes)
            seen = observed(clip, request, self.detector, run.stopped)
        prior = None if seen.detected.score.any() else self.lifter.prior(request.action)
        yield run.update(Stage.DETECTED, seen.detected, 0.2, seen.notes)

        dt = float(seen.frame_times[-1] - seen.frame_times[0]) / (FRAMES - 1) / request.real_speed
        windows = PoseWindows(
            xy=transform_points(seen.camera.to_first, seen.detected.xy)[None],
            score=seen.detected.score[None],
            size=seen.size,
            dt=np.array([dt], np.float32),
            body_height=request.body_height,
            ballistic=np.array([float(seen.camera.known and prior is None)], np.float32),
        )
        if prior is None:
            lifted = self.lifter.lift(windows, request.action)
        else:
            windows, lifted = _held_still(prior * np.float32(request.body_height), windows)
        data_driven = lifted.item(0, "pose prior" if prior is not None else "lifted")
        yield run.update(Stage.DATA_DRIVEN, data_driven, 0.25)

        motion = self.physnet_with(request.dynamics).update(windows, lifted)
        yield run.update(Stage.PHYSICS, motion.item(0), 0.3)

        from finephys.fusion import FUSIONS

        if request.fusion not in FUSIONS:
            raise RequestError(
                f"fusion {request.fusion!r} does not exist; choose {', '.join(FUSIONS)}."
            )
        fused = FUSIONS[request.fusion](lifted, motion)
        reprojected = self._reprojected(
            windows, fused.xyz[0], fused.root[0], seen.camera, request.fusion
        )
        yield run.update(Stage.REPROJECTED, reprojected, 0.35)
        return Poses(
            clip=seen.clip,
            size=seen.size,
            frame_times=seen.frame_times,
            dt=dt,
            camera=seen.camera,
            detected=seen.detected,
            data_driven=data_driven,
            motion=motion.item(0),
            fused=fused.item(0, request.fusion),
            reprojected=reprojected,
            notes=seen.notes,
        )

    def _video(
        self, guide: Guide | None, request: Request, fps: float, run: _Run
    ) -> Generator[Update, None, VideoClip]:
        motion = method_by_name(request.method).motion
        steps, guidance_scale = cast(int, request.steps), cast(float, request.guidance_scale)
        previews = self.generator.denoise(
            guide, request.prompt, request.seed, steps, guidance_scale, fps, run.stopped, motion
        )
        for step, video in enumerate(previews):
            yield run.update(Stage.PREVIEW, video, 0.4 + 0.57 * (step + 1) / steps)
        yield run.update(Stage.VIDEO, video, 0.98)
        return video

    def resolved(self, request: Request) -> Request:
        """The request with prompt, steps and guidance filled in."""
        method_by_name(request.method)  # an unknown one is refused before any work
        settings = CONFIGS[self.tier].generator
        return replace(
            request,
            prompt=resolve_prompt(request),
            tier=self.tier,
            steps=request.steps or settings.default_steps,
            guidance_scale=request.guidance_scale or settings.default_guidance,
        )

    def _prompt_notes(self, prompt: str) -> tuple[str, ...]:
        cut = self.generator.cut_prompt(prompt)
        if cut is None:
            return ()
        return (f"The text encoder takes a shorter prompt; this part was not read: {cut[:200]}",)

    def _checkpoints(self) -> dict[str, Path]:
        """Every checkpoint a run needs, by name; WeightsMissingError before any work is done."""
        from finephys.generator.protocol import weights_file

        tier = CONFIGS[self.tier].pose_tier
        paths = {name: checkpoint_path(tier, name) for name in POSE_CHECKPOINTS}
        return paths | {"generator": weights_file(self.tier)}

    @cached_property
    def weights(self) -> dict[str, str]:
        """SHA-256 of every checkpoint a run needs, by name; WeightsMissingError without one."""
        return {name: sha256(path) for name, path in self._checkpoints().items()}

    def describe(self, poses: Poses) -> dict[str, Any]:
        """Tier, versions and weights that made something of these poses, as plain JSON."""
        import torch

        return {
            "finephys": __version__,
            "tier": self.tier,
            "device": self.device,
            "torch": torch.__version__,
            "detector": self.detector.name,
            "dynamics": poses.motion.dynamics,
            "checkpoints": self.weights,
        }


def _held_still(prior: Float, windows: PoseWindows) -> tuple[PoseWindows, BodyWindows]:
    """The pose prior (J, 3) metres as a motionless body in the middle of the image.

    Returns:
        Windows whose joints are the prior's, fully trusted so that the projection keeps them there,
        and the body itself. Design choice: it stands 0.6 of the image's smaller side tall.
    """
    width, height = windows.size
    extent = float(np.ptp(prior[:, 1]))
    xy = (prior[:, :2] - prior[:, :2].mean(0)) * (0.6 * min(width, height) / extent)
    xy = (xy + np.array([width / 2, height / 2])).astype(np.float32)
    placed = replace(
        windows,
        xy=np.tile(xy, (1, FRAMES, 1, 1)),
        score=np.ones((1, FRAMES, len(JOINTS)), np.float32),
    )
    body = np.tile(prior.astype(np.float32), (1, FRAMES, 1, 1))
    return placed, BodyWindows(body, np.zeros((1, FRAMES, 3), np.float32))
