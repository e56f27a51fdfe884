"""Training of the generator: what is drawn, mirrored, dropped and minimised."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finephys.config import TINY_GENERATOR
from finephys.data.clips import ClipBatch, RenderedClips
from finephys.errors import RequestError
from finephys.generator.diffusion import plain_config
from finephys.generator.network import VideoNetwork
from finephys.generator.sampling import make_scheduler
from finephys.guidance.heatmaps import heatmap_level
from finephys.skeleton import FRAMES, JOINTS, LIMBS, MIRROR
from finephys.training import generator as training
from finephys.training.generator import (
    GeneratorTraining,
    draw_times,
    generator_losses,
    hidden_matrices,
    painted_frames,
    prepare,
    tokenizer_beside,
    train_generator,
)
from finephys.training.loop import LoopSettings
from finephys.training.vocabulary import END, caption_corpus, train_tokenizer
from finephys.weights.checkpoints import read_config

CONFIG = replace(
    TINY_GENERATOR,
    size=32,
    autoencoder_channels=(8, 8),
    channels=(8, 8),
    attention=(False, True),
    groups=4,
    heads=2,
    skeleton_channels=(8, 8),
    painter_channels=(8, 8),
    guidance_channels=4,
    text_width=16,
    text_layers=1,
    text_heads=2,
    text_vocabulary=560,
)
CALM = GeneratorTraining(
    drop_both=0, drop_text=0, one_sentence=0, drop_skeleton=0, joint_noise=0, low_score=0
)
PROMPT = "A person jumps. A red leotard, a brick wall, a blue floor."


def batch(count: int = 4, length: int = FRAMES, seed: int = 0) -> ClipBatch:
    """A bright square where the figure is, on a dark ground."""
    rng = np.random.default_rng(seed)
    frames = np.full((count, length, 32, 32, 3), 40, np.uint8)
    figure = np.zeros((count, length, 32, 32), np.bool_)
    canvas = np.zeros((count, length, len(JOINTS), 2), np.float32)
    for index in range(count):
        x, y = rng.integers(0, 18), rng.integers(0, 18)
        figure[index, :, y : y + 12, x : x + 6] = True
        canvas[index] = (np.array([x, y]) + rng.uniform(0, (6, 12), (len(JOINTS), 2))) / 32
    behind = frames.copy()
    frames[figure] = (220, 60, 60)
    action = np.arange(count)
    return ClipBatch(frames, figure, behind, canvas, [PROMPT] * count, action)


def write_shard(folder: Path, name: str, count: int = 4, seed: int = 0) -> None:
    drawn = batch(count, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / name,
        frames=drawn.frames,
        silhouette=drawn.figure,
        behind=drawn.behind,
        xy=drawn.canvas * 32,
        prompt=np.array(drawn.prompts),
        action=drawn.action,
    )


def test_mirrored_clips_keep_picture_and_skeleton_together() -> None:
    drawn = batch(40)
    prepared = prepare(drawn, CONFIG.heatmap_levels, CALM, np.random.default_rng(0))
    truth = prepare(drawn, CONFIG.heatmap_levels, CALM, FirstHalfRandom(0.9))
    mirrored = [i for i in range(40) if not torch.equal(prepared.frames[i], truth.frames[i])]
    assert 5 < len(mirrored) < 35
    i = mirrored[0]
    torch.testing.assert_close(prepared.frames[i], truth.frames[i].flip(-1))
    torch.testing.assert_close(prepared.figure[i], truth.figure[i].flip(-1))
    counterpart = [LIMBS.index((MIRROR[a], MIRROR[b])) for a, b in LIMBS]
    expected = truth.heatmaps[0][i][:, counterpart].flip(-1)  # left limbs drawn as right ones
    torch.testing.assert_close(prepared.heatmaps[0][i], expected, atol=1e-4, rtol=1e-3)


class FirstHalfRandom(np.random.Generator):
    """Draws one number always: 0.9 mirrors and drops nothing."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size: object = None, *_: object, **__: object) -> object:  # type: ignore[override]
        return self.value if size is None else np.full(size, self.value)


