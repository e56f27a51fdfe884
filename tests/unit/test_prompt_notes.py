"""A prompt that is too long: each video says what its own text encoder did not read."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from finephys.pipeline import Pipeline
from finephys.progress import Progress
from finephys.types import Poses, Request, Result, Update
from tests.unit.test_batch import KnownPoses
from tests.unit.test_methods import some_poses


class Reader(KnownPoses):
    """A generator that reads the first so many letters of a prompt."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self._letters = letters

    def cut_prompt(self, prompt: str) -> str | None:
        return prompt[self._letters :] or None


class Posed(Pipeline):
    """The pipeline with poses from the simulation."""

    def _poses(
        self, source: Path | None, request: Request, run: Progress
    ) -> Generator[Update, None, Poses]:
        yield from ()
        return some_poses()


def test_each_of_several_systems_says_what_it_did_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches a comparison that speaks of the first generator alone, here of the one that reads
    everything."""
    pipeline = Posed("tiny", "cpu")
    limits: dict[str, Any] = {"latte": Reader(100), "tiny": Reader(9)}
    monkeypatch.setattr(pipeline.models, "generator", limits.__getitem__)
    monkeypatch.setattr(pipeline.models, "checkpoints", lambda _: {})
    monkeypatch.setattr(pipeline.models, "describe", lambda *_: {})
    asked = Request(action=25, steps=1, prompt="a person in red")
    made = [
        update
        for update in pipeline.stream(None, asked, methods=("latte", "text"))
        if isinstance(update.value, Result)
    ]
    latte, tiny = (update.value.poses.notes for update in made if isinstance(update.value, Result))
    assert latte == ()
    assert tiny == made[1].notes
    assert len(tiny) == 1
    assert tiny[0].endswith(": in red")
