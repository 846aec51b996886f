"""Two domains: all of both are seen, nobody meets a partner of his own, and the smaller one comes round again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import MNIST, USPS, ColourMNIST, UnpairedImages, UnpairedSets
from datamodules.images.colour_mnist import blend
from datamodules.images.unpaired_images import partners

NUM = {"trainA": 20, "trainB": 10, "testA": 6, "testB": 4}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Every picture of its own grey: of A below 128, of B above."""
    for folder, num in NUM.items():
        (tmp_path / folder).mkdir()
        for number in range(num):
            level = number + (128 if folder.endswith("B") else 0)
            Image.fromarray(np.full((4, 6), level, dtype=np.uint8)).save(tmp_path / folder / f"{number:02d}.png")
    return tmp_path


def module(root: Path, **arguments: Any) -> UnpairedImages:
    data = UnpairedImages(str(root), **{"size": 4, "rgb": False, "batch_size": 3, "seed": 0, **arguments})
    data.setup()
    return data


def epoch_of(data: Any, epoch: int, split: str = "train") -> Any:
    loader = data.loader(split)
    loader.sampler.set_epoch(epoch)
    served = [data.transform(batch, epoch, split == "train") for batch in loader]
    return type(served[0])(*(torch.cat(values) for values in zip(*served, strict=True)))


def test_an_epoch_sees_all_of_both(root: Path) -> None:
    data = module(root)  # 18 and 9 to learn from
    for epoch in range(3):
        seen = epoch_of(data, epoch)
        assert len(seen.position.unique()) == len(seen.x) == 18
        assert seen.y_position.bincount()[data.others["train"].rows].tolist() == [2] * 18  # 9 rows, twice each
        assert torch.equal((255 * seen.x[:, 0, 0, 0]).round().long(), seen.position)
        assert torch.equal((255 * seen.y[:, 0, 0, 0]).round().long(), seen.y_position + 128)


def test_partners_change_with_epoch_and_seed_and_nothing_else(root: Path) -> None:
    def pairs(seed: int, epoch: int) -> set[tuple[int, int]]:
        torch.manual_seed(torch.initial_seed() + 1)  # must not matter
        seen = epoch_of(module(root, seed=seed), epoch)
        return set(zip(seen.position.tolist(), seen.y_position.tolist(), strict=True))

    assert pairs(0, 0) == pairs(0, 0)
    assert len(pairs(0, 0) & pairs(0, 1)) < 9
    assert len(pairs(0, 0) & pairs(1, 0)) < 9


@pytest.mark.parametrize("num", [2, 3, 100])
def test_nobody_is_his_own_partner(num: int) -> None:
    for epoch in range(20):
        partner = partners(num, seed=3, epoch=epoch)
        assert sorted(partner.tolist()) == list(range(num))
        assert not (partner == torch.arange(num)).any()


def test_partners_are_spread_evenly() -> None:
    """Over many epochs the first place meets each of the four others about as often."""
    met = torch.tensor([partners(5, seed=0, epoch=epoch)[0] for epoch in range(2000)]).bincount(minlength=5) / 2000
    assert met[0] == 0
    assert met[1:].tolist() == pytest.approx([0.25] * 4, abs=0.04)


def test_evaluation_is_always_the_same_and_pairs_nobody(root: Path) -> None:
    data = module(root)
    first, second = epoch_of(data, 0, "test"), epoch_of(data, 5, "test")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert first.position.tolist() == list(range(6))
    assert set(first.y_position.tolist()) == set(range(4))


def test_domains_are_mirrored_each_for_itself(root: Path) -> None:
    """Two domains of the same pictures: the same place is not always mirrored in both."""
    for number in range(10):
        ramp = np.tile(np.arange(4, dtype=np.uint8), (4, 1))
        for folder in ("trainA", "trainB"):
            Image.fromarray(ramp).save(root / folder / f"{number:02d}.png")
    data = module(root)
    seen = [epoch_of(data, epoch) for epoch in range(5)]
    a, b = (
        {(e, int(p)): x[0, 0, 0].item() > 0 for e, batch in enumerate(seen) for p, x in zip(batch[at], batch[of], strict=True)}
        for at, of in ((2, 0), (3, 1))
    )
    both = [(a[key], b[key]) for key in a.keys() & b.keys() if key[1] < 10]
    assert {(False, True), (True, False)} <= set(both)


