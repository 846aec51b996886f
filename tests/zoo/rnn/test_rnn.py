"""A recurrent classifier ignores padding, pools as documented, and refuses bad settings and batches."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from datamodules.core.batch import SequenceBatch
from zoo.nn.cells import Kind
from zoo.nn.pooling import Pooling
from zoo.rnn.rnn import PADDING, UNKNOWN, RNNClassifier, RNNNet, RNNRegressor, example_sequences

PROGRESS = torch.tensor(0.5)


def texts(size: int = 6, steps: int = 15) -> tuple[Tensor, Tensor]:
    return example_sequences(size, (steps,), 50)


def padded(x: Tensor, pads: int) -> Tensor:
    return torch.cat([x, x.new_zeros(len(x), pads, *x.shape[2:])], dim=1)


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("kind", get_args(Kind))
def test_padding_changes_nothing_unless_it_is_read(kind: Kind, pooling: Pooling) -> None:
    torch.manual_seed(0)
    net = RNNNet((15,), 3, 50, kind, embed_dim=8, hidden_dim=16, num_layers=2, bidirectional=True, pooling=pooling).eval()
    x, lengths = texts()
    logits, unpacked = net(x, lengths), net(x)
    for pads in (1, 20, 200):
        torch.testing.assert_close(net(padded(x, pads), lengths), logits, rtol=0, atol=1e-6)
        assert (net(padded(x, pads)) - unpacked).abs().max() > 1e-5  # the control: without lengths it reads the padding


def test_padding_of_values_changes_nothing_whatever_stands_there() -> None:
    torch.manual_seed(0)
    net = RNNNet((15, 4), 3, hidden_dim=16, bidirectional=True, pooling="attention").eval()
    x, lengths = example_sequences(6, (15, 4), None)
    garbage = x.clone()
    garbage[torch.arange(15) >= lengths[:, None]] = 1e3
    torch.testing.assert_close(net(garbage, lengths), net(x, lengths), rtol=0, atol=1e-6)


def test_a_sample_answers_the_same_in_any_company() -> None:
    torch.manual_seed(0)
    net = RNNNet((15,), 3, 50, bidirectional=True).eval()
    x, lengths = texts()
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(net(x[row : row + 1, :length]), net(x, lengths)[row : row + 1], rtol=0, atol=1e-6)


def test_the_padding_tokens_row_is_zero_and_never_learns() -> None:
    torch.manual_seed(0)
    system = RNNClassifier(input_shape=(15,), num_classes=3, vocab_size=50, pooling="mean")
    x, lengths = texts()
    system.step(SequenceBatch(x, lengths, torch.arange(6) % 3, torch.arange(6)), PROGRESS)[0].backward()
    assert system.net.embedding is not None
    weight = system.net.embedding.weight
    assert not weight[PADDING].any()
    assert weight.grad is not None
    assert not weight.grad[PADDING].any()
    assert weight.grad[x.unique()[1:]].any(dim=1).all()


def test_word_dropout_makes_words_unknown_in_training_only() -> None:
    torch.manual_seed(0)
    net = RNNNet((15,), 3, 50, word_dropout=0.3)
    seen: list[Tensor] = []
    assert net.embedding is not None
    net.embedding.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.randint(2, 50, (200, 15))
    x[:, 10:] = PADDING
    net(x, torch.full((200,), 10))
    dropped = seen[0] == UNKNOWN
    assert dropped[:, :10].float().mean() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(seen[0][~dropped], x[~dropped])
    assert not seen[0][:, 10:].any()
    net.eval()(x, torch.full((200,), 10))
    assert torch.equal(seen[1], x)


def test_last_is_the_end_of_one_way_and_the_start_of_the_other() -> None:
    torch.manual_seed(0)
    net = RNNNet((15, 4), 3, hidden_dim=8, bidirectional=True).eval()
    x, lengths = example_sequences(6, (15, 4), None)
    states, final = net.states(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(final[row], torch.cat([states[row, length - 1, :8], states[row, 0, 8:]]))


def test_concat_is_last_mean_and_max_beside_each_other() -> None:
    torch.manual_seed(0)
    net = RNNNet((15, 4), 3, hidden_dim=8, bidirectional=True, pooling="concat").eval()
    x, lengths = example_sequences(6, (15, 4), None)
    states, final = net.states(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        counted = states[row, :length]
        pooled = torch.cat([final[row], counted.mean(0), counted.amax(0)])
        torch.testing.assert_close(net(x, lengths)[row], net.head(pooled))


def test_truncation_forgets_the_start_of_a_sequence() -> None:
    torch.manual_seed(0)
    net = RNNNet((20, 4), 3, hidden_dim=8, truncate=5).eval()
    x = torch.randn(2, 20, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x).sum(), x)
    assert not gradient[:, :15].any()
    assert gradient[:, 15:].all()


def test_a_regressor_answers_in_the_targets_own_units() -> None:
    torch.manual_seed(0)
    system = RNNRegressor(input_shape=(10, 2), num_targets=1, hidden_dim=8).eval()
    x, lengths = example_sequences(4, (10, 2), None)
    small = system(x, lengths)
    system.target_mean.fill_(100.0)
    system.target_std.fill_(7.0)
    torch.testing.assert_close(system(x, lengths), small * 7 + 100)
    y = torch.randn(4, 1) * 7 + 100
    loss, outputs = system.step(SequenceBatch(x, lengths, y, torch.arange(4)), PROGRESS)
    torch.testing.assert_close(loss, ((system(x, lengths) - y) / 7).square().mean())
    torch.testing.assert_close(outputs["preds"], system(x, lengths))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": None}, r"expected input_shape \(T,\) with a vocab_size, or \(T, C\) without, got \(15,\) and None"),
        ({"input_shape": (15, 4)}, r"got \(15, 4\) and 50"),
        ({"input_shape": None}, "input_shape is not known"),
        ({"pooling": "sum"}, "unknown pooling 'sum'"),
        ({"kind": "qrnn"}, "unknown cell 'qrnn'"),
        ({"word_dropout": 1.0}, r"word_dropout must lie in \[0, 1\), got 1.0"),
        (
            {"input_shape": (15, 4), "vocab_size": None, "word_dropout": 0.1},
            "word_dropout needs tokens, but the inputs are values: set it to 0, got 0.1",
        ),
    ],
)
def test_refuses_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RNNClassifier(**{"input_shape": (15,), "num_classes": 3, "vocab_size": 50, **settings})


def test_refuses_batches_it_cannot_read() -> None:
    system = RNNClassifier(input_shape=(15,), num_classes=3, vocab_size=50)
    x, lengths = texts()
    y = torch.arange(6) % 3
    for batch, message in (
        (SequenceBatch(x, lengths - lengths.min(), y, y), "lengths must lie in 1..15, found 0.."),
        (SequenceBatch(x[:, :3], lengths, y, y), "lengths must lie in 1..3, found 1..15"),
        (
            SequenceBatch(x.clamp(max=49) + 1, lengths, y, y),
            "found token 50, but vocab_size is 50",
        ),
        (SequenceBatch(x, lengths, y + 1, y), r"labels must lie in 0..2, found 1..3"),
    ):
        with pytest.raises(ValueError, match=message):
            system.check_batch(batch)
