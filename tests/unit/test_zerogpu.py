"""Generation on a borrowed GPU: what crosses to the other process, as `spaces.GPU` carries it."""

import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from finephys import zerogpu
from finephys.errors import RequestError, StoppedError
from finephys.generator.protocol import Sampling
from finephys.types import VideoClip

CLIP = VideoClip(np.zeros((16, 8, 8, 3), np.uint8), 8.0)


def borrow(duration: Callable[..., float]) -> Callable:
    """As `spaces.GPU`: the task runs in a forked process; all that goes in and out is pickled."""

    def wrap(task: Callable[..., Iterator[object]]) -> Callable[..., Iterator[object]]:
        def handler(*args: object) -> Iterator[object]:
            assert 0 < duration(*args) < 600
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            sent = pickle.dumps(args)

            def child() -> None:
                for value in task(*pickle.loads(sent)):  # noqa: S301
                    queue.put(value)
                queue.put(None)

            process = context.Process(target=child)
            process.start()
            while (value := queue.get()) is not None:
                yield value
            process.join()

        return handler

    return wrap


def steps(name: str, sampling: Sampling) -> Iterator[VideoClip]:
    if sampling.prompt == "refuse":
        raise RequestError(f"{name} cannot do that; choose another.")
    for _ in range(sampling.steps):
        if sampling.stop():
            raise StoppedError("Stopped.")
        time.sleep(0.005)
        yield CLIP


def sampling(**values: object) -> Sampling:
    return Sampling(**{"guide": None, "prompt": "", "seed": 0, "steps": 3, "guidance_scale": 2.0,
                       "fps": 8.0, **values})  # fmt: skip


def test_every_step_comes_back() -> None:
    clips = list(zerogpu.on_borrowed_gpu(steps, borrow)("tiny", sampling()))
    assert len(clips) == 3
    assert np.array_equal(clips[-1].frames, CLIP.frames)


def test_an_error_keeps_its_sentence() -> None:
    """`spaces` itself would give the name of the class alone."""
    with pytest.raises(RequestError, match="tiny cannot do that; choose another"):
        list(zerogpu.on_borrowed_gpu(steps, borrow)("tiny", sampling(prompt="refuse")))


def test_stop_reaches_the_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of this process, pickled or forked, would never be set in the other one."""
    monkeypatch.setattr(zerogpu, "POLL_SECONDS", 0.01)
    stopped: list[bool] = []
    clips = zerogpu.on_borrowed_gpu(steps, borrow)(
        "tiny", sampling(steps=100, stop=lambda: bool(stopped))
    )
    next(clips)
    stopped.append(True)
    with pytest.raises(StoppedError):
        for _ in clips:
            pass


def test_the_pose_stages_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the borrowed call there is no GPU, though torch says there is one."""
    import torch

    from finephys.pipeline import Pipeline

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    pipeline = Pipeline("tiny", borrow_gpu=lambda denoise: denoise)
    assert pipeline.models.device == "cuda"
    for stage in (pipeline.models.lifter, pipeline.models.projection):
        network = next(
            value for value in vars(stage).values() if isinstance(value, torch.nn.Module)
        )
        assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}


def test_only_denoising_is_on_the_borrowed_gpu() -> None:
    """Quota is spent by the second: poses and files must not be counted."""
    from finephys.pipeline import Pipeline
    from finephys.types import Request, Stage

    events: list[str] = []

    def counted(denoise: zerogpu.Denoise) -> zerogpu.Denoise:
        def run(name: str, params: Sampling) -> Iterator[VideoClip]:
            events.append("borrowed")
            yield from denoise(name, params)
            events.append("returned")

        return run

    pipeline = Pipeline("tiny", "cpu", borrow_gpu=counted)
    for update in pipeline.stream(None, Request(action=38, steps=1)):
        events.append(update.stage.value)
    inside = events[events.index("borrowed") + 1 : events.index("returned")]
    assert inside == [Stage.PREVIEW.value]
