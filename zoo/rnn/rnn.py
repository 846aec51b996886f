"""Recurrent networks for sequences: RNN (Elman, 1990), LSTM (Hochreiter & Schmidhuber, 1997), GRU (Cho et al., 2014).

Shapes: B batch, T steps, C values per step, E embedding size, H hidden size, D directions, K outputs.
"""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.cells import Kind, valid_steps
from zoo.nn.losses import ClassLoss, TargetLoss
from zoo.nn.pooling import AttentionPooling, Pooling, check_pooling, masked_max, masked_mean
from zoo.nn.recurrent import FORGET_BIAS, Recurrent
from zoo.pretrained.vectors import EmbedsTokens
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.tasks.classification.hardest_texts import HardestTexts
from zoo.tasks.regression.base import Regressor
from zoo.tasks.sequences.hidden_states import HiddenStates
from zoo.tasks.sequences.length_buckets import LengthBuckets
from zoo.training.optim import Optim
from zoo.training.system import require

PADDING, UNKNOWN = 0, 1  # tokens for padding and for words outside the vocabulary
# defaults of the network and of its two systems
KIND: Kind = "lstm"
EMBED_DIM = 100
HIDDEN_DIM = 128
POOLING: Pooling = "last"


class RNNNet(nn.Module):
    """Embedding (for tokens), recurrent layers, pooling, one linear layer: tokens (B, T) or values (B, T, C) to (B, K).

    Padding does not change the output: recurrent layers and pooling ignore padded steps, and the embedding of the padding token
    stays 0.

    Args:
        input_shape: (T,) for tokens, (T, C) for values. The network works for any T.
        num_outputs: K.
        vocab_size: number of tokens. None: the inputs are values.
        kind: type of cell.
        embed_dim: E.
        hidden_dim: H, for each direction.
        num_layers: number of stacked recurrent layers.
        bidirectional: also read each sequence from its end to its start.
        pooling: how states become one vector. "last": the final state of each direction. "mean", "max", "attention": over the
            states of all valid steps. "concat": last, mean and max side by side (Howard & Ruder, 2018, arXiv:1801.06146).
        dropout: probability between recurrent layers.
        word_dropout: probability of replacing a token by the unknown token in training (Iyyer et al., 2015, Deep averaging
            networks).
        embed_dropout: probability on the embeddings, or on the input values.
        head_dropout: probability before the last layer.
        forget_bias: initial bias of an LSTM's forget gate; see `Recurrent`.
        truncate: let gradients flow back through at most this many steps.

    Raises:
        ZooError: if arguments are out of range or contradict each other.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocab_size: int | None = None,
        kind: Kind = KIND,
        *,
        embed_dim: int = EMBED_DIM,
        hidden_dim: int = HIDDEN_DIM,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: Pooling = POOLING,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        forget_bias: float = FORGET_BIAS,
        truncate: int | None = None,
    ) -> None:
        super().__init__()
        if len(input_shape) not in (1, 2) or (len(input_shape) == 1) != (vocab_size is not None):
            raise ZooError(
                f"expected input_shape (T,) with a vocab_size, or (T, C) without, got {tuple(input_shape)} and {vocab_size}"
            )
        check_pooling(pooling)
        if not 0 <= word_dropout < 1:
            raise ZooError(f"word_dropout must lie in [0, 1), got {word_dropout}")
        if word_dropout and vocab_size is None:
            raise ZooError(f"word_dropout needs tokens, but the inputs are values: set it to 0, got {word_dropout}")
        self.pooling, self.word_dropout = pooling, word_dropout
        self.embedding: nn.Embedding | None = None
        input_dim = input_shape[-1]
        if vocab_size is not None:
            self.embedding, input_dim = nn.Embedding(vocab_size, embed_dim, padding_idx=PADDING), embed_dim
            # torch's N(0, 1) is so large that training hardly changes it
            nn.init.uniform_(self.embedding.weight.detach()[PADDING + 1 :], -0.1, 0.1)
        self.embed_dropout = nn.Dropout(embed_dropout)
        self.recurrent = Recurrent(
            kind,
            input_dim,
            hidden_dim,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            forget_bias=forget_bias,
            truncate=truncate,
        )
        state_dim = self.recurrent.output_dim
        self.attention = AttentionPooling(state_dim) if pooling == "attention" else None
        self.head_dropout = nn.Dropout(head_dropout)
        self.head = nn.Linear(3 * state_dim if pooling == "concat" else state_dim, num_outputs)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the outputs (B, K). `lengths` (B,) is the number of valid steps of each sequence; None means all T."""
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1])
        states, final = self.states(x, lengths)
        match self.pooling:
            case "last":
                pooled = final
            case "mean":
                pooled = masked_mean(states, lengths)
            case "max":
                pooled = masked_max(states, lengths)
            case "concat":
                pooled = torch.cat([final, masked_mean(states, lengths), masked_max(states, lengths)], dim=1)
            case _:
                assert self.attention is not None
                pooled = self.attention(states, lengths)
        return self.head(self.head_dropout(pooled))

    def states(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last layer's hidden states (B, T, D H), 0 at padded steps, and the final ones (B, D H)."""
        if self.training and self.word_dropout:
            dropped = torch.rand(x.shape, device=x.device) < self.word_dropout
            x = torch.where(dropped & (x != PADDING), UNKNOWN, x)
        embedded = x if self.embedding is None else self.embedding(x)
        return self.recurrent(self.embed_dropout(embedded), lengths)


class RNNClassifier(Classifier, EmbedsTokens):
    """Recurrent classifier for texts or series of numbers."""

    net: RNNNet

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        vocab_size: int | None = None,  # linked from the datamodule; None for series
        kind: Kind = KIND,
        embed_dim: int = EMBED_DIM,
        hidden_dim: int = HIDDEN_DIM,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: Pooling = POOLING,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        forget_bias: float = FORGET_BIAS,
        truncate: int | None = None,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights, loss)
        self.save_hyperparameters(logger=False)
        self.net = RNNNet(
            input_shape,
            num_classes,
            vocab_size,
            kind,
            embed_dim=embed_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            bidirectional=bidirectional,
            pooling=pooling,
            dropout=dropout,
            word_dropout=word_dropout,
            embed_dropout=embed_dropout,
            head_dropout=head_dropout,
            forget_bias=forget_bias,
            truncate=truncate,
        )

    @property
    def embedding(self) -> nn.Embedding | None:
        """The embedding of tokens; None for series."""
        return self.net.embedding

    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        return batch.x, batch.lengths

    def check_batch(self, batch: Any) -> None:
        super().check_batch(batch)
        check_sequences(batch, self.hparams["vocab_size"])

    def reports(self, folder: Path) -> list[Callback]:
        of_texts = [HardestTexts(folder / "predictions")] if self.embedding is not None else []
        pictures = folder / "pictures"
        return [*super().reports(folder), *of_texts, HiddenStates(pictures), LengthBuckets(pictures)]

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return example_sequences(batch_size, self.hparams["input_shape"], self.hparams["vocab_size"])


