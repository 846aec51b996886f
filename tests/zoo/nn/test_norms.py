"""Norms standardise over the right dimensions."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from zoo.errors import ZooError
from zoo.nn.norms import MapNorm, Norm, feature_norm, map_norm, spectral


def standardised(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (x - x.mean(dims, keepdim=True)) / torch.sqrt(x.var(dims, correction=0, keepdim=True) + 1e-5)


def grouped(x: Tensor, num_groups: int) -> Tensor:
    """Standardise over groups of neighbouring channels and all positions."""
    parts = [standardised(part, tuple(range(1, x.ndim))) for part in x.chunk(num_groups, dim=1)]
    return torch.cat(parts, dim=1)


def scaled(norm: nn.Module) -> nn.Module:
    """Give learned scales and shifts distinct values."""
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 2)
    return norm


def affine(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply the norm's scale and shift of each channel, if it has them."""
    parameters, shape = dict(norm.named_parameters()), (1, -1, *[1] * (x.ndim - 2))
    return x * parameters["weight"].view(shape) + parameters["bias"].view(shape) if parameters else x


FEATURES = {"none": lambda x: x, "layer": lambda x: standardised(x, (1,)), "group": lambda x: grouped(x, 4)}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FEATURES)
def test_norms_of_features_without_a_memory_equal_their_formula_in_both_modes(name: Norm, training: bool) -> None:
    x = 5 + 3 * torch.randn(6, 32, dtype=torch.float64)
    norm = scaled(feature_norm(name, 32, num_groups=4 if name == "group" else None)).double().train(training)
    torch.testing.assert_close(norm(x), affine(norm, FEATURES[name](x)), rtol=1e-6, atol=1e-6)
    assert torch.equal(norm(x)[:1], norm(x[:1]))  # a sample does not depend on its batch


MAPS = {
    "none": lambda x: x,
    "layer": lambda x: standardised(x, tuple(range(1, x.ndim))),
    "instance": lambda x: standardised(x, tuple(range(2, x.ndim))),
    "group": lambda x: grouped(x, 8),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("name", MAPS)
def test_norms_of_maps_without_a_memory_equal_their_formula_in_both_modes(name: MapNorm, dims: Any, training: bool) -> None:
    x = 5 + 3 * torch.randn(3, 16, *[5, 4][:dims], dtype=torch.float64)
    norm = scaled(map_norm(name, 16, dims=dims)).double().train(training)
    torch.testing.assert_close(norm(x), affine(norm, MAPS[name](x)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(norm(x)[:1], norm(x[:1]))


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_batch_norm_uses_the_batch_in_training_and_its_memory_in_evaluation(dims: Any) -> None:
    x = 5 + 3 * torch.randn(20, 3, *[5, 4][:dims], dtype=torch.float64)
    norm = scaled(feature_norm("batch", 3) if dims == 0 else map_norm("batch", 3, dims=dims)).double()
    over = (0, *range(2, x.ndim))
    torch.testing.assert_close(norm(x), affine(norm, standardised(x, over)), rtol=1e-6, atol=1e-6)
    for _ in range(200):  # each pass moves the statistics by a tenth of the difference
        norm(x)
    mean, variance = x.mean(over, keepdim=True), x.var(over, correction=1, keepdim=True)  # the running variance is unbiased
    oracle = affine(norm, (x[:1] - mean) / torch.sqrt(variance + 1e-5))
    torch.testing.assert_close(norm.eval()(x[:1]), oracle, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", get_args(MapNorm))
def test_gradients_are_those_of_the_values_and_extreme_inputs_are_finite(name: MapNorm) -> None:
    for norm, shape in ((map_norm(name, 8), (2, 8, 3, 2)), (map_norm(name, 8, dims=1), (2, 8, 3))):
        assert gradcheck(norm.double(), (torch.randn(shape, dtype=torch.float64, requires_grad=True),))
    x = torch.full((2, 8, 3, 2), 1e4, requires_grad=True)
    y = map_norm(name, 8)(x * torch.tensor([1.0, -1.0]))
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", get_args(Norm))
def test_gradients_of_features_are_those_of_the_values(name: Norm) -> None:
    assert gradcheck(feature_norm(name, 16).double(), (torch.randn(3, 16, dtype=torch.float64, requires_grad=True),))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: feature_norm("groop", 8), "unknown norm 'groop': choose one of none, batch, layer, group"),  # type: ignore[arg-type]
        (lambda: map_norm("groop", 8), "unknown norm 'groop': choose one of none, batch, layer, instance, group"),  # type: ignore[arg-type]
        (lambda: feature_norm("instance", 8), "'instance' normalises maps, and a feature is a single number"),  # type: ignore[arg-type]
        (lambda: feature_norm("group", 12), "norm_groups must divide the width 12, got 8: choose another number or width"),
        (lambda: feature_norm("group", 8), "8 groups of one feature each leave 0: set norm_groups to fewer than the width 8"),
        (lambda: map_norm("group", 12, 5), "norm_groups must divide the width 12, got 5"),
        (lambda: map_norm("group", 12, 0), "norm_groups must divide the width 12, got 0"),
        (lambda: map_norm("batch", 12, 4), "norm_groups 4 has no effect with norm 'batch', only with group: leave it out"),
    ],
)
def test_refuses_what_cannot_work(build: Any, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        build()


def test_a_layer_with_spectral_norm_has_norm_one() -> None:
    layer = spectral(nn.Linear(6, 4))
    for _ in range(20):
        layer(torch.randn(2, 6))
    assert torch.linalg.matrix_norm(layer.weight, ord=2).item() == pytest.approx(1, abs=1e-4)
