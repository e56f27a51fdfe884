"""Both passes of PhysNet and the path they make together."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from finephys.pose3d.physics.smoothing import (
    filter_forward,
    pass_backward,
    pass_forward,
    smooth,
)
from finephys.skeleton import FRAMES


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random measurements, weights, stiffness and steps of 20 coordinates."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    weight = draw(20, FRAMES).exp()
    stiffness = draw(20, FRAMES - 2).exp() * 10
    return draw(20, FRAMES, 2), weight, stiffness, draw(20, FRAMES - 2, 2)


def combine_passes(measured: Tensor, weight: Tensor, stiffness: Tensor, step: Tensor) -> Tensor:
    """Both passes combined by their information; should equal `smooth`.

    For frames (t, t + 1) the forward pass knows accelerations up to t and the backward pass those
    from t + 1 on; the measurements of the two frames are in both and are counted once.
    """
    past = filter_forward(measured, weight, stiffness, step)
    future = filter_forward(measured.flip(-2), weight.flip(-1), stiffness.flip(-1), step.flip(-2))
    out = []
    for frame in range(FRAMES - 1):
        before, after = past[frame], future[FRAMES - 2 - frame]  # `after` has the frames reversed
        own_a, own_b = weight[..., frame], weight[..., frame + 1]
        aa, ab = before.aa + after.bb - own_a, before.ab + after.ab
        bb = before.bb + after.aa - own_b
        a = before.a + after.b - own_a[..., None] * measured[..., frame, :]
        b = before.b + after.a - own_b[..., None] * measured[..., frame + 1, :]
        matrix = torch.stack([torch.stack([aa, ab], -1), torch.stack([ab, bb], -1)], -1)
        out.append(torch.linalg.solve(matrix, torch.stack([a, b], -2)))
    return torch.stack([out[0][..., 0, :], *(pair[..., 1, :] for pair in out)], -2)


def test_both_passes_combined_are_the_smoothed_path() -> None:
    """Catches a measurement counted twice and an acceleration left out of one pass."""
    arguments = problem()
    assert (combine_passes(*arguments) - smooth(*arguments)).abs().max() < 1e-9


@pytest.mark.parametrize("solve", [smooth, pass_forward, pass_backward])
@pytest.mark.parametrize("log_stiffness", [-6, 0, 9])
@pytest.mark.parametrize("log_weight", [-9, 0, 6])
def test_float32_arguments_are_solved_as_exactly_as_float64_ones(
    solve: Callable[..., Tensor], log_weight: float, log_stiffness: float
) -> None:
    """Catches a solve in float32: at the bounds of the network's weights it is metres off, or NaN.

    Without detections a weight is exp(-6) * 0.05, about exp(-9); the greatest stiffness is exp(9).
    """
    measured, _, _, step = problem(torch.float32)
    weight = torch.full(measured.shape[:2], log_weight).exp()
    stiffness = torch.full(step.shape[:2], log_stiffness).exp()
    single = solve(measured, weight, stiffness, 0.01 * step)
    whole = (argument.double() for argument in (measured, weight, stiffness, 0.01 * step))
    assert single.dtype == torch.float32
    assert (single - solve(*whole)).abs().max() < 1e-4  # a tenth of a millimetre


def test_the_pair_is_reversible_in_time() -> None:
    """Catches backward differences, which make the passes unlike each other."""
    measured, weight, stiffness, step = problem()
    flipped = (measured.flip(1), weight.flip(1), stiffness.flip(1), step.flip(1))
    torch.testing.assert_close(
        pass_backward(measured, weight, stiffness, step), pass_forward(*flipped).flip(1)
    )
    torch.testing.assert_close(smooth(measured, weight, stiffness, step), smooth(*flipped).flip(1))


def test_the_forward_pass_knows_only_the_past() -> None:
    """Catches a pass that looks ahead."""
    measured, weight, stiffness, step = problem()
    before = pass_forward(measured, weight, stiffness, step)
    changed = measured.clone()
    changed[:, 9:] += 5
    after = pass_forward(changed, weight, stiffness, step)
    torch.testing.assert_close(after[:, :9], before[:, :9])
    assert (after[:, 9] - before[:, 9]).abs().min() > 1e-3


def test_a_parabola_measured_without_error_comes_back_exactly() -> None:
    """Catches a wrong factor of dt^2 qddot: the path of a falling body is not changed."""
    dt, g = 0.1, 9.81
    time = torch.arange(FRAMES, dtype=torch.float64) * dt
    fall = (0.5 * g * time**2)[None, :, None]
    weight = torch.full((1, FRAMES), 1e-3, dtype=torch.float64)
    stiffness = torch.full((1, FRAMES - 2), 100.0, dtype=torch.float64)
    step = torch.full((1, FRAMES - 2, 1), g * dt**2, dtype=torch.float64)
    for run in (smooth, pass_forward, pass_backward):
        torch.testing.assert_close(run(fall, weight, stiffness, step), fall, atol=1e-6, rtol=0)


def test_the_gradient_is_that_of_the_solution() -> None:
    """Catches a sign or a missing factor in the gradient that is written out."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    arguments = (draw(2, FRAMES, 2), draw(2, FRAMES).exp(), draw(2, FRAMES - 2).exp())
    arguments = tuple(a.requires_grad_() for a in (*arguments, draw(2, FRAMES - 2, 2)))
    assert torch.autograd.gradcheck(smooth, arguments)
