"""Recurrent networks over whole sequences: RNN (Elman, 1990), LSTM (Hochreiter & Schmidhuber, 1997), GRU (Cho et al., 2014).

Shapes: B batch, T steps, C values per step, E embedding, H hidden, K outputs.
"""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.pooling import AttentionPooling, Pooling, check_pooling, masked_max, masked_mean
from zoo.nn.recurrent import Kind, Recurrent, valid_steps
from zoo.pretrained.vectors import EmbedsTokens
from zoo.tasks.classification.base import Classifier
from zoo.tasks.classification.hardest_texts import HardestTexts
from zoo.tasks.regression.base import Regressor
from zoo.tasks.sequences.hidden_states import HiddenStates
from zoo.tasks.sequences.length_buckets import LengthBuckets
from zoo.training.optim import Optim
from zoo.training.system import require

PADDING, UNKNOWN = 0, 1  # the token that fills sequences up, and the one for what is not in the vocabulary


class RNNNet(nn.Module):
    """Embedding (for tokens), recurrent layers, pooling, one linear layer: tokens (B, T) or values (B, T, C) to (B, K).

    Answers do not change with padding: sequences are packed or masked, pooled over the steps that count, and the padding
    token's embedding is 0 and stays so.

    Args:
        input_shape: (T,) for tokens, (T, C) for values. Any T will do: the network does not depend on it.
        num_outputs: K.
        vocab_size: number of tokens, for tokens only.
        kind: of cell.
        embed_dim: E.
        hidden_dim: H, of each direction.
        num_layers: of cells.
        bidirectional: read both ways.
        pooling: "last" is the last state (of both directions); "mean", "max" and "attention" go over all states; "concat" is
            last, mean and max beside each other (Howard & Ruder, 2018, arXiv:1801.06146).
        dropout: between layers.
        word_dropout: share of tokens that training takes for unknown (Iyyer et al., 2015, Deep averaging networks).
        embed_dropout: on the embedding, or on the input values.
        head_dropout: before the last layer.
        forget_bias: where an LSTM's forget gate starts; see `Recurrent`.
        truncate: gradients flow back through at most so many steps.

    Raises:
        ZooError: for arguments that do not fit together.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocab_size: int | None = None,
        kind: Kind = "lstm",
        *,
        embed_dim: int = 100,
        hidden_dim: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: Pooling = "last",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        forget_bias: float = 1.0,
        truncate: int | None = None,
    ) -> None:
        super().__init__()
        if len(input_shape) not in (1, 2) or (len(input_shape) == 1) != (vocab_size is not None):
            raise ZooError(
                f"expected input_shape (T,) with a vocab_size, or (T, C) without, got {tuple(input_shape)} and {vocab_size}"
            )
        check_pooling(pooling)
        if not 0 <= word_dropout < 1 or (word_dropout and vocab_size is None):
            raise ZooError(f"word_dropout lies in [0, 1) and is for tokens only, got {word_dropout}")
        self.pooling, self.word_dropout = pooling, word_dropout
        self.embedding: nn.Embedding | None = None
        input_dim = input_shape[-1]
        if vocab_size is not None:
            self.embedding, input_dim = nn.Embedding(vocab_size, embed_dim, padding_idx=PADDING), embed_dim
            nn.init.uniform_(self.embedding.weight.detach()[PADDING + 1 :], -0.1, 0.1)  # N(0, 1) drowns what is learnt
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
        width = self.recurrent.output_dim
        self.attention = AttentionPooling(width) if pooling == "attention" else None
        self.head_dropout = nn.Dropout(head_dropout)
        self.head = nn.Linear(3 * width if pooling == "concat" else width, num_outputs)

    def states(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer's state at every step (B, T, D H), 0 past the end, and the final ones (B, D H)."""
        if self.training and self.word_dropout:
            dropped = torch.rand(x.shape, device=x.device) < self.word_dropout
            x = torch.where(dropped & (x != PADDING), UNKNOWN, x)
        embedded = x if self.embedding is None else self.embedding(x)
        return self.recurrent(self.embed_dropout(embedded), lengths)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """`lengths` (B,) says how many steps count; without it, all do."""
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


class RNNClassifier(Classifier, EmbedsTokens):
    """A recurrent network trained by cross-entropy: texts, or series of numbers."""

    net: RNNNet

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        vocab_size: int | None = None,  # linked from the datamodule; None for series
        kind: Kind = "lstm",
        embed_dim: int = 100,
        hidden_dim: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: Pooling = "last",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        forget_bias: float = 1.0,
        truncate: int | None = None,
        label_smoothing: float = 0.0,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim)
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
    """A recurrent network trained by squared error: from a series of numbers to numbers, in the targets' own units."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_targets: int | None = None,  # linked from the datamodule
        kind: Kind = "lstm",
        hidden_dim: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: Pooling = "last",
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        forget_bias: float = 1.0,
        truncate: int | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_targets = require("input_shape", input_shape), require("num_targets", num_targets)
        super().__init__(num_targets, lr, optim)
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
    """Refuse sequences without a step, and tokens outside the vocabulary.

    Raises:
        ZooError: naming what was found.
    """
    low, high = batch.lengths.aminmax()
    if low < 1 or high > batch.x.shape[1]:
        raise ZooError(f"lengths must lie in 1..{batch.x.shape[1]}, found {int(low)}..{int(high)}: leave empty sequences out")
    if vocab_size is not None and (highest := int(batch.x.max())) >= vocab_size:
        raise ZooError(f"found token {highest}, but vocab_size is {vocab_size}: the tokenizer is of another vocabulary")


def example_sequences(batch_size: int, input_shape: tuple[int, ...], vocab_size: int | None) -> tuple[Tensor, Tensor]:
    """Made-up sequences of several lengths, the first as long as can be, and the lengths (B,)."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, input_shape[0] + 1, (batch_size,), generator=generator)
    lengths[0] = input_shape[0]
    if vocab_size is None:
        x = torch.randn(batch_size, *input_shape, generator=generator)
        return x * valid_steps(x, lengths)[:, :, None], lengths
    x = torch.randint(1, vocab_size, (batch_size, *input_shape), generator=generator)
    return x * valid_steps(x, lengths), lengths
