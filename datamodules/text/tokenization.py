"""Tokenization by the `tokenizers` library: words, byte pairs, or characters."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict, get_args

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from zoo.errors import MissingFileError, ZooError, check_choice

Kind = Literal["word", "bpe", "char"]
_WORD = "'?\\w+(?:['\u2019]\\w+)*|[^\\w\\s]+"  # words, including don't, 's and n't; or consecutive punctuation
PADDING, UNKNOWN = "[PAD]", "[UNK]"  # tokens 0 and 1
_LONGEST = 1000  # characters; longer words are cut before byte pairs are learned, because the time grows quadratically


class TokenizerSettings(TypedDict, total=False):
    """Settings of a tokenizer. `DEFAULTS` holds the values of missing settings."""

    kind: Kind  # words, byte pairs or characters
    vocab_size: int  # maximum number of tokens, including padding and unknown; also the size of the embedding
    lowercase: bool  # whether "The" becomes "the"
    min_frequency: int  # rarer tokens become unknown, so that the model is trained on unknown tokens
    file: str | None  # use this tokenizer of the `tokenizers` library instead of building one


DEFAULTS = TokenizerSettings(kind="word", vocab_size=10_000, lowercase=True, min_frequency=2, file=None)


def with_defaults(settings: TokenizerSettings | None) -> TokenizerSettings:
    """Check settings, and fill in `DEFAULTS`. Datamodules call this in their constructors.

    Raises:
        ZooError: for an unknown setting, or an unknown kind of token.
    """
    if not isinstance(settings, dict | None):
        raise ZooError(f"tokenizer must be settings such as {{kind: word, vocab_size: 10000}}, got {settings!r}")
    whole: TokenizerSettings = {**DEFAULTS, **(settings or {})}
    for name in whole:
        check_choice("setting of the tokenizer", name, TokenizerSettings.__annotations__)
    check_choice("tokenizer", whole["kind"], get_args(Kind))
    return whole


def train(texts: Sequence[str], settings: TokenizerSettings) -> Tokenizer:
    """Build a tokenizer of at most `vocab_size` tokens, including padding and unknown, from these texts alone.

    "word" splits into words, numbers and punctuation. "bpe" merges frequent pairs of bytes (Sennrich et al., 2016,
    arXiv:1508.07909), so that it has no unknown tokens. "char" makes each character a token. The most frequent tokens are kept.

    Raises:
        ZooError: for an unknown kind, or a vocabulary that is too small for it.
    """
    settings = with_defaults(settings)
    kind, vocab_size, min_frequency = settings["kind"], settings["vocab_size"], settings["min_frequency"]
    least = 2 + (256 if kind == "bpe" else 1)
    if vocab_size < least:
        raise ZooError(f"vocab_size must be at least {least} for the tokenizer {kind}, got {vocab_size}")
    special = [PADDING, UNKNOWN]
    trainer: trainers.Trainer
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        texts = [re.sub(rf"\S{{{_LONGEST}}}", r"\g<0> ", text) for text in texts]
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        pattern = r"[\s\S]" if kind == "char" else _WORD
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special, show_progress=False
        )
    normal = [normalizers.NFC(), *([normalizers.Lowercase()] if settings["lowercase"] else [])]
    tokenizer.normalizer = normalizers.Sequence(normal)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Load a tokenizer file of the `tokenizers` library.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if the file is of another kind, or if its token 0 is not the padding token.
    """
    if not path.is_file():
        raise MissingFileError(f"no tokenizer file {path}: give a tokenizer.json of the tokenizers library")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises plain `Exception`.
        raise ZooError(f"cannot read {path} as a tokenizer of the tokenizers library: {error}") from error
    if tokenizer.id_to_token(0) not in (PADDING, "<pad>"):
        raise ZooError(f"token 0 of {path} is {tokenizer.id_to_token(0)!r}: expected {PADDING}, which pads sequences")
    # Many tokenizer files turn on both, which would hide the length of a text.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
