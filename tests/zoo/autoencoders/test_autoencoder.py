"""Everything passes through an autoencoder's code, and the linear one is PCA."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch
from datamodules.images.transform import ImageTransform
from zoo.autoencoders.autoencoder import Autoencoder, AutoencoderNet
from zoo.metrics.probe import principal_components

PROGRESS = torch.tensor(0.5)


def batch_of(x: torch.Tensor) -> Batch:
    return Batch(x, torch.zeros(len(x), dtype=torch.long), torch.arange(len(x)))


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_the_loss_is_the_error_of_what_comes_back(architecture: str) -> None:
    system = Autoencoder((1, 8, 8), architecture=architecture, widths=[8], latent_dim=3)  # type: ignore[arg-type]
    x = torch.rand(5, 1, 8, 8)
    loss, outputs = system.step(batch_of(x), PROGRESS)
    torch.testing.assert_close(loss, (system(x) - x).square().mean())
    torch.testing.assert_close(outputs["preds"], system.decode(system.encode(x)))
    assert system.encode(x).shape == (5, 3)
    assert 0 <= outputs["preds"].min() < outputs["preds"].max() <= 1


def test_nothing_passes_but_the_code() -> None:
    net = AutoencoderNet((1, 8, 8), widths=[16], latent_dim=2)
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x).flatten(), x).view(64, 64)  # type: ignore[no-untyped-call]
    assert torch.linalg.matrix_rank(jacobian, rtol=1e-4) == 2


def test_the_linear_one_ends_in_the_principal_subspace() -> None:
    torch.manual_seed(0)
    x = (torch.randn(400, 3) @ torch.randn(3, 36) + 0.3 * torch.randn(400, 36)).view(-1, 1, 6, 6)
    net = AutoencoderNet((1, 6, 6), widths=[], latent_dim=3, squash=False)
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    mean, directions = principal_components(x.flatten(1), 3)
    centred = x.flatten(1) - mean
    best = (centred - centred @ directions.T @ directions).square().mean()
    assert F.mse_loss(net(x), x).item() == pytest.approx(best.item(), rel=1e-3)


def test_predicting_gives_codes() -> None:
    system = Autoencoder((1, 8, 8), latent_dim=3)
    x = torch.rand(5, 1, 8, 8)
    outputs = system.predict_step(batch_of(x), 0)
    torch.testing.assert_close(outputs["code"], system.encode(x))


def test_refuses_what_cannot_work() -> None:
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        Autoencoder((1, 8, 8), latent_dim=0)
    with pytest.raises(ValueError, match="input_shape is not known"):
        Autoencoder()
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], found -1.00..2.00: set data.normalize to false"):
        Autoencoder((1, 1, 2)).check_batch(batch_of(torch.tensor([[[[-1.0, 2.0]]]])))


class Colours(DataModule):
    """A few random colour images."""

    num_classes, input_shape = 2, (3, 8, 8)

    def __init__(self) -> None:
        super().__init__(batch_size=8, test_fraction=0.2, val_fraction=0.2)
        self.transform = ImageTransform((0.0,) * 3, (1.0,) * 3, normalize=False)

    def load(self, part: str) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        x = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8, generator=generator)
        return Arrays(x, torch.arange(60) % 2)


def test_coloured_images_are_trained_on_and_scored(fit: Callable[..., Trainer]) -> None:
    """Convolutions run in channels_last, whose tensors torchmetrics' mean squared error cannot view as flat."""
    data, system = Colours(), Autoencoder((3, 8, 8), architecture="conv", widths=[4])
    trainer = fit(system, data, max_epochs=1, log_every_n_steps=1)
    (scores,) = trainer.test(system, datamodule=data, verbose=False)
    assert 0 < scores["test/mse"] < 1
