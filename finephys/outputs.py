"""What a person takes home: poses as npz and video, the request with its timings as JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from finephys.drawing import poses_video
from finephys.errors import RequestError
from finephys.files import whole_file
from finephys.guidance.framing import frame_body
from finephys.guidance.openpose import pose_video
from finephys.skeleton import FRAMES, JOINTS
from finephys.types import MOTION_ARRAYS, Float, Pose2D, Poses, Result
from finephys.video import write_video


def write_poses(path: Path, poses: Poses) -> None:
    """Write every pose stage as one npz.

    float32: detected_xy (16,17,2) pixels, detected_score (16,17), data_driven, physics, fused,
    physics_forward, physics_backward (16,17,3) metres, root-relative, camera axes; root (16,3)
    metres, path of the fused pelvis; what PhysNet knows of the motion, see `types.Motion`:
    acceleration (16,17,3) m/s^2; force and coriolis (16,17,3) N/kg; flight (16,); contact (16,2);
    center_of_mass (16,3) metres; angular_momentum (16,3) m^2/s; expected_error (16,17) metres;
    reprojected_xy (16,17,2) pixels; frame_times (16,) seconds in the file; dt, real seconds between
    frames; size (2,) width and height of the image in pixels; to_file (2,), factors from the
    pixels that were worked in to those of the file, which all the others are in. bool: interpolated
    (16,). Text: fusion, dynamics, source, notes.
    """
    motion = poses.motion
    to_file = np.array(poses.clip.to_file if poses.clip is not None else (1, 1), np.float32)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            detected_xy=poses.detected.xy * to_file,
            detected_score=poses.detected.score,
            interpolated=poses.detected.interpolated,
            data_driven=poses.data_driven.xyz,
            physics=motion.combined.xyz,
            physics_forward=motion.forward.xyz,
            physics_backward=motion.backward.xyz,
            fused=poses.fused.xyz,
            root=poses.fused.root,
            **{name: getattr(motion, name) for name in MOTION_ARRAYS},
            reprojected_xy=poses.reprojected.xy * to_file,
            frame_times=poses.frame_times,
            dt=np.float32(poses.dt),
            size=np.array(poses.size, np.float32) * to_file,
            to_file=to_file,
            fusion=np.array(poses.fused.mode),
            dynamics=np.array(motion.dynamics),
            source=np.array(poses.detected.source),
            notes=np.array("\n".join(poses.notes)),
        )


def write_poses_video(path: Path, poses: Poses) -> None:
    """Write the four stages side by side as an mp4."""
    write_video(path, poses_video(poses))


def write_pose_video(path: Path, pose: Pose2D, frame_times: Float) -> None:
    """Write a pose, such as S_re-proj, as an mp4 in the OpenPose convention.

    Args:
        path: a .mp4 file.
        pose: 2D joints in pixels; the square around them is drawn, 512 x 512.
        frame_times: (16,) seconds in the file.
    """
    fps = 1 / float(frame_times[1] - frame_times[0])
    write_video(path, pose_video(pose, frame_body(pose), fps))


def write_request(path: Path, result: Result) -> None:
    """Write the resolved request, seconds per stage, configuration and notes as JSON."""
    record = {
        "request": asdict(result.request),
        "seconds": result.seconds,
        "config": result.config,
        "notes": list(result.poses.notes),
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_reprojected(path: Path) -> tuple[Pose2D, Float]:
    """Read S_re-proj and the frame times of an npz written by `write_poses`.

    Raises:
        RequestError: when the file is no such npz or holds values that cannot be used.
    """
    arrays = read_arrays(path, ("reprojected_xy", "frame_times", "to_file"))
    score = np.ones((FRAMES, len(JOINTS)), np.float32)
    times = arrays["frame_times"].astype(np.float32)
    if times.shape != (FRAMES,) or not (np.diff(times) > 0).all():
        raise RequestError(
            f"frame_times in {path} must be {FRAMES} increasing seconds; write the file again with "
            "`python -m finephys poses`."
        )
    xy = arrays["reprojected_xy"] / arrays["to_file"]
    return Pose2D(xy.astype(np.float32), score, source=path.name), times


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read named numeric arrays of an npz; nothing in it is ever unpickled.

    Raises:
        RequestError: when the file is no npz, or an array is missing, not numeric or not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise RequestError(
                    f"{path} lacks {', '.join(missing)}; it must hold {', '.join(names)}."
                )
            arrays = {name: file[name] for name in names}
    except FileNotFoundError as error:
        raise RequestError(f"{path} does not exist; give the path of an npz file.") from error
    except (OSError, ValueError, EOFError, TypeError, BadZipFile) as error:
        raise RequestError(f"{path} cannot be read as an npz of plain arrays ({error}).") from error
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.number):
            raise RequestError(f"{name} in {path} is {array.dtype}; it must be numeric.")
        if not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise RequestError(
                f"{name} in {path} holds {count} NaN or infinite values; every value must be "
                "finite (give a missing joint any position and score 0)."
            )
    return arrays
