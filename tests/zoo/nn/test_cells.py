"""Cells equal torch's cells. The scan equals torch's packed layers and the scan of each sequence alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.nn.cells import CELLS, Cell, GRUCell, Kind, LSTMCell, State, scan

TORCH: dict[Kind, Any] = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
LAYERS: dict[Kind, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
KINDS: list[Kind] = ["rnn", "lstm", "gru"]
LENGTHS = torch.tensor([7, 3, 1, 5])
each_kind = pytest.mark.parametrize("kind", KINDS)


def sequences(size: int = 4, steps: int = 7, dim: int = 5) -> Tensor:
    return torch.randn(size, steps, dim, generator=torch.Generator().manual_seed(0))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def flipped(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse each sequence of x (B, T, F) and leave its padding in place."""
    ends = [x.shape[1]] * len(x) if lengths is None else lengths.tolist()
    return torch.stack([torch.cat([row[:end].flip(0), row[end:]]) for row, end in zip(x, ends, strict=True)])


def by_torch(layer: nn.RNNBase, x: Tensor, lengths: Tensor | None, state: State, reverse: bool) -> tuple[Tensor, State]:
    """Compute the same as `scan` with torch's layer on packed sequences."""
    x = flipped(x, lengths) if reverse else x
    initial = tuple(part[None] for part in state)
    everything = torch.full((len(x),), x.shape[1])
    packed = pack_padded_sequence(x, everything if lengths is None else lengths, batch_first=True, enforce_sorted=False)
    packed_outputs, final = layer(packed, initial if len(state) == 2 else initial[0])
    outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=x.shape[1])
    outputs = flipped(outputs, lengths) if reverse else outputs
    return outputs, tuple(part[0] for part in (final if len(state) == 2 else (final,)))


@each_kind
def test_cells_equal_torchs_forward_and_backward(kind: Kind) -> None:
    torch.manual_seed(0)
    ours, theirs = CELLS[kind](5, 8), TORCH[kind](5, 8)
    ours.load_state_dict(theirs.state_dict())
    inputs = [torch.randn(4, 5), *(torch.randn(4, 8) for _ in range(ours.num_states))]
    a, b = ([part.clone().requires_grad_() for part in inputs] for _ in range(2))
    state = ours(a[0], tuple(a[1:]))
    expected = theirs(b[0], tuple(b[1:]) if kind == "lstm" else b[1])
    expected = expected if kind == "lstm" else (expected,)
    for part, other in zip(state, expected, strict=True):
        close(part, other)
    sum(part.square().sum() for part in state).backward()
    sum(part.square().sum() for part in expected).backward()
    for part, other in zip(a, b, strict=True):
        assert part.grad is not None
        close(part.grad, other.grad)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad, rtol=1e-5, atol=1e-6)


