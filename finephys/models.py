"""The models of a pipeline: each loaded when first needed, and what is said of their weights."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finephys import __version__
from finephys.config import DEFAULT_TIER, POSE_TIER, TIERS
from finephys.errors import RequestError, WeightsMissingError
from finephys.files import sha256
from finephys.types import Poses
from finephys.weights.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from finephys.generator.protocol import VideoGenerator
    from finephys.pose2d.protocol import Detector
    from finephys.pose3d.lifting import Lifter
    from finephys.pose3d.physics.physnet import PhysNet
    from finephys.pose3d.projection import Projection

POSE_CHECKPOINTS = ("lifting", "physnet", "projection")


class Models:
    """The pose stages' models of one tier, and the generator of whichever tier is asked for.

    Design choice: one generator is kept, the one used last; two of Stable Diffusion's size would
    not fit beside each other on most GPUs.

    Args:
        tier: key of `config.TIERS`, used where a request names none.
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
            RequestError: there is none of that name here; no other one steps in.
        """
        if self._device == "cpu":
            return "cpu"
        import torch

        gpus = torch.cuda.device_count()
        if self._device == "auto":
            return "cuda" if gpus else "cpu"
        kind, _, number = self._device.partition(":")
        if kind != "cuda" or not (number or "0").isdecimal():
            raise RequestError(f"device {self._device!r} does not exist; choose auto, cpu or cuda.")
        if int(number or 0) >= gpus:
            raise RequestError(
                f"device {self._device!r} was asked for, and torch sees {gpus} GPUs here; choose "
                "auto or cpu, or install a torch that is built for this GPU."
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
            RequestError: when the weights hold none of that name.
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
        """The video generator of a tier; that of another tier is let go.

        Raises:
            FinePhysError: when its weights are absent, damaged or too large.
        """
        from finephys.generator import load_generator

        if tier not in self.generators:
            self._let_go()
            self.generators[tier] = load_generator(tier, self.device)
        return self.generators[tier]

    def holds(self, tier: str | None) -> bool:
        """Whether the generator of a tier is loaded; None: of its own tier."""
        return (tier or self.tier) in self.generators

    def _let_go(self) -> None:
        import torch

        self.generators.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # what is free on the GPU decides how the next one is placed

    def checkpoints(self, tier: str) -> dict[str, Path]:
        """Every checkpoint a run needs, by name; WeightsMissingError names the command for one."""
        from finephys.generator.registry import weights_file

        paths = {name: checkpoint_path(POSE_TIER, name) for name in POSE_CHECKPOINTS}
        return paths | {"generator": weights_file(tier)}

    def missing(self, tier: str) -> str | None:
        """What a tier lacks and the command that brings it, or None when all is there."""
        try:
            self.checkpoints(tier)
        except WeightsMissingError as error:
            return str(error)
        return None

    def weights(self, tier: str) -> dict[str, str]:
        """SHA-256 of every checkpoint a run needs, by name; WeightsMissingError without one."""
        if tier not in self._weights:
            paths = self.checkpoints(tier)
            self._weights[tier] = {name: sha256(path) for name, path in paths.items()}
        return self._weights[tier]

    def describe(self, tier: str, poses: Poses) -> dict[str, Any]:
        """Tier, versions and weights that made something of these poses, as plain JSON."""
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
    """Raise RequestError for a tier that there is not."""
    if tier not in TIERS:
        raise RequestError(f"tier {tier!r} does not exist; choose {' or '.join(TIERS)}.")
