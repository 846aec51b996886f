"""Losses of networks with auxiliary heads, and checkpoints that need no download."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules import ImageFolder
from datamodules.core.batch import Batch
from zoo.cnn.image_classifier import ImageClassifier
from zoo.training.checkpoint import load_system
from zoo.training.initial_weights import without_initial_weights

PROGRESS = torch.zeros(())


def batch_of(size: int, channels: int = 3) -> Batch:
    return Batch(torch.randn(size, channels, 32, 32), torch.arange(size) % 3, torch.arange(size))


def squeezenet(**arguments: Any) -> ImageClassifier:
    """Return the smallest torchvision network."""
    return ImageClassifier((3, 32, 32), 3, backbone="squeezenet1_1", **arguments)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def googlenet() -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier((3, 32, 32), 3, backbone="googlenet", label_smoothing=0.1)


def test_in_training_googlenets_auxiliary_heads_count_three_tenths_each(googlenet: ImageClassifier) -> None:
    googlenet.train()
    batch = batch_of(6)
    torch.manual_seed(1)  # of dropout
    loss, outputs = googlenet.step(batch, PROGRESS)
    torch.manual_seed(1)
    heads = googlenet.net(batch.x)
    main, aux1, aux2 = (
        F.cross_entropy(logits, batch.y, label_smoothing=0.1) for logits in (heads.logits, heads.aux_logits1, heads.aux_logits2)
    )
    torch.testing.assert_close(loss, main + 0.3 * (aux1 + aux2))
    assert abs(loss.item() - main.item()) > 0.1
    torch.testing.assert_close(outputs["preds"], heads.logits)


def test_in_training_every_weight_of_googlenet_gets_a_gradient(googlenet: ImageClassifier) -> None:
    googlenet.train().zero_grad()
    googlenet.step(batch_of(6), PROGRESS)[0].backward()
    without = [name for name, p in googlenet.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert any(name.startswith("net.aux1.") for name, _ in googlenet.named_parameters())
    googlenet.zero_grad()


def test_in_evaluation_googlenets_main_head_alone_counts(googlenet: ImageClassifier) -> None:
    googlenet.eval()
    batch = batch_of(4)
    with torch.no_grad():
        loss, outputs = googlenet.step(batch, PROGRESS)
        logits = googlenet(batch.x)
    assert logits.shape == (4, 3)
    torch.testing.assert_close(outputs["preds"], logits)
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch.y))


def test_a_network_with_one_head_has_plain_cross_entropy() -> None:
    system, batch = ImageClassifier((1, 32, 32), 3, backbone="test_resnet", stem="small"), batch_of(4, channels=1)
    loss, outputs = system.step(batch, PROGRESS)
    torch.testing.assert_close(loss, F.cross_entropy(outputs["preds"], batch.y))


def test_comes_back_from_a_checkpoint_with_its_arguments(fit: Callable[..., Trainer], tmp_path: Path) -> None:
    system = ImageClassifier((1, 32, 32), 3, backbone="test_resnet", stem="small", dropout=0.2, drop_path=0.1)
    before = {name: value.clone() for name, value in system.state_dict().items()}
    loader = DataLoader([batch_of(4, channels=1)], batch_size=None)  # type: ignore[arg-type]  # a list will do
    fit(system, None, loader, loader, max_steps=1).save_checkpoint(tmp_path / "last.ckpt")
    loaded = load_system(tmp_path / "last.ckpt")
    assert loaded.hparams == system.hparams
    assert same(loaded.state_dict(), system.state_dict())
    assert not same(loaded.state_dict(), before)
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(loaded(x), system.eval()(x))  # the trained network is in channels-last format


def test_a_checkpoint_does_without_the_download_that_its_training_started_from(
    fit: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))  # holds nothing
    with without_initial_weights():
        system = squeezenet(pretrained=True)
    loader = DataLoader([batch_of(4)], batch_size=None)  # type: ignore[arg-type]  # a list will do
    fit(system, None, loader, loader, max_steps=1).save_checkpoint(tmp_path / "last.ckpt")
    loaded = load_system(tmp_path / "last.ckpt")  # without a network, a download raises
    assert not (tmp_path / "torch").exists()  # with a network, a download would leave a file
    assert loaded.hparams["pretrained"] is True
    assert same(loaded.state_dict(), system.state_dict())


def test_starts_from_a_file_of_weights(tmp_path: Path) -> None:
    source = squeezenet()
    torch.save(source.net.state_dict(), tmp_path / "weights.pth")
    assert not same(squeezenet().state_dict(), source.state_dict())
    assert same(squeezenet(weights=str(tmp_path / "weights.pth")).state_dict(), source.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": None}, "input_shape is not known"),
        ({"num_classes": None}, "num_classes is not known"),
        ({"backbone": "resnet17"}, "no backbone 'resnet17' in timm or torchvision: did you mean resnet1"),
        ({"stem": "tiny"}, "unknown stem 'tiny': choose one of standard, small"),
        ({"label_smoothing": 1.0}, r"label_smoothing must lie in \[0, 1\), got 1.0"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageClassifier(**{"input_shape": (3, 32, 32), "num_classes": 3, **arguments})


def test_pretrained_weights_refuse_pictures_normalised_for_others(fit: Callable[..., Trainer], tmp_path: Path) -> None:
    """timm's ViTs were trained on pixels in [-1, 1]; an image folder uses ImageNet's statistics by default."""
    for name in ("ants", "bees"):
        for number in range(4):
            path = tmp_path / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (32, 32)).save(path)
    shape = {"size": 32, "num_workers": 0, "batch_size": 2, "val_fraction": 0.3}
    with without_initial_weights():
        system = ImageClassifier((3, 32, 32), 2, backbone="vit_tiny_patch16_224", pretrained=True)
    with pytest.raises(ValueError, match=r"vit_tiny_patch16_224 expect data.mean \[0.5, 0.5, 0.5\], got \[0.485.*--data.mean"):
        fit(system, ImageFolder(str(tmp_path), **shape))
    fit(system, ImageFolder(str(tmp_path), **shape, mean=[0.5] * 3, std=[0.5] * 3), max_steps=1)