class RNNRegressor(Regressor):
    """Recurrent regressor for series of numbers. It predicts in the original units."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_targets: int | None = None,  # linked from the datamodule
        kind: Kind = KIND,
        hidden_dim: int = HIDDEN_DIM,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: Pooling = POOLING,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        forget_bias: float = FORGET_BIAS,
        truncate: int | None = None,
        loss: TargetLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_targets = require("input_shape", input_shape), require("num_targets", num_targets)
        super().__init__(num_targets, lr, optim, loss)
        self.save_hyperparameters(logger=False)
        self.net = RNNNet(
            input_shape,
            num_targets,
            kind=kind,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            bidirectional=bidirectional,
            pooling=pooling,
            dropout=dropout,
            embed_dropout=embed_dropout,
            head_dropout=head_dropout,
            forget_bias=forget_bias,
            truncate=truncate,
        )

    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        return batch.x, batch.lengths

    def check_batch(self, batch: Any) -> None:
        super().check_batch(batch)
        check_sequences(batch, vocab_size=None)

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), HiddenStates(folder / "pictures")]

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return example_sequences(batch_size, self.hparams["input_shape"], vocab_size=None)


def check_sequences(batch: Any, vocab_size: int | None) -> None:
    """Check that no sequence is empty and that all tokens are in the vocabulary.

    Raises:
        ZooError: if one is not.
    """
    low, high = batch.lengths.aminmax()
    if low < 1 or high > batch.x.shape[1]:
        raise ZooError(f"lengths must lie in 1..{batch.x.shape[1]}, found {int(low)}..{int(high)}: remove empty sequences")
    if vocab_size is not None and (highest := int(batch.x.max())) >= vocab_size:
        raise ZooError(f"found token {highest}, but vocab_size is {vocab_size}: use the model's own tokenizer")


def example_sequences(batch_size: int, input_shape: tuple[int, ...], vocab_size: int | None) -> tuple[Tensor, Tensor]:
    """Make up sequences of different lengths, the first as long as allowed. Return them and the lengths (B,)."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, input_shape[0] + 1, (batch_size,), generator=generator)
    lengths[0] = input_shape[0]
    if vocab_size is None:
        x = torch.randn(batch_size, *input_shape, generator=generator)
        return x * valid_steps(x, lengths)[:, :, None], lengths
    x = torch.randint(1, vocab_size, (batch_size, *input_shape), generator=generator)
    return x * valid_steps(x, lengths), lengths