def test_heatmaps_lie_on_the_figure() -> None:
    prepared = prepare(batch(3), CONFIG.heatmap_levels, CALM, np.random.default_rng(1))
    seen = prepared.heatmaps[0].amax(2)
    near = torch.nn.functional.max_pool2d(prepared.figure[:, :, 0], 3, stride=1, padding=1)
    assert (seen * near).sum() / seen.sum() > 0.75  # x for y, or pixels for shares


def test_dropping_empties_about_the_asked_share() -> None:
    plan = replace(CALM, drop_text=0.5, drop_skeleton=0.5)
    prepared = prepare(batch(200, 1), CONFIG.heatmap_levels, plan, np.random.default_rng(2))
    empty_skeletons = sum(not level.any() for level in prepared.heatmaps[0])
    assert 70 < empty_skeletons < 130
    assert 70 < prepared.prompts.count("") < 130
    both = sum(
        not level.any() and not prompt
        for level, prompt in zip(prepared.heatmaps[0], prepared.prompts, strict=True)
    )
    assert both < 90  # dropped always together: then neither can be guided alone


def test_prompts_are_whole_sentences_or_empty() -> None:
    prepared = prepare(
        batch(300, 1), CONFIG.heatmap_levels, GeneratorTraining(), np.random.default_rng(3)
    )
    first, second = "A person jumps.", "A red leotard, a brick wall, a blue floor."
    assert set(prepared.prompts) == {"", first, second, PROMPT}


def test_time_steps_cover_the_schedule() -> None:
    times = draw_times(20_000, torch.Generator().manual_seed(0))
    assert times.min() >= 0
    assert times.max() == 999
    assert (times > 500).float().mean() == pytest.approx(0.5, abs=0.02)
    late = draw_times(20_000, torch.Generator().manual_seed(0), late=0.5)
    assert (late >= 800).float().mean() == pytest.approx(1 - 0.5 * 0.8, abs=0.02)
    assert late.max() == 999


@pytest.mark.parametrize("skeleton", [True, False])
def test_a_perfect_prediction_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, skeleton: bool
) -> None:
    """With a skeleton what is behind the figure is asked for; without one the whole frame."""
    tokenizer = train_tokenizer(CONFIG.text_vocabulary)
    network = VideoNetwork(CONFIG, tokenizer.eos_token_id).eval()
    plan = replace(CALM, drop_skeleton=0 if skeleton else 1)
    prepared = prepare(batch(2), CONFIG.heatmap_levels, plan, np.random.default_rng(4))
    assert not torch.equal(prepared.behind, prepared.frames)
    wanted = prepared.behind if skeleton else prepared.frames
    clean = network.autoencoder.encode(wanted.flatten(0, 1))
    clean = clean.reshape(2, FRAMES, *clean.shape[1:]).transpose(1, 2)

    def loss(error: torch.Tensor) -> float:
        monkeypatch.setattr(training, "predict_clean", lambda *_: clean + error)
        random = torch.Generator().manual_seed(0)
        scheduler = make_scheduler(CONFIG, "dpm++")
        found = generator_losses(network, scheduler, prepared, tokenizer, plan, random)
        return found["total"].item()

    assert loss(torch.zeros_like(clean)) == pytest.approx(0, abs=1e-6)
    figure = torch.nn.functional.avg_pool2d(prepared.figure.flatten(0, 1), CONFIG.patch) > 0.2
    on = figure.reshape(2, 1, FRAMES, *clean.shape[-2:]).expand_as(clean).float()
    ground = 1 - on
    ratio = loss(on / on.mean().sqrt()) / loss(ground / ground.mean().sqrt())
    if skeleton:
        assert ratio == pytest.approx(1, rel=0.01)
    else:  # cells that the figure covers in part weigh less
        assert 2 < ratio < CALM.figure_weight