def test_both_gru_variants_equal_onnx(tmp_path: Any) -> None:
    """ONNX names the variants `linear_before_reset` 1 (torch) and 0 (the paper); its rows are in the order z, r, h."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    x = sequences(3, 6, 4)
    for variant, before in (("torch", 1), ("paper", 0)):
        cell = GRUCell(4, 8, variant=variant)  # type: ignore[arg-type]  # a plain string
        order = [1, 0, 2]

        def rows(name: str, cell: GRUCell = cell, order: list[int] = order) -> np.ndarray:
            parts = getattr(cell, name).detach().split(8)
            return torch.cat([parts[gate] for gate in order])[None].numpy()

        bias = np.concatenate([rows("bias_ih"), rows("bias_hh")], axis=1)
        weights = {"W": rows("weight_ih"), "R": rows("weight_hh"), "B": bias}
        node = onnx.helper.make_node("GRU", ["X", "W", "R", "B"], ["Y", "h"], hidden_size=8, linear_before_reset=before)
        float32 = onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            [node],
            "gru",
            [onnx.helper.make_tensor_value_info("X", float32, [6, 3, 4])],
            [onnx.helper.make_tensor_value_info("h", float32, [1, 3, 8])],
            [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        (h,) = runtime.InferenceSession(model.SerializeToString()).run(None, {"X": x.transpose(0, 1).numpy()})
        _, (ours,) = scan(cell, x)
        close(ours, torch.from_numpy(h[0]))


def test_the_two_gru_variants_differ() -> None:
    torch.manual_seed(0)
    one, other = GRUCell(5, 8, variant="torch"), GRUCell(5, 8, variant="paper")
    other.load_state_dict(one.state_dict())
    x, h = torch.randn(4, 5), torch.randn(4, 8)
    assert not torch.allclose(one(x, (h,))[0], other(x, (h,))[0], atol=1e-3)
    close(one(x)[0], one(x, (torch.zeros(4, 8),))[0])


def test_an_lstm_with_a_closed_input_and_an_open_forget_gate_keeps_its_cell_state() -> None:
    cell = LSTMCell(2, 3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih[0:3], cell.bias_ih[3:6] = -100, 100  # input gate closed, forget gate open
    c = torch.randn(4, 3)
    _, kept = cell(torch.randn(4, 2), (torch.randn(4, 3), c))
    close(kept, c)


@each_kind
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_scan_equals_torch_forward_and_backward(kind: Kind, reverse: bool, lengths: Tensor | None) -> None:
    torch.manual_seed(0)
    cell, layer = CELLS[kind](5, 8), LAYERS[kind](5, 8, batch_first=True)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    state = tuple(torch.randn(4, 8) for _ in range(cell.num_states))
    answers, gradients = [], []
    for ours in (True, False):
        x = sequences().requires_grad_()
        if ours:
            outputs, final = scan(cell, x, lengths, state, reverse=reverse)
        else:
            outputs, final = by_torch(layer, x, lengths, state, reverse)
        answers.append([outputs, *final])
        (outputs.square().sum() + sum(part.sum() for part in final)).backward()
        parameters = dict((cell if ours else layer).named_parameters())
        found = [parameters[name if ours else f"{name}_l0"].grad for name, _ in cell.named_parameters()]
        assert all(gradient is not None for gradient in [x.grad, *found])
        gradients.append([x.grad, *found])
    for one, other in zip(answers[0] + gradients[0], answers[1] + gradients[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6)


@each_kind
def test_padding_does_not_affect_a_sequence(kind: Kind) -> None:
    torch.manual_seed(0)
    cell, x = CELLS[kind](5, 8), sequences()
    for reverse in (False, True):
        outputs, final = scan(cell, x, LENGTHS, reverse=reverse)
        for row, length in enumerate(LENGTHS.tolist()):
            alone = x[row : row + 1, :length]
            expected, state = scan(cell, alone.flip(1) if reverse else alone)
            close(outputs[row, :length], expected[0].flip(0) if reverse else expected[0])
            assert not outputs[row, length:].any()
            for part, other in zip(final, state, strict=True):
                close(part[row], other[0])


def test_truncation_stops_gradients_without_changing_values() -> None:
    torch.manual_seed(0)
    cell = LSTMCell(5, 8)
    x = sequences(steps=10).requires_grad_()
    whole, _ = scan(cell, x)
    cut, (h, _) = scan(cell, x, truncate=4)  # chunks 0-3, 4-7, 8-9
    assert torch.equal(whole, cut)
    (gradient,) = torch.autograd.grad(h.sum(), x)
    assert not gradient[:, :8].any()
    assert gradient[:, 8:].all()


def test_refuses_unknown_variants_and_a_cell_without_equations() -> None:
    with pytest.raises(ValueError, match="unknown GRU variant 'before': choose one of torch, paper"):
        GRUCell(5, 8, variant="before")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(NotImplementedError, match=r"Cell has to define advance"):
        Cell(5, 8)(torch.randn(2, 5))
