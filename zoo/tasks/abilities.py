"""Abilities of systems: base classes by which reports and the `zoo` command find out what a system can do."""

from typing import Protocol, TypeVar

import torch
from lightning import Callback, LightningModule
from torch import Tensor

from zoo.errors import ZooError
from zoo.training.system import System

S = TypeVar("S", bound=System)


class Encodes(System):
    """A system that encodes each input as a vector, its code."""

    def encode(self, *inputs: Tensor) -> Tensor:
        """Encode the inputs of a batch: codes (B, Z)."""
        raise NotImplementedError(f"{type(self).__name__} has to define encode(*inputs) -> codes")


class Decodes(System):
    """A system that decodes codes to samples. If it is `conditional`, it takes the classes of the samples too."""

    conditional: bool = False

    def decode(self, *inputs: Tensor) -> Tensor:
        """Decode codes (B, Z), and if conditional their classes (B,), to samples (B, ...). Images are in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} has to define decode(codes) -> samples")


class Reconstructs(Encodes, Decodes):
    """A system that encodes images and decodes the codes back to images."""

    def corrupt(self, x: Tensor) -> Tensor:
        """Corrupt images (B, C, H, W) before the network sees them. By default they are returned unchanged."""
        return x

    def anomaly_scores(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Compute anomaly scores (B,) by name. A higher score means a more unusual image."""
        raise NotImplementedError(f"{type(self).__name__} has to define anomaly_scores(*inputs) -> scores by name")


class Generates(Decodes):
    """A system that draws samples by decoding codes (B, `latent_dim`) from a standard normal distribution."""

    def sample(self, num: int, *condition: Tensor) -> Tensor:
        """Draw samples (num, ...), images in [0, 1]. If conditional, `condition` holds their classes (num,)."""
        raise NotImplementedError(f"{type(self).__name__} has to define sample(num) -> samples")


class Posterior(Protocol):
    """A distribution over codes, q(z|x)."""

    @property
    def mu(self) -> Tensor:
        """Mean of the distribution (B, Z)."""
        ...

    def kl(self) -> Tensor:
        """Compute the KL divergence from the prior for each dimension, in nats: (B, Z)."""
        ...


class BoundsLikelihood(System):
    """A latent variable model that can bound the likelihood of its inputs."""

    def infer(self, *inputs: Tensor) -> Posterior:
        """Infer the posterior q(z|x) for the inputs of a batch."""
        raise NotImplementedError(f"{type(self).__name__} has to define infer(*inputs) -> posterior")

    def log_weights(self, num_samples: int, *inputs: Tensor) -> Tensor:
        """Compute log p(x, z) - log q(z|x) for samples of z from q(z|x), in nats: (num_samples, B)."""
        raise NotImplementedError(f"{type(self).__name__} has to define log_weights(num_samples, *inputs)")


class TranslatesBack(System):
    """A translator that can also translate in the opposite direction."""

    def back(self, y: Tensor) -> Tensor:
        """Translate images (B, C, H, W) in [0, 1] from the second domain to the first."""
        raise NotImplementedError(f"{type(self).__name__} has to define back(y) -> x")


def classes_for(model: Decodes, num: int, y: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the classes that `model.decode` takes in addition to `num` codes.

    An unconditional model takes none. For a conditional one, all codes get the class `y` (0-d). Without `y` they get all
    classes in turn.
    """
    if not model.conditional:
        return ()
    if y is not None:
        return (y.expand(num).to(model.device),)
    return (torch.arange(num, device=model.device) % model.hparams["num_classes"],)


def require_ability(report: Callback, system: LightningModule, kind: type[S], ability: str) -> S:
    """Return the system as an instance of the class `kind`. Reports call this in `setup`, before any training.

    Raises:
        ZooError: if it is not an instance; `ability` describes in the message what the system would have to do.
    """
    if not isinstance(system, kind):
        raise ZooError(
            f"{type(report).__name__} is for systems that {ability}, and {type(system).__name__} does not: "
            f"leave the report out, or derive your system from {kind.__module__}.{kind.__qualname__}"
        )
    return system
