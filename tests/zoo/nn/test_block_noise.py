"""Noise is predicted from earlier values of its own block and no others."""

import pytest
import torch

from zoo.nn.block_noise import BlockNoise


@pytest.mark.parametrize("block", [1, 2, 4])
def test_a_value_depends_on_all_earlier_values_of_its_block_and_on_no_others(block: int) -> None:
    layer = BlockNoise((3, 4, 8), block)
    torch.nn.init.uniform_(layer.weight, 0.5, 1.0)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0], torch.randn(3, 4, 8))  # type: ignore[no-untyped-call]  # torch's
    seen = jacobian.permute(1, 2, 0, 4, 5, 3) != 0  # (H, W, C, H, W, C)
    row, column, channel = torch.meshgrid(torch.arange(4), torch.arange(8), torch.arange(3), indexing="ij")
    order = ((row % block) * block + column % block) * 3 + channel
    number = (row // block) * 8 + column // block
    expected = (number[..., None, None, None] == number) & (order < order[..., None, None, None])
    assert torch.equal(seen, expected)


def test_any_covariance_of_a_block_can_be_expressed() -> None:
    """The weights of least squares and the variances of what remains give back the covariance of the noise."""
    torch.manual_seed(0)
    factor = torch.randn(12, 12).double()
    covariance = factor @ factor.T
    layer = BlockNoise((3, 2, 2), 2).double()
    with torch.no_grad():
        for value in range(1, 12):
            layer.weight[value, :value] = torch.linalg.solve(covariance[:value, :value], covariance[value, :value])
        remains = torch.eye(12).double() - layer(torch.eye(12).double().view(12, 2, 2, 3).permute(0, 3, 1, 2)).permute(
            0, 2, 3, 1
        ).reshape(12, 12)
    independent = remains.T @ covariance @ remains
    torch.testing.assert_close(independent, torch.diag(independent.diagonal()))


def test_it_starts_with_independent_noise() -> None:
    assert not BlockNoise((3, 4, 6), 2)(torch.randn(2, 3, 4, 6)).any()


@pytest.mark.parametrize("block", [0, 3])
def test_an_image_that_does_not_divide_is_refused(block: int) -> None:
    with pytest.raises(ValueError, match=f"an image of 4x6 pixels does not divide into blocks of {block}x{block}"):
        BlockNoise((3, 4, 6), block)
