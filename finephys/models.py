"""The models of a pipeline, each loaded when first needed, and metadata about their weights."""

import gc
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finephys import __version__
from finephys.config import DEFAULT_TIER, POSE_TIER, TIERS
from finephys.errors import RequestError, WeightsError, WeightsMissingError
from finephys.files import sha256
from finephys.types import Poses
from finephys.weights.checkpoints import checkpoint_path, read_config

if TYPE_CHECKING:
    from finephys.generator.protocol import VideoGenerator
    from finephys.pose2d.protocol import Detector
    from finephys.pose3d.lifting import Lifter
    from finephys.pose3d.physics.physnet import PhysNet
    from finephys.pose3d.projection import Projection

POSE_CHECKPOINTS = ("lifting", "physnet", "projection")


class Models:
    """The models of the pose stages, and one video generator.

    Design choice: only the last generator stays loaded; two of Stable Diffusion's size do not fit
    on most GPUs.

    Args:
        tier: key of `config.TIERS`, for requests that name none.
        device: "cpu", "cuda", or "auto" for a GPU when there is one.
        poses_on_cpu: whether the pose stages run on the CPU although the generators do not.
    """

    def __init__(
        self, tier: str = DEFAULT_TIER, device: str = "auto", poses_on_cpu: bool = False
    ) -> None:
        check_tier(tier)
        self.tier = tier
        self._device = device
        self._poses_on_cpu = poses_on_cpu
        self._physnets: dict[str | None, PhysNet] = {}
        self._weights: dict[str, dict[str, str]] = {}
        self.generators: dict[str, VideoGenerator] = {}

    @cached_property
    def device(self) -> str:
        """Device that models run on.

        Raises:
            RequestError: it does not exist here; no other one is used instead.
        """
        if self._device == "cpu":
            return "cpu"
        import torch

        gpus = torch.cuda.device_count()
        if self._device == "auto":
            return "cuda" if gpus else "cpu"
        named = re.fullmatch(r"cuda(?::(0|[1-9][0-9]{0,3}))?", self._device)
        if named is None:
            raise RequestError(f"device {self._device!r} does not exist; choose auto, cpu or cuda.")
        if int(named[1] or 0) >= gpus:
            raise RequestError(
                f"device is {self._device!r}, but torch sees {gpus} GPUs here; choose auto or cpu, "
                "or install a build of torch for this GPU."
            )
        return self._device

    @property
    def _pose_device(self) -> str:
        return "cpu" if self._poses_on_cpu else self.device

    @cached_property
    def detector(self) -> "Detector":
        """S_detect."""
        from finephys.pose2d import load_detector

        return load_detector()

    @cached_property
    def lifter(self) -> "Lifter":
        """S_dd."""
        from finephys.pose3d.lifting import Lifter

        return Lifter.load(POSE_TIER, self._pose_device)

    def physnet(self, dynamics: str | None = None) -> "PhysNet":
        """S_pp.

        Args:
            dynamics: key of `config.DYNAMICS_TITLES`; None: the weights' own default.

        Raises:
            RequestError: the weights have no dynamics of that name.
        """
        from finephys.pose3d.physics.physnet import PhysNet

        if dynamics not in self._physnets:
            self._physnets[dynamics] = PhysNet.load(POSE_TIER, self._pose_device, dynamics)
        return self._physnets[dynamics]

    @cached_property
    def projection(self) -> "Projection":
        """S_re-proj."""
        from finephys.pose3d.projection import Projection

        return Projection.load(POSE_TIER, self._pose_device)

    def generator(self, tier: str) -> "VideoGenerator":
        """Load a tier's video generator, after unloading the previous one.

        Raises:
            FinePhysError: its weights are missing, damaged or too large.
        """
        from finephys.generator import load_generator

        if tier not in self.generators:
            self._unload()
            self.generators[tier] = load_generator(tier, self.device)
        return self.generators[tier]

    def holds(self, tier: str | None) -> bool:
        """Whether the generator of a tier is loaded; None: the default tier's."""
        return (tier or self.tier) in self.generators

    def _unload(self) -> None:
        import torch

        self.generators.clear()
        # Networks with hooks are in reference cycles, and free memory decides how the next
        # generator is placed.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def checkpoints(self, tier: str) -> dict[str, Path]:
        """Return every checkpoint that a run needs, by name.

        Raises:
            WeightsMissingError: one is missing; the text names the command that restores it.
            WeightsError: the header of one is damaged.
        """
        from finephys.generator.registry import weights_file

        paths = {name: checkpoint_path(POSE_TIER, name) for name in POSE_CHECKPOINTS}
        for path in paths.values():
            read_config(path)
        return paths | {"generator": weights_file(tier)}

    def missing(self, tier: str) -> str | None:
        """Describe what a tier lacks, with the command that restores it; None: nothing."""
        try:
            self.checkpoints(tier)
        except (WeightsMissingError, WeightsError) as error:
            return str(error)
        return None

    def weights(self, tier: str) -> dict[str, str]:
        """Return the SHA-256 of every checkpoint that a run needs, by name; see `checkpoints`."""
        if tier not in self._weights:
            paths = self.checkpoints(tier)
            self._weights[tier] = {name: sha256(path) for name, path in paths.items()}
        return self._weights[tier]

    def describe(self, tier: str, poses: Poses) -> dict[str, Any]:
        """Return tier, versions and weights of a run on these poses, as plain JSON."""
        import torch

        return {
            "finephys": __version__,
            "tier": tier,
            "device": self.device,
            "torch": torch.__version__,
            "detector": self.detector.name,
            "dynamics": poses.motion.dynamics,
            "checkpoints": self.weights(tier),
        }


def check_tier(tier: str) -> None:
    """Raise RequestError for a tier that does not exist."""
    if tier not in TIERS:
        raise RequestError(f"tier {tier!r} does not exist; choose {' or '.join(TIERS)}.")
