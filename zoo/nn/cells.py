"""Recurrent cells, written as their equations, and the scan that runs a cell over a batch of sequences.

Read this file to learn how the cells work. `zoo.nn.recurrent` computes the same numbers faster and is what models use.
Parameters have torch's names and layouts, so weights copy between `LSTMCell` here and `nn.LSTMCell`.

Shapes: B batch, T steps, I input size, H hidden size, G gates of a cell.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import check_choice

Kind = Literal["rnn", "lstm", "gru"]
GRUVariant = Literal["torch", "paper"]
State = tuple[Tensor, ...]  # (h,) for an RNN or a GRU, (h, c) for an LSTM; each (B, H)


class Cell(nn.Module):
    """Base class of the cells: the parameters and the first half of every step.

    Parameters are W_ih (G H, I), W_hh (G H, H) and two biases (G H,), uniform in (-1/sqrt(H), 1/sqrt(H)) at first, as in torch.
    """

    num_gates = 1
    num_states = 1

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.input_dim, self.hidden_dim = input_dim, hidden_dim
        rows, bound = self.num_gates * hidden_dim, hidden_dim**-0.5
        self.weight_ih = nn.Parameter(torch.empty(rows, input_dim).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_dim).uniform_(-bound, bound))
        self.bias_ih = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))
        self.bias_hh = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """Run one step: x (B, I) and the previous state to the next state. Without a state, start from zeros."""
        return self.advance(self.project(x), state or self.initial_state(x))

    def initial_state(self, x: Tensor) -> State:
        """Return a state of zeros for a batch x (B, ...)."""
        return (x.new_zeros(x.shape[0], self.hidden_dim),) * self.num_states

    def project(self, x: Tensor) -> Tensor:
        """Compute W_ih x + b_ih for any number of steps at once: (..., I) to (..., G H)."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: State) -> State:
        """Compute the next state from the projected input (B, G H) and the previous state."""
        raise NotImplementedError(f"{type(self).__name__} has to define advance(projected, state) -> state")


class RNNCell(Cell):
    """Vanilla RNN (Elman, 1990, Finding structure in time): h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""

    def advance(self, projected: Tensor, state: State) -> State:
        (h,) = state
        return (torch.tanh(projected + F.linear(h, self.weight_hh, self.bias_hh)),)


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997) with a forget gate (Gers et al., 2000).

    With a = W_ih x + b_ih + W_hh h + b_hh, split into four parts in the order i, f, g, o:
    i, f, o = sigmoid(a_i, a_f, a_o); g = tanh(a_g); c' = f c + i g; h' = o tanh(c').
    """

    num_gates = 4
    num_states = 2

    def gates(self, projected: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute i, f and o in (0, 1) and the candidate g in (-1, 1), each (B, H)."""
        i, f, g, o = (projected + F.linear(state[0], self.weight_hh, self.bias_hh)).chunk(4, dim=1)
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)

    def advance(self, projected: Tensor, state: State) -> State:
        i, f, g, o = self.gates(projected, state)
        c = f * state[1] + i * g
        return o * torch.tanh(c), c


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al., 2014, arXiv:1406.1078). The rows of the weights are in the order r, z, n.

    r, z = sigmoid(...); h' = (1 - z) n + z h. Here z = 1 keeps the old state, as in the paper and in torch. Many texts swap
    the roles of z and 1 - z. That is the same function with the weights of z negated.

    Args:
        variant: where the reset gate acts. "torch": after the recurrent weights, n = tanh(W x + b + r (U h + b')), which fused
            kernels require. "paper": before them, n = tanh(W x + b + U (r h) + b'). The two are different functions.
    """

    num_gates = 3

    def __init__(self, input_dim: int, hidden_dim: int, variant: GRUVariant = "torch") -> None:
        check_choice("GRU variant", variant, get_args(GRUVariant))
        super().__init__(input_dim, hidden_dim)
        self.variant = variant

    def gates(self, projected: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Compute r and z in (0, 1) and the candidate n in (-1, 1), each (B, H)."""
        (h,), size = state, self.hidden_dim
        x_rz, x_n = projected[:, : 2 * size], projected[:, 2 * size :]
        if self.variant == "torch":
            from_h = F.linear(h, self.weight_hh, self.bias_hh)
            r, z = torch.sigmoid(x_rz + from_h[:, : 2 * size]).chunk(2, dim=1)
            return r, z, torch.tanh(x_n + r * from_h[:, 2 * size :])
        r, z = torch.sigmoid(x_rz + F.linear(h, self.weight_hh[: 2 * size], self.bias_hh[: 2 * size])).chunk(2, dim=1)
        return r, z, torch.tanh(x_n + F.linear(r * h, self.weight_hh[2 * size :], self.bias_hh[2 * size :]))

    def advance(self, projected: Tensor, state: State) -> State:
        (h,) = state
        _, z, n = self.gates(projected, state)
        return (n + z * (h - n),)


CELLS: dict[Kind, type[Cell]] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}


def scan(
    cell: Cell,
    x: Tensor,
    lengths: Tensor | None = None,
    state: State | None = None,
    *,
    reverse: bool = False,
    truncate: int | None = None,
) -> tuple[Tensor, State]:
    """Run a cell over sequences, step by step: x (B, T, I) to outputs (B, T, H) and the final state.

    Steps past the end of a sequence are ignored: its state stops changing there and its outputs are 0.

    Args:
        cell: the cell to run.
        x: input sequences, padded to T steps.
        lengths: (B,) number of steps of each sequence, from 1 to T. None: all have T steps.
        state: initial state. None: zeros.
        reverse: read each sequence from its own end to its start. An output stays at the step of its input.
        truncate: let gradients flow back through at most this many steps (Williams & Peng, 1990). Values do not change.
    """
    if reverse:
        order = reversal(x, lengths)
        outputs, final = scan(cell, take(x, order), lengths, state, truncate=truncate)
        return take(outputs, order), final
    state = state or cell.initial_state(x)
    projected, outputs_by_step = cell.project(x), []
    valid = None if lengths is None else valid_steps(x, lengths)
    for t in range(x.shape[1]):
        if truncate and t % truncate == 0:
            state = tuple(part.detach() for part in state)
        new = cell.advance(projected[:, t], state)
        output = new[0]
        if valid is not None:
            here = valid[:, t, None]
            output = output * here
            new = tuple(torch.where(here, after, before) for after, before in zip(new, state, strict=True))
        outputs_by_step.append(output)
        state = new
    return torch.stack(outputs_by_step, dim=1), state


def valid_steps(x: Tensor, lengths: Tensor) -> Tensor:
    """Mark the steps of x (B, T, ...) that are not padding: (B, T) bool."""
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]


def take(x: Tensor, steps: Tensor) -> Tensor:
    """Select steps (B, S) of x (B, T, F): (B, S, F)."""
    return x.gather(1, steps[:, :, None].expand(-1, -1, x.shape[2]))


def reversal(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the steps of x (B, T, ...) in the order that reverses each sequence and leaves its padding in place: (B, T)."""
    step = torch.arange(x.shape[1], device=x.device)
    if lengths is None:
        return step.flip(0).expand(x.shape[0], -1)
    end = lengths.to(x.device)[:, None]
    return torch.where(step < end, end - 1 - step, step)
