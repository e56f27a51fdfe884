"""Generators at a narrow width, from public weights as they are published: real classes, seconds.

`write_public` is run once a session, by the fixture `public_weights`.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    LatteTransformer3DModel,
    MotionAdapter,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel
from transformers.convert_slow_tokenizer import import_protobuf

from finephys.config import (
    SD15_CONTROLNET_GENERATOR,
    SD15_GENERATOR,
    TINY_GENERATOR,
    GeneratorConfig,
)
from finephys.generator.controlnet import PoseVideoGenerator
from finephys.generator.diffusion import Generator
from finephys.generator.lora import load_base
from finephys.generator.memory import Memory
from finephys.generator.network import VideoNetwork
from finephys.generator.public_pipelines import KINDS, PublicPipeline
from finephys.training.vocabulary import train_tokenizer
from finephys.weights.catalogue import LATTE, SD15_PARTS
from finephys.weights.fetch import fetch
from finephys.weights.sources import Folder

TINY = replace(
    TINY_GENERATOR,
    size=64,
    autoencoder_channels=(8, 16),
    channels=(16, 16, 16),
    groups=4,
    heads=2,
    skeleton_channels=(8, 8, 8),
    painter_channels=(8, 8),
    guidance_channels=4,
    text_width=16,
    text_layers=1,
    text_heads=2,
    text_vocabulary=1024,  # every word of the captions is one token
    text_length=24,
)
CHANNELS = (8, 8, 16, 16)
CONTROLNET = replace(
    SD15_CONTROLNET_GENERATOR,
    size=64,
    channels=CHANNELS,
    layers=1,
    text_width=16,
    text_layers=1,
    text_heads=2,
    text_length=24,
    text_vocabulary=1024,
)
SD15 = replace(
    SD15_GENERATOR,
    size=64,
    channels=CHANNELS,
    layers=1,
    groups=4,
    heads=2,
    skeleton_channels=(8, 8, 8, 8),
    text_width=16,
    text_layers=1,
    text_heads=2,
    text_length=24,
    text_vocabulary=1024,
)


def trained(model: nn.Module, seed: int) -> Any:
    """Weights that all matter: what starts at zero gets some."""
    random = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.2, generator=random)
    return model.eval()


def write_hub(root: Path) -> None:
    """The three repositories as they lie on the Hub, narrow."""
    torch.manual_seed(0)
    whole, adapter, control = (root / part.repositories[0] for part in SD15_PARTS)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=2,
    )
    trained(unet, 1).save_pretrained(whole / "unet")
    trained(
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            norm_num_groups=4,
            latent_channels=4,
        ),
        2,
    ).save_pretrained(whole / "vae")
    tokenizer = train_tokenizer(CONTROLNET.text_vocabulary)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=CONTROLNET.text_vocabulary,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=CONTROLNET.text_length,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    trained(text, 3).save_pretrained(whole / "text_encoder")
    # As the published files have them: the old prefix, and a buffer that is no weight.
    path = whole / "text_encoder" / "model.safetensors"
    tensors = {
        f"text_model.{name.removeprefix('text_model.')}": tensor
        for name, tensor in load_file(path).items()
    }
    tensors["text_model.embeddings.position_ids"] = torch.arange(CONTROLNET.text_length)[None]
    save_file(tensors, path, metadata={"format": "pt"})
    tokenizer.save_pretrained(whole / "tokenizer")
    tokenizer.backend_tokenizer.model.save(str(whole / "tokenizer"))  # vocab.json, merges.txt
    (whole / "tokenizer" / "tokenizer.json").unlink()  # the published repository has none
    trained(
        MotionAdapter(
            block_out_channels=CHANNELS,
            motion_layers_per_block=1,
            motion_norm_num_groups=4,
            motion_num_attention_heads=2,
            use_motion_mid_block=True,
        ),
        4,
    ).save_pretrained(adapter)
    reader = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
    # Eight fresh convolutions leave a ten-thousandth of a picture; these pass it on.
    for part in reader.controlnet_cond_embedding.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data *= 3
    trained(reader, 5).save_pretrained(control)


WORDS = ("▁a", "▁person", "▁jumps", "▁turns", "▁in", "▁red", "▁", "e", "r", "s", "t", "n")


def write_latte(root: Path) -> None:
    """Latte's repository as it lies on the Hub, narrow; its text encoder in shards."""
    torch.manual_seed(0)
    whole = root / LATTE.repositories[0]
    transformer = LatteTransformer3DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
    )
    trained(transformer, 1).save_pretrained(whole / "transformer")
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=4,
    )
    trained(vae, 2).save_pretrained(whole / "vae")
    text = T5EncoderModel(
        T5Config(vocab_size=3 + len(WORDS), d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=2)
    )
    text.eval().save_pretrained(whole / "text_encoder", max_shard_size="8KB")
    DDIMScheduler(beta_schedule="linear", clip_sample=False).save_pretrained(whole / "scheduler")
    folder = whole / "tokenizer"
    folder.mkdir()
    model = import_protobuf().ModelProto()
    specials = (("<pad>", 3), ("</s>", 3), ("<unk>", 2))
    for text_piece, score, kind in (
        *((word, 0.0, kind) for word, kind in specials),
        *((word, -float(number), 1) for number, word in enumerate(WORDS, 1)),
    ):
        piece = model.pieces.add()
        piece.piece, piece.score, piece.type = text_piece, score, kind
    model.trainer_spec.model_type, model.trainer_spec.unk_id = 1, 2
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_public(root: Path) -> Path:
    """Every public weight, fetched into one folder as `FINEPHYS_WEIGHTS` allows."""
    write_hub(root / "hub")
    write_latte(root / "hub")
    for name in ("sd15", "latte"):
        fetch(name, root / "weights", Folder(root / "hub"), lambda *_: True, lambda _: None)
    return root / "weights"


def network_of(config: GeneratorConfig, trained: bool) -> VideoNetwork:
    """A network of random weights, the same at every call."""
    torch.manual_seed(0)
    network = VideoNetwork(config, config.text_vocabulary - 1).eval()
    if trained:  # give the outputs that start at zero some weight
        for parameter in network.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.3)
    return network


NAMES = ("tiny", "sd15", "sd15-controlnet", *sorted(KINDS))


def make(
    name: str, public: Path, device: str = "cpu", memory: Memory | None = None
) -> Generator | PoseVideoGenerator | PublicPipeline:
    """A narrow generator.

    Args:
        name: of `NAMES`.
        public: of `write_public`.
        device: where it runs.
        memory: its placement; None: all on the device.
    """
    memory = memory or Memory(torch.float32)
    if name == "tiny":
        tokenizer = train_tokenizer(TINY.text_vocabulary)
        return Generator(network_of(TINY, trained=True), tokenizer, device, memory)
    if name == "sd15":
        torch.manual_seed(0)
        network, tokenizer, _ = load_base(SD15, torch.float32, public, adapter=True)
        return Generator(trained(network, 11), tokenizer, device, memory)
    if name == "sd15-controlnet":
        made = PoseVideoGenerator.load("cpu", public, CONTROLNET)
        made._network.frames_at_once = memory.frames_at_once
        return PoseVideoGenerator(made._network, made._tokenizer, device, memory)
    pipeline = KINDS[name].build(public, torch.float32, "")
    return PublicPipeline(name, pipeline, device, memory, size=64)
