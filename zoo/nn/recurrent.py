"""Recurrent layers on torch's fused kernels: the same numbers as `zoo.nn.cells`, several times as fast.

`Recurrent` computes its outputs in one of three ways, and all of them return the same:

- whole: if no step is padding, one call of torch's module;
- masked: if some steps are padding, one kernel call per layer and direction, after which padded steps are set to 0;
- equations: if gradients are truncated or a graph is exported, `zoo.nn.cells.scan`, because torch's kernels can do neither.

Speed of "masked" relative to the others, by the share of valid steps (benchmarks/sequences.py: bidirectional LSTM, 64 sequences
of 48 steps, 100 to 128 values, forward and backward, one thread of an Intel Xeon, torch 2.14.1):

| valid steps | 1.0 | 0.9 | 0.52 | 0.21 | 0.11 |
|---|---|---|---|---|---|
| whole | 0.89 | | | | |
| packed sequences | 1.03 | 3.3 | 2.5 | 1.3 | 0.90 |
| equations | 4.0 | 4.0 | 3.4 | 4.2 | 3.7 |

Packed sequences are faster only if about one step in seven or fewer is valid, so they are not used: batches that are sorted by
length, as `datamodules` serves them, have 0.94 to 0.98 valid steps on average in the zoo's text recipes, and never below 0.57.

Shapes: B batch, T steps, I input size, H hidden size, L layers, D directions (2 if bidirectional, else 1).
"""

from collections.abc import Callable
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError, check_choice
from zoo.nn.cells import CELLS, Cell, Kind, State, reversal, scan, take, valid_steps

