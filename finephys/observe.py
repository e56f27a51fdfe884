"""A body in an image plane, before anything is lifted: from a clip, or simulated for an action."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from finephys.actions import PLAIN_CAPTION, action_by_id
from finephys.errors import NoPersonError, RequestError
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import CONFIDENT_SCORE, Bool, CameraMotion, Float, Pose2D, Request, VideoClip

if TYPE_CHECKING:
    from finephys.motion.cameras import Camera
    from finephys.motion.looks import Look
    from finephys.pose2d.protocol import Detector

SIMULATED_PLANE = (512, 512)
"""Pixels of the image plane on which a chosen action without a clip is seen."""

LOW_CONFIDENCE_SHARE = 0.6
"""Share of confident joints below which the user is warned. Design choice."""

OUTSIDE_SHARE = 0.25
"""Share of frames with a limb outside the picture above which the user is warned. Design choice."""

AROUND_CORE = 0.4
"""Seconds shown before and after the core of a simulated action. Design choice: enough to see the
take-off and the landing while flight keeps most of the 16 frames."""


@dataclass(frozen=True)
class Observation:
    """S_detect with what the physics needs besides.

    Attributes:
        clip: frames, or None for a simulated action.
        size: (width, height) pixels of the image plane of `detected`.
        frame_times: float32 (F,) seconds in the file.
        camera: motion of the camera, in the same pixels.
        detected: S_detect; all scores 0 where the pose prior replaces a person not detected.
        notes: plain sentences for the user.
    """

    clip: VideoClip | None
    size: tuple[int, int]
    frame_times: Float
    camera: CameraMotion
    detected: Pose2D
    notes: tuple[str, ...]


def look_of(seed: int) -> "Look":
    """Draw the clothes and place that a prompt names and a rendering shows."""
    from finephys.motion.looks import sample_look

    return sample_look(np.random.default_rng(seed))


def resolve_prompt(request: Request) -> str:
    """The request's own prompt, or the action's caption with a look drawn from the seed."""
    from finephys.motion.looks import prompt

    if request.prompt.strip():
        return request.prompt
    caption = action_by_id(request.action).caption if request.action is not None else PLAIN_CAPTION
    return prompt(caption, look_of(request.seed))


def read_clip(
    source: Path, request: Request, detector: "Detector", stop: Callable[[], bool]
) -> VideoClip:
    """Read 16 frames of the span the request asks for, or of the one with most body motion.

    Raises:
        ClipError: the file or the span cannot be used.
        StoppedError: `stop` returned True.
    """
    from finephys.pose2d.span import choose_span
    from finephys.video import LONGEST_SPAN, VideoFile, read_span, speed_note

    with VideoFile(source) as file:
        start, span = request.start, request.span
        notes: tuple[str, ...] = ()
        if start is None:
            start, chosen_span, notes = choose_span(file, detector, stop)
            span = span or chosen_span
        clip = read_span(file, start, span or LONGEST_SPAN, stop=stop)
        speed = speed_note(file.info) if request.real_speed == 1 else None
    return replace(clip, notes=notes + clip.notes + ((speed,) if speed else ()))


def observed(
    clip: VideoClip, request: Request, detector: "Detector", stop: Callable[[], bool]
) -> Observation:
    """Detect the person and the camera's motion in a clip, in pixels of its frames.

    Raises:
        NoPersonError: no person was detected and the request does not allow the pose prior.
        StoppedError: `stop` returned True.
    """
    from finephys.pose2d.bystanders import shows_others
    from finephys.pose2d.camera_motion import estimate_camera_motion, unknown_camera
    from finephys.pose2d.detection import detect_clip

    try:
        found = detect_clip(clip, detector, stop)
        camera = estimate_camera_motion(clip, found)
    except NoPersonError:
        if not request.use_prior:
            raise
        found = Pose2D(
            np.zeros((FRAMES, len(JOINTS), 2), np.float32),
            np.zeros((FRAMES, len(JOINTS)), np.float32),
            source="pose prior: no person was detected",
        )
        camera = unknown_camera("no person was detected")
    notes = clip.notes
    if not found.score.any():
        notes += (
            "No person was detected in the clip: this is the pose prior, a body that stands still.",
        )
    else:
        if not camera.known:
            notes += (camera.note,)
        if (found.score >= CONFIDENT_SCORE).mean() < LOW_CONFIDENCE_SHARE:
            notes += (
                "Many joints are uncertain: the person is small, hidden or moving very fast, and "
                "the poses rely on how bodies usually move.",
            )
        empty = int((found.score.max(-1) <= 0).sum())
        if empty:
            notes += (
                f"No person was detected in {empty} of {FRAMES} frames; their poses are inferred.",
            )
        notes += _outside_notes(found, clip.size)
        if shows_others(clip.frames[clip.nearest(clip.pose_times)], found, detector, stop):
            notes += (
                "Another person, or a mirror image, is in the picture: check that the poses follow "
                "the person you mean; if not, crop the clip to that person.",
            )
    return Observation(clip, clip.size, clip.pose_times, camera, found, notes)


def _outside_notes(pose: Pose2D, size: tuple[int, int]) -> tuple[str, ...]:
    """Warn about arms and legs that are outside the picture, where nothing can be detected."""
    beyond: Bool = np.any((pose.xy < 0) | (pose.xy > np.array(size)), axis=-1)
    notes = []
    for limbs, ends in (("legs", ("knee", "ankle")), ("arms", ("elbow", "wrist"))):
        joints = [index for index, name in enumerate(JOINTS) if name.endswith(ends)]
        frames = int((beyond[:, joints].any(-1) & (pose.score.max(-1) > 0)).sum())
        if frames > OUTSIDE_SHARE * FRAMES:
            notes.append(
                f"The {limbs} are partly outside the picture in {frames} of {FRAMES} frames; their "
                "poses there are guesses."
            )
    return tuple(notes)


def _to_first(camera: "Camera") -> npt.NDArray[np.float64]:
    """Homographies of a turning pinhole camera's frames to its first, (F, 3, 3)."""
    middle = camera.size / 2
    inner = np.array([[camera.focal, 0, middle], [0, camera.focal, middle], [0, 0, 1]])
    turns = camera.rotation[:1] @ camera.rotation.transpose(0, 2, 1)
    matrices = inner @ turns @ np.linalg.inv(inner)
    return np.broadcast_to(matrices / matrices[:, 2:, 2:], (FRAMES, 3, 3)).copy()


