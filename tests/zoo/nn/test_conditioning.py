"""Classes are appended to noise, and projected in discriminators."""

import pytest
import torch
from torch import nn

from zoo.nn.conditioning import append_class, projection_logits


def test_classes_are_appended_as_one_hot_vectors() -> None:
    z = torch.randn(3, 2)
    assert append_class(z, torch.tensor([0, 2, 1]), 3)[:, 2:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert append_class(z, torch.tensor([0, 2, 1]), 3)[:, :2].equal(z)
    assert append_class(z, None, None) is z


def test_projection_adds_the_product_with_the_class_embedding() -> None:
    features, head, embedding = torch.randn(3, 4), nn.Linear(4, 1), nn.Embedding(2, 4)
    y = torch.tensor([0, 1, 1])
    by_hand = [head(features[i]).item() + embedding.weight[y[i]].dot(features[i]).item() for i in range(3)]
    assert projection_logits(features, head, embedding, y).tolist() == pytest.approx(by_hand, rel=1e-5)
    torch.testing.assert_close(projection_logits(features, head, None, None), head(features)[:, 0])


def test_missing_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="a conditional generator needs the classes to draw from"):
        append_class(torch.zeros(1, 2), None, 3)
    with pytest.raises(ValueError, match="a conditional discriminator needs the classes of its samples"):
        projection_logits(torch.zeros(1, 4), nn.Linear(4, 1), nn.Embedding(2, 4), None)
