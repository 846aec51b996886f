"""The image probe learns real classes only, and leaves the random state unchanged."""

import torch
from torch import Tensor

from datamodules import Digits
from zoo.metrics.image_probe import image_probe, share_classified_as


def digits() -> tuple[Tensor, Tensor]:
    data = Digits(normalize=False, batch_size=1293, seed=0)
    data.setup("fit")
    (batch,) = data.loader("train")
    batch = data.transform(batch, 0, False)
    return batch.x, batch.y


def test_the_probe_learns_real_but_not_shuffled_classes() -> None:
    x, y = digits()
    probe = image_probe(x[:900], y[:900], 10, epochs=5)
    assert not probe.training
    assert share_classified_as(probe, x[900:], y[900:]) > 0.9
    shuffled = image_probe(x[:900], y[:900].roll(7), 10, epochs=5)
    assert share_classified_as(shuffled, x[900:], y[900:]) < 0.3
    assert share_classified_as(probe, x[900:], 3) < 0.2  # one class for all


def test_the_probe_does_not_depend_on_the_random_state_or_change_it() -> None:
    x, y = digits()
    torch.manual_seed(1)
    first, then = image_probe(x[:200], y[:200], 10, epochs=1), torch.rand(3)
    second = image_probe(x[:200], y[:200], 10, epochs=1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), then)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_probe_can_be_trained_in_inference_mode() -> None:
    x, y = digits()
    with torch.inference_mode():
        probe = image_probe(x[:300], y[:300], 10, epochs=15)
        assert share_classified_as(probe, x[:300], y[:300]) > 0.5
