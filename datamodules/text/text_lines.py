"""Texts without classes, for a trained model to read."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from datamodules.core.sources import decode
from datamodules.text.base import TextData, Texts
from zoo.errors import MissingFileError, ZooError


class TextLines(TextData):
    """The lines of a file, or of standard input, tokenised as a model's own texts were.

    Args:
        source: the file, in UTF-8; - for standard input.
        class_names: what the model calls the classes it may see.
        tokenizer_json: the model's tokenizer, as a checkpoint keeps it.
        vocab_size: how many tokens the model knows.
        max_length: tokens after which its texts were cut.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if it holds no line, or an empty one, or is no UTF-8.
    """

    def __init__(
        self,
        source: str = "-",
        class_names: Sequence[str] = (),
        tokenizer_json: str = "",
        vocab_size: int = 10_000,
        max_length: int = 64,
        batch_size: int = 64,
    ) -> None:
        super().__init__(batch_size, vocab_size=vocab_size, max_length=max_length)
        if source != "-" and (Path(source).is_dir() or not Path(source).exists()):  # a pipe is no file, but can be read
            raise MissingFileError(f"no file {source}: give a file with a text per line, or - for standard input")
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        self.source = "standard input" if source == "-" else source
        text = io.StringIO(decode(content, self.source), newline=None)  # `splitlines` also splits at signs within a text
        self.lines = [line.removesuffix("\n") for line in text]
        if not self.lines:
            raise ZooError(f"{self.source} is empty: give one text per line")
        self.class_names, self.num_classes = tuple(class_names), len(class_names)
        self.tokenizer = Tokenizer.from_str(tokenizer_json)

    def read(self) -> Texts:
        return Texts(self.lines, torch.zeros(len(self.lines)).long(), {"test": torch.arange(len(self.lines))}, self.source)

    def name_of(self, position: int) -> str:
        return f"line {position + 1} of {self.source}"
