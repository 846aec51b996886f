"""What a system can do beyond its step: the protocols by which reports and the `zoo` command recognise it.

A system has an ability if it has the protocol's methods; it need not derive from anything.
"""

from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from lightning import Callback, LightningModule
from torch import Tensor

from zoo.errors import ZooError

A = TypeVar("A")


class Model(Protocol):
    """What every system has."""

    hparams: Any

    @property
    def device(self) -> torch.device: ...

    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the fields of a batch that the model takes."""

    def __call__(self, *inputs: Tensor) -> Tensor: ...


@runtime_checkable
class Encodes(Model, Protocol):
    """A system that finds a code for each input."""

    def encode(self, *inputs: Tensor) -> Tensor:
        """Encode a batch's inputs: codes (B, Z)."""


@runtime_checkable
class Decodes(Model, Protocol):
    """A system that turns codes into samples; if it is `conditional`, into samples of given classes."""

    conditional: bool

    def decode(self, *inputs: Tensor) -> Tensor:
        """Decode codes (B, Z), and classes (B,) if conditional: samples (B, ...), images in [0, 1]."""


@runtime_checkable
class Reconstructs(Encodes, Decodes, Protocol):
    """A system whose forward encodes images and decodes the codes again."""

    def corrupt(self, x: Tensor) -> Tensor:
        """Damage images (B, C, H, W) as the network is to see them; most systems leave them as they are."""

    def anomaly_scores(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Score how unusual each image is: scores (B,) by name, higher for more unusual images."""


@runtime_checkable
class Generates(Decodes, Protocol):
    """A system that draws samples: it decodes codes (B, `latent_dim`) from a standard normal distribution."""

    def sample(self, num: int, *condition: Tensor) -> Tensor:
        """Draw samples (num, ...), images in [0, 1]; if conditional, of the classes (num,), or of all in turn."""

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        """Return made-up inputs with the right shapes."""


class Posterior(Protocol):
    """A distribution over codes, q(z|x)."""

    @property
    def mu(self) -> Tensor:
        """Its mean (B, Z)."""

    def kl(self) -> Tensor:
        """Return the KL divergence from the prior in nats, per dimension: (B, Z)."""


@runtime_checkable
class BoundsLikelihood(Model, Protocol):
    """A latent variable model, which can bound the likelihood of its inputs; if it is `conditional`, given their classes."""

    conditional: bool

    def infer(self, *inputs: Tensor) -> Posterior:
        """Infer q(z|x) for a batch's inputs."""

    def log_weights(self, num_samples: int, *inputs: Tensor) -> Tensor:
        """Return log p(x, z) - log q(z|x) in nats for samples of z: (num_samples, B)."""


@runtime_checkable
class TranslatesBack(Model, Protocol):
    """A translator that also has the way back."""

    def back(self, y: Tensor) -> Tensor:
        """Translate images of the second domain (B, C, H, W) in [0, 1] to the first one."""


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


def require_ability(report: Callback, system: LightningModule, kind: type[A], ability: str) -> A:
    """Return the system as one with an ability; called in `setup`, so that a system a report cannot handle is not trained.

    Raises:
        ZooError: if the system does not have it.
    """
    if not isinstance(system, kind):
        raise ZooError(
            f"{type(report).__name__} is for systems that {ability}, and {type(system).__name__} does not: "
            f"leave the report out, or give your system the methods of {kind.__module__}.{kind.__qualname__}"
        )
    return system
