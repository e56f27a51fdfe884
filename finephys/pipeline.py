"""The story, told once: a clip or an action becomes poses, poses become a video.

S_detect -> S_dd -> S_pp -> fusion -> S_re-proj -> limb heatmaps -> video (supplement C.2).
This is the only module that composes the stages; pages and commands read the values it yields.
"""

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from finephys.batches import BodyWindows, MotionWindows, PoseWindows
from finephys.config import CONFIGS
from finephys.errors import RequestError
from finephys.framing import Framing, frame_body
from finephys.generator.imported import ImportedVideos
from finephys.generator.protocol import Sampling
from finephys.generator.systems import SYSTEMS
from finephys.methods import method_by_name
from finephys.models import DEFAULT_TIER, Models, check_tier
from finephys.observe import observed, read_clip, resolve_prompt, simulated, transform_points
from finephys.run import Run
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import (
    CameraMotion,
    Float,
    Guide,
    Pose2D,
    Pose3D,
    Poses,
    Request,
    Result,
    Stage,
    Update,
    VideoClip,
)

if TYPE_CHECKING:
    from finephys.generator.protocol import VideoGenerator


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


class Pipeline:
    """Everything from a clip or an action to a video, on one device.

    One job runs at a time: `stream` holds a lock from its first value to its last.

    Args:
        tier: key of `config.CONFIGS`, for requests that name none.
        device: "cpu", "cuda", or "auto" for a GPU when there is one.
    """

    def __init__(self, tier: str = DEFAULT_TIER, device: str = "auto") -> None:
        self.models = Models(tier, device)
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Load every model, in the order in which a run needs them."""
        for load in (
            lambda: self.models.detector,
            lambda: self.models.lifter,
            self.models.physnet,
            lambda: self.models.projection,
            lambda: self.models.generator(self.models.tier),
        ):
            with self._lock:
                load()

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
        lifted = self.models.lifter.lift(windows, action)
        motion = self.models.physnet(dynamics).update(windows, lifted)
        fused = FUSIONS[fusion](lifted, motion)
        return LiftedWindows(lifted, motion, fused, self.models.projection.project(windows, fused))

    # -- one clip ----------------------------------------------------------------------------

    def stream(
        self,
        source: Path | None,
        request: Request,
        stop: threading.Event | None = None,
        methods: tuple[str, ...] = (),
    ) -> Iterator[Update]:
        """Run everything, yielding each value as it is ready; the last is a Result.

        Args:
            source: a video file, or None to simulate `request.action`.
            request: what is asked for.
            stop: set it to end the run at the next step.
            methods: compare these, keys of `methods.METHODS`, on the same poses; a Result each,
                in this order. Empty: `request.method` alone.

        Raises:
            FinePhysError: with one sentence for the person; StoppedError after `stop`.
        """
        with self._lock:
            run = Run(stop)
            methods = methods or (request.method,)
            requests = [self.resolved(replace(request, method=method)) for method in methods]
            for tier in {str(each.tier) for each in requests}:
                self.models.checkpoints(tier)
            poses = yield from self._poses(source, requests[0], run)
            guides = [self._guide(poses, each) for each in requests]  # none fails halfway
            spent = dict(run.seconds)
            for index, (each, guide) in enumerate(zip(requests, guides, strict=True)):
                noted = replace(poses, notes=poses.notes + self.prompt_notes(each))
                run.begin_video(index, len(requests), spent)
                drawn, video = yield from self._guided(
                    guide, frame_body(poses.reprojected), poses.frame_times, each, run
                )
                config = self.models.describe(str(each.tier), poses)
                result = Result(each, noted, drawn, video, dict(run.seconds), config)
                yield run.update(Stage.RESULT, result, run.share(1.0), noted.notes, each.method)

    def stream_poses(
        self, source: Path | None, request: Request, stop: threading.Event | None = None
    ) -> Generator[Update, None, Poses]:
        """Run the pose stages only; the generator's return value is the Poses."""
        with self._lock:
            return (yield from self._poses(source, request, Run(stop)))

    def stream_video(
        self, reprojected: Pose2D, frame_times: Float, request: Request
    ) -> Iterator[Update]:
        """Generate a video from a finished S_re-proj; yields previews and last the video."""
        with self._lock:
            run = Run(None)
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
            request = self.resolved(request)
            guide = self._guide(poses, request)
            # One canvas for all methods, so that their figures are equally large.
            canvas = frame_body(poses.reprojected)
            yield from self._guided(guide, canvas, poses.frame_times, request, Run(stop))

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
        still_xy = self.models.projection.project(windows, body, follow)[0]
        return Pose2D(
            transform_points(np.linalg.inv(camera.to_first), still_xy),
            np.ones((FRAMES, len(JOINTS)), np.float32),
            source=f"re-projected, {mode}",
        )

    def _guide(self, poses: Poses, request: Request) -> Pose2D | None:
        """The pose that a request's method draws for the generator; None: text alone."""
        method = method_by_name(request.method)
        guide = None if method.guide is None else method.guide(poses, self.reproject)
        if guide is not None and not guide.score.any():
            raise RequestError(
                f"nobody was found, so method {method.name!r} has nothing to draw; choose another "
                "clip, or a method that lifts the pose to 3D."
            )
        return guide

    def _guided(
        self,
        guide: Pose2D | None,
        canvas: Framing,
        frame_times: Float,
        request: Request,
        run: Run,
    ) -> Generator[Update, None, tuple[Guide | None, VideoClip]]:
        drawn = None
        generator = self.models.generator(str(request.tier))
        if isinstance(generator, ImportedVideos):
            generator = generator.of_class(request.action)
        if guide is not None:
            drawn = generator.draw(guide, canvas)
            yield run.update(Stage.HEATMAPS, drawn, run.share(0.0), (), request.method)
        fps = 1 / float(frame_times[1] - frame_times[0])
        video = yield from self._video(generator, drawn, request, fps, run)
        return drawn, video

    def _poses(
        self, source: Path | None, request: Request, run: Run
    ) -> Generator[Update, None, Poses]:
        if source is None:
            seen = simulated(request)
        else:
            clip = read_clip(source, request, self.models.detector, run.stopped)
            yield run.update(Stage.CLIP, clip, 0.08, clip.notes)
            seen = observed(clip, request, self.models.detector, run.stopped)
        prior = None if seen.detected.score.any() else self.models.lifter.prior(request.action)
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
            lifted = self.models.lifter.lift(windows, request.action)
        else:
            windows, lifted = _held_still(prior * np.float32(request.body_height), windows)
        data_driven = lifted.item(0, "pose prior" if prior is not None else "lifted")
        yield run.update(Stage.DATA_DRIVEN, data_driven, 0.25)

        motion = self.models.physnet(request.dynamics).update(windows, lifted)
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
        self,
        generator: "VideoGenerator",
        guide: Guide | None,
        request: Request,
        fps: float,
        run: Run,
    ) -> Generator[Update, None, VideoClip]:
        motion = method_by_name(request.method).motion
        steps, guidance_scale = cast(int, request.steps), cast(float, request.guidance_scale)
        asked = Sampling(
            guide, request.prompt, request.seed, steps, guidance_scale, fps, run.stopped, motion
        )
        previews = generator.denoise(asked)
        for step, video in enumerate(previews, 1):
            share = run.share(0.95 * step / steps)
            yield run.update(Stage.PREVIEW, video, share, (), request.method, (step, steps))
        yield run.update(Stage.VIDEO, video, run.share(0.97), (), request.method)
        return video

    def resolved(self, request: Request) -> Request:
        """The request with prompt, tier, steps and guidance filled in."""
        method = method_by_name(request.method)  # an unknown one is refused before any work
        if method.system:
            tier, system = method.system, SYSTEMS[method.system]
            steps, guidance = system.steps, system.guidance
        else:
            tier = request.tier or self.models.tier
            check_tier(tier)
            settings = CONFIGS[tier].generator
            steps, guidance = settings.default_steps, settings.default_guidance
        return replace(
            request,
            prompt=resolve_prompt(request),
            tier=tier,
            steps=request.steps or steps,
            guidance_scale=request.guidance_scale or guidance,
        )

    def prompt_notes(self, request: Request) -> tuple[str, ...]:
        """What of a resolved request's prompt its text encoder cannot take, said for people."""
        cut = self.models.generator(str(request.tier)).cut_prompt(request.prompt)
        if cut is None:
            return ()
        return (f"The text encoder takes a shorter prompt; this part was not read: {cut[:200]}",)


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
