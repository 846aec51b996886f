"""Texts without classes, for predictions of a trained model."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from datamodules.core.files import decode, reading
from datamodules.text.base import TextData, Texts
from zoo.errors import MissingFileError, ZooError


class TextLines(TextData):
    """The lines of a file or of standard input, tokenised as the training texts of a model. `setup` reads them.

    Args:
        source: a UTF-8 file, or - for standard input.
        class_names: names of the model's classes.
        tokenizer_json: the model's tokenizer, as a checkpoint stores it.
        vocab_size: number of tokens that the model knows.
        max_length: tokens after which the model's texts were cut.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: in `setup`, if there is no line, if a line is empty, or if the content is not UTF-8.
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
        super().__init__(batch_size, {"vocab_size": vocab_size}, max_length)
        # `Path.is_file` is false for a pipe, which can be read.
        if source != "-" and (Path(source).is_dir() or not Path(source).exists()):
            raise MissingFileError(f"no file {source}: give a file with a text per line, or - for standard input")
        self.path = None if source == "-" else Path(source)
        self.source = "standard input" if source == "-" else source
        self.class_names, self.num_classes = tuple(class_names), len(class_names)
        self.tokenizer = Tokenizer.from_str(tokenizer_json)

    def read(self) -> Texts:
        with reading(self.source, "text"):
            content = sys.stdin.buffer.read() if self.path is None else self.path.read_bytes()
        # `splitlines` would also split at other Unicode line ends, which a text may contain.
        lines = [line.removesuffix("\n") for line in io.StringIO(decode(content, self.source), newline=None)]
        if not lines:
            raise ZooError(f"{self.source} is empty: give one text per line")
        return Texts(lines, torch.zeros(len(lines)).long(), {"test": torch.arange(len(lines))}, self.source)

    def name_of(self, position: int) -> str:
        return f"line {position + 1} of {self.source}"
