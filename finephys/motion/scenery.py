"""Walls, floors and skies behind a rendered gymnast: procedural colours of rays.

A square room with a random yaw surrounds the motion; every texture is a function of metres along
and up its wall, so it moves in a turning camera's view as a real wall would.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finephys.motion.looks import Color, Look
from finephys.types import Float

Wall = Callable[[Float, Float, float, int], Float]


@dataclass(frozen=True)
class Light:
    """The light of a place.

    Attributes:
        ambient: colour of the light from all directions.
        key: colour of light from the lamp.
    """

    ambient: Color = (0.62, 0.62, 0.64)
    key: Color = (0.52, 0.50, 0.46)


LIGHTS: dict[str, Light] = {
    "dark arena": Light((0.48, 0.49, 0.56), (0.72, 0.68, 0.60)),
    "outdoor sky": Light((0.60, 0.63, 0.68), (0.62, 0.58, 0.48)),
    "red curtain": Light((0.58, 0.55, 0.55), (0.58, 0.55, 0.50)),
}
"""Places with a light other than the default."""


@dataclass(frozen=True)
class Place:
    """Position of the room.

    Attributes:
        center: (2,) world metres, middle of the room.
        half: metres from there to each wall.
        turn: radians, yaw of the room.
        stage: (2,) world metres, middle of the motion.
    """

    center: npt.NDArray[np.float64]
    half: float
    turn: float
    stage: npt.NDArray[np.float64]


def place_around(joints: Float, camera: npt.NDArray[np.float64], look: Look) -> Place:
    """Draw a room around the motion (F, 17, 3) and the camera (3,), with a wall not far behind."""
    rng = np.random.default_rng(look.seed)
    flat = joints[..., :2].reshape(-1, 2).astype(np.float64)
    stage = (flat.min(0) + flat.max(0)) / 2
    away = stage - camera[:2]
    reach = float(np.linalg.norm(np.ptp(flat, axis=0))) / 2
    half = float(np.linalg.norm(away)) / 2 + reach + rng.uniform(2.0, 5.0)
    turn = float(np.arctan2(away[1], away[0])) + rng.uniform(-0.7, 0.7)
    return Place((stage + camera[:2]) / 2, half, turn, stage)


def paint(
    rays: Float, position: npt.NDArray[np.float64], pixel: float, place: Place, look: Look
) -> Float:
    """Compute the colours seen along rays.

    Args:
        rays: (3, ...) world directions of any length.
        position: (3,) world metres they start from, z > 0.
        pixel: angle between neighbouring rays in radians, for smoothing of fine detail.
        place: the room.
        look: names of background and floor, seed of details.

    Returns:
        float32 (..., 3) in [0, 1].
    """
    cosine, sine = np.cos(place.turn), np.sin(place.turn)
    offset = position[:2] - place.center
    start_x = float(cosine * offset[0] + sine * offset[1])
    start_y = float(-sine * offset[0] + cosine * offset[1])
    ray_x = cosine * rays[0] + sine * rays[1]
    ray_y = -sine * rays[0] + cosine * rays[1]
    ray_z = rays[2]
    tiny = np.float32(1e-6)
    to_x = (np.sign(ray_x) * place.half - start_x) / np.where(np.abs(ray_x) < tiny, tiny, ray_x)
    to_y = (np.sign(ray_y) * place.half - start_y) / np.where(np.abs(ray_y) < tiny, tiny, ray_y)
    far = np.minimum(to_x, to_y)
    to_floor = np.where(ray_z < -tiny, -position[2] / np.minimum(ray_z, -tiny), np.float32(1e9))
    outdoors = look.background == "outdoor sky"
    on_floor = to_floor < (60.0 if outdoors else far)

    out = np.empty((*ray_z.shape, 3), np.float32)
    depth = to_floor[on_floor]
    ahead = place.stage - position[:2]
    out[on_floor] = _floor(
        (depth * ray_x[on_floor] - (cosine * ahead[0] + sine * ahead[1])).astype(np.float32),
        (depth * ray_y[on_floor] - (cosine * ahead[1] - sine * ahead[0])).astype(np.float32),
        depth,
        pixel,
        look,
    )
    rest = ~on_floor
    if outdoors:
        flat = np.hypot(ray_x[rest], ray_y[rest])
        out[rest] = _sky(np.arctan2(ray_y[rest], ray_x[rest]), ray_z[rest] / flat, pixel, look.seed)
    else:
        depth = far[rest]
        side = to_x[rest] < to_y[rest]
        along = np.where(
            side, start_y + depth * ray_y[rest], start_x + depth * ray_x[rest] + 4 * place.half
        ).astype(np.float32)
        up = (position[2] + depth * ray_z[rest]).astype(np.float32)
        typical = float(np.median(depth)) * pixel if depth.size else pixel
        color = _WALLS[look.background](along, up, typical, look.seed)
        color *= np.where(side, np.float32(1.0), np.float32(0.90))[..., None]
        color *= (0.72 + 0.28 * np.clip(up / 0.5, 0, 1))[
            ..., None
        ]  # darker at the foot of the wall
        out[rest] = color
    return np.clip(out, 0, 1)


def _dice(column: npt.NDArray[np.int64], row: npt.NDArray[np.int64] | int, seed: int) -> Float:
    """Hash every lattice cell to a number in [0, 1), reproducible for a seed."""
    mixed = (
        column.astype(np.uint32) * np.uint32(374761393)
        + np.asarray(row).astype(np.uint32) * np.uint32(668265263)
        + np.uint32((seed * 2654435761 + 974634541) & 0xFFFFFFFF)
    )
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(1274126177)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(2246822519)
    out: Float = ((mixed ^ (mixed >> np.uint32(16))) >> np.uint32(8)).astype(np.float32)
    return out / np.float32(2**24)


def _noise(x: Float, y: Float, seed: int) -> Float:
    """Smooth noise in [0, 1] with unit cells."""
    column, row = np.floor(x), np.floor(y)
    u, v = x - column, y - row
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    i, j = column.astype(np.int64), row.astype(np.int64)
    low = _dice(i, j, seed) * (1 - u) + _dice(i + 1, j, seed) * u
    high = _dice(i, j + 1, seed) * (1 - u) + _dice(i + 1, j + 1, seed) * u
    out: Float = (low * (1 - v) + high * v).astype(np.float32)
    return out


def _within(x: Float, low: float, high: float, soft: float) -> Float:
    """1 inside (low, high), 0 outside, edges `soft` wide."""
    half = max(soft, 1e-3) / 2
    rise = np.clip((x - low) / (2 * half) + 0.5, 0, 1)
    out: Float = rise * np.clip((high - x) / (2 * half) + 0.5, 0, 1)
    return out


def _repeat(x: Float, period: float, low: float, high: float, soft: float) -> Float:
    """Bands from `low` to `high` in every `period`, fading to their mean when finer than `soft`."""
    band = _within(np.mod(x, period), low, high, soft)
    fade = float(np.clip((soft / period - 0.35) / 0.4, 0, 1))
    return band * (1 - fade) + fade * (high - low) / period


def _mix(base: Float, color: Color | Float, amount: Float) -> Float:
    return base + (np.asarray(color, np.float32) - base) * amount[..., None]


def _plain(shape: tuple[int, ...], color: Color) -> Float:
    return np.broadcast_to(np.asarray(color, np.float32), (*shape, 3)).copy()


_BANNERS = np.array(
    [
        (0.85, 0.12, 0.14),
        (0.95, 0.80, 0.15),
        (0.95, 0.95, 0.95),
        (0.10, 0.55, 0.30),
        (0.90, 0.45, 0.10),
    ],
    np.float32,
)


def _gym_hall(u: Float, v: Float, soft: float, seed: int) -> Float:
    out = _plain(u.shape, (0.84, 0.79, 0.68))
    bay = 3.2
    window = _repeat(u, bay, 0.5, 2.7, soft) * _within(v, 2.1, 4.9, soft)
    light = 0.82 + 0.16 * _noise(u * 0.7, v * 0.7, seed)
    out = _mix(
        out, (0.35, 0.32, 0.28), _repeat(u, bay, 0.38, 2.82, soft) * _within(v, 1.98, 5.02, soft)
    )
    out = _mix(out, np.stack([light * 0.92, light * 0.98, np.ones_like(light)], -1), window)
    bars = np.maximum(_repeat(u - 0.5, 0.55, 0, 0.06, soft), _repeat(v - 2.1, 0.93, 0, 0.06, soft))
    out = _mix(out, (0.40, 0.38, 0.36), bars * window)
    plank = _dice(np.floor(u / 0.3).astype(np.int64), 0, seed) * 0.16
    wood = np.stack([0.60 + plank, 0.41 + plank, 0.24 + plank * 0.7], -1)
    out = _mix(out, wood, _within(v, -1, 1.15, soft))
    out = _mix(
        out,
        (0.35, 0.22, 0.13),
        np.maximum(
            _within(v, 1.1, 1.2, soft), _repeat(u, 0.3, 0, 0.02, soft) * _within(v, -1, 1.15, soft)
        ),
    )
    return _mix(out, (0.45, 0.46, 0.48), _within(v, 5.4, 5.8, soft) + _within(v, 6.8, 99.0, soft))


def _arena(u: Float, v: Float, soft: float, seed: int) -> Float:
    out = _plain(u.shape, (0.035, 0.035, 0.075))
    row = np.floor(v / 0.55).astype(np.int64)
    aside = u + 0.22 * (row & 1)
    column = np.floor(aside / 0.45).astype(np.int64)
    x, y = np.mod(aside, 0.45) - 0.225, np.mod(v, 0.55)
    person = (x**2 + (y - 0.38) ** 2 < 0.011) | ((np.abs(x) < 0.17) & (y < 0.24))
    crowd = 0.04 + 0.20 * _dice(column, row, seed)
    dim = np.stack([crowd * 1.1, crowd, crowd * 1.2], -1)
    out = _mix(out, dim, person * _within(v, 1.1, 9.0, soft))
    board = _within(v, 0.15, 0.95, soft)
    tile, line = np.floor(u / 0.4).astype(np.int64), np.floor(v / 0.2).astype(np.int64)
    lit = _dice(tile, line, seed + 1) > 0.62
    out = _mix(out, (0.05, 0.12, 0.42), board)
    out = _mix(out, (0.25, 0.60, 0.98), board * lit * _within(v, 0.3, 0.8, soft))
    bay = 2.8
    side = np.mod(u, bay) - bay / 2
    around = side**2 + (v - 3.2) ** 2
    lamp = np.exp(-around / 0.10) + 0.35 * np.exp(-around / 0.9)
    below = np.clip(3.2 - v, 0, 5)
    beam = np.exp(-((side / (0.12 + 0.28 * below)) ** 2)) * np.exp(-below / 2.2) * (v < 3.2)
    glow = np.clip(lamp + 0.45 * beam, 0, 1)
    return _mix(out, (1.0, 0.95, 0.80), glow)


def _banner_wall(u: Float, v: Float, soft: float, seed: int) -> Float:
    out = _plain(u.shape, (0.10, 0.27, 0.64))
    out += (0.05 * (_noise(u * 1.5, v * 1.5, seed) - 0.5))[..., None]
    period = 2.3
    bay = np.floor(u / period).astype(np.int64)
    color = _BANNERS[(_dice(bay, 0, seed) * len(_BANNERS)).astype(np.int64)]
    second = _BANNERS[(_dice(bay, 7, seed) * len(_BANNERS)).astype(np.int64)]
    banner = _repeat(u, period, 0.45, 1.85, soft) * _within(v, 0.95, 3.7, soft)
    out = _mix(out, color, banner)
    stripe = _within(v, 2.7, 3.2, soft) + _within(v, 1.25, 1.45, soft)
    out = _mix(out, second, stripe * _repeat(u, period, 0.45, 1.85, soft))
    disc = ((np.mod(u, period) - 1.15) ** 2 + (v - 2.1) ** 2) < 0.14
    out = _mix(out, second * 0.85, disc.astype(np.float32))
    return _mix(out, (0.92, 0.93, 0.95), _within(v, 0.35, 0.52, soft) + _within(v, 4.3, 4.5, soft))


def _stand(u: Float, v: Float, soft: float, seed: int) -> Float:
    rise, seat = 0.85, 0.62
    row = np.floor((v - 1.1) / rise).astype(np.int64)
    shift = (_dice(row, 3, seed) * seat).astype(np.float32)
    column = np.floor((u + shift) / seat).astype(np.int64)
    x, y = np.mod(u + shift, seat) - seat / 2, np.mod(v - 1.1, rise)
    step = 0.30 + 0.10 * (row & 1)
    out = np.stack([step, step, step * 1.08], -1).astype(np.float32)
    out = _mix(out, (0.20, 0.22, 0.30), _within(y, 0.0, 0.12, soft))
    taken = _dice(column, row, seed) > 0.15
    shirt = np.stack([_dice(column, row, seed + k) for k in (1, 2, 3)], -1) * 0.75 + 0.12
    body = _within(x, -0.22, 0.22, soft) * _within(y, 0.10, 0.48, soft) * taken
    face = 0.45 + 0.45 * _dice(column, row, seed + 4)
    head = (x**2 + (y - 0.60) ** 2 < 0.018) * taken
    out = _mix(out, shirt, body)
    out = _mix(out, np.stack([face, face * 0.78, face * 0.66], -1), head.astype(np.float32))
    board = _within(v, -1, 1.0, soft)
    letter = _dice(np.floor(u / 0.35).astype(np.int64), 5, seed) > 0.45
    out = _mix(out, (0.90, 0.90, 0.92), board)
    out = _mix(out, (0.12, 0.20, 0.55), board * letter * _within(v, 0.3, 0.7, soft))
    return _mix(out, (0.25, 0.26, 0.28), _within(v, 1.0, 1.1, soft))


def _training_hall(u: Float, v: Float, soft: float, seed: int) -> Float:
    out = _plain(u.shape, (0.90, 0.91, 0.92))
    out -= (0.06 * _noise(u * 0.5, v * 0.5, seed))[..., None]
    bay = 2.8
    number = np.floor(u / bay).astype(np.int64)
    pick = _dice(number, 0, seed)
    inside = _within(np.mod(u, bay), 0.6, 2.4, soft)
    ladder = inside * _within(v, 0.1, 2.9, soft) * (pick > 0.45)
    rungs = np.maximum(
        _repeat(v, 0.26, 0, 0.09, soft), _repeat(u - 0.6 - number * bay, 0.9, 0, 0.1, soft)
    )
    out = _mix(out, (0.62, 0.42, 0.24), ladder * rungs)
    mats = inside * _within(v, -1, 1.0, soft) * (pick < 0.30)
    layer = _BANNERS[
        (_dice(number, np.floor(v / 0.25).astype(np.int64), seed) * 5).astype(np.int64)
    ]
    out = _mix(out, layer * 0.85, mats)
    out = _mix(out, (0.42, 0.47, 0.55), _repeat(u, bay, 0.0, 0.28, soft))
    out = _mix(out, (0.48, 0.53, 0.60), _within(v, 3.2, 3.5, soft) + _within(v, 5.2, 5.5, soft))
    brace = np.abs(np.mod(u, bay) / bay * 1.7 + 3.5 - v) < 0.09 + soft / 2
    return _mix(out, (0.55, 0.59, 0.65), brace * _within(v, 3.5, 5.2, soft))


def _curtain(u: Float, v: Float, soft: float, seed: int) -> Float:
    wave = u + 0.10 * np.sin(1.3 * u + seed % 7) + 0.02 * v
    fold = 0.5 + 0.5 * np.sin(wave * 9.0)
    broad = 0.5 + 0.5 * np.sin(wave * 2.3 + 1)
    shade = 0.35 + 0.42 * fold + 0.18 * broad
    out = np.stack([0.72 * shade, 0.07 * shade, 0.10 * shade], -1).astype(np.float32)
    swag = 3.3 + 0.35 * np.abs(np.sin(u * 1.1))
    out = _mix(out, (0.80, 0.62, 0.18), np.clip(1 - np.abs(v - swag) / max(0.10, soft), 0, 1))
    return _mix(out, (0.72, 0.55, 0.16), _within(v, 0.12, 0.28, soft))


def _bricks(u: Float, v: Float, soft: float, seed: int) -> Float:
    row = np.floor(v / 0.24).astype(np.int64)
    x = u + 0.3 * (row & 1)
    shade = 0.75 + 0.40 * _dice(np.floor(x / 0.6).astype(np.int64), row, seed)
    out = np.stack([0.56 * shade, 0.29 * shade, 0.21 * shade], -1).astype(np.float32)
    mortar = np.maximum(
        _repeat(v, 0.24, 0, 0.035, soft), _repeat(x.astype(np.float32), 0.6, 0, 0.035, soft)
    )
    out = _mix(out, (0.66, 0.62, 0.57), mortar)
    bay = 3.6
    frame = _repeat(u, bay, 1.1, 2.5, soft) * _within(v, 1.5, 3.5, soft)
    out = _mix(out, (0.25, 0.20, 0.17), frame)
    pane = _repeat(u, bay, 1.2, 1.77, soft) + _repeat(u, bay, 1.83, 2.4, soft)
    return _mix(out, (0.62, 0.74, 0.82), pane * _within(v, 1.6, 3.4, soft))


_WALLS: dict[str, Wall] = {
    "bright gym hall": _gym_hall,
    "dark arena": _arena,
    "blue wall with banners": _banner_wall,
    "audience stand": _stand,
    "white training hall": _training_hall,
    "red curtain": _curtain,
    "brick wall": _bricks,
}


def _sky(azimuth: Float, slope: Float, pixel: float, seed: int) -> Float:
    """Sky, clouds and a line of hills and trees; `slope` is the tangent of the elevation."""
    height = np.clip(slope / 0.35, 0, 1)[..., None]
    out = (
        np.array((0.80, 0.90, 0.97), np.float32) * (1 - height)
        + np.array((0.26, 0.52, 0.88), np.float32) * height
    )
    x, y = azimuth * 5.0, slope * 14.0
    cloud = 0.6 * _noise(x, y, seed) + 0.3 * _noise(2 * x, 2 * y, seed + 1)
    out = _mix(out, (0.99, 0.99, 1.0), np.clip((cloud - 0.42) * 5, 0, 1))
    hill = 0.012 + 0.045 * _noise(azimuth * 4.0, 0 * azimuth, seed + 2)
    out = _mix(out, (0.42, 0.56, 0.50), np.clip((hill - slope) / pixel + 0.5, 0, 1))
    leaf = _noise(azimuth * 90.0, slope * 90.0, seed + 3)
    tree = 0.004 + 0.022 * _noise(azimuth * 14.0, 0 * azimuth, seed + 4) + 0.006 * leaf
    green = np.stack([0.14 + 0.12 * leaf, 0.30 + 0.18 * leaf, 0.12 + 0.08 * leaf], -1)
    return _mix(out, green, np.clip((tree - slope) / pixel + 0.5, 0, 1))


_FLOOR_COLORS: dict[str, tuple[Color, Color]] = {  # inside and outside of the boundary
    "blue floor": ((0.16, 0.36, 0.74), (0.10, 0.22, 0.50)),
    "beige floor": ((0.82, 0.71, 0.55), (0.60, 0.48, 0.36)),
    "grey floor": ((0.52, 0.54, 0.57), (0.36, 0.38, 0.41)),
    "green floor": ((0.22, 0.52, 0.32), (0.14, 0.36, 0.24)),
    "wooden floor": ((0.68, 0.46, 0.27), (0.52, 0.33, 0.19)),
}


def _floor(x: Float, y: Float, depth: Float, pixel: float, look: Look) -> Float:
    """A square field with a white boundary, in panels; metres of the room's axes."""
    rng = np.random.default_rng(look.seed + 1)
    shift_x, shift_y = rng.uniform(0.5, 3.0, 2)
    inside, outside = _FLOOR_COLORS[look.floor]
    if look.background == "outdoor sky":
        outside = (0.30, 0.47, 0.20)  # grass
    soft = float(np.median(depth)) * pixel * 2 if depth.size else pixel
    edge = np.maximum(np.abs(x + shift_x), np.abs(y + shift_y))
    out = _mix(_plain(x.shape, inside), outside, np.clip((edge - 5.0) / soft + 0.5, 0, 1))
    if look.floor == "wooden floor":
        board = _dice(
            np.floor(x / 0.22).astype(np.int64), np.floor(y / 2.2).astype(np.int64), look.seed
        )
        out *= (0.86 + 0.24 * board)[..., None]
    else:
        panel = _dice(
            np.floor(x / 1.5).astype(np.int64), np.floor(y / 1.5).astype(np.int64), look.seed
        )
        out *= (0.93 + 0.10 * panel)[..., None]
        seam = np.maximum(_repeat(x, 1.5, 0, 0.05, soft), _repeat(y, 1.5, 0, 0.05, soft))
        out *= (1 - 0.16 * seam)[..., None]
    out *= (0.97 + 0.06 * _noise(x * 6, y * 6, look.seed))[..., None]
    out = _mix(out, (0.93, 0.94, 0.95), _within(edge, 4.9, 5.1, soft))
    if look.background == "dark arena":  # a pool of light
        out *= (0.28 + 0.72 * np.exp(-(x**2 + y**2) / 14.0))[..., None]
    return out
