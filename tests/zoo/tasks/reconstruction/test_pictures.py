"""Pictures of reconstructions, samples and codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from PIL import Image

from datamodules import Digits
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.autoencoders.denoising_autoencoder import DenoisingAutoencoder
from zoo.autoencoders.vae import VAE
from zoo.tasks.reconstruction.pictures import (
    LatentPictures,
    embedding_figure,
    interpolations,
    manifold,
    reconstructions,
    traversals,
)
from zoo.training.system import System

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def test_pictures_of_a_vae_are_drawn(scores: Scores, tmp_path: Path) -> None:
    found = scores(VAE(SHAPE, latent_dim=2), digits(), LatentPictures(tmp_path), max_epochs=1)
    assert "test/mse" in found
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {"reconstructions", "samples", "interpolation", "traversal", "manifold", "embedding"}
    for path in tmp_path.glob("*.png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 5


def test_rows_are_images_corrupted_images_and_reconstructions() -> None:
    x = torch.rand(12, *SHAPE)
    plain, denoising = Autoencoder(SHAPE).eval(), DenoisingAutoencoder(SHAPE).eval()
    rows = reconstructions(plain, (x,))
    assert torch.equal(rows[0], x[:10])
    torch.testing.assert_close(rows[1], plain(x[:10]))
    rows = reconstructions(denoising, (x,))
    assert rows.shape == (3, 10, *SHAPE)
    assert not torch.equal(rows[1], rows[0])
    torch.testing.assert_close(rows[2], denoising(rows[1]))


def test_interpolations_start_and_end_at_the_codes_of_the_images() -> None:
    model, z = Autoencoder(SHAPE, latent_dim=5).eval(), torch.randn(4, 5)
    sheet = interpolations(model, z, torch.zeros(4).long())
    assert sheet.shape == (4, 10, *SHAPE)
    for row, (first, last) in enumerate([(0, 1), (0, 1), (2, 3), (2, 3)]):
        torch.testing.assert_close(sheet[row, [0, -1]], model.decode(z[[first, last]]), atol=1e-5, rtol=1e-4)


def test_each_row_of_a_traversal_changes_one_dimension_the_most_varying_first() -> None:
    model = Autoencoder(SHAPE, latent_dim=3, widths=[], squash=False).eval()
    z = torch.randn(200, 3) * torch.tensor([0.1, 5.0, 1.0])
    sheet = traversals(model, z, torch.zeros(200).long())
    weight = model.net.decoder[0].weight  # type: ignore[union-attr]
    for row, dim in enumerate((1, 2, 0)):
        moved = model.net.decoder[1](weight[:, dim][None])[0]  # type: ignore[operator, index]
        change = sheet[row, -1] - sheet[row, 0]
        inside = (sheet[row] > 0).all(0) & (sheet[row] < 1).all(0)  # where nothing was clipped
        torch.testing.assert_close(change[inside], (5 * z.std(0)[dim] * moved)[inside], atol=1e-4, rtol=1e-3)


def test_a_manifold_is_oriented_like_a_map() -> None:
    """The first dimension grows from left to right, the second from bottom to top."""

    class ShowsCodes(System):
        conditional = False

        def decode(self, *inputs: torch.Tensor) -> torch.Tensor:
            return (inputs[0].view(-1, 2, 1, 1) + 3) / 6

    sheet = manifold(ShowsCodes(1e-3, None), num=5)
    across, up = sheet[:, :, 0, 0, 0], sheet[:, :, 1, 0, 0]
    assert (across.diff(dim=1) > 0).all()
    assert (up.diff(dim=0) < 0).all()


def test_a_single_image_is_not_interpolated(fit: Fit, tmp_path: Path) -> None:
    data, system = Digits(normalize=False, batch_size=1), VAE(SHAPE)
    trainer = fit(system, data, callbacks=[LatentPictures(tmp_path)], max_epochs=0, limit_test_batches=1)
    trainer.test(system, datamodule=data, verbose=False)
    assert not (tmp_path / "interpolation.png").exists()


def test_the_embedding_names_few_classes_as_they_are_written(tmp_path: Path) -> None:
    y = torch.tensor([0, 2, 2, 3])
    figure = embedding_figure(torch.rand(4, 3), y, ("$5%$", "absent", "_hidden", "long" * 100))
    figure.savefig(tmp_path / "a.png")  # a formula would raise an error
    (legend,) = (axes.get_legend() for axes in figure.axes)
    assert [text.get_text() for text in legend.get_texts()][:2] == ["$5%$", "_hidden"]
    assert max(len(text.get_text()) for text in legend.get_texts()) == 24
    many = embedding_figure(torch.rand(300, 2), torch.arange(300), [str(number) for number in range(300)])
    assert many.axes[0].get_legend() is None
