"""What Pix2Pix promises: patches of a stated size, skips that carry, two losses of stated weights, training that works."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from torch import nn

from datamodules import Digits, PairedImages
from datamodules.core.batch import Batch
from zoo.gans.pix2pix import PatchDiscriminator, Pix2Pix, UNet
from zoo.tasks.abilities import Generates

Fit = Callable[..., Trainer]
PROGRESS = torch.tensor(0.5)


def batch(size: int = 4, seed: int = 0) -> Batch:
    x, y = torch.rand(2, size, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    return Batch(x, y, torch.arange(size))


def small(**arguments: Any) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix((1, 16, 16), **{"widths": [8, 16, 16], "d_widths": [8, 16], "dropout": 0.0, "lr": 2e-3, **arguments})


@pytest.mark.parametrize(("widths", "field"), [((4,), 7), ((4, 4), 16), ((4, 4, 4), 34), ((4, 4, 4, 4), 70)])
def test_a_logit_sees_a_patch_of_the_stated_size(widths: tuple[int, ...], field: int) -> None:
    net = PatchDiscriminator((1, 144, 144), 1, widths, norm="none")
    x = torch.rand(1, 1, 144, 144).requires_grad_()
    logits = net(x)
    (gradient,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x)
    rows, columns = (gradient[0, 0].any(dim).nonzero() for dim in (1, 0))
    assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == field == net.field


def test_skips_carry_what_the_bottleneck_does_not() -> None:
    """With the way down cut after its first layer, the output still follows the input; without the last skip no more."""
    net = UNet((1, 16, 16), (4, 4, 4), norm="none", dropout=0.0)

    def follows() -> bool:
        x = torch.rand(1, 1, 16, 16).requires_grad_()
        return bool(torch.autograd.grad(net(x).square().sum(), x)[0].any())

    net.down[1][1].weight.data.zero_()  # type: ignore[index]
    assert follows()
    net.up[-1][1].weight.data[4:] = 0  # type: ignore[index]  # what comes from the side is the second half
    assert not follows()


def test_both_losses_weigh_what_is_stated() -> None:
    system, given = small(l1=7.0, adversarial=0.5), batch()
    loss, outputs = system.g_step(given, PROGRESS)
    x, y = 2 * given.x - 1, 2 * given.y - 1
    fake = system.generator(x)
    by_hand = 7 * (fake - y).abs().mean() + 0.5 * F.softplus(-system.discriminator(fake, x)).mean()
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(outputs["l1"], (system(given.x) - given.y).abs().mean())  # of images in [0, 1]


def test_without_the_discriminator_only_l1_is_learned() -> None:
    system, given = small(l1=3.0, adversarial=0.0), batch()
    loss, outputs = system.g_step(given, PROGRESS)
    torch.testing.assert_close(loss, 6 * outputs["l1"])
    assert "g_loss" not in outputs
    loss.backward()
    assert all(p.grad is None for p in system.discriminator.parameters())
    assert all(p.grad is not None for p in system.generator.parameters())


def test_the_discriminator_judges_output_and_input_together() -> None:
    system, given = small(), batch()
    before = system.d_step(given, PROGRESS)[1]["d_real"]
    after = system.d_step(given._replace(x=1 - given.x), PROGRESS)[1]["d_real"]
    assert not torch.isclose(before, after, rtol=1e-3)


def test_evaluation_is_of_the_average() -> None:
    system, given = small(norm="instance", ema=0.9), batch()
    with torch.no_grad():
        for parameter in system.generator.parameters():
            parameter.mul_(3)
    system.eval()
    outputs = system.g_step(given, PROGRESS)[1]
    torch.testing.assert_close(outputs["l1"], (system(given.x) - given.y).abs().mean())
    assert not torch.isclose(outputs["l1"], ((system.generator(2 * given.x - 1) + 1) / 2 - given.y).abs().mean())


def test_learns_pairs(fit: Fit, pairs: Path) -> None:
    """Far below the best picture that is the same for all."""
    data = PairedImages(str(pairs), size=16, rgb=False, batch_size=6)
    system = small()
    trainer = fit(system, data, max_epochs=12)
    (scores,) = trainer.test(system, datamodule=data, verbose=False)
    y, train = data.splits["test"].arrays.y / 255, data.splits["train"].arrays.y / 255
    assert scores["test/l1"] < 0.5 * (y - train.mean(0)).abs().mean()


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_every_norm_reaches_a_single_pixel(norm: Any) -> None:
    net = UNet((3, 16, 16), (4, 4, 4, 4), norm=norm)
    assert net(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)
    kinds = {type(module) for module in net.modules()} & {nn.BatchNorm2d, nn.InstanceNorm2d}
    assert kinds == {"none": set(), "batch": {nn.BatchNorm2d}, "instance": {nn.InstanceNorm2d}}[norm]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (1, 20, 16)}, "images are halved 3 times, so that sides must be multiples of 8 pixels, got 20x16"),
        ({"d_widths": [8, 8, 8, 8]}, r"4 d_widths need images of 24x24 pixels or more, got \(1, 16, 16\)"),
        ({"d_widths": []}, "d_widths must be one or more positive numbers"),
        ({"widths": [8, 0]}, "widths must be one or more positive numbers"),
        ({"l1": 0.0, "adversarial": 0.0}, "not both 0"),
        ({"dropout": 1.0}, "dropout must lie in"),
        ({"norm": "batch", "ema": 0.9}, "ema 0.9 averages weights, to which no statistics of BatchNorm belong"),
        ({"norm": "power"}, "unknown norm 'power': choose one of none, batch, layer, instance, group"),
        ({"input_shape": None}, "input_shape is not known"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pix2Pix(**{"input_shape": (1, 16, 16), "widths": [8, 8, 8], "d_widths": [8, 8], **arguments})


def test_no_samples_are_drawn_from_noise() -> None:
    assert not isinstance(small(), Generates)


def test_labels_are_no_images(fit: Fit) -> None:
    system = Pix2Pix((1, 8, 8), widths=[8, 8], d_widths=[8])
    with pytest.raises(ValueError, match=r"Pix2Pix translates images to images, but y is of shape \(64,\)"):
        fit(system, Digits(normalize=False, batch_size=64), max_steps=1)
