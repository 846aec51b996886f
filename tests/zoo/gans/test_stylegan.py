"""Styles: what modulation computes, who is mixed, where truncation leads."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer

from datamodules import Digits
from datamodules.core.batch import Batch
from zoo.gans.stylegan import ModulatedConv2d, StyledLayer, StyleGAN, StyleGenerator, path_lengths, resample

Fit = Callable[..., Trainer]


def small(**arguments: Any) -> StyleGAN:
    torch.manual_seed(0)
    return StyleGAN((1, 8, 8), 4, (6, 8), style_dim=5, num_mapping=2, **arguments)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_is_a_convolution_with_weights_of_its_own_for_each_sample(demodulate: bool) -> None:
    """As the paper writes it: equations 1 and 3."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(4, 6, 3, 5, demodulate)
    x, w = torch.randn(3, 4, 7, 7), torch.randn(3, 5)
    for sample in range(3):
        weight = layer.weight * layer.scale * layer.style(w)[sample].view(1, -1, 1, 1)
        if demodulate:
            weight = weight / weight.square().sum((1, 2, 3), keepdim=True).add(1e-8).sqrt()
        expected = F.conv2d(x[sample : sample + 1], weight, padding=1)
        torch.testing.assert_close(layer(x, w)[sample : sample + 1], expected, atol=1e-5, rtol=1e-4)


def test_noise_is_new_in_training_and_the_same_in_evaluation() -> None:
    layer = StyledLayer(3, 4, 5, (6, 6))
    with torch.no_grad():
        layer.noise_strength.fill_(1.0)
    x, w = torch.randn(2, 3, 6, 6), torch.randn(2, 5)
    assert not torch.equal(layer(x, w), layer(x, w))
    layer.eval()
    assert torch.equal(layer(x, w), layer(x, w))


def test_a_mixed_sample_has_one_style_up_to_a_layer_and_the_other_from_there() -> None:
    torch.manual_seed(0)
    generator = StyleGenerator(4, (1, 32, 32), (4, 4, 4, 4), style_dim=5, mixing=0.7)
    styles, others = torch.zeros(2000, 8, 5), torch.ones(2000, 5)
    mixed = generator.mix(styles, others)[:, :, 0]
    assert (mixed.diff(dim=1) >= 0).all()  # once the other's, always the other's
    assert not mixed[:, 0].any()  # the first layer is its own
    assert mixed.any(1).float().mean().item() == pytest.approx(0.7, abs=0.03)
    starts = mixed[mixed.any(1)].sum(1)
    assert starts.unique().tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_truncation_draws_to_the_mean_style() -> None:
    system = small(truncation=0.0).eval()
    with torch.no_grad():
        system.average.module.mean_style.normal_()  # type: ignore[union-attr]  # there is one
    x = system(torch.randn(3, 4))
    torch.testing.assert_close(x[0], x[1])
    generator: Any = system.average.module  # type: ignore[union-attr]
    expected = (generator.synthesise(generator.mean_style.expand(3, generator.num_styles, -1)) + 1) / 2
    torch.testing.assert_close(x, expected.clamp(0, 1))
    untruncated = small().eval()
    x = untruncated(torch.randn(3, 4))
    assert not torch.allclose(x[0], x[1])


def test_training_finds_the_mean_style(fit: Fit) -> None:
    system = small()
    fit(system, Digits(normalize=False, batch_size=300), max_epochs=1)
    generator: Any = system.average.module  # type: ignore[union-attr]
    styles = generator.mapping(torch.randn(10_000, 4))
    torch.testing.assert_close(generator.mean_style, styles.mean(0), atol=0.05, rtol=0)
    assert generator.mean_style.abs().max() > 0.1


def test_resampling_by_two_filters_with_1_3_3_1() -> None:
    x, taps = torch.randn(6, 1, 8, 12), torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel, padded = torch.outer(taps, taps)[None, None], F.pad(x, (1, 1, 1, 1), mode="replicate")
    smaller, larger = F.conv2d(padded, kernel, stride=2), F.conv_transpose2d(padded, 4 * kernel, stride=2)
    inner = (
        ...,
        slice(1, -1),
        slice(1, -1),
    )  # at borders the library leaves taps out; the oracle repeats pixels
    torch.testing.assert_close(resample(x, [4, 6])[inner], smaller[inner], atol=1e-5, rtol=0)
    torch.testing.assert_close(resample(x, [16, 24]), larger[..., 3:-3, 3:-3], atol=1e-5, rtol=0)


def test_path_lengths_of_a_linear_generator_are_those_of_its_matrix() -> None:
    """For images A w, E |J^T y|^2 = |A|^2 / (H W), here with one style for all N layers."""

    class Linear(StyleGenerator):
        def styles(self, z: torch.Tensor) -> torch.Tensor:
            return z[:, None].expand(-1, 3, -1)

        def synthesise(self, styles: torch.Tensor) -> torch.Tensor:
            return (styles.mean(1) @ matrix).view(-1, 1, 4, 4)

    torch.manual_seed(0)
    matrix = torch.randn(5, 16)
    lengths = path_lengths(Linear(5, (1, 4, 4), (4,), style_dim=5), torch.randn(4000, 5, requires_grad=True))
    assert lengths.square().mean().item() == pytest.approx((matrix / 3).square().sum().item() / 16, rel=0.05)


def test_path_regularisation_pulls_lengths_to_their_running_mean() -> None:
    system = small(path_weight=3.0, path_every=4)
    batch = Batch(torch.rand(8, 1, 8, 8), torch.zeros(8), torch.arange(8))
    loss, outputs = system.g_step(batch, torch.tensor(0.5))
    assert loss > outputs["g_loss"]
    assert system.path_length == 0  # the step is pure
    loss.backward()
    assert system.generator.mapping[1].weight.grad.abs().sum() > 0  # type: ignore[union-attr, index]
    system.after_backward(outputs)
    assert system.path_length == outputs["path_length"] > 0
    without, outputs = system.g_step(batch, torch.tensor(0.5), penalise=False)
    assert without == outputs["g_loss"]


def test_a_lazy_penalty_weighs_as_much(fit: Fit) -> None:
    """R1 at every fourth iteration counts four times."""
    system = small(penalty_weight=2.0, penalty_every=4)
    batch = Batch(torch.rand(8, 1, 8, 8), torch.zeros(8), torch.arange(8))
    loss, outputs = system.d_step(batch, torch.tensor(0.5))
    torch.testing.assert_close(loss, outputs["d_loss"] + 2 * 4 * outputs["penalty"])
    without, outputs = system.d_step(batch, torch.tensor(0.5), penalise=False)
    torch.testing.assert_close(without, outputs["d_loss"])
    asked: list[bool] = []
    d_step = system.d_step
    system.d_step = lambda b, p, penalise=True: asked.append(penalise) or d_step(b, p, penalise)  # type: ignore[method-assign, func-returns-value]
    fit(system, Digits(normalize=False, batch_size=100), max_steps=5, limit_val_batches=0)
    assert asked == [True, False, False, False, True]


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mixing is a probability, got 2\.0"):
        small(mixing=2.0)
    with pytest.raises(ValueError, match=r"truncation must lie in \[0, 1\], got -1.0"):
        small(truncation=-1.0)
