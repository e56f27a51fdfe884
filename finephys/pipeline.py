"""The story, told once: a clip or an action becomes poses, poses become a video.

S_detect -> S_dd -> S_pp -> fusion -> S_re-proj -> limb heatmaps -> video (supplement C.2).
This is the only module that composes the stages; pages and commands read the values it yields.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from finephys.config import DEFAULT_TIER, TIERS
from finephys.errors import RequestError
from finephys.generator.protocol import Sampling
from finephys.generator.systems import SYSTEMS
from finephys.guidance.framing import Framing, frame_body
from finephys.methods import method_by_name
from finephys.models import Models, check_tier
from finephys.observe import observed, read_clip, resolve_prompt, simulated
from finephys.pose3d.windows import BodyWindows, DetectedWindows, MotionWindows, PoseWindows
from finephys.progress import Progress, returned
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import (
    Float,
    Guidance,
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
    from finephys.zerogpu import Denoise


@dataclass(frozen=True)
class StagedWindows:
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
    """Turns a clip or an action into a video, on one device.

    One job runs at a time: `stream` holds a lock from its first value to its last.

    Args:
        tier: key of `config.TIERS`, for requests that name none.
        device: "cpu", "cuda", or "auto" for a GPU when there is one.
        borrow_gpu: wraps the denoising loop where a GPU is lent for it alone (`finephys.zerogpu`);
            the pose stages then stay on the CPU.
    """

    def __init__(
        self,
        tier: str = DEFAULT_TIER,
        device: str = "auto",
        borrow_gpu: "Callable[[Denoise], Denoise] | None" = None,
    ) -> None:
        self.models = Models(tier, device, poses_on_cpu=borrow_gpu is not None)
        self.borrows_gpu = borrow_gpu is not None
        self._lock = threading.Lock()
        self._denoise = borrow_gpu(self._denoised) if borrow_gpu else self._denoised

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
    ) -> StagedWindows:
        """Take 2D windows through lifting, PhysNet, fusion and projection.

        Args:
            windows: 2D poses of a still camera.
            fusion: key of `fusion.FUSIONS`.
            action: FineGym class whose prompt pairs guide the lifting, when known.
            dynamics: PhysNet's, a key of `config.DYNAMICS_TITLES`; None: the weights' own default.

        Raises:
            RequestError: there is no such fusion, class or dynamics.
        """
        return returned(self._pose_stages(windows, fusion, action, dynamics))

    def _pose_stages(
        self,
        windows: PoseWindows,
        fusion: str,
        action: int | None,
        dynamics: str | None,
        lifted: BodyWindows | None = None,
    ) -> Generator[BodyWindows | MotionWindows, None, StagedWindows]:
        """Yield S_dd and S_pp as they are ready, then return all stages; `lifted` replaces S_dd."""
        from finephys.pose3d.fusion import FUSIONS

        if fusion not in FUSIONS:
            raise RequestError(f"fusion {fusion!r} does not exist; choose {', '.join(FUSIONS)}.")
        if lifted is None:
            lifted = self.models.lifter.lift(windows, action)
        yield lifted
        motion = self.models.physnet(dynamics).update(windows, lifted)
        yield motion
        fused = FUSIONS[fusion](lifted, motion)
        return StagedWindows(lifted, motion, fused, self.models.projection.project(windows, fused))

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
            request: the settings.
            stop: set it to stop the run at the next step.
            methods: compare these, keys of `methods.METHODS`, on the same poses; a Result each,
                in this order. Empty: `request.method` alone.

        Raises:
            FinePhysError: with one sentence for the person; StoppedError after `stop`.
        """
        with self._lock:
            run = Progress(stop)
            methods = methods or (request.method,)
            requests = [self.resolved(replace(request, method=method)) for method in methods]
            for name in {str(each.generator) for each in requests}:
                self.models.checkpoints(name)
            poses = yield from self._poses(source, requests[0], run)
            guides = [self._guide(poses, each) for each in requests]  # none fails halfway
            spent = dict(run.seconds)
            for index, (each, guide) in enumerate(zip(requests, guides, strict=True)):
                noted = replace(poses, notes=poses.notes + self.prompt_notes(each))
                run.begin_video(index, len(requests), spent)
                drawn, video = yield from self._guided(
                    guide, frame_body(poses.reprojected), poses.frame_times, each, run
                )
                config = self.models.describe(str(each.generator), poses)
                result = Result(each, noted, drawn, video, dict(run.seconds), config)
                yield run.update(Stage.RESULT, result, run.share(1.0), noted.notes, each.method)

    def stream_poses(
        self, source: Path | None, request: Request, stop: threading.Event | None = None
    ) -> Generator[Update, None, Poses]:
        """Run the pose stages only; the generator's return value is the Poses."""
        with self._lock:
            return (yield from self._poses(source, request, Progress(stop)))

    def stream_video(
        self, reprojected: Pose2D, frame_times: Float, request: Request
    ) -> Iterator[Update]:
        """Generate a video from a finished S_re-proj; yields previews and last the video."""
        with self._lock:
            run = Progress(None)
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
            yield from self._guided(guide, canvas, poses.frame_times, request, Progress(stop))

    def reproject(self, poses: Poses, body: Pose3D) -> Pose2D:
        """Project a 3D body, S_dd or S_pp, onto the clip that its poses belong to.

        Design choice: by the fitted camera alone, so that it shows what this body says; S_re-proj
        also closes a learned share of what is left to the detections.
        """
        windows = DetectedWindows(
            poses.camera.stabilised(poses.detected.xy)[None], poses.detected.score[None], poses.size
        )
        if not poses.detected.score.any():
            windows = _centred(body.xyz[0], poses.size)
        bodies = BodyWindows(body.xyz[None], body.root[None])
        still_xy = self.models.projection.project(windows, bodies, follow=False)[0]
        return _reprojected(poses.camera.in_clip(still_xy), body.mode)

    def _guide(self, poses: Poses, request: Request) -> Pose2D | None:
        """The pose that guides the generator under a request's method; None: text alone."""
        method = method_by_name(request.method)
        guide = None if method.guide is None else method.guide(poses, self.reproject)
        if guide is not None and not guide.score.any():
            raise RequestError(
                f"no person was detected, so method {method.name!r} has no skeleton to draw; "
                "choose another clip, or a method that lifts the pose to 3D."
            )
        return guide

    def _guided(
        self,
        guide: Pose2D | None,
        canvas: Framing,
        frame_times: Float,
        request: Request,
        run: Progress,
    ) -> Generator[Update, None, tuple[Guidance | None, VideoClip]]:
        drawn = None
        generator = self.models.generator(str(request.generator))
        if guide is not None:
            drawn = generator.draw(guide, canvas)
            yield run.update(Stage.HEATMAPS, drawn, run.share(0.0), (), request.method)
        fps = 1 / float(frame_times[1] - frame_times[0])
        video = yield from self._video(drawn, request, fps, run)
        return drawn, video

    def _poses(
        self, source: Path | None, request: Request, run: Progress
    ) -> Generator[Update, None, Poses]:
        if source is None:
            seen = simulated(request)
        else:
            clip = read_clip(source, request, self.models.detector, run.stopped)
            yield run.update(Stage.CLIP, clip, 0.08, clip.notes)
            seen = observed(clip, request, self.models.detector, run.stopped)
        prior = None if seen.detected.score.any() else self.models.lifter.prior(request.action)
        yield run.update(Stage.DETECTED, seen.detected, 0.2, seen.notes)

        detected = DetectedWindows(
            seen.camera.stabilised(seen.detected.xy)[None], seen.detected.score[None], seen.size
        )
        still = None  # the pose prior stands in for S_dd where no person was detected
        if prior is not None:
            prior = prior * np.float32(request.body_height)
            detected, still = _centred(prior, seen.size), _held_still(prior)
        dt = float(seen.frame_times[-1] - seen.frame_times[0]) / (FRAMES - 1) / request.real_speed
        windows = PoseWindows(
            detected.xy,
            detected.score,
            detected.size,
            dt=np.array([dt], np.float32),
            body_height=request.body_height,
            ballistic=np.array([float(seen.camera.known and prior is None)], np.float32),
        )
        stages = self._pose_stages(windows, request.fusion, request.action, request.dynamics, still)
        lifted = cast(BodyWindows, next(stages))
        data_driven = lifted.item(0, "lifted" if still is None else "pose prior")
        yield run.update(Stage.DATA_DRIVEN, data_driven, 0.25)
        motion = cast(MotionWindows, next(stages)).item(0)
        yield run.update(Stage.PHYSICS, motion, 0.3)
        staged = returned(stages)
        reprojected = _reprojected(seen.camera.in_clip(staged.reprojected_xy[0]), request.fusion)
        yield run.update(Stage.REPROJECTED, reprojected, 0.35)
        return Poses(
            clip=seen.clip,
            size=seen.size,
            frame_times=seen.frame_times,
            dt=dt,
            camera=seen.camera,
            detected=seen.detected,
            data_driven=data_driven,
            motion=motion,
            fused=staged.fused.item(0, request.fusion),
            reprojected=reprojected,
            notes=seen.notes,
        )

    def _denoised(self, name: str, sampling: Sampling) -> Iterator[VideoClip]:
        """Denoise a clip with the generator of a name, yielding it after each step."""
        yield from self.models.generator(name).denoise(sampling)

    def _video(
        self,
        guide: Guidance | None,
        request: Request,
        fps: float,
        run: Progress,
    ) -> Generator[Update, None, VideoClip]:
        motion = method_by_name(request.method).motion
        steps, guidance_scale = cast(int, request.steps), cast(float, request.guidance_scale)
        sampling = Sampling(
            guide=guide,
            prompt=request.prompt,
            seed=request.seed,
            steps=steps,
            guidance_scale=guidance_scale,
            fps=fps,
            stop=run.stopped,
            motion=motion,
            action=request.action,
        )
        previews = self._denoise(str(request.generator), sampling)
        for step, video in enumerate(previews, 1):
            share = run.share(0.95 * step / steps)
            yield run.update(Stage.PREVIEW, video, share, (), request.method, (step, steps))
        yield run.update(Stage.VIDEO, video, run.share(0.97), (), request.method)
        return video

    def resolved(self, request: Request) -> Request:
        """Fill in a request's prompt, generator, steps and guidance scale.

        Raises:
            RequestError: there is no such method or tier.
        """
        method = method_by_name(request.method)
        if method.system:
            name, system = method.system, SYSTEMS[method.system]
            steps, guidance = system.steps, system.guidance
        else:
            name = request.generator or self.models.tier
            check_tier(name)
            steps, guidance = TIERS[name].default_steps, TIERS[name].default_guidance
        return replace(
            request,
            prompt=resolve_prompt(request),
            generator=name,
            steps=request.steps or steps,
            guidance_scale=request.guidance_scale or guidance,
        )

    def prompt_notes(self, request: Request) -> tuple[str, ...]:
        """Warnings about the part of a resolved request's prompt that was truncated."""
        cut = self.models.generator(str(request.generator)).cut_prompt(request.prompt)
        if cut is None:
            return ()
        return (
            f"The prompt is too long for the text encoder; this part was truncated: {cut[:200]}",
        )


def _reprojected(xy: Float, mode: str) -> Pose2D:
    """S_re-proj from pixels (F, J, 2) of the clip; every joint is certain."""
    score = np.ones(xy.shape[:-1], np.float32)
    return Pose2D(xy, score, source=f"re-projected, {mode}")


def _held_still(pose: Float) -> BodyWindows:
    """One window of a pose (J, 3) metres that does not move."""
    body = np.tile(pose.astype(np.float32), (1, FRAMES, 1, 1))
    return BodyWindows(body, np.zeros((1, FRAMES, 3), np.float32))


def _centred(pose: Float, size: tuple[int, int]) -> DetectedWindows:
    """One window of 2D joints of a still pose (J, 3) metres in the middle of the image.

    Every score is 1, so that the projection keeps the joints there. Design choice: the pose is 0.6
    of the image's smaller side tall.
    """
    extent = float(np.ptp(pose[:, 1]))
    xy = (pose[:, :2] - pose[:, :2].mean(0)) * (0.6 * min(size) / extent) + np.array(size) / 2
    return DetectedWindows(
        np.tile(xy.astype(np.float32), (1, FRAMES, 1, 1)),
        np.ones((1, FRAMES, len(JOINTS)), np.float32),
        size,
    )
