"""Views of test-time augmentation, and their average."""

import pytest
import torch
from torch import nn

from zoo.augment.test_time import VIEWS, AverageViews, Views, average, describe_views, views_of


def test_views_are_what_they_say() -> None:
    x = torch.arange(2 * 28 * 28.0).view(1, 2, 28, 28)
    flip = views_of(x, "flip")
    assert torch.equal(torch.cat(flip), torch.cat([x, x.flip(3)]))
    same, down, up, right, left = views_of(x, "shifts")
    assert torch.equal(same, x)
    assert torch.equal(down[:, :, 1:], x[:, :, :-1])
    assert torch.equal(up[:, :, :-1], x[:, :, 1:])
    assert torch.equal(right[..., 1:], x[..., :-1])
    assert torch.equal(left[..., :-1], x[..., 1:])
    assert torch.equal(down[:, :, 0], x[:, :, 0])  # the border is repeated
    crops = views_of(x, "five_crops")
    assert [crop.shape for crop in crops] == [x.shape] * 5
    means = torch.stack([crop.mean() for crop in crops])
    torch.testing.assert_close(means[0], x.mean())
    torch.testing.assert_close(means[1:].mean(), x.mean())
    assert len(means.unique()) == 5
    with pytest.raises(ValueError, match="unknown views 'twice': choose one of flip, shifts, five_crops"):
        views_of(x, "twice")  # type: ignore[arg-type]


def test_probabilities_are_averaged_not_logits() -> None:
    logits = torch.tensor([[[0.0, 9.0]], [[100.0, 0.0]]])
    expected = logits.softmax(-1).mean(0)
    torch.testing.assert_close(average(logits).exp(), expected)
    torch.testing.assert_close(average(logits).softmax(-1), expected)


@pytest.mark.parametrize("views", ["flip", "shifts", "five_crops"])
def test_a_net_sees_all_views_at_once(views: Views) -> None:
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), torch.rand(5, 1, 8, 8)
    expected = torch.stack([net(view).softmax(1) for view in views_of(x, views)]).mean(0)
    torch.testing.assert_close(AverageViews(net, views)(x).exp(), expected)


def test_views_are_described_in_their_order() -> None:
    """A bright spot moves where a shift says, and a crop begins in the corner that it names."""
    x = torch.zeros(1, 1, 28, 28)
    x[..., 14, 14] = 1
    moved = dict(zip(VIEWS["shifts"], [(14, 14), (15, 14), (13, 14), (14, 15), (14, 13)], strict=True))
    assert list(moved) == ["as given", "moved down", "moved up", "moved right", "moved left"]
    places = [divmod(int(view.argmax()), 28) for view in views_of(x, "shifts")]
    assert places == list(moved.values())
    ramp = torch.arange(16.0)
    x = (100 * ramp[:, None] + ramp)[None, None]
    corners = {"centre": (1, 1), "top left": (0, 0), "top right": (0, 2), "bottom left": (2, 0), "bottom right": (2, 2)}
    for name, crop in zip(VIEWS["five_crops"], views_of(x, "five_crops"), strict=True):
        top, left = corners[name]
        torch.testing.assert_close(crop[0, 0, 0, 0], x[0, 0, top, left])
    assert describe_views("flip") == "averaged over 2 views of each image: as given, mirrored (--tta flip)"
