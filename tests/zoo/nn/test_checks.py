"""Inputs and labels that do not fit are refused with a message that names them."""

import pytest
import torch

from zoo.nn.checks import check_labels, check_probabilities, check_shape, check_sizes, dropout_rates


@pytest.mark.parametrize("labels", [[0, 1, 2], [2, 2], [0]])
def test_labels_in_range_are_accepted(labels: list[int]) -> None:
    check_labels(torch.tensor(labels), num_classes=3)


@pytest.mark.parametrize(("labels", "found"), [([0, 3], r"0\.\.3"), ([-1, 2], r"-1\.\.2"), ([255, 0], r"0\.\.255")])
def test_labels_out_of_range_are_refused_with_their_range(labels: list[int], found: str) -> None:
    with pytest.raises(ValueError, match=rf"labels must lie in 0\.\.2, found {found}"):
        check_labels(torch.tensor(labels), num_classes=3)


def test_shape_may_be_a_list_and_the_batch_size_is_arbitrary() -> None:
    for batch_size in (0, 1, 7):
        check_shape(torch.zeros(batch_size, 1, 8, 8), [1, 8, 8])  # type: ignore[arg-type]  # a list, as YAML gives it


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (64,)])
def test_another_shape_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"built for inputs of shape \(1, 8, 8\), got \(" + str(shape[0])):
        check_shape(torch.zeros(2, *shape), (1, 8, 8))


def test_sizes_below_one_are_refused() -> None:
    check_sizes(1, [1])
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        check_sizes(0, [4])
    with pytest.raises(ValueError, match=r"widths must be one or more positive numbers, got \[4, 0\]"):
        check_sizes(1, [4, 0])


def test_probabilities_are_not_labels_and_labels_are_not_probabilities() -> None:
    check_probabilities(torch.tensor([[0.3, 0.7], [1.0, 0.0]]), num_classes=2)
    with pytest.raises(ValueError, match=r"this loss needs one class for each sample, got .* leave out data\.augment\.mixup"):
        check_labels(torch.tensor([[0.3, 0.7]]), num_classes=2)
    for y in (torch.tensor([0.3, 0.7]), torch.tensor([[0.3, 0.3]]), torch.tensor([[0.3, 0.7, 0.0]])):
        with pytest.raises(ValueError, match="float targets of a classifier must be probabilities of 2 classes"):
            check_probabilities(y, num_classes=2)


def test_one_dropout_rate_counts_for_all_layers_and_several_must_be_one_for_each() -> None:
    assert dropout_rates(0.2, 3) == [0.2, 0.2, 0.2]
    assert dropout_rates([0.1, 0.0], 2) == [0.1, 0.0]
    assert dropout_rates(0.5, 0) == []
    with pytest.raises(ValueError, match=r"dropout must be one number, or one for each of 3 hidden layers, got \[0.1, 0.2\]"):
        dropout_rates([0.1, 0.2], 3)
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got"):
            dropout_rates(wrong, 0)
        with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got"):
            dropout_rates([0.1, wrong], 2)
