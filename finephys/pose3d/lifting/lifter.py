"""The lifter as the pipeline calls it: from pixels to metres."""

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from finephys.actions import ACTIONS
from finephys.errors import RequestError
from finephys.pose3d.geometry import body_height, chunks, window_tensors
from finephys.pose3d.lifting.inputs import normalise
from finephys.pose3d.lifting.network import LiftingNetwork, LiftingSize
from finephys.pose3d.windows import BodyWindows, PoseWindows
from finephys.types import Float
from finephys.weights.checkpoints import checkpoint_path, load_module, read_config, rebuilding

PRIOR_OF_ACTION = {action.id: index + 1 for index, action in enumerate(ACTIONS)}
"""Row of each class in the buffer of priors; row 0 is for no class."""


def metres_per_unit(body: Tensor, height: Tensor) -> Tensor:
    """Metres of one unit of `body` that give it a certain height.

    Args:
        body: (N, F, J, 3) in any unit.
        height: (N,) metres, of the person.

    Returns:
        (N, 1, 1, 1).
    """
    # The bound keeps a body shrunk to a point finite.
    return (height / body_height(body).clamp(min=4e-4))[:, None, None, None]


def lift_tensors(
    network: LiftingNetwork,
    windows: tuple[Tensor, Tensor, Tensor],
    height: Tensor,
    action: Tensor,
    prior: Tensor,
) -> tuple[Tensor, Tensor]:
    """Lift one batch.

    Args:
        network: with its bank filled.
        windows: xy (N, F, J, 2) pixels, score (N, F, J), dt (N,) seconds.
        height: (N,) metres, of the person.
        action: (N,) class whose prompt pairs are compared; 0 for all.
        prior: (J, 3) of a body 1 m tall, for windows without any detection.

    Returns:
        Root-relative body (N, F, J, 3) and root path (N, F, 3), metres.
    """
    inputs = normalise(*windows)
    output = network(inputs, network.bank.find(inputs, action))
    scaled = output * metres_per_unit(output, height)
    body = scaled - scaled[:, :, :1]
    root = scaled[:, :, 0] - scaled[:, :1, 0]
    root = torch.cat([root[..., :2], torch.zeros_like(root[..., 2:])], -1)
    still = (prior * height[:, None, None])[:, None].expand_as(body)
    seen = inputs.seen[:, None, None]
    return torch.where(seen[..., None], body, still), torch.where(seen, root, 0.0)


class Lifter:
    """S_dd: lifts windows of 2D joints with a prompt pair of the action's class."""

    def __init__(self, network: LiftingNetwork) -> None:
        self.network = network.eval()
        self._device = network.mean_pose.device

    @classmethod
    def load(cls, tier: str, device: str = "cpu") -> "Lifter":
        """The lifter of a tier ("tiny" or "sd15") on a torch device.

        Raises:
            WeightsMissingError: when its weights are not there.
            WeightsError: when they do not fit.
        """
        path = checkpoint_path(tier, "lifting")
        with rebuilding(path):
            network = LiftingNetwork(LiftingSize(**read_config(path)["size"]))
        load_module(network, path)
        return cls(network.to(device))

    def lift(self, windows: PoseWindows, action: int | None = None) -> BodyWindows:
        """Lift windows to 3D (supplement A.3).

        A window without any detected joint becomes the motionless pose prior. Design choice: the
        root's path in x and y follows the pelvis in the image at constant pixels per metre, and z
        is 0: without the focal length a change of apparent size looks like a change of shape.

        Args:
            windows: the 2D joints.
            action: FineGym class 6 to 40 whose prompt pairs are searched; None: those of all
                classes.

        Returns:
            Body and root path in metres, camera axes.

        Raises:
            RequestError: when the class does not exist.
        """
        prior = self.network.priors[self._row(action)]
        count = len(windows.xy)
        xyz = np.empty((*windows.xy.shape[:-1], 3), np.float32)
        root = np.empty((count, windows.xy.shape[1], 3), np.float32)
        xy, score = window_tensors(windows, self._device)
        dt = torch.from_numpy(windows.dt).to(self._device)
        for part in chunks(count):
            queries = (xy[part], score[part], dt[part])
            kind = torch.full_like(dt[part], action or 0, dtype=torch.int64)
            height = torch.full_like(dt[part], windows.body_height)
            with torch.inference_mode():
                body, path = lift_tensors(self.network, queries, height, kind, prior)
            xyz[part], root[part] = body.cpu().numpy(), path.cpu().numpy()
        return BodyWindows(xyz, root)

    def prior(self, action: int | None) -> Float:
        """The pose that is assumed when nothing is detected.

        Args:
            action: FineGym class, whose prior is the middle of a simulated motion; None: a person
                who stands.

        Returns:
            (17, 3) metres for a body 1 m tall, root-relative, camera axes, seen from the front and
            side.
        """
        prior: Float = self.network.priors[self._row(action)].cpu().numpy()
        return prior

    def _row(self, action: int | None) -> int:
        if action is None:
            return 0
        if action not in PRIOR_OF_ACTION:
            raise RequestError(f"action {action} does not exist; choose a class id from 6 to 40.")
        return PRIOR_OF_ACTION[action]


def lifting_config(network: LiftingNetwork) -> dict[str, object]:
    """JSON values that rebuild a network, for its checkpoint."""
    return {"size": asdict(network.size)}
