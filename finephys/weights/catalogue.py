"""Public weights that can be fetched: which repositories, which files, under which licence.

Revisions and checksums are not listed here: `fetch` resolves, shows and locks them.
"""

import re
from dataclasses import dataclass

OPENRAIL = """\
You may use, change and share these weights and what they make, also commercially, but not:
to break a law; to exploit or harm minors; to spread what is false, or generated without saying so,
in order to harm; to spread personal data that can harm someone; to defame, disparage or harass; to
decide automatically over people's rights; to discriminate by behaviour, traits or protected
characteristics; to exploit the weaknesses of a group; to give medical advice; or to serve the
administration of justice, law enforcement, immigration or asylum.
You must pass these restrictions on, with a copy of the licence, to everyone you give the weights or
a model made from them to. This is a summary; the licence itself binds you."""
"""The use restrictions of the OpenRAIL-M licences (Attachment A) and the duty to pass them on."""


_SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors")


@dataclass(frozen=True)
class Licence:
    """Licence to agree to before the first use.

    Attributes:
        name: from the repository's card.
        text: a summary in plain words.
        where: repository of the Hub, or project, with the full licence.
    """

    name: str
    text: str
    where: str


@dataclass(frozen=True)
class Part:
    """Weights of one model, from one repository of the Hugging Face Hub.

    Attributes:
        name: its folder under the folder of all parts.
        title: for people.
        repositories: the official one first, then copies with the same files.
        components: subfolders with a config and weights; "" is the repository itself.
        plain: other files; the first two are required.
        licence: to be agreed to.
    """

    name: str
    title: str
    repositories: tuple[str, ...]
    components: tuple[str, ...]
    plain: tuple[str, ...]
    licence: Licence


SD15_PARTS = (
    Part(
        "stable-diffusion",
        "Stable Diffusion v1.5",
        # The original runwayml/stable-diffusion-v1-5 was withdrawn by its owner in August 2024.
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "sd-legacy/stable-diffusion-v1-5"),
        ("unet", "vae", "text_encoder"),
        (
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "tokenizer/tokenizer_config.json",
            "tokenizer/special_tokens_map.json",
        ),
        Licence("creativeml-openrail-m", OPENRAIL, "CompVis/stable-diffusion-license"),
    ),
    Part(
        "motion-adapter",
        "AnimateDiff motion adapter v1.5-2",
        ("guoyww/animatediff-motion-adapter-v1-5-2",),
        ("",),
        (),
        Licence(
            "apache-2.0",
            "Use, change and share freely; keep the licence and the authors' notices. The card of "
            "these weights names no licence of its own: this is that of their project.",
            "guoyww/AnimateDiff on GitHub",
        ),
    ),
    Part(
        "controlnet",
        "ControlNet v1.1, OpenPose",
        ("lllyasviel/control_v11p_sd15_openpose",),
        ("",),
        (),
        Licence("openrail", OPENRAIL, "lllyasviel/control_v11p_sd15_openpose"),
    ),
)
"""What `sd15-controlnet` needs."""

LATTE = Part(
    "latte",
    "Latte-1",
    ("maxin-cn/Latte-1",),
    ("transformer", "vae", "text_encoder"),
    (
        "tokenizer/spiece.model",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/special_tokens_map.json",
        "tokenizer/added_tokens.json",
    ),
    Licence(
        "apache-2.0",
        "Use, change and share freely; keep the licence and the authors' notices. Its T5 text "
        "encoder and its autoencoder come with it; the autoencoder is Stable Diffusion's.",
        "maxin-cn/Latte-1",
    ),
)

FETCHABLE = {
    "sd15": SD15_PARTS,
    "animatediff": SD15_PARTS[:2],
    "t2v-zero": SD15_PARTS[:1],
    "latte": (LATTE,),
}
"""Parts by their name on the command line."""


def wanted_files(part: Part, names: set[str]) -> dict[str, str]:
    """Select a part's files from those of a repository.

    Half-precision safetensors are preferred, then the single file, then its shards with their
    index; pickled weights are never selected.

    Args:
        part: the part to fetch.
        names: every file of the repository.

    Returns:
        Name in the repository -> name under the part's folder.

    Raises:
        LookupError: a required file is missing; the text is its name.
    """
    chosen = {name: name for name in part.plain if name in names}
    for component in part.components:
        folder = f"{component}/" if component else ""
        stem = folder + ("model" if component == "text_encoder" else "diffusion_pytorch_model")
        config = f"{folder}config.json"
        if config not in names:
            raise LookupError(config)
        chosen[config] = config
        index = f"{stem}.safetensors.index.json"
        shards = sorted(name for name in names if _SHARD.fullmatch(name.removeprefix(stem)))
        if f"{stem}.fp16.safetensors" in names:
            chosen[f"{stem}.fp16.safetensors"] = f"{stem}.safetensors"
        elif f"{stem}.safetensors" in names:
            chosen[f"{stem}.safetensors"] = f"{stem}.safetensors"
        elif index in names and shards:
            chosen |= {name: name for name in (index, *shards)}
        else:
            raise LookupError(f"{stem}.safetensors")
    missing = [name for name in part.plain[:2] if name not in names]
    if missing:
        raise LookupError(missing[0])
    return chosen
