"""Rendering of a gymnast in a place: exact perspective, per-pixel depth, soft light, anti-aliased.

Every body part is a tapered capsule or an ellipsoid, intersected with the rays of the samples in
its bounding box; the nearest hit of each sample is shaded. All frames of a clip are rendered
together.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from finephys.errors import RequestError
from finephys.motion.cameras import Camera
from finephys.motion.figure import Figure, Material, build_figure
from finephys.motion.looks import HAIRS, LEOTARDS, SKINS, Look
from finephys.motion.scenery import LIGHTS, Light, Place, paint, place_around
from finephys.motion.shadow import shade_floor
from finephys.skeleton import JOINTS
from finephys.types import Bool, Bytes, Float, Pose2D

Index = npt.NDArray[np.int64]

SAMPLES = 2
"""Samples of the body per pixel along each side."""

FINE = 3
"""Samples of the scenery per pixel along each side."""

FLESH = 0.018
"""Metres over which neighbouring parts blend into one surface."""

_AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_CHUNK = 16
_FAR = np.float32(1e6)


def pose_truth(joints: Float, camera: Camera, source: str = "simulation") -> Pose2D:
    """Project the joints (16, 17, 3); every score is 1."""
    xy, _ = camera.project(joints)
    return Pose2D(xy, np.ones(xy.shape[:2], np.float32), source=source)


class Film(NamedTuple):
    """A rendered clip, F frames of S by S pixels.

    Attributes:
        frames: uint8 (F, S, S, 3) RGB.
        silhouette: bool (F, S, S), True where the body covers at least half of the pixel.
        behind: uint8 (F, S, S, 3), the place with the shadow of the body but without the body.
    """

    frames: Bytes
    silhouette: Bool
    behind: Bytes


def render(joints: Float, camera: Camera, look: Look, size: int) -> Film:
    """Render a moving body.

    Args:
        joints: (F, 17, 3) world metres, z up, floor at z = 0.
        camera: its canvas is scaled to `size`.
        look: clothes, place and light.
        size: side of the frames in pixels.

    Raises:
        RequestError: the camera has rotations for another number of frames.
    """
    if joints.ndim != 3 or joints.shape[1:] != (len(JOINTS), 3):
        raise RequestError(f"joints have shape {joints.shape}; expected (frames, 17, 3) metres.")
    camera = camera.resized(size)
    camera.project(joints)  # checks the number of frames
    place = place_around(joints, camera.position, look)
    figure = build_figure(joints, look.build)
    still = _backdrop(camera, 0, 1, place, look) if camera.still else None
    films = []
    for start in range(0, len(joints), _CHUNK):
        stop = min(start + _CHUNK, len(joints))
        rotation = np.broadcast_to(camera.rotation, (len(joints), 3, 3))[start:stop]
        color, cover = _draw_figure(figure, start, stop, rotation, camera, look)
        behind = _backdrop(camera, start, stop, place, look) if still is None else still
        grid = _grid(size, 1, camera.focal)
        rays = _rays(rotation[:1] if camera.still else rotation, grid, grid)
        light = shade_floor(joints[start:stop], rays, camera.position, look.light)
        behind = behind * light[..., None]
        image = color + (1 - cover)[..., None] * behind
        films.append((_levels(image), cover >= 0.5, _levels(behind)))
    return Film(*(np.concatenate(part) for part in zip(*films, strict=True)))


def _levels(image: Float) -> Bytes:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _grid(size: int, samples: int, focal: float) -> Float:
    """Offsets of the samples of one row from the principal point, over the focal length."""
    centers = (np.arange(size * samples) + 0.5) / samples - size / 2
    return (centers / focal).astype(np.float32)


def _pool(array: Float, samples: int) -> Float:
    """Mean over the samples of each pixel: (F, n*S, n*S, ...) -> (F, S, S, ...)."""
    frames, rows = array.shape[:2]
    size = rows // samples
    split = array.reshape(frames, size, samples, size, samples, *array.shape[3:])
    pooled: Float = split[:, :, 0, :, 0].copy()
    for row in range(samples):
        for column in range(samples):
            if row or column:
                pooled += split[:, :, row, :, column]
    return pooled / np.float32(samples * samples)


def _rays(rotation: npt.NDArray[np.float64], across: Float, down: Float) -> Float:
    """World directions (3, F, h, w) of camera rays (x, y, 1)."""
    turn = rotation.astype(np.float32)
    out = np.empty((3, len(turn), len(down), len(across)), np.float32)
    for axis in range(3):
        x = turn[:, 0, axis, None] * across
        y = turn[:, 1, axis, None] * down + turn[:, 2, axis, None]
        np.add(x[:, None, :], y[:, :, None], out=out[axis])
    return out


def _backdrop(camera: Camera, start: int, stop: int, place: Place, look: Look) -> Float:
    """Render the background (F, S, S, 3); F = 1 for a still camera."""
    if camera.still:
        grid = _grid(camera.size, FINE, camera.focal)
        rays = _rays(camera.rotation, grid, grid)
        return _pool(paint(rays, camera.position, 1 / (camera.focal * FINE), place, look), FINE)
    # All views of a camera that only turns are parts of one picture: paint it once and sample it.
    rotation = camera.rotation[start:stop]
    middle = rotation[len(rotation) // 2]
    grid = _grid(camera.size, SAMPLES, camera.focal)
    seen = _rays(rotation @ middle.T, grid, grid)
    x, y = seen[0] / seen[2], seen[1] / seen[2]
    step = 1 / (camera.focal * FINE)
    columns, rows = np.rint((x - x.min()) / step), np.rint((y - y.min()) / step)
    width, height = int(columns.max()) + 1, int(rows.max()) + 1
    if seen[2].min() < 0.2 or width * height > x.size:
        rays = _rays(rotation, grid, grid)
        step = 1 / (camera.focal * SAMPLES)
        return _pool(paint(rays, camera.position, step, place, look), SAMPLES)
    across = (x.min() + step * np.arange(width)).astype(np.float32)
    down = (y.min() + step * np.arange(height)).astype(np.float32)
    wide = paint(_rays(middle[None], across, down), camera.position, step, place, look)
    wide = wide.reshape(-1, 3)
    return _pool(wide[rows.astype(np.int64) * width + columns.astype(np.int64)], SAMPLES)


def _draw_figure(
    figure: Figure,
    start: int,
    stop: int,
    rotation: npt.NDArray[np.float64],
    camera: Camera,
    look: Look,
) -> tuple[Float, Float]:
    """Colour times cover (F, S, S, 3) and cover (F, S, S) of the body."""
    turn = rotation.astype(np.float32)
    moved = figure.origin[:, start:stop].astype(np.float64) - camera.position
    origin = np.einsum("fij,pfj->pfi", rotation, moved).astype(np.float32)
    axes = figure.axes[:, start:stop] @ np.swapaxes(turn, 1, 2)
    length = figure.length[:, start:stop]
    grid = _grid(camera.size, SAMPLES, camera.focal)
    count, side = stop - start, camera.size * SAMPLES
    depth = np.full((count, side, side), _FAR, np.float32)
    owner = np.full((count, side, side), -1, np.int16)
    for part in range(len(origin)):
        low, high = _bounds(
            origin[part], axes[part], length[part], float(figure.reach[part]), camera.focal, side
        )
        spans = (high - low).max(0)
        if (spans <= 0).any():
            continue
        columns = np.minimum(low[:, :1] + np.arange(spans[0]), side - 1)
        rows = np.minimum(low[:, 1:] + np.arange(spans[1]), side - 1)
        hit = _meet(
            origin[part], axes[part], length[part], figure.radius[part], grid[columns], grid[rows]
        )
        where = (np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :])
        nearer = hit < depth[where]
        frame, row, column = np.nonzero(nearer)
        target = (frame, rows[frame, row], columns[frame, column])
        depth[target] = hit[nearer]
        owner[target] = part

    color = np.zeros((count, side, side, 3), np.float32)
    seen = np.nonzero(owner >= 0)
    if not len(seen[0]):  # the body is outside every frame
        return _pool(color, SAMPLES), _pool(color[..., 0], SAMPLES)
    color[seen] = _shade(seen, owner, depth, grid, origin, axes, length, figure, turn, look)
    color[seen] *= _creases(depth)[seen][:, None]
    return _pool(color, SAMPLES), _pool((owner >= 0).astype(np.float32), SAMPLES)


def _bounds(
    origin: Float, axes: Float, length: Float, reach: float, focal: float, side: int
) -> tuple[Index, Index]:
    """Boxes of samples (F, 2), low and high (exclusive), that hold a part in each frame."""
    third = axes[:, 2]
    end = origin + length[:, None] * third / (third * third).sum(-1, keepdims=True)
    ends = np.stack([origin, end])
    near = np.maximum(ends[..., 2:] - reach, 0.1)
    scale = focal * SAMPLES
    center = ends[..., :2] / np.maximum(ends[..., 2:], 0.1)
    margin = reach / near * (1 + np.abs(center))
    low = np.floor(((center - margin).min(0)) * scale + side / 2).astype(np.int64)
    high = np.ceil(((center + margin).max(0)) * scale + side / 2).astype(np.int64) + 1
    return np.clip(low, 0, side), np.clip(high, 0, side)


def _meet(origin: Float, axes: Float, length: Float, radius: Float, x: Float, y: Float) -> Float:
    """Depth (F, h, w) at which the rays (x, y, 1) enter a part; `_FAR` where they miss it.

    Args:
        origin: (F, 3) camera metres.
        axes: (F, 3, 3) camera to local.
        length: (F,) local.
        radius: (2,) local.
        x: (F, w) slopes of the rays.
        y: (F, h) slopes of the rays.
    """
    # Start at the part's own depth so that no digits are lost far from the camera.
    base = origin[:, 2]
    local = []
    for row in range(3):
        ax, ay, az = axes[:, row, 0], axes[:, row, 1], axes[:, row, 2]
        across = (ax[:, None] * x)[:, None, :]
        down = (ay[:, None] * y + az[:, None])[:, :, None]
        gap_x = (ax[:, None] * (base[:, None] * x - origin[:, :1]))[:, None, :]
        gap_y = (ay[:, None] * (base[:, None] * y - origin[:, 1:2]))[:, :, None]
        local.append((across + down, gap_x + gap_y))
    (dx, px), (dy, py), (dz, pz) = local
    speed = dx * dx + dy * dy + dz * dz
    toward = dx * px + dy * py + dz * pz
    off = px * px + py * py + pz * pz
    first, second = float(radius[0]), float(radius[1])

    def sphere(toward: Float, off: Float, size: float) -> Float:
        square = toward * toward - speed * (off - np.float32(size * size))
        step = (-toward - np.sqrt(np.maximum(square, 0))) / speed
        return np.where(square > 0, step, _FAR)

    hit = sphere(toward, off, first)
    span = length[:, None, None]
    if float(length.max()) > 0:
        hit = np.minimum(hit, sphere(toward - span * dz, off - 2 * span * pz + span * span, second))
        taper = np.float32(first - second) / span
        slant = 1 - taper * taper
        a = slant * speed - dz * dz
        b = slant * toward - pz * dz + taper * first * dz
        c = slant * off - pz * pz + 2 * taper * first * pz - np.float32(first * first)
        square = b * b - a * c
        step = (-b - np.sqrt(np.maximum(square, 0))) / np.maximum(a, 1e-9)
        along = pz - first * taper + step * dz
        body = (square > 0) & (a > 1e-9) & (along > 0) & (along < span * slant)
        hit = np.where(body & (step < hit), step, hit)
    depth = base[:, None, None] + hit
    return np.where(depth > 0.05, depth, _FAR)


def _shade(
    seen: tuple[Index, ...],
    owner: npt.NDArray[np.int16],
    depth: Float,
    grid: Float,
    origin: Float,
    axes: Float,
    length: Float,
    figure: Figure,
    turn: Float,
    look: Look,
) -> Float:
    """Colours (N, 3) of the visible samples."""
    frame, row, column = seen
    part = owner[seen].astype(np.int64)
    far = depth[seen]
    point = np.stack([grid[column] * far, grid[row] * far, far], -1)
    frames = origin.shape[1]
    flat = part * frames + frame
    basis = axes.reshape(-1, 3, 3)[flat]
    place = np.einsum("nij,nj->ni", basis, point - origin.reshape(-1, 3)[flat])
    span = length.reshape(-1)[flat]
    safe = np.maximum(span, 1e-6)
    taper = np.where(span > 0, (figure.radius[part, 0] - figure.radius[part, 1]) / safe, 0)
    foot = (place[:, 2] - taper * figure.radius[part, 0]) / np.maximum(1 - taper * taper, 1e-6)
    foot = np.clip(foot, 0, span)
    normal = place.copy()
    normal[:, 2] -= foot
    normal = np.einsum("nij,ni->nj", basis, normal)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = _smooth(normal, seen, far, grid)
    view = point / np.linalg.norm(point, axis=-1, keepdims=True)

    base = _paint_body(part, place, figure, look)
    light = LIGHTS.get(look.background, Light())
    sun = turn @ np.asarray(look.light, np.float32)
    above = turn[:, :, 2]
    lit = (normal * sun[frame]).sum(-1)
    up = (normal * above[frame]).sum(-1)
    facing = np.clip(-(normal * view).sum(-1), 0, 1)
    ambient = np.asarray(light.ambient, np.float32) * (0.80 + 0.20 * up)[:, None]
    key = np.asarray(light.key, np.float32) * np.clip(0.75 * lit + 0.25, 0, 1)[:, None]
    color = base * (ambient + key) * (0.62 + 0.38 * np.sqrt(facing))[:, None]
    half = sun[frame] - view
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    shine = np.clip((normal * half).sum(-1), 0, 1) ** 16
    cloth = np.isin(figure.material[part], (Material.LEOTARD, Material.CHEST))
    out: Float = color + (shine * np.where(cloth, 0.10, 0.06))[:, None]
    return out


def _smooth(normal: Float, seen: tuple[Index, ...], far: Float, grid: Float) -> Float:
    """Blend the normals (N, 3) of visible samples over FLESH metres: it hides seams of parts."""
    samples_per_metre = 1 / (float(grid[1] - grid[0]) * float(np.median(far)))
    step = round(FLESH * samples_per_metre)
    if step < 2:  # finer than a sample
        return normal
    frame, row, column = seen
    side = len(grid)
    number = np.full((int(frame.max()) + 1, side, side), -1, np.int32)
    number[seen] = np.arange(len(frame), dtype=np.int32)
    while step:
        total = normal.copy()
        for down, right in _AROUND:
            beside = number[
                frame,
                np.clip(row + down * step, 0, side - 1),
                np.clip(column + right * step, 0, side - 1),
            ]
            near = (beside >= 0) & (np.abs(far[beside] - far) < 2 * FLESH)
            total += np.where(near[:, None], normal[beside], np.float32(0))
        normal = total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-6)
        step //= 2
    return normal


def _paint_body(part: Index, place: Float, figure: Figure, look: Look) -> Float:
    """Unlit colours (N, 3) of samples of parts at local coordinates."""
    skin = np.asarray(SKINS[look.skin], np.float32)
    cloth = np.asarray(LEOTARDS[look.leotard], np.float32)
    hair = np.asarray(HAIRS[look.hair], np.float32)
    table = np.stack([skin, cloth, cloth if look.sleeves else skin, skin, hair, cloth, skin])
    material = figure.material[part]
    color = table[material]
    # Left and right limbs differ by a tone, as if the right side were a little further from light.
    color = color * np.where(figure.side[part] < 0, np.float32(0.88), np.float32(1.0))[:, None]

    head = np.nonzero(material == Material.HEAD)[0]
    left, front, up = place[head, 0], place[head, 1], place[head, 2]
    face = color[head]
    for side in (-0.42, 0.42):
        eye = np.clip(1.5 - np.hypot((left - side) / 0.13, (up - 0.06) / 0.07), 0, 1) * (front > 0)
        brow = np.clip(1.5 - np.hypot((left - side) / 0.20, (up - 0.24) / 0.05), 0, 1) * (front > 0)
        face += (np.array((0.08, 0.06, 0.06), np.float32) - face) * eye[:, None]
        face += (hair - face) * (0.7 * brow)[:, None]
    cap = np.clip((0.55 * up - front - 0.10 + 0.25 * np.abs(left)) / 0.08 + 0.5, 0, 1)
    cap = np.maximum(cap, np.clip((up - 0.62) / 0.08 + 0.5, 0, 1)) * (up > -0.55)
    face += (hair - face) * cap[:, None]
    color[head] = face
    jaw = np.nonzero(material == Material.JAW)[0]
    left, front, up = place[jaw, 0], place[jaw, 1], place[jaw, 2]
    lips = np.clip(1.5 - np.hypot(left / 0.34, (up - 0.12) / 0.10), 0, 1) * (front > 0)
    color[jaw] += (skin * (0.72, 0.42, 0.42) - color[jaw]).astype(np.float32) * lips[:, None]
    return color


_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def _creases(depth: Float) -> Float:
    """Darken samples beside a nearer part, so that limbs can be told apart: (F, n, n) in (0, 1]."""
    shade = np.ones_like(depth)
    for down, right in _NEIGHBOURS:
        beside = np.roll(depth, (down, right), (1, 2))
        step = depth - beside
        shade -= np.where((depth < _FAR) & (step > 0.04), np.float32(0.22), np.float32(0))
    return np.maximum(shade, 0.5)