FORGET_BIAS = 1.0  # of an LSTM, by default
_MODULES: dict[Kind, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
_KERNELS: dict[Kind, Callable[..., Any]] = {"rnn": torch.rnn_tanh, "lstm": torch.lstm, "gru": torch.gru}
_KINDS: dict[str, Kind] = {"RNN_TANH": "rnn", "LSTM": "lstm", "GRU": "gru"}  # by torch's name of a module's mode


class Recurrent(nn.Module):
    """Stacked recurrent layers over sequences: x (B, T, I) to outputs (B, T, D H) and the final hidden state (B, D H).

    The final hidden state belongs to the last layer. It is the forward direction's output at the last valid step and the
    backward direction's output at the first step. Padding changes neither: outputs are 0 there.

    Input weights start Xavier-uniform, recurrent weights orthogonal (Saxe et al., 2014, arXiv:1312.6120) and biases at 0. An
    LSTM's forget gate starts open, with a bias of 1 (Gers et al., 2000; Jozefowicz et al., 2015).

    Args:
        kind: type of cell.
        input_dim: I.
        hidden_dim: H.
        num_layers: L. Each layer reads the outputs of the one before.
        bidirectional: also read each sequence from its end to its start.
        dropout: probability between layers. It requires at least two layers.
        forget_bias: initial bias of an LSTM's forget gate. The input gate starts at 1 - forget_bias. The cell remembers about
            exp(forget_bias) steps, so long sequences benefit from values up to log(T) (Tallec & Ollivier, 2018,
            arXiv:1804.11188). RNN and GRU ignore it.
        truncate: let gradients flow back through at most this many steps. This computes the equations step by step, which is
            slower.

    Raises:
        ZooError: if an argument is out of range.
    """

    def __init__(
        self,
        kind: Kind,
        input_dim: int,
        hidden_dim: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        forget_bias: float = FORGET_BIAS,
        truncate: int | None = None,
    ) -> None:
        super().__init__()
        check_choice("cell", kind, get_args(Kind))
        if hidden_dim < 1 or num_layers < 1:
            raise ZooError(f"hidden_dim and num_layers must be at least 1, got {hidden_dim} and {num_layers}")
        if not 0 <= dropout < 1:
            raise ZooError(f"dropout must lie in [0, 1), got {dropout}")
        if dropout and num_layers == 1:
            raise ZooError(f"dropout acts between layers: set num_layers to 2 or more, or dropout to 0, got dropout {dropout}")
        if truncate is not None and truncate < 1:
            raise ZooError(f"truncate must be at least 1 step, got {truncate}")
        self.kind, self.truncate, self.output_dim = kind, truncate, hidden_dim * (2 if bidirectional else 1)
        self.layers = _MODULES[kind](
            input_dim, hidden_dim, num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        for name, parameter in self.layers.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
                if kind == "lstm" and name.startswith("bias_ih"):
                    nn.init.constant_(parameter.detach()[:hidden_dim], 1 - forget_bias)
                    nn.init.constant_(parameter.detach()[hidden_dim : 2 * hidden_dim], forget_bias)
            else:
                start = nn.init.xavier_uniform_ if name.startswith("weight_ih") else nn.init.orthogonal_
                for gate in torch.split(parameter.detach(), hidden_dim):
                    start(gate)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read whole sequences from a state of zeros.

        `lengths` (B,) is the number of valid steps of each sequence; None means all T. Lengths on the CPU are inspected, to
        skip the mask where no step is padding. Lengths on another device are not, because that would wait for the device.
        """
        if lengths is None or self._all_valid(x, lengths):
            outputs, _ = self.run(x)
            last = outputs[:, -1]
        else:
            outputs = self._equations(x, lengths)[0] if self._needs_equations() else self._masked(x, lengths)
            last = take(outputs, lengths.to(x.device)[:, None] - 1)[:, 0]
        if not self.layers.bidirectional:
            return outputs, last
        return outputs, torch.cat([last[:, : self.layers.hidden_size], outputs[:, 0, self.layers.hidden_size :]], dim=1)

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Continue from a state, with no padding: x (B, T, I) to outputs (B, T, D H) and the state after the last step.

        A state is (h,), or (h, c) for an LSTM, each (L D, B, H). None is zeros. Gradients flow into it: `detach` stops them.
        """
        if self._needs_equations():
            return self._equations(x, None, state)
        outputs, final = self.layers(x, state if state is None or self.kind == "lstm" else state[0])
        return outputs, final if isinstance(final, tuple) else (final,)

    def _all_valid(self, x: Tensor, lengths: Tensor) -> bool:
        """Return whether no step is padding, if that can be told without waiting for a device or fixing an exported graph."""
        return not torch.compiler.is_exporting() and lengths.device.type == "cpu" and int(lengths.min()) == x.shape[1]

    def _needs_equations(self) -> bool:
        # torch's modules cannot be exported without a warning
        return self.truncate is not None or torch.compiler.is_exporting()

    def _masked(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Compute every step with torch's kernels and zero the padded ones; the backward direction starts at each own end."""
        valid, order = valid_steps(x, lengths)[:, :, None], reversal(x, lengths)
        zeros = x.new_zeros(1, x.shape[0], self.layers.hidden_size)
        state = (zeros, zeros) if self.kind == "lstm" else zeros
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        settings = (True, 1, 0.0, self.training, False, True)
        weights = iter(self.layers.all_weights)
        for layer in range(self.layers.num_layers):
            x = self._between(x, layer)
            outputs = [_KERNELS[self.kind](x, state, next(weights), *settings)[0]]
            if self.layers.bidirectional:
                backward = _KERNELS[self.kind](take(x, order), state, next(weights), *settings)[0]
                outputs.append(take(backward, order))
            x = torch.cat([output * valid for output in outputs], dim=2)
        return x

    def _equations(self, x: Tensor, lengths: Tensor | None, state: State | None = None) -> tuple[Tensor, State]:
        """Compute the same step by step, from the cells' equations."""
        initial = iter([None] * len(self.layers.all_weights) if state is None else zip(*state, strict=True))
        finals: list[State] = []
        for layer, cells in enumerate(cells_of(self.layers)):
            x = self._between(x, layer)
            read = [
                scan(cell, x, lengths, next(initial), reverse=direction == 1, truncate=self.truncate)
                for direction, cell in enumerate(cells)
            ]
            x = torch.cat([outputs for outputs, _ in read], dim=2)
            finals += [final for _, final in read]
        return x, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _between(self, x: Tensor, layer: int) -> Tensor:
        """Apply dropout to the inputs of every layer but the first."""
        return F.dropout(x, self.layers.dropout, self.training) if layer and self.layers.dropout else x


def cells_of(layers: nn.RNNBase) -> list[list[Cell]]:
    """Return the cells of torch's recurrent module by layer and direction. They share its parameters."""
    cell_class, found = CELLS[_KINDS[layers.mode]], []
    for layer in range(layers.num_layers):
        directions = []
        for suffix in ("", "_reverse") if layers.bidirectional else ("",):
            weight = getattr(layers, f"weight_ih_l{layer}{suffix}")
            with torch.device("meta"):
                cell = cell_class(weight.shape[1], layers.hidden_size)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                delattr(cell, name)  # in an exported graph the module's parameters are plain tensors
                setattr(cell, name, getattr(layers, f"{name}_l{layer}{suffix}"))
            directions.append(cell.train(layers.training))
        found.append(directions)
    return found
