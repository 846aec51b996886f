"""Scores distinguish samples that are copies of training images, a single image, or lack modes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor

from datamodules import Digits, FashionMNIST, GaussianMixture, StackedFashionMNIST
from zoo.gans.dcgan import DCGAN
from zoo.gans.gan import GAN
from zoo.metrics.generation import density_coverage, divergence, shares
from zoo.pretrained.features import build_extractor
from zoo.tasks.generation.frechet import FrechetDistance
from zoo.tasks.generation.sample_scores import PointModes, SampleScores

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE, NETWORK, CLOTHES = (1, 8, 8), "simple_cnn_digits", "simple_cnn_fashion_mnist"


def digits() -> Digits:
    return Digits(normalize=False, batch_size=64, seed=0)


class Memory(DCGAN):
    """GAN whose samples are the remembered images, repeated in order."""

    def remember(self, x: Tensor) -> "Memory":
        self.images, self.next = x, 0
        return self

    def sample(self, num: int, *given: Tensor) -> Tensor:
        rows = (torch.arange(num) + self.next) % len(self.images)
        self.next += num
        return self.images[rows]


def clothes() -> tuple[FashionMNIST, Tensor]:
    """Return Fashion-MNIST and 1,000 of its training images."""
    data = FashionMNIST(normalize=False, batch_size=100, seed=0)
    data.setup()
    images, rows = data.splits["train"].arrays.x, data.splits["train"].rows
    return data, images[rows[:1000]].float() / 255


def test_a_training_does_not_depend_on_its_reports(fit: Fit) -> None:
    """The report builds a network before training and draws samples at each validation."""
    weights = []
    for callbacks in ([], [SampleScores(NETWORK, num_val_images=20)]):
        torch.manual_seed(0)
        system = DCGAN(SHAPE, 4, (4, 4))
        fit(system, digits(), max_epochs=2, limit_train_batches=2, callbacks=callbacks)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in system.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.usefixtures("mirror")
def test_copied_images_score_like_real_ones_and_a_single_image_does_not(scores: Scores) -> None:
    data, real = clothes()
    callback = SampleScores(CLOTHES, num_images=1000)
    memory = scores(Memory((1, 28, 28), 4, (4, 4)).remember(real), data, callback)
    for name in ("precision", "recall", "density", "coverage", "kd", "cs"):
        assert memory[f"test/{name}_{CLOTHES}_samples"] == pytest.approx(
            memory[f"test/{name}_{CLOTHES}_real"], abs=0.05, rel=0.1
        )
    assert memory["test/modes"] == 10
    assert memory["test/class_kl"] < 0.05
    alone = scores(Memory((1, 28, 28), 4, (4, 4)).remember(real[:1]), data, SampleScores(CLOTHES, num_images=300))
    assert (alone["test/modes"], alone["test/least_share"]) == (1, 0)
    assert alone[f"test/cs_{CLOTHES}_samples"] == pytest.approx(1, abs=1e-3)
    assert alone[f"test/recall_{CLOTHES}_samples"] < 0.05
    assert alone[f"test/kd_{CLOTHES}_samples"] > 10 * abs(memory[f"test/kd_{CLOTHES}_samples"])
    assert alone["test/class_kl"] == pytest.approx(math.log(10), abs=0.3)


@pytest.mark.usefixtures("mirror")
def test_stacked_images_combine_the_classes_of_their_channels(scores: Scores) -> None:
    data = StackedFashionMNIST(normalize=False, batch_size=100, seed=0)
    data.setup()
    images, rows = data.splits["train"].arrays.x, data.splits["train"].rows
    real, callback = images[rows[:600]].float() / 255, SampleScores(CLOTHES, num_images=600)
    found = scores(Memory((3, 28, 28), 4, (4, 4)).remember(real), data, callback)
    expected = 1000 * (1 - 0.999**600)  # expected number of classes among 600 samples
    assert found["test/modes_real"] == pytest.approx(expected, rel=0.05)
    assert found["test/modes"] == pytest.approx(found["test/modes_real"], rel=0.1)
    assert found["test/class_kl"] == pytest.approx(found["test/class_kl_real"], rel=0.1)  # finite, though modes are missing
    assert found[f"test/cs_{CLOTHES}_real"] == pytest.approx(5.4, abs=0.3)  # as for single images
    alone = scores(Memory((3, 28, 28), 4, (4, 4)).remember(real[:1]), data, SampleScores(CLOTHES, num_images=50))
    assert alone["test/modes"] == 1
    assert 1 < alone[f"test/cs_{CLOTHES}_samples"] <= 3.1  # three classes at most


@pytest.mark.usefixtures("mirror")
def test_the_nearest_neighbours_of_copied_images_are_the_images_themselves(scores: Scores, tmp_path: Path) -> None:
    """The copies are training images that the report reads, the first 300."""
    data, _ = clothes()
    first = [batch.x.float() / 255 for batch, _ in zip(data.loader("train"), range(3), strict=False)]
    memory = Memory((1, 28, 28), 4, (4, 4)).remember(torch.cat(first))
    scores(memory, data, SampleScores(CLOTHES, num_images=300))
    sheet = Image.open(tmp_path / "pictures" / "neighbours.png").convert("L")
    sheet = np.asarray(sheet.resize((10 * 29 - 1, 4 * 29 - 1), Image.Resampling.NEAREST)).astype(int)
    samples, nearest, second = (sheet[29 * row : 29 * row + 28] for row in range(3))
    assert np.array_equal(samples, nearest)
    assert not np.array_equal(samples, second)


@pytest.mark.usefixtures("mirror")
def test_the_chosen_scores_rank_real_images_before_a_dropped_class_and_before_noise() -> None:
    """The scores of docs/metrics.md: coverage and class_kl see a missing class, density and coverage see bad samples."""
    data, real = clothes()
    classes = data.splits["train"].arrays.y[data.splits["train"].rows[:1000]]
    noisy = (real + 0.05 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    held_out = data.splits["test"].arrays.x[:400].float() / 255
    network = build_extractor(CLOTHES)
    kinds = {"test": held_out, "real": real[:400], "dropped": real[classes != 5][:400], "noisy": noisy[:400]}
    features = {kind: network(images) for kind, images in kinds.items()}
    share = {kind: shares(network.last(seen).argmax(1), 10) for kind, seen in features.items()}
    class_kl = {kind: divergence(found, share["test"]) for kind, found in share.items()}
    found = {kind: density_coverage(features["test"], seen) for kind, seen in features.items()}
    assert found["real"].coverage > found["dropped"].coverage + 0.03
    assert class_kl["real"] < class_kl["dropped"] - 0.05
    assert found["real"].density > found["noisy"].density + 0.3
    assert found["real"].coverage > found["noisy"].coverage + 0.3
    assert found["dropped"].density > 0.9  # density does not see the missing class


def test_validations_score_fewer_images_and_leave_the_training_as_it_is(fit: Fit) -> None:
    def train(num_val_images: int) -> tuple[Trainer, dict[str, Tensor]]:
        reports = [report(NETWORK, num_val_images=num_val_images) for report in (FrechetDistance, SampleScores)]
        torch.manual_seed(0)
        system = DCGAN(SHAPE, 4, (4, 4))
        return fit(system, digits(), callbacks=reports, max_epochs=2), system.state_dict()

    (scored, weights), (unscored, expected) = train(50), train(0)
    names = ("fd", "precision", "recall", "density", "coverage", "kd", "cs")
    logged = {f"val/{name}_{NETWORK}_samples" for name in names} | {"val/modes", "val/least_share", "val/class_kl"}
    assert logged <= scored.callback_metrics.keys()
    assert logged.isdisjoint(unscored.callback_metrics)
    assert not any(name.endswith(f"{NETWORK}_real") for name in scored.callback_metrics)
    for name, weight in expected.items():
        assert torch.equal(weight, weights[name])


def test_new_data_have_no_reference(fit: Fit) -> None:
    """Data that are new to the tested checkpoint have a test part only."""
    reports: list[Any] = [SampleScores(NETWORK, num_images=20), FrechetDistance(NETWORK, num_images=20)]
    data, system = digits(), DCGAN(SHAPE, 4, (4, 4))
    trainer = fit(system, data, max_epochs=0, callbacks=reports)
    data.splits = {"test": data.splits["test"]}
    (found,) = trainer.test(system, datamodule=data, verbose=False)
    assert {f"test/recall_{NETWORK}_samples", f"test/fd_{NETWORK}_samples"} < found.keys()
    assert not {f"test/recall_{NETWORK}_real", f"test/fd_{NETWORK}_real"} & found.keys()


@pytest.mark.parametrize(("of_another", "scored"), [(1, False), (2, True)])
def test_processes_decide_alike_whether_they_score(
    of_another: int, scored: bool, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that scored alone would wait for the others without end."""
    nums: list[int] = []
    monkeypatch.setattr("zoo.tasks.generation.base.gathered", lambda trainer, items: [*items, of_another])
    monkeypatch.setattr(SampleScores, "score", lambda self, trainer, module, split, num: nums.append(num))
    data, system, callback = digits(), DCGAN(SHAPE, 4, (4, 4)), SampleScores(NETWORK, num_val_images=20)
    fit(system, data, max_epochs=1, limit_train_batches=1, limit_val_batches=1, callbacks=[callback])
    assert nums == ([2] if scored else [])


