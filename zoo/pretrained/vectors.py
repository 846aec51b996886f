"""Word vectors that others trained, as an embedding to start from."""

from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from tokenizers import Tokenizer
from torch import Tensor, nn

from zoo.errors import MissingFileError, ZooError


class PretrainedVectors(Callback):
    """Fills the embedding's rows of words that a GloVe text file has (Pennington, Socher & Manning, 2014); the rest stays.

    A line of the file is a word and its values; the header of word2vec's text format is skipped. A run that goes on, or
    starts from a checkpoint, keeps its own.

    Args:
        path: the file.
        freeze: keep the whole embedding as it is.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if it is none of vectors, they are of another size than the embedding, or the data has no tokenizer.
    """

    def __init__(self, path: str, freeze: bool = False) -> None:
        if not Path(path).is_file():
            raise MissingFileError(f"no file of word vectors {path}: get one from https://nlp.stanford.edu/projects/glove")
        self.path, self.freeze = Path(path), freeze

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and self.freeze:  # later, DDP and the optimizer would count on its gradients
            self._embedding(trainer, pl_module)[0].weight.requires_grad_(False)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        embedding, tokenizer = self._embedding(trainer, pl_module)
        if trainer.ckpt_path is not None:
            return
        vocabulary = tokenizer.get_vocab()
        words = {word for word, token in vocabulary.items() if token != embedding.padding_idx}
        found = read_vectors(self.path, words, embedding.embedding_dim)
        with torch.no_grad():
            for word, vector in found.items():
                embedding.weight[vocabulary[word]] = vector.to(embedding.weight)
        rank_zero_only(print)(f"{self.path.name} has {len(found):,} of the {len(vocabulary):,} tokens", flush=True)

    def _embedding(self, trainer: Trainer, pl_module: LightningModule) -> tuple[nn.Embedding, Tokenizer]:
        embedding = getattr(pl_module.net, "embedding", None)
        tokenizer: Tokenizer | None = getattr(trainer.datamodule, "tokenizer", None)  # type: ignore[attr-defined]  # set late
        if embedding is None or tokenizer is None:
            raise ZooError(f"word vectors are for tokens: {type(pl_module).__name__} or its data has none")
        return embedding, tokenizer


def read_vectors(path: Path, words: set[str], dim: int) -> dict[str, Tensor]:
    """The vectors (dim,) of these words.

    Raises:
        ZooError: naming the line that is at fault, or if there are none.
    """
    found = {}
    with path.open(encoding="utf-8", errors="replace") as file:  # GloVe's largest file holds a few broken words
        for number, line in enumerate(file, start=1):
            word, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1:
                continue  # word2vec's header: words, size
            if len(values) != dim:
                if number > 1 and (word not in words or (values and not _is_number(values[0]))):
                    continue  # a word with blanks in it: GloVe 840B has ". . ." and "at name@domain.com"
                raise ZooError(f"line {number} of {path} has {len(values)} values, but model.embed_dim is {dim}")
            if word in words:
                try:
                    found[word] = torch.tensor([float(value) for value in values])
                except ValueError as error:
                    raise ZooError(f"line {number} of {path} is no word vector: {error}") from error
    if not found:
        raise ZooError(f"{path} has a vector for none of the data's {len(words):,} tokens: take one of their language")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
