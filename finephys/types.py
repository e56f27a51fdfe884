"""The values that flow through FinePhys: frozen dataclasses of numpy arrays, checked on creation.

F = 16 frames, J = 17 joints, L = 16 limbs. Camera axes: x right, y down, z away. World axes: x
forward, y left, z up. No torch here; tensors live only inside a stage.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from finephys.errors import RequestError
from finephys.skeleton import FRAMES, JOINTS, LIMBS

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_J = len(JOINTS)

CONFIDENT_SCORE = 0.3
"""Score from which a joint counts as detected: it is drawn, framed and trusted."""

MISSING_SCORE = 0.06
"""Score up to which a joint counts as not detected at all, so that lifting ignores its position.
Design choice: mediapipe's visibility of joints outside the image and the plausibility checks stay
below it; between the two scores a joint is doubtful and weighs little."""


def check_array(
    name: str, array: npt.NDArray[Any], shape: tuple[int | None, ...], dtype: type
) -> None:
    """Raise RequestError unless dtype and shape (None: any length) fit and all is finite."""
    fits = len(array.shape) == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted = tuple("any" if want is None else want for want in shape)
        raise RequestError(
            f"{name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} {wanted}."
        )
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise RequestError(f"{name} holds NaN or infinite values; every value must be finite.")


@dataclass(frozen=True)
class VideoClip:
    """Frames of a clip, as evenly spaced in time as the file has them.

    Attributes:
        frames: uint8 (N, H, W, 3) RGB, N >= 1.
        fps: frames per second of the file's own time.
        start: seconds from the beginning of the file to the first frame.
        notes: plain sentences for the user about how the frames were taken.
        frame_times: float32 (N,), the file's own time of each frame, rising; None: exactly even.
        real_speed: how many times faster than the file the motion was, by the file's own mark of
            slow motion; 1 without one. It is offered, never applied: see `Request.real_speed`.
        to_file: factors (x, y) from pixels of `frames` to pixels as the file stores them, which
            differ where large frames were scaled down or stored pixels are not square.
    """

    frames: Bytes
    fps: float
    start: float = 0.0
    notes: tuple[str, ...] = ()
    frame_times: Float | None = None
    to_file: tuple[float, float] = (1.0, 1.0)
    real_speed: float = 1.0

    def __post_init__(self) -> None:
        check_array("frames", self.frames, (None, None, None, 3), np.uint8)
        if self.frame_times is not None:
            check_array("frame_times", self.frame_times, (len(self.frames),), np.float32)
        if not len(self.frames) or not 0 < self.fps < float("inf"):
            raise RequestError(
                f"a clip has {len(self.frames)} frames at {self.fps} fps; at least one frame and a "
                "positive frame rate are needed."
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def times(self) -> Float:
        """Seconds of each frame in the file, (N,)."""
        if self.frame_times is not None:
            return self.frame_times
        return (self.start + np.arange(len(self.frames)) / self.fps).astype(np.float32)

    @property
    def pose_times(self) -> Float:
        """Seconds in the file of the clip's 16 poses, (F,), even, from first frame to last.

        Design choice: the physics takes poses at one interval, so poses are always even; where the
        frames are not, whatever belongs to a pose (joints, camera, the frame shown under it) is
        taken at the pose's time.
        """
        times = self.times
        return np.linspace(times[0], times[-1], FRAMES).astype(np.float32)

    def nearest(self, times: Float) -> npt.NDArray[np.int64]:
        """Indices (n,) of the frames nearest to some seconds (n,) in the file."""
        indices: npt.NDArray[np.int64] = np.abs(self.times - times[:, None]).argmin(1)
        return indices


@dataclass(frozen=True)
class Pose2D:
    """S_detect or S_re-proj: 2D joints in the pixels of a clip, y down.

    Attributes:
        xy: float32 (F, J, 2).
        score: float32 (F, J) in [0, 1]; 0 where nothing is known.
        interpolated: bool (F,), frames between two of the clip's own (clips of fewer than 16).
        source: who made it, e.g. "mediapipe" or "simulation of class 24".
    """

    xy: Float
    score: Float
    interpolated: Bool = field(default_factory=lambda: np.zeros(FRAMES, np.bool_))
    source: str = ""

    def __post_init__(self) -> None:
        check_array("xy", self.xy, (FRAMES, _J, 2), np.float32)
        check_array("score", self.score, (FRAMES, _J), np.float32)
        check_array("interpolated", self.interpolated, (FRAMES,), np.bool_)
        if self.score.min() < 0 or self.score.max() > 1:
            raise RequestError(
                f"score runs from {self.score.min():.3g} to {self.score.max():.3g}; "
                "it must lie in [0, 1]."
            )


@dataclass(frozen=True)
class Pose3D:
    """S_dd, S_pp or their fusion: a root-relative body and the path of its root, in camera axes.

    Attributes:
        xyz: float32 (F, J, 3) metres, relative to the pelvis of the same frame.
        root: float32 (F, 3) metres, path of the pelvis relative to the window's first frame.
        mode: how it was made, e.g. "lifted", "euler-lagrange", or the fusion's name.
    """

    xyz: Float
    root: Float
    mode: str = ""

    def __post_init__(self) -> None:
        check_array("xyz", self.xyz, (FRAMES, _J, 3), np.float32)
        check_array("root", self.root, (FRAMES, 3), np.float32)


MOTION_ARRAYS: dict[str, tuple[int | None, ...]] = {
    "acceleration": (FRAMES, _J, 3),
    "force": (FRAMES, _J, 3),
    "coriolis": (FRAMES, _J, 3),
    "flight": (FRAMES,),
    "contact": (FRAMES, 2),
    "center_of_mass": (FRAMES, 3),
    "angular_momentum": (FRAMES, 3),
    "expected_error": (FRAMES, _J),
}
"""Arrays of a Motion and their shapes; MotionWindows holds them with a batch axis in front."""


@dataclass(frozen=True)
class Motion:
    """S_pp: PhysNet's estimate for one window (Eqs. 35 and 41: M(q) qddot = J - C).

    Attributes:
        forward: state carried from the first frame to the last.
        backward: state carried from the last frame to the first.
        combined: both directions together; this is S_pp.
        acceleration: float32 (F, J, 3) m/s^2, camera axes.
        force: float32 (F, J, 3), generalised force J per unit body mass, N/kg.
        coriolis: float32 (F, J, 3), C per unit body mass, N/kg.
        flight: float32 (F,) in [0, 1], probability that the body is airborne; 0 where it is not
            judged (a moving camera, no detections, or frames over 0.25 s apart).
        contact: float32 (F, 2) in [0, 1], probability that the left and the right foot rest on the
            floor; 0 where it is not judged.
        center_of_mass: float32 (F, 3) metres, camera axes, in the frame of the root's path.
        angular_momentum: float32 (F, 3) m^2/s, about the centre of mass, per unit body mass.
        expected_error: float32 (F, J) metres, how far off PhysNet expects each joint to be.
        dynamics: name of the dynamics used.
    """

    forward: Pose3D
    backward: Pose3D
    combined: Pose3D
    acceleration: Float
    force: Float
    coriolis: Float
    flight: Float
    contact: Float
    center_of_mass: Float
    angular_momentum: Float
    expected_error: Float
    dynamics: str = ""

    def __post_init__(self) -> None:
        for name, shape in MOTION_ARRAYS.items():
            check_array(name, getattr(self, name), shape, np.float32)


@dataclass(frozen=True)
class CameraMotion:
    """Motion of the camera during a clip, estimated from its background.

    Attributes:
        to_first: float64 (F, 3, 3), pixel homography of each frame to the first.
        known: True when the camera stood still or its motion could be estimated and removed; when
            False `to_first` is the identity and ballistic terms must stay off.
        note: one plain sentence for the person.
    """

    to_first: npt.NDArray[np.float64]
    known: bool
    note: str

    def __post_init__(self) -> None:
        check_array("to_first", self.to_first, (FRAMES, 3, 3), np.float64)

    def stabilised(self, xy: Float) -> Float:
        """Pixels (F, J, 2) of each frame, moved to where the first frame's camera sees them."""
        return _transformed(self.to_first, xy)

    def in_clip(self, xy: Float) -> Float:
        """Stabilised pixels (F, J, 2) moved back to each frame; undoes `stabilised`."""
        return _transformed(np.linalg.inv(self.to_first).astype(np.float64), xy)