def test_training_learns_saves_and_resumes(tmp_path: Path) -> None:
    write_shard(tmp_path / "data" / "a", "clips_000000.npz", 8)
    settings = LoopSettings(steps=40, learning_rate=1e-2, warmup=5, average_decay=0, log_every=5)
    plan = replace(GeneratorTraining(), still_share=0.25, stills=8, clips=2, painted=4)
    run, out = tmp_path / "run", tmp_path / "out" / "generator.safetensors"
    torch.manual_seed(0)
    data = tmp_path / "data"
    train_generator(run, out, data, settings, plan=plan, config=CONFIG)
    rows = [eval(line) for line in (run / "log.jsonl").read_text().splitlines()]  # noqa: S307
    assert rows[1]["still"] < 0.7 * rows[0]["still"]  # nothing learned
    assert "paint" not in rows[1]  # the painter would read styles from the frame it paints
    assert rows[7]["paint"] < 0.9 * rows[2]["paint"]
    assert read_config(out) == plain_config(CONFIG)
    longer = replace(settings, steps=41)
    assert train_generator(run, out, data, longer, plan=plan, config=CONFIG) == 41
    assert (out.parent / "tokenizer" / "tokenizer.json").is_file()
    more = replace(settings, steps=5, start=out)
    train_generator(tmp_path / "more", out, data, more, plan=plan, config=CONFIG)
    assert "clip" in (tmp_path / "more" / "log.jsonl").read_text()  # single frames learned again


def test_new_shards_are_taken_up(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no rendered clips"):
        RenderedClips(tmp_path)
    write_shard(tmp_path, "clips_000000.npz", 3)
    source = RenderedClips(tmp_path)
    assert len(source) == 3
    write_shard(tmp_path / "more", "clips_000000.npz", 5, seed=1)
    source.refresh()
    assert len(source) == 8
    drawn = source.clips(np.random.default_rng(0), 8)
    assert len({place.tobytes() for place in drawn.canvas}) == 8  # every clip once
    still = source.stills(np.random.default_rng(0), 4)
    assert still.frames.shape == (4, 1, 32, 32, 3)
    pairs = source.pairs(np.random.default_rng(0), 8)
    assert pairs.frames.shape == (8, 2, 32, 32, 3)
    assert len({place.tobytes() for place in pairs.canvas}) == 8  # painted of few clips, words fade
    joints = (still.canvas[:, 0].mean(1) * 32).astype(int)
    assert all(still.figure[i, 0, y, x] for i, (x, y) in enumerate(joints))  # rows mixed up


def test_few_files_in_memory_give_the_clips_that_all_give(tmp_path: Path) -> None:
    """Catches a policy that forgets nothing, rows of another file, and a file drawn for another."""
    for number, count in enumerate((3, 5, 4)):
        write_shard(tmp_path, f"clips_{number:06d}.npz", count, seed=number)
    whole, lean = RenderedClips(tmp_path), RenderedClips(tmp_path, keep=1)
    assert len(lean) == len(whole) == 12
    for count in (4, 12):
        one, other = (source.pairs(np.random.default_rng(3), count) for source in (whole, lean))
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.canvas, other.canvas)
        np.testing.assert_array_equal(one.action, other.action)
    assert [len(each.frames) for each in lean] == [3, 5, 4]
    assert len(lean._kept) == 1
    drawn = lean.clips(np.random.default_rng(0), 5, file=1)
    own = {place.tobytes() for place in batch(5, seed=1).canvas}
    assert {place.tobytes() for place in drawn.canvas} == own
    assert len(lean.stills(np.random.default_rng(0), 9, file=0).frames) == 9  # drawn repeatedly


