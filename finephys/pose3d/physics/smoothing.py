"""Estimating a path from measurements and accelerations, in both directions of time.

Source: the Rauch-Tung-Striebel form of the Euler-Lagrange update (Eq. 35). A path q of one
coordinate minimises

    sum_t weight_t (q_t - measured_t)^2 + sum_t stiffness_t (q_{t+1} - 2 q_t + q_{t-1} - step_t)^2

with step_t = dt^2 qddot_t, a central difference, so that the problem reads the same forwards and
backwards in time.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from finephys.skeleton import FRAMES


def second_difference(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix (F - 2, F) of central second differences."""
    matrix = torch.zeros(FRAMES - 2, FRAMES, dtype=dtype, device=device)
    for row in range(FRAMES - 2):
        matrix[row, row : row + 3] = torch.tensor([1.0, -2.0, 1.0])
    return matrix


class _Smooth(torch.autograd.Function):
    """`smooth` with its gradient written out: one factorisation serves both directions.

    With A x = b and g the gradient of x, let l = A^-1 g; then the gradients of the measurements,
    weights, stiffness and steps are w l, l (m - x), (D l)(step - D x) and stiffness D l, summed
    over the coordinates that share weight and stiffness.
    """

    @staticmethod
    def forward(
        context: FunctionCtx, measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor
    ) -> Tensor:
        """The path; keeps the factorisation."""
        difference = second_difference(measured.dtype, measured.device)
        matrix = torch.diag_embed(weight) + difference.T @ (stiffness[..., None] * difference)
        right = weight[..., None] * measured + difference.T @ (stiffness[..., None] * step)
        factor = torch.linalg.cholesky(matrix)
        path = torch.cholesky_solve(right, factor)
        context.save_for_backward(measured, weight, stiffness, step, factor, path)
        return path

    @staticmethod
    def backward(
        context: Any,  # noqa: ANN401 (torch's own)
        gradient: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of the four arguments."""
        measured, weight, stiffness, step, factor, path = context.saved_tensors
        difference = second_difference(measured.dtype, measured.device)
        solved = torch.cholesky_solve(gradient, factor)
        bent = difference @ solved
        return (
            weight[..., None] * solved,
            (solved * (measured - path)).sum(-1),
            (bent * (step - difference @ path)).sum(-1),
            stiffness[..., None] * bent,
        )


def smooth(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
    """The path that minimises the sum above: one symmetric positive definite solve a coordinate.

    Args:
        measured: (..., F, K) values; K coordinates share weight and stiffness.
        weight: (..., F), positive.
        stiffness: (..., F - 2), not negative.
        step: (..., F - 2, K).

    Returns:
        (..., F, K).
    """
    path: Tensor = _Smooth.apply(measured, weight, stiffness, step)  # type: ignore[no-untyped-call]
    return path


class PairInformation:
    """Information form of what one pass knows of two successive frames (first, second).

    Attributes:
        matrix: (first-first, first-second, second-second), each (...).
        vector: (first, second), each (..., K).
    """

    def __init__(
        self, matrix: tuple[Tensor, Tensor, Tensor], vector: tuple[Tensor, Tensor]
    ) -> None:
        self.matrix = matrix
        self.vector = vector

    def mean(self) -> tuple[Tensor, Tensor]:
        """Best values of both frames, (..., K) each."""
        aa, ab, bb = self.matrix
        determinant = (aa * bb - ab * ab)[..., None]
        a, b = self.vector
        first = (bb[..., None] * a - ab[..., None] * b) / determinant
        second = (aa[..., None] * b - ab[..., None] * a) / determinant
        return first, second


def filter_forward(
    measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor
) -> list[PairInformation]:
    """The Kalman filter in information form, first frame to last.

    Args:
        measured: as in `smooth`.
        weight: as in `smooth`.
        stiffness: as in `smooth`.
        step: as in `smooth`.

    Returns:
        F - 1 items; item t knows frames (t, t + 1) from measurements up to t + 1 and accelerations
        up to frame t.
    """
    w, m = weight[..., None], measured
    zero = torch.zeros_like(weight[..., 0])
    know = PairInformation(
        (weight[..., 0], zero, weight[..., 1]),
        (w[..., 0, :] * m[..., 0, :], w[..., 1, :] * m[..., 1, :]),
    )
    out = [know]
    for frame in range(1, FRAMES - 1):
        (aa, ab, bb), (a, b) = know.matrix, know.vector
        hold, push = stiffness[..., frame - 1], step[..., frame - 1, :]
        pull = hold[..., None] * push
        # Add hold (q_{t+1} - 2 q_t + q_{t-1} - push)^2, then eliminate q_{t-1}.
        aa, ab, bb = aa + hold, ab - 2 * hold, bb + 4 * hold
        a, b = a + pull, b - 2 * pull
        gain_b, gain_c = (ab / aa), (hold / aa)
        know = PairInformation(
            (
                bb - ab * gain_b,
                -2 * hold - ab * gain_c,
                hold - hold * gain_c + weight[..., frame + 1],
            ),
            (
                b - gain_b[..., None] * a,
                pull - gain_c[..., None] * a + w[..., frame + 1, :] * m[..., frame + 1, :],
            ),
        )
        out.append(know)
    return out


def pass_forward(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
    """Each frame from measurements of itself and earlier frames alone; arguments as `smooth`."""
    pairs = filter_forward(measured, weight, stiffness, step)
    return torch.stack([measured[..., 0, :], *(pair.mean()[1] for pair in pairs)], -2)


def pass_backward(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
    """Each frame from measurements of itself and later frames alone: the forward pass, reversed."""
    return pass_forward(measured.flip(-2), weight.flip(-1), stiffness.flip(-1), step.flip(-2)).flip(
        -2
    )


def combine_passes(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
    """Both passes combined by their information; equals `smooth`, whose arguments it takes.

    For frames (t, t + 1) the forward pass knows accelerations up to t and the backward pass those
    from t + 1 on; the measurements of the two frames are in both and are counted once.
    """
    past = filter_forward(measured, weight, stiffness, step)
    reverse = filter_forward(measured.flip(-2), weight.flip(-1), stiffness.flip(-1), step.flip(-2))
    means = []
    for frame in range(FRAMES - 1):
        before, after = past[frame], reverse[FRAMES - 2 - frame]
        (aa, ab, bb), (a, b) = before.matrix, before.vector
        (cc, cd, dd), (c, d) = after.matrix, after.vector
        own_a, own_b = weight[..., frame], weight[..., frame + 1]
        both = PairInformation(
            (aa + dd - own_a, ab + cd, bb + cc - own_b),
            (
                a + d - own_a[..., None] * measured[..., frame, :],
                b + c - own_b[..., None] * measured[..., frame + 1, :],
            ),
        )
        means.append(both.mean())
    return torch.stack([means[0][0], *(second for _, second in means)], -2)
