"""Generation on a GPU that Hugging Face's ZeroGPU lends for one call at a time.

`spaces.GPU` runs a function in a forked process that alone has CUDA. What goes in and out is
pickled: no event reaches it, and of an error only the class name would come back. So Stop travels
as a file that is removed, and an error as a value.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from finephys.errors import FinePhysError
from finephys.generator.protocol import Sampling
from finephys.types import VideoClip

POLL_SECONDS = 0.2
"""How often Stop is passed on."""

SECONDS_PER_STEP, SECONDS_TO_BEGIN = 1.2, 20.0
"""Design choice: GPU time requested for a video; a step of 16 x 512 x 512 has not been timed on
ZeroGPU's hardware, and unused time is given back."""

Denoise = Callable[[str, Sampling], Iterator[VideoClip]]
"""Denoise a clip with the generator of a name, yielding it after each step."""


def is_available() -> bool:
    """Whether this process runs on a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


@dataclass(frozen=True)
class FileFlag:
    """A stop request that another process sees: set when the file is gone.

    Attributes:
        path: of the file.
    """

    path: Path

    def __call__(self) -> bool:
        """Whether to stop."""
        return not self.path.exists()


def seconds_needed(name: str, sampling: Sampling) -> float:
    """GPU seconds to request for a video."""
    return SECONDS_TO_BEGIN + SECONDS_PER_STEP * sampling.steps


def on_borrowed_gpu(
    denoise: Denoise, borrow: Callable[..., Callable[..., Callable[..., Iterator[object]]]]
) -> Denoise:
    """Run a denoising loop in the process that has the GPU.

    Args:
        denoise: to run there; the models it uses are loaded before the first call.
        borrow: `spaces.GPU`.
    """

    def there(name: str, sampling: Sampling) -> Iterator[VideoClip | FinePhysError]:
        try:
            yield from denoise(name, sampling)
        except FinePhysError as error:
            yield error

    borrowed = borrow(duration=seconds_needed)(there)

    def here(name: str, sampling: Sampling) -> Iterator[VideoClip]:
        with tempfile.TemporaryDirectory(prefix="finephys-stop-") as folder:
            flag = FileFlag(Path(folder) / "running")
            flag.path.touch()
            ended = threading.Event()

            def pass_on() -> None:
                while not ended.wait(POLL_SECONDS):
                    if sampling.stop():
                        flag.path.unlink(missing_ok=True)
                        return

            watcher = threading.Thread(target=pass_on, name="zerogpu-stop", daemon=True)
            watcher.start()
            try:
                for value in borrowed(name, replace(sampling, stop=flag)):
                    if isinstance(value, FinePhysError):
                        raise value
                    assert isinstance(value, VideoClip)  # noqa: S101  (what `there` yields)
                    yield value
            finally:
                ended.set()
                watcher.join()
                flag.path.unlink(missing_ok=True)

    return here
