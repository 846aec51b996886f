"""The encoder's embeddings: their size and length."""

import pytest
import torch

from zoo.metric.conv_encoder import ConvEncoder


@pytest.mark.parametrize("training", [True, False])
def test_embeddings_have_length_one_if_normalised(training: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 1, 28, 28)
    normalised, free = (ConvEncoder((1, 28, 28), 12, normalize=normalize).train(training) for normalize in (True, False))
    assert normalised(x).shape == (6, 12)
    torch.testing.assert_close(normalised(x).norm(dim=1), torch.ones(6))
    normalised.load_state_dict(free.state_dict())
    z = free.eval()(x)
    torch.testing.assert_close(normalised.eval()(x), z / z.norm(dim=1, keepdim=True))
    assert z.norm(dim=1).std() > 0


def test_lengths_are_computed_in_single_precision_under_autocast() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder((1, 28, 28), 12)
    with torch.autocast("cpu", torch.bfloat16):
        z = encoder(torch.randn(6, 1, 28, 28))
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(6))


def test_an_image_without_features_stays_finite() -> None:
    encoder = ConvEncoder((1, 28, 28), 4)
    torch.nn.init.zeros_(encoder.head.weight)
    z = encoder(torch.randn(3, 1, 28, 28))
    assert not z.any()
    z.sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_refuses_embeddings_without_numbers() -> None:
    with pytest.raises(ValueError, match="embedding_dim must be at least 1, got 0"):
        ConvEncoder((1, 28, 28), 0)
