"""`zoo sample` and `zoo interpolate` draw sheets of the right size, and refuse models that have nothing to draw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from torch.utils.data import DataLoader

from datamodules import Digits, GaussianMixture, PairedImages
from datamodules.core.batch import Batch
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.autoencoders.vae import VAE
from zoo.cli.main import main
from zoo.gans.conditional_gan import ConditionalGAN
from zoo.gans.cyclegan import CycleGAN
from zoo.gans.gan import GAN
from zoo.gans.pix2pix import Pix2Pix
from zoo.training.checkpoint import AtomicCheckpointIO, load_system
from zoo.training.system import System

Save = Callable[[System], str]


@pytest.fixture
def save(fit: Callable[..., Trainer], tmp_path: Path) -> Save:
    def saved(system: System) -> str:
        trainer = fit(system, Digits(normalize=False), max_steps=1, limit_val_batches=0, plugins=[AtomicCheckpointIO()])
        trainer.save_checkpoint(tmp_path / "model.ckpt")
        return str(tmp_path / "model.ckpt")

    return saved


def sheet(path: Path, rows: int, columns: int) -> np.ndarray:
    """Read the images of a sheet at their original size: (rows, columns, 8, 8) in 0..255."""
    picture = np.asarray(Image.open(path).convert("L"))
    times = picture.shape[1] // (columns * 9 - 1)
    assert picture.shape == (times * (rows * 9 - 1), times * (columns * 9 - 1))
    small = np.pad(picture[::times, ::times], (0, 1))
    return small.reshape(rows, 9, columns, 9).swapaxes(1, 2)[:, :, :8, :8]


def test_samples_are_the_models_own(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save(VAE((1, 8, 8), latent_dim=2))
    assert main(["sample", checkpoint, "-n", "12", "--seed", "3", "-o", str(tmp_path / "new" / "s.png")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "new" / "s.png")
    drawn = sheet(tmp_path / "new" / "s.png", 2, 10)
    system = load_system(checkpoint)
    torch.manual_seed(3)
    expected = system.sample(12)  # type: ignore[operator]  # a module's attribute
    assert np.abs(drawn.reshape(20, 8, 8)[:12] - 255 * expected[:, 0].detach().numpy()).max() <= 1
    assert (drawn[1, 2:] == 255).all()  # a row that is not full


def test_of_a_conditional_model_a_class_is_chosen(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save(VAE((1, 8, 8), num_classes=10, conditional=True, latent_dim=2))
    out = str(tmp_path / "s.png")
    for command in ("sample", "interpolate"):
        assert main([command, checkpoint, "--label", "4", "-o", out]) == 0
        assert main([command, checkpoint, "--label", "10", "-o", out]) == 1
        assert "--label must lie in 0..9, got 10" in capsys.readouterr().err


def test_a_sheet_lies_with_the_run_it_belongs_to(run_of_a_vae: Path) -> None:
    for command, name in (("sample", "samples"), ("interpolate", "interpolation")):
        (run_of_a_vae / "pictures" / f"{name}.png").unlink()
        assert main([command, str(run_of_a_vae / "checkpoints" / "best.ckpt")]) == 0
        assert (run_of_a_vae / "pictures" / f"{name}.png").exists()


def test_a_checkpoint_of_another_likelihood_is_refused(run_of_a_vae: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(run_of_a_vae / "checkpoints" / "best.ckpt")
    other = ["--model.likelihood", "bernoulli", "--run_dir", str(run_of_a_vae.parent / "other")]
    assert main(["test", "-c", "vae_digits", *other, "--ckpt_path", checkpoint]) == 1
    assert "likelihood is bernoulli, was gaussian" in capsys.readouterr().err


def test_pictures_have_no_class_for_an_autoencoder(run_of_a_vae: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(run_of_a_vae / "checkpoints" / "best.ckpt")
    pictures = ["--images", str(run_of_a_vae / "pictures"), "--run_dir", str(run_of_a_vae.parent / "predicted")]
    assert main(["predict", "--ckpt_path", checkpoint, *pictures]) == 1
    assert "holds a VAE, which has no classes: for codes, use zoo predict -c CONFIG" in capsys.readouterr().err


@pytest.fixture
def run_of_a_vae(tmp_path: Path) -> Path:
    short = ["--trainer.max_epochs", "1", "--run_dir", str(tmp_path / "run")]
    assert main(["fit", "-c", "vae_digits", *short]) == 0
    return tmp_path / "run"


def test_from_picture_to_picture(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = Autoencoder((1, 8, 8), widths=[], squash=False, latent_dim=64)
    with torch.no_grad():
        for layer in (system.net.encoder[-2], system.net.decoder[0]):  # a code that says it all, pixel by pixel
            layer.weight.copy_(torch.eye(64))  # type: ignore[union-attr, operator]  # a linear layer
            layer.bias.zero_()  # type: ignore[union-attr, operator]  # a linear layer
    system.lr = 1e-12
    checkpoint = save(system)
    pictures = torch.rand(4, 8, 8)
    (tmp_path / "mine").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray((255 * picture).byte().numpy()).save(tmp_path / "mine" / f"{number}.png")
    out = tmp_path / "way.png"
    given = ["--images", str(tmp_path / "mine"), "-o", str(out)]
    assert main(["interpolate", checkpoint, "--pairs", "2", "--steps", "5", *given]) == 0
    drawn = sheet(out, 4, 5)
    for row, (first, last) in enumerate([(0, 1), (0, 1), (2, 3), (2, 3)]):
        for column, picture in ((0, pictures[first]), (4, pictures[last])):
            assert np.abs(drawn[row, column] - 255 * picture.numpy()).max() <= 3
    middle = 255 * (pictures[0] + pictures[1]).numpy() / 2
    assert np.abs(drawn[0, 2] - middle).max() <= 3  # the straight way
    assert main(["interpolate", checkpoint, "--pairs", "3", *given]) == 1
    assert "holds 4 images, but 3 pairs need 6" in capsys.readouterr().err


def test_what_cannot_be_drawn_is_refused(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("sample", "interpolate"):
        assert main([command, "resnet20_fashion_mnist", "-o", str(tmp_path / "x.png")]) == 1
        assert "holds a CIFARResNetClassifier, which" in capsys.readouterr().err
        assert main([command, str(tmp_path / "lost.ckpt"), "-o", str(tmp_path / "x.png")]) == 2
        assert "no checkpoint" in capsys.readouterr().err
    plain = save(Autoencoder((1, 8, 8)))
    assert main(["sample", plain, "-o", str(tmp_path / "x.png")]) == 1
    assert "holds a Autoencoder, which cannot generate samples" in capsys.readouterr().err
    assert main(["interpolate", plain, "-o", str(tmp_path / "x.png")]) == 1
    assert "Autoencoder has no prior to draw codes from: give images with --images" in capsys.readouterr().err
    assert main(["sample", plain, "-n", "0"]) == 2
    assert "--num must be at least 1, got 0" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_a_gan_draws_and_interpolates(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, out = save(ConditionalGAN((1, 8, 8), 10, "conv", 4, (4, 4), ema=0.9)), tmp_path / "s.png"
    assert main(["sample", checkpoint, "-n", "10", "--label", "4", "--seed", "3", "-o", str(out)]) == 0
    system = load_system(checkpoint)
    torch.manual_seed(3)
    expected = system.sample(10, torch.full((10,), 4))  # type: ignore[operator]  # a module's attribute
    assert np.abs(sheet(out, 1, 10)[0] - 255 * expected[:, 0].detach().numpy()).max() <= 1
    assert main(["interpolate", checkpoint, "-o", str(out)]) == 0
    assert main(["interpolate", checkpoint, "--images", str(tmp_path)]) == 1
    assert "ConditionalGAN cannot encode images: leave --images out" in capsys.readouterr().err


def test_points_are_scattered(fit: Callable[..., Trainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scatter plot shows the requested number of points at the sampled places."""
    system, path = GAN((2,), 3, (4,)), tmp_path / "model.ckpt"
    trainer = fit(system, GaussianMixture(num_samples=200), max_steps=1, limit_val_batches=0, plugins=[AtomicCheckpointIO()])
    trainer.save_checkpoint(path)
    few, many = (tmp_path / f"{num}.png" for num in (1, 500))
    for num, out in ((1, few), (500, many)):
        assert main(["sample", str(path), "-n", str(num), "-o", str(out)]) == 0
    few_coloured, many_coloured = (
        int((np.asarray(Image.open(each).convert("HSV"))[..., 1] > 80).sum()) for each in (few, many)
    )
    assert many_coloured > 5 * few_coloured > 0
    assert main(["interpolate", str(path)]) == 1
    assert "holds a GAN for points, but only images are drawn: use zoo sample" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--back"]])
