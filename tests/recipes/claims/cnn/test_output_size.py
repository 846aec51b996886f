"""Sizes by the formula, by counting, and by torch."""

import pytest
import torch
import torch.nn.functional as F

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["output_size"])


@pytest.mark.parametrize("at", [(7, 3, 2, 1, 1), (8, 3, 2, 0, 2), (5, 2, 3, 0, 1), (9, 1, 4, 2, 3)])
def test_the_formula_counts_the_places_of_the_kernel(at: tuple[int, int, int, int, int]) -> None:
    size, kernel, stride, padding, dilation = at
    last = size + 2 * padding - dilation * (kernel - 1) - 1  # the last place where the kernel fits
    assert module.formula(module.Setting(*at)) == len(range(0, last + 1, stride))


def test_same_is_refused_with_a_stride() -> None:
    with pytest.raises(RuntimeError, match="not supported for strided convolutions"):
        F.conv1d(torch.zeros(1, 1, 8), torch.ones(1, 1, 3), stride=2, padding="same")
    assert module.same_padding(2, module.SMALLEST)["agree"] == 0


def test_stride_two_halves_with_fitting_padding_only() -> None:
    fitting = {(k, p) for k in (1, 2, 3, 4, 5) for p in range(4) if module.halving(k, p, module.FAST)["share"] == 1}
    assert fitting == {(k, p) for k in (1, 2, 3, 4, 5) for p in range(4) if 2 * p in (k - 1, k - 2)}
    assert module.keeping(3, 1, module.FAST)["share"] == 1