def test_points_are_assigned_to_their_gaussians(scores: Scores) -> None:
    data = GaussianMixture("ring", 8, num_samples=800)

    class Ring(GAN):
        def sample(self, num: int, *given: Tensor) -> Tensor:
            return data.centres[torch.arange(num) % 6] + (torch.arange(num) % 2)[:, None] * 0.5

    found = scores(Ring((2,), widths=[4]), data, PointModes(num_samples=1200))
    assert found["test/modes"] == 3  # samples at every other of six centres are 0.5 off
    assert found["test/high_quality"] == pytest.approx(0.5)
    assert found["test/least_share"] == 0
    assert found["test/overlap"] == pytest.approx(3 / 8)  # at most 1/8 counts of each, and three have 1/6 each


def test_invalid_data_and_settings_are_refused_before_training(fit: Fit) -> None:
    with pytest.raises(ValueError, match="needs data with known centres, such as GaussianMixture, but Digits has none"):
        fit(GAN(SHAPE), digits(), callbacks=[PointModes()])
    with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
        SampleScores(NETWORK, num_images=0)
    with pytest.raises(ValueError, match="num_val_images must be at least 0, got -1"):
        SampleScores(NETWORK, num_val_images=-1)
    with pytest.raises(ValueError, match="no published weights 'nothing'"):
        fit(GAN(SHAPE), digits(), callbacks=[SampleScores("nothing")])
