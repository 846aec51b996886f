"""Character language model, trained with truncated backpropagation through time.

Graves, 2013, Generating sequences with recurrent neural networks (arXiv:1308.0850); Karpathy, 2015, The unreasonable
effectiveness of recurrent neural networks. Truncation: Williams & Peng, 1990.

Shapes: B streams, T characters of a chunk, V vocabulary size, E embedding size, H hidden size, L layers, S state tensors of a
cell (2 for an LSTM, else 1).
"""

import math
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from lightning import Callback
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.metrics.language import BitsPerToken, Perplexity
from zoo.nn.cells import Kind
from zoo.nn.recurrent import Recurrent
from zoo.rnn.rnn import PADDING, UNKNOWN
from zoo.tasks.sequences.text_samples import TextSamples
from zoo.training.optim import Optim
from zoo.training.reporting import gathered, log_means
from zoo.training.system import Outputs, System, log_training, require

# defaults of the network and its system
KIND: Kind = "lstm"
EMBED_DIM = 64
HIDDEN_DIM = 256


class Chunk(Protocol):
    """Batch of the language model: one chunk of each of B streams. Any NamedTuple with these fields works."""

    @property
    def x(self) -> Tensor: ...  # (B, T) int64
    @property
    def y(self) -> Tensor: ...  # (B, T) int64, the character after each of x
    @property
    def start(self) -> Tensor: ...  # (B,) bool, whether a stream begins with this chunk
    @property
    def state(self) -> Tensor | None: ...  # (B, S, L, H), after the previous chunk. None: zeros


class CharLMNet(nn.Module):
    """Embedding, recurrent layers, one linear layer: tokens (B, T) to logits (B, T, V) of the token after each.

    Args:
        vocab_size: V, including the padding token and the unknown token.
        kind: type of cell.
        embed_dim: E.
        hidden_dim: H.
        num_layers: L.
        dropout: probability between recurrent layers.
        embed_dropout: probability on the embeddings.
        head_dropout: probability before the last layer.

    Raises:
        ZooError: if an argument is out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        kind: Kind = KIND,
        *,
        embed_dim: int = EMBED_DIM,
        hidden_dim: int = HIDDEN_DIM,
        num_layers: int = 1,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if vocab_size <= UNKNOWN + 1:
            raise ZooError(f"vocab_size includes padding and unknown: it must be at least {UNKNOWN + 2}, got {vocab_size}")
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=PADDING)
        self.embed_dropout = nn.Dropout(embed_dropout)
        self.recurrent = Recurrent(kind, embed_dim, hidden_dim, num_layers=num_layers, dropout=dropout)
        self.head_dropout = nn.Dropout(head_dropout)
        self.head = nn.Linear(hidden_dim, vocab_size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits and the state (B, S, L, H) after the last token. Without a state, start from zeros."""
        embedded = self.embed_dropout(self.embedding(x))
        parts = None if state is None else tuple(part.contiguous() for part in state.to(embedded.dtype).permute(1, 2, 0, 3))
        outputs, final = self.recurrent.run(embedded, parts)
        return self.head(self.head_dropout(outputs)), torch.stack(final).permute(2, 0, 1, 3)