def test_training_images_are_crops_of_larger_ones_and_evaluation_moves_nothing(root: Path) -> None:
    """With ramps whose pixels name their place, a crop is a window of the larger image: the same in A and B only by chance."""
    ramp = (16 * np.arange(6)[:, None] + np.arange(6)).astype(np.uint8)
    for folder, num in NUM.items():
        for number in range(num):
            Image.fromarray(ramp).save(root / folder / f"{number:02d}.png")
    data = module(root, jitter=2, flip=False)
    assert data.splits["train"].arrays.x.shape[2:] == (6, 6)
    places = []
    for epoch in range(3):
        seen = epoch_of(data, epoch)
        for x in (seen.x, seen.y):
            level = (255 * x[:, 0]).round().long()
            assert (level - level[:, :1, :1] == torch.from_numpy(ramp[:4, :4].astype(int))).all()  # a window
            places.append(level[:, 0, 0])
    assert set(torch.cat(places).tolist()) == {16 * row + column for row in range(3) for column in range(3)}
    assert not torch.equal(places[0], places[1])
    assert not torch.equal(places[0], places[2])
    for split in ("val", "test"):
        first, second = epoch_of(data, 0, split), epoch_of(data, 1, split)
        assert torch.equal(first.x, second.x)
        assert torch.equal(first.x, (module(root).splits[split].arrays.x[first.position] / 255))
    whole = data.transform(next(iter(data.loader("train"))), 0, False)  # what callbacks see of the training part
    assert whole.x.shape[2:] == whole.y.shape[2:] == (4, 4)


def test_the_data_know_what_they_are(root: Path) -> None:
    data = module(root, rgb=True)
    assert data.input_shape == epoch_of(data, 0).x.shape[1:] == (3, 4, 4)
    assert (epoch_of(data, 0).label == -1).all()
    assert data.class_names == ()


def test_an_empty_or_missing_domain_is_named(root: Path) -> None:
    for path in (root / "testB").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"the domain folder .*testB holds no pictures: fill it"):
        module(root)
    (root / "testB").rmdir()
    with pytest.raises(FileNotFoundError, match=r"no folder .*testB: data.root has to hold trainA, trainB, testA and testB"):
        module(root)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": "ColourMNIST"}, r"MNIST has 1 channel\(s\) and ColourMNIST 3: set data.rgb"),
        ({"a": "Digits"}, "'Digits' is not a set of small images of the zoo: choose one such as MNIST"),
        ({"b": "nothing"}, "'nothing' is not a set of small images"),
        ({"margin": 14}, "margin must be 0 or more and less than half of size 28, got 14"),
    ],
)
def test_sets_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnpairedSets(**arguments)
    with pytest.raises(ValueError, match="root is not given"):
        UnpairedImages()


@pytest.mark.parametrize(("arguments", "named"), [({"size": 0}, "got 0 and 0"), ({"jitter": -1}, "got 4 and -1")])
def test_bad_sizes_are_refused(root: Path, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"size must be at least 1 pixel and jitter at least 0, {named}"):
        module(root, **arguments)


@pytest.mark.usefixtures("mirror")
def test_two_sets_are_domains_with_their_classes() -> None:
    data = UnpairedSets("MNIST", "USPS", size=14, batch_size=500)
    data.setup()
    seen = data.transform(next(iter(data.loader("train"))), 0, True)
    mnist = MNIST(normalize=False, size=14).load("train")
    assert torch.equal(seen.x, mnist.x[seen.position] / 255)
    assert torch.equal(seen.label, mnist.y[seen.position])
    assert seen.y.shape == seen.x.shape == (500, 1, 14, 14)
    assert (seen.label == seen.y_label).float().mean() < 0.2  # by chance alone
    assert data.num_train_batches == 108


@pytest.mark.usefixtures("mirror")
def test_a_margin_makes_digits_of_b_smaller() -> None:
    data = UnpairedSets("MNIST", "USPS", size=14, margin=2)
    x, expected = data.domain("B", "test").x, USPS(normalize=False, size=10).load("test").x
    assert torch.equal(x[:, :, 2:-2, 2:-2], expected)
    assert x.sum() == expected.sum()  # all around is black
    assert x.shape[1:] == data.domain("A", "test").x.shape[1:]


@pytest.mark.usefixtures("mirror")
def test_coloured_digits_are_differences_from_a_ground_of_their_own() -> None:
    plain, data = MNIST(normalize=False).load("test"), ColourMNIST(normalize=False)
    coloured = data.load("test")
    assert torch.equal(coloured.y, plain.y)
    assert tuple(coloured.x.shape[1:]) == data.input_shape
    grounds = blend(torch.zeros_like(plain.x[:50]), torch.arange(60_000, 60_050)).float()
    torch.testing.assert_close(coloured.x[:50].float(), (grounds - plain.x[:50].float()).abs(), rtol=0, atol=1)
    assert len({tuple(ground[:, 0, 0].tolist()) for ground in grounds}) == 50  # no two alike
    mean = (coloured.x.float() / 255).mean((0, 2, 3))
    assert mean.tolist() == pytest.approx(ColourMNIST.mean, abs=0.02)
