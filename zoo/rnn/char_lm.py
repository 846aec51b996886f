"""A language model over characters, trained by truncated backpropagation through time.

Graves, 2013, Generating sequences with recurrent neural networks (arXiv:1308.0850); Karpathy, 2015, The unreasonable
effectiveness of recurrent neural networks; Williams & Peng, 1990, for the truncation.

Shapes: B streams, T characters of a chunk, V vocabulary, E embedding, H hidden, L layers, S states of a cell (LSTM: 2).
"""

import math
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.metrics.language import BitsPerToken, Perplexity
from zoo.nn.recurrent import Kind, Recurrent
from zoo.rnn.rnn import PADDING, UNKNOWN
from zoo.training.optim import Optim
from zoo.training.reporting import gathered
from zoo.training.system import Outputs, System, require


class Chunk(Protocol):
    """What the step reads of a batch: a chunk of each of B streams; a NamedTuple with these fields will do."""

    @property
    def x(self) -> Tensor: ...  # (B, T) int64
    @property
    def y(self) -> Tensor: ...  # (B, T) int64, x one character later
    @property
    def start(self) -> Tensor: ...  # (B,) bool, where a stream begins
    @property
    def state(self) -> Tensor | None: ...  # (B, S, L, H) after the chunk before; None: zeros


class CharLMNet(nn.Module):
    """Embedding, recurrent layers, one linear layer: tokens (B, T) to logits (B, T, V) of the token after each.

    Args:
        vocab_size: V.
        kind: of cell.
        embed_dim: E.
        hidden_dim: H.
        num_layers: L.
        dropout: between layers.
        embed_dropout: on the embedding.
        head_dropout: before the last layer.

    Raises:
        ZooError: for arguments that do not fit together.
    """

    def __init__(
        self,
        vocab_size: int,
        kind: Kind = "lstm",
        *,
        embed_dim: int = 64,
        hidden_dim: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if vocab_size <= UNKNOWN + 1:
            raise ZooError(f"vocab_size counts padding and unknown: it must be at least {UNKNOWN + 2}, got {vocab_size}")
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=PADDING)
        self.embed_dropout = nn.Dropout(embed_dropout)
        self.recurrent = Recurrent(kind, embed_dim, hidden_dim, num_layers=num_layers, dropout=dropout)
        self.head_dropout = nn.Dropout(head_dropout)
        self.head = nn.Linear(hidden_dim, vocab_size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits, and the state (B, S, L, H) after the last token; None starts from zeros."""
        embedded = self.embed_dropout(self.embedding(x))
        parts = None if state is None else tuple(part.contiguous() for part in state.to(embedded.dtype).permute(1, 2, 0, 3))
        outputs, final = self.recurrent.run(embedded, parts)
        return self.head(self.head_dropout(outputs)), torch.stack(final).permute(2, 0, 1, 3)


class CharLM(System):
    """Guesses the next character; the state travels from each chunk of a text to the next, gradients do not.

    Values are those of the whole text read at once, the gradient of each loss reaches back to its chunk's start. `step` is
    pure: `training_step` hands it the state it left, checkpoints hold that state, and a batch's `start` says where a stream
    begins from zeros. Evaluation carries a state of its own.
    """

    headline = "test/bits_per_char"

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule: (T,), for an exported graph
        vocab_size: int | None = None,  # linked from the datamodule
        kind: Kind = "lstm",
        embed_dim: int = 64,
        hidden_dim: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        head_dropout: float = 0.0,
        lr: float = 2e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, vocab_size = require("input_shape", input_shape), require("vocab_size", vocab_size)
        if len(input_shape) != 1 or input_shape[0] < 1:
            raise ZooError(f"input_shape is (T,), the characters of a chunk, got {tuple(input_shape)}")
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
        """Tokens (B, T) to logits (B, T, V) of the token after each, from a state of zeros."""
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
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log_training(loss, outputs)
        return loss

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        """Bits per character of each chunk (B,): where the text surprises."""
        _, outputs = self._carry_on("evaluation", batch, torch.ones((), device=self.device))
        losses = F.cross_entropy(outputs["logits"].movedim(2, 1), batch.y, reduction="none")
        return {"preds": losses.mean(1) / math.log(2), "position": batch.position}

    def check_batch(self, batch: Any) -> None:
        vocab_size = self.hparams["vocab_size"]
        if (highest := int(torch.maximum(batch.x.max(), batch.y.max()))) >= vocab_size:
            raise ZooError(f"found token {highest}, but vocab_size is {vocab_size}: the text is of another vocabulary")

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
        """Go on from prompts (B, P), P at least 1, by `num` tokens each: (B, num). Arguments are those of `sample`.

        Raises:
            ZooError: for an empty prompt, or what `sample` refuses.
        """
        if prompt.ndim != 2 or not prompt.numel():
            raise ZooError(f"a prompt is (B, P) tokens, at least one, got shape {tuple(prompt.shape)}")
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
        if "carried_state" in checkpoint and self._trainer is not None:  # of all processes; each takes its streams' part
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
        self.log(f"{stage}/loss", loss, batch_size=batch.y.numel(), on_epoch=True, sync_dist=True)
        metrics = self.metrics_of(stage)  # not the step's own values: the mean of exponentials is no perplexity
        metrics.update(outputs["logits"], batch.y)
        self.log_dict(metrics, on_epoch=True, batch_size=batch.y.numel())
        return outputs


def sample(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> Tensor:
    """Draw a token each from logits (B, V): (B,), on the CPU. Padding and the unknown token are no text, and never drawn.

    Args:
        logits: of the next token.
        temperature: divides the logits; 0 takes the most likely token.
        top_k: only among so many of the most likely.
        generator: of the CPU; what is drawn is a function of it.

    Raises:
        ZooError: for a negative temperature, or a top_k below 1.
    """
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ZooError(f"temperature must be 0 or more, top_k at least 1 or None, got {temperature} and {top_k}")
    logits = logits[:, UNKNOWN + 1 :].float().cpu()
    if temperature == 0:
        return logits.argmax(1) + UNKNOWN + 1
    likely, tokens = logits.topk(min(top_k or logits.shape[1], logits.shape[1]))
    chosen = torch.multinomial((likely / temperature).softmax(1), 1, generator=generator)
    return tokens.gather(1, chosen)[:, 0] + UNKNOWN + 1
