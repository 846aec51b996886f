"""What a system can do beyond its step: the base classes by which reports and the `zoo` command recognise it."""

from typing import Protocol, TypeVar

import torch
from lightning import Callback, LightningModule
from torch import Tensor

from zoo.errors import ZooError
from zoo.training.system import System

S = TypeVar("S", bound=System)


class Encodes(System):
    """A system that finds a code for each input."""

    def encode(self, *inputs: Tensor) -> Tensor:
        """Encode a batch's inputs: codes (B, Z)."""
        raise NotImplementedError(f"{type(self).__name__} has to define encode(*inputs) -> codes")


class Decodes(System):
    """A system that turns codes into samples; if it is `conditional`, into samples of given classes."""

    conditional: bool = False

    def decode(self, *inputs: Tensor) -> Tensor:
        """Decode codes (B, Z), and classes (B,) if conditional: samples (B, ...), images in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} has to define decode(codes) -> samples")


class Reconstructs(Encodes, Decodes):
    """A system whose forward encodes images and decodes the codes again."""

    def corrupt(self, x: Tensor) -> Tensor:
        """Damage images (B, C, H, W) as the network is to see them; by default they are left as they are."""
        return x

    def anomaly_scores(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Score how unusual each image is: scores (B,) by name, higher for more unusual images."""
        raise NotImplementedError(f"{type(self).__name__} has to define anomaly_scores(*inputs) -> scores by name")


class Generates(Decodes):
    """A system that draws samples: it decodes codes (B, `latent_dim`) from a standard normal distribution."""

    def sample(self, num: int, *condition: Tensor) -> Tensor:
        """Draw samples (num, ...), images in [0, 1]; if conditional, of the classes (num,), or of all in turn."""
        raise NotImplementedError(f"{type(self).__name__} has to define sample(num) -> samples")


class Posterior(Protocol):
    """A distribution over codes, q(z|x)."""

    @property
    def mu(self) -> Tensor:
        """Its mean (B, Z)."""
        ...

    def kl(self) -> Tensor:
        """Return the KL divergence from the prior in nats, per dimension: (B, Z)."""
        ...


class BoundsLikelihood(System):
    """A latent variable model, which can bound the likelihood of its inputs."""

    def infer(self, *inputs: Tensor) -> Posterior:
        """Infer q(z|x) for a batch's inputs."""
        raise NotImplementedError(f"{type(self).__name__} has to define infer(*inputs) -> posterior")

    def log_weights(self, num_samples: int, *inputs: Tensor) -> Tensor:
        """Return log p(x, z) - log q(z|x) in nats for samples of z: (num_samples, B)."""
        raise NotImplementedError(f"{type(self).__name__} has to define log_weights(num_samples, *inputs)")


class TranslatesBack(System):
    """A translator that also has the way back."""

    def back(self, y: Tensor) -> Tensor:
        """Translate images of the second domain (B, C, H, W) in [0, 1] to the first one."""
        raise NotImplementedError(f"{type(self).__name__} has to define back(y) -> x")


def classes_for(model: Decodes, num: int, y: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return what `model.decode` takes beside `num` codes: nothing, or the class `y` (0-d) for all of them, or all in turn."""
    if not model.conditional:
        return ()
    if y is not None:
        return (y.expand(num).to(model.device),)
    return (torch.arange(num, device=model.device) % model.hparams["num_classes"],)


def require_ability(report: Callback, system: LightningModule, kind: type[S], ability: str) -> S:
    """Return the system as one of a kind; called in `setup`, so that a system a report cannot handle is not trained.

    Raises:
        ZooError: if the system is not of this kind.
    """
    if not isinstance(system, kind):
        raise ZooError(
            f"{type(report).__name__} is for systems that {ability}, and {type(system).__name__} does not: "
            f"leave the report out, or derive your system from {kind.__module__}.{kind.__qualname__}"
        )
    return system
