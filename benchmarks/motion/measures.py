"""Errors of bodies and images, one value a window, in millimetres at the subject."""

import numpy as np
import numpy.typing as npt

from finephys.anthropometry import center_of_mass_weights
from finephys.data.pose_windows import PoseBatch
from finephys.pose3d.windows import BodyWindows
from finephys.skeleton import limb_lengths
from finephys.types import MISSING_SCORE, Bool, Float

Values = npt.NDArray[np.float64]


def position_error(body: BodyWindows, batch: PoseBatch) -> Values:
    """MPJPE: mean distance of the joints, root-relative."""
    error: Values = np.linalg.norm(body.xyz - batch.body, axis=-1).mean((1, 2)) * 1e3
    return error


def acceleration_error(body: BodyWindows, batch: PoseBatch) -> Values:
    """Mean error of the root-relative second difference, a frame squared."""
    error = np.diff(body.xyz - batch.body, n=2, axis=1)
    out: Values = np.linalg.norm(error, axis=-1).mean((1, 2)) * 1e3
    return out


def flying(batch: PoseBatch) -> Values:
    """(N, F - 2), 1 at frames that are in flight with both neighbours."""
    flight = batch.flight.astype(np.float64)
    inner: Values = flight[:, 1:-1] * flight[:, :-2] * flight[:, 2:]
    return inner


def flight_acceleration_error(body: BodyWindows, batch: PoseBatch) -> Values:
    """`acceleration_error` of the frames in flight, of the joints with their root's path."""
    error = np.diff(_placed(body) - _truth(batch), n=2, axis=1)
    return _mean_in_flight(np.linalg.norm(error, axis=-1).mean(2), batch)


def flight_center_error(body: BodyWindows, batch: PoseBatch, among: Bool | None = None) -> Values:
    """Distance in x and y of the centre of mass from the true one over the frames in flight.

    Both paths are taken about their means: where the body is in the image is S_detect's affair.
    With `among` (N, F), only its frames count.
    """
    weights = center_of_mass_weights()
    error = np.einsum("j,nfjd->nfd", weights, _placed(body) - _truth(batch))
    error = (error - error.mean(1, keepdims=True))[:, 1:-1]
    return _mean_in_flight(np.linalg.norm(error, axis=-1), batch, among)


def _placed(body: BodyWindows) -> Values:
    placed = body.xyz.astype(np.float64)
    placed[..., :2] += body.root[:, :, None, :2]
    return placed


def _truth(batch: PoseBatch) -> Values:
    return _placed(BodyWindows(batch.body, batch.root))


def _mean_in_flight(values: Values, batch: PoseBatch, among: Bool | None = None) -> Values:
    weight = flying(batch)
    if among is not None:
        weight = weight * among[:, 1:-1]
    out: Values = (values * weight).sum(1) / np.maximum(weight.sum(1), 1e-9) * 1e3
    return np.where(weight.sum(1) > 0, out, np.nan)


def limb_spread(body: BodyWindows, _: PoseBatch) -> Values:
    """Standard deviation of limb lengths over frames, mean over limbs."""
    spread: Values = limb_lengths(body.xyz).std(1).mean(1) * 1e3
    return spread


def image_error(xy: Float, batch: PoseBatch) -> Values:
    """Mean distance in the image."""
    distance = np.linalg.norm(xy - batch.true_xy, axis=-1).mean((1, 2))
    error: Values = distance / batch.pixels_per_metre * 1e3
    return error


def seen_or_center(batch: PoseBatch) -> Float:
    """S_detect with missing joints at the centre of those found in their frame."""
    found = (batch.score > MISSING_SCORE)[..., None]
    center = (batch.xy * found).sum(2, keepdims=True) / np.maximum(found.sum(2, keepdims=True), 1)
    lost = ~found.any(2, keepdims=True)
    whole = np.broadcast_to(center.mean(1, keepdims=True), center.shape)
    out: Float = np.where(found, batch.xy, np.where(lost, whole, center)).astype(np.float32)
    return out
