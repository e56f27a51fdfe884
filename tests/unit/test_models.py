"""Where models run: on the device that was asked for, or not at all."""

import pytest
import torch

from finephys.errors import RequestError
from finephys.models import Models


@pytest.mark.parametrize(
    ("gpus", "asked", "found"),
    [(0, "auto", "cpu"), (1, "auto", "cuda"), (1, "cpu", "cpu"), (1, "cuda", "cuda"),
     (2, "cuda:1", "cuda:1")],
)  # fmt: skip
def test_a_device_that_is_there_is_taken(
    gpus: int, asked: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert Models("tiny", asked).device == found


@pytest.mark.parametrize(
    ("gpus", "asked", "said"),
    [
        (0, "cuda", "sees 0 GPUs.*auto or cpu"),
        (2, "cuda:2", "'cuda:2'.*sees 2 GPUs"),
        (1, "tpu", "'tpu' does not exist; choose auto, cpu or cuda"),
        (1, "cuda:first", "does not exist"),
    ],
)
def test_a_device_that_is_not_there_is_said(
    gpus: int, asked: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a traceback out of torch, and a CPU that steps in for hours."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(RequestError, match=said):
        _ = Models("tiny", asked).device
