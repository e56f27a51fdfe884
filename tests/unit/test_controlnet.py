"""AnimateDiff with an OpenPose ControlNet: real classes at a narrow width, fetched and loaded.

What is proved of the real size is in `test_controlnet_sizes`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, MotionAdapter, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from finephys.config import SD15_CONTROLNET_GENERATOR
from finephys.errors import RequestError, StoppedError, WeightsError, WeightsMissingError
from finephys.generator import memory
from finephys.generator.controlnet import PoseVideoGenerator
from finephys.generator.memory import GpuMemoryError, Memory, memory_guard, memory_within
from finephys.generator.protocol import Sampling
from finephys.generator.registry import load_generator, weights_file
from finephys.generator.text import encode_text, tokenize
from finephys.guidance.framing import frame_body
from finephys.observe import simulated
from finephys.pipeline import Pipeline
from finephys.skeleton import FRAMES, LIMBS
from finephys.training.vocabulary import train_tokenizer
from finephys.types import LimbHeatmaps, Request, Stage, VideoClip
from finephys.weights.catalogue import SD15_PARTS
from finephys.weights.fetch import fetch
from finephys.weights.lock import read_lock, write_lock
from finephys.weights.sources import Folder
from tests.unit.test_methods import some_poses

CHANNELS = (8, 8, 16, 16)
NARROW = replace(
    SD15_CONTROLNET_GENERATOR,
    size=64,
    channels=CHANNELS,
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
    tokenizer = train_tokenizer(NARROW.text_vocabulary)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=NARROW.text_vocabulary,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=NARROW.text_length,
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
    tensors["text_model.embeddings.position_ids"] = torch.arange(NARROW.text_length)[None]
    save_file(tensors, path, metadata={"format": "pt"})
    tokenizer.save_pretrained(whole / "tokenizer")
    tokenizer.backend_tokenizer.model.save(str(whole / "tokenizer"))  # vocab.json, merges.txt
    (whole / "tokenizer" / "tokenizer.json").unlink()  # the published repository has none
    trained(
        MotionAdapter(
            block_out_channels=CHANNELS,
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    write_hub(root / "hub")
    fetch("sd15", root / "w", Folder(root / "hub"), lambda *_: True, lambda _: None)
    return root / "w"


@pytest.fixture(scope="module")
def generator(folder: Path) -> PoseVideoGenerator:
    return PoseVideoGenerator.load("cpu", folder, NARROW)


def poses(generator: PoseVideoGenerator, action: int = 12) -> VideoClip:
    pose = simulated(Request(action=action)).detected
    return generator.draw(pose, frame_body(pose))


def run(generator: PoseVideoGenerator, guide: VideoClip | None, **changed: Any) -> np.ndarray:
    asked = {"prompt": "a person", "seed": 5, "steps": 2, "guidance_scale": 2.0, "fps": 8.0}
    return list(generator.denoise(Sampling(guide, **asked | changed)))[-1].frames  # type: ignore[arg-type]


def test_a_clip_follows_everything_that_is_asked(generator: PoseVideoGenerator) -> None:
    guide = poses(generator)
    plain = run(generator, guide)
    assert plain.shape == (FRAMES, 64, 64, 3)
    assert np.array_equal(plain, run(generator, guide))
    assert not np.array_equal(plain, run(generator, poses(generator, 38)))
    assert not np.array_equal(plain, run(generator, None))
    changes: tuple[dict[str, Any], ...] = (
        {"prompt": "a blue leotard"},
        {"seed": 6},
        {"guidance_scale": 1.0},
        {"motion": False},
    )
    for changed in changes:
        assert not np.array_equal(plain, run(generator, guide, **changed)), changed
    assert np.array_equal(plain, run(generator, guide))  # motion modules are back


def test_every_weight_comes_from_the_files(folder: Path, generator: PoseVideoGenerator) -> None:
    """Catches a part left random, and motion modules that were not put in."""
    state = generator._network.state_dict()
    places = {
        "unet.": folder / "stable-diffusion" / "unet" / "diffusion_pytorch_model.safetensors",
        "controlnet.": folder / "controlnet" / "diffusion_pytorch_model.safetensors",
        "autoencoder.vae.": folder / "stable-diffusion/vae/diffusion_pytorch_model.safetensors",
    }
    left = set(state)
    for prefix, path in places.items():
        for name, tensor in load_file(path).items():
            torch.testing.assert_close(state[prefix + name], tensor)
            left.discard(prefix + name)
    for name, tensor in load_file(
        folder / "motion-adapter" / "diffusion_pytorch_model.safetensors"
    ).items():
        torch.testing.assert_close(state[f"unet.{name}"], tensor)
        left.discard(f"unet.{name}")
    text = load_file(folder / "stable-diffusion" / "text_encoder" / "model.safetensors")
    own = {name for name in left if name.startswith("text_encoder.")}
    for name in own:
        old = f"text_model.{name.removeprefix('text_encoder.').removeprefix('text_model.')}"
        torch.testing.assert_close(state[name], text[old])
    assert left - own == set()


def test_text_is_read_as_diffusers_reads_it(generator: PoseVideoGenerator, folder: Path) -> None:
    """The last hidden state after the final norm, padding included."""
    model = CLIPTextModel.from_pretrained(folder / "stable-diffusion" / "text_encoder")
    ids, mask = tokenize(generator._tokenizer, ["a person turns"], NARROW.text_length)
    assert len(set(ids[0].tolist())) > 3  # the tokenizer read its words
    wanted = model(ids)[0]
    with torch.no_grad():
        found = encode_text(generator._network.text_encoder, ids, mask).tokens
    torch.testing.assert_close(found, wanted.detach())


def test_a_silent_controlnet_equals_plain_animatediff(folder: Path) -> None:
    """Catches a ControlNet wired to other layers, and text or frames in another order."""
    made = PoseVideoGenerator.load("cpu", folder, NARROW)
    network = made._network
    for part in (
        *network.controlnet.controlnet_down_blocks,
        network.controlnet.controlnet_mid_block,
    ):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    assert np.array_equal(run(made, poses(made)), run(made, None))


def test_a_step_is_the_public_pipelines(generator: PoseVideoGenerator) -> None:
    """One step's prediction against AnimateDiffControlNetPipeline's own, the same latents."""
    from diffusers import AnimateDiffControlNetPipeline, DDIMScheduler
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.disable_progress_bar()
    network = generator._network
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False
    )
    seen: list[torch.Tensor] = []
    network.unet.register_forward_hook(lambda *call: seen.append(call[-1].sample))
    pipeline = AnimateDiffControlNetPipeline.__new__(AnimateDiffControlNetPipeline)
    pipeline.__init__(  # type: ignore[misc]
        vae=network.autoencoder.vae,
        text_encoder=network.text_encoder,
        tokenizer=generator._tokenizer,
        unet=network.unet,
        motion_adapter=None,
        controlnet=network.controlnet,
        scheduler=scheduler,
    )
    pipeline.set_progress_bar_config(disable=True)
    generator._tokenizer.model_max_length = NARROW.text_length
    guide = poses(generator)
    from PIL import Image

    latents = torch.randn(1, 4, FRAMES, 8, 8, generator=torch.Generator().manual_seed(1))
    pipeline(
        prompt="a person",
        num_frames=FRAMES,
        height=64,
        width=64,
        num_inference_steps=1,
        guidance_scale=1.0,
        conditioning_frames=[Image.fromarray(frame) for frame in guide.frames],
        latents=latents.clone(),
        output_type="latent",
    )
    time = scheduler.timesteps[:1]
    text, pictures = generator._text("a person"), generator._pictures(guide)
    assert pictures is not None
    with torch.no_grad():
        mine = network(latents, time, text, pictures)
        inverted = network(latents, time, text, 1 - pictures)
        late = network(latents, time, text, pictures.roll(1, 1))
    network.unet._forward_hooks.clear()
    torch.testing.assert_close(mine, seen[0], atol=1e-4, rtol=1e-3)
    # The comparison above is worth something only if other pictures would have failed it.
    for other in (inverted, late):
        assert (mine - other).abs().max() > 0.01


def test_frames_read_a_few_at_a_time_are_the_same(generator: PoseVideoGenerator) -> None:
    guide = poses(generator)
    network = generator._network
    kept = network.frames_at_once
    clips = []
    for count in (16, 3):
        network.frames_at_once = count
        clips.append(run(generator, guide).astype(int))
    network.frames_at_once = kept
    assert np.abs(clips[0] - clips[1]).max() <= 1


def test_each_step_is_previewed_without_the_decoder(generator: PoseVideoGenerator) -> None:
    """Catches a full decode a step, which costs more than the denoising."""
    calls: list[int] = []
    hook = generator._network.autoencoder.vae.decoder.register_forward_hook(
        lambda *_: calls.append(1)
    )
    clips = list(generator.denoise(Sampling(poses(generator), "", 1, 3, 1.0, 8.0)))
    hook.remove()
    assert len(clips) == 3
    assert len(calls) == FRAMES
    assert all(clip.frames.shape == (FRAMES, 64, 64, 3) for clip in clips)
    assert clips[0].frames.std() > 1


def test_stop_wrong_guides_and_long_prompts(
    generator: PoseVideoGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoppedError):
        list(generator.denoise(Sampling(None, "", 0, 2, 1.0, 8.0, stop=lambda: True)))
    heatmaps = LimbHeatmaps((np.zeros((FRAMES, len(LIMBS), 8, 8), np.float32),))
    with pytest.raises(RequestError, match="pictures of poses"):
        list(generator.denoise(Sampling(heatmaps, "", 0, 2, 1.0, 8.0)))
    small = VideoClip(np.zeros((FRAMES, 32, 32, 3), np.uint8), 8.0)
    with pytest.raises(RequestError, match="64 x 64"):
        list(generator.denoise(Sampling(small, "", 0, 2, 1.0, 8.0)))
    long = "a person " * 40
    assert (generator.cut_prompt(long) or "").strip() in long
    run(generator, None, prompt=long, steps=1)
    assert "cut from the prompt" in caplog.text
    network = generator._network
    network.config = replace(NARROW, size=68)
    try:
        with pytest.raises(RequestError, match="divisible by 8"):
            PoseVideoGenerator(network, generator._tokenizer, "cpu", Memory(torch.float32))
    finally:
        network.config = NARROW


def test_not_a_number_is_said(folder: Path) -> None:
    made = PoseVideoGenerator.load("cpu", folder, NARROW)
    nn.init.constant_(made._network.unet.conv_out.bias, float("nan"))
    with pytest.raises(WeightsError, match="step 1 of 2"):
        run(made, None)


def test_the_pipeline_gives_it_pictures_of_s_re_proj(generator: PoseVideoGenerator) -> None:
    """Catches a pipeline that knows heatmaps only."""
    pipeline = Pipeline("sd15-controlnet", "cpu")
    pipeline.models.generators["sd15-controlnet"] = generator
    found = some_poses()
    asked = Request(action=25, steps=1, guidance_scale=1.0)
    updates = {update.stage: update.value for update in pipeline.stream_from_poses(found, asked)}
    drawn = updates[Stage.HEATMAPS]
    assert isinstance(drawn, VideoClip)
    assert np.array_equal(
        drawn.frames, generator.draw(found.reprojected, frame_body(found.reprojected)).frames
    )
    assert isinstance(updates[Stage.VIDEO], VideoClip)
    assert pipeline.resolved(Request(action=25)).steps == 25


# -- loading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("controlnet/diffusion_pytorch_model.safetensors", "drop", "controlnet"),
        ("stable-diffusion/unet/diffusion_pytorch_model.safetensors", "drop", "unet"),
        ("stable-diffusion/unet/diffusion_pytorch_model.safetensors", "shape", "unet"),
        ("motion-adapter/diffusion_pytorch_model.safetensors", "extra", "motion-adapter"),
        ("stable-diffusion/text_encoder/model.safetensors", "drop", "text_encoder"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, change: str, said: str
) -> None:
    """Catches layers left at random, which diffusers only warns of."""
    import shutil

    shutil.copytree(folder, tmp_path / "w")
    tensors = load_file(tmp_path / "w" / file)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    if change == "drop":
        del tensors[name]
    elif change == "shape":
        tensors[name] = torch.zeros(3)
    else:
        tensors["more.weight"] = torch.zeros(3)
    save_file(tensors, tmp_path / "w" / file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="not what was fetched"):
        PoseVideoGenerator.load("cpu", tmp_path / "w", NARROW)
    monkeypatch.setattr("finephys.generator.controlnet.verify", lambda *_: {})
    with pytest.raises(WeightsError, match=said):
        PoseVideoGenerator.load("cpu", tmp_path / "w", NARROW)


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINEPHYS_WEIGHTS", str(tmp_path))
    for ask in (lambda: load_generator("sd15-controlnet"), lambda: weights_file("sd15-controlnet")):
        with pytest.raises(WeightsMissingError, match="python -m finephys fetch sd15"):
            ask()  # type: ignore[no-untyped-call]


def test_weights_fetched_for_another_system_are_not_taken_for_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `fetch t2v-zero` the tier looked ready, and failed once the poses were computed."""
    monkeypatch.setenv("FINEPHYS_WEIGHTS", str(tmp_path))
    parts = read_lock(folder)
    write_lock(tmp_path, {"stable-diffusion": parts["stable-diffusion"]})
    with pytest.raises(WeightsMissingError, match=r"fetched \(controlnet, motion-adapter\)"):
        weights_file("sd15-controlnet")
    write_lock(tmp_path, parts)
    assert weights_file("sd15-controlnet").parent == tmp_path


