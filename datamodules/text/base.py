"""Texts with classes: split, tokenised by what the training part holds, augmented as text."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import torch
from lightning.pytorch.utilities import rank_zero_only
from tokenizers import Tokenizer
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.batch import SequenceBatch
from datamodules.core.splits import hold_out, stratified_sample
from datamodules.text import tokenization
from datamodules.text.back_translation import BackTranslation, MarianTranslator
from datamodules.text.eda import EDA, TextAugment
from zoo.errors import ZooError


class Texts(NamedTuple):
    """All texts of a set."""

    texts: list[str]
    y: Tensor  # (N,) int64 classes
    parts: dict[str, Tensor]  # places of "train", and of "val" and "test" where the set has them
    source: str  # what errors and reports call it


class Augment(TypedDict, total=False):
    """What is done to training texts."""

    name: Literal["eda", "back_translation"]
    p: float  # chance that a text is changed at all in an epoch
    alpha: float  # of EDA: share of a text's words that change
    operations: list[str]  # of EDA: synonym, insertion, swap, deletion
    synonyms: str  # of EDA: a WordNet file or folder
    forward: str  # of back-translation: a Marian model to another language, and one back
    backward: str


_COPIES = 8  # of each training text, augmented, for the tokenizer
_EDA_SETTINGS = {"p", "alpha", "operations", "synonyms"}
_BACK_SETTINGS = {"p", "forward", "backward"}


class TextData(DataModule):
    """Texts in memory as tokens, served in batches of about the same length.

    A subclass states `num_classes` and `class_names` and defines `read`. Parts that the set lacks are held out from its
    training part, per class. The tokenizer is made from the training texts alone, and travels in the checkpoint.

    Args:
        tokenizer: into words, byte pairs or characters.
        vocab_size: the most tokens there may be, and the size of the embedding.
        max_length: tokens after which a text is cut; how many were is reported.
        lowercase: whether "The" is "the".
        min_frequency: rarer tokens are unknown.
        tokenizer_file: take this tokenizer of the `tokenizers` library in place of making one.
        augment: change training texts, each epoch anew; off in evaluation.
        num_train: train on so many texts only, the same share of each class: how much do few tell?
    """

    y: Tensor
    source: str

    def __init__(
        self,
        batch_size: int = 32,
        tokenizer: tokenization.Kind = "word",
        vocab_size: int = 10_000,
        max_length: int = 64,
        lowercase: bool = True,
        min_frequency: int = 2,
        tokenizer_file: str | None = None,
        augment: Augment | None = None,
        num_train: int | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, split_seed=split_seed)
        if max_length < 1:
            raise ZooError(f"max_length must be at least 1 token, got {max_length}")
        self.input_shape, self.vocab_size, self.max_length = (max_length,), vocab_size, max_length
        self.kind, self.lowercase, self.min_frequency = tokenizer, lowercase, min_frequency
        self.tokenizer_file, self.num_train = tokenizer_file, num_train
        self.augment = make_augment(augment) if augment else None
        self.tokenizer: Tokenizer | None = None
        self.texts: list[str] = []

    def read(self) -> Texts:
        """All texts of the set, with their classes."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        self.texts, self.y, parts, self.source = self.read()
        assert self.test_fraction is not None
        parts = hold_out(self.y, parts, {"test": self.test_fraction, "val": self.val_fraction}, self.split_seed)
        if self.num_train is not None and "train" in parts:
            rows = parts["train"]
            parts["train"] = rows[stratified_sample(self.y[rows], self.num_train, self.split_seed, "num_train")]
        if isinstance(self.augment, BackTranslation) and "train" in parts:
            self.augment.prepare([self.texts[position] for position in parts["train"].tolist()])  # at once, not one by one
        if self.tokenizer_file is not None:
            self.tokenizer = tokenization.load(Path(self.tokenizer_file))
        elif self.tokenizer is None:
            training = self._training_texts(parts["train"])
            self.tokenizer = tokenization.train(self.kind, training, self.vocab_size, self.lowercase, self.min_frequency)
        self._tokenise(parts)

    def transform(self, batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
        """Training texts changed by `augment` and tokenised anew: what is drawn depends on (seed, epoch, position) alone."""
        if not train or self.augment is None:
            return batch
        changed = []
        for position in batch.position.tolist():
            text = self.texts[position]
            changed.append(self.augment(text, random.Random(f"{self.seed} {epoch} {position}")) or text)
        x, lengths, _ = self.encode(changed)
        return batch._replace(x=x[:, : int(lengths.max())].long().to(batch.x.device), lengths=lengths)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Tokens (N, max_length) int32 filled up with 0, lengths (N,) from 0, and how many texts were cut."""
        assert self.tokenizer is not None
        self.tokenizer.encode_special_tokens = True  # "[PAD]" in a text is a word like others, not token 0
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        num_cut = sum(len(ids) > self.max_length for ids in tokens)
        x = torch.zeros(len(tokens), self.max_length, dtype=torch.int32)
        for row, ids in zip(x, tokens, strict=True):
            row[: len(ids)] = torch.tensor(ids[: self.max_length], dtype=torch.int32)
        return x, torch.tensor([min(len(ids), self.max_length) for ids in tokens]), num_cut

    def adopt_tokenizer(self, tokenizer_json: str) -> None:
        """Before `setup`: read texts as a model's own were, unless a tokenizer was given by hand."""
        if self.tokenizer_file is None:
            self.tokenizer = Tokenizer.from_str(tokenizer_json)

    def tokens_of(self, position: int) -> list[str]:
        """A text as the model sees it, token by token."""
        assert self.tokenizer is not None
        (x, _, lengths), _ = next(iter(self.splits.values()))
        assert lengths is not None
        return [self.tokenizer.id_to_token(token) or "" for token in x[position, : int(lengths[position])].tolist()]

    def name_of(self, position: int) -> str:
        """What errors call a text."""
        return f"text {position} of {self.source}"

    @property
    def tokenizer_json(self) -> str | None:
        """The tokenizer as its library writes it, for checkpoints."""
        return self.tokenizer.to_str() if self.tokenizer is not None else None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data, the tokenizer among it."""
        return {**super().state_dict(), "tokenizer": self.tokenizer_json}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the checkpoint's tokenizer, so that other texts are seen as the training texts were.

        Raises:
            ZooError: if the classes differ; or if training would go on, or was asked to, with another tokenizer.
        """
        super().load_state_dict(state_dict)
        if state_dict["tokenizer"] == self.tokenizer_json:
            return
        if self.tokenizer_file is not None or (self.trainer is not None and self.trainer.state.fn == "fit"):
            raise ZooError(
                f"the checkpoint's tokenizer is not {self.tokenizer_file or f'the one that {self.source} makes now'}: "
                "its tokens would mean other words; use the data and settings it was trained on, or train anew"
            )
        self.tokenizer = Tokenizer.from_str(state_dict["tokenizer"])
        self._tokenise({part: split.rows for part, split in self.splits.items()})

    def _tokenise(self, parts: dict[str, Tensor]) -> None:
        assert self.tokenizer is not None
        if (size := self.tokenizer.get_vocab_size()) > self.vocab_size:
            raise ZooError(
                f"the tokenizer has {size} tokens, more than vocab_size {self.vocab_size}: set data.vocab_size {size}"
            )
        x, lengths, num_cut = self.encode(self.texts)
        if empty := (lengths == 0).nonzero()[:, 0].tolist():
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise ZooError(f"{self.name_of(empty[0])} has no token: {self.texts[empty[0]][:40]!r}{more}; leave it out")
        arrays = Arrays(x, self.y, lengths)
        self.splits = {part: Split(arrays, rows) for part, rows in parts.items()}
        self._report(size, lengths, num_cut)

    @rank_zero_only
    def _report(self, num_tokens: int, lengths: Tensor, num_cut: int) -> None:
        """Say what the tokenizer made of the texts."""
        cut = f"{num_cut} were longer than max_length {self.max_length} and cut" if num_cut else "none was cut"
        if "train" not in self.splits:
            if num_cut:
                print(f"{self.source}: of {len(self.texts):,} texts {cut}", flush=True)
            return
        held_out = torch.cat([split.rows for part, split in self.splits.items() if part != "train"])
        x = self.splits["train"].arrays.x[held_out]
        assert self.tokenizer is not None
        token = self.tokenizer.token_to_id(getattr(self.tokenizer.model, "unk_token", None) or tokenization.UNKNOWN)
        unknown = (x == (-1 if token is None else token)).sum().item() / int(lengths[held_out].sum())
        print(
            f"{self.source}: {len(self.texts):,} texts of {lengths.float().mean():.0f} tokens on average, {cut}; "
            f"{num_tokens:,} tokens known, {unknown:.1%} of those held out are not",
            flush=True,
        )

    def _training_texts(self, rows: Tensor) -> list[str]:
        """What the tokenizer learns from: the training texts, and copies as augmentation makes them, maybe with new words."""
        texts = [self.texts[position] for position in rows.tolist()]
        if self.augment is None:
            return texts
        draw = random.Random(self.split_seed)
        return texts + [self.augment(text, draw) for _ in range(_COPIES) for text in texts]


def make_augment(settings: Augment) -> TextAugment:
    """The augmentation that settings name.

    Raises:
        ZooError: for a name or a setting that there is not.
    """
    allowed = {"eda": _EDA_SETTINGS, "back_translation": _BACK_SETTINGS}
    name = settings.get("name", "")
    if name not in allowed:
        raise ZooError(f"unknown augmentation {name!r}: choose one of {', '.join(allowed)}")
    given: dict[str, Any] = {key: value for key, value in settings.items() if key != "name"}
    if unknown := given.keys() - allowed[name]:
        raise ZooError(f"{name} has no setting {min(unknown)!r}: it takes {', '.join(sorted(allowed[name]))}")
    if name == "eda":
        return EDA(**given)
    if missing := {"forward", "backward"} - given.keys():
        raise ZooError(f"back_translation needs {min(missing)!r}: a Marian model, such as Helsinki-NLP/opus-mt-en-de")
    return BackTranslation(MarianTranslator(given.pop("forward")), MarianTranslator(given.pop("backward")), **given)
