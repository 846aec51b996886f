"""Cells against torch's own, the scan against packing, and what a recurrent layer must not see."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from zoo.nn.recurrent import CELLS, Cell, GRUCell, Kind, LSTMCell, Recurrent, cells_of, scan

TORCH: dict[Kind, Any] = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
KINDS: list[Kind] = ["rnn", "lstm", "gru"]
LENGTHS = torch.tensor([7, 3, 1, 5])
each_kind = pytest.mark.parametrize("kind", KINDS)


def sequences(size: int = 4, steps: int = 7, dim: int = 5) -> Tensor:
    return torch.randn(size, steps, dim, generator=torch.Generator().manual_seed(0))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@each_kind
def test_a_cell_equals_torchs_with_copied_weights_forward_and_backward(kind: Kind) -> None:
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


def test_the_papers_gru_equals_another_runtimes(tmp_path: Any) -> None:
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


def test_the_two_grus_are_two_functions() -> None:
    torch.manual_seed(0)
    one, other = GRUCell(5, 8, variant="torch"), GRUCell(5, 8, variant="paper")
    other.load_state_dict(one.state_dict())
    x, h = torch.randn(4, 5), torch.randn(4, 8)
    assert not torch.allclose(one(x, (h,))[0], other(x, (h,))[0], atol=1e-3)
    close(one(x)[0], one(x, (torch.zeros(4, 8),))[0])


def test_an_lstm_whose_gates_say_so_keeps_its_cell() -> None:
    cell = LSTMCell(2, 3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih[0:3], cell.bias_ih[3:6] = -100, 100  # input shut, forget open
    c = torch.randn(4, 3)
    _, kept = cell(torch.randn(4, 2), (torch.randn(4, 3), c))
    close(kept, c)


@each_kind
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_backends_agree_forward_and_backward(kind: Kind, reverse: bool, lengths: Tensor | None) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](5, 8)
    state = tuple(torch.randn(4, 8) for _ in range(cell.num_states))
    answers, gradients = [], []
    for backend in ("loop", "torch"):
        x = sequences().requires_grad_()
        outputs, final = scan(cell, x, lengths, state, reverse=reverse, backend=backend)  # type: ignore[arg-type]  # a plain string
        answers.append([outputs, *final])
        cell.zero_grad()
        (outputs.square().sum() + sum(part.sum() for part in final)).backward()
        gradients.append([x.grad, *(parameter.grad.clone() for parameter in cell.parameters() if parameter.grad is not None)])
    for one, other in zip(answers[0] + gradients[0], answers[1] + gradients[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6)


@each_kind
def test_each_sequence_is_read_as_if_it_were_alone(kind: Kind) -> None:
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


def test_truncation_stops_gradients_and_changes_no_value() -> None:
    torch.manual_seed(0)
    cell = LSTMCell(5, 8)
    x = sequences(steps=10).requires_grad_()
    whole, _ = scan(cell, x)
    cut, (h, _) = scan(cell, x, truncate=4)  # chunks 0-3, 4-7, 8-9
    assert torch.equal(whole, cut)
    (gradient,) = torch.autograd.grad(h.sum(), x)
    assert not gradient[:, :8].any()
    assert gradient[:, 8:].all()


def test_refuses_what_there_is_no_kernel_for() -> None:
    with pytest.raises(ValueError, match="no kernel that truncates"):
        scan(LSTMCell(5, 8), sequences(), truncate=2, backend="torch")
    with pytest.raises(ValueError, match="nor one for the GRU of the paper"):
        scan(GRUCell(5, 8, variant="paper"), sequences(), backend="torch")
    with pytest.raises(ValueError, match="unknown backend 'cuda': choose one of loop, torch"):
        scan(LSTMCell(5, 8), sequences(), backend="cuda")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ValueError, match="unknown variant of the GRU 'before': choose torch or paper"):
        GRUCell(5, 8, variant="before")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(NotImplementedError, match=r"Cell has to define advance"):
        Cell(5, 8)(torch.randn(2, 5))


@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_layers_equal_the_cells_within(kind: Kind, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layers, x = Recurrent(kind, 5, 8, num_layers=2, bidirectional=bidirectional), sequences()
    outputs, final = layers(x, LENGTHS)
    for directions in cells_of(layers.layers):
        ways = [scan(cell, x, LENGTHS, reverse=way == 1) for way, cell in enumerate(directions)]
        x, last = torch.cat([states for states, _ in ways], 2), torch.cat([state[0] for _, state in ways], 1)
    close(outputs, x)
    close(final, last)
    for other in (layers._scan, layers._padded):
        states, (h, *_) = other(sequences(), LENGTHS)
        close(outputs, states)
        close(final, torch.cat([*h[-2:]], 1) if bidirectional else h[-1])


def test_packs_where_there_is_much_padding_only() -> None:
    layers, packed = Recurrent("lstm", 5, 8), []
    layers.layers.register_forward_pre_hook(lambda module, inputs: packed.append(isinstance(inputs[0], PackedSequence)))
    for lengths in ([7, 1, 1, 1], [7, 7, 7, 7], [7, 6, 7, 5]):
        layers(sequences(), torch.tensor(lengths))
    assert packed == [True, False]  # the last goes past the module, straight to its kernels


@each_kind
def test_going_on_from_a_state_equals_reading_in_one_go(kind: Kind) -> None:
    torch.manual_seed(0)
    layers, x = Recurrent(kind, 5, 8, num_layers=2), sequences()
    whole, _ = layers(x)
    first, state = layers.run(x[:, :3])
    rest, _ = layers.run(x[:, 3:], state)
    close(torch.cat([first, rest], 1), whole)


def test_the_forget_gate_starts_open_and_the_rest_as_stated() -> None:
    layers = Recurrent("lstm", 5, 8, num_layers=2, bidirectional=True).layers
    for name, parameter in layers.named_parameters():
        if name.startswith("bias_ih"):
            assert parameter.detach().split(8)[1].eq(1).all()
            assert parameter.detach().sum() == 8
        elif name.startswith("bias_hh"):
            assert not parameter.detach().any()
        elif name.startswith("weight_hh"):
            for gate in parameter.detach().split(8):
                close(gate @ gate.T, torch.eye(8))
    opened = Recurrent("lstm", 5, 8, forget_bias=4.0).layers.bias_ih_l0
    assert isinstance(opened, Tensor)
    assert opened.detach().split(8)[0].eq(-3).all()
    assert opened.detach().split(8)[1].eq(4).all()
    for name, parameter in Recurrent("gru", 5, 8).layers.named_parameters():
        assert not name.startswith("bias") or not parameter.detach().any()


@pytest.mark.parametrize("truncate", [None, 100])  # packed, and through the equations
def test_dropout_is_between_layers_and_in_training_only(truncate: int | None) -> None:
    torch.manual_seed(0)
    layers, x = Recurrent("gru", 5, 8, num_layers=2, dropout=0.999, truncate=truncate), sequences()
    bias_only, _ = layers(x)  # what reaches the second layer is 0, all biases are: so it stays at 0
    assert not bias_only.any()
    assert layers.eval()(x)[0].all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "qrnn"}, "unknown cell 'qrnn': choose one of rnn, lstm, gru"),
        ({"hidden_dim": 0}, "must be at least 1, got 0 and 1"),
        ({"dropout": 0.3}, r"works between layers, got 0.3 with 1 layer\(s\)"),
        ({"dropout": 1.0, "num_layers": 2}, r"lies in \[0, 1\)"),
        ({"truncate": 0}, "truncate must be at least 1 step, got 0"),
    ],
)
def test_refuses_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recurrent(**{"kind": "lstm", "input_dim": 5, "hidden_dim": 8, **settings})
