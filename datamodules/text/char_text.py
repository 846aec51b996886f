"""A text as characters, read in parallel streams that continue from batch to batch."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.files import utf8
from datamodules.core.loader import BatchOrder, Loader
from datamodules.core.seen import identities_of_rows, thin
from datamodules.text.manual import corpus
from datamodules.text.tokenization import PADDING, UNKNOWN
from zoo.errors import MissingFileError, ZooError

_PYTHON_MANUAL = "python_manual"
_WINDOW, _EVERY = 32, 50  # characters that identify a place in a text; one place in 50 is identified


class StreamBatch(NamedTuple):
    """The next chunk of each of B streams of a text."""

    x: Tensor  # (B, T) int64
    y: Tensor  # (B, T) int64, x one character later
    position: Tensor  # (B,) int64, index of each chunk's first character in the text
    start: Tensor  # (B,) bool, whether a stream begins, so that no state is carried over
    state: Tensor | None = None  # (B, ...), the model's state from the previous chunk; set by the model, not by the loader


class StreamLoader(Loader):
    """Serve streams chunk by chunk: row b of every batch continues row b of the previous batch.

    `x` (N,) holds a text, `y` (N,) the character after each. `streams` (B, L) are the positions that make up each stream. They
    are cut into as many chunks as `order` has batches: `order` counts chunks, not samples.
    """

    def __init__(self, x: Tensor, y: Tensor, streams: Tensor, order: BatchOrder) -> None:
        super().__init__(order)
        self.x, self.y, self.chunks = x, y, streams.tensor_split(len(order), dim=1)

    def _batches(self) -> Iterator[StreamBatch]:
        for chosen in self.sampler:
            rows = self.chunks[int(chosen)]
            start = torch.full((len(rows),), int(chosen) == 0)
            yield StreamBatch(self.x[rows].long(), self.y[rows].long(), rows[:, 0], start)


class CharText(DataModule):
    """One text for next-character prediction: its start trains, the part after it validates, its end tests.

    Training reads `batch_size` parallel streams, `chunk` characters per batch, the same in every epoch. Characters at the end
    that do not fill a batch are left out. Evaluation reads its part as one stream from start to end. Each process has its own
    streams; in evaluation, its own section of the text.

    The vocabulary consists of the characters of the training part. Token 0 is padding, token 1 is every unknown character.

    Args:
        source: "python_manual", the language reference that comes with Python, or a UTF-8 file.
        vocab_size: size of the embedding, for all known characters and the two tokens above.
        chunk: characters per stream and batch, over which gradients flow.
        batch_size: number of streams, over all processes together.
        min_frequency: rarer characters of the training part become unknown, so that the model is trained on unknown ones.
        val_fraction: share of the text for validation, before the test part.
        test_fraction: share of the text for the test, at its end.

    Raises:
        ZooError: if a size is out of its range.
    """

    vocab_size: int

    def __init__(
        self,
        source: str = _PYTHON_MANUAL,
        vocab_size: int = 128,
        chunk: int = 100,
        batch_size: int = 32,
        min_frequency: int = 2,
        val_fraction: float = 0.05,
        test_fraction: float = 0.05,
    ) -> None:
        super().__init__(batch_size, val_fraction, test_fraction)
        if chunk < 1 or vocab_size < 3 or min_frequency < 1:
            raise ZooError(
                "chunk and min_frequency must be at least 1, vocab_size at least 3, "
                f"got {chunk}, {min_frequency} and {vocab_size}"
            )
        if not (val_fraction > 0 and test_fraction > 0 and val_fraction + test_fraction < 1):
            raise ZooError(f"val_fraction and test_fraction must leave some of 1 each, got {val_fraction} and {test_fraction}")
        self.source, self.vocab_size, self.chunk, self.min_frequency = source, vocab_size, chunk, min_frequency
        self.input_shape = (chunk,)
        self.characters: list[str] = []

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        text = unicodedata.normalize("NFC", self._read())
        assert self.test_fraction is not None
        test_at = len(text) - round(len(text) * self.test_fraction)
        val_at = test_at - round(len(text) * self.val_fraction)
        # The last character of each part has no next character to predict.
        rows = {"train": torch.arange(val_at - 1), "val": torch.arange(val_at, test_at - 1)}
        rows["test"] = torch.arange(test_at, len(text) - 1)
        needed = {"train": self.batch_size * self.chunk, "val": 1, "test": 1}
        for part, least in needed.items():
            if len(rows[part]) < least:
                raise ZooError(
                    f"{self.source} is too short: its {len(text):,} characters leave {len(rows[part]) + 1:,} for {part}, "
                    f"expected at least {least + 1:,}; lower batch_size or chunk, or use a longer text"
                )
        self.characters = self._known(text[:val_at])
        tokens = self.encode(text)
        arrays = Arrays(tokens[:-1], tokens[1:])
        self.splits = {part: Split(arrays, places) for part, places in rows.items()}
        unknown = (tokens[val_at:] == 1).float().mean().item()
        self.notes.append(f"{len(self.characters)} characters are known; {unknown:.2%} of the held-out characters are not")

    def order(self, split: str) -> BatchOrder:
        """Return the order of a split's chunks; every rank has the same number of them."""
        size = self.batch_size * self.chunk
        num_characters = len(self.splits[split].rows)
        return BatchOrder(num_characters // size if split == "train" else -(-num_characters // size), 1)

    def loader(self, split: str) -> StreamLoader:
        """Return the batches of "train", "val" or "test"."""
        ranks, order = super().order(split), self.order(split)
        (x, y, _), rows = self.splits[split]
        if split == "train":
            streams = rows[: len(order) * self.batch_size * self.chunk].view(self.batch_size, -1)
            return StreamLoader(x, y, streams.tensor_split(ranks.world_size)[ranks.rank], order)
        return StreamLoader(x, y, rows.tensor_split(ranks.world_size)[ranks.rank][None], order)

    def transform(self, batch: StreamBatch, epoch: int, train: bool) -> StreamBatch:
        return batch

    def identify(self, samples: Split, most: int | None = None) -> list[int]:
        """Return a number for one in 50 windows of the text. The characters alone decide which, not their place in the file."""
        windows = samples.arrays.x.unfold(0, _WINDOW, 1)
        rows = samples.rows[samples.rows < len(windows)]
        sums = sum((step + 1) * samples.arrays.x[rows + step] for step in range(_WINDOW // 4))
        return identities_of_rows(windows[thin(rows[sums % _EVERY == 0], most)])

    def encode(self, text: str) -> Tensor:
        """Return the tokens (N,) int32 of a text in Unicode normal form C. Call `setup` first."""
        codes, known = _codes(text), _codes("".join(self.characters))
        tokens = np.ones(max(codes.max(initial=0), known.max(initial=0)) + 1, np.int32)
        tokens[known] = np.arange(2, 2 + len(known))
        return torch.from_numpy(tokens[codes])

    def decode(self, tokens: Tensor) -> str:
        """Return the text that tokens (N,) stand for."""
        names = [PADDING, UNKNOWN, *self.characters]
        return "".join(names[token] if token < len(names) else UNKNOWN for token in tokens.tolist())

    @property
    def tokenizer_json(self) -> str | None:
        """The vocabulary in the format of the `tokenizers` library; None before `setup`."""
        if not self.characters:
            return None
        names = [PADDING, UNKNOWN, *self.characters]
        tokenizer = Tokenizer(models.WordLevel({name: token for token, name in enumerate(names)}, UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return tokenizer.to_str()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the data, including the characters."""
        return {**super().state_dict(), "characters": "".join(self.characters)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare with the data of a checkpoint. Lightning calls this after `setup` when it loads one.

        Raises:
            ZooError: if the checkpoint has other characters, because its tokens would stand for other characters here. Also if
                training would continue in another order.
        """
        was, now = state_dict["characters"], "".join(self.characters)
        if was != now:
            only_was, only_now = (_shown(sorted(set(a) - set(b))) for a, b in ((was, now), (now, was)))
            raise ZooError(
                f"the checkpoint has {len(was)} characters (not here: {only_was}), {self.source} has {len(now)} "
                f"(not there: {only_now}): use the text it was trained on, or train anew"
            )
        super().load_state_dict(state_dict)

    def _order(self) -> dict[str, int]:
        return {**super()._order(), "chunk": self.chunk}

    def _read(self) -> str:
        if self.source == _PYTHON_MANUAL:
            return corpus()
        path = Path(self.source).expanduser()
        if not path.is_file():
            raise MissingFileError(f"no text file {path}: expected {_PYTHON_MANUAL}, or the path of a UTF-8 file")
        text = utf8(path)
        if not text.strip():
            raise ZooError(f"{path} is empty: expected a text")
        return text.replace("\r\n", "\n")

    def _known(self, text: str) -> list[str]:
        codes, counts = np.unique(_codes(text), return_counts=True)
        known = [chr(code) for code in codes[counts >= self.min_frequency]]
        if len(known) + 2 > self.vocab_size:
            raise ZooError(
                f"{self.source} has {len(known)} characters, and two more tokens are needed, but vocab_size is "
                f"{self.vocab_size}: set data.vocab_size {len(known) + 2}, or a higher min_frequency"
            )
        return known


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


def _shown(characters: Sequence[str], most: int = 8) -> str:
    return " ".join(map(ascii, characters[:most])) + (" ..." if len(characters) > most else "") if characters else "none"
