"""What augmentation does to images, and what its controls leave out."""

import torch

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["augmentation_few_data"])


def test_a_moved_image_is_shifted_and_mirrored_by_its_draws() -> None:
    x = torch.zeros(4, 1, 5, 5)
    x[:, 0, 2, 1] = 1.0
    draws = torch.tensor([[0.5, 0.5, 0.9], [0.0, 0.5, 0.9], [0.5, 0.9, 0.9], [0.5, 0.5, 0.1]])
    # A window that starts one row lower shows the image one pixel higher.
    assert module.moved(x, draws, flip=True).nonzero()[:, 2:].tolist() == [[2, 1], [3, 1], [2, 0], [2, 3]]
    assert module.moved(x, draws, flip=False)[3].equal(x[3])


def test_pixels_that_come_in_are_background() -> None:
    x = torch.full((1, 1, 3, 3), -0.8)
    assert module.moved(x, torch.zeros(1, 3), flip=False).equal(x)


def test_the_control_shows_one_version_of_each_image() -> None:
    x, y, rows = torch.randn(6, 1, 4, 4), torch.zeros(6), torch.arange(6)
    versions = {}
    for arm in ("changed once", "random"):
        change = module.change_of(arm, 0, 6, flip=True)
        versions[arm] = [change(x, y, rows, step)[0] for step in range(2)]
    assert versions["changed once"][0].equal(versions["changed once"][1])
    assert not versions["random"][0].equal(versions["random"][1])
    assert module.change_of("none", 0, 6, flip=True) is None
