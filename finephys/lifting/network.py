"""The in-context transformer that lifts 2D windows to 3D.

Source: Skeleton-in-Context (prompt pair, query, pose prior), used by supplement A.3 for S_dd.
Design choice: joint tokens are narrow and attend to each other within a frame; for attention in
time the 17 tokens of a frame are gathered into one wide token. Per window this costs a third of
joint-wise attention in time, so that training on one core sees three times the windows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from finephys.lifting.inputs import FEATURES, with_target
from finephys.skeleton import FRAMES, JOINTS

_J = len(JOINTS)
PROMPTS = 36
"""One prompt for each of the 35 classes after one for no class."""


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
    """

    joint_width: int = 24
    frame_width: int = 192
    blocks: int = 2
    layers: int = 2
    joint_heads: int = 2
    frame_heads: int = 4


class AttentionLayer(nn.Module):
    """Pre-norm attention with an optional context that is read and not changed, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.before_mlp = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Tokens (N, T, D) attend to themselves and to context (N, S, D); returns (N, T, D)."""
        count, length, width = tokens.shape
        own = self.before_attention(tokens)
        read = own
        if context is not None:
            read = torch.cat([own, self.before_attention(context)], 1)
        shape = (self.heads, width // self.heads)
        query = self.query(own).unflatten(-1, shape).transpose(1, 2)
        key, value = self.key_value(read).unflatten(-1, (2, *shape)).permute(2, 0, 3, 1, 4)
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
        self.time = nn.ModuleList(
            AttentionLayer(size.frame_width, size.frame_heads) for _ in range(size.layers)
        )
        self.scatter = nn.Linear(size.frame_width, flat)

    def forward(
        self, joints: Tensor, frames: Tensor, context: list[Tensor] | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """One alternation.

        Args:
            joints: (N, F, J, d) joint tokens.
            frames: (N, F, D) frame tokens.
            context: the prompt's frame tokens (N, F, D) before each layer in time, or None.

        Returns:
            joints and frames, and the frame tokens before each layer in time.
        """
        count = len(joints)
        joints = self.space(joints.flatten(0, 1)).unflatten(0, (count, FRAMES))
        frames = frames + self.gather(joints.flatten(2))
        seen = []
        for index, layer in enumerate(self.time):
            seen.append(frames)
            frames = layer(frames, None if context is None else context[index])
        return joints + self.scatter(frames).unflatten(-1, (_J, -1)), frames, seen


class LiftingNetwork(nn.Module):
    """Prompt pair and query to 3D, in body sizes about the window's centre.

    Buffers hold what inference needs beside the weights: the mean pose, one prompt pair a class
    made of our own simulated motions, and the pose prior of each class.
    """

    mean_pose: Tensor
    prompt_features: Tensor
    priors: Tensor

    def __init__(self, size: LiftingSize) -> None:
        super().__init__()
        self.size = size
        self.embed = nn.Linear(FEATURES, size.joint_width)
        self.joint_code = nn.Parameter(torch.randn(_J, size.joint_width) * 0.02)
        self.role_code = nn.Parameter(torch.randn(2, size.joint_width) * 0.02)
        self.frame_code = nn.Parameter(torch.randn(FRAMES, size.frame_width) * 0.02)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.blocks))
        self.before_output = nn.LayerNorm(size.frame_width)
        self.output = nn.Linear(size.frame_width, _J * 3)
        self.joint_output = nn.Linear(size.joint_width, 3)
        self.register_buffer("mean_pose", torch.zeros(_J, 3))
        self.register_buffer("prompt_features", torch.zeros(PROMPTS, FRAMES, _J, FEATURES))
        self.register_buffer("priors", torch.zeros(PROMPTS, _J, 3))

    def _stream(
        self, features: Tensor, role: int, contexts: list[list[Tensor]] | None
    ) -> tuple[Tensor, list[list[Tensor]]]:
        joints = self.embed(features) + self.joint_code + self.role_code[role]
        frames = self.frame_code.expand(len(features), -1, -1)
        seen = []
        for index, block in enumerate(self.blocks):
            joints, frames, before = block(
                joints, frames, None if contexts is None else contexts[index]
            )
            seen.append(before)
        output = self.output(self.before_output(frames)).unflatten(-1, (_J, 3))
        return output + self.joint_output(joints), seen

    def read_prompts(self, prompts: Tensor) -> list[list[Tensor]]:
        """Frame tokens of prompt pairs (P, F, J, 9) before every layer in time, each (P, F, D)."""
        return self._stream(prompts, 1, None)[1]

    def forward(self, features: Tensor, path: Tensor, contexts: list[list[Tensor]]) -> Tensor:
        """Lift normalised windows.

        Args:
            features: (N, F, J, 6), see LiftingInputs.
            path: (N, F, 2) centre of the body in body sizes.
            contexts: `read_prompts` of each window's prompt, every tensor (N, F, D).

        Returns:
            (N, F, J, 3) body sizes: x and y about the window's centre, z relative to the pelvis.
        """
        output, _ = self._stream(with_target(features, self.mean_pose), 0, contexts)
        return output + self.mean_pose + functional.pad(path, (0, 1))[:, :, None]
