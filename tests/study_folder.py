"""A small open study in a folder, for tests of the store, the routes and the rater's page."""

import json
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np

from study import folder as folders
from study.files import digest
from study.folder import Clip, Clips, ExtraClips, Folder, Milestones, Reference
from study.reading import load

SECONDS = 1.0
METHODS = ("oldmodel", "newmodel", "othermodel")
PADDED = 24_576

YAML = """
name: small
title: {en: A small study, zh: 小研究}
languages: [en, zh]
kind: KIND
dimensions:
  - id: text
    title: {en: Text, zh: 文本}
    question: {en: "Does it fit the text?", zh: 与文字一致吗？}
    low: {en: not at all, zh: 完全不}
    high: {en: completely, zh: 完全}
  - id: overall
    title: {en: Overall, zh: 整体}
    question: {en: "How good is it?", zh: 质量如何？}
    low: {en: bad, zh: 差}
    high: {en: excellent, zh: 好}
instructions: {en: "Look at both, then score.\\n\\nTake your time.", zh: "请看完\\n再打分。"}
consent: {en: I take part of my own will., zh: 我自愿参加。}
thanks: {en: Thank you., zh: 谢谢。}
demographics:
  - id: expertise
    title: {en: "How well do you know gymnastics?", zh: 您了解体操吗？}
    kind: choice
    required: true
    options:
      - {id: none, title: {en: hardly, zh: 几乎不}}
      - {id: expert, title: {en: well, zh: 很了解}}
  - id: remarks
    title: {en: "Anything else?", zh: 还有什么？}
    kind: text
    longest: 100
items:
  - {id: item01, label: {en: double turn}, text: {en: a turn of 720 degrees}}
  - {id: item02, label: {en: split leap}, text: {en: a leap with legs apart}}
training:
  - id: practice1
    left: {made: as_is}
    right: {made: noise}
    note: {en: Practice first., zh: 先练习。}
gold:
  - id: check1
    left: {made: noise}
    right: {made: as_is}
    expect: [{dimension: overall, low: 1, high: 2}]
repeat_share: 0.2
recruiting: {invites: true, open_link: true, prolific: true, completion_code: CODE77}
encoding: {width: 64, height: 64, fps: 8, frames: 8}
"""


def make_study(root: Path, *, kind: str = "pairs", seconds: float = SECONDS) -> Folder:
    """An open study of three methods and two items with real, tiny, equally long videos."""
    study = Folder(root)
    study.media.mkdir(parents=True)
    study.secret.mkdir(mode=0o700)
    text = YAML.replace("KIND", kind)
    if kind == "single":
        text = text.replace("    right: {made: noise}\n", "").replace(
            "    right: {made: as_is}\n", ""
        )
    study.definition.write_text(text, encoding="utf-8")
    definition = load(study.definition)
    rng = np.random.default_rng(5)

    def video() -> str:
        name = rng.bytes(8).hex()
        write_video(study.media / f"{name}.mp4", rng)
        return name

    def picture() -> str:
        name = rng.bytes(8).hex()
        pixels = rng.integers(0, 255, (64, 64, 3), np.uint8)
        av.VideoFrame.from_ndarray(pixels, format="rgb24").to_image().save(
            study.media / f"{name}.jpg"
        )
        return name

    items = [item.id for item in definition.items]
    right = kind != "single"
    clips = [Clip(video(), item, arm) for item in items for arm in range(len(METHODS))]
    folders.write_clips(
        study,
        Clips(
            arms=len(METHODS),
            seconds=seconds,
            clips=tuple(clips),
            references=tuple(Reference(item, video(), picture()) for item in items),
            extras=tuple(
                ExtraClips(extra.id, "item01", video(), video() if right else "")
                for extra in (*definition.training, *definition.gold)
            ),
        ),
    )
    made: Mapping[str, object] = {"methods": METHODS, "salt": "x"}
    study.map.write_text(json.dumps(made))
    folders.write_milestones(
        study,
        Milestones(
            opened="2026-01-01T00:00:00+00:00",
            definition_sha256=digest(study.definition),
            clips_sha256=digest(study.clips),
        ),
    )
    return study


def close_study(study: Folder) -> None:
    """Close it as the administrator would, while it is served."""
    folders.write_milestones(study, Milestones(opened="2026-01-01", closed="2026-01-02"))


def write_video(path: Path, rng: np.random.Generator) -> None:
    """Eight frames of coloured blocks that move, one second, padded to one size."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "30", "threads": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        blocks = rng.integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        for shift in range(8):
            frame = av.VideoFrame.from_ndarray(np.roll(blocks, 8 * shift, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = path.read_bytes()
    free = PADDED - len(content)
    assert free >= 8, len(content)
    path.write_bytes(content + free.to_bytes(4, "big") + b"free" + bytes(free - 8))
