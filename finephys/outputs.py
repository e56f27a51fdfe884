"""Files a person keeps: poses as npz and video, the request with its timings as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from finephys import video
from finephys.drawing import poses_video
from finephys.files import OutputError, whole_file
from finephys.guidance.framing import frame_body
from finephys.guidance.openpose import pose_video
from finephys.marks import Kind, mark
from finephys.types import MOTION_ARRAYS, Float, Pose2D, Poses, Result, VideoClip


def write_poses(path: Path, poses: Poses) -> None:
    """Write every pose stage as one npz.

    float32: detected_xy (16,17,2) pixels, detected_score (16,17), data_driven, physics, fused,
    physics_forward, physics_backward (16,17,3) metres, root-relative, camera axes; root (16,3)
    metres, path of the fused pelvis; PhysNet's estimates of the motion, see `types.Motion`:
    acceleration (16,17,3) m/s^2; force and coriolis (16,17,3) N/kg; flight (16,); contact (16,2);
    center_of_mass (16,3) metres; angular_momentum (16,3) m^2/s; expected_error (16,17) metres;
    reprojected_xy (16,17,2) pixels; frame_times (16,) seconds in the file; dt, real seconds between
    frames; size (2,) width and height of the image in pixels; to_file (2,), factors from working
    pixels to pixels of the file, in which every other array is given. bool: interpolated (16,).
    Text: fusion, dynamics, source, notes.
    """
    motion = poses.motion
    to_file = np.array(poses.clip.to_file if poses.clip is not None else (1, 1), np.float32)
    write_npz(
        path,
        Kind.POSES,
        {
            "detected_xy": poses.detected.xy * to_file,
            "detected_score": poses.detected.score,
            "interpolated": poses.detected.interpolated,
            "data_driven": poses.data_driven.xyz,
            "physics": motion.combined.xyz,
            "physics_forward": motion.forward.xyz,
            "physics_backward": motion.backward.xyz,
            "fused": poses.fused.xyz,
            "root": poses.fused.root,
            **{name: getattr(motion, name) for name in MOTION_ARRAYS},
            "reprojected_xy": poses.reprojected.xy * to_file,
            "frame_times": poses.frame_times,
            "dt": np.float32(poses.dt),
            "size": np.array(poses.size, np.float32) * to_file,
            "to_file": to_file,
            "fusion": np.array(poses.fused.mode),
            "dynamics": np.array(motion.dynamics),
            "source": np.array(poses.detected.source),
            "notes": np.array("\n".join(poses.notes)),
        },
    )


def write_lifted(path: Path, arrays: Mapping[str, Float], fusion: str) -> None:
    """Write what `lifting_files.lift_file` returns, and the fusion's name, as one npz."""
    write_npz(path, Kind.LIFTED, {**arrays, "fusion": np.array(fusion)})


def write_npz(path: Path, kind: Kind, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write arrays by name as a compressed npz with the mark of its kind, atomically."""
    with whole_file(path) as partial:
        with partial.open("wb") as file:  # given a name, numpy appends .npz to it
            np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
        mark(partial, kind)


def write_marked_video(path: Path, clip: VideoClip, kind: Kind = Kind.VIDEO) -> None:
    """Write a clip as an mp4 with the mark of its kind, atomically; see `video.write_video`."""
    with whole_file(path) as partial:
        try:
            video.write_video(partial, clip)
        except OutputError as error:  # names the temporary file; the outer writer names `path`
            raise cast(OSError, error.__cause__) from error
        mark(partial, kind)


def write_poses_video(path: Path, poses: Poses) -> None:
    """Write the four stages side by side as an mp4."""
    write_marked_video(path, poses_video(poses), Kind.STAGES_VIDEO)


def write_pose_video(path: Path, pose: Pose2D, frame_times: Float) -> None:
    """Write a pose, such as S_re-proj, as an mp4 in the OpenPose convention.

    Args:
        path: a .mp4 file.
        pose: 2D joints in pixels; the square around them is drawn, 512 x 512.
        frame_times: (16,) seconds in the file.
    """
    fps = 1 / float(frame_times[1] - frame_times[0])
    write_marked_video(path, pose_video(pose, frame_body(pose), fps), Kind.POSE_VIDEO)


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
