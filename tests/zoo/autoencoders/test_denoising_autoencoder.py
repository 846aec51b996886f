"""Statistics of the three kinds of noise, and the clean image as the target."""

import math

import pytest
import torch

from datamodules.core.batch import Batch
from zoo.autoencoders.denoising_autoencoder import DenoisingAutoencoder, corrupt


def test_gaussian_noise_has_its_deviation_where_it_is_not_clipped() -> None:
    x = torch.full((50, 1, 28, 28), 0.5)
    noisy = corrupt(x, "gaussian", 0.1)
    assert (noisy - x).std().item() == pytest.approx(0.1, rel=0.02)
    assert abs((noisy - x).mean().item()) < 0.002
    low, high = corrupt(x, "gaussian", 2.0).aminmax()
    assert (low, high) == (0, 1)


def test_masking_blackens_whole_pixels_and_leaves_the_others() -> None:
    x = torch.rand(50, 3, 28, 28) / 2 + 0.5
    noisy = corrupt(x, "masking", 0.3)
    black = (noisy == 0).all(1)
    assert black.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(noisy.movedim(1, -1)[~black], x.movedim(1, -1)[~black])


def test_salt_and_pepper_are_as_likely() -> None:
    x = torch.full((50, 1, 28, 28), 0.5)
    noisy = corrupt(x, "salt_and_pepper", 0.4)
    for value, share in ((0, 0.2), (1, 0.2), (0.5, 0.6)):
        assert (noisy == value).float().mean().item() == pytest.approx(share, abs=0.01)


def test_it_sees_the_noisy_image_and_is_asked_for_the_clean_one() -> None:
    system = DenoisingAutoencoder((1, 8, 8), level=0.3)
    seen: list[torch.Tensor] = []
    system.net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.rand(6, 1, 8, 8)
    loss, outputs = system.step(Batch(x, torch.zeros(6).long(), torch.arange(6)), torch.tensor(0.5))
    assert 0.1 < (seen[0] - x).std() < 0.3
    assert torch.equal(outputs["target"], x)
    torch.testing.assert_close(loss, (outputs["preds"] - x).square().mean())
    mse = (seen[0] - x).square().flatten(1).mean(1)
    psnr = sum(10 * math.log10(1 / value) for value in mse.tolist()) / 6
    assert outputs["noisy_psnr"].item() == pytest.approx(psnr, rel=1e-5)


def test_an_image_that_was_left_as_it_was_counts_for_a_hundred_decibels() -> None:
    system, x = DenoisingAutoencoder((1, 8, 8), noise="masking", level=0.5), torch.zeros(6, 1, 8, 8)
    _, outputs = system.step(Batch(x, torch.zeros(6).long(), torch.arange(6)), torch.tensor(0.5))
    assert outputs["noisy_psnr"].item() == pytest.approx(100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": "poisson"}, "unknown noise 'poisson': choose one of gaussian, masking, salt_and_pepper"),
        ({"level": 0.0}, "level must be positive"),
        ({"noise": "masking", "level": 1.0}, "below 1 if it is a probability, got 1.0"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenoisingAutoencoder((1, 8, 8), **arguments)  # type: ignore[arg-type]  # wrong on purpose
