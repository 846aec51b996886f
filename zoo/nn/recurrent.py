"""Recurrent cells from their equations, and the scan that runs one over a batch of sequences.

Cells hold their parameters under torch's names, so weights copy either way between `LSTMCell` here and `nn.LSTMCell`.

Shapes: B batch, T steps, I input values, H hidden values, G gates of a cell.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.errors import ZooError, check_choice

Kind = Literal["rnn", "lstm", "gru"]
Backend = Literal["loop", "torch"]
_DENSE = 0.5  # share of steps that count above which packing costs more than it saves
State = tuple[Tensor, ...]  # h (B, H), and for an LSTM c (B, H)


class Cell(nn.Module):
    """What cells share: W_ih (G H, I), W_hh (G H, H) and two biases, drawn from U(-1/sqrt(H), 1/sqrt(H)) as torch does."""

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

    def initial_state(self, x: Tensor) -> State:
        """Zeros (B, H) for a batch x (B, ...)."""
        return (x.new_zeros(x.shape[0], self.hidden_dim),) * self.num_states

    def project(self, x: Tensor) -> Tensor:
        """The input's part of every gate, for any number of steps at once: (..., I) to (..., G H)."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: State) -> State:
        """One step from `project`'s output (B, G H)."""
        raise NotImplementedError(f"{type(self).__name__} has to define advance(projected, state) -> state")

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """One step: x (B, I) and the state before it to the state after it."""
        return self.advance(self.project(x), state or self.initial_state(x))