def test_a_damaged_file_of_clips_is_named(tmp_path: Path) -> None:
    """Catches a traceback of zip for a file that a full disk cut short."""
    write_shard(tmp_path, "clips_000000.npz")
    file = tmp_path / "clips_000000.npz"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(RequestError, match=r"clips_000000.npz is damaged .* delete it"):
        RenderedClips(tmp_path)


def test_painted_frames_are_of_clips_whose_skeleton_is_drawn() -> None:
    """Catches a style read from the painted frame, and figures painted from no skeleton."""
    pairs = prepare(batch(40, 2), CONFIG.heatmap_levels[:1], CALM, np.random.default_rng(0))
    pairs.heatmaps[0][::2] = 0
    for index in range(40):
        pairs.frames[index, 0], pairs.frames[index, 1] = index, index + 0.5
    painted = painted_frames(pairs, np.random.default_rng(1))
    assert len(painted.prompts) == len(painted.frames) == 20
    one, other = painted.frames[:, 0, 0, 0], painted.other_frames[:, 0, 0, 0]
    assert one.long().tolist() == other.long().tolist() == list(range(1, 40, 2))
    assert ((one - other).abs() == 0.5).all()
    assert 4 < int((one > other).sum()) < 16


def test_vocabulary_writes_any_text_and_ends_with_the_end_token() -> None:
    tokenizer = train_tokenizer(TINY_GENERATOR.text_vocabulary)
    assert len(tokenizer) == TINY_GENERATOR.text_vocabulary
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    for text in ("zebra übermäßig 🤸 漢字", "!?#", "a"):
        ids = tokenizer(text)["input_ids"]
        assert ids.count(tokenizer.eos_token_id) == 1  # an unknown byte would become the end
    longest = max(len(tokenizer(text)["input_ids"]) for text in caption_corpus())
    assert longest < TINY_GENERATOR.text_length - 12  # no room for what is worn
    assert END not in tokenizer.decode(tokenizer("a person")["input_ids"], skip_special_tokens=True)


def test_a_generator_trained_on_keeps_the_tokens_it_knows(tmp_path: Path) -> None:
    """Catches a new vocabulary for a text encoder that was trained with another one."""
    start, out = tmp_path / "start" / "g.safetensors", tmp_path / "out" / "g.safetensors"
    known = tokenizer_beside(start, 520, None)
    assert len(known) == 520
    taken = tokenizer_beside(out, 560, start)
    assert taken.get_vocab() == known.get_vocab()
    assert tokenizer_beside(out, 560, start).get_vocab() == known.get_vocab()
    other = tmp_path / "other" / "g.safetensors"
    assert len(tokenizer_beside(other, 560, None)) == 560
    with pytest.raises(RequestError, match="another tokenizer"):
        tokenizer_beside(other, 560, start)


def test_heatmap_of_the_mirrored_skeleton_is_the_mirrored_heatmap() -> None:
    canvas = torch.rand(len(JOINTS), 2)
    there = heatmap_level(canvas, torch.ones(len(JOINTS)), 16)
    flipped = canvas[list(MIRROR)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    back = heatmap_level(flipped, torch.ones(len(JOINTS)), 16)
    counterpart = [LIMBS.index((MIRROR[a], MIRROR[b])) for a, b in LIMBS]
    torch.testing.assert_close(back, there[counterpart].flip(-1), atol=1e-4, rtol=1e-3)


def test_muon_trains_hidden_weights_only() -> None:
    """An embedding, a bias, a norm or the first and last layers made orthogonal learn badly."""
    network = VideoNetwork(CONFIG, 2)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    chosen = {names[id(parameter)] for parameter in hidden_matrices(network)}
    assert all(network.get_parameter(name).ndim >= 2 for name in chosen)
    assert not any("embedding" in name for name in chosen if "time" not in name)
    assert chosen.isdisjoint(
        {"unet.conv_in.weight", "unet.conv_out.weight", "skeleton_encoder.readers.0.weight"}
    )
    assert {"unet.mid_block.resnets.0.conv1.weight", "skeleton_encoder.middle.weight"} <= chosen
