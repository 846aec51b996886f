"""The fast recurrent layer equals the equations of the cells in every way of computing, and starts as documented."""

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.nn.cells import Kind, scan
from zoo.nn.recurrent import Recurrent, cells_of

KINDS: list[Kind] = ["rnn", "lstm", "gru"]
LENGTHS = torch.tensor([7, 3, 1, 5])
each_kind = pytest.mark.parametrize("kind", KINDS)


def sequences(size: int = 4, steps: int = 7, dim: int = 5) -> Tensor:
    return torch.randn(size, steps, dim, generator=torch.Generator().manual_seed(0))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def by_cells(layers: Recurrent, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute the same as `layers(x, lengths)` with the scan of its cells."""
    for directions in cells_of(layers.layers):
        ways = [scan(cell, x, lengths, reverse=way == 1) for way, cell in enumerate(directions)]
        x, last = torch.cat([states for states, _ in ways], 2), torch.cat([state[0] for _, state in ways], 1)
    return x, last


@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, torch.full((4,), 7), LENGTHS])
def test_layers_equal_their_cells_forward_and_backward(kind: Kind, bidirectional: bool, lengths: Tensor | None) -> None:
    torch.manual_seed(0)
    layers = Recurrent(kind, 5, 8, num_layers=2, bidirectional=bidirectional)
    answers, gradients = [], []
    for read in (layers, lambda *inputs: by_cells(layers, *inputs)):
        x = sequences().requires_grad_()
        outputs, final = read(x, lengths)
        assert outputs.shape == (4, 7, layers.output_dim)
        assert final.shape == (4, layers.output_dim)
        answers.append([outputs, final])
        layers.zero_grad()
        (outputs.square().sum() + final.sum()).backward()
        found = [x.grad, *(parameter.grad for parameter in layers.parameters())]
        gradients.append([gradient.clone() for gradient in found if gradient is not None])
        assert len(gradients[-1]) == len(found)
    for one, other in zip(answers[0], answers[1], strict=True):
        close(one, other)
    for one, other in zip(gradients[0], gradients[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6)


@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_way_returns_the_same(kind: Kind, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layers, x = Recurrent(kind, 5, 8, num_layers=2, bidirectional=bidirectional), sequences()
    outputs, final = layers(x, LENGTHS)
    close(layers._masked(x, LENGTHS), outputs)
    by_equations, (h, *_) = layers._equations(x, LENGTHS)
    close(by_equations, outputs)
    close(torch.cat([*h[-2:]], 1) if bidirectional else h[-1], final)
    whole, state = layers.run(x)
    close(layers(x)[0], whole)
    by_equations, other = layers._equations(x, None)
    close(by_equations, whole)
    for part, same in zip(state, other, strict=True):
        assert part.shape == (4 if bidirectional else 2, 4, 8)
        close(part, same)


@each_kind
def test_lengths_on_another_device_are_not_read(kind: Kind) -> None:
    """Reading a value would wait for the device. On the meta device, which holds no values, it would raise."""
    layers = Recurrent(kind, 5, 8, num_layers=2, bidirectional=True).to("meta")
    outputs, final = layers(sequences().to("meta"), LENGTHS.to("meta"))
    assert outputs.shape == (4, 7, 16)
    assert final.shape == (4, 16)


def test_torchs_module_runs_only_for_batches_without_padding() -> None:
    layers, called = Recurrent("lstm", 5, 8), []
    layers.layers.register_forward_pre_hook(lambda module, inputs: called.append(len(inputs[0])))
    for size, lengths in ((1, [7]), (4, [7, 1, 1, 1]), (3, [7, 7, 7]), (4, [7, 6, 7, 5])):
        layers(sequences(size), torch.tensor(lengths))
    layers(sequences(2))
    assert called == [1, 3, 2]  # the other batches have padding and go to the kernels directly


@each_kind
def test_continuing_from_a_state_equals_reading_the_whole_sequence(kind: Kind) -> None:
    torch.manual_seed(0)
    layers, x = Recurrent(kind, 5, 8, num_layers=2), sequences()
    whole, _ = layers(x)
    first, state = layers.run(x[:, :3])
    rest, _ = layers.run(x[:, 3:], state)
    close(torch.cat([first, rest], 1), whole)


def test_initial_weights_and_biases_are_as_documented() -> None:
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


@pytest.mark.parametrize("truncate", [None, 100])  # torch's module, and the equations
def test_dropout_is_between_layers_and_in_training_only(truncate: int | None) -> None:
    torch.manual_seed(0)
    layers, x = Recurrent("gru", 5, 8, num_layers=2, dropout=0.999, truncate=truncate), sequences()
    bias_only, _ = layers(x)  # the second layer reads 0 and its biases are 0, so it stays at 0
    assert not bias_only.any()
    assert layers.eval()(x)[0].all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "qrnn"}, "unknown cell 'qrnn': choose one of rnn, lstm, gru"),
        ({"hidden_dim": 0}, "must be at least 1, got 0 and 1"),
        ({"dropout": 0.3}, "acts between layers: set num_layers to 2 or more, or dropout to 0, got dropout 0.3"),
        ({"dropout": 1.0, "num_layers": 2}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"truncate": 0}, "truncate must be at least 1 step, got 0"),
    ],
)
def test_refuses_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recurrent(**{"kind": "lstm", "input_dim": 5, "hidden_dim": 8, **settings})