class RNNCell(Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman, 1990, Finding structure in time)."""

    def advance(self, projected: Tensor, state: State) -> State:
        return (torch.tanh(projected + F.linear(state[0], self.weight_hh, self.bias_hh)),)


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997) with a forget gate (Gers et al., 2000).

    i, f, o = sigmoid(...), g = tanh(...) of W_ih x + b_ih + W_hh h + b_hh; c' = f c + i g; h' = o tanh(c').
    Rows of the weights are in the order i, f, g, o.
    """

    num_gates = 4
    num_states = 2

    def gates(self, projected: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """i, f and o in (0, 1) and the candidate g in (-1, 1), each (B, H)."""
        i, f, g, o = (projected + F.linear(state[0], self.weight_hh, self.bias_hh)).chunk(4, dim=1)
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)

    def advance(self, projected: Tensor, state: State) -> State:
        i, f, g, o = self.gates(projected, state)
        c = f * state[1] + i * g
        return o * torch.tanh(c), c


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al., 2014, arXiv:1406.1078); rows of the weights are in the order r, z, n.

    r, z = sigmoid(...); h' = (1 - z) n + z h, where z keeps the old state, as in the paper and in torch. Others, the
    reference's equation among them, let z choose the new one: the same function, with z's weights negated.

    Args:
        variant: "torch" applies the reset gate after the recurrent weights, n = tanh(W x + b + r (U h + b')), which fused
            kernels need; "paper" before them, n = tanh(W x + b + U (r h) + b'). No rewriting turns one into the other.
    """

    num_gates = 3

    def __init__(self, input_dim: int, hidden_dim: int, variant: Literal["torch", "paper"] = "torch") -> None:
        if variant not in ("torch", "paper"):
            raise ZooError(f"unknown variant of the GRU {variant!r}: choose torch or paper")
        super().__init__(input_dim, hidden_dim)
        self.variant = variant

    def gates(self, projected: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Gates r and z in (0, 1), and the candidate n in (-1, 1), each (B, H)."""
        (h,), size = state, self.hidden_dim
        x_rz, x_n = projected[:, : 2 * size], projected[:, 2 * size :]
        if self.variant == "torch":
            from_h = F.linear(h, self.weight_hh, self.bias_hh)
            r, z = torch.sigmoid(x_rz + from_h[:, : 2 * size]).chunk(2, dim=1)
            return r, z, torch.tanh(x_n + r * from_h[:, 2 * size :])
        r, z = torch.sigmoid(x_rz + F.linear(h, self.weight_hh[: 2 * size], self.bias_hh[: 2 * size])).chunk(2, dim=1)
        return r, z, torch.tanh(x_n + F.linear(r * h, self.weight_hh[2 * size :], self.bias_hh[2 * size :]))

    def advance(self, projected: Tensor, state: State) -> State:
        _, z, n = self.gates(projected, state)
        return (n + z * (state[0] - n),)


CELLS: dict[Kind, type[Cell]] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}


def check_kind(kind: str) -> None:
    """Refuse the name of no cell.

    Raises:
        ZooError: naming those there are.
    """
    check_choice("cell", kind, get_args(Kind))


def scan(
    cell: Cell,
    x: Tensor,
    lengths: Tensor | None = None,
    state: State | None = None,
    *,
    reverse: bool = False,
    truncate: int | None = None,
    backend: Backend = "loop",
) -> tuple[Tensor, State]:
    """Run a cell over sequences: x (B, T, I), of which the first `lengths` (B,) steps count, to (B, T, H) and the last state.

    What lies past a sequence's end changes nothing: its state stops there, and outputs are 0. With `reverse` each sequence
    is read from its own end to its start; outputs stand where their inputs do.

    Args:
        cell: what runs.
        x: (B, T, I).
        lengths: (B,), from 1 to T; None: all of T.
        state: to start from; None: zeros.
        reverse: read from the end.
        truncate: gradients flow back through at most so many steps (Williams & Peng, 1990); values do not change.
        backend: "loop" is the equations, step by step; "torch" its fused kernels, on packed sequences.

    Raises:
        ZooError: for an unknown backend, or what torch's kernels don't do.
    """
    check_choice("backend", backend, get_args(Backend))
    if reverse:
        order = _reversal(x, lengths)
        outputs, final = scan(cell, take(x, order), lengths, state, truncate=truncate, backend=backend)
        return take(outputs, order), final
    state = state or cell.initial_state(x)
    if backend == "torch":
        if truncate or (isinstance(cell, GRUCell) and cell.variant != "torch"):
            raise ZooError("torch has no kernel that truncates, nor one for the GRU of the paper: use the backend loop")
        return _kernel(cell, x, lengths, state)
    return _loop(cell, x, lengths, state, truncate)


def take(x: Tensor, steps: Tensor) -> Tensor:
    """The steps (B, S) of x (B, T, F): (B, S, F)."""
    return x.gather(1, steps[:, :, None].expand(-1, -1, x.shape[2]))


def valid_steps(x: Tensor, lengths: Tensor) -> Tensor:
    """Which steps of x (B, T, ...) count: (B, T) bool."""
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]


def _reversal(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Which step stands where, once every sequence of x (B, T, ...) is reversed within its length: (B, T)."""
    step = torch.arange(x.shape[1], device=x.device)
    if lengths is None:
        return step.flip(0).expand(x.shape[0], -1)
    end = lengths.to(x.device)[:, None]
    return torch.where(step < end, end - 1 - step, step)


def _loop(cell: Cell, x: Tensor, lengths: Tensor | None, state: State, truncate: int | None) -> tuple[Tensor, State]:
    projected, outputs = cell.project(x), []
    counts = None if lengths is None else valid_steps(x, lengths)
    for t in range(x.shape[1]):
        if truncate and t % truncate == 0:
            state = tuple(part.detach() for part in state)
        new = cell.advance(projected[:, t], state)
        outputs.append(new[0])
        if counts is not None:
            here = counts[:, t, None]
            outputs[-1] = new[0] * here
            new = tuple(torch.where(here, after, before) for after, before in zip(new, state, strict=True))
        state = new
    return torch.stack(outputs, dim=1), state


_KERNELS: dict[type[Cell], Callable[..., Any]] = {RNNCell: torch.rnn_tanh, LSTMCell: torch.lstm, GRUCell: torch.gru}


def _kernel(cell: Cell, x: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
    run = _KERNELS[type(cell)]
    settings = _settings([cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh], cell.training)
    if lengths is None:
        outputs, *final = run(x, _stacked(state), *settings, True)
        return outputs, tuple(part[0] for part in final)
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    assert packed.sorted_indices is not None
    assert packed.unsorted_indices is not None
    ordered = tuple(part[packed.sorted_indices] for part in state)
    data, *final = run(packed.data, packed.batch_sizes, _stacked(ordered), *settings)
    outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])
    return outputs, tuple(part[0, packed.unsorted_indices] for part in final)


def _settings(weights: Sequence[Tensor], training: bool) -> tuple[Any, ...]:
    """What torch's kernels are told of one layer, one way: weights, with biases, layers, dropout, training, both ways."""
    return list(weights), True, 1, 0.0, training, False


def _stacked(state: State) -> Tensor | tuple[Tensor, ...]:
    """The state as torch's kernels take it: (1, B, H), in a tuple for an LSTM only."""
    parts = tuple(part[None] for part in state)
    return parts if len(parts) > 1 else parts[0]


class Recurrent(nn.Module):
    """Layers of recurrent cells over sequences, one way or both: x (B, T, I) to (B, T, D H) and the final h (B, D H).

    D is 2 with `bidirectional`, else 1. The final h is the last layer's at the last step that counts, of the backward
    direction at the first. Padding changes nothing: where there is much of it sequences are packed, which skips it; where there
    is little, as in batches of about one length, it is computed and thrown away, which is faster (benchmarks/sequences.py).

    Input weights start Xavier-uniform, recurrent ones orthogonal (Saxe et al., 2014, arXiv:1312.6120), biases at 0, the
    LSTM's forget gate at 1, so that it begins by keeping (Gers et al., 2000; Jozefowicz et al., 2015).

    Args:
        kind: of cell.
        input_dim: I.
        hidden_dim: H.
        num_layers: of cells, each over the states of the one before.
        bidirectional: read both ways.
        dropout: between layers, so it needs two.
        forget_bias: where an LSTM's forget gate starts; its input gate starts at 1 - forget_bias. About exp(forget_bias) steps
            are remembered: long sequences want up to log(T) (Tallec & Ollivier, 2018, arXiv:1804.11188). Others have none.
        truncate: gradients flow back through at most so many steps; runs the equations, which is slower.
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
        forget_bias: float = 1.0,
        truncate: int | None = None,
    ) -> None:
        super().__init__()
        check_kind(kind)
        if hidden_dim < 1 or num_layers < 1:
            raise ZooError(f"hidden_dim and num_layers must be at least 1, got {hidden_dim} and {num_layers}")
        if not 0 <= dropout < 1 or (dropout and num_layers == 1):
            raise ZooError(f"dropout lies in [0, 1) and works between layers, got {dropout} with {num_layers} layer(s)")
        if truncate is not None and truncate < 1:
            raise ZooError(f"truncate must be at least 1 step, got {truncate}")
        self.kind, self.truncate, self.output_dim = kind, truncate, hidden_dim * (2 if bidirectional else 1)
        module = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.layers: nn.RNNBase = module(
            input_dim, hidden_dim, num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        for name, parameter in self.layers.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
                if kind == "lstm" and name.startswith("bias_ih"):
                    nn.init.constant_(parameter.detach()[:hidden_dim], 1 - forget_bias)  # what keeps for long writes little
                    nn.init.constant_(parameter.detach()[hidden_dim : 2 * hidden_dim], forget_bias)
            else:
                start = nn.init.xavier_uniform_ if name.startswith("weight_ih") else nn.init.orthogonal_
                for gate in parameter.detach().split(hidden_dim):
                    start(gate)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`lengths` (B,) on the CPU says how many steps count; without it, all do.

        Elsewhere than on the CPU it is not read, since that would wait for the device: states are masked instead. So are
        they in an exported graph.
        """
        if self.truncate or torch.compiler.is_exporting() or (lengths is not None and lengths.device.type != "cpu"):
            outputs, state = self._scan(x, lengths)
        elif lengths is None or int(lengths.min()) == x.shape[1]:
            outputs, state = self.run(x)
        elif int(lengths.sum()) > _DENSE * x.shape[0] * x.shape[1]:
            outputs, state = self._padded(x, lengths)
        else:
            packed, state = self.run(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
            outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        h = state[0]
        return outputs, h[-2:].movedim(0, 1).flatten(1) if self.layers.bidirectional else h[-1]

    def run(self, x: Any, state: State | None = None) -> tuple[Any, State]:
        """Go on from a state, all of whose steps count: x (B, T, I) to (B, T, D H) and the state after the last step.

        A state is h, and for an LSTM c, each (layers D, B, H); None is zeros. Gradients flow into it: `detach` ends them.
        Packed sequences give packed outputs.
        """
        if torch.compiler.is_exporting():  # which does not take torch's own layers without a warning
            return self._scan(x, None, state)
        given = state if state is None or self.kind == "lstm" else state[0]
        outputs, final = self.layers(x, given)
        return outputs, final if isinstance(final, tuple) else (final,)

    def _padded(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Every step is computed, and what lies past a sequence's end thrown away; the way back reads each from its own end.

        Of the state it gives h alone: the kernels keep no other one than the last c.
        """
        last, counts, order = lengths.to(x.device)[:, None] - 1, valid_steps(x, lengths)[:, :, None], _reversal(x, lengths)
        cell = CELLS[self.kind]
        start = _stacked((x.new_zeros(x.shape[0], self.layers.hidden_size),) * cell.num_states)

        def read(place: int, x: Tensor, back: bool) -> tuple[Tensor, State]:
            settings = _settings(self.layers.all_weights[place], self.training)
            states = _KERNELS[cell](take(x, order) if back else x, start, *settings, True)[0]
            return (take(states, order) if back else states) * counts, (take(states, last)[:, 0],)

        return self._by_layer(x, read)

    def _scan(self, x: Tensor, lengths: Tensor | None, state: State | None = None) -> tuple[Tensor, State]:
        cells = [cell for directions in cells_of(self.layers) for cell in directions]

        def read(place: int, x: Tensor, back: bool) -> tuple[Tensor, State]:
            before = None if state is None else tuple(part[place] for part in state)
            return scan(cells[place], x, lengths, before, reverse=back, truncate=self.truncate)

        return self._by_layer(x, read)

    def _by_layer(self, x: Tensor, read: Callable[[int, Tensor, bool], tuple[Tensor, State]]) -> tuple[Tensor, State]:
        """Run each layer over the states of the one before; `read` takes a cell's place, its inputs, and if it goes back."""
        num_ways = 2 if self.layers.bidirectional else 1
        finals: list[State] = []
        for layer in range(self.layers.num_layers):
            if layer and self.layers.dropout:
                x = F.dropout(x, self.layers.dropout, self.training)
            outputs, states = zip(*(read(layer * num_ways + way, x, way == 1) for way in range(num_ways)), strict=True)
            x = torch.cat(outputs, dim=2)
            finals += states
        return x, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))


def cells_of(layers: nn.RNNBase) -> list[list[Cell]]:
    """The cells inside torch's recurrent module, by layer and direction; they share its parameters."""
    kind: Kind = {"RNN_TANH": "rnn", "LSTM": "lstm", "GRU": "gru"}[layers.mode]  # type: ignore[assignment]  # plain strings
    found: list[list[Cell]] = []
    for layer in range(layers.num_layers):
        found.append([])
        for suffix in ("", "_reverse") if layers.bidirectional else ("",):
            weight = getattr(layers, f"weight_ih_l{layer}{suffix}")
            with torch.device("meta"):
                cell = CELLS[kind](weight.shape[1], layers.hidden_size)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                delattr(cell, name)  # an exported graph's parameters are plain tensors
                setattr(cell, name, getattr(layers, f"{name}_l{layer}{suffix}"))
            found[-1].append(cell.train(layers.training))
    return found
