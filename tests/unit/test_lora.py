"""What the paper trains on Stable Diffusion: real classes at a narrow width, on a fetched base."""

import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers import UNetMotionModel as VideoUNet
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTokenizer

from finephys.config import SD15_GENERATOR
from finephys.errors import RequestError, WeightsError, WeightsMissingError
from finephys.generator import diffusion
from finephys.generator.diffusion import Generator, plain_config
from finephys.generator.lora import (
    PAPER_LORA,
    add_lora,
    freeze_base,
    load_base,
    load_trained,
    recompute_activations,
    save_trained,
    trained_parameters,
)
from finephys.generator.memory import GpuMemoryError, Memory
from finephys.generator.network import VideoNetwork
from finephys.generator.protocol import Sampling
from finephys.generator.registry import load_generator
from finephys.generator.text import TextFeatures
from finephys.guidance.framing import frame_body
from finephys.observe import simulated
from finephys.skeleton import FRAMES, LIMBS
from finephys.types import Request
from finephys.weights.checkpoints import ROOT_VARIABLE
from finephys.weights.lock import FOLDER_VARIABLE
from tests.narrow import SD15, trained

FLOAT = torch.float32


@pytest.fixture
def hub(public_weights: Path) -> Path:
    return public_weights


def loaded_base(
    hub: Path, adapter: bool = False, dtype: torch.dtype = FLOAT
) -> tuple[VideoNetwork, CLIPTokenizer, str]:
    """The same new motion modules, LoRA and skeleton encoder at every call."""
    torch.manual_seed(0)
    return load_base(SD15, dtype, hub, adapter)


def base(hub: Path, adapter: bool = False) -> VideoNetwork:
    return loaded_base(hub, adapter)[0]


def inputs(frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor, TextFeatures]:
    random = torch.Generator().manual_seed(1)
    side = SD15.size // SD15.patch
    noisy = torch.randn(1, 4, frames, side, side, generator=random)
    tokens = torch.randn(1, 7, SD15.text_width, generator=random)
    return noisy, torch.tensor([600]), TextFeatures(tokens, tokens.mean(1))


def heatmaps(frames: int = FRAMES) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    return [
        torch.rand(1, frames, len(LIMBS), side, side, generator=random)
        for side in SD15.heatmap_levels
    ]


# -- equalities ------------------------------------------------------------------------------------


