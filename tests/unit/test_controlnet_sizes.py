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
- the motion module's tensors in the names of the original AnimateDiff checkpoint, with the width of
  each of the 21 modules: DiffSynth-Studio at a076adf5, diffsynth/models/sd_motion.py; and how
  diffusers' file names them: huggingface/diffusers at 03f101e9,
  scripts/convert_animatediff_motion_module_to_diffusers.py.

Unproved, since only derived from the classes themselves: `pos_embed.pe` of the motion modules (21
buffers of sines; the translation above passes them over), the shapes of the ControlNet's picture
reader, LoRA's names (no published file has this rank on these layers), and all of the skeleton
encoder, which is this project's own. The text encoder's names are converted by its library when it
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
from finephys.generator.lora import add_lora, trained_parameters
from finephys.generator.network import VideoNetwork, make_unet

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


def test_the_motion_modules_have_the_published_names_and_shapes() -> None:
    """Catches motion modules of another make: one self-attention, other widths or middle block."""
    with torch.device("meta"):
        made = make_unet(SD15_GENERATOR)
    found = {
        name: tuple(tensor.shape)
        for name, tensor in made.state_dict().items()
        if "motion_modules" in name
    }
    widths = {"down_blocks": (320, 640, 1280, 1280), "up_blocks": (1280, 1280, 640, 320)}
    places = [
        (f"{side}.{level}.motion_modules.{index}", width)
        for side, count in (("down_blocks", 2), ("up_blocks", 3))
        for level, width in enumerate(widths[side])
        for index in range(count)
    ]
    places.append(("mid_block.motion_modules.0", 1280))
    assert len(places) == 21
    wanted = {
        _as_diffusers(f"{place}.temporal_transformer.{name}"): tuple(
            width if side == "C" else int(side) * width for side in shape
        )
        for place, width in places
        for name, shape in _published_motion_module().items()
    }
    sines = {name for name in found if name.endswith("pos_embed.pe")}
    assert {name: shape for name, shape in found.items() if name not in sines} == wanted
    assert len(sines) == 21
    assert {found[name][:2] for name in sines} == {(1, 32)}


def _published_motion_module() -> dict[str, tuple[int | str, ...]]:
    """Original names and shapes of one module; "C" is its width, a number so many times that."""
    table: dict[str, tuple[int | str, ...]] = {}
    for name in ("norm", *(f"transformer_blocks.0.norms.{i}" for i in (0, 1))):
        table |= {f"{name}.weight": ("C",), f"{name}.bias": ("C",)}
    table |= {f"transformer_blocks.0.ff_norm.{kind}": ("C",) for kind in ("weight", "bias")}
    for name in ("proj_in", "proj_out"):
        table |= {f"{name}.weight": ("C", "C"), f"{name}.bias": ("C",)}
    for block in (0, 1):
        attention = f"transformer_blocks.0.attention_blocks.{block}"
        table |= {f"{attention}.to_{each}.weight": ("C", "C") for each in "qkv"}
        table |= {f"{attention}.to_out.0.weight": ("C", "C"), f"{attention}.to_out.0.bias": ("C",)}
    feed = "transformer_blocks.0.ff.net"
    table |= {f"{feed}.0.proj.weight": (8, "C"), f"{feed}.0.proj.bias": (8,)}
    table |= {f"{feed}.2.weight": ("C", 4), f"{feed}.2.bias": ("C",)}
    return table


def _as_diffusers(name: str) -> str:
    for before, after in (
        (".norms.0", ".norm1"),
        (".norms.1", ".norm2"),
        (".ff_norm", ".norm3"),
        (".attention_blocks.0", ".attn1"),
        (".attention_blocks.1", ".attn2"),
        (".temporal_transformer", ""),
    ):
        name = name.replace(before, after)
    return name


def test_the_trained_file_has_these_names_at_the_real_size() -> None:
    """LoRA, motion modules and skeleton encoder of the real size, without memory for them."""
    with torch.device("meta"):
        network = VideoNetwork(SD15_GENERATOR, 49407)
        add_lora(network.unet)
    trained = trained_parameters(network)
    own = unet_names()
    motion = {name for name in own if "motion_modules" in name and not name.endswith(".pe")}
    attention = {
        name.removesuffix(".weight")
        for name in own
        if name.endswith((".to_q.weight", ".to_k.weight", ".to_v.weight", ".to_out.0.weight"))
    }
    assert len(attention) == 4 * (2 * 16 + 2 * 21)  # 16 spatial transformers, 21 temporal ones
    lora = {f"{name}.lora_{factor}.weight" for name in attention for factor in "AB"}
    encoder = {f"skeleton_encoder.{name}" for name in network.skeleton_encoder.state_dict()}
    assert trained.keys() == {f"unet.{name}" for name in motion | lora} | encoder
    for name in attention:
        rows, columns = own[f"{name}.weight"]
        assert trained[f"unet.{name}.lora_A.weight"].shape == (64, columns)
        assert trained[f"unet.{name}.lora_B.weight"].shape == (rows, 64)


def unet_names() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        made = make_unet(SD15_GENERATOR)
    return {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
