"""What is reported of codes and samples, on a real data set: pictures, bounds, distances, odd images, a probe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from PIL import Image
from zoo.tasks.tiles import tiles

from datamodules import Digits
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.autoencoders.denoising_autoencoder import DenoisingAutoencoder
from zoo.autoencoders.vae import VAE
from zoo.mlp.mlp import MLPClassifier
from zoo.tasks.evaluation import samples
from zoo.tasks.generation.frechet import FrechetDistance
from zoo.tasks.reconstruction.anomaly import AnomalyDetection, _ranks
from zoo.tasks.reconstruction.likelihood import LikelihoodBound
from zoo.tasks.reconstruction.pictures import LatentPictures, interpolations, manifold, reconstructions, traversals
from zoo.tasks.reconstruction.probe import LinearProbe
from zoo.training.predictions import Predictions
from zoo.training.system import System

Fit = Callable[..., Trainer]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def scores(fit: Fit, system: System, callback: Callback, folder: Path, max_epochs: int = 0) -> dict[str, Any]:
    data = digits()
    trainer = fit(system, data, callbacks=[callback], max_epochs=max_epochs, default_root_dir=folder)
    (found,) = trainer.test(system, datamodule=data, verbose=False)
    return dict(found)


def test_pictures_of_a_vae_are_drawn(fit: Fit, tmp_path: Path) -> None:
    found = scores(fit, VAE(SHAPE, latent_dim=2), LatentPictures(tmp_path), tmp_path, max_epochs=1)
    assert "test/mse" in found
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {"reconstructions", "samples", "interpolation", "traversal", "manifold", "embedding"}
    for path in tmp_path.glob("*.png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 5


def test_a_classifier_has_none(fit: Fit, tmp_path: Path) -> None:
    scores(fit, MLPClassifier(SHAPE, 10), LatentPictures(tmp_path), tmp_path, max_epochs=1)
    assert not list(tmp_path.glob("*.png"))


def test_rows_are_images_what_was_seen_and_answers() -> None:
    x = torch.rand(12, *SHAPE)
    plain, denoising = Autoencoder(SHAPE).eval(), DenoisingAutoencoder(SHAPE).eval()
    rows = reconstructions(plain, (x,))
    assert torch.equal(rows[0], x[:10])
    torch.testing.assert_close(rows[1], plain(x[:10]))
    rows = reconstructions(denoising, (x,))
    assert rows.shape == (3, 10, *SHAPE)
    assert not torch.equal(rows[1], rows[0])
    torch.testing.assert_close(rows[2], denoising(rows[1]))


def test_a_way_starts_and_ends_at_the_images_own_codes() -> None:
    model, z = Autoencoder(SHAPE, latent_dim=5).eval(), torch.randn(4, 5)
    sheet = interpolations(model, z, torch.zeros(4).long())
    assert sheet.shape == (4, 10, *SHAPE)
    for row, (first, last) in enumerate([(0, 1), (0, 1), (2, 3), (2, 3)]):
        torch.testing.assert_close(sheet[row, [0, -1]], model.decode(z[[first, last]]), atol=1e-5, rtol=1e-4)


def test_a_traversal_moves_one_dimension_the_widest_first() -> None:
    model = Autoencoder(SHAPE, latent_dim=3, widths=[], squash=False).eval()
    z = torch.randn(200, 3) * torch.tensor([0.1, 5.0, 1.0])
    sheet = traversals(model, z, torch.zeros(200).long())
    weight = model.net.decoder[0].weight  # type: ignore[union-attr]
    for row, dim in enumerate((1, 2, 0)):
        moved = model.net.decoder[1](weight[:, dim][None])[0]  # type: ignore[operator, index]
        change = sheet[row, -1] - sheet[row, 0]
        inside = (sheet[row] > 0).all(0) & (sheet[row] < 1).all(0)  # where nothing was clipped
        torch.testing.assert_close(change[inside], (5 * z.std(0)[dim] * moved)[inside], atol=1e-4, rtol=1e-3)


def test_a_manifold_lies_as_a_map_does() -> None:
    """Left to right the first number grows, bottom to top the second."""

    class Shows:
        device = torch.device("cpu")

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return (z.view(-1, 2, 1, 1) + 3) / 6

    sheet = manifold(Shows(), num=5)
    across, up = sheet[:, :, 0, 0, 0], sheet[:, :, 1, 0, 0]
    assert (across.diff(dim=1) > 0).all()
    assert (up.diff(dim=0) < 0).all()


def test_tiles_stand_in_rows_with_lines_between() -> None:
    sheet = tiles(torch.arange(6).view(2, 3, 1, 1, 1).expand(2, 3, 1, 4, 5) / 10)
    assert sheet.shape == (2 * 5 - 1, 3 * 6 - 1, 3)
    assert sheet[0, 0].tolist() == [0, 0, 0]
    assert sheet[0, 5].tolist() == [255, 255, 255]
    assert sheet[-1, -1].tolist() == [128, 128, 128]  # 0.5


def test_the_bound_is_reported_for_every_number_of_samples(fit: Fit, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = scores(fit, VAE(SHAPE, latent_dim=4), LikelihoodBound((1, 20), num_images=100), tmp_path, max_epochs=3)
    assert found["test/nll_iwae_20"] < found["test/nll_iwae_1"] == pytest.approx(found["test/negative_elbo"], rel=0.05)
    kl = [float(line.split(",")[1]) for line in (tmp_path / "predictions" / "kl_per_dim.csv").read_text().splitlines()[1:]]
    assert sum(kl) == pytest.approx(found["test/kl"], abs=0.01)
    assert 0 <= found["test/active_units"] <= 4


def test_distances_of_samples_reconstructions_and_the_floor(fit: Fit, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = scores(fit, VAE(SHAPE, latent_dim=4), FrechetDistance("simple_cnn_mnist"), tmp_path, max_epochs=5)
    distances = {name.removeprefix("test/fd_simple_cnn_mnist_"): value for name, value in found.items() if "fd_" in name}
    assert distances.keys() == {"samples", "reconstructions", "real"}
    assert 0 < distances["real"] < distances["reconstructions"]
    assert 0 < distances["real"] < distances["samples"]


@pytest.mark.usefixtures("mirror")
def test_another_set_is_odder(fit: Fit, tmp_path: Path) -> None:
    from datamodules import FashionMNIST

    torch.manual_seed(0)
    data, system = FashionMNIST(normalize=False), Autoencoder((1, 28, 28), latent_dim=16)
    found = fit(system, data, max_steps=100, limit_val_batches=0, callbacks=[AnomalyDetection()], max_epochs=1)
    (result,) = found.test(system, datamodule=data, verbose=False)
    assert result["test/auroc_mse_MNIST"] > 0.8


def test_ranks_keep_the_order_of_any_scores() -> None:
    scores = torch.tensor([1e30, -5.0, 400.0, 400.0, 401.0])
    ranks = _ranks(scores)
    assert ranks.argsort(stable=True).tolist() == [1, 2, 3, 4, 0]
    assert ranks[2] == ranks[3]
    assert 0 < ranks.min() < ranks.max() < 1


def test_a_set_of_other_images_is_refused(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"MNIST has images of shape \(1, 28, 28\), the model \(1, 8, 8\)"):
        scores(fit, Autoencoder(SHAPE), AnomalyDetection(), tmp_path)


def test_the_probe_reads_codes_and_components_alike(fit: Fit, tmp_path: Path) -> None:
    """An identity as a code: all 64 pixels, and all 64 components of them, tell the same."""
    system = Autoencoder(SHAPE, widths=[], squash=False, latent_dim=64)
    with torch.no_grad():
        system.net.encoder[-2].weight.copy_(torch.eye(64))  # type: ignore[union-attr, operator]
    found = scores(fit, system, LinearProbe(), tmp_path)
    assert found["test/probe_acc"] > 0.93
    assert found["test/probe_acc_pca"] == pytest.approx(found["test/probe_acc"], abs=0.02)


def test_predicting_writes_codes(fit: Fit, tmp_path: Path) -> None:
    data, system = digits(), Autoencoder(SHAPE, latent_dim=3)
    trainer = fit(system, data, callbacks=[Predictions(tmp_path)], max_epochs=1)
    trainer.test(system, datamodule=data, verbose=False)
    assert not (tmp_path / "predictions" / "test.csv").exists()  # images are shown, not listed
    trainer.predict(system, datamodule=data, return_predictions=False)
    header, *rows = (tmp_path / "predictions" / "predict.csv").read_text().splitlines()
    assert header == "position,code_0,code_1,code_2"
    (x, *_), test_rows = data.splits["test"]
    position, *code = rows[5].split(",")
    expected = system.eval().encode(x[[int(position)]].float() / 255)[0]
    assert [float(value) for value in code] == pytest.approx(expected.tolist(), abs=1e-5)
    assert len(rows) == len(test_rows)


@pytest.mark.parametrize(
    ("callback", "system", "message"),
    [
        (LikelihoodBound(), Autoencoder(SHAPE), r"LikelihoodBound is for systems with log_weights\(\), Autoencoder has none"),
        (LinearProbe(), MLPClassifier(SHAPE, 10), r"LinearProbe is for systems with encode\(\), MLPClassifier has none"),
        (AnomalyDetection(), MLPClassifier(SHAPE, 10), r"AnomalyDetection is for systems with anomaly_scores\(\)"),
        (AnomalyDetection("MNISTT"), Autoencoder(SHAPE), "datamodules has no 'MNISTT'"),
        (FrechetDistance("lost"), Autoencoder(SHAPE), "no published weights 'lost'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_training(
    fit: Fit, callback: Callback, system: System, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(system, digits(), callbacks=[callback], max_epochs=1)
    assert not system.trainer.global_step


def test_binary_pixels_have_no_distance_from_grey_samples(fit: Fit) -> None:
    data = Digits(normalize=False, binarize="stochastic")
    with pytest.raises(ValueError, match="binary pixels and the grey means of samples differ in all features"):
        fit(VAE(SHAPE), data, callbacks=[FrechetDistance("simple_cnn_mnist")], max_epochs=1)


@pytest.mark.parametrize("callback", [LikelihoodBound, AnomalyDetection, LinearProbe])
def test_numbers_of_images_are_positive(callback: Callable[..., Callback]) -> None:
    with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
        callback(num_images=0)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        LikelihoodBound(num_samples=(50, 0))


def test_the_bound_is_of_images_from_all_over_the_split(fit: Fit, tmp_path: Path) -> None:
    """Of every batch the first few: Digits' 360 test images are twelve batches."""
    system = VAE(SHAPE, latent_dim=2)
    asked: list[int] = []
    weigh = system.log_weights
    system.log_weights = lambda k, x: (asked.append(len(x)), weigh(k, x))[1]  # type: ignore[assignment, method-assign, func-returns-value]
    scores(fit, system, LikelihoodBound(num_samples=(1,), num_images=24), tmp_path)
    assert asked == [2] * 12


def test_one_image_is_not_drawn_a_way_from(fit: Fit, tmp_path: Path) -> None:
    data, system = Digits(normalize=False, batch_size=1), VAE(SHAPE)
    trainer = fit(system, data, callbacks=[LatentPictures(tmp_path)], max_epochs=0, limit_test_batches=1)
    trainer.test(system, datamodule=data, verbose=False)
    assert not (tmp_path / "interpolation.png").exists()


def test_samples_differ_between_processes_and_not_between_tests(fit: Fit) -> None:
    data, system = digits(), VAE(SHAPE)
    trainer = fit(system, data, max_epochs=0)
    one, again = (torch.cat(list(samples(system, trainer, 6, at_once=4))) for _ in range(2))
    assert torch.equal(one, again)
    assert len(one.flatten(1).unique(dim=0)) == 6
    before = torch.get_rng_state()
    list(samples(system, trainer, 6))
    assert torch.equal(torch.get_rng_state(), before)
