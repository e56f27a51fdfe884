"""Previews cost at most a tenth of the denoising time, whatever one preview costs."""

import pytest

from finephys.ui.preview_budget import SHARE, PreviewBudget


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("cost", [0.001, 0.02, 0.4])
@pytest.mark.parametrize("step", [0.05, 1.0])
def test_previews_stay_within_their_share(cost: float, step: float) -> None:
    """Without a budget every step of a fast model would wait for a preview."""
    clock = Clock()
    budget = PreviewBudget(clock)
    budget.begin()
    shown, steps = 0, 400
    for _ in range(steps):
        clock.now += step
        if budget.allows():
            shown += 1
            with budget.spending():
                clock.now += cost
    # The first one's cost is not known beforehand, so it may exceed the share by itself.
    assert budget.spent <= SHARE * steps * step + cost
    assert shown >= min(0.9 * steps, 0.9 * SHARE * steps * step / cost - 1)


def test_what_a_preview_costs_is_remembered_for_the_next_video() -> None:
    """A budget that forgets would begin every video of a comparison with one too dear."""
    clock = Clock()
    budget = PreviewBudget(clock)
    clock.now += 1
    assert budget.allows()
    with budget.spending():
        clock.now += 5
    budget.begin()
    assert budget.spent == 0
    clock.now += 49
    assert not budget.allows()
    clock.now += 2
    assert budget.allows()