@torch.no_grad()
def test_untrained_motion_equals_the_plain_2d_unet(hub: Path) -> None:
    """Catches motion modules that change the pictures before any training."""
    network = base(hub)
    noisy, time, text = inputs(3)
    plain = UNet2DConditionModel.from_pretrained(hub / "stable-diffusion" / "unet").eval()
    made = network(noisy, time, text, None)
    for frame in range(3):
        alone = plain(noisy[:, :, frame], time, encoder_hidden_states=text.tokens).sample
        torch.testing.assert_close(made[:, :, frame], alone, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_untrained_guidance_equals_plain_animatediff_bit_for_bit(hub: Path) -> None:
    """Catches guidance, LoRA or a precision that is not nothing at the start."""
    network = base(hub, adapter=True)
    noisy, time, text = inputs()
    plain = VideoUNet.from_unet2d(
        UNet2DConditionModel.from_pretrained(hub / "stable-diffusion" / "unet"),
        MotionAdapter.from_pretrained(hub / "motion-adapter"),
    ).eval()
    wanted = plain(
        noisy, time, encoder_hidden_states=text.tokens.repeat_interleave(FRAMES, 0)
    ).sample
    guide = network.encode_skeleton(heatmaps(), text)
    assert torch.equal(network(noisy, time, text, guide), wanted)
    trained(network, 7)
    guide = network.encode_skeleton(heatmaps(), text)
    assert not torch.allclose(network(noisy, time, text, guide), wanted, atol=0.01)


@torch.no_grad()
def test_lora_of_scale_zero_is_the_base(hub: Path) -> None:
    network = base(hub, adapter=True)
    noisy, time, text = inputs()
    before = network(noisy, time, text, None)
    trained(network.unet, 8)
    after = network(noisy, time, text, None)
    assert not torch.allclose(after, before, atol=0.01)
    layers = [part for part in network.unet.modules() if isinstance(part, LoraLayer)]
    for layer in layers:
        layer.set_scale("default", 0.0)
    assert torch.equal(network(noisy, time, text, None), before)
    for layer in layers:
        layer.set_scale("default", 1.0)
    assert torch.equal(network(noisy, time, text, None), after)


# -- what trains -----------------------------------------------------------------------------------


def test_lora_lies_on_every_attention_spatial_and_temporal(hub: Path) -> None:
    """Catches a suffix that misses one kind of layer, and another rank, scale or dropout."""
    unet = base(hub).unet
    adapted = {name: part for name, part in unet.named_modules() if isinstance(part, LoraLayer)}
    wanted = {
        f"{name}.{layer}"
        for name, part in unet.named_modules()
        if type(part).__name__ == "Attention"
        for layer in ("to_q", "to_k", "to_v", "to_out.0")
    }
    assert set(adapted) == wanted
    assert any("motion_modules" in name for name in wanted)
    assert any(".attentions." in name for name in wanted)
    for layer in adapted.values():
        assert layer.r["default"] == 64
        assert layer.scaling["default"] == 1.0
        assert layer.lora_dropout["default"].p == 0.1


def test_gradients_reach_what_is_trained_and_nothing_else(hub: Path) -> None:
    network = base(hub)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    freeze_base(network)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    noisy, time, text = inputs(4)
    for _ in range(2):  # at first only what starts at zero has a gradient
        guide = network.encode_skeleton(heatmaps(4), text)
        optimizer.zero_grad()
        network(noisy, time, text, guide).square().mean().backward()
        optimizer.step()
    changed = {
        name for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    kinds = ("skeleton_encoder.", ".motion_modules.", ".lora_A.", ".lora_B.")
    assert all(any(kind in name for kind in kinds) for name in changed)
    for kind in kinds:
        assert any(kind in name for name in changed), kind


@pytest.mark.parametrize(("middle", "temporal"), [(False, 18.02), (True, 19.33)])
def test_lora_is_counted_at_the_real_size(middle: bool, temporal: float) -> None:
    """12.75 M and, without the middle block, 18.02 M of rank 64 were counted apart from this code.

    The middle block's one module of width 1280 adds 2 x 4 layers of 2 x 64 x 1280 weights.
    """
    with torch.device("meta"):
        unet = VideoUNet(
            block_out_channels=SD15_GENERATOR.channels,
            cross_attention_dim=768,
            num_attention_heads=8,
            motion_num_attention_heads=8,
            use_motion_mid_block=middle,
        )
        add_lora(unet)
    counts = {"spatial": 0, "temporal": 0}
    for name, parameter in unet.named_parameters():
        if "lora_" in name:
            counts["temporal" if "motion_modules" in name else "spatial"] += parameter.numel()
    assert round(counts["spatial"] / 1e6, 2) == 12.75
    assert round(counts["temporal"] / 1e6, 2) == temporal


# -- gradient checkpointing ------------------------------------------------------------------------


class Counted:
    """How often each layer of a kind runs, forward and again in the backward pass."""

    def __init__(self, unet: nn.Module) -> None:
        self.runs: dict[str, int] = {}
        for name, part in unet.named_modules():
            inner = None
            if isinstance(part, ResnetBlock2D):
                inner = part.conv1
            elif isinstance(part, (Transformer2DModel, AnimateDiffTransformer3D)):
                inner = part.transformer_blocks[0].attn1
            if inner is not None:
                self.runs[name] = 0
                inner.register_forward_pre_hook(lambda *_, name=name: self._ran(name))

    def _ran(self, name: str) -> None:
        self.runs[name] += 1


def gradients_and_bytes(network: VideoNetwork) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients of everything trained, and bytes kept between the forward and backward pass."""
    noisy, time, text = inputs(4)
    held: dict[int, int] = {}
    parameters = {p.data_ptr() for p in network.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            held[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    network.zero_grad()
    guide = network.encode_skeleton(heatmaps(4), text)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = network(noisy, time, text, guide).square().mean()
    kept = sum(held.values())
    loss.backward()
    found = {
        name: parameter.grad.clone()
        for name, parameter in trained_parameters(network).items()
        if parameter.grad is not None
    }
    return found, kept


def test_transformers_are_recomputed_where_diffusers_keeps_them(hub: Path) -> None:
    """Catches gradient checkpointing that leaves the transformers' activations in memory."""
    results = {}
    for kind in ("none", "built in", "ours"):
        network = trained(base(hub), 9)
        freeze_base(network)
        if kind == "built in":
            network.unet.enable_gradient_checkpointing()
        elif kind == "ours":
            recompute_activations(network.unet)
        network.train()
        for part in network.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        counted = Counted(network.unet)
        results[kind] = (*gradients_and_bytes(network), counted.runs)
    temporal = [name for name in results["none"][2] if "motion_modules" in name]
    spatial = [name for name in results["none"][2] if ".attentions." in name]
    assert len(temporal) == 4 * 1 + 1 + 4 * 2
    assert len(spatial) == 3 * 1 + 1 + 3 * 2
    runs = results["built in"][2]
    again = [name for name in temporal if runs[name] > 1]
    assert again == ["mid_block.motion_modules.0"]  # if more one day, ours may go
    assert set(results["none"][2].values()) == {1}
    once = [name for name, count in results["ours"][2].items() if count != 2]
    assert once == ["down_blocks.0.resnets.0"]  # nothing trained comes before it
    plain, own = results["none"][0], results["ours"][0]
    assert plain.keys() == own.keys()
    assert len(plain) == len(trained_parameters(base(hub)))
    for name, gradient in plain.items():
        torch.testing.assert_close(own[name], gradient, atol=1e-6, rtol=1e-4)
    kept = {kind: result[1] for kind, result in results.items()}
    assert kept["ours"] < kept["built in"] / 2 < kept["none"] / 2


def test_recomputing_draws_the_same_dropout(hub: Path) -> None:
    """Catches a backward pass through another dropout than the forward pass had."""
    found = []
    for recomputed in (False, True):
        network = trained(base(hub), 9)
        freeze_base(network)
        if recomputed:
            recompute_activations(network.unet)
        network.train()
        torch.manual_seed(3)
        found.append(gradients_and_bytes(network)[0])
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-4)


# -- one file --------------------------------------------------------------------------------------


@pytest.fixture
def shelf(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoints with a trained file, public weights beside them."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setenv(FOLDER_VARIABLE, str(hub))
    monkeypatch.setitem(diffusion.TIERS, "sd15", SD15)
    network, _, identity = loaded_base(hub)
    path = tmp_path / "sd15" / "generator.safetensors"
    save_trained(trained(network, 11), path, plain_config(SD15), identity)
    return path


def clip(generator: Generator, **changed: object) -> np.ndarray:
    pose = simulated(Request(action=12)).detected
    drawn = generator.draw(pose, frame_body(pose))
    params = {"prompt": "a person", "seed": 5, "steps": 2, "guidance_scale": 2.0, "fps": 8.0}
    return list(generator.denoise(Sampling(drawn, **params | changed)))[-1].frames  # type: ignore[arg-type]


def test_saved_and_loaded_make_the_same_video(shelf: Path, hub: Path) -> None:
    loaded = Generator.load("sd15")
    network, tokenizer, _ = loaded_base(hub)
    whole = trained(network, 11)
    assert np.array_equal(clip(loaded), clip(Generator(whole, tokenizer)))
    untrained = Generator(loaded_base(hub)[0], tokenizer)
    assert not np.array_equal(clip(loaded), clip(untrained))
    state = loaded._network.state_dict()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(state[name], tensor), name


def test_the_file_holds_what_was_trained_and_none_of_the_base(shelf: Path, hub: Path) -> None:
    """Catches a file that carries Stable Diffusion along, or leaves a trained part behind."""
    saved = load_file(shelf)
    public = set(load_file(hub / "stable-diffusion" / "unet/diffusion_pytorch_model.safetensors"))
    names = {name.removeprefix("unet.") for name in saved}
    assert not names & public
    adapter = load_file(hub / "motion-adapter" / "diffusion_pytorch_model.safetensors")
    motion = {name for name in adapter if not name.endswith(".pe")}  # sines, not trained
    assert motion <= names  # under the names of a published motion adapter
    assert sum(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in names) == sum(
        2 * (name.endswith((".to_q.weight", ".to_k.weight", ".to_v.weight", ".to_out.0.weight")))
        for name in public | motion
    )
    assert any(name.startswith("skeleton_encoder.") for name in saved)


@pytest.mark.parametrize("change", ["drop", "extra", "shape", "cut"])
def test_a_file_that_does_not_fit_is_refused(shelf: Path, hub: Path, change: str) -> None:
    from safetensors import safe_open

    with safe_open(shelf, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(shelf)
    name = sorted(tensors)[40]
    if change == "drop":
        del tensors[name]
    elif change == "extra":
        tensors["unet.more"] = torch.zeros(2)
    elif change == "shape":
        tensors[name] = torch.zeros(3)
    save_file(tensors, shelf, metadata=metadata)
    if change == "cut":
        shelf.write_bytes(shelf.read_bytes()[:-50])
    with pytest.raises(WeightsError, match=r"sd15/generator.safetensors"):
        Generator.load("sd15")


def test_another_base_or_configuration_is_refused(shelf: Path, hub: Path) -> None:
    """Catches LoRA put on a base that it was not trained on, which looks like bad weights."""
    network, _, identity = loaded_base(hub)
    with pytest.raises(WeightsError, match="another revision of Stable Diffusion"):
        load_trained(network, shelf, plain_config(SD15), "0" * 64)
    other = plain_config(replace(SD15, shared_noise=0.5))
    with pytest.raises(WeightsError, match=r"network\.shared_noise"):
        load_trained(network, shelf, other, identity)
    save_trained(network, shelf, plain_config(SD15), identity, replace(PAPER_LORA, alpha=32))
    with pytest.raises(WeightsError, match=r"lora\.alpha"):
        Generator.load("sd15")


def test_a_base_that_is_missing_or_half_there_is_named(
    shelf: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(WeightsMissingError, match="python -m finephys fetch sd15"):
        Generator.load("sd15")
    shutil.copytree(hub, tmp_path / "half")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "half"))
    file = tmp_path / "half/stable-diffusion/unet/diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="5000 bytes"):
        Generator.load("sd15")
    file.unlink()
    with pytest.raises(WeightsMissingError, match="python -m finephys fetch sd15"):
        Generator.load("sd15")


def test_without_trained_weights_no_other_model_steps_in(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.unlink()
    with pytest.raises(WeightsMissingError, match="python -m finephys train sd15"):
        Generator.load("sd15")


# -- precision and memory --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_through(hub: Path, dtype: torch.dtype) -> None:
    network, tokenizer, _ = loaded_base(hub, dtype=dtype)
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}
    made = clip(Generator(network, tokenizer))
    assert made.shape == (FRAMES, 64, 64, 3)
    assert made.std() > 1


def test_a_size_that_cannot_be_halved_is_refused(hub: Path) -> None:
    network, tokenizer, _ = loaded_base(hub)
    network.config = replace(SD15, size=100)
    with pytest.raises(RequestError, match=r"100.*divisible by 64.*such as 128"):
        Generator(network, tokenizer)


# -- what goes wrong -------------------------------------------------------------------------------


def test_infinite_values_of_the_decoder_are_reported(hub: Path) -> None:
    """Catches a half-precision autoencoder that overflows: a cast turns it into a white picture."""
    network, tokenizer, _ = loaded_base(hub)
    nn.init.constant_(network.autoencoder.vae.decoder.conv_out.bias, float("inf"))
    with pytest.raises(WeightsError, match="autoencoder returned NaN"):
        clip(Generator(network, tokenizer))


def test_a_full_gpu_while_loading_frees_what_was_taken(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an error that keeps alive, in its own frames, the tensors that filled the memory."""
    taken: list[weakref.ref[torch.Tensor]] = []

    def full(*_: object, **__: object) -> None:
        large = torch.zeros(1000)
        taken.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(diffusion, "memory_for", lambda _: Memory(FLOAT))
    with monkeypatch.context() as patched:
        patched.setattr(Memory, "place", full)
        with pytest.raises(GpuMemoryError, match="FINEPHYS_GPU_GB"):
            load_generator("sd15")
        assert taken.pop()() is None
    assert load_generator("sd15").size == 64
