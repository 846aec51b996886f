"""Generator and discriminator by architecture, for the techniques that change neither."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

from zoo.errors import ZooError
from zoo.gans.dcgan import DCDiscriminator, DCGenerator, DiscriminatorNorm
from zoo.gans.gan import MLPDiscriminator, MLPGenerator
from zoo.nn.codecs import Architecture


class Players(NamedTuple):
    """Two networks at play."""

    generator: MLPGenerator | DCGenerator
    discriminator: MLPDiscriminator | DCDiscriminator


def players(
    architecture: Architecture,
    input_shape: Sequence[int],
    latent_dim: int,
    widths: Sequence[int],
    norm: DiscriminatorNorm = "none",
    num_classes: int | None = None,
) -> Players:
    """Those of the first GAN ("mlp"), or of DCGAN ("conv"). A dense discriminator takes "batch" for none.

    Raises:
        ZooError: for arguments that cannot work.
    """
    if architecture not in get_args(Architecture):
        raise ZooError(f"unknown architecture {architecture!r}: choose one of {', '.join(get_args(Architecture))}")
    if architecture == "mlp":
        dense = MLPDiscriminator(input_shape, widths, "spectral" if norm == "spectral" else "none", num_classes)
        return Players(MLPGenerator(latent_dim, input_shape, widths, num_classes), dense)
    return Players(
        DCGenerator(latent_dim, input_shape, widths, num_classes), DCDiscriminator(input_shape, widths, norm, num_classes)
    )
