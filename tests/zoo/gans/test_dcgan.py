"""Convolutional networks as the authors describe them, and samples that both updates share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from datamodules.core.batch import Batch
from zoo.gans.dcgan import DCGAN, DCDiscriminator, DCGenerator

Fit = Callable[..., Trainer]


def test_samples_are_images_in_0_to_1() -> None:
    images, z = DCGAN((1, 8, 8), 3, (4, 5)).eval(), torch.randn(6, 3)
    torch.testing.assert_close(images(z), (images.generator(z) + 1) / 2)


def test_dcgan_is_made_as_its_authors_say() -> None:
    """BatchNorm in both but not at the discriminator's input or the generator's output, and weights from N(0, 0.02)."""
    generator, discriminator = DCGenerator(100, (3, 64, 64), (64, 128, 256)), DCDiscriminator((3, 64, 64), (64, 128, 256))
    kinds = [type(layer) for layer in discriminator.features]
    assert kinds[:2] == [nn.Conv2d, nn.LeakyReLU]
    assert kinds.count(nn.BatchNorm2d) == 2
    kinds = [type(layer) for layer in generator.layers]
    assert kinds[-2:] == [nn.ConvTranspose2d, nn.Tanh]
    assert kinds.count(nn.BatchNorm2d) == 3
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 10_000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)


class OfItsBatch(DCGAN):
    """Its noise is a function of the batch."""

    def fake(self, batch: Any) -> Tensor:
        return self.generator(batch.x.flatten(1)[:, :3])


def test_without_redrawing_an_iteration_is_that_of_tutorials(fit: Fit) -> None:
    """One batch of fakes for both updates, to the bit: weights after three iterations are those of the loop written out."""
    batches = [Batch(torch.rand(20, 1, 8, 8), torch.zeros(20), torch.arange(20)) for _ in range(3)]
    torch.manual_seed(0)
    system, twin = (OfItsBatch((1, 8, 8), latent_dim=3, widths=[4, 5], lr=0.01, redraw=again) for again in (False, True))
    twin.load_state_dict(system.state_dict())
    passes: list[int] = []
    system.generator.register_forward_hook(lambda *_: passes.append(1))
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a list will do
    fit(system, None, loader, loader, limit_val_batches=0)
    assert len(passes) == 3
    twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in a fit
    networks = twin.discriminator, twin.generator
    d, g = (torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.5, 0.999), fused=True) for net in networks)
    for batch in batches:
        fake = twin.fake(batch)
        real = 2 * batch.x - 1
        loss = F.softplus(-twin.discriminator(real)).mean() + F.softplus(twin.discriminator(fake.detach())).mean()
        d.zero_grad()
        loss.backward()
        d.step()
        loss = F.softplus(-twin.discriminator(fake)).mean()
        g.zero_grad()
        loss.backward()
        g.step()
    for name, value in system.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DCGAN((1, 8, 8), widths=(4, 4, 4, 4)), "4 widths halve an image 4 times, which needs 16x16 pixels or more"),
        (lambda: DCGAN((2,)), r"expected images \(C, H, W\), got \(2,\)"),
        (lambda: DCDiscriminator((1, 8, 8), norm="layer"), "unknown norm 'layer': choose one of batch, spectral, none"),  # type: ignore[arg-type]
        (lambda: DCGAN((1, 8, 8), redraw=False, accumulate=2), "redraw false keeps the graph of a whole batch"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
