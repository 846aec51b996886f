"""Where the Gaussians are, and that the points are theirs."""

from typing import Any

import pytest
import torch

from datamodules import GaussianMixture


def test_a_ring_has_radius_two_and_equal_steps() -> None:
    centres = GaussianMixture("ring", 8).centres
    torch.testing.assert_close(centres.norm(dim=1), torch.full((8,), 2.0))
    gaps = (centres - centres.roll(1, 0)).norm(dim=1)
    torch.testing.assert_close(gaps, gaps[:1].expand(8))


def test_a_grid_is_square_and_about_the_origin() -> None:
    centres = GaussianMixture("grid", 25).centres
    assert centres.mean(0).tolist() == [0, 0]
    assert sorted(set(centres[:, 0].tolist())) == [-4, -2, 0, 2, 4]
    assert torch.pdist(centres).min().item() == 2


def test_points_are_their_gaussians() -> None:
    data = GaussianMixture("ring", 8, spread=0.1, num_samples=8000)
    data.setup()
    (x, y, _), rows = data.splits["train"]
    for label, centre in enumerate(data.centres):
        mine = x[rows][y[rows] == label]
        assert len(mine) == 700
        torch.testing.assert_close(mine.mean(0), centre, atol=0.02, rtol=0)
        torch.testing.assert_close(mine.std(0), torch.full((2,), 0.1), atol=0.01, rtol=0)
    assert data.input_shape == (2,)
    assert data.num_classes == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "cube"}, "unknown layout 'cube': choose one of ring, grid"),
        ({"layout": "grid", "num_modes": 8}, "a square number for a grid, got 8"),
        ({"num_modes": 0}, "num_modes must be at least 1"),
        ({"spread": 0.0}, "spread must be positive, got 0.0"),
        ({"num_samples": 50}, "num_samples must be at least ten for each of the 8 modes, got 50"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**arguments)
