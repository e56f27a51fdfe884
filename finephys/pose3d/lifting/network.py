"""The in-context transformer that lifts 2D windows to 3D.

Source: Skeleton-in-Context (prompt pair, query, pose prior), used by supplement A.3 for S_dd.
Design choice: joint tokens are narrow and attend to each other within a frame; for attention in
time the 17 tokens of a frame are concatenated into one wide token. Per window this costs a third of
joint-wise attention in time, so that training on one core sees three times the windows. The pair
looks like the query frame by frame (see `prompts`), so that each joint's token holds both.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from finephys.pose3d.lifting.inputs import FEATURES, LiftingInputs
from finephys.pose3d.lifting.prompts import PAIR_FEATURES, Pair, PromptBank
from finephys.skeleton import FRAMES, JOINTS

_J = len(JOINTS)
CLASSES = 36
"""One prior for each of the 35 classes after one for no class."""

_OUTPUTS = 5
"""Per joint: x y z, share of the detection in x and y, share of the pair in z."""


@dataclass(frozen=True)
class LiftingSize:
    """Width and depth of the network.

    Attributes:
        joint_width: channels of a joint token.
        frame_width: channels of a frame token.
        blocks: alternations of attention in space and in time.
        layers: attention layers in time in each block.
        joint_heads: attention heads over joints.
        frame_heads: attention heads over frames.
        bank: 3D windows that prompt pairs are made of.
    """

    joint_width: int = 24
    frame_width: int = 192
    blocks: int = 2
    layers: int = 2
    joint_heads: int = 2
    frame_heads: int = 4
    bank: int = 420


class AttentionLayer(nn.Module):
    """Pre-norm attention, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.before_mlp = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (N, T, D) attend to each other; returns (N, T, D)."""
        count, length, width = tokens.shape
        packed = self.query_key_value(self.before_attention(tokens))
        shape = (3, self.heads, width // self.heads)
        query, key, value = packed.unflatten(-1, shape).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.merge(mixed.transpose(1, 2).reshape(count, length, width))
        inner = functional.gelu(self.expand(self.before_mlp(tokens)))
        out: Tensor = tokens + self.contract(inner)
        return out


class Block(nn.Module):
    """Attention over the joints of each frame, then over the frames of the window."""

    def __init__(self, size: LiftingSize) -> None:
        super().__init__()
        flat = _J * size.joint_width
        self.space = AttentionLayer(size.joint_width, size.joint_heads)
        self.gather = nn.Linear(flat, size.frame_width)
        self.time = nn.Sequential(
            *(AttentionLayer(size.frame_width, size.frame_heads) for _ in range(size.layers))
        )
        self.scatter = nn.Linear(size.frame_width, flat)

    def forward(self, joints: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Joint tokens (N, F, J, d) and frame tokens (N, F, D) after one alternation."""
        count = len(joints)
        joints = self.space(joints.flatten(0, 1)).unflatten(0, (count, FRAMES))
        frames = self.time(frames + self.gather(joints.flatten(2)))
        return joints + self.scatter(frames).unflatten(-1, (_J, -1)), frames


class LiftingNetwork(nn.Module):
    """Query and prompt pair to 3D, in body sizes about the window's centre.

    Buffers hold what inference needs beside the weights: the mean pose, the bank of simulated
    windows that prompt pairs are made of, and the pose prior of each class.
    """

    mean_pose: Tensor
    priors: Tensor

    def __init__(self, size: LiftingSize) -> None:
        super().__init__()
        self.size = size
        self.embed = nn.Linear(FEATURES, size.joint_width)
        self.embed_pair = nn.Linear(PAIR_FEATURES, size.joint_width)
        self.joint_code = nn.Parameter(torch.randn(_J, size.joint_width) * 0.02)
        self.frame_code = nn.Parameter(torch.randn(FRAMES, size.frame_width) * 0.02)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.blocks))
        self.before_output = nn.LayerNorm(size.frame_width)
        self.output = nn.Linear(size.frame_width, _J * _OUTPUTS)
        self.joint_output = nn.Linear(size.joint_width, _OUTPUTS)
        self.bank = PromptBank(size.bank)
        self.register_buffer("mean_pose", torch.zeros(_J, 3))
        self.register_buffer("priors", torch.zeros(CLASSES, _J, 3))

    def forward(self, inputs: LiftingInputs, pair: Pair | None) -> Tensor:
        """Lift normalised windows.

        Design choice: x and y are a learned mixture of the detection and the network's output, so
        that a good detection is not blurred; z is one of the pair's depth and the output.

        Args:
            inputs: the queries.
            pair: prompts of the queries; None reads without any, for ablation.

        Returns:
            (N, F, J, 3) body sizes: x and y about the window's centre, z relative to the pelvis.
        """
        joints = self.embed(inputs.features) + self.joint_code
        if pair is not None:
            joints = joints + self.embed_pair(pair.features())
        frames = self.frame_code.expand(len(joints), -1, -1)
        for block in self.blocks:
            joints, frames = block(joints, frames)
        out = self.output(self.before_output(frames)).unflatten(-1, (_J, _OUTPUTS))
        out = out + self.joint_output(joints)
        pose = out[..., :3] + self.mean_pose
        flat, deep = pose[..., :2], pose[..., 2:]
        detected, confidence = inputs.features[..., :2], inputs.features[..., 2:3]
        share = torch.sigmoid(out[..., 3:4]) * (confidence > 0).to(pose.dtype)
        flat = flat + share * (detected - flat)
        if pair is not None:
            # Minus 1: an untrained network takes a quarter of its depth from the pair.
            deep = deep + torch.sigmoid(out[..., 4:] - 1.0) * (pair.xyz[..., 2:] - deep)
        return torch.cat([flat + inputs.path[:, :, None], deep], -1)
