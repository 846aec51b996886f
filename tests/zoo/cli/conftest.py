"""Fixtures: finished runs on tables and images, and a small zoo that replaces the real one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from zoo.cli import catalog
from zoo.cli.main import main


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of mlp_digits, two epochs long."""
    folder = tmp_path_factory.mktemp("run")
    short = ["--model.optim.warmup_steps", "0", "--trainer.max_epochs", "2"]
    assert main(["fit", "-c", "mlp_digits", *short, "--run_dir", str(folder)]) == 0
    return folder


def paint(path: Path, channel: int, generator: np.random.Generator) -> None:
    """Write a noisy image of 8 to 40 pixels with a dominant colour and a white frame that a centre crop removes."""
    height, width = generator.integers(8, 41, 2)
    pixels = generator.integers(0, 120, (height, width, 3))
    pixels[..., channel] += generator.integers(40, 120)
    edge = max(1, min(height, width) // 8)
    frame = np.ones((height, width), dtype=bool)
    frame[edge:-edge, edge:-edge] = False
    pixels[frame] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two classes, blue and red, with 30 images each, half JPEG and half PNG."""
    folder, generator = tmp_path_factory.mktemp("painted") / "pictures", np.random.default_rng(0)
    for name, channel in {"blue": 2, "red": 0}.items():
        for i in range(30):
            paint(folder / name / f"{i}.{'png' if i % 2 else 'jpg'}", channel, generator)
    return folder


@pytest.fixture(scope="session")
def colours(pictures: Path) -> Path:
    """A recipe for these images with non-default preparation."""
    data = {"root": str(pictures), "size": 16, "crop": 0.7, "batch_size": 8, "num_workers": 0, "min_area": 1.0, "flip": False}
    settings = {
        "seed_everything": 0,
        "model": {"class_path": "zoo.SimpleCNNClassifier", "init_args": {"widths": [8, 16], "lr": 0.01}},
        "data": {
            "class_path": "datamodules.ImageFolder",
            "init_args": {**data, "interpolation": "bicubic", "mean": [0.4, 0.3, 0.5], "std": [0.2, 0.3, 0.25]},
        },
        "trainer": {"max_epochs": 3, "precision": "32-true"},
    }
    recipe = pictures.with_name("colours.yaml")
    recipe.write_text(yaml.safe_dump(settings))
    return recipe


@pytest.fixture(scope="session")
def painted(colours: Path) -> Path:
    """A run of this recipe."""
    folder = colours.with_name("run")
    assert main(["fit", "-c", str(colours), "--run_dir", str(folder)]) == 0
    return folder


@pytest.fixture
def small_zoo(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small zoo with two cards, one published file, a README and a page; the recipes are the real ones."""
    root, home = tmp_path / "small", tmp_path / "small" / "zoo"
    for card in ("mlp/perceptron.md", "cnn/cifar_resnet.md"):
        (home / card).parent.mkdir(parents=True)
        shutil.copy(catalog.ZOO / card, home / card)
    published = home / "pretrained" / "weights" / "tiny_digits.safetensors"
    assert main(["export", str(run / "checkpoints" / "best.ckpt"), "--format", "safetensors", "-o", str(published)]) == 0
    card_text = "---\nname: tiny_digits\n---\n# Tiny\n\nOf two epochs.\n\n<!-- facts -->\n<!-- /facts -->\n"
    published.with_suffix(".md").write_text(card_text)
    tables = ["<!-- catalog -->\n<!-- /catalog -->", "<!-- weights -->\n<!-- /weights -->"]
    (root / "README.md").write_text("# Small\n\n<!-- families -->\n<!-- /families -->\n")
    (root / "docs").mkdir()
    (root / "docs" / "results.md").write_text("\n\n".join(["# Results", *tables]) + "\n")
    best = "<!-- best: resnet20_cifar10_published -->"
    (root / "docs" / "cnn.md").write_text(f"# CNN\n{best}\n\n{tables[0]}\n")
    for module in ("generate", "catalog"):
        monkeypatch.setattr(f"zoo.cli.{module}.ZOO", home)
        monkeypatch.setattr(f"zoo.cli.{module}.INDEX", home / "catalog.json")
    for module in ("generate", "names"):
        monkeypatch.setattr(f"zoo.cli.{module}.WEIGHTS", home / "pretrained" / "weights")
    monkeypatch.setattr("zoo.cli.generate.ROOT", root)
    monkeypatch.setattr("zoo.pretrained.published._FOLDER", home / "pretrained" / "weights")
    return root