@dataclass(frozen=True)
class Scene:
    """A simulated action seen by a camera.

    Attributes:
        joints: float32 (F, J, 3) world metres.
        camera: on a canvas of SIMULATED_PLANE.
        span: seconds from the first frame to the last.
    """

    joints: Float
    camera: "Camera"
    span: float


def scene(action: int, seed: int) -> Scene:
    """Simulate an action and place a camera; the same for the same seed.

    Raises:
        RequestError: there is no such action.
    """
    from finephys.motion.cameras import sample_camera
    from finephys.motion.moments import core, sample_motion, seconds
    from finephys.motion.simulation import simulate

    action_by_id(action)
    motion = simulate(action, seed)
    begin, end = core(motion)
    begin = max(begin - AROUND_CORE, 0.0)
    span = min(end + AROUND_CORE, seconds(motion)) - begin
    joints = sample_motion(motion, begin + np.linspace(0, span, FRAMES))[0].astype(np.float32)
    return Scene(
        joints, sample_camera(joints, np.random.default_rng(seed), SIMULATED_PLANE[0]), span
    )


def film(action: int, seed: int) -> VideoClip:
    """Render the scene of an action and seed: 16 frames of SIMULATED_PLANE."""
    from finephys.motion.render import render

    seen = scene(action, seed)
    frames = render(seen.joints, seen.camera, look_of(seed), SIMULATED_PLANE[0]).frames
    return VideoClip(frames, fps=(FRAMES - 1) / seen.span)


def simulated(request: Request) -> Observation:
    """Simulate the chosen action and project it into a camera; no clip is needed.

    Raises:
        RequestError: no action is chosen.
    """
    if request.action is None:
        raise RequestError(
            "There is neither a clip nor an action; give a clip or choose one of the 35 classes."
        )
    seen = scene(request.action, request.seed)
    xy, _ = seen.camera.project(seen.joints)
    detected = Pose2D(
        xy.astype(np.float32),
        np.ones((FRAMES, len(JOINTS)), np.float32),
        source=f"simulation of class {request.action}",
    )
    return Observation(
        clip=None,
        size=SIMULATED_PLANE,
        frame_times=np.linspace(0, seen.span, FRAMES, dtype=np.float32),
        camera=CameraMotion(_to_first(seen.camera), True, "The camera is a simulated one."),
        detected=detected,
        notes=(f"There is no clip: the motion is a simulation of class {request.action}.",),
    )
