"""The real size of Stable Diffusion 1.5, its ControlNet and motion adapter, built on `meta`.

Published independently of this project and of the classes under test:

- exact byte sizes of published safetensors files, in the Git LFS pointers shown on the Hub. Such a
  file is 8 bytes, a JSON header that spells every tensor's name, shape and offset, padding to 8,
  and the data, so its size checks all names' lengths and all shapes together. U-Net: 3438167536
  (runwayml/stable-diffusion-v1-5, discussion 161, diffusion_pytorch_model.non_ema.safetensors).
  VAE: 334643268, in half precision 167335342 (IDK-ab0ut/Yiffymix_v43, commit e50d81f0, vae/).
- every tensor's name, one by one: modelscope/DiffSynth-Studio at afd101f3,
  diffsynth/models/sd_unet.py and sd_controlnet.py. Its tables of the original checkpoints' names
  (686 and 340) and its translation of diffusers' names meet one to one in the names below, whose
  SHA-256 is kept here.
- rounded sizes on the Hub's pages: motion adapter v1-5-2 (with a middle block) 1.82 GB, v1-5 1.67.

Unproved, since only derived from the classes themselves: the motion adapter's names, and the shapes
of the ControlNet's picture reader. The text encoder's names are converted by its library when it
loads; nothing is proved of them here.
"""

import hashlib
import json

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel
from diffusers import UNetMotionModel as VideoUNet
from torch import nn

from finephys.config import SD15_GENERATOR
from finephys.generator.network import make_unet

UNET_NAMES = "983bc58de4da8e4e571f08deef04b169c15d06252ffd51558d4caa992638e968"
CONTROLNET_NAMES = "b1b5590d9dea6c33f156508e85dce0282e72f92d9212a667fa5208415a99619c"
UNET_BYTES = 3_438_167_536
VAE_BYTES, VAE_HALF_BYTES = 334_643_268, 167_335_342


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=64,
            cross_attention_dim=768,
            attention_head_dim=8,
            block_out_channels=(320, 640, 1280, 1280),
        )


def names_of(model: nn.Module) -> str:
    return hashlib.sha256("\n".join(sorted(model.state_dict())).encode()).hexdigest()


def file_bytes(model: nn.Module, half: bool = False) -> int:
    """Size of the safetensors file that would hold a model, before its padding."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in sorted(model.state_dict().items()):
        end = offset + tensor.numel() * (2 if half else 4)
        header[name] = {
            "dtype": "F16" if half else "F32",
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    return 8 + len(json.dumps(header, separators=(",", ":"))) + offset


def padded(size: int, data_of: nn.Module, half: bool = False) -> int:
    data = sum(tensor.numel() for tensor in data_of.state_dict().values()) * (2 if half else 4)
    header = size - 8 - data
    return 8 + header + (-header) % 8 + data


def test_the_unet_has_the_published_names_and_shapes(unet: nn.Module) -> None:
    assert padded(file_bytes(unet), unet) == UNET_BYTES
    assert len(unet.state_dict()) == 686
    assert names_of(unet) == UNET_NAMES


def test_the_vae_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
        )
    assert padded(file_bytes(vae), vae) == VAE_BYTES
    assert padded(file_bytes(vae, half=True), vae, half=True) == VAE_HALF_BYTES


def test_the_video_unet_is_the_unet_and_the_adapter_and_nothing_else(unet: nn.Module) -> None:
    """Catches weights of the sd15 tier that no published file could fill."""
    with torch.device("meta"):
        adapter = MotionAdapter(use_motion_mid_block=True, motion_max_seq_length=32)
        plain = MotionAdapter(use_motion_mid_block=False, motion_max_seq_length=24)
        made = make_unet(SD15_GENERATOR)
    assert f"{file_bytes(adapter) / 1e9:.2f} GB" == "1.82 GB"
    assert f"{file_bytes(plain) / 1e9:.2f} GB" == "1.67 GB"
    wanted = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
    wanted |= {name: tuple(tensor.shape) for name, tensor in adapter.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    assert found == wanted
    assert isinstance(made, VideoUNet)


def test_the_controlnet_reads_what_the_unet_adds(unet: nn.Module) -> None:
    """The encoder half has the U-Net's own names and shapes, which are proved; one zero
    convolution a skip connection and the reader of pictures come on top."""
    with torch.device("meta"):
        control = ControlNetModel(cross_attention_dim=768)
    assert names_of(control) == CONTROLNET_NAMES
    own = {name: tuple(tensor.shape) for name, tensor in control.state_dict().items()}
    half = {
        name: tuple(tensor.shape)
        for name, tensor in unet.state_dict().items()
        if name.startswith(("conv_in.", "time_embedding.", "down_blocks.", "mid_block."))
    }
    assert {name: own[name] for name in half} == half
    more = {name.split(".")[0] for name in set(own) - set(half)}
    assert more == {
        "controlnet_cond_embedding",
        "controlnet_down_blocks",
        "controlnet_mid_block",
    }
    assert sum(name.startswith("controlnet_down_blocks") for name in own) == 2 * 12
    assert sum(tensor.numel() for tensor in control.parameters()) == 361_279_120