def test_pictures_are_translated(
    options: list[str], fit: Callable[..., Trainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row of inputs is followed by a row of translations, in either direction."""
    checkpoint, out = str(tmp_path / "model.ckpt"), tmp_path / "s.png"
    system = CycleGAN((1, 8, 8), width=4, num_halvings=1, num_blocks=1, d_widths=[8, 8])
    batches = [Batch(torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8), torch.arange(2))]
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a list will do
    trainer = fit(system, None, loader, loader, max_steps=1, limit_val_batches=0, plugins=[AtomicCheckpointIO()])
    trainer.save_checkpoint(checkpoint)
    assert main(["sample", checkpoint, *options, "-o", str(out)]) == 1
    assert "CycleGAN translates images: give them with --images FOLDER" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    pictures = torch.randint(256, (12, 8, 8), dtype=torch.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture.numpy()).save(tmp_path / "mine" / f"{number:02d}.png")
    assert main(["sample", checkpoint, "--images", str(tmp_path / "mine"), *options, "-o", str(out)]) == 0
    drawn = sheet(out, 4, 10)
    assert (drawn[[0, 2]].reshape(20, 8, 8)[:12] == pictures.numpy()).all()
    system = load_system(checkpoint)  # type: ignore[assignment]  # the loaded copy replaces the system
    x = pictures[:, None] / 255
    expected = 255 * (system.back(x) if options else system(x)).detach().clamp(0, 1)
    assert np.abs(drawn[[1, 3]].reshape(20, 8, 8)[:12] - expected[:, 0].numpy()).max() <= 1
    assert main(["sample", checkpoint, "--label", "1", "--images", str(tmp_path / "mine")]) == 1
    assert "CycleGAN is not conditional" in capsys.readouterr().err


def test_wide_pictures_are_squeezed_as_in_the_training(fit: Callable[..., Trainer], tmp_path: Path) -> None:
    """Both halves of a wide input are translated, not its centre alone."""
    halves = np.zeros((48, 96), dtype=np.uint8)
    halves[:, 24:] = 255  # The centre, which cropping would show, is white.
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for number in range(4):
            Image.fromarray(np.hstack([halves, halves])).save(tmp_path / part / f"{number}.png")
    Image.fromarray(halves).save(tmp_path / "mine.png")
    system = Pix2Pix((1, 8, 8), widths=[4, 8], d_widths=[8, 8])
    data = PairedImages(str(tmp_path), size=8, rgb=False, batch_size=2)
    trainer = fit(system, data, max_steps=1, limit_val_batches=0, plugins=[AtomicCheckpointIO()])
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    out = tmp_path / "s.png"
    assert main(["sample", str(tmp_path / "model.ckpt"), "--images", str(tmp_path / "mine.png"), "-o", str(out)]) == 0
    x = sheet(out, 2, 1)[0, 0]
    assert (x[:, :2] < 60).all()
    assert (x[:, 3:] > 195).all()


def test_noise_needs_no_pictures(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save(VAE((1, 8, 8), latent_dim=2))
    for option in (["--images", str(tmp_path)], ["--back"]):
        assert main(["sample", checkpoint, *option]) == 1
        assert f"VAE generates samples without inputs: leave {option[0]} out" in capsys.readouterr().err
