"""Estimating a path from measurements and accelerations, in both directions of time.

A path q of one coordinate minimises

    sum_t weight_t (q_t - measured_t)^2 + sum_t stiffness_t (q_{t+1} - 2 q_t + q_{t-1} - step_t)^2

with step_t = dt^2 qddot_t. The second difference is the paper's update, q_{t+1} = 2 q_t - q_{t-1} +
dt^2 qddot_t, which reads the same forwards and backwards in time; qddot is that of Eq. 35.
Design choice: the paper rolls the update out from three frames in each direction and averages the
two; here each frame's measurement holds the path, so that errors do not grow along it. `smooth`
solves for the whole window at once; each pass is a Kalman filter, and the information of both
passes together is that of `smooth`.

Everything is solved in float64 whatever comes in: with the bounds of `network` stiffness over
weight reaches 10^8, where float32 is wrong by metres.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from finephys.skeleton import FRAMES


def second_difference(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix (F - 2, F) of central second differences."""
    matrix = torch.zeros(FRAMES - 2, FRAMES, dtype=dtype, device=device)
    for row in range(FRAMES - 2):
        matrix[row, row], matrix[row, row + 1], matrix[row, row + 2] = 1.0, -2.0, 1.0
    return matrix


class _Smooth(torch.autograd.Function):
    """`smooth` in float64 with its gradient written out: one factorisation serves both passes.

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
        # A = W + D^T S D is symmetric positive definite as long as two weights are positive.
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
    """The path that minimises the sum above.

    Args:
        measured: (..., F, K) values; K coordinates share weight and stiffness.
        weight: (..., F), positive.
        stiffness: (..., F - 2), not negative.
        step: (..., F - 2, K).

    Returns:
        (..., F, K), in the type of `measured`.
    """
    arguments = (measured.double(), weight.double(), stiffness.double(), step.double())
    path: Tensor = _Smooth.apply(*arguments)  # type: ignore[no-untyped-call]
    return path.to(measured.dtype)


class PairInformation(NamedTuple):
    """What one pass knows of two successive frames, in information form.

    The two frames' values (first, second) minimise x^T [[aa, ab], [ab, bb]] x - 2 x^T (a, b).

    Attributes:
        aa: (...), first with first.
        ab: (...), first with second.
        bb: (...), second with second.
        a: (..., K), first.
        b: (..., K), second.
    """

    aa: Tensor
    ab: Tensor
    bb: Tensor
    a: Tensor
    b: Tensor

    def second(self) -> Tensor:
        """Best value of the second frame, (..., K)."""
        determinant = (self.aa * self.bb - self.ab * self.ab)[..., None]
        return (self.aa[..., None] * self.b - self.ab[..., None] * self.a) / determinant


def filter_forward(
    measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor
) -> list[PairInformation]:
    """The Kalman filter in information form, first frame to last; arguments as `smooth`.

    Returns:
        F - 1 items in float64; item t knows frames (t, t + 1) from measurements up to t + 1 and
        accelerations up to frame t.
    """
    weight, stiffness, step = weight.double(), stiffness.double(), step.double()
    pulled = weight[..., None] * measured.double()
    know = PairInformation(
        weight[..., 0],
        torch.zeros_like(weight[..., 0]),
        weight[..., 1],
        pulled[..., 0, :],
        pulled[..., 1, :],
    )
    out = [know]
    for frame in range(1, FRAMES - 1):
        hold, push = stiffness[..., frame - 1], step[..., frame - 1, :]
        pull = hold[..., None] * push
        # Add hold (q_{t+1} - 2 q_t + q_{t-1} - push)^2, whose coefficients are 1, -2, 1 ...
        aa, ab, bb = know.aa + hold, know.ab - 2 * hold, know.bb + 4 * hold
        a, b = know.a + pull, know.b - 2 * pull
        # ... and eliminate q_{t-1}: the Schur complement of its block.
        gain_b, gain_c = ab / aa, hold / aa
        know = PairInformation(
            bb - ab * gain_b,
            -2 * hold - ab * gain_c,
            hold - hold * gain_c + weight[..., frame + 1],
            b - gain_b[..., None] * a,
            pull - gain_c[..., None] * a + pulled[..., frame + 1, :],
        )
        out.append(know)
    return out


def pass_forward(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
    """Each frame from measurements of itself and earlier frames alone; arguments as `smooth`."""
    pairs = filter_forward(measured, weight, stiffness, step)
    later = torch.stack([pair.second() for pair in pairs], -2).to(measured.dtype)
    return torch.cat([measured[..., :1, :], later], -2)


def pass_backward(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
    """Each frame from measurements of itself and later frames alone: the forward pass, reversed."""
    return pass_forward(measured.flip(-2), weight.flip(-1), stiffness.flip(-1), step.flip(-2)).flip(
        -2
    )