def _transformed(homographies: npt.NDArray[np.floating], xy: Float) -> Float:
    """Pixels (F, J, 2) moved by each frame's homography (F, 3, 3)."""
    ones = np.ones((*xy.shape[:-1], 1))
    moved = np.einsum("fij,fkj->fki", homographies, np.concatenate([xy, ones], -1))
    points: Float = (moved[..., :2] / moved[..., 2:]).astype(np.float32)
    return points


@dataclass(frozen=True)
class LimbHeatmaps:
    """Limb heatmaps at the scales of the video U-Net, PoseConv3D style (supplement A.2).

    Attributes:
        levels: float32 (F, L, h, w) in [0, 1], finest first.
    """

    levels: tuple[Float, ...]

    def __post_init__(self) -> None:
        for index, level in enumerate(self.levels):
            check_array(
                f"heatmap level {index}", level, (FRAMES, len(LIMBS), None, None), np.float32
            )


Guidance = LimbHeatmaps | VideoClip
"""A skeleton as input of a generator: limb heatmaps, or pictures in the OpenPose convention."""


@dataclass(frozen=True)
class WorldMotion:
    """A body moving in the world: real motion capture or simulation.

    Attributes:
        joints: float32 (T, J, 3) metres, z up, floor at z = 0.
        fps: frames per second.
        flight: bool (T,), True where no part touches anything.
        action: FineGym class 6-40, or None.
        source: where it comes from.
    """

    joints: Float
    fps: float
    flight: Bool
    action: int | None
    source: str

    def __post_init__(self) -> None:
        check_array("joints", self.joints, (None, _J, 3), np.float32)
        check_array("flight", self.flight, (len(self.joints),), np.bool_)


