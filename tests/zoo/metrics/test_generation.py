"""Scores of samples equal closed forms, naive loops and known cases."""

import math

import pytest
import torch

from datamodules import GaussianMixture
from zoo.metrics.generation import (
    classifier_score,
    combined,
    count_modes,
    density_coverage,
    divergence,
    frechet_of_features,
    kernel_distance,
    modes_of_points,
    nearest,
    overlap,
    precision_recall,
    shares,
)


def test_precision_and_recall_equal_naive_loops() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(30, 3), torch.randn(20, 3) + 0.5

    def share_within(x: torch.Tensor, among: torch.Tensor) -> float:
        radii = [sorted((a - b).norm().item() for b in among)[3] for a in among]  # neighbour 0 is the member itself
        inside = [any((a - b).norm().item() <= r for b, r in zip(among, radii, strict=True)) for a in x]
        return sum(inside) / len(x)

    found = precision_recall(real, fake)
    assert found.precision == pytest.approx(share_within(fake, real))
    assert found.recall == pytest.approx(share_within(real, fake))
    assert 0 < found.recall < 1


def test_copies_of_one_real_sample_have_precision_but_no_recall() -> None:
    torch.manual_seed(0)
    real = torch.randn(500, 2)
    fake = real[:1] + 1e-3 * torch.randn(500, 2)
    found = precision_recall(real, fake)
    assert found.precision > 0.95
    assert found.recall < 0.05


def test_density_and_coverage_equal_naive_loops() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(30, 3), torch.randn(20, 3) + 0.5
    radii = [sorted((a - b).norm().item() for b in real)[2] for a in real]
    inside = [[(a - b).norm().item() <= r for b in fake] for a, r in zip(real, radii, strict=True)]
    found = density_coverage(real, fake, num_neighbours=2)
    assert found.density == pytest.approx(sum(map(sum, inside)) / (2 * 20))
    assert found.coverage == pytest.approx(sum(map(any, inside)) / 30)
    assert 0 < found.coverage < 1


def test_real_samples_have_the_density_and_coverage_that_the_authors_derive() -> None:
    torch.manual_seed(0)
    found = density_coverage(torch.randn(1000, 4), torch.randn(1000, 4))
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 1 / 2**5, abs=0.02)


def test_fewer_samples_than_neighbours_are_compared_with_the_farthest() -> None:
    real, fake = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    assert precision_recall(real, fake) == (0.5, 1.0)
    assert density_coverage(real, fake) == (pytest.approx(2 / (5 * 2)), 1.0)


def test_an_outlier_changes_recall_but_not_coverage() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(300, 2), torch.randn(20, 2) * 0.1
    corners = torch.tensor([[50.0, 50.0], [50.0, -50.0], [-50.0, 50.0], [-50.0, -50.0]])
    with_outliers = torch.cat([fake, corners])
    assert precision_recall(real, with_outliers).recall == 1 > 2 * precision_recall(real, fake).recall
    assert density_coverage(real, with_outliers).coverage == density_coverage(real, fake).coverage


def test_the_frechet_distance_of_features_has_the_closed_form_of_gaussians_with_aligned_axes() -> None:
    torch.manual_seed(0)
    a = torch.randn(50_000, 2) * torch.tensor([1.0, 2.0])
    b = torch.randn(50_000, 2) * torch.tensor([3.0, 1.0]) + torch.tensor([1.0, -1.0])
    assert frechet_of_features(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_of_features(a, b) == pytest.approx(1 + 1 + (3 - 1) ** 2 + (2 - 1) ** 2, rel=0.03)


def test_the_kernel_distance_is_unbiased_and_grows_with_the_difference() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2000, 4), torch.randn(2000, 4)
    assert kernel_distance(a, b) == pytest.approx(0, abs=0.02)
    assert kernel_distance(a, b + 1) > 0.5
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])
    # (ab + 1)^3 for pairs within x: 27, within y: 1, between x and y: 1, 64, 1, 343
    assert kernel_distance(x, y) == pytest.approx(27 + 1 - 2 * (1 + 64 + 1 + 343) / 4)


