"""Base class of texts with classes: splits, tokenization and augmentation."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

import torch
from lightning.pytorch.utilities import rank_zero_only
from tokenizers import Tokenizer
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.batch import SequenceBatch
from datamodules.core.labelled_sets import check_several_classes
from datamodules.core.seen import identities, thin
from datamodules.core.splits import numbered, stratified_sample
from datamodules.text import tokenization
from datamodules.text.back_translation import BackTranslation, MarianTranslator
from datamodules.text.eda import EDA, TextAugment
from datamodules.text.tokenization import TokenizerSettings
from zoo.errors import ZooError, check_choice


class Texts(NamedTuple):
    """All texts of a set, with their classes and parts."""

    texts: list[str]
    y: Tensor  # (N,) int64 classes
    parts: dict[str, Tensor]  # positions of "train", and of "val" and "test" if the set has them
    source: str  # name in errors and reports


class Augment(TypedDict, total=False):
    """Augmentation of training texts."""

    name: Literal["eda", "back_translation"]
    p: float  # probability that a text is changed in an epoch
    alpha: float  # for EDA: share of a text's words that change
    operations: list[str]  # for EDA: synonym, insertion, swap, deletion
    synonyms: str  # for EDA: a WordNet file or folder
    forward: str  # for back-translation: a Marian model that translates into another language
    backward: str  # for back-translation: a Marian model that translates back


_COPIES = 8  # augmented copies of each training text in which the tokenizer finds added words
_SETTINGS = {"eda": {"p", "alpha", "operations", "synonyms"}, "back_translation": {"p", "forward", "backward"}}


class TextData(DataModule):
    """Texts in memory as tokens, served in batches of similar length.

    A subclass states `num_classes` and `class_names` and defines `read`. Parts that the set lacks are held out from its
    training part, stratified by class. Equal texts of one class are held out together, so that no held-out text is trained on.
    The tokenizer is built from the training texts alone and is stored in the checkpoint.

    Args:
        tokenizer: settings of the tokenizer, such as {kind: bpe, vocab_size: 6000}.
        max_length: tokens after which a text is cut; the number of cut texts is reported.
        augment: change training texts anew in every epoch; evaluation sees the originals.
        num_train: train on this number of texts only, with the same share of each class.
        balance: serve all classes equally often in training. See `BatchOrder`. None: the set does not offer it.
    """

    keep_duplicates_together: ClassVar[bool] = True  # whether equal texts of one class stay in the same part
    vocab_size: int
    max_length: int
    tokenizer: Tokenizer | None = None
    y: Tensor
    source: str

    def __init__(
        self,
        batch_size: int = 32,
        tokenizer: TokenizerSettings | None = None,
        max_length: int = 64,
        augment: Augment | None = None,
        num_train: int | None = None,
        balance: bool | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, split_seed=split_seed)
        if max_length < 1:
            raise ZooError(f"max_length must be at least 1 token, got {max_length}")
        self.tokenizer_settings = tokenization.with_defaults(tokenizer)
        self.input_shape, self.vocab_size, self.max_length = (max_length,), self.tokenizer_settings["vocab_size"], max_length
        self.num_train = self.num_train_expected = num_train
        self.balance = balance
        self.augment = make_augment(augment) if augment else None

    def read(self) -> Texts:
        """Read all texts of the set."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        self.texts, self.y, parts, self.source = self.read()
        everything = Split(Arrays(self.y, self.y), torch.arange(len(self.y)))  # Texts are tokenised later.
        groups = numbered(zip(self.texts, self.y.tolist(), strict=True))
        parts = self.complete(parts, everything, groups if self.keep_duplicates_together else None)
        if stage in (None, "fit") and "train" in parts:
            check_several_classes(self.y[parts["train"]], self.class_names, self.source)
        if self.num_train is not None and "train" in parts:
            rows = parts["train"]
            parts["train"] = rows[stratified_sample(self.y[rows], self.num_train, self.split_seed, "num_train")]
        for part, rows in parts.items():
            if part != "train" and "train" in parts and (num := int(torch.isin(groups[rows], groups[parts["train"]]).sum())):
                self.notes.append(f"{num:,} of {len(rows):,} texts in {part} are also in train, with the same class")
        if isinstance(self.augment, BackTranslation) and "train" in parts:
            # In large batches now: a text that is not prepared is translated alone when it is needed.
            self.augment.prepare([self.texts[position] for position in parts["train"].tolist()])
        if (file := self.tokenizer_settings["file"]) is not None:
            self.tokenizer = tokenization.load(Path(file))
        elif self.tokenizer is None:
            self.tokenizer = tokenization.train(self._training_texts(parts["train"]), self.tokenizer_settings)
        self._tokenise(parts)

    def transform(self, batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
        """Augment and tokenise training texts. Random draws depend on (seed, epoch, position) alone."""
        if not train or self.augment is None:
            return batch
        changed = []
        for position in batch.position.tolist():
            text = self.texts[position]
            changed.append(self.augment(text, random.Random(f"{self.seed} {epoch} {position}")) or text)
        x, lengths, _ = self.encode(changed)
        return batch._replace(x=x[:, : int(lengths.max())].long().to(batch.x.device), lengths=lengths)

    def report(self) -> list[str]:
        """Also describe the tokens."""
        return [*super().report(), self._token_line]

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Return tokens (N, max_length) int32 padded with 0, lengths (N,) from 0, and the number of texts that were cut."""
        assert self.tokenizer is not None
        self.tokenizer.encode_special_tokens = True  # "[PAD]" within a text is an ordinary word, not token 0.
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        num_cut = sum(len(ids) > self.max_length for ids in tokens)
        x = torch.zeros(len(tokens), self.max_length, dtype=torch.int32)
        for row, ids in zip(x, tokens, strict=True):
            row[: len(ids)] = torch.tensor(ids[: self.max_length], dtype=torch.int32)
        return x, torch.tensor([min(len(ids), self.max_length) for ids in tokens]), num_cut

    def adopt(self, facts: Mapping[str, Any]) -> None:
        """Also tokenise texts as the checkpoint's model expects, unless a tokenizer file is given."""
        super().adopt(facts)
        if self.tokenizer_settings["file"] is None and "tokenizer_json" in facts:
            self.tokenizer = Tokenizer.from_str(facts["tokenizer_json"])

    def identify(self, samples: Split, most: int | None = None) -> list[int]:
        """Return a number for each text with its class. It does not depend on the tokenizer."""
        return identities(f"{self.y[row]} {self.texts[row]}".encode() for row in thin(samples.rows, most).tolist())

    def tokens_of(self, position: int) -> list[str]:
        """Return a text as the model sees it, token by token."""
        assert self.tokenizer is not None
        (x, _, lengths), _ = next(iter(self.splits.values()))
        assert lengths is not None
        return [self.tokenizer.id_to_token(token) or "" for token in x[position, : int(lengths[position])].tolist()]

    def name_of(self, position: int) -> str:
        """Return the name of a text in errors."""
        return f"text {position} of {self.source}"

    @property
    def tokenizer_json(self) -> str | None:
        """The tokenizer in the format of the `tokenizers` library; None before `setup`."""
        return self.tokenizer.to_str() if self.tokenizer is not None else None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the data, including the tokenizer."""
        return {**super().state_dict(), "tokenizer": self.tokenizer_json}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the checkpoint's tokenizer, so that other texts are tokenised as the training texts were.

        Raises:
            ZooError: if the classes differ, if training would continue with another tokenizer, or if a tokenizer file is given
                that is not the checkpoint's.
        """
        super().load_state_dict(state_dict)
        if state_dict["tokenizer"] == self.tokenizer_json:
            return
        file = self.tokenizer_settings["file"]
        if file is not None or (self.trainer is not None and self.trainer.state.fn == "fit"):
            raise ZooError(
                f"the checkpoint's tokenizer is not {file or f'the one that {self.source} builds now'}: "
                "its tokens would mean other words; use the data and settings it was trained on, or train anew"
            )
        self.tokenizer = Tokenizer.from_str(state_dict["tokenizer"])
        self._tokenise({part: split.rows for part, split in self.splits.items()})

    def _tokenise(self, parts: dict[str, Tensor]) -> None:
        assert self.tokenizer is not None
        if (size := self.tokenizer.get_vocab_size()) > self.vocab_size:
            raise ZooError(
                f"the tokenizer has {size} tokens, more than vocab_size {self.vocab_size}: set data.tokenizer.vocab_size {size}"
            )
        x, lengths, num_cut = self.encode(self.texts)
        if empty := (lengths == 0).nonzero()[:, 0].tolist():
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise ZooError(f"{self.name_of(empty[0])} has no token: {self.texts[empty[0]][:40]!r}{more}; leave it out")
        arrays = Arrays(x, self.y, lengths)
        self.splits = {part: Split(arrays, rows) for part, rows in parts.items()}
        self._token_line = self._describe_tokens(size, lengths, num_cut)
        if "train" not in parts and num_cut:  # Predictions have no report before training.
            rank_zero_only(print)(self._token_line, flush=True)

    def _describe_tokens(self, num_tokens: int, lengths: Tensor, num_cut: int) -> str:
        """Describe how many tokens the texts have, how many texts were cut, and how many held-out tokens are unknown."""
        cut = f"{num_cut} were longer than max_length {self.max_length} and cut" if num_cut else "none was cut"
        texts = f"{self.source}: {len(self.texts):,} texts of {lengths.float().mean():.0f} tokens on average, {cut}"
        if "train" not in self.splits:
            return texts
        held_out = torch.cat([split.rows for part, split in self.splits.items() if part != "train"])
        x = self.splits["train"].arrays.x[held_out]
        assert self.tokenizer is not None
        token = self.tokenizer.token_to_id(getattr(self.tokenizer.model, "unk_token", None) or tokenization.UNKNOWN)
        unknown = (x == (-1 if token is None else token)).sum().item() / int(lengths[held_out].sum())
        return f"{texts}; {num_tokens:,} tokens known, {unknown:.1%} of the held-out tokens are unknown"

    def _training_texts(self, rows: Tensor) -> list[str]:
        """Return the training texts, and the words that augmentation adds to each, so that the tokenizer knows both.

        The words of the texts themselves are not repeated, so that their frequencies are those of the originals.
        """
        texts = [self.texts[position] for position in rows.tolist()]
        if self.augment is None:
            return texts
        draw = random.Random(self.split_seed)
        copies = [[self.augment(text, draw).split() for _ in range(_COPIES)] for text in texts]
        added = [set().union(*words).difference(text.split()) for text, words in zip(texts, copies, strict=True)]
        return texts + [" ".join(sorted(words)) for words in added]


def make_augment(settings: Augment) -> TextAugment:
    """Build the augmentation that `settings` describe.

    Raises:
        ZooError: for an unknown name or setting, or a missing one.
    """
    name = settings.get("name", "")
    check_choice("augmentation", name, _SETTINGS)
    given: dict[str, Any] = {key: value for key, value in settings.items() if key != "name"}
    if unknown := given.keys() - _SETTINGS[name]:
        raise ZooError(f"{name} has no setting {min(unknown)!r}: it takes {', '.join(sorted(_SETTINGS[name]))}")
    if name == "eda":
        return EDA(**given)
    if missing := {"forward", "backward"} - given.keys():
        raise ZooError(f"back_translation needs {min(missing)!r}: a Marian model, such as Helsinki-NLP/opus-mt-en-de")
    return BackTranslation(MarianTranslator(given.pop("forward")), MarianTranslator(given.pop("backward")), **given)
