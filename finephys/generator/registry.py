"""Every video generator by name, with its loader."""

from collections.abc import Callable
from pathlib import Path

from finephys.config import TIERS
from finephys.errors import RequestError
from finephys.generator.protocol import VideoGenerator
from finephys.generator.systems import SYSTEMS
from finephys.weights.checkpoints import checkpoint_path, read_config
from finephys.weights.lock import fetched_lock

Loader = Callable[[str], VideoGenerator]
"""Load a generator onto a torch device."""


def _tier(name: str) -> Loader:
    def load(device: str) -> VideoGenerator:
        from finephys.generator.diffusion import Generator

        return Generator.load(name, device)

    return load


def _controlnet(device: str) -> VideoGenerator:
    from finephys.generator.controlnet import PoseVideoGenerator

    return PoseVideoGenerator.load(device)


def _system(name: str, fetched: bool) -> Loader:
    def load(device: str) -> VideoGenerator:
        if fetched:
            from finephys.generator.public_pipelines import PublicPipeline

            return PublicPipeline.load(name, device)
        from finephys.generator.imported import ImportedVideos

        return ImportedVideos.load(name)

    return load


GENERATORS: dict[str, Loader] = {
    "tiny": _tier("tiny"),
    "sd15-controlnet": _controlnet,
    "sd15": _tier("sd15"),
    **{system.name: _system(system.name, system.fetched) for system in SYSTEMS.values()},
}
"""Loader of each generator: the tiers, then the other systems of the paper's comparison."""


def weights_file(name: str) -> Path:
    """Return the file that identifies a generator's weights: its checkpoint, or a lock or index.

    Args:
        name: key of `GENERATORS`.

    Raises:
        WeightsMissingError: it, or a file that is loaded with it, is missing; the text names the
            command to run.
        WeightsError: it is damaged.
    """
    if name in SYSTEMS:
        return SYSTEMS[name].file()
    if name == "sd15-controlnet":
        return fetched_lock(name, "sd15", "python -m finephys fetch sd15")
    path = checkpoint_path(name, "generator")
    read_config(path)
    if TIERS[name].autoencoder == "kl":  # its base alone, which t2v-zero also consists of
        fetched_lock(name, "t2v-zero", "python -m finephys fetch sd15")
    return path


def load_generator(name: str, device: str = "cpu") -> VideoGenerator:
    """Load a generator onto a torch device.

    Args:
        name: key of `GENERATORS`.
        device: such as "cpu" or "cuda".

    Raises:
        RequestError: there is no generator of that name.
        WeightsMissingError: its weights are missing; the text names the command to run.
        GpuMemoryError: it does not fit onto the GPU; the text names the setting to lower.
    """
    from finephys.generator.memory import memory_guard

    if name not in GENERATORS:
        raise RequestError(f"generator {name!r} does not exist; choose {', '.join(GENERATORS)}.")
    with memory_guard():
        return GENERATORS[name](device)
