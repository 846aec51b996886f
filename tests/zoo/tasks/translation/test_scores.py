"""Scores of perfect translators and of the identity, by classifiers and by distances from targets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

from datamodules.images.unpaired_images import UnpairedSets
from zoo.gans.cyclegan import CycleGAN
from zoo.gans.pix2pix import Pix2Pix
from zoo.tasks.translation.scores import CycleScores, PairScores

Data = Callable[..., Any]
Cycle = Callable[..., CycleGAN]


class Negative(nn.Module):
    """Perfect translator of images in [-1, 1] to their negatives."""

    def forward(self, x: Tensor) -> Tensor:
        return -x


def trainer(callback: Any, tmp_path: Path, **limits: int) -> Trainer:
    return Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback], default_root_dir=tmp_path, **limits,
    )  # fmt: skip


def scores(system: Any, data: Any, callback: Any, tmp_path: Path, **limits: int) -> dict[str, float]:
    return dict(trainer(callback, tmp_path, **limits).test(system, data, verbose=False)[0])


def test_a_perfect_translator_scores_better_than_the_identity(negatives: Data, cycle: Cycle, tmp_path: Path) -> None:
    system = cycle()
    system.generator.to_b, system.generator.to_a = Negative(), Negative()
    perfect = scores(system, negatives(), CycleScores(epochs=20), tmp_path)
    assert perfect["test/probe_acc"] > 0.98
    assert perfect["test/called_b"] > 0.98
    assert perfect["test/called_a"] > 0.98
    assert perfect["test/class_probe_acc"] > 0.85
    assert perfect["test/kept_b"] == pytest.approx(perfect["test/class_probe_acc"], abs=0.07)  # measured on other digits
    assert perfect["test/cycle_l1"] == pytest.approx(0, abs=1e-6)
    # Scores of the identity, by the same classifiers.
    assert perfect["test/called_b_identity"] < 0.02
    assert perfect["test/called_a_identity"] < 0.02
    assert perfect["test/kept_b_identity"] < 0.5
    system.generator.to_b, system.generator.to_a = nn.Identity(), nn.Identity()
    identity = scores(system, negatives(), CycleScores(epochs=20), tmp_path)
    for name in ("called_a", "called_b", "kept_b"):
        assert identity[f"test/{name}"] == identity[f"test/{name}_identity"] == perfect[f"test/{name}_identity"]


@pytest.mark.usefixtures("mirror")
def test_published_weights_classify_translations(negatives: Data, cycle: Cycle, tmp_path: Path) -> None:
    """A classifier of MNIST is accurate on MNIST and less accurate on USPS."""
    system = CycleGAN((1, 28, 28), width=4, num_halvings=1, num_blocks=1, d_widths=[4, 4])
    system.generator.to_b, system.generator.to_a = nn.Identity(), nn.Identity()
    report = CycleScores("simple_cnn_mnist", epochs=1)
    found = scores(system, UnpairedSets(batch_size=100), report, tmp_path, limit_test_batches=4, limit_train_batches=2)
    assert found["test/kept_b_simple_cnn_mnist"] == found["test/kept_b_simple_cnn_mnist_identity"] > 0.97
    assert 0.4 < found["test/kept_a_simple_cnn_mnist_identity"] < 0.97
    with pytest.raises(ValueError, match="no published weights 'unknown'"):
        scores(cycle(), negatives(), CycleScores("unknown"), tmp_path)


def each_once(data: Any, split: str) -> Tensor:
    """The targets of a split, although the loader serves some repeatedly."""
    served = [data.transform(batch, 0, False) for batch in data.loader(split)]
    return torch.stack(
        list({int(place): y for batch in served for place, y in zip(batch.position, batch.y, strict=True)}.values())
    )


def test_translations_of_pairs_are_compared_with_targets_and_the_mean_target(negatives: Data, tmp_path: Path) -> None:
    class Copies(negatives):  # type: ignore[valid-type, misc]
        """Pairs: y is the negative of x."""

        def loader(self, split: str) -> Any:
            loader = super().loader(split)
            served = loader._batches

            def paired() -> Iterator[Any]:
                for batch in served():
                    yield batch._replace(y=255 - batch.x)

            loader._batches = paired  # type: ignore[method-assign]
            return loader

    system = Pix2Pix((1, 8, 8), widths=[4, 4], d_widths=[4])
    system.generator = Negative()
    data = Copies()
    found = scores(system, data, PairScores("simple_cnn_mnist"), tmp_path)
    assert found["test/l1"] == pytest.approx(0, abs=1e-6)
    assert found["test/fd_simple_cnn_mnist_translations"] == pytest.approx(0, abs=0.01)
    assert found["test/fd_simple_cnn_mnist_real"] > 0.1
    assert found["test/fd_patches_translations"] == pytest.approx(0, abs=1e-3)
    assert found["test/fd_patches_real"] > 1e-2
    assert found["test/kd_simple_cnn_mnist_translations"] < found["test/kd_simple_cnn_mnist_real"] + 0.01
    train, test = (each_once(data, split) for split in ("train", "test"))
    assert found["test/l1_mean_image"] == pytest.approx((test - train.mean(0)).abs().mean().item(), rel=1e-4)
    system.generator = nn.Identity()
    identity = scores(system, data, PairScores("simple_cnn_mnist"), tmp_path)
    assert identity["test/l1"] > found["test/l1_mean_image"]
    assert identity["test/fd_simple_cnn_mnist_translations"] > 3 * found["test/fd_simple_cnn_mnist_real"]
    assert identity["test/fd_patches_translations"] > 3 * found["test/fd_patches_real"]
    (validation,) = trainer(PairScores(), tmp_path).validate(system, data, verbose=False)
    assert validation["val/fd_patches_translations"] > 3 * validation["val/fd_patches_real"] > 0


@pytest.mark.parametrize("name", ["num_images", "num_train", "epochs"])
def test_counts_below_one_are_refused(name: Literal["num_images", "num_train", "epochs"]) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        CycleScores(**{name: 0})