@dataclass(frozen=True)
class Request:
    """What to generate, from what, and how.

    Attributes:
        prompt: text for the generator; empty: the caption of the action class, or a plain sentence.
        action: FineGym class 6-40, or None.
        seed: 0 to 2**31 - 1; the same request and seed give the same frames on the same machine.
        steps: denoising steps, 1 to 100; None: the tier's own.
        guidance_scale: classifier-free guidance, 1 (off) to 20; None: the tier's own.
        generator: key of `config.TIERS`, or of `generator.systems.SYSTEMS` once resolved; None: the
            pipeline's own.
        method: how the video is made, a key of `methods.METHODS` or `methods.OTHERS`.
        fusion: how S_dd and S_pp are fused, a key of `fusion.FUSIONS`; the paper's is "average".
        dynamics: PhysNet's, a key of `config.DYNAMICS_TITLES`; None: the weights' own default.
        start: seconds into the clip where the 16 frames begin; None: where most body motion is.
        span: seconds covered by the 16 frames; None: at most 2.5.
        real_speed: how many times faster than the file the real motion was (4 for 4x slow motion).
        body_height: metres.
        use_prior: continue with the pose prior when no person is detected in the clip.
    """

    prompt: str = ""
    action: int | None = None
    seed: int = 0
    steps: int | None = None
    guidance_scale: float | None = None
    generator: str | None = None
    method: str = "ours"
    fusion: str = "physics"
    dynamics: str | None = None
    start: float | None = None
    span: float | None = None
    real_speed: float = 1.0
    body_height: float = 1.60
    use_prior: bool = False

    def __post_init__(self) -> None:
        ranges: tuple[tuple[str, float, float], ...] = (
            ("seed", 0, 2**31 - 1),
            ("steps", 1, 100),
            ("guidance_scale", 1, 20),
            ("real_speed", 0.05, 50),
            ("body_height", 0.3, 3.0),
        )
        for name, low, high in ranges:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                shown = name.replace("_", " ")
                raise RequestError(f"{shown} is {value}; choose {low:g} to {high:.10g}.")
        if self.start is not None and not 0 <= self.start < float("inf"):
            raise RequestError(f"start is {self.start} s; give seconds from the clip's beginning.")
        if self.span is not None and not 0 < self.span < float("inf"):
            raise RequestError(f"span is {self.span} s; give a positive number of seconds.")


class Stage(StrEnum):
    """Stages of one run, in the order in which their values arrive."""

    CLIP = "clip"
    DETECTED = "detected"
    DATA_DRIVEN = "data_driven"
    PHYSICS = "physics"
    REPROJECTED = "reprojected"
    HEATMAPS = "heatmaps"
    PREVIEW = "preview"
    VIDEO = "video"
    RESULT = "result"


@dataclass(frozen=True)
class Poses:
    """All pose stages of one clip, and how they were made.

    Attributes:
        clip: frames the poses belong to; None when an action was chosen without a clip.
        size: (width, height) in pixels of the image plane of the 2D poses: the clip's frames.
        frame_times: float32 (F,) seconds in the file.
        dt: seconds of real time between frames.
        camera: motion of the camera.
        detected: S_detect.
        data_driven: S_dd.
        motion: S_pp and everything PhysNet estimates.
        fused: S_dd and S_pp fused; its `mode` is the fusion's name.
        reprojected: S_re-proj.
        notes: plain sentences to read with the result.
    """

    clip: VideoClip | None
    size: tuple[int, int]
    frame_times: Float
    dt: float
    camera: CameraMotion
    detected: Pose2D
    data_driven: Pose3D
    motion: Motion
    fused: Pose3D
    reprojected: Pose2D
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """The result of one run.

    Attributes:
        request: as resolved: prompt filled in, seed fixed.
        poses: the four pose stages.
        heatmaps: the skeleton that guided the generator; None: text alone.
        video: the generated clip, 16 frames.
        seconds: wall time of each stage.
        config: plain JSON of tier, versions and checkpoints used.
    """

    request: Request
    poses: Poses
    heatmaps: Guidance | None
    video: VideoClip
    seconds: dict[str, float]
    config: dict[str, Any]


StageValue = Guidance | Pose2D | Pose3D | Motion | Result


@dataclass(frozen=True)
class Update:
    """One value of a run, sent as soon as it is ready.

    Attributes:
        stage: which value.
        value: the value itself; for PREVIEW the clip as denoised so far.
        fraction: share of the run that is done, 0 to 1.
        seconds: since the run began.
        notes: plain sentences to read with it.
        method: method of the video it belongs to; empty for the pose stages.
        step: for PREVIEW, denoising steps done and how many there are.
    """

    stage: Stage
    value: StageValue
    fraction: float
    seconds: float
    notes: tuple[str, ...] = ()
    method: str = ""
    step: tuple[int, int] | None = None
