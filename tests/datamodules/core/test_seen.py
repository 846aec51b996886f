"""Samples are recognised by their content."""

import torch

from datamodules.core.seen import count_common, identities, identities_of_rows, thin


def test_equal_samples_have_equal_numbers_and_others_differ() -> None:
    x, y = torch.rand(50, 3, 4), torch.arange(50)
    numbers = identities_of_rows(x, y)
    assert len(set(numbers)) == 50
    assert identities_of_rows(x.flip(0), y.flip(0)) == numbers[::-1]  # wherever they stand
    assert not set(identities_of_rows(x, y + 1)) & set(numbers)  # the target counts
    assert identities([b"a", b"b", b"a"])[0] == identities([b"a"])[0] != identities([b"b"])[0]


def test_thinned_rows_are_evenly_spaced_and_no_more_than_asked() -> None:
    rows = torch.arange(100)
    assert thin(rows, 30).tolist() == list(range(0, 100, 4))
    assert thin(rows, 100).tolist() == thin(rows, None).tolist() == rows.tolist()
    assert thin(rows[:0], 5).tolist() == []


def test_common_samples_are_counted_once() -> None:
    assert count_common([1, 2, 2, 3], [2, 3, 3, 4]) == 2
