"""Looks name what they show."""

import numpy as np
import pytest

from finephys.errors import RequestError
from finephys.motion.looks import BACKGROUNDS, FLOORS, LEOTARDS, Look, prompt, sample_look


def test_words_name_colour_place_and_floor() -> None:
    """Catches a prompt that leaves out what the frames show, or a wrong article."""
    look = Look(leotard="orange", background="audience stand", floor="blue floor")
    assert look.words() == "an orange leotard, an audience stand, a blue floor"
    assert prompt("A person turns.", look) == (
        "A person turns. An orange leotard, an audience stand, a blue floor."
    )


def test_there_is_enough_to_choose_from() -> None:
    """Catches a shrunken list that the page offers."""
    assert len(LEOTARDS) >= 8
    assert len(BACKGROUNDS) >= 6
    assert len(FLOORS) >= 3


def test_sampling_is_by_seed_and_reaches_every_name() -> None:
    """Catches a name that is never trained on, and hidden randomness."""
    looks = [sample_look(np.random.default_rng(seed)) for seed in range(300)]
    assert {look.leotard for look in looks} == set(LEOTARDS)
    assert {look.background for look in looks} == set(BACKGROUNDS)
    assert {look.floor for look in looks} == set(FLOORS)
    assert looks[7] == sample_look(np.random.default_rng(7))
    assert all(np.linalg.norm(look.light) == pytest.approx(1) for look in looks[:20])


def test_an_unknown_name_is_refused_with_the_accepted_ones() -> None:
    """Catches a KeyError deep in the renderer instead of a sentence."""
    with pytest.raises(RequestError, match="leotard is 'mauve'; choose one of red"):
        Look(leotard="mauve")