def test_the_classifier_score_is_the_number_of_classes_if_predictions_are_certain() -> None:
    sure = 100 * torch.eye(5).repeat(4, 1)
    assert classifier_score(sure) == pytest.approx(5)
    assert classifier_score(sure[:1].repeat(9, 1)) == pytest.approx(1)
    assert classifier_score(torch.zeros(9, 5)) == pytest.approx(1)


def test_samples_without_a_mode_do_not_affect_shares() -> None:
    expected = torch.tensor([2 / 3, 0.0, 1 / 3, 0.0])
    torch.testing.assert_close(shares(torch.tensor([0, 0, 2, -1, -1]), 4), expected)
    torch.testing.assert_close(shares(torch.tensor([0, 0, 2] + [-1] * 97), 4), expected)
    assert not shares(torch.tensor([-1, -1]), 4).any()


def test_a_mode_needs_two_fifths_of_an_equal_share() -> None:
    assert count_modes(torch.tensor([0.05] * 7 + [0.65])) == 8
    assert count_modes(torch.tensor([0.049] + [0.05] * 6 + [0.651])) == 7
    assert count_modes(torch.tensor([0.04] * 9 + [0.64])) == 10


def test_overlap_needs_good_samples_and_all_modes() -> None:
    every, one = torch.arange(80) % 8, torch.zeros(80, dtype=torch.long)
    assert overlap(every, 8) == pytest.approx(1)
    assert overlap(one, 8) == pytest.approx(1 / 8)  # all samples are good
    assert overlap(torch.where(torch.arange(80) < 8, every, -1), 8) == pytest.approx(1 / 10)  # all modes are found
    uneven = torch.tensor([0, 0, 0, 1])
    assert overlap(uneven, 2) == pytest.approx(1 - 0.5 * (abs(0.75 - 0.5) + abs(0.25 - 0.5)))  # total variation distance


def test_overlap_of_new_draws_of_the_data_is_near_one() -> None:
    """It is below 1 because 1 % of them are not good, and because the shares of 10,000 draws differ a little."""
    data, y = GaussianMixture("ring", 8), torch.randint(8, (10_000,))
    x = data.centres[y] + data.spread * torch.randn(10_000, 2)
    assert overlap(modes_of_points(x, data.centres, data.spread), 8) == pytest.approx(0.98, abs=0.01)


def test_shares_of_combinations_are_products() -> None:
    """The first part is the last digit."""
    found = combined(torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]))
    assert found.tolist() == pytest.approx([0.09, 0.36, 0.09, 0.36, 0.01, 0.04, 0.01, 0.04])


def test_divergence_equals_values_by_hand() -> None:
    even = torch.full((4,), 0.25)
    assert divergence(torch.tensor([0.5, 0.5, 0.0, 0.0]), even) == pytest.approx(math.log(2))
    assert divergence(even, even) == pytest.approx(0)
    assert divergence(even, torch.tensor([0.5, 0.5, 0.0, 0.0])) == math.inf


def test_points_belong_to_a_mode_within_three_deviations() -> None:
    data = GaussianMixture("ring", 8, spread=0.1)
    x = data.centres[[2, 5, 5]] + torch.tensor([[0.0, 0.29], [0.31, 0.0], [0.2, 0.2]])
    assert modes_of_points(x, data.centres, data.spread).tolist() == [2, -1, 5]
    data.setup()
    (x, y, _), rows = data.splits["test"]
    found = modes_of_points(x[rows], data.centres, data.spread)
    assert (found == y[rows]).float().mean().item() == pytest.approx(1 - math.exp(-4.5), abs=0.005)


def test_the_nearest_come_first() -> None:
    among = torch.tensor([[0.0], [1.0], [5.0], [2.0]])
    assert nearest(torch.tensor([[1.9], [4.0]]), among, 3).tolist() == [[3, 1, 0], [2, 3, 1]]
