"""Features of images for distances between distributions, by networks that have a name."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3  # exported only beside torch-fidelity

from zoo.errors import FileError, MissingPackageError, ZooError
from zoo.pretrained.published import weights_path
from zoo.training.checkpoint import read_checkpoint, system_of

INCEPTION = "inception"


class ClassifierFeatures(nn.Module):
    """What a published classifier of the zoo hands to its last layer: images (B, C, H, W) in [0, 1] to (B, F).

    Images are brought to the classifier's size, colours and normalisation.

    Args:
        weights: the name of published weights of an image classifier, see `zoo list`.

    Raises:
        ZooError: for weights that are not published, or not of an image classifier with a linear last layer.
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
            raise ZooError(f"{weights} is no classifier of images: choose weights that are, see zoo list")
        self.net, self.last, self.input_shape = system.net.requires_grad_(False), linear[-1], tuple(shape)
        self.num_features = self.last.in_features
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(facts[name]).view(-1, 1, 1))
        self.eval()

    def train(self, mode: bool = True) -> "ClassifierFeatures":
        """Stay in evaluation mode: a metric is no part of what is trained."""
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
    """What Inception v3 sees, as FID's authors converted it: images (B, C, H, W) in [0, 1], grey or coloured, to (B, 2048).

    Raises:
        MissingPackageError: without torch-fidelity.
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
        return self.net((255 * x.expand(-1, 3, -1, -1)).round().byte())  # cut off, samples alone would be darker

    def last(self, features: Tensor) -> Tensor:
        """Logits without bias, as the Inception Score takes them: (B, 1008)."""
        return features @ self.net.fc.weight.T


def extractor_of(name: str) -> ClassifierFeatures | InceptionFeatures:
    """The network of a name: "inception", or published weights of a classifier.

    Raises:
        ImportError, OSError: as `InceptionFeatures`.
        ZooError: as `ClassifierFeatures`.
    """
    return InceptionFeatures() if name == INCEPTION else ClassifierFeatures(name)


def frechet_distance(extractor: str) -> FrechetInceptionDistance:
    """A metric over images in [0, 1]: `update(images, real=True or False)`, then `compute()`.

    The Frechet distance of Gaussians fitted to features (Heusel et al., 2017, arXiv:1706.08500). It is FID only where
    `extractor` is "inception", whose weights torch-fidelity downloads; else it is the name of published weights. It is biased
    in the number of images: compare at the same number only, and with the distance of real images from real ones.

    Raises:
        ImportError, OSError, ValueError: as `extractor_of`.
    """
    return FrechetInceptionDistance(feature=extractor_of(extractor), normalize=True)


def distance_name(extractor: str) -> str:
    """What the distance may be called: "fid" with Inception only."""
    return "fid" if extractor == INCEPTION else f"fd_{extractor}"
