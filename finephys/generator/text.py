"""CLIP's text encoder and its tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from finephys.config import GeneratorConfig
from finephys.errors import WeightsError, WeightsMissingError

VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")
"""Files of a tokenizer's vocabulary; without any, transformers builds an empty tokenizer."""


class TextFeatures(NamedTuple):
    """Features of B prompts of T tokens.

    Attributes:
        tokens: (B, T, W) for cross-attention.
        pooled: (B, W), the sum over a prompt's own n tokens, divided by sqrt(n). Design
            choice: in their mean a single word, such as a color, is one of fifty and was learned
            slowly.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor


def make_text_model(config: GeneratorConfig, end_token: int) -> nn.Module:
    """Build CLIP's text transformer at the size of a configuration.

    Args:
        config: width, layers, heads, length and vocabulary.
        end_token: id of the tokenizer's end token, where CLIP pools.
    """
    model: nn.Module = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=config.text_vocabulary,
            hidden_size=config.text_width,
            intermediate_size=4 * config.text_width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=config.text_heads,
            max_position_embeddings=config.text_length,
            projection_dim=config.text_width,
            bos_token_id=end_token - 1,
            eos_token_id=end_token,
            pad_token_id=end_token,
        )
    )
    return model


def load_tokenizer(
    folder: Path,
    command: str,
    model: Any = CLIPTokenizer,  # noqa: ANN401 -- a class of transformers
) -> Any:  # noqa: ANN401
    """Load a tokenizer from its folder.

    Args:
        folder: the tokenizer's files.
        command: restores the folder when it is missing or damaged.
        model: tokenizer class of transformers.

    Raises:
        WeightsMissingError: the folder is missing.
        WeightsError: a file of it is damaged.
    """
    place = f"{folder.parent.name}/{folder.name}"
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise WeightsMissingError(f"The tokenizer {place} is missing; run: {command}", command)
    try:
        return model.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers raises nothing narrower
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"The tokenizer {place} is damaged ({first}); run: {command}", command
        ) from error


def tokenize(
    tokenizer: CLIPTokenizer, prompts: Sequence[str], length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask of prompts, cut and padded to `length`: two int64 (B, length)."""
    batch = tokenizer(
        list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    return batch["input_ids"], batch["attention_mask"]


def cut_text(tokenizer: CLIPTokenizer, prompt: str, length: int) -> str | None:
    """Return the part of a prompt beyond `length` tokens, start and end token included, or None."""
    whole = tokenizer(prompt, return_offsets_mapping=True, truncation=False, verbose=False)
    if len(whole["input_ids"]) <= length:
        return None
    first_cut: int = whole["offset_mapping"][length - 1][0]
    return prompt[first_cut:]


def encode_text(model: nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> TextFeatures:
    """Run the text encoder; as in Stable Diffusion, cross-attention also sees the padding."""
    tokens = model(input_ids=ids).last_hidden_state
    weight = mask.to(tokens.dtype)[..., None]
    return TextFeatures(tokens, (tokens * weight).sum(1) / weight.sum(1).sqrt())