# -- memory ----------------------------------------------------------------------------------------


def test_less_memory_lets_more_wait() -> None:
    half = torch.float16
    plans = [memory_within(size, half) for size in (24, 8, 4)]
    assert [len(plan.offload) for plan in plans] == [0, 2, 4]
    assert [plan.frames_at_once for plan in plans] == [16, 4, 2]
    assert {plan.dtype for plan in plans} == {half}


def test_offloaded_parts_give_the_same_clip(folder: Path, generator: PoseVideoGenerator) -> None:
    from accelerate.hooks import remove_hook_from_submodules

    made = PoseVideoGenerator.load("cpu", folder, NARROW)
    plan = replace(memory_within(4, torch.float32), frames_at_once=4)
    lean = PoseVideoGenerator(made._network, made._tokenizer, "cpu", plan)
    try:
        assert np.array_equal(run(lean, poses(generator)), run(generator, poses(generator)))
    finally:
        remove_hook_from_submodules(made._network)


def test_out_of_memory_says_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GpuMemoryError, match="FINEPHYS_GPU_GB"), memory_guard():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    monkeypatch.setenv("FINEPHYS_GPU_GB", "6.5")
    assert memory.planned_gigabytes() == 6.5
    monkeypatch.setenv("FINEPHYS_GPU_GB", "much")
    with pytest.raises(RequestError, match="much"):
        memory.planned_gigabytes()


def test_half_precision_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Callable[[str], Memory] = lambda _: Memory(torch.bfloat16)  # noqa: E731
    monkeypatch.setattr("finephys.generator.controlnet.memory_for", plan)
    made = PoseVideoGenerator.load("cpu", folder, NARROW)
    assert made._network.unet.dtype == torch.bfloat16
    assert run(made, poses(made)).std() > 1
