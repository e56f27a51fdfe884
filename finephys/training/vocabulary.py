"""The tiny tier's vocabulary: byte-level pairs learned from our own captions and looks."""

import json
from collections.abc import Iterator

from tokenizers import pre_tokenizers, trainers
from transformers import CLIPTokenizer

from finephys.actions import ACTIONS
from finephys.motion.looks import BACKGROUNDS, FLOORS, LEOTARDS, describe

START, END = "<|startoftext|>", "<|endoftext|>"

_WORD_END = "</w>"


def caption_corpus() -> Iterator[str]:
    """Every text a training prompt can hold."""
    for action in ACTIONS:
        yield action.caption
        yield action.label
    for leotard in LEOTARDS:
        for background in BACKGROUNDS:
            for floor in FLOORS:
                yield describe(leotard, background, floor) + "."


def train_tokenizer(size: int) -> CLIPTokenizer:
    """Learn a CLIP tokenizer of exactly `size` tokens from `caption_corpus`.

    All 256 bytes are tokens, inside a word and at its end, so any text can be written with it, and
    the end token is the last, as in CLIP's own vocabulary.

    Args:
        size: tokens; 514 for the bytes, start and end, the rest for learned pairs. Places left
            when every word of the corpus is one token are named spare.
    """
    backend = CLIPTokenizer()._tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    backend.train_from_iterator(caption_corpus(), trainer)
    model = json.loads(backend.to_str())["model"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = letters + [letter + _WORD_END for letter in letters]
    known = set(tokens)
    merges = []
    for pair in model["merges"]:
        if len(tokens) == size - 2:
            break
        first, second = pair
        if first + second not in known:
            known.add(first + second)
            tokens.append(first + second)
        merges.append((first, second))
    spare = size - 2 - len(tokens)
    tokens += [f"<|spare{index}|>" for index in range(spare)] + [START, END]
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=merges)