class CharLM(System):
    """Language model that predicts the next character of a text, read in chunks.

    The state is carried from each chunk to the next, so values are the same as if the whole text were read at once. Gradients
    stop at the start of a chunk. `step` is pure: `training_step` passes it the state of the previous chunk, and a batch's
    `start` resets it to zeros. Checkpoints hold the state. Evaluation carries a separate one.
    """

    headline = "test/bits_per_char"

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule; (T,), used for exports
        vocab_size: int | None = None,  # linked from the datamodule
        kind: Kind = KIND,
        embed_dim: int = EMBED_DIM,
        hidden_dim: int = HIDDEN_DIM,
        num_layers: int = 1,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        lr: float = 2e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, vocab_size = require("input_shape", input_shape), require("vocab_size", vocab_size)
        if len(input_shape) != 1 or input_shape[0] < 1:
            raise ZooError(f"expected input_shape (T,), the characters of a chunk, got {tuple(input_shape)}")
        super().__init__(lr, optim, {"bits_per_char": BitsPerToken(), "perplexity": Perplexity()})
        self.save_hyperparameters(logger=False)
        self.net = CharLMNet(
            vocab_size,
            kind,
            embed_dim=embed_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            dropout=dropout,
            embed_dropout=embed_dropout,
            head_dropout=head_dropout,
        )
        self._carried: dict[Literal["train", "evaluation"], Tensor] = {}

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the logits (B, T, V) of the token after each of (B, T), from a state of zeros."""
        logits, _ = self.net(*inputs)
        return logits

    def step(self, batch: Chunk, progress: Tensor) -> tuple[Tensor, Outputs]:
        state = batch.state
        if state is not None:
            state = state.masked_fill(batch.start[:, None, None, None], 0.0)
        logits, state = self.net(batch.x, state)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.y.flatten())
        mean = loss.detach()
        return loss, {
            "logits": logits,
            "state": state.detach(),
            "bits_per_char": mean / math.log(2),
            "perplexity": mean.exp(),
        }

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, outputs = self._carry_on("train", batch, self.progress())
        # The mean of the perplexities of batches is not the perplexity of an epoch, which is exp(train/loss).
        means = {"bits_per_char": outputs["bits_per_char"]}
        log_training(self, loss, means, batch.y.numel(), step=self.global_step + 1)
        return loss

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        """Return the bits per character of each chunk (B,). High values mark surprising text."""
        _, outputs = self._carry_on("evaluation", batch, torch.ones((), device=self.device))
        losses = F.cross_entropy(outputs["logits"].movedim(2, 1), batch.y, reduction="none")
        return {"preds": losses.mean(1) / math.log(2), "position": batch.position}

    def check_batch(self, batch: Any) -> None:
        vocab_size = self.hparams["vocab_size"]
        if (highest := int(torch.maximum(batch.x.max(), batch.y.max()))) >= vocab_size:
            raise ZooError(f"found token {highest}, but vocab_size is {vocab_size}: use the model's own tokenizer")

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), TextSamples(folder / "predictions")]

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        shape = (batch_size, *self.hparams["input_shape"])
        return (torch.randint(UNKNOWN + 1, self.hparams["vocab_size"], shape, generator=torch.Generator().manual_seed(0)),)

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        num: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Continue prompts (B, P) by `num` tokens each: (B, num). The other arguments are those of `sample`.

        Raises:
            ZooError: if the prompt is empty or an argument of `sample` is out of range.
        """
        if prompt.ndim != 2 or not prompt.numel():
            raise ZooError(f"expected a prompt of shape (B, P) with at least one token, got {tuple(prompt.shape)}")
        training = self.net.training
        self.net.eval()
        logits, state = self.net(prompt.to(self.device))
        written = prompt.new_empty(len(prompt), num)
        for place in range(num):
            written[:, place] = sample(logits[:, -1], temperature, top_k, generator)
            logits, state = self.net(written[:, place : place + 1].to(self.device), state)
        self.net.train(training)
        return written

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if "train" in self._carried:
            checkpoint["carried_state"] = torch.cat(gathered(self.trainer, [self._carried["train"].cpu()]))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "carried_state" in checkpoint and self._trainer is not None:
            # the checkpoint holds the states of all processes: take the part of this one's streams
            parts = checkpoint["carried_state"].tensor_split(self.trainer.world_size)
            self._carried["train"] = parts[self.trainer.global_rank]

    def teardown(self, stage: str) -> None:
        self._carried.clear()

    def _carry_on(self, stage: Literal["train", "evaluation"], batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        state = self._carried.get(stage)
        loss, outputs = self.step(batch._replace(state=None if state is None else state.to(batch.x.device)), progress)
        self._carried[stage] = outputs["state"]
        return loss, outputs

    def evaluate(self, stage: str, batch: Any) -> Outputs:
        loss, outputs = self._carry_on("evaluation", batch, torch.ones((), device=self.device))
        log_means(self, {f"{stage}/loss": loss}, batch.y.numel())
        # the step's own values are not averaged: a mean of perplexities is not the perplexity of the whole text
        metrics = self.metrics_of(stage)
        metrics.update(outputs["logits"], batch.y)
        self.log_dict(metrics, on_epoch=True, batch_size=batch.y.numel())
        return outputs


def sample(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> Tensor:
    """Draw one token from each row of logits (B, V): (B,), on the CPU. Padding and the unknown token are never drawn.

    Args:
        logits: of the next token.
        temperature: divides the logits. 0 takes the most likely token.
        top_k: draw only among this many of the most likely tokens. None: among all.
        generator: CPU generator to draw with.

    Raises:
        ZooError: if temperature is negative or top_k is below 1.
    """
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ZooError(f"temperature must be 0 or more, top_k at least 1 or None, got {temperature} and {top_k}")
    logits = logits[:, UNKNOWN + 1 :].float().cpu()
    if temperature == 0:
        return logits.argmax(1) + UNKNOWN + 1
    likely, tokens = logits.topk(min(top_k or logits.shape[1], logits.shape[1]))
    chosen = torch.multinomial((likely / temperature).softmax(1), 1, generator=generator)
    return tokens.gather(1, chosen)[:, 0] + UNKNOWN + 1
