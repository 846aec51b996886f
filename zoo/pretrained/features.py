"""Feature extractors: networks that map images to features, for distances between sets of images."""

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3  # exported only if torch-fidelity is installed

from zoo.errors import FileError, MissingPackageError, ZooError
from zoo.nn.image_range import as_bytes
from zoo.pretrained.published import weights_path
from zoo.training.checkpoint import read_checkpoint, system_of

INCEPTION = "inception"


class ClassifierFeatures(nn.Module):
    """The inputs to the last layer of a published image classifier: images (B, C, H, W) in [0, 1] to features (B, F).

    Images are converted to the classifier's size, number of channels and normalisation.

    Args:
        weights: name of published weights, see `zoo list`.

    Raises:
        ZooError: if the weights are not published, or do not belong to an image classifier with a linear last layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str) -> None:
        super().__init__()
        path = weights_path(weights)
        recorded = read_checkpoint(path)
        system, facts = system_of(recorded, path), recorded["data"]
        shape = system.hparams.get("input_shape", ())
        linear = [module for module in system.net.modules() if isinstance(module, nn.Linear)]
        if len(shape) != 3 or "mean" not in facts or not linear:
            raise ZooError(f"{weights} is not an image classifier: choose the weights of one, see zoo list")
        self.net, self.last, self.input_shape = system.net.requires_grad_(False), linear[-1], tuple(shape)
        self.num_features = self.last.in_features
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(facts[name]).view(-1, 1, 1))
        self.eval()

    def train(self, mode: bool = True) -> "ClassifierFeatures":
        """Stay in evaluation mode, because the network of a metric is not trained."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        channels, *size = self.input_shape
        if x.shape[1] != channels:
            x = x.expand(-1, 3, -1, -1) if channels == 3 else x.mean(1, keepdim=True)
        if list(x.shape[2:]) != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        seen: list[Tensor] = []
        hook = self.last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        try:
            self.net((x - self.mean) / self.std)
        finally:
            hook.remove()
        return seen[0]


class InceptionFeatures(nn.Module):
    """Features of Inception v3 as the authors of FID converted it: images (B, 1 or 3, H, W) in [0, 1] to (B, 2048).

    Raises:
        MissingPackageError: if torch-fidelity is not installed.
        FileError: if the weights cannot be downloaded.
    """

    num_features = 2048

    def __init__(self) -> None:
        super().__init__()
        try:
            self.net = NoTrainInceptionV3("inception-v3-compat", ["2048"])
        except ModuleNotFoundError as error:
            raise MissingPackageError("Inception needs torch-fidelity: pip install 'lightning-model-zoo[fid]'") from error
        except OSError as error:
            raise FileError(
                f"Inception cannot be downloaded ({error}): name published weights instead, see zoo list"
            ) from error

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.net(as_bytes(x.expand(-1, 3, -1, -1)))

    def last(self, features: Tensor) -> Tensor:
        """Compute logits (B, 1008) from features (B, 2048), without the bias, as the Inception Score uses them."""
        return features @ self.net.fc.weight.T


def build_extractor(name: str) -> ClassifierFeatures | InceptionFeatures:
    """Build a feature extractor by name: "inception", or the name of published weights of a classifier.

    Raises:
        MissingPackageError, FileError: see `InceptionFeatures`.
        ZooError: see `ClassifierFeatures`.
    """
    with isolate_rng():  # drawing initial weights, which the published ones replace, must not change the draws of training
        return InceptionFeatures() if name == INCEPTION else ClassifierFeatures(name)


def frechet_distance(extractor: str) -> FrechetInceptionDistance:
    """Build the Frechet distance as a metric: `update(images, real=...)` with images in [0, 1], then `compute()`.

    It is the distance between Gaussians fitted to features (Heusel et al., 2017, arXiv:1706.08500). It is FID only if
    `extractor` is "inception", whose weights torch-fidelity downloads. The number of images biases the distance, so compare
    only at the same number, and with the distance between real images.

    Raises:
        MissingPackageError, FileError, ZooError: see `build_extractor`.
    """
    return FrechetInceptionDistance(feature=build_extractor(extractor), normalize=True)


def distance_name(extractor: str) -> str:
    """Return the name of the distance in scores: "fid" for Inception, else "fd_" and the name of the weights."""
    return "fid" if extractor == INCEPTION else f"fd_{extractor}"
