"""The viewer's value: a job as plain JSON that grows as the stages arrive."""

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from finephys.observe import SIMULATED_PLANE
from finephys.skeleton import FRAMES, JOINT
from finephys.types import Float, Motion, Pose2D, Pose3D, Result, Stage, Update, VideoClip
from finephys.ui.words import for_page

WIDEST = 640
"""Longest side in pixels of the frames sent to the page; files keep their size."""

PREVIEW_WIDEST = 256
"""Longest side in pixels of a preview, which is shown for a moment and must cost little."""

PLANE_GAP = 0.35
"""Metres between the deepest joint and the image plane behind it."""


def empty(run: str, origin: str, methods: tuple[str, ...], fusion: str) -> dict[str, Any]:
    """Return the value of a job that has just started.

    Args:
        run: name of the job, different from the last one's.
        origin: "clip" or "action".
        methods: whose videos are generated, keys of `methods.METHODS`.
        fusion: key of `fusion.FUSIONS`.
    """
    return {
        "run": run,
        "from": origin,
        "methods": list(methods),
        "fusion": fusion,
        "videos": {},
        "size": list(SIMULATED_PLANE),
        "interval": 0.1,
        "notes": [],
        "seconds": {},
        "since": {},
        "downloads": [],
        "done": False,
    }


def with_update(value: dict[str, Any], update: Update) -> dict[str, Any]:
    """A copy of `value` that also holds `update`."""
    out = dict(value)
    content = update.value
    seconds = round(update.seconds, 2)
    if update.stage in (Stage.PREVIEW, Stage.VIDEO) and isinstance(content, VideoClip):
        whole = update.stage is Stage.VIDEO
        video = {
            "frames": _pictures(content, WIDEST if whole else PREVIEW_WIDEST),
            "step": update.step and list(update.step),
            "since": seconds if whole else None,
        }
        out["videos"] = {**value["videos"], update.method: video}
        return out
    out["since"] = {**value["since"], update.stage.value: seconds}
    if update.stage is Stage.CLIP and isinstance(content, VideoClip):
        shown = content.frames[content.nearest(content.pose_times)]  # the frame under each pose
        out["clip"] = _pictures(replace(content, frames=shown, frame_times=None), WIDEST)
        out["size"] = list(content.size)
        out["interval"] = (len(content.frames) - 1) / content.fps / (FRAMES - 1) or 0.1
    elif isinstance(content, Pose2D):
        out[update.stage.value] = _flat(content)
    elif isinstance(content, Pose3D):
        out["data_driven"] = _spatial(content)
        out.update(_plane(out, content))
    elif isinstance(content, Motion):
        out["physics"] = _spatial(content.combined)
        out["dynamics"] = content.dynamics
        out["mechanics"] = _mechanics(content)
    elif isinstance(content, Result):
        times = content.poses.frame_times
        out["interval"] = float(times[-1] - times[0]) / (FRAMES - 1)
        out["times"] = [round(float(time), 3) for time in times]
        out["fused"] = _spatial(content.poses.fused)
        out["seconds"] = _seconds(value, content)
        out["done"] = update.method == value["methods"][-1]
    out["notes"] = list(dict.fromkeys([*value["notes"], *map(for_page, update.notes)]))
    return out


def _seconds(value: dict[str, Any], result: Result) -> dict[str, float]:
    """Seconds by stage; in a comparison one entry for each method's video."""
    spent = {name: round(seconds, 2) for name, seconds in result.seconds.items()}
    if len(value["methods"]) == 1:
        return spent
    own = [spent.pop(stage.value, 0.0) for stage in (Stage.HEATMAPS, Stage.PREVIEW, Stage.VIDEO)]
    return {**spent, **value["seconds"], f"video, {result.request.method}": round(sum(own), 2)}


def _pictures(clip: VideoClip, widest: int) -> list[str]:
    """Each frame as a data URI, so that no address leads to a person's clip."""
    pictures = []
    for frame in clip.frames:
        picture = Image.fromarray(frame)
        picture.thumbnail((widest, widest), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=82, subsampling=0)
        pictures.append("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode())
    return pictures


def _flat(pose: Pose2D) -> dict[str, Any]:
    return {
        "xy": _rounded(pose.xy, 1),
        "score": _rounded(pose.score, 2),
        "interpolated": pose.interpolated.tolist(),
        "source": pose.source,
    }


def _spatial(pose: Pose3D) -> dict[str, Any]:
    return {"xyz": _rounded(pose.xyz, 3), "root": _rounded(pose.root, 3), "mode": pose.mode}


def _mechanics(motion: Motion) -> dict[str, Any]:
    """Rows over the frames: probabilities, metres above the lowest, m^2/s, millimetres."""
    height = -motion.center_of_mass[:, 1]
    return {
        "flight": _rounded(motion.flight, 2),
        "left": _rounded(motion.contact[:, 0], 2),
        "right": _rounded(motion.contact[:, 1], 2),
        "height": _rounded(height - height.min(), 3),
        "spin": _rounded(np.linalg.norm(motion.angular_momentum, axis=1), 2),
        "error": _rounded(1e3 * motion.expected_error.mean(1), 0),
    }


def _rounded(array: npt.NDArray[Any], digits: int) -> list[Any]:
    rounded: list[Any] = np.round(array.astype(np.float64), digits).tolist()
    return rounded


def _plane(value: dict[str, Any], body: Pose3D) -> dict[str, Any]:
    """Scale, origin and depth of the image plane in the 3D scene."""
    xy = np.array(value["detected"]["xy"], np.float32)
    score = np.array(value["detected"]["score"], np.float32)
    metres, origin = plane_scale(xy, score, body)
    depth = float((body.xyz + body.root[:, None])[..., 2].max()) + PLANE_GAP
    return {"plane": {"scale": metres, "origin": list(origin), "depth": round(depth, 3)}}


def plane_scale(xy: Float, score: Float, body: Pose3D) -> tuple[float, tuple[float, float]]:
    """Metres per pixel at the body's depth, and the pixel at x = y = 0.

    Least squares of the lifted body on the detected one, both relative to their pelvis, weighted by
    score; the first frame's pelvis is the origin of the 3D scene.

    Args:
        xy: (F, J, 2) pixels.
        score: (F, J) in [0, 1].
        body: S_dd.

    Returns:
        Metres per pixel, and (x, y) in pixels.
    """
    pelvis = JOINT["pelvis"]
    flat = xy - xy[:, pelvis : pelvis + 1]
    weight = score[..., None] * score[:, pelvis, None, None]
    seen = float((weight * flat * flat).sum())
    shared = float((weight * flat * body.xyz[..., :2]).sum())
    if seen <= 0 or shared <= 0:
        # They have nothing in common (a pose prior beside an unusable detection): match heights.
        shared, seen = float(np.ptp(body.xyz[..., 1])), max(float(np.ptp(xy[..., 1])), 1.0)
    first = xy[0, pelvis]
    return shared / seen, (float(first[0]), float(first[1]))
